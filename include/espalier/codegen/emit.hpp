// A compiled program as a folder of C99 that an engineer can drop into a firmware tree.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "espalier/codegen/flash_layout.hpp"
#include "espalier/codegen/names.hpp"
#include "espalier/codegen/recorded_steps.hpp"
#include "espalier/codegen/target.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/json.hpp"

namespace espalier::codegen {

inline constexpr const char* kProgramSchema = "espalier.program/1";

/// What a pointer to an arena that the firmware gives takes beside it.
inline constexpr std::int64_t kArenaPointerBytes = 4;

/// The int8 input for each value of a pixel.
using PixelTable = std::array<std::int8_t, 256>;

struct EmitOptions {
  std::string
      name;  ///< prefix of files and symbols, see check_name(); empty: from the model's name
  Target target = target_named("host");  ///< with the overlays to use, which change no bit
  float learning_rate = 0.1F;  ///< for a batch of 256; the device steps by 1/256 of it a sample
  int clip = 0;                ///< largest change of a weight by an update, in int8 steps; 0: any
  bool stochastic = false;     ///< rounding of int8 and int32 steps; otherwise to nearest
  std::uint32_t seed = 0;      ///< of stochastic rounding, after reset
  bool extern_arena = false;   ///< the firmware gives the arena, which programs may share
  std::int64_t replay_bytes = 0;  ///< memory for latents that the firmware gives; 0: no replay
  std::string package;            ///< of package_names(): with the manifests of it; empty: without
  /// By channel, one or three: for functions that make inputs of pixels; empty: without.
  std::vector<PixelTable> pixels;
  RecordedSteps recorded;  ///< for program.json; `check` wants some, see engine::emit_recorded()
};

/// A replay memory: what fits into the bytes given for it.
struct ReplayLayout {
  std::int64_t latent_bytes = 0;  ///< of a sample
  std::int64_t samples = 0;
  std::int64_t bytes = 0;  ///< of these, their labels and the counts by class
};
/// `samples` is 0 when there is room for none.
ReplayLayout replay_layout(const compiler::Program& program, std::int64_t bytes);
/// kUsage when a memory of --replay holds no sample, or the program leaves no latents to keep.
Status check_replay(const compiler::Program& program, Bytes bytes);

/// Name of an item in the emitted structs, such as `conv21_weights`.
std::string item_name(const ir::Graph& graph, FlashRole role, int op);
std::string item_name(const ir::Graph& graph, compiler::StateRole role, int op);

/// Files by name, deterministic: header, sources, kernels, README, Makefile, plan.json and
/// program.json (espalier.program/1: sizes and what was compiled).
std::map<std::string, std::string> emit(const compiler::Program& program,
                                        const plan::UpdatePlan& plan, const EmitOptions& options);

/// Names of the files that emit() writes for a program of that name, those of packages left out;
/// none for what cannot be one.
std::vector<std::string> file_names(const std::string& name);

}  // namespace espalier::codegen
