// The host forms of the kernels against the C that is emitted, node by node and to the bit: on
// random networks, plans and numerics, in every variant of the vector kernels that this machine
// runs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/host/kernels.hpp"
#include "engine/host/loops.hpp"
#include "espalier/compiler/narrow.hpp"
#include "espalier/engine/calibrate.hpp"
#include "espalier/engine/engine.hpp"
#include "espalier/kernels/simd.hpp"
#include "testing/kernel_choice.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::engine {
namespace {

// The bytes of a value; of a mask of bits those that count, the others being what lay there before.
std::vector<std::uint8_t> bytes_of(Engine& engine, const compiler::Program& program,
                                   compiler::ValueId id) {
  const compiler::Value& value = program.graph.value(id);
  const auto* from = reinterpret_cast<const std::uint8_t*>(engine.activation(id));
  std::vector<std::uint8_t> bytes(from, from + value.bytes());
  if (value.element == compiler::Element::kBitMask && value.elements % 8 != 0) {
    bytes.back() &= static_cast<std::uint8_t>((1 << value.elements % 8) - 1);
  }
  return bytes;
}

struct Pair {
  Pair(const compiler::Program& compiled, EngineOptions options)
      : program(compiled), host(compiled, options), plain(compiled, plainly(options)) {}

  static EngineOptions plainly(EngineOptions options) {
    options.plain_kernels = true;
    return options;
  }

  void place(const std::vector<std::int8_t>& input) {
    for (Engine* engine : {&host, &plain}) {
      std::copy(input.begin(), input.end(), engine->input());
    }
    std::ranges::copy(plain.arena(), host.arena().begin());
  }

  void run_node(int i) {
    const compiler::Node& node = program.graph.nodes[static_cast<std::size_t>(i)];
    SCOPED_TRACE("node " + std::to_string(i) + ", " + std::string(compiler::mnemonic(node.kind)) +
                 " of op " + std::to_string(node.op));
    host.run_node(i);
    plain.run_node(i);
    compare(node);
  }

  // A chain runs as a whole; its windows hold the last rows.
  void run_chain(const compiler::Chain& chain) {
    SCOPED_TRACE("chain of nodes " + std::to_string(chain.first) + " to " +
                 std::to_string(chain.last));
    for (Engine* engine : {&host, &plain}) engine->run_forward(chain.first, chain.last + 1);
    for (int i = chain.first; i <= chain.last; ++i) {
      ASSERT_NO_FATAL_FAILURE(compare(program.graph.nodes[static_cast<std::size_t>(i)]));
    }
  }

  void compare(const compiler::Node& node) {
    for (const compiler::ValueId id : node.outputs) {
      if (id < 0) continue;
      ASSERT_EQ(bytes_of(host, program, id), bytes_of(plain, program, id)) << "value " << id;
    }
    ASSERT_EQ(std::memcmp(host.state().data(), plain.state().data(), host.state().size()), 0);
    // Where a node leaves a part of a value to others, let both have the same there.
    std::ranges::copy(plain.arena(), host.arena().begin());
  }

  void step(const std::vector<std::int8_t>& input, int label) {
    place(input);
    for (int i = 0; i < program.graph.backward_begin; ++i) {
      const int chain = program.graph.nodes[static_cast<std::size_t>(i)].chain;
      if (chain < 0) {
        ASSERT_NO_FATAL_FAILURE(run_node(i));
        continue;
      }
      const compiler::Chain& whole = program.graph.chains[static_cast<std::size_t>(chain)];
      ASSERT_NO_FATAL_FAILURE(run_chain(whole));
      i = whole.last;
    }
    // Again as a whole, with the update.
    const std::vector<std::byte> before(host.state().begin(), host.state().end());
    for (Engine* engine : {&host, &plain}) engine->begin_backward(label);
    for (int i = program.graph.backward_begin; i < static_cast<int>(program.graph.nodes.size());
         ++i) {
      ASSERT_NO_FATAL_FAILURE(run_node(i));
    }
    place(input);
    for (Engine* engine : {&host, &plain}) {
      engine->restore(before);
      engine->train_step(label);
    }
    ASSERT_EQ(std::memcmp(host.state().data(), plain.state().data(), host.state().size()), 0);
  }

  const compiler::Program& program;
  Engine host;
  Engine plain;
};

// Random numerics and passes for a plan, in every variant.
void expect_the_same(const ir::Graph& graph, const plan::UpdatePlan& plan, std::uint64_t seed) {
  Rng rng{seed, 22};
  constexpr compiler::Element kGradients[] = {compiler::Element::kFloat32, compiler::Element::kInt8,
                                              compiler::Element::kInt8, compiler::Element::kFloat32,
                                              compiler::Element::kInt16};
  compiler::CompileOptions options;
  options.gradient = kGradients[seed % 5];
  options.accumulate = rng.chance(0.5) ? 2 : 1;
  if (rng.chance(0.4)) {
    const std::uint64_t sets = std::uint64_t{1} << compiler::passes().size();
    options.passes = static_cast<compiler::PassSet>(rng.below(sets));
  }
  Result<compiler::Program> program = compiler::compile(graph, plan, options);
  ASSERT_TRUE(program.ok()) << program.error().message();
  if (rng.chance(0.8)) calibrate(*program);  // otherwise exponents are far off
  const kernels::KernelTables all = kernels::all_kernels();
  for (int variant = 0; variant < all.count; ++variant) {
    SCOPED_TRACE(std::string(all.tables[variant]->name));
    const testing::KernelChoice choice(*all.tables[variant]);
    Pair pair(*program, {rng.chance(0.7), static_cast<std::uint32_t>(seed), 20.0F});
    for (int i = 0; i < 2; ++i) {
      const std::vector<std::int8_t> input = testing::random_int8(
          rng, static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
      const auto classes = static_cast<std::uint64_t>(graph.head.classes);
      ASSERT_NO_FATAL_FAILURE(pair.step(input, static_cast<int>(rng.below(classes))));
    }
  }
}

class HostKernels : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(HostKernels, ComputeWhatTheEmittedKernelsDo) {
  const ir::Graph graph = testing::random_network(GetParam());
  Rng rng{GetParam(), 21};
  ASSERT_NO_FATAL_FAILURE(expect_the_same(graph, testing::random_plan(graph, rng), GetParam()));
}

// Blocks of a width of its own: more channels than a panel of the vector kernels has, more outputs
// than floats hold sums of, filters of every form that has a kernel.
ir::Graph wide_network(Rng& rng) {
  const auto at_most = [&](int most) {
    return 1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(most)));
  };
  const int extent = rng.chance(0.2) ? 20 + at_most(10) : 4 + at_most(8);
  testing::GraphBuilder builder(rng.next_u64(), {extent, 3 + at_most(extent), at_most(20)});
  ir::TensorId at = builder.input();
  const int channels = at_most(rng.chance(0.3) ? 150 : 50);
  at = builder.conv(
      at, channels,
      rng.chance(0.2) ? testing::window(3, 1 + at_most(1), 1) : testing::window(1, 1, 0));
  const int kernel = 1 + 2 * at_most(3);
  at = builder.conv(at, channels, testing::window(kernel, at_most(2), kernel / 2), channels);
  const ir::TensorId shortcut = builder.conv(at, at_most(60), testing::window(1, 1, 0));
  at = builder.conv(shortcut, channels, testing::window(1, 1, 0));
  at = builder.conv(at, channels, testing::window(3, 1, 1), channels);
  at = builder.conv(at, builder.shape(shortcut).channels, testing::window(1, 1, 0));
  return builder.finish(builder.global_pool(builder.add(at, shortcut)), 1 + at_most(5));
}

TEST_P(HostKernels, AreRightForWideLayers) {
  Rng rng{GetParam(), 23};
  const ir::Graph graph = wide_network(rng);
  ASSERT_NO_FATAL_FAILURE(expect_the_same(graph, testing::random_plan(graph, rng), GetParam()));
}

// Exponents and shifts from where everything saturates to where nothing is left, which networks
// rarely have.
TEST_P(HostKernels, SinkAtEveryShift) {
  Rng rng{GetParam(), 24};
  const auto within = [&](int low, int high) {
    return low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1)));
  };
  const kernels::KernelTables all = kernels::all_kernels();
  for (int round = 0; round < 40; ++round) {
    const int pixels = within(1, 20);
    const int channels = within(1, 300);
    const auto elements = static_cast<std::size_t>(pixels) * static_cast<std::size_t>(channels);
    const std::vector<std::int8_t> dy = testing::random_int8(rng, elements);
    const std::vector<std::int8_t> addend = testing::random_int8(rng, elements);
    const std::vector<std::int8_t> mask = testing::random_int8(rng, elements);
    std::vector<std::int32_t> multiplier(static_cast<std::size_t>(channels));
    std::vector<std::uint8_t> shift(multiplier.size());
    const int base = within(0, 70);
    for (std::size_t c = 0; c < multiplier.size(); ++c) {
      multiplier[c] = within(1 << 30, INT32_MAX);
      shift[c] = static_cast<std::uint8_t>(base + within(0, rng.chance(0.5) ? 0 : 30));
    }
    const esp_q_range from{static_cast<std::int16_t>(within(-20, 20)), 0};
    const esp_q_range added{static_cast<std::int16_t>(within(-40, 60)), 0};
    esp_q_range range{static_cast<std::int16_t>(within(-20, 20)), 0};
    esp_q_sink sink{};
    sink.range = &range;
    sink.from = &from;
    sink.addend_range = rng.chance(0.5) ? &added : nullptr;
    sink.mask = rng.chance(0.5) ? reinterpret_cast<const std::uint8_t*>(mask.data()) : nullptr;
    sink.mask_bits = rng.chance(0.5) ? 1 : 0;
    if (rng.chance(0.7)) {
      sink.multiplier = multiplier.data();
      sink.shift = shift.data();
    } else if (rng.chance(0.7)) {
      sink.factor = multiplier[0];
      sink.factor_shift = shift[0];
    }
    const std::int8_t* plus = sink.addend_range != nullptr ? addend.data() : nullptr;
    std::vector<std::int8_t> expected(elements);
    ::esp_pass_gradient_q8(pixels, channels, dy.data(), plus, expected.data(), &sink);
    const int bits = range.bits;
    for (int variant = 0; variant < all.count; ++variant) {
      SCOPED_TRACE(std::string(all.tables[variant]->name));
      const testing::KernelChoice choice(*all.tables[variant]);
      range.bits = 0;
      std::vector<std::int8_t> out(elements);
      host_kernels().esp_pass_gradient_q8(pixels, channels, dy.data(), plus, out.data(), &sink);
      ASSERT_EQ(out, expected) << "round " << round;
      ASSERT_EQ(range.bits, bits) << "round " << round;
    }
  }
}

// Also where the random number is the greatest there is, and at the bound of a clip.
TEST(HostLoops, StepWeightsAsTheEmittedKernelsDo) {
  constexpr std::uint32_t kGreatest = 15340575;  // esp_mix() of it has 24 ones at the top
  ASSERT_EQ(esp_mix(kGreatest) >> 8, (1U << 24) - 1);
  constexpr float kLarge = std::numeric_limits<float>::max();
  const kernels::KernelTables all = kernels::all_kernels();
  for (int variant = 0; variant < all.count; ++variant) {
    SCOPED_TRACE(std::string(all.tables[variant]->name));
    const testing::KernelChoice choice(*all.tables[variant]);
    for (const int stochastic : {0, 1}) {
      for (const int clip : {0, 1, 2, 3, 126, 127}) {
        const esp_sgd sgd = esp_sgd_of(1.0F, 1, 2, stochastic, clip);
        const auto at = static_cast<float>(clip);
        for (const float gradient :
             {at, -at, std::nextafter(at, 0.0F), std::nextafter(-at, 0.0F), at + 1, -at - 1, 0.5F,
              -0.5F, 1e9F, -1e9F, kLarge, -kLarge, std::numeric_limits<float>::quiet_NaN()}) {
          SCOPED_TRACE(fmt::format("{} clipped at {}", gradient, clip));
          constexpr int kCount = 37;
          constexpr std::uint32_t kKey = kGreatest - 20;
          const std::vector<float> gradients(kCount, gradient);
          std::vector<std::int8_t> weights(kCount, 0);
          std::vector<std::int8_t> expected;
          for (std::uint32_t i = 0; i < kCount; ++i) {
            expected.push_back(esp_step_weight(0, gradient, 1.0F, &sgd, kKey + i));
          }
          host::loops().step({kCount, weights.data(), &sgd, nullptr, kKey}, gradients.data(), 1.0F);
          ASSERT_EQ(weights, expected);
        }
      }
    }
  }
}

#ifdef ESPALIER_SLOW_TESTS
INSTANTIATE_TEST_SUITE_P(Seeds, HostKernels, ::testing::Range<std::uint64_t>(5000, 6000));
#else
INSTANTIATE_TEST_SUITE_P(Seeds, HostKernels, ::testing::Range<std::uint64_t>(0, 15));
#endif

}  // namespace
}  // namespace espalier::engine
