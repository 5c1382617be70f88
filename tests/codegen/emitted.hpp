// Compiles emitted C with the system's compiler and calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "espalier/codegen/emit.hpp"

namespace espalier::testing {

/// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs a command; its output, both streams, goes to `output`. Returns the exit code.
int run_command(const std::string& command, std::string& output);

/// Writes and compiles emitted files as C99 with all warnings as errors, and loads them; without
/// `flags` as quickly as can be. Throws std::runtime_error with the compiler's words.
class EmittedProgram {
 public:
  EmittedProgram(const std::map<std::string, std::string>& files, const std::string& name,
                 const std::string& flags = "");
  ~EmittedProgram();
  EmittedProgram(const EmittedProgram&) = delete;
  EmittedProgram& operator=(const EmittedProgram&) = delete;

  /// Of a library that holds several: the program that the functions below call.
  void use(const std::string& name) { name_ = name; }

  void reset() const;
  int set_learning_rate(float rate) const;
  [[nodiscard]] int forward(std::span<const std::int8_t> input) const;
  [[nodiscard]] float train_step(std::span<const std::int8_t> input, int label) const;
  [[nodiscard]] float train_head(std::span<const std::int8_t> input, int label) const;
  [[nodiscard]] std::span<const float> logits(int classes) const;
  /// The bytes of a parameter array; empty when it is frozen.
  [[nodiscard]] std::span<const std::byte> weights(int conv) const;
  [[nodiscard]] std::span<const std::byte> bias(int conv) const;
  [[nodiscard]] std::span<const std::byte> weight_sums(int conv) const;
  [[nodiscard]] std::vector<std::byte> save(std::int64_t bytes) const;
  [[nodiscard]] int load(std::span<const std::byte> saved) const;
  /// Of three bytes a pixel when `rgb`, otherwise of one.
  int pixel_row(bool rgb, int row, const std::uint8_t* pixels) const;
  [[nodiscard]] std::int8_t* input() const;
  /// Of a program whose input comes by rows; `what`: "forward" or "train".
  [[nodiscard]] int begin(const char* what) const;
  int rows(const char* what, const std::int8_t* data, int count) const;
  [[nodiscard]] int forward_end() const;
  [[nodiscard]] float train_end(int label) const;
  [[nodiscard]] float train_head_end(int label) const;
  void make_row(bool rgb, std::int8_t* to, const std::uint8_t* pixels) const;
  [[nodiscard]] int replay_reset(void* memory, std::uint32_t seed) const;
  [[nodiscard]] float train_step_kept(void* memory, std::span<const std::int8_t> input,
                                      int label) const;
  [[nodiscard]] float train_end_kept(void* memory, int label) const;
  [[nodiscard]] float train_replay(void* memory) const;
  /// What a change of turn writes becomes visible at its end alone; until then these bytes are
  /// lost. `pieces`: what writes so many and then fails with `failure`; negative: all.
  [[nodiscard]] int next_turn(int pieces = -1, int failure = -1) const;
  [[nodiscard]] std::span<std::byte> turn_memory(std::int64_t bytes) const;
  [[nodiscard]] int use_arena(void* memory, std::uint32_t bytes) const;
  /// The block that persists; its size is the header's.
  [[nodiscard]] std::span<std::byte> state(std::int64_t bytes) const;
  [[nodiscard]] const float* head_weights() const;
  [[nodiscard]] const float* head_bias() const;
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  template <typename Function>
  [[nodiscard]] Function* symbol(const char* suffix) const;
  template <typename T>
  [[nodiscard]] std::span<const std::byte> array(const char* suffix, int conv) const;

  TemporaryFolder folder_;
  std::string name_;
  void* library_ = nullptr;
};

}  // namespace espalier::testing
