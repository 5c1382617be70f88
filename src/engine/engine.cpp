#include "espalier/engine/engine.hpp"

#include <algorithm>
#include <cstring>

#include "bound_call.hpp"
#include "espalier/compiler/chains.hpp"
#include "host/packed.hpp"

namespace espalier::engine {
namespace {

using codegen::FlashRole;
using compiler::StateRole;

std::vector<std::vector<std::unique_ptr<BoundCall>>> bind_all(
    const std::vector<std::vector<codegen::KernelCall>>& nodes, const Kernels& kernels,
    const Memory& memory) {
  std::vector<std::vector<std::unique_ptr<BoundCall>>> bound(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const codegen::KernelCall& call : nodes[i]) {
      bound[i].push_back(bind(call, kernels, memory));
    }
  }
  return bound;
}

}  // namespace

Engine::Engine(const compiler::Program& program, const EngineOptions& options)
    : program_(program),
      options_(options),
      flash_layout_(codegen::flash_layout(program)),
      flash_(codegen::flash_image(program, flash_layout_)),
      packed_(std::make_unique<host::PackedCache>(flash_)) {
  arena_.assign(static_cast<std::size_t>(program.arena_bytes().count / 4), 0.0F);
  state_.resize(static_cast<std::size_t>(program.state.bytes));
  const codegen::CallList calls = codegen::kernel_calls(program, flash_layout_);
  const Memory memory{.arena = reinterpret_cast<std::byte*>(arena_.data()),
                      .state = state_.data(),
                      .flash = flash_.data(),
                      .state_layout = &program.state,
                      .flash_layout = &flash_layout_,
                      .label = &label_,
                      .sgd = &sgd_,
                      .band = &band_};
  const Kernels kernels = options.plain_kernels ? Kernels{} : host_kernels();
  nodes_ = bind_all(calls.nodes, kernels, memory);
  update_ = bind_all(calls.update, kernels, memory);
  if (program.graph.fed) {
    const ir::Graph& graph = *program.graph.forward;
    fed_.resize(static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
  }
  reset_ = calls.reset;
  cleared_ = calls.cleared;
  turns_ = calls.turns;
  reset();
}

Engine::~Engine() = default;

std::span<std::byte> Engine::item(StateRole role, int op) {
  const compiler::StateItem* item = program_.state.find(role, op);
  if (item == nullptr) return {};
  return {state_.data() + compiler::kControlBytes + item->offset,
          static_cast<std::size_t>(item->bytes())};
}

bool Engine::set_learning_rate(float rate) {
  return esp_rate_per_sample(rate, &control().rate) == 0;
}

bool Engine::restore(std::span<const std::byte> block) {
  if (block.size() != state().size()) return false;
  if (const compiler::StateItem* item = program_.state.find(StateRole::kTurn, -1)) {
    std::int32_t there = 0;
    std::memcpy(&there, block.data() + compiler::kControlBytes + item->offset, sizeof there);
    if (there != turn()) return false;
  }
  std::memcpy(state_.data(), block.data(), block.size());
  return true;
}

bool Engine::has_class(int label) const {
  return label >= 0 && label < program_.graph.forward->head.classes;
}

std::int64_t Engine::turn() const {
  const std::span<const std::byte> there = state(StateRole::kTurn, -1);
  std::int32_t turn = 0;
  if (!there.empty()) std::memcpy(&turn, there.data(), sizeof turn);
  return turn;
}

esp_turns Engine::turns_of(const codegen::ChannelTurns& turns) {
  const auto flash = [&](codegen::FlashRole role) {
    return flash_.data() + flash_layout_.find(role, turns.op)->offset;
  };
  esp_turns t{};
  t.d = reinterpret_cast<const esp_conv*>(flash(FlashRole::kConv));
  if (turns.sliced) {
    t.full = reinterpret_cast<const std::int8_t*>(flash(FlashRole::kTurnWeights));
  }
  t.trained = reinterpret_cast<std::int8_t*>(item(StateRole::kWeights, turns.op).data());
  t.channels = reinterpret_cast<std::int16_t*>(item(StateRole::kChannels, turns.op).data());
  t.count = static_cast<std::int32_t>(turns.count);
  t.sets = reinterpret_cast<const std::int16_t*>(flash(FlashRole::kChannelSets));
  t.turns = static_cast<std::int32_t>(turns.turns);
  return t;
}

bool Engine::next_turn() {
  if (control().waiting != 1) return false;
  if (turns_.empty()) return true;
  const auto turn = static_cast<std::int32_t>(this->turn() + 1);
  const auto write = [](void*, const void* at, const void* data, std::uint32_t bytes) {
    std::memcpy(const_cast<void*>(at), data, bytes);  // flash is memory here
    return std::int32_t{0};
  };
  std::int8_t* room = program_.graph.turn_room < 0 ? nullptr : activation(program_.graph.turn_room);
  for (const codegen::ChannelTurns& turns : turns_) {
    const esp_turns t = turns_of(turns);
    esp_turn_channels(&t, turn, room, write, nullptr);
  }
  for (const FlashRole role : {FlashRole::kTurnBegun, FlashRole::kTurnDone}) {
    const codegen::FlashItem* word = flash_layout_.find(role, -1);
    if (word != nullptr) std::memcpy(flash_.data() + word->offset, &turn, sizeof turn);
  }
  std::memcpy(item(StateRole::kTurn, -1).data(), &turn, sizeof turn);
  packed_ = std::make_unique<host::PackedCache>(flash_);
  return true;
}

// What was written at run time is again as it was.
void Engine::start_flash() {
  if (turn() == 0) return;
  const std::vector<std::byte> start = codegen::flash_image(program_, flash_layout_);
  std::copy(start.begin(), start.end(), flash_.begin());
  packed_ = std::make_unique<host::PackedCache>(flash_);
}

void Engine::reset() {
  start_flash();
  std::fill(state_.begin(), state_.end(), std::byte{0});
  set_learning_rate(options_.learning_rate);
  control().seed = options_.seed;
  control().waiting = 1;
  for (const codegen::InitialValue& value : reset_) {
    const std::span<std::byte> to = item(value.to.role, value.to.op);
    const codegen::FlashItem* from = flash_layout_.find(value.from.role, value.from.op);
    std::memcpy(to.data(), flash_.data() + from->offset, to.size());
  }
}

void Engine::run_forward(int first, int end) {
  if (end < 0) end = program_.graph.backward_begin;
  for (int i = first; i < end; ++i) {
    const int chain = program_.graph.nodes[static_cast<std::size_t>(i)].chain;
    if (chain < 0) {
      run_node(i);
      continue;
    }
    const compiler::Chain& whole = program_.graph.chains[static_cast<std::size_t>(chain)];
    run_chain(whole);
    i = whole.last;
  }
}

// As the emitted C does.
void Engine::run_chain(const compiler::Chain& chain) {
  const int op = program_.graph.nodes[static_cast<std::size_t>(chain.first)].op;
  const auto table = [&](codegen::FlashRole role) {
    const codegen::FlashItem& item = *flash_layout_.find(role, op);
    return std::pair(reinterpret_cast<const std::int32_t*>(flash_.data() + item.offset),
                     static_cast<std::int32_t>(item.elements));
  };
  const auto [maps, map_numbers] = table(FlashRole::kRowMaps);
  const auto [steps, step_numbers] = table(FlashRole::kRowSteps);
  const esp_chain rows{maps,
                       steps,
                       map_numbers / ESP_MAP_FIELDS,
                       step_numbers / ESP_STEP_FIELDS,
                       reinterpret_cast<std::int8_t*>(arena_.data()),
                       activation(chain.rows)};
  const auto take_turns = [&] {
    for (bool running = true; running;) {
      running = false;
      for (int i = chain.first; i <= chain.last; ++i) {
        if (esp_next_band(&rows, i - chain.first, &band_) == 0) continue;
        run_node(i);
        running = true;
      }
    }
  };
  esp_begin_rows(&rows);
  if (!chain.fed) return take_turns();
  const std::int32_t fed = compiler::chain_tables(program_.graph, chain).fed;
  const std::int8_t* data = fed_.data();
  const std::int32_t* map = rows.maps + fed * ESP_MAP_FIELDS;
  for (std::int32_t left = map[ESP_MAP_HEIGHT]; left > 0;) {
    const std::int32_t taken = esp_take_rows(&rows, fed, data, left);
    data += taken * map[ESP_MAP_ROW_BYTES];
    left -= taken;
    if (esp_rows_full(&rows, fed) != 0) take_turns();
  }
}

float Engine::train_step(int label, int first) {
  if (!has_class(label)) return kRefused;
  run_forward(first);
  return run_backward(label);
}

float Engine::train_head(int label, int first) {
  if (!has_class(label)) return kRefused;
  run_forward(first);
  begin_backward(label);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (compiler::trains_head(program_.graph.nodes[i])) run_node(static_cast<int>(i));
  }
  return end_step();
}

void Engine::begin_backward(int label) {
  label_ = label;
  sgd_ = esp_sgd_of(control().rate, control().seed, control().step, options_.stochastic ? 1 : 0,
                    options_.clip);
}

void Engine::run_node(int node) {
  const host::UsePacked use(*packed_);
  for (const auto& call : nodes_[static_cast<std::size_t>(node)]) call->run();
}

float Engine::run_backward(int label) {
  if (!has_class(label)) return kRefused;
  begin_backward(label);
  for (int i = program_.graph.backward_begin; i < static_cast<int>(nodes_.size()); ++i) {
    run_node(i);
    if (watch_) watch_(i);
  }
  return end_step();
}

// Sums of gradients that nothing was added to step nothing.
float Engine::end_step() {
  if (program_.graph.accumulate == 1) {
    ++control().step;
  } else if (control().waiting++ == program_.graph.accumulate) {
    for (const auto& node : update_) {
      for (const auto& call : node) call->run();
    }
    for (const codegen::StatePointer& sum : cleared_) {
      std::ranges::fill(item(sum.role, sum.op), std::byte{0});
    }
    control().waiting = 1;
    ++control().step;
  }
  return control().loss;
}

std::span<const std::byte> Engine::state(StateRole role, int op) const {
  return const_cast<Engine*>(this)->item(role, op);
}

std::span<const float> Engine::logits() const {
  const std::span<const std::byte> bytes = state(StateRole::kLogits, -1);
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

ir::Graph Engine::tuned_graph() const {
  ir::Graph graph = *program_.graph.forward;
  const auto copy = [&](StateRole role, int op, void* to) {
    const std::span<const std::byte> from = state(role, op);
    std::memcpy(to, from.data(), from.size());
  };
  copy(StateRole::kHeadWeights, -1, graph.head.weights.data());
  copy(StateRole::kHeadBias, -1, graph.head.bias.data());
  for (const compiler::TrainedConv& t : program_.graph.trained) {
    auto& conv = std::get<ir::Conv2D>(graph.ops[static_cast<std::size_t>(t.op)].params);
    if (t.bias) copy(StateRole::kBias, t.op, conv.bias.data());
    if (!t.weights) continue;
    const std::span<const std::byte> kept = state(StateRole::kWeights, t.op);
    std::size_t at = 0;
    if (const codegen::FlashItem* full = flash_layout_.find(FlashRole::kTurnWeights, t.op)) {
      std::memcpy(conv.weights.data(), flash_.data() + full->offset, conv.weights.size());
    }
    for (const std::size_t position : compiler::resident_positions(program_.graph, t, turn())) {
      conv.weights[position] = static_cast<std::int8_t>(kept[at++]);
    }
  }
  return graph;
}

}  // namespace espalier::engine
