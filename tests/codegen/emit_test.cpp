// Emitted C against the host engine: the same bits, in the memory that was promised.
#include "espalier/codegen/emit.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>

#include "emitted.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/train/session.hpp"
#include "testing/embedded.hpp"
#include "testing/npy.hpp"
#include "testing/published_plans.hpp"
#include "testing/quick_compiler.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::codegen {
namespace {

using compiler::StateRole;
using testing::embedded;
using testing::EmittedProgram;
using testing::run_command;
using testing::TemporaryFolder;

struct Variant {
  int accumulate = 1;
  bool stochastic = false;
  int clip = 0;
  compiler::PassSet passes = compiler::kAllPasses;
  bool blocked = false;
  bool dot_product = false;
  compiler::Element gradient = compiler::Element::kFloat32;
  std::vector<std::string> overlays{};  // instead of blocked
  bool fed = false;
};

compiler::Program compiled(const ir::Graph& graph, const plan::UpdatePlan& plan,
                           const Variant& variant) {
  compiler::CompileOptions options;
  options.passes = variant.passes;
  options.accumulate = variant.accumulate;
  options.gradient = variant.gradient;
  options.fed = variant.fed;
  Result<compiler::Program> program = compiler::compile(graph, plan, options);
  if (!program.ok()) throw std::runtime_error(program.error().message());
  return std::move(program).value();
}

std::vector<std::int8_t> random_input(const ir::Graph& graph, Rng& rng) {
  return testing::random_int8(rng,
                              static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// The first parameter that differs between engine and emitted program, if any.
std::optional<std::string> first_difference(const compiler::Program& program,
                                            const engine::Engine& engine,
                                            const EmittedProgram& emitted) {
  for (const compiler::TrainedConv& t : program.graph.trained) {
    if (t.bias && !same(engine.state(StateRole::kBias, t.op), emitted.bias(t.conv))) {
      return fmt::format("bias of conv {}", t.conv);
    }
    if (t.weights && !same(engine.state(StateRole::kWeights, t.op), emitted.weights(t.conv))) {
      return fmt::format("weights of conv {}", t.conv);
    }
    if (t.weights && program.graph.accumulate > 1 &&
        !same(engine.state(compiler::weight_sum(compiler::is_integer(program.graph)), t.op),
              emitted.weight_sums(t.conv))) {
      return fmt::format("weight sums of conv {}", t.conv);
    }
  }
  const auto floats = [](const float* data, std::size_t bytes) {
    return std::as_bytes(std::span(data, bytes / 4));
  };
  const auto weights = engine.state(StateRole::kHeadWeights, -1);
  if (!same(weights, floats(emitted.head_weights(), weights.size()))) return "head weights";
  const auto bias = engine.state(StateRole::kHeadBias, -1);
  if (!same(bias, floats(emitted.head_bias(), bias.size()))) return "head bias";
  if (!same(engine.state(), emitted.state(program.state.bytes))) return "state";
  const auto turns = engine.turn_memory();
  if (!turns.empty() &&
      !same(turns, emitted.turn_memory(static_cast<std::int64_t>(turns.size())))) {
    return "what flash holds of channels that take turns";
  }
  return std::nullopt;
}

// Behind a step, where channels take turns: the next have theirs, and again at once behind some.
void change_turn(const compiler::Program& program, engine::Engine& engine,
                 const EmittedProgram& emitted, int step) {
  if (!compiler::rotates(program.graph)) return;
  for (int turns = step % 4 == 3 ? 2 : 1; turns > 0; --turns) {
    EXPECT_EQ(emitted.next_turn(), engine.next_turn() ? 0 : -1) << "behind step " << step;
  }
}

// Trains both on the same random samples and compares everything.
void expect_same_training(const ir::Graph& graph, const plan::UpdatePlan& plan,
                          const Variant& variant, int samples, float rate,
                          const std::string& flags = "", bool calibrated = false) {
  compiler::Program program = compiled(graph, plan, variant);
  if (calibrated) engine::calibrate(program);
  EmitOptions options;
  options.stochastic = variant.stochastic;
  options.clip = variant.clip;
  options.target.overlays = variant.overlays;
  if (variant.blocked) options.target.overlays = {"blocked"};
  options.target.dot_product = variant.dot_product;
  options.seed = 77;
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name), flags);
  engine::Engine engine(program,
                        {.stochastic = variant.stochastic, .seed = 77, .clip = variant.clip});
  emitted.reset();
  emitted.set_learning_rate(rate);
  engine.set_learning_rate(rate);
  Rng rng{5, 0};
  for (int i = 0; i < samples; ++i) {
    const std::vector<std::int8_t> input = random_input(graph, rng);
    const int label = i % graph.head.classes;
    const bool head_alone = i % 4 == 1;
    const float loss =
        head_alone ? emitted.train_head(input, label) : emitted.train_step(input, label);
    std::copy(input.begin(), input.end(), engine.input());
    const float expected = head_alone ? engine.train_head(label) : engine.train_step(label);
    ASSERT_EQ(std::memcmp(&loss, &expected, sizeof loss), 0) << "sample " << i;
    if (i + 1 < samples) change_turn(program, engine, emitted, i);
  }
  EXPECT_EQ(first_difference(program, engine, emitted), std::nullopt);
  const std::vector<std::int8_t> input = random_input(graph, rng);
  std::copy(input.begin(), input.end(), engine.input());
  engine.run_forward();
  (void)emitted.forward(input);
  EXPECT_TRUE(
      same(std::as_bytes(engine.logits()), std::as_bytes(emitted.logits(graph.head.classes))));
}

Variant variant_of(int seed) {
  Variant variant;
  variant.accumulate = seed % 3 == 0 ? 3 : 1;
  variant.stochastic = seed % 2 == 0;
  variant.clip = seed % 5 < 2 ? 1 + static_cast<int>(seed % 4) : 0;
  // Kernels of every target in turn: where they use its instructions, the host has plain C for
  // them.
  const Target& target = targets()[static_cast<std::size_t>(seed) % targets().size()];
  variant.overlays = target.overlays;
  variant.dot_product = target.dot_product;
  constexpr compiler::Element kGradients[] = {compiler::Element::kFloat32, compiler::Element::kInt8,
                                              compiler::Element::kInt16};
  variant.gradient = kGradients[seed % 7 % 3];
  if (seed % 5 == 0) variant.passes = static_cast<compiler::PassSet>(seed * 7);
  return variant;
}

// Flags of a random program: in the fast tier every third one has cc and its warnings, which take
// far longer than all the rest.
const char* with_cc(int seed) { return seed % 3 == 1 ? "-O0" : ""; }

void compare_random_network(int seed) {
  const Variant variant = variant_of(seed);
  const ir::Graph graph = testing::random_network(static_cast<std::uint64_t>(seed) + 1000);
  Rng rng{static_cast<std::uint64_t>(seed), 4};
  plan::UpdatePlan plan = testing::random_plan(graph, rng);
  if (seed % 2 == 1 || seed % 3 == 0) plan = testing::with_random_turns(plan, graph, rng);
  SCOPED_TRACE(fmt::format("seed {}", seed));
  expect_same_training(graph, plan, variant, 5, 10.0F, with_cc(seed), seed % 11 < 5);
}

TEST(Emit, RandomNetworksTrainAsTheEngineDoes) {
  for (int seed = 0; seed < static_cast<int>(targets().size()); ++seed)
    compare_random_network(seed);
}

// Maps tall enough to run row by row, the input resident or by rows.
void compare_random_tower(int seed) {
  Variant variant = variant_of(seed);
  variant.passes = compiler::kAllPasses;
  variant.fed = seed % 2 == 0;
  const ir::Graph graph = testing::random_tower(static_cast<std::uint64_t>(seed) + 5000);
  Rng rng{static_cast<std::uint64_t>(seed), 4};
  plan::UpdatePlan plan = seed % 3 == 0 ? plan::head_only(graph) : testing::random_plan(graph, rng);
  if (seed % 4 < 3) plan = testing::with_random_turns(plan, graph, rng);
  compiler::CompileOptions options;
  options.fed = true;
  if (!compiler::compile(graph, plan, options).ok()) variant.fed = false;
  SCOPED_TRACE(fmt::format("tower {}", seed));
  expect_same_training(graph, plan, variant, 3, 5.0F, with_cc(seed));
}

TEST(Emit, RandomTowersTrainAsTheEngineDoes) {
  for (int seed = 0; seed < 3; ++seed) compare_random_tower(seed);
}

#ifdef ESPALIER_SLOW_TESTS
TEST(EmitSlow, ManyRandomTowersTrainAsTheEngineDoes) {
  for (int seed = 3; seed < 600 && !::testing::Test::HasFailure(); ++seed) {
    compare_random_tower(seed);
  }
}

TEST(EmitSlow, TwoThousandRandomNetworksTrainAsTheEngineDoes) {
  for (int seed = 0; seed < 2000 && !::testing::Test::HasFailure(); ++seed) {
    compare_random_network(seed);
  }
}
#endif

TEST(Emit, EmbeddedDefaultTrainsAsTheEngineDoes) {
  const ir::Graph graph = embedded();
  expect_same_training(graph, plan::head_only(graph), {}, 5, 0.5F);
  const char* optimised = "-O1";
  const char* quick = "";
#ifdef ESPALIER_SLOW_TESTS
  optimised = quick = "-O2";
  Rng rng{8, 0};
  expect_same_training(graph, testing::random_plan(graph, rng), {2, true}, 200, 0.5F, "-O3");
#endif
  expect_same_training(graph, plan::full(graph), {}, 20, 0.5F, optimised);
  Variant integer;
  integer.gradient = compiler::Element::kInt8;
  integer.stochastic = true;
  expect_same_training(graph, plan::full(graph), integer, 10, 0.5F, quick, true);
}

// The engine runs the plain kernels; the blocked ones must give the same bits, here in every kind
// of plan and with the sanitizers looking on at what they read.
TEST(Emit, BlockedKernelsTrainAsPlainOnesDo) {
  const ir::Graph graph = embedded();
  Rng rng{9, 0};
  Variant blocked;
  blocked.blocked = true;
#ifdef ESPALIER_SLOW_TESTS
  expect_same_training(graph, plan::full(graph), blocked, 10, 0.5F, "-O2");
#else
  expect_same_training(graph, plan::full(graph), blocked, 5, 0.5F);  // optimised: codegen_kernels
#endif
  blocked.dot_product = true;
  expect_same_training(graph, testing::random_plan(graph, rng), blocked, 10, 0.5F);
}

#ifdef ESPALIER_SLOW_TESTS
ir::Graph load(const std::filesystem::path& path, int classes) {
  Result<ir::Graph> graph = import_model(path);
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  graph->head = train::fresh_head(graph->head.features, classes, 3);
  return std::move(graph).value();
}

plan::UpdatePlan published_100k(const ir::Graph& graph) {
  return *plan::from_published(graph, testing::published_plan("mcunet-5fps"));
}

TEST(EmitSlow, PublishedPlanOfMcunetTrainsAsTheEngineDoes) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  const ir::Graph graph = load(shared / "models/mcunet-5fps.onnx", 10);
  expect_same_training(graph, published_100k(graph), {}, 200, 0.1F, "-O3 -march=native");
}

TEST(EmitSlow, RandomPlansOfThePublishedNetworksTrainAsTheEngineDoes) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  for (const char* name : {"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"}) {
    const ir::Graph graph = load(shared / "models" / (std::string(name) + ".onnx"), 10);
    for (int i = 0; i < 100 && !::testing::Test::HasFailure(); ++i) {
      Rng rng{static_cast<std::uint64_t>(i), 6};
      SCOPED_TRACE(fmt::format("{} plan {}", name, i));
      expect_same_training(graph, testing::random_plan(graph, rng), variant_of(i), 2, 0.1F);
    }
  }
}
#endif

// ---- Saving and refusing -----------------------------------------------------------------------

struct Both {
  Both(const ir::Graph& network, const plan::UpdatePlan& plan, const Variant& variant)
      : graph(network),
        program(compiled(network, plan, variant)),
        engine(program, {variant.stochastic, 77, 40.0F}),
        emitted(emit(program, plan, options(variant)), identifier(graph.name)) {
    emitted.reset();
  }
  static EmitOptions options(const Variant& variant) {
    EmitOptions options;
    options.stochastic = variant.stochastic;
    options.seed = 77;
    options.learning_rate = 40.0F;
    return options;
  }
  // Trains on the samples [from, to) of one sequence.
  void train(int from, int to) {
    for (int i = from; i < to; ++i) {
      Rng rng{21, static_cast<std::uint64_t>(i)};
      const std::vector<std::int8_t> input = random_input(graph, rng);
      std::copy(input.begin(), input.end(), engine.input());
      const int label = i % graph.head.classes;
      ASSERT_EQ(engine.train_step(label), emitted.train_step(input, label)) << "sample " << i;
    }
  }
  [[nodiscard]] std::vector<std::byte> state() const {
    const std::span<const std::byte> block = emitted.state(program.state.bytes);
    EXPECT_TRUE(same(block, engine.state()));
    return {block.begin(), block.end()};
  }
  void restore(const std::vector<std::byte>& block) {
    engine.reset();
    EXPECT_TRUE(engine.restore(block));
    emitted.reset();
    std::copy(block.begin(), block.end(), emitted.state(program.state.bytes).begin());
  }
  const ir::Graph& graph;
  compiler::Program program;
  engine::Engine engine;
  EmittedProgram emitted;
};

// A break in the middle of training, also with gradients waiting to be applied, changes no bit.
TEST(State, SavedAndRestoredTrainsOnAsIfWithoutABreak) {
  const ir::Graph graph = testing::small_network(5);
  for (const int accumulate : {1, 3}) {
    for (const bool stochastic : {false, true}) {
      Rng rng{3, 1};
      Both both(graph, testing::random_plan(graph, rng), {accumulate, stochastic});
      SCOPED_TRACE(fmt::format("accumulate {} stochastic {}", accumulate, stochastic));
      const std::vector<std::byte> start = both.state();
      both.train(0, 40);
      const std::vector<std::byte> expected = both.state();
      both.restore(start);
      both.train(0, 20);
      const std::vector<std::byte> saved = both.state();
      both.train(20, 23);  // is lost
      both.restore(saved);
      both.train(20, 40);
      EXPECT_EQ(both.state(), expected);
      both.restore(saved);
      EXPECT_NE(both.state(), expected);
      EXPECT_FALSE(both.engine.restore(std::span(saved).first(saved.size() - 4)));
    }
  }
}

// What is saved is the state behind a header; what is none of it changes nothing.
TEST(State, LoadsWhatWasSavedAndNothingElse) {
  const ir::Graph graph = testing::small_network(5);
  Both both(graph, plan::full(graph), {3, true});
  const std::int64_t bytes = 24 + both.program.state.bytes;
  both.train(0, 4);
  const std::vector<std::byte> state = both.state();
  const std::vector<std::byte> saved = both.emitted.save(bytes);
  EXPECT_TRUE(std::equal(state.begin(), state.end(), saved.begin() + 24));
  const auto crc = [&](std::size_t from, std::size_t count, uLong before) {
    return crc32(before, reinterpret_cast<const Bytef*>(saved.data() + from),
                 static_cast<uInt>(count));
  };
  std::uint32_t checksum = 0;
  std::memcpy(&checksum, saved.data() + 20, 4);
  EXPECT_EQ(checksum, crc(24, state.size(), crc(0, 20, 0)));

  both.train(4, 6);
  const std::vector<std::byte> later = both.state();
  Rng rng{8, 8};
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<std::byte> damaged = saved;
    const std::size_t at = trial < 24 ? static_cast<std::size_t>(trial)
                                      : static_cast<std::size_t>(rng.below(damaged.size()));
    damaged[at] ^= std::byte{static_cast<unsigned char>(1U << rng.below(8))};
    EXPECT_EQ(both.emitted.load(damaged), at < 20 ? -1 : -2) << at;
    ASSERT_EQ(both.state(), later) << at;
  }
  EXPECT_EQ(both.emitted.load(saved), 0);
  EXPECT_TRUE(both.engine.restore(state));
  EXPECT_EQ(both.state(), state);
  both.train(4, 6);
  EXPECT_EQ(both.state(), later);

  const plan::UpdatePlan other = *plan::bias_only(graph, 2);
  const Both stranger(graph, other, {3, true});
  EXPECT_EQ(both.emitted.load(stranger.emitted.save(bytes)), -1);
  EXPECT_EQ(both.state(), later);
}

TEST(State, ALoadServesInsteadOfReset) {
  const ir::Graph graph = testing::small_network(6);
  for (const int accumulate : {1, 2}) {
    Both first(graph, plan::full(graph), {accumulate, true});
    first.train(0, 3);
    const std::int64_t bytes = 24 + first.program.state.bytes;
    const std::vector<std::byte> saved = first.emitted.save(bytes);
    first.train(3, 6);
    const EmittedProgram fresh(
        emit(first.program, plan::full(graph), Both::options({accumulate, true})),
        identifier(graph.name));
    Rng rng{21, 3};
    const std::vector<std::int8_t> input = random_input(graph, rng);
    EXPECT_EQ(fresh.forward(input), -1);
    EXPECT_EQ(fresh.train_step(input, 0), -1.0F);
    // Nothing could go on from what is saved before reset, so that firmware resets.
    EXPECT_EQ(fresh.load(fresh.save(bytes)), -2);
    ASSERT_EQ(fresh.load(saved), 0);
    for (int i = 3; i < 6; ++i) {
      Rng sample{21, static_cast<std::uint64_t>(i)};
      EXPECT_GE(fresh.train_step(random_input(graph, sample), i % graph.head.classes), 0);
    }
    EXPECT_EQ(fresh.save(bytes), first.emitted.save(bytes));
  }
}

// Two programs that take turns in one arena compute what each computes in its own.
TEST(Arena, IsSharedByPrograms) {
  const ir::Graph graph = testing::small_network(5);
  const plan::UpdatePlan plans[] = {plan::full(graph), *plan::bias_only(graph, 2)};
  std::vector<std::unique_ptr<Both>> own;
  std::vector<std::unique_ptr<EmittedProgram>> sharing;
  std::int64_t largest = 0;
  for (const plan::UpdatePlan& plan : plans) {
    own.push_back(std::make_unique<Both>(graph, plan, Variant{1, true}));
    EmitOptions options = Both::options({1, true});
    options.extern_arena = true;
    sharing.push_back(std::make_unique<EmittedProgram>(emit(own.back()->program, plan, options),
                                                       identifier(graph.name)));
    largest = std::max(largest, own.back()->program.arena_bytes().count);
  }
  std::vector<float> arena(static_cast<std::size_t>(largest / 4));
  for (std::size_t i = 0; i < 2; ++i) {
    const EmittedProgram& program = *sharing[i];
    const auto bytes = static_cast<std::uint32_t>(own[i]->program.arena_bytes().count);
    Rng rng{2, i};
    const std::vector<std::int8_t> input = random_input(graph, rng);
    EXPECT_EQ(program.input(), nullptr);
    program.reset();
    EXPECT_EQ(program.input(), nullptr);
    EXPECT_EQ(program.set_learning_rate(1.0F), -1);
    EXPECT_EQ(program.train_step(input, 0), -1.0F);
    EXPECT_EQ(program.use_arena(nullptr, bytes), -1);
    EXPECT_EQ(program.use_arena(arena.data(), bytes - 1), -1);
    EXPECT_EQ(program.use_arena(reinterpret_cast<char*>(arena.data()) + 1, bytes), -1);
    EXPECT_EQ(program.train_step(input, 0), -1.0F);
    EXPECT_EQ(program.use_arena(arena.data(), bytes), 0);
    EXPECT_NE(program.input(), nullptr);
    EXPECT_EQ(program.forward(input), -1);  // before reset
    program.reset();
  }
  for (int step = 0; step < 12; ++step) {
    const std::size_t i = static_cast<std::size_t>(step * step % 5 % 2);
    Rng rng{3, static_cast<std::uint64_t>(step)};
    const std::vector<std::int8_t> input = random_input(graph, rng);
    EXPECT_EQ(sharing[i]->train_step(input, step % 2), own[i]->emitted.train_step(input, step % 2));
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t bytes = own[i]->program.state.bytes;
    EXPECT_TRUE(same(sharing[i]->state(bytes), own[i]->emitted.state(bytes))) << i;
  }
}

TEST(State, ResetIsWhereTrainingStarts) {
  const ir::Graph graph = testing::small_network(6);
  Both both(graph, plan::full(graph), {2, true});
  const std::vector<std::byte> start = both.state();
  both.train(0, 5);
  EXPECT_NE(both.state(), start);
  both.emitted.reset();
  both.engine.reset();
  EXPECT_EQ(both.state(), start);
}

TEST(Refused, LabelsAndRatesThatAreNoneChangeNothing) {
  const ir::Graph graph = testing::small_network(7);
  for (const int accumulate : {1, 2}) {
    Both both(graph, plan::full(graph), {accumulate, true});
    both.train(0, 3);
    const std::vector<std::byte> before = both.state();
    Rng rng{1, 1};
    const std::vector<std::int8_t> input = random_input(graph, rng);
    for (const int label : {-1, graph.head.classes, INT32_MIN, INT32_MAX}) {
      EXPECT_EQ(both.emitted.train_step(input, label), -1.0F) << label;
      EXPECT_EQ(both.engine.train_step(label), engine::kRefused) << label;
      EXPECT_EQ(both.engine.run_backward(label), engine::kRefused) << label;
      EXPECT_EQ(both.state(), before) << label;
    }
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const float rate : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, -1.0F,
                             -std::numeric_limits<float>::denorm_min()}) {
      EXPECT_EQ(both.emitted.set_learning_rate(rate), -1) << rate;
      EXPECT_FALSE(both.engine.set_learning_rate(rate)) << rate;
      EXPECT_EQ(both.state(), before) << rate;
    }
    for (const float rate : {0.0F, 0.5F, std::numeric_limits<float>::max()}) {
      EXPECT_EQ(both.emitted.set_learning_rate(rate), 0) << rate;
      EXPECT_TRUE(both.engine.set_learning_rate(rate)) << rate;
      EXPECT_NE(both.state(), before) << rate;
    }
  }
}

// Integer numerics would take the sign for a part of the exponent.
TEST(Refused, ARateOfMinusZeroIsZero) {
  const ir::Graph graph = testing::small_network(7);
  Both both(graph, plan::full(graph), {1, true});
  const auto state_at = [&](float rate) {
    EXPECT_EQ(both.emitted.set_learning_rate(rate), 0);
    EXPECT_TRUE(both.engine.set_learning_rate(rate));
    return both.state();
  };
  EXPECT_EQ(state_at(-0.0F), state_at(0.0F));
}

// Reset sets the rate of the plan, so that none before it would hold.
TEST(Refused, RatesBeforeResetChangeNothing) {
  const ir::Graph graph = testing::small_network(7);
  const plan::UpdatePlan plan = *plan::bias_only(graph, 1);
  const compiler::Program program = compiled(graph, plan, {});
  EmitOptions options;
  options.learning_rate = 40.0F;
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name));
  EXPECT_EQ(emitted.set_learning_rate(0.5F), -1);
  EXPECT_TRUE(std::ranges::all_of(emitted.state(program.state.bytes),
                                  [](std::byte b) { return b == std::byte{0}; }));
  emitted.reset();
  const auto rate = [&] {
    float value = 0;
    std::memcpy(&value, emitted.state(program.state.bytes).data(), sizeof value);
    return value * 256.0F;
  };
  EXPECT_EQ(rate(), 40.0F);
  EXPECT_EQ(emitted.set_learning_rate(0.5F), 0);
  EXPECT_EQ(rate(), 0.5F);
}

// ---- Promised sizes ----------------------------------------------------------------------------

// Section sizes of an object, by `size -A`.
std::map<std::string, std::int64_t> sections(const std::filesystem::path& object) {
  std::string output;
  if (run_command("size -A " + object.string(), output) != 0) throw std::runtime_error(output);
  std::map<std::string, std::int64_t> sizes;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name;
    std::int64_t size = 0;
    if (fields >> name >> size) sizes[name] += size;
  }
  return sizes;
}

void expect_promised_sizes(const ir::Graph& graph, const plan::UpdatePlan& plan,
                           const Variant& variant) {
  const compiler::Program program = compiled(graph, plan, variant);
  const std::string name = identifier(graph.name);
  const TemporaryFolder folder;
  const std::filesystem::path sources = folder.path() / "c";
  ASSERT_TRUE(write_folder(sources, emit(program, plan, {}), false).ok());
  std::string output;
  // Data, whose size does not depend on how code is optimised.
  ASSERT_EQ(run_command(fmt::format("make -C {} CFLAGS='-std=c99 {}' TARGET_FLAGS=-fno-pie",
                                    sources.string(), testing::kFewForms),
                        output),
            0)
      << output;
  auto code = sections(sources / (name + ".o"));
  EXPECT_EQ(code[".bss"], program.sram_bytes().count);
  EXPECT_EQ(code[".data"], 0);
  auto constants = sections(sources / (name + "_params.o"));
  const FlashLayout layout = flash_layout(program);
  EXPECT_EQ(constants[".rodata"], layout.turns_offset);
  EXPECT_EQ(constants[".espalier_turns"], layout.turn_bytes());
  EXPECT_EQ(constants[".bss"] + constants[".data"] + constants[".text"], 0);
  // And the header says so.
  const std::string header = *read_file(sources / (name + ".h"));
  EXPECT_THAT(header, ::testing::ContainsRegex(
                          fmt::format("_SRAM_BYTES +{} ", program.sram_bytes().count)));
  EXPECT_THAT(header, ::testing::ContainsRegex(
                          fmt::format("_PARAMETER_BYTES +{} ", flash_layout(program).bytes)));
}

// Frames of the functions that call the kernels, from the Makefile's own build for RISC-V.
std::map<std::string, int> caller_frames(const ir::Graph& graph) {
  const plan::UpdatePlan plan = plan::full(graph);
  const compiler::Program program = compiled(graph, plan, {});
  EmitOptions options;
  options.target = target_named("rv32imf");
#ifndef ESPALIER_SLOW_TESTS
  options.target.overlays.clear();  // which take long to compile, and are not inlined either
#endif
  const TemporaryFolder folder;
  const std::filesystem::path sources = folder.path() / "c";
  EXPECT_TRUE(write_folder(sources, emit(program, plan, options), false).ok());
  std::string output;
  const std::string make = "make CFLAGS='-O2 -fstack-usage' -C " + sources.string();
  EXPECT_EQ(run_command(make, output), 0) << output;
  std::map<std::string, int> frames;
  std::istringstream lines(*read_file(sources / (identifier(graph.name) + ".su")));
  for (std::string where; lines >> where;) {
    int bytes = 0;
    std::string kind;
    lines >> bytes >> kind;
    const std::string function = where.substr(where.rfind(':') + 1);
    if (function.find("_own_run_") != std::string::npos) frames[function] = bytes;
  }
  return frames;
}

// Descriptors of one node are gone before those of the next, and no kernel is inlined: the stack
// does not grow with the network.
TEST(Emit, CallersOfKernelsNeedLittleStack) {
#ifdef ESPALIER_SLOW_TESTS
  const std::map<std::string, int> frames = caller_frames(embedded());
#else
  const std::map<std::string, int> frames = caller_frames(testing::small_network(3));
#endif
  ASSERT_EQ(frames.size(), 2U);
  for (const auto& [function, bytes] : frames) EXPECT_LE(bytes, 128) << function;
}

TEST(Emit, SectionsHaveThePromisedSizes) {
  const ir::Graph graph = embedded();
  expect_promised_sizes(graph, plan::full(graph), {});
  expect_promised_sizes(graph, plan::head_only(graph), {4});
  for (int seed = 0; seed < 3; ++seed) {
    const ir::Graph random = testing::random_network(static_cast<std::uint64_t>(seed));
    Rng rng{static_cast<std::uint64_t>(seed), 9};
    const plan::UpdatePlan plan = testing::random_plan(random, rng);
    expect_promised_sizes(random, plan, variant_of(seed));
    if (seed > 0) continue;
    plan::UpdatePlan turning = *plan::bias_only(graph, 4);
    turning.weights = {plan::make_weight_update(graph, 14, 0.5)};
    plan::add_rotation(turning, graph);
    expect_promised_sizes(graph, turning, variant_of(seed));
  }
}

// ---- Sanitizers --------------------------------------------------------------------------------

// A program of the emitted C alone that trains on seeded samples, built with sanitizers.
void expect_clean_under_sanitizers(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                   int samples, const Variant& variant,
                                   const std::string& sanitizers = "address,undefined",
                                   const std::string& compiler = "cc") {
  EmitOptions options;
  options.target.overlays = variant.overlays;
  if (variant.blocked) options.target.overlays = {"blocked"};
  const compiler::Program program = compiled(graph, plan, variant);
  const std::string name = identifier(graph.name);
  const TemporaryFolder folder;
  const std::filesystem::path sources = folder.path() / "c";
  ASSERT_TRUE(write_folder(sources, emit(program, plan, options), false).ok());
  std::ofstream(sources / "main.c")
      << fmt::format(R"(#include <stdio.h>
#include "{0}.h"
int main(void) {{
  static int8_t input[{1}];
  uint32_t random = 1;
  int sample, i;
  {0}_reset();
  for (sample = 0; sample < {2}; ++sample) {{
    for (i = 0; i < {1}; ++i) {{
      random = random * 1664525u + 1013904223u;
      input[i] = (int8_t)((int)(random >> 24) - 128);
    }}
    printf("%08.5f\n", (double){0}_train_step(input, sample % {3}));
  }}
  return 0;
}}
)",
                     name, graph.tensor(graph.input).shape.elements(), samples, graph.head.classes);
  std::string output;
  ASSERT_EQ(
      run_command(fmt::format("cd {0} && {4} -O0 -std=c99 -ffp-contract=off {3} "
                              "-fsanitize={2} -fno-sanitize-recover=all "
                              "main.c {1}.c {1}_params.c -o main && ./main",
                              sources.string(), name, sanitizers, testing::kFewForms, compiler),
                  output),
      0)
      << output;
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), samples) << output;
}

// The plain kernels are those of the engine, which the sanitized build of the tests runs, as it
// does the blocked ones on single layers.
TEST(Emit, IsCleanUnderSanitizers) {
  const ir::Graph small = testing::small_network(3);
  expect_clean_under_sanitizers(small, plan::full(small), 2, {.blocked = true}, "address");
#ifdef ESPALIER_SLOW_TESTS
  const ir::Graph graph = embedded();
  expect_clean_under_sanitizers(graph, plan::full(graph), 2, {.blocked = true});
  expect_clean_under_sanitizers(graph, plan::full(graph), 2, {});
#endif
}

#ifdef ESPALIER_SLOW_TESTS
// Clang's sanitizer looks at offsets of null pointers and at addresses outside of arrays, too.
TEST(EmitSlow, IsCleanUnderClangsSanitizers) {
  if (std::system("command -v clang >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "needs clang; tools/setup.sh --slow installs it";
  }
  const ir::Graph graph = embedded();
  for (const compiler::Element gradient : {compiler::Element::kFloat32, compiler::Element::kInt8}) {
    for (const std::vector<std::string>& overlays :
         std::vector<std::vector<std::string>>{{}, {"blocked"}, {"blocked", "armdsp"}}) {
      expect_clean_under_sanitizers(graph, plan::full(graph), 1,
                                    {.gradient = gradient, .overlays = overlays}, "undefined",
                                    "clang");
    }
  }
}
#endif

// Sums of integer gradients stay at the ends of what 32 bits hold, where a sign has no opposite.
TEST(Emit, SumsAtTheirLimitsAreApplied) {
  const ir::Graph graph = testing::small_network(3);
  const plan::UpdatePlan plan = plan::full(graph);
  Variant variant{2, true};
  variant.gradient = compiler::Element::kInt8;
  const compiler::Program program = compiled(graph, plan, variant);
  EmitOptions options;
  options.stochastic = true;
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name),
                               "-O0 -fsanitize=undefined -fno-sanitize-recover");
  engine::Engine engine(program, {true, options.seed, options.learning_rate});
  emitted.reset();
  Rng rng{6, 0};
  for (int i = 0; i < 4; ++i) {
    if (i % 2 == 1) {
      for (const compiler::TrainedConv& t : program.graph.trained) {
        for (const StateRole role : {StateRole::kIntegerWeightSum, StateRole::kIntegerBiasSum}) {
          const std::span<std::byte> sums = engine.item(role, t.op);
          std::vector<std::int32_t> limits(sums.size() / 4, i == 1 ? INT32_MIN : INT32_MAX);
          std::memcpy(sums.data(), limits.data(), sums.size());
        }
      }
      const auto state = engine.state();
      std::copy(state.begin(), state.end(), emitted.state(program.state.bytes).begin());
    }
    const std::vector<std::int8_t> input = random_input(graph, rng);
    std::copy(input.begin(), input.end(), engine.input());
    EXPECT_EQ(emitted.train_step(input, i % 2), engine.train_step(i % 2));
    EXPECT_EQ(first_difference(program, engine, emitted), std::nullopt);
  }
}

#ifdef ESPALIER_SLOW_TESTS
TEST(EmitSlow, McunetIsCleanUnderSanitizers) {
  ESPALIER_SHARED_DATA_OR_SKIP(shared);
  const ir::Graph graph = load(shared / "models/mcunet-5fps.onnx", 10);
  expect_clean_under_sanitizers(graph, published_100k(graph), 2, {.blocked = true});
}
#endif

// ---- The folder --------------------------------------------------------------------------------

TEST(Emit, IsDeterministicAndNamesThePlan) {
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::full(graph);
  const compiler::Program program = compiled(graph, plan, {});
  const auto files = emit(program, plan, {});
  EXPECT_EQ(files, emit(program, plan, {}));
  const std::string hash = sha256_hex(files.at("plan.json")).substr(0, 16);
  for (const char* name : {"random.c", "random.h", "random_params.c", "random_kernels.h"}) {
    EXPECT_THAT(files.at(name), ::testing::HasSubstr(hash)) << name;
  }
}

// One file of another program among those of this one does not build, whichever it is.
TEST(Emit, FilesOfDifferentProgramsDoNotMix) {
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::full(graph);
  const auto files = emit(compiled(graph, plan, {}), plan, {});
  const auto build = [](const std::map<std::string, std::string>& mixture) {
    const TemporaryFolder folder;
    const std::filesystem::path sources = folder.path() / "c";
    EXPECT_TRUE(write_folder(sources, mixture, false).ok());
    std::string output;
    const int code = run_command("cd " + sources.string() +
                                     " && cc -std=c99 -E random.c -o /dev/null"
                                     " && cc -std=c99 -E random_params.c -o /dev/null",
                                 output);
    return code == 0 ? "" : output;
  };
  EXPECT_EQ(build(files), "");
  const plan::UpdatePlan fewer = *plan::bias_only(graph, 2);
  EmitOptions blocked;
  blocked.target.overlays = {"blocked"};
  EmitOptions other_seed;
  other_seed.seed = 1;
  const std::map<std::string, std::string> others[] = {
      emit(compiled(graph, fewer, {}), fewer, {}), emit(compiled(graph, plan, {2}), plan, {}),
      emit(compiled(graph, plan, {}), plan, blocked),
      emit(compiled(graph, plan, {}), plan, other_seed)};
  for (const auto& other : others) {
    for (const auto& [name, text] : files) {
      if (name.rfind("random", 0) != 0) continue;
      std::map<std::string, std::string> mixture = files;
      mixture[name] = other.at(name);
      EXPECT_THAT(build(mixture), ::testing::HasSubstr("come from different programs")) << name;
    }
  }
  const Json json = Json::parse(files.at("program.json"));
  const std::string header = files.at("random.h");
  EXPECT_THAT(header, ::testing::HasSubstr("RANDOM_PROGRAM_HASH 0x" +
                                           json["program_hash"].get<std::string>() + "ull"));
  EXPECT_THAT(header,
              ::testing::HasSubstr("RANDOM_PLAN_HASH 0x" +
                                   json["plan_sha256"].get<std::string>().substr(0, 16) + "ull"));
}

std::string section(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t begin = text.find(from);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find(to, begin) - begin);
}

TEST(Emit, ReadmeSaysWhatLearnsAndHowToKeepIt) {
  const ir::Graph graph = testing::small_network(1);
  const int convs = static_cast<int>(ir::conv_ops(graph).size());
  plan::UpdatePlan plan = *plan::bias_only(graph, 3);
  plan.weights.push_back(plan::make_weight_update(graph, convs - 2, 0.5));
  for (const int accumulate : {1, 8}) {
    const compiler::Program program = compiled(graph, plan, {accumulate});
    const std::string readme = emit(program, plan, {}).at("README.md");
    const ir::Conv2D& sliced = ir::conv(graph, ir::conv_ops(graph)[convs - 2]);
    const std::string table = fmt::format(
        "## What learns\n\nThe classifier, and\n\n| conv | bias | weights |\n|---|---|---|\n"
        "| {} | yes | - |\n| {} | yes | {} of {} input channels |\n| {} | yes | - |\n",
        convs - 3, convs - 2, plan.weights[0].channels.size(), sliced.in_channels, convs - 1);
    EXPECT_EQ(section(readme, "## What learns", "\n\n\n"), table);
    EXPECT_THAT(readme,
                ::testing::HasSubstr(accumulate == 1 ? "in place, after every sample. "
                                                     : "in place, after every 8 samples. "));
    const std::string saving = section(readme, "## Saving", "## What learns");
    EXPECT_THAT(saving, ::testing::HasSubstr(
                            fmt::format("random_save(saved);  /* RANDOM_SAVED_BYTES: {} bytes */",
                                        24 + program.state.bytes)));
    EXPECT_THAT(saving, ::testing::HasSubstr("if (random_load(saved) != 0) random_reset();"));
    EXPECT_THAT(readme, ::testing::HasSubstr(fmt::format("| {} |\n| Flash", program.state.bytes)));
    EXPECT_THAT(readme, ::testing::Not(::testing::ContainsRegex("[{}]")));
  }
  const std::string head =
      emit(compiled(graph, plan::head_only(graph), {}), plan, {}).at("README.md");
  EXPECT_THAT(head, ::testing::EndsWith("|---|---|---|\n| - | - | - |\n"));
}

// Firmware comes in other dialects than C99; flags that change results are refused.
TEST(Emit, BuildsInEveryDialect) {
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::full(graph);
  const TemporaryFolder folder;
  const std::filesystem::path sources = folder.path() / "c";
  ASSERT_TRUE(write_folder(sources, emit(compiled(graph, plan, {2, true}), plan, {}), false).ok());
  std::ofstream(sources / "main.cpp") << "#include \"random.h\"\n"
                                         "int main() { random_reset(); return 0; }\n";
  const auto run = [&](const std::string& command) {
    std::string output;
    const int code = run_command("cd " + sources.string() + " && " + command, output);
    return std::pair{code, output};
  };
  const std::string strict = " -Wall -Wextra -Werror ";
  for (const char* dialect : {"-c -std=c99", "-fsyntax-only -std=gnu99", "-fsyntax-only -std=gnu11",
                              "-fsyntax-only -std=c17"}) {
    const auto [code, output] =
        run(std::string("cc ") + dialect + strict + "random.c random_params.c");
    EXPECT_EQ(code, 0) << dialect << ": " << output;
  }
  const auto [code, output] =
      run("c++ -std=c++11" + strict + "main.cpp random.o random_params.o -o main && ./main");
  EXPECT_EQ(code, 0) << output;
  const auto [fast, said] = run("cc -c -ffast-math random.c");
  EXPECT_NE(fast, 0);
  EXPECT_THAT(said, ::testing::HasSubstr("build without -ffast-math"));
}

// Firmware has warnings of its own, as errors.
TEST(Emit, NoTargetsKernelsShadowNames) {
  const ir::Graph graph = testing::small_network(5);
  const plan::UpdatePlan plan = plan::full(graph);
  const TemporaryFolder folder;
  for (const Target& target : targets()) {
    EmitOptions options;
    options.target = target;
    ASSERT_TRUE(write_folder(folder.path() / "c",
                             emit(compiled(graph, plan, {1, true}), plan, options), true)
                    .ok());
    std::string output;
    EXPECT_EQ(run_command("cd " + (folder.path() / "c").string() +
                              " && cc -std=c99 -fsyntax-only -Wall -Wextra -Wshadow -Werror " +
                              graph.name + ".c",
                          output),
              0)
        << target.name << ": " << output;
  }
}

TEST(Emit, HoldsOnlyTheKernelsInUse) {
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::head_only(graph);
  const auto files = emit(compiled(graph, plan, {}), plan, {});
  const std::string& kernels = files.at("random_kernels.h");
  EXPECT_THAT(kernels, ::testing::HasSubstr("esp_head_update("));
  EXPECT_THAT(kernels, ::testing::Not(::testing::HasSubstr("esp_weight_gradient(")));
  EXPECT_THAT(kernels, ::testing::Not(::testing::HasSubstr("esp_input_gradient(")));
}

TEST(Emit, BlockedKernelsAreTheBlockedOnes) {
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::full(graph);
  const compiler::Program program = compiled(graph, plan, {});
  EmitOptions options;
  options.target.overlays = {"blocked"};
  const std::string blocked = emit(program, plan, options).at("random_kernels.h");
  EXPECT_THAT(blocked, ::testing::HasSubstr("esp_matrix_product("));
  EXPECT_THAT(emit(program, plan, {}).at("random_kernels.h"),
              ::testing::Not(::testing::HasSubstr("esp_matrix_product(")));
}

TEST(Emit, KernelsHoldNothingOfOtherForms) {
  using ::testing::HasSubstr;
  using ::testing::Not;
  const ir::Graph graph = testing::small_network(1);
  const plan::UpdatePlan plan = plan::full(graph);
  const compiler::Program program = compiled(graph, plan, {});
  const auto kernels = [&](bool blocked, bool dot_product) {
    EmitOptions options;
    if (blocked) options.target.overlays = {"blocked"};
    options.target.dot_product = dot_product;
    return emit(program, plan, options).at("random_kernels.h");
  };
  const std::string plain = kernels(false, false);
  const std::string blocked = kernels(true, false);
  const std::string dot_product = kernels(true, true);
  for (const std::string& text : {plain, blocked, dot_product}) {
    EXPECT_THAT(text, Not(HasSubstr("ESP_DOT4")));
  }
  for (const char* macro : {"ESP_FRESH", "ESP_HERE", "ESP_DONE", "ESP_TOGETHER", "ESP_ROLLED",
                            "ESP_RARELY", "ESP_INLINE", "ESP_PLANE_SLACK", "__GNUC__"}) {
    EXPECT_THAT(plain, Not(HasSubstr(macro)));
    EXPECT_THAT(blocked, HasSubstr(macro));
  }
  EXPECT_THAT(blocked, Not(HasSubstr(".insn")));
  EXPECT_THAT(dot_product, HasSubstr(".insn"));
}

}  // namespace
}  // namespace espalier::codegen
