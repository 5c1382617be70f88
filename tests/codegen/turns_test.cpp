// Channels that take turns in the emitted C: what is saved and loaded between turns, what is
// refused, what becomes of a change that fails, and where the bytes lie.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "emitted.hpp"
#include "espalier/engine/engine.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::codegen {
namespace {

using compiler::StateRole;
using testing::EmittedProgram;

constexpr int kRefused = -1;
constexpr int kDamaged = -2;
constexpr int kOtherTurn = -3;
constexpr int kWriteFailed = -4;

// Half of the channels of every convolution at a time.
plan::UpdatePlan rotating(const ir::Graph& graph) {
  plan::UpdatePlan plan = *plan::bias_only(graph, static_cast<int>(ir::conv_ops(graph).size()));
  for (int conv = 0; conv < plan.bias_depth; ++conv) {
    const plan::WeightUpdate update = plan::make_weight_update(graph, conv, 0.5);
    if (!update.channels.empty()) plan.weights.push_back(update);
  }
  plan::add_rotation(plan, graph);
  return plan;
}

// The C program and the engine, side by side.
class Turns : public ::testing::Test {
 protected:
  static EmitOptions options() {
    EmitOptions options;
    options.learning_rate = 20.0F;
    return options;
  }
  static compiler::Program compiled(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                    int accumulate) {
    compiler::CompileOptions compile;
    compile.accumulate = accumulate;
    return *compiler::compile(graph, plan, compile);
  }
  void build(int accumulate = 1) {
    program_ = compiled(graph_, plan_, accumulate);
    emitted_ =
        std::make_unique<EmittedProgram>(emit(program_, plan_, options()), identifier(graph_.name),
                                         "-O0 -fsanitize=undefined -fno-sanitize-recover");
    engine_ = std::make_unique<engine::Engine>(
        program_, engine::EngineOptions{.learning_rate = options().learning_rate});
    start_ = flash();
    emitted_->reset();
  }
  void SetUp() override { build(); }

  std::vector<std::int8_t> input(int i) {
    Rng rng{5, static_cast<std::uint64_t>(i)};
    return testing::random_int8(
        rng, static_cast<std::size_t>(graph_.tensor(graph_.input).shape.elements()));
  }
  void train(int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::vector<std::int8_t> x = input(i);
      std::copy(x.begin(), x.end(), engine_->input());
      const int label = i % graph_.head.classes;
      ASSERT_EQ(emitted_->train_step(x, label), engine_->train_step(label)) << i;
    }
  }
  [[nodiscard]] std::vector<std::byte> flash() const {
    const auto bytes = static_cast<std::int64_t>(engine_->turn_memory().size());
    const std::span<std::byte> memory = emitted_->turn_memory(bytes);
    return {memory.begin(), memory.end()};
  }
  void put_back(const std::vector<std::byte>& flash) const {
    std::copy(flash.begin(), flash.end(),
              emitted_->turn_memory(static_cast<std::int64_t>(flash.size())).begin());
  }
  [[nodiscard]] std::vector<std::byte> save() const {
    return emitted_->save(24 + program_.state.bytes);
  }
  [[nodiscard]] std::vector<std::byte> state() const {
    const std::span<const std::byte> block = emitted_->state(program_.state.bytes);
    return {block.begin(), block.end()};
  }
  void expect_same() const {
    EXPECT_TRUE(std::ranges::equal(state(), engine_->state()));
    EXPECT_TRUE(std::ranges::equal(flash(), engine_->turn_memory()));
  }

  ir::Graph graph_ = testing::small_network(5);
  plan::UpdatePlan plan_ = rotating(graph_);
  compiler::Program program_;
  std::unique_ptr<EmittedProgram> emitted_;
  std::unique_ptr<engine::Engine> engine_;
  std::vector<std::byte> start_;  // of flash, as it is linked
};

// Behind a whole round the tensors hold what every turn taught.
TEST_F(Turns, ComeAgainWithWhatTheyLearned) {
  std::vector<std::vector<std::byte>> lists;
  for (int turn = 0; turn < 4; ++turn) {
    train(3 * turn, 3 * turn + 3);
    const int op = ir::conv_ops(graph_).back();
    const auto list = engine_->state(StateRole::kChannels, op);
    lists.emplace_back(list.begin(), list.end());
    ASSERT_EQ(emitted_->next_turn(), 0);
    ASSERT_TRUE(engine_->next_turn());
    expect_same();
  }
  EXPECT_NE(lists[0], lists[1]);
  EXPECT_EQ(lists[0], lists[2]);
  // Both sets of a layer have learned.
  const plan::WeightUpdate& update = plan_.weights.back();
  const int op = ir::conv_ops(graph_)[static_cast<std::size_t>(update.conv)];
  const ir::Conv2D before = ir::conv(graph_, op);
  const ir::Conv2D after = ir::conv(engine_->tuned_graph(), op);
  const auto in = static_cast<std::size_t>(before.in_channels);
  std::vector<bool> moved(in);
  for (std::size_t i = 0; i < before.weights.size(); ++i) {
    if (before.weights[i] != after.weights[i]) moved[i % in] = true;
  }
  const auto learned = [&](int c) { return moved[static_cast<std::size_t>(c)]; };
  EXPECT_TRUE(std::ranges::any_of(update.channels, learned));
  EXPECT_TRUE(std::ranges::any_of(update.next_channels[0], learned));
}

TEST_F(Turns, WaitForTheUpdate) {
  build(3);
  train(0, 1);
  const std::vector<std::byte> before = state();
  EXPECT_EQ(emitted_->next_turn(), kRefused);
  EXPECT_FALSE(engine_->next_turn());
  EXPECT_EQ(state(), before);
  EXPECT_EQ(flash(), start_);
  train(1, 3);
  EXPECT_EQ(emitted_->next_turn(), 0);
  EXPECT_TRUE(engine_->next_turn());
  train(3, 7);
  expect_same();
}

TEST_F(Turns, AreSavedWithFlashAndRefusedWithAnother) {
  train(0, 2);
  const std::vector<std::byte> first = save();
  ASSERT_EQ(emitted_->next_turn(), 0);
  ASSERT_TRUE(engine_->next_turn());
  const std::vector<std::byte> engine_before(engine_->state().begin(), engine_->state().end());
  train(2, 4);
  const std::vector<std::byte> second = save();
  EXPECT_EQ(emitted_->load(first), kOtherTurn);
  train(4, 6);
  expect_same();
  EXPECT_EQ(emitted_->load(second), 0);
  ASSERT_TRUE(engine_->restore(engine_before));
  EXPECT_FALSE(std::ranges::equal(state(), engine_->state()));
  train(2, 2);
  // Another start of the same program: nothing works before the saved state is there.
  emitted_->reset();
  EXPECT_EQ(emitted_->train_step(input(0), 0), -1.0F);
  EXPECT_EQ(emitted_->next_turn(), kRefused);
  ASSERT_EQ(emitted_->load(second), 0);
  EXPECT_GE(emitted_->train_step(input(4), 0), 0);
}

TEST_F(Turns, BeginAgainWithTheTensorsAsTheyWereLinked) {
  const std::vector<std::byte> begin = state();
  train(0, 2);
  ASSERT_EQ(emitted_->next_turn(), 0);
  ASSERT_TRUE(engine_->next_turn());
  train(2, 4);
  emitted_->reset();
  EXPECT_EQ(emitted_->train_step(input(0), 0), -1.0F);
  put_back(start_);
  emitted_->reset();
  engine_->reset();
  EXPECT_EQ(state(), begin);
  expect_same();
  train(0, 2);
  expect_same();
}

// A write that fails, wherever, leaves what refuses everything until the copy is back.
TEST_F(Turns, EndWhereAWriteFails) {
  train(0, 3);
  const std::vector<std::byte> saved = save();
  const std::vector<std::byte> copy = flash();
  for (int pieces = 0;; ++pieces) {
    // Whatever the firmware's function returns, what next_turn() does is no other outcome of it.
    constexpr int kFailures[] = {7, kRefused, kOtherTurn, INT32_MIN};
    const int code = emitted_->next_turn(pieces, kFailures[pieces % 4]);
    if (code == 0) {
      EXPECT_GT(pieces, 10);
      break;
    }
    ASSERT_EQ(code, kWriteFailed) << pieces;
    EXPECT_EQ(emitted_->train_step(input(0), 0), -1.0F) << pieces;
    EXPECT_EQ(emitted_->forward(input(0)), -1) << pieces;
    EXPECT_EQ(emitted_->next_turn(), kRefused) << pieces;
    if (pieces > 0) {  // nothing was written before
      EXPECT_EQ(emitted_->load(saved), kOtherTurn) << pieces;
      emitted_->reset();
      EXPECT_EQ(emitted_->train_step(input(0), 0), -1.0F) << pieces;
    }
    put_back(copy);
    ASSERT_EQ(emitted_->load(saved), 0) << pieces;
  }
  ASSERT_TRUE(engine_->next_turn());
  expect_same();
  train(3, 6);
  expect_same();
}

// An erase that was cut short may leave the turn in front and behind, and other tensors between.
TEST_F(Turns, AreRefusedWhereTheirTensorsAreDamaged) {
  const auto damage = [&](std::size_t at) {
    std::vector<std::byte> changed = flash();
    changed[at] ^= std::byte{16};
    put_back(changed);
  };
  const std::size_t places[] = {4, start_.size() / 2, start_.size() - 5};
  for (int turn = 0; turn < 2; ++turn) {
    train(2 * turn, 2 * turn + 2);
    const std::vector<std::byte> saved = save();
    const std::vector<std::byte> copy = flash();
    for (const std::size_t at : places) {
      damage(at);
      EXPECT_EQ(emitted_->load(saved), kDamaged) << at;
      emitted_->reset();
      EXPECT_EQ(emitted_->train_step(input(0), 0), -1.0F) << at;
      put_back(copy);
      ASSERT_EQ(emitted_->load(saved), 0) << at;
    }
    ASSERT_EQ(emitted_->next_turn(), 0);
    ASSERT_TRUE(engine_->next_turn());
  }
  expect_same();
}

// Convolutions in groups keep their whole tensors in SRAM: nothing is written.
TEST_F(Turns, WriteNothingWhereAllWeightsAreInSram) {
  compiler::CompileOptions compile;
  constexpr std::string_view kSlice[] = {"slice"};
  compile.passes = compiler::kAllPasses & ~*compiler::only(kSlice);
  program_ = *compiler::compile(graph_, plan_, compile);
  const EmittedProgram emitted(emit(program_, plan_, options()), identifier(graph_.name));
  engine::Engine engine(program_, {.learning_rate = options().learning_rate});
  EXPECT_TRUE(engine.turn_memory().empty());
  EXPECT_EQ(emitted.turn_memory(0).data(), nullptr);
  emitted.reset();
  for (int i = 0; i < 4; ++i) {
    const std::vector<std::int8_t> x = input(i);
    std::copy(x.begin(), x.end(), engine.input());
    ASSERT_EQ(emitted.train_step(x, 0), engine.train_step(0));
    ASSERT_EQ(emitted.next_turn(0), 0);
    ASSERT_TRUE(engine.next_turn());
  }
  EXPECT_TRUE(std::ranges::equal(emitted.state(program_.state.bytes), engine.state()));
}

// What takes no turns has nothing of them: not a byte of SRAM or flash, not a word in any file.
TEST_F(Turns, LeaveNoTraceWhereThereAreNone) {
  plan::UpdatePlan plan = plan_;
  for (plan::WeightUpdate& update : plan.weights) update.next_channels.clear();
  const compiler::Program program = compiled(graph_, plan, 1);
  const std::map<std::string, std::string> files = emit(program, plan, options());
  const auto everything = [](const std::map<std::string, std::string>& of) {
    std::string all;
    for (const auto& [name, text] : of) all += text;
    return all;
  };
  const std::map<std::string, std::string> turning = emit(program_, plan_, options());
  for (const char* word : {"TURN", "esp_turn", "next_turn", "channel_sets", "espalier_turns"}) {
    EXPECT_EQ(everything(files).find(word), std::string::npos) << word;
    EXPECT_NE(everything(turning).find(word), std::string::npos) << word;
  }
  // With turns: the lists, padded, and the number of the turn.
  std::int64_t lists = 4;
  std::int64_t sets = 8;
  for (const compiler::TrainedConv& t : program_.graph.trained) {
    if (!t.rotates()) continue;
    const auto list = static_cast<std::int64_t>(t.channels.size() + 1) / 2 * 4;
    lists += list;
    sets += list * static_cast<std::int64_t>(t.next_channels.size());
  }
  EXPECT_EQ(program_.state.bytes, program.state.bytes + lists);
  EXPECT_EQ(program_.arena_bytes().count, program.arena_bytes().count);
  EXPECT_EQ(flash_layout(program_).bytes, flash_layout(program).bytes + sets);
  EXPECT_EQ(flash_layout(program).turn_bytes(), 0);
}

}  // namespace
}  // namespace espalier::codegen
