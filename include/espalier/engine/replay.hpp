// Steps from a replay memory, as the emitted C makes them: the same samples kept and drawn, the
// same bytes of memory, the same bits of training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "espalier/codegen/emit.hpp"
#include "espalier/compiler/latent.hpp"
#include "espalier/engine/engine.hpp"

namespace espalier::engine {

class Replay {
 public:
  /// An empty memory of `bytes`, which must hold at least one sample (codegen::replay_layout), for
  /// engines of `program`, which must outlive it.
  Replay(const compiler::Program& program, std::int64_t bytes, std::uint32_t seed);

  /// A step on the input in the arena, or on what lies in front of the forward node `first`, which
  /// is at most the latent's; offers the sample to the memory.
  float train_step_kept(Engine& engine, int label, int first = 0);
  /// A step on a random sample of the memory; kRefused when nothing is kept.
  float train_replay(Engine& engine);

  /// As the firmware's.
  [[nodiscard]] std::span<const std::byte> memory() const {
    return std::as_bytes(std::span(words_));
  }
  /// Samples kept, by class.
  [[nodiscard]] std::vector<int> kept() const;

 private:
  const compiler::Program* program_;
  compiler::Latent latent_;
  std::vector<std::uint32_t> words_;
};

}  // namespace espalier::engine
