// What every file of an emitted folder is made from. One source a file: emit_header.cpp and so on.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "espalier/codegen/emit.hpp"
#include "espalier/codegen/kernel_calls.hpp"

namespace espalier::codegen {

/// Stands for the hash of all files until they are all there.
inline constexpr std::string_view kHashPlaceholder = "@PROGRAM_HASH@";

/// What a saved state has in front: six words.
inline constexpr std::int64_t kSavedHeaderBytes = 24;

struct Emission {
  Emission(const compiler::Program& compiled, const plan::UpdatePlan& plan,
           const EmitOptions& given);

  const compiler::Program& program;
  const ir::Graph& graph;
  const EmitOptions& options;
  std::string name;   ///< prefix of files and symbols
  std::string macro;  ///< the same in capitals
  FlashLayout layout;
  CallList calls;
  std::string plan_text;  ///< plan.json
  int head_epochs = 0;    ///< that the plan was found with
  ReplayLayout replay;    ///< without samples: there is no replay

  [[nodiscard]] std::string banner(std::string_view what) const;
  [[nodiscard]] std::string plan_hash() const;
  /// Refuses to compile with headers of another program. `headers`: suffixes of their macros.
  [[nodiscard]] std::string hash_check(std::initializer_list<std::string_view> headers) const;
  /// All SRAM but the stack; of an arena that the firmware gives, a pointer too.
  [[nodiscard]] std::int64_t sram_bytes() const {
    return program.sram_bytes().count + (options.extern_arena ? kArenaPointerBytes : 0);
  }
  /// A condition of C: there is no arena, or reset was not called.
  [[nodiscard]] std::string_view unready() const {
    return options.extern_arena ? "sram.arena == 0 || sram.state.waiting == 0"
                                : "sram.state.waiting == 0";
  }
  [[nodiscard]] std::int64_t classes() const { return graph.head.classes; }
  [[nodiscard]] const ir::Shape& input_shape() const { return graph.tensor(graph.input).shape; }
  /// The kernels in use, by name.
  [[nodiscard]] std::vector<runtime::Kernel> kernels() const;
  /// The kernels in use, with the multiply-accumulates of one step.
  [[nodiscard]] std::map<std::string, std::int64_t> kernel_macs() const;
};

/// A float literal that reads back as the same float.
std::string float_literal(float value);

/// The member of a struct of constants that an item is.
std::string member_text(const Emission& c, const FlashItem& item);

std::string header_text(const Emission& c);            ///< <name>.h
std::string source_text(const Emission& c);            ///< <name>.c
std::string kernels_text(const Emission& c);           ///< <name>_kernels.h
std::string parameter_header_text(const Emission& c);  ///< <name>_params.h
std::string parameters_text(const Emission& c);        ///< <name>_params.c
std::string readme_text(const Emission& c);            ///< README.md

/// Steps from latents, for <name>.h and <name>.c; empty without a replay memory.
std::string replay_declarations(const Emission& c);
std::string replay_functions(const Emission& c);
/// Inputs of pixels, likewise; empty without tables for them.
std::string pixel_declarations(const Emission& c);
std::string pixel_functions(const Emission& c);
/// Channels that take turns, likewise; empty where none do. In order: for the sizes in <name>.h,
/// its functions, the struct of <name>_params.h, the beginning of its definition, a check that
/// flash is of a turn (an expression of C; `then`: a statement), the CRC-32 of what is linked into
/// that flash, the functions of <name>.c, and README.md.
std::string turn_sizes(const Emission& c);
std::string turn_declarations(const Emission& c);
std::string turn_struct(const Emission& c);
std::string turn_section(const Emission& c);
std::string turn_guard(const Emission& c, std::string_view turn, std::string_view then);
std::uint32_t linked_turns_checksum(const Emission& c);
std::string turn_functions(const Emission& c);
std::string turn_readme(const Emission& c);
/// Manifests of the package, by name; none without one.
std::map<std::string, std::string> package_files(const Emission& c);

}  // namespace espalier::codegen
