// Runs a compiled program on the host in device numerics: the emitted C's kernels, or forms of them
// for the host's vectors, on the same arena, in the same order. What it computes is what the
// emitted C computes, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "espalier/codegen/kernel_calls.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/ir/graph.hpp"
#include "runtime/espalier_rows.h"
#include "runtime/espalier_runtime.h"
#include "runtime/espalier_turns.h"

namespace espalier::engine {

struct EngineOptions {
  bool stochastic = false;     ///< rounding of int8 and int32 steps; otherwise to nearest
  std::uint32_t seed = 0;      ///< of stochastic rounding
  float learning_rate = 0.1F;  ///< after reset, for a batch of 256
  int clip = 0;                ///< largest change of a weight by an update, in int8 steps; 0: any
  bool plain_kernels = false;  ///< run the very C that is emitted; slower, with the same bits
};

/// What a step returns that did not take place: a loss is never negative.
inline constexpr float kRefused = -1.0F;

class BoundCall;
namespace host {
class PackedCache;
}

class Engine {
 public:
  /// `program` must outlive the engine. Starts where the emitted reset() does.
  Engine(const compiler::Program& program, const EngineOptions& options);
  /// Its calls point into it.
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// Puts the whole state back to where training starts.
  void reset();

  /// Rate for a batch of 256: a sample's gradient is stepped by 1/256 of it. False, and nothing
  /// changes, when it is negative or no finite number.
  bool set_learning_rate(float rate);

  /// Lets the next channels learn where they take turns, as the emitted next_turn() does. False,
  /// and nothing changes, while gradients wait for an update.
  bool next_turn();
  /// From 0; always 0 where no channels take turns.
  [[nodiscard]] std::int64_t turn() const;
  /// What the emitted C has in flash that is written at run time.
  [[nodiscard]] std::span<const std::byte> turn_memory() const {
    return std::span(flash_).subspan(static_cast<std::size_t>(flash_layout_.turns_offset));
  }

  /// Where a value lies in the arena, to be filled before run_forward().
  std::int8_t* activation(compiler::ValueId id) {
    return reinterpret_cast<std::int8_t*>(arena_.data()) + program_.offset(id);
  }
  /// Where the next input goes: in the arena, or beside it where it comes by rows.
  std::int8_t* input() { return fed_.empty() ? activation(program_.graph.input) : fed_.data(); }

  /// Runs the forward nodes from `first` on, up to `end` where that is given; what they read must
  /// be in the arena. Neither lies inside a chain.
  void run_forward(int first = 0, int end = -1);
  /// Loss, backward and update after run_forward(). Returns the loss; kRefused, and nothing
  /// changes, when there is no such label.
  float run_backward(int label);
  /// run_backward() in steps, for those who look between nodes: begin, then each node from
  /// graph.backward_begin on. Nothing is counted or updated.
  void begin_backward(int label);
  void run_node(int node);
  [[nodiscard]] std::span<float> arena() { return arena_; }
  /// Has `look` called behind every node of the backward passes that follow; null for nobody.
  void watch(std::function<void(int node)> look) { watch_ = std::move(look); }
  /// One state item, to be written.
  std::span<std::byte> item(compiler::StateRole role, int op);

  /// The two together, on an input that is in the arena. Returns the loss before the update, or
  /// kRefused as run_backward().
  float train_step(int label, int first = 0);
  /// A step of the head alone, as the emitted train_head(): forward, loss, its gradient, update.
  float train_head(int label, int first = 0);

  [[nodiscard]] std::span<const float> logits() const;
  [[nodiscard]] float loss() const { return control().loss; }

  /// All that persists, in the layout of the emitted C's block; between two steps a copy of it,
  /// restored into this or another engine of the program and options, makes training go on to the
  /// bit. False, and nothing changes, for another number of bytes and for one of another turn.
  [[nodiscard]] std::span<const std::byte> state() const { return state_; }
  bool restore(std::span<const std::byte> block);
  /// The content of one state item, in the emitted C's layout; empty when there is no such item.
  [[nodiscard]] std::span<const std::byte> state(compiler::StateRole role, int op) const;

  /// The forward graph with the parameters as they are now.
  [[nodiscard]] ir::Graph tuned_graph() const;

 private:
  using Calls = std::vector<std::vector<std::unique_ptr<BoundCall>>>;  // by node

  [[nodiscard]] compiler::StateControl& control() {
    return *reinterpret_cast<compiler::StateControl*>(state_.data());
  }
  [[nodiscard]] const compiler::StateControl& control() const {
    return *reinterpret_cast<const compiler::StateControl*>(state_.data());
  }
  [[nodiscard]] bool has_class(int label) const;
  void start_flash();
  [[nodiscard]] esp_turns turns_of(const codegen::ChannelTurns& turns);
  void run_chain(const compiler::Chain& chain);
  float end_step();

  const compiler::Program& program_;
  EngineOptions options_;
  codegen::FlashLayout flash_layout_;
  std::vector<std::byte> flash_;
  std::unique_ptr<host::PackedCache> packed_;  // weights as the host's kernels read them
  std::vector<float> arena_;
  std::vector<std::byte> state_;  // the block
  std::vector<std::int8_t> fed_;  // the input that comes by rows
  esp_band band_{};               // of the turn, in a chain
  std::int32_t label_ = 0;        // of the step
  esp_sgd sgd_{};
  std::function<void(int)> watch_;
  Calls nodes_;
  Calls update_;
  std::vector<codegen::InitialValue> reset_;
  std::vector<codegen::StatePointer> cleared_;
  std::vector<codegen::ChannelTurns> turns_;
};

}  // namespace espalier::engine
