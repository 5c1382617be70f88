// Steps from a replay memory: emitted C and host engine keep the same samples and learn the same
// bits, and the memory holds what a class-balanced reservoir holds.
#include "espalier/engine/replay.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "emitted.hpp"
#include "runtime/espalier_replay.h"
#include "testing/random_graph.hpp"
#include "testing/random_inputs.hpp"
#include "testing/random_plan.hpp"

namespace espalier::codegen {
namespace {

using testing::EmittedProgram;
using ::testing::HasSubstr;

// The C program and the engine with their memories, of about so many samples.
struct Pair {
  Pair(const ir::Graph& network, const plan::UpdatePlan& plan, int samples, int accumulate,
       bool fed = false)
      : graph(network), program(compiled(network, plan, accumulate, fed)) {
    options.stochastic = true;
    options.learning_rate = 20.0F;
    options.replay_bytes =
        4 * esp_replay_table_words(graph.head.classes) +
        4 * samples *
            esp_replay_slot_words(static_cast<int>(replay_layout(program, 0).latent_bytes));
    options.replay_bytes += 3;  // of no use
    emitted =
        std::make_unique<EmittedProgram>(emit(program, plan, options), identifier(graph.name));
    engine = std::make_unique<engine::Engine>(
        program, engine::EngineOptions{true, options.seed, options.learning_rate});
    replay = std::make_unique<engine::Replay>(program, options.replay_bytes, 5);
    memory.assign(replay->memory().size() / 4, 0xABABABABU);
    // What a slot that was never used holds is nobody's business.
    emitted->reset();
  }
  static compiler::Program compiled(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                    int accumulate, bool fed = false) {
    compiler::CompileOptions compile;
    compile.accumulate = accumulate;
    compile.fed = fed;
    if (accumulate == 3) compile.gradient = compiler::Element::kInt8;
    return std::move(compiler::compile(graph, plan, compile)).value();
  }
  void step(int i, bool by_rows = false) {
    Rng rng{71, static_cast<std::uint64_t>(i)};
    const auto input = testing::random_int8(
        rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
    const int label = static_cast<int>(rng.below(static_cast<std::uint64_t>(graph.head.classes)));
    std::copy(input.begin(), input.end(), engine->input());
    const float loss = by_rows ? step_by_rows(input, label)
                               : emitted->train_step_kept(memory.data(), input, label);
    ASSERT_EQ(loss, replay->train_step_kept(*engine, label)) << i;
    ASSERT_EQ(emitted->train_replay(memory.data()), replay->train_replay(*engine)) << i;
  }
  // Refused until all rows are there, and again once they have been taken.
  [[nodiscard]] float step_by_rows(const std::vector<std::int8_t>& input, int label) const {
    const int height = graph.tensor(graph.input).shape.height;
    const auto row = static_cast<std::ptrdiff_t>(input.size()) / height;
    EXPECT_EQ(emitted->begin("train"), 0);
    EXPECT_EQ(emitted->rows("train", input.data(), 5), 0);
    EXPECT_EQ(emitted->train_end_kept(memory.data(), label), -1.0F);
    EXPECT_EQ(emitted->rows("train", input.data() + 5 * row, height - 5), 0);
    EXPECT_EQ(emitted->train_end_kept(memory.data(), graph.head.classes), -1.0F);
    EXPECT_EQ(emitted->train_end_kept(nullptr, label), -1.0F);
    const float loss = emitted->train_end_kept(memory.data(), label);
    EXPECT_EQ(emitted->train_end_kept(memory.data(), label), -1.0F);
    return loss;
  }
  void expect_equal() const {
    const std::span<const std::byte> state = emitted->state(program.state.bytes);
    EXPECT_TRUE(std::ranges::equal(state, engine->state()));
    const auto* words = reinterpret_cast<const std::uint32_t*>(replay->memory().data());
    const auto used = static_cast<std::size_t>(
        esp_replay_slot(memory.data(), static_cast<int>(words[ESP_REPLAY_FILLED])) - memory.data());
    // Behind a latent of an odd number of bytes lie others.
    const auto bytes = static_cast<int>(words[ESP_REPLAY_BYTES]);
    for (std::size_t i = 0; i < used && bytes % 4 == 0; ++i) ASSERT_EQ(memory[i], words[i]) << i;
  }

  const ir::Graph& graph;
  compiler::Program program;
  EmitOptions options;
  std::unique_ptr<EmittedProgram> emitted;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<engine::Replay> replay;
  mutable std::vector<std::uint32_t> memory;
};

#ifdef ESPALIER_SLOW_TESTS
constexpr std::uint64_t kNetworks = 300;
#else
constexpr std::uint64_t kNetworks = 6;
#endif

TEST(Replay, RandomNetworksTrainAsTheEngineDoes) {
  for (std::uint64_t seed = 0; seed < kNetworks; ++seed) {
    SCOPED_TRACE(seed);
    const ir::Graph graph = testing::random_network(seed);
    Rng rng{seed, 23};
    Pair pair(graph, testing::random_plan(graph, rng), 7, 1 + static_cast<int>(seed % 3));
    EXPECT_EQ(pair.emitted->replay_reset(pair.memory.data(), 5), 0);
    for (int i = 0; i < 20; ++i) pair.step(i);
    pair.expect_equal();
  }
}

// Plans from the classifier alone to all: the latent moves from the features to the input.
TEST(Replay, LatentsLieWhereTrainingBegins) {
  const ir::Graph graph = testing::small_network(5);
  const auto convs = static_cast<int>(ir::conv_ops(graph).size());
  const auto latent_bytes = [&](const plan::UpdatePlan& plan) {
    return replay_layout(Pair::compiled(graph, plan, 1), 0).latent_bytes;
  };
  EXPECT_EQ(latent_bytes(plan::head_only(graph)), graph.head.features);
  for (int depth = 1; depth <= convs; ++depth) {
    SCOPED_TRACE(depth);
    const plan::UpdatePlan plan = *plan::bias_only(graph, depth);
    const int conv = ir::conv_ops(graph)[static_cast<std::size_t>(convs - depth)];
    const ir::Tensor& input = graph.tensor(graph.ops[static_cast<std::size_t>(conv)].inputs[0]);
    EXPECT_GE(latent_bytes(plan), input.shape.elements());
    if (depth % 3 != 1) continue;
    Pair pair(graph, plan, 5, 1);
    EXPECT_EQ(pair.emitted->replay_reset(pair.memory.data(), 5), 0);
    for (int i = 0; i < 12; ++i) pair.step(i);
    pair.expect_equal();
  }
  EXPECT_EQ(latent_bytes(plan::full(graph)), graph.tensor(graph.input).shape.elements());
}

TEST(Replay, KeepsWhatComesByRows) {
  const ir::Graph graph = testing::small_network(5, 3, 16);
  for (const int depth : {0, 1, 2}) {
    SCOPED_TRACE(depth);
    const plan::UpdatePlan plan = *plan::bias_only(graph, depth);
    const int accumulate = 1 + depth;
    if (!check_replay(Pair::compiled(graph, plan, accumulate, true), Bytes{100000}).ok()) {
      EXPECT_GT(depth, 1);  // runs row by row into what is trained
      continue;
    }
    Pair pair(graph, plan, 5, accumulate, true);
    EXPECT_EQ(pair.emitted->replay_reset(pair.memory.data(), 5), 0);
    for (int i = 0; i < 15; ++i) pair.step(i, i % 3 != 1);
    pair.expect_equal();
  }
  const plan::UpdatePlan all =
      *plan::bias_only(graph, static_cast<int>(ir::conv_ops(graph).size()));
  const Status refused = check_replay(Pair::compiled(graph, all, 1, true), Bytes{100000});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("leave out --input rows"));
}

TEST(Replay, RefusesWhatIsNone) {
  const ir::Graph graph = testing::small_network(5);
  Pair pair(graph, *plan::bias_only(graph, 2), 3, 1);
  const EmittedProgram& program = *pair.emitted;
  Rng rng{1, 1};
  const auto input = testing::random_int8(
      rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
  void* memory = pair.memory.data();
  void* misaligned = reinterpret_cast<char*>(memory) + 1;
  const auto state = [&] {
    const auto block = program.state(pair.program.state.bytes);
    return std::vector<std::byte>(block.begin(), block.end());
  };
  const std::vector<std::byte> before = state();
  EXPECT_EQ(program.train_step_kept(memory, input, 0), -1.0F);  // not reset
  EXPECT_EQ(program.train_replay(memory), -1.0F);
  EXPECT_EQ(program.replay_reset(nullptr, 1), -1);
  EXPECT_EQ(program.replay_reset(misaligned, 1), -1);
  EXPECT_EQ(program.replay_reset(memory, 1), 0);
  EXPECT_EQ(program.train_replay(memory), -1.0F);  // empty
  EXPECT_EQ(program.train_replay(nullptr), -1.0F);
  EXPECT_EQ(program.train_replay(misaligned), -1.0F);
  for (const int label : {-1, graph.head.classes}) {
    EXPECT_EQ(program.train_step_kept(memory, input, label), -1.0F);
    EXPECT_EQ(pair.replay->train_step_kept(*pair.engine, label), engine::kRefused);
  }
  EXPECT_EQ(pair.replay->train_replay(*pair.engine), engine::kRefused);
  EXPECT_EQ(state(), before);
  EXPECT_GE(program.train_step_kept(memory, input, 1), 0.0F);
  EXPECT_GE(program.train_replay(memory), 0.0F);
  // A memory for other sizes.
  pair.memory[ESP_REPLAY_SAMPLES] -= 1;
  EXPECT_EQ(program.train_replay(memory), -1.0F);
}

// The header says of every function that overwrites an input in the arena that it does.
TEST(Replay, HeaderSaysWhatOverwritesTheInput) {
  const ir::Graph graph = testing::small_network(5);
  const plan::UpdatePlan plan = *plan::bias_only(graph, 2);
  const Pair pair(graph, plan, 3, 1);
  const auto header = [&](const EmitOptions& options) {
    return emit(pair.program, plan, options).at(identifier(graph.name) + ".h");
  };
  const std::string kept = header(pair.options);
  EXPECT_THAT(kept, HasSubstr("Overwritten by every call of reset, forward, train_step, train_head,"
                              "\n * train_step_kept and train_replay. */\nint8_t* random_input("));
  EXPECT_THAT(kept, HasSubstr("An input that waits in random_input() is overwritten. */\n"
                              "float random_train_replay("));
  EXPECT_THAT(header({}), HasSubstr("every call of reset, forward, train_step and train_head. */"));
}

// A memory that was saved and came back with other counts or labels is refused as a whole.
TEST(Replay, RefusesWhatIsDamaged) {
  const ir::Graph graph = testing::small_network(5);
  Pair pair(graph, *plan::bias_only(graph, 2), 3, 1);
  const EmittedProgram& program = *pair.emitted;
  Rng rng{2, 1};
  const auto input = testing::random_int8(
      rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
  ASSERT_EQ(program.replay_reset(pair.memory.data(), 1), 0);
  for (int i = 0; i < 3; ++i) ASSERT_GE(program.train_step_kept(pair.memory.data(), input, 1), 0);
  const std::vector<std::uint32_t> whole = pair.memory;
  const auto state = program.state(pair.program.state.bytes);
  const std::vector<std::byte> before(state.begin(), state.end());
  constexpr std::size_t kKept = ESP_REPLAY_TABLE + 1;
  for (const std::uint32_t count : {1U, 4U, 100000U, 0xFFFFFFFFU}) {
    pair.memory[kKept + 3] += count;
    EXPECT_EQ(program.train_step_kept(pair.memory.data(), input, 2), -1.0F) << count;
    EXPECT_EQ(program.train_replay(pair.memory.data()), -1.0F) << count;
    pair.memory = whole;
  }
  std::swap(pair.memory[kKept], pair.memory[kKept + 3]);  // as many, but of another class
  EXPECT_EQ(program.train_step_kept(pair.memory.data(), input, 2), -1.0F);
  pair.memory = whole;
  for (int slot = 0; slot < 3; ++slot) {
    esp_replay_slot(pair.memory.data(), slot)[0] = static_cast<std::uint32_t>(graph.head.classes);
  }
  EXPECT_EQ(program.train_step_kept(pair.memory.data(), input, 2), -1.0F);
  EXPECT_EQ(program.train_replay(pair.memory.data()), -1.0F);
  EXPECT_TRUE(std::ranges::equal(state, before));
  pair.memory = whole;
  EXPECT_GE(program.train_step_kept(pair.memory.data(), input, 2), 0);
}

// ---- What is kept
// --------------------------------------------------------------------------------

// Labels of the samples kept of a stream, and their numbers.
struct Reservoir {
  Reservoir(int classes, int samples, std::uint32_t seed)
      : words(static_cast<std::size_t>(esp_replay_table_words(classes) +
                                       samples * esp_replay_slot_words(4))) {
    esp_replay_reset(words.data(), classes, samples, 4, seed);
  }
  void offer(int label, std::uint32_t number) {
    const std::int32_t slot = esp_replay_place(words.data(), label);
    if (slot >= 0) esp_replay_slot(words.data(), slot)[1] = number;
  }
  [[nodiscard]] std::vector<std::uint32_t> of(int label) {
    std::vector<std::uint32_t> numbers;
    for (int i = 0; i < static_cast<int>(words[ESP_REPLAY_FILLED]); ++i) {
      const std::uint32_t* slot = esp_replay_slot(words.data(), i);
      if (slot[0] == static_cast<std::uint32_t>(label)) numbers.push_back(slot[1]);
    }
    return numbers;
  }
  std::vector<std::uint32_t> words;
};

TEST(Reservoir, IsBalancedOverClassesThatComeOneAfterTheOther) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    Reservoir reservoir(5, 23, seed);
    const int counts[] = {400, 100, 5, 2, 90};
    std::uint32_t number = 0;
    for (int label = 0; label < 5; ++label) {
      for (int i = 0; i < counts[label]; ++i) reservoir.offer(label, number++);
    }
    // Rare ones whole, the others within one of each other.
    EXPECT_EQ(reservoir.of(2).size(), 5U);
    EXPECT_EQ(reservoir.of(3).size(), 2U);
    std::set<std::uint32_t> all;
    std::size_t sum = 0;
    for (int label = 0; label < 5; ++label) {
      const auto kept = reservoir.of(label);
      sum += kept.size();
      all.insert(kept.begin(), kept.end());
      EXPECT_EQ(kept.size(),
                reservoir.words[static_cast<std::size_t>(ESP_REPLAY_TABLE + 3 * label + 1)]);
      if (label != 2 && label != 3) {
        EXPECT_GE(kept.size(), 5U) << label;
        EXPECT_LE(kept.size(), 6U) << label;
      }
    }
    EXPECT_EQ(sum, 23U);
    EXPECT_EQ(all.size(), 23U);
  }
}

TEST(Reservoir, ChoosesUniformlyWithinAClass) {
  constexpr int kSamples = 40;
  constexpr int kTrials = 4000;
  std::vector<int> hits(kSamples);
  for (std::uint32_t seed = 0; seed < kTrials; ++seed) {
    Reservoir reservoir(2, 10, seed);
    for (std::uint32_t i = 0; i < kSamples; ++i) reservoir.offer(1, i);
    for (const std::uint32_t number : reservoir.of(1)) ++hits[number];
  }
  // A quarter of the trials each; the chi-square of 39 degrees is below 80 but once in 7,000.
  double chi = 0;
  constexpr double kExpected = kTrials * 10.0 / kSamples;
  for (const int count : hits) chi += std::pow(count - kExpected, 2) / kExpected;
  EXPECT_LT(chi, 80.0);
}

TEST(Reservoir, DrawsEveryOneAlike) {
  Reservoir reservoir(2, 10, 3);
  EXPECT_EQ(esp_replay_draw(reservoir.words.data()), -1);
  for (std::uint32_t i = 0; i < 10; ++i) reservoir.offer(static_cast<int>(i % 2), i);
  std::vector<int> hits(10);
  for (int i = 0; i < 10000; ++i) {
    ++hits[static_cast<std::size_t>(esp_replay_draw(reservoir.words.data()))];
  }
  for (const int count : hits) EXPECT_NEAR(count, 1000, 150);
}

// Whatever was damaged of what is not a latent: what is not refused stays within the memory.
TEST(Reservoir, StaysWithinItsMemoryWhateverIsDamaged) {
  constexpr int kSamples = 6;
  constexpr std::uint32_t kGuard = 1;  // a label, so that a search beyond the end would end there
  int refused = 0;
  for (std::uint32_t seed = 0; seed < 2000; ++seed) {
    Reservoir reservoir(3, kSamples, seed);
    for (std::uint32_t i = 0; i < 20; ++i) reservoir.offer(static_cast<int>(i % 3 % 2), i);
    std::vector<std::uint32_t> words = reservoir.words;
    const std::size_t end = words.size();
    Rng rng{seed, 12};
    for (int damage = 0; damage < 3; ++damage) {
      const std::size_t at = ESP_REPLAY_FILLED + rng.below(end - ESP_REPLAY_FILLED);
      words[at] =
          static_cast<std::uint32_t>(rng.below(2) == 0 ? rng.below(8) : rng.below(1U << 31));
    }
    if (esp_replay_usable(words.data(), 3, kSamples, 4) == 0) {
      ++refused;
      continue;
    }
    words.resize(end + 4000, kGuard);
    for (int i = 0; i < 40; ++i) {
      const std::int32_t slot = esp_replay_place(words.data(), i % 3);
      if (slot == ESP_REPLAY_DAMAGED) break;
      ASSERT_GE(slot, ESP_REPLAY_NOT_KEPT);
      ASSERT_LT(slot, kSamples) << seed;
      ASSERT_LT(esp_replay_draw(words.data()), kSamples) << seed;
    }
    ASSERT_EQ(std::count(words.begin() + static_cast<std::ptrdiff_t>(end), words.end(), kGuard),
              4000);
  }
  EXPECT_GT(refused, 500);
  EXPECT_LT(refused, 1950);
}

}  // namespace
}  // namespace espalier::codegen
