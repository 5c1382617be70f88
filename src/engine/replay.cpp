#include "espalier/engine/replay.hpp"

#include <cstring>

#include "runtime/espalier_replay.h"

namespace espalier::engine {

Replay::Replay(const compiler::Program& program, std::int64_t bytes, std::uint32_t seed)
    : program_(&program), latent_(compiler::latent_of(program.graph)) {
  const codegen::ReplayLayout layout = codegen::replay_layout(program, bytes);
  words_.resize(static_cast<std::size_t>(layout.bytes / 4));
  esp_replay_reset(words_.data(), program.graph.forward->head.classes,
                   static_cast<std::int32_t>(layout.samples),
                   static_cast<std::int32_t>(layout.latent_bytes), seed);
}

float Replay::train_step_kept(Engine& engine, int label, int first) {
  if (label < 0 || label >= program_->graph.forward->head.classes) return kRefused;
  engine.run_forward(first, latent_.first);
  const std::int32_t slot = esp_replay_place(words_.data(), label);
  if (slot >= 0) {
    auto* at = reinterpret_cast<std::byte*>(esp_replay_slot(words_.data(), slot) + 1);
    for (const compiler::ValueId id : latent_.values) {
      const auto bytes = static_cast<std::size_t>(program_->graph.value(id).bytes());
      std::memcpy(at, engine.activation(id), bytes);
      at += bytes;
    }
  }
  return engine.train_step(label, latent_.first);
}

float Replay::train_replay(Engine& engine) {
  const std::int32_t slot = esp_replay_draw(words_.data());
  if (slot < 0) return kRefused;
  const std::uint32_t* words = esp_replay_slot(words_.data(), slot);
  const auto* at = reinterpret_cast<const std::byte*>(words + 1);
  for (const compiler::ValueId id : latent_.values) {
    const auto bytes = static_cast<std::size_t>(program_->graph.value(id).bytes());
    std::memcpy(engine.activation(id), at, bytes);
    at += bytes;
  }
  return engine.train_step(static_cast<int>(words[0]), latent_.first);
}

std::vector<int> Replay::kept() const {
  std::vector<int> kept;
  for (int k = 0; k < program_->graph.forward->head.classes; ++k) {
    kept.push_back(
        static_cast<int>(words_[static_cast<std::size_t>(ESP_REPLAY_TABLE + 3 * k + 1)]));
  }
  return kept;
}

}  // namespace espalier::engine
