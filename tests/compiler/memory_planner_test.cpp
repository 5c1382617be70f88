#include "espalier/compiler/memory_planner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "espalier/compiler/memory_validator.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::compiler {
namespace {

using ::testing::ElementsAre;

int below(Rng& rng, int bound) {
  return static_cast<int>(rng.below(static_cast<std::uint64_t>(bound)));
}

// Lifetimes and sizes in no relation to each other.
MemoryProblem random_problem(std::uint64_t seed, int count) {
  Rng rng{seed, 3};
  MemoryProblem problem;
  problem.steps = 3 + below(rng, 10);
  problem.alignment = 1 << below(rng, 5);
  const int largest = rng.chance(0.5) ? 8 : 1000;
  const int longest = rng.chance(0.5) ? 4 : problem.steps;
  for (int i = 0; i < count; ++i) {
    const int first = below(rng, problem.steps);
    const int last = std::min(problem.steps - 1, first + below(rng, longest));
    problem.buffers.push_back({1 + below(rng, largest), first, last});
  }
  return problem;
}

// One training step of a convolutional network: a forward chain of inverted bottlenecks with
// residual connections, saved tensors that die in reverse order, gradients, scratch memory.
class TrainingStep {
 public:
  TrainingStep(std::uint64_t seed, int layers)
      : rng_{seed, 11}, layers_(layers), trained_(1 + below(rng_, layers)) {
    problem_.alignment = 4 << below(rng_, 3);
    problem_.steps = layers_ + 1 + 2 * trained_;
    gradient_bytes_ = rng_.chance(0.5) ? 1 : 4;
    store_gradients_ = rng_.chance(0.3);
    save_slices_ = rng_.chance(0.5);
    pixels_ = std::int64_t{1024} << (2 * below(rng_, 3));
    channels_ = 8 + 8 * below(rng_, 3);
  }

  MemoryProblem make() {
    std::int64_t input = 3 * pixels_;
    for (int layer = 0; layer < layers_; ++layer) input = add_layer(layer, input);
    add(input, layers_ - 1, layers_);
    return problem_;
  }

 private:
  // The first of the two backward steps of a layer: gradient of the input, then of the weights.
  [[nodiscard]] int backward(int layer) const { return layers_ + 1 + 2 * (layers_ - 1 - layer); }

  void add(std::int64_t bytes, int first, int last) {
    problem_.buffers.push_back(
        {std::max<std::int64_t>(bytes, 1), first, std::min(last, problem_.steps - 1)});
  }

  // Returns the size of the output, the next input.
  std::int64_t add_layer(int layer, std::int64_t input) {
    const int stage = layer % 3;
    if (stage == 0 && layer > 0 && pixels_ > 16 && rng_.chance(0.3)) {
      pixels_ /= 4;
      channels_ += channels_ / 2;
    }
    const std::int64_t width = stage == 2 ? channels_ : channels_ * (3 + below(rng_, 4));
    const std::int64_t output = pixels_ * width;
    const bool residual = stage == 0 && rng_.chance(0.6);
    const int join = std::min(layer + 2, layers_ - 1);
    const bool trained = layer >= layers_ - trained_;
    int last_use = residual ? join : layer;
    if (trained && rng_.chance(0.7)) {
      if (save_slices_) {
        add(input >> below(rng_, 4), layer, backward(layer) + 1);
      } else {
        last_use = std::max(last_use, backward(layer) + 1);
      }
    }
    add(input, std::max(layer - 1, 0), last_use);
    if (trained) add_backward(layer, input, output, width, residual ? join : -1);
    if (rng_.chance(0.5)) add(18 * width, layer, layer);
    return output;
  }

  void add_backward(int layer, std::int64_t input, std::int64_t output, std::int64_t width,
                    int join) {
    const int step = backward(layer);
    const int applied = store_gradients_ ? problem_.steps - 1 : step + 1;
    add((output + 7) / 8, layer, step);  // activation mask
    add(output * gradient_bytes_, step - 1 - below(rng_, 2), step + 1);
    add(4 * (layer % 3 == 1 ? 9 * width : width * channels_), step + 1, applied);
    add(4 * width, step + 1, applied);
    if (rng_.chance(0.4)) add(18 * width, step, step + 1);
    if (join >= 0) add(input * gradient_bytes_, backward(join), step + 1);
  }

  Rng rng_;
  int layers_;
  int trained_;
  int gradient_bytes_ = 1;
  bool store_gradients_ = false;
  bool save_slices_ = false;
  std::int64_t pixels_ = 0;
  std::int64_t channels_ = 0;
  MemoryProblem problem_;
};

// The smallest peak of all: in the order of their offsets the buffers of an optimal plan can be
// stacked, each on the highest end of those placed that it meets.
class BruteForce {
 public:
  explicit BruteForce(const MemoryProblem& problem)
      : problem_(problem), ends_(problem.buffers.size(), 0) {
    descend(0, 0);
  }

  [[nodiscard]] std::int64_t peak() const { return best_; }

 private:
  void descend(std::size_t placed, std::int64_t peak) {
    if (peak >= best_) return;
    if (placed == ends_.size()) {
      best_ = peak;
      return;
    }
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      if (ends_[i] != 0) continue;
      ends_[i] = stacked_end(i);
      descend(placed + 1, std::max(peak, ends_[i]));
      ends_[i] = 0;
    }
  }

  [[nodiscard]] std::int64_t stacked_end(std::size_t i) const {
    const BufferLifetime& buffer = problem_.buffers[i];
    std::int64_t offset = 0;
    for (std::size_t k = 0; k < ends_.size(); ++k) {
      const BufferLifetime& other = problem_.buffers[k];
      if (other.first <= buffer.last && buffer.first <= other.last) {
        offset = std::max(offset, ends_[k]);
      }
    }
    return offset + align_up(buffer.bytes, problem_.alignment);
  }

  const MemoryProblem& problem_;
  std::vector<std::int64_t> ends_;  ///< 0: not placed
  std::int64_t best_ = std::numeric_limits<std::int64_t>::max();
};

void expect_valid(const MemoryProblem& problem, const MemoryPlan& plan) {
  const Status status = validate(problem, plan);
  EXPECT_TRUE(status.ok()) << status.error().message();
}

TEST(MemoryPlanner, NoBuffersNeedNoMemory) {
  for (const int steps : {0, 5}) {
    const MemoryProblem problem{.steps = steps};
    EXPECT_EQ(plan_memory(problem), MemoryPlan());
    expect_valid(problem, plan_memory(problem));
  }
}

TEST(MemoryPlanner, OneBufferIsRoundedUpToTheAlignment) {
  const MemoryProblem problem{.buffers = {{5, 0, 0}}, .steps = 1, .alignment = 16};
  const MemoryPlan plan = plan_memory(problem);
  EXPECT_THAT(plan.offsets, ElementsAre(0));
  EXPECT_EQ(plan.peak, 16);
  EXPECT_EQ(plan.lower_bound, 16);
}

TEST(MemoryPlanner, BuffersThatNeverMeetShareMemory) {
  const MemoryProblem problem{.buffers = {{8, 0, 1}, {8, 2, 3}, {8, 4, 4}}, .steps = 5};
  EXPECT_THAT(plan_memory(problem).offsets, ElementsAre(0, 0, 0));
}

// The example of google/minimalloc.
TEST(MemoryPlanner, SolvesTheExampleOfThePublicBenchmarks) {
  const Result<MemoryProblem> problem = problem_from_csv(
      "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n", "example");
  ASSERT_TRUE(problem.ok());
  const MemoryPlan plan = plan_memory(*problem);
  expect_valid(*problem, plan);
  EXPECT_EQ(plan.peak, 12);
}

// In the order of size the third buffer goes on top of the second, and then the last one finds no
// room below it: 6 bytes.
TEST(MemoryPlanner, TriesMoreThanTheOrderOfSize) {
  const MemoryProblem problem{
      .buffers = {{4, 1, 1}, {3, 3, 3}, {2, 2, 3}, {1, 1, 2}}, .steps = 4, .alignment = 1};
  const MemoryPlan plan = plan_memory(problem);
  expect_valid(problem, plan);
  EXPECT_EQ(plan.peak, 5);
}

TEST(MemoryPlanner, AgreesWithBruteForceOnSmallProblems) {
  constexpr int kCases = 3000;
  int optimal = 0;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    SCOPED_TRACE(seed);
    const MemoryProblem problem = random_problem(seed, 1 + static_cast<int>(seed % 7));
    const MemoryPlan plan = plan_memory(problem);
    expect_valid(problem, plan);
    const std::int64_t best = BruteForce(problem).peak();
    ASSERT_LE(plan.lower_bound, best);
    ASSERT_GE(plan.peak, best);
    EXPECT_LE(plan.peak, best + best / 20);
    if (plan.peak == best) ++optimal;
  }
  EXPECT_GE(optimal, kCases * 99 / 100);
}

class MemoryPlannerTraining : public ::testing::TestWithParam<int> {};

TEST_P(MemoryPlannerTraining, StaysWithinFivePercentOfTheLowerBound) {
  constexpr int kCases = 60;
  int at_bound = 0;
  for (std::uint64_t seed = 0; seed < kCases; ++seed) {
    SCOPED_TRACE(seed);
    const MemoryProblem problem = TrainingStep(seed, GetParam()).make();
    const MemoryPlan plan = plan_memory(problem);
    expect_valid(problem, plan);
    EXPECT_LE(plan.peak, plan.lower_bound + plan.lower_bound / 20);
    if (plan.peak == plan.lower_bound) ++at_bound;
  }
  EXPECT_GE(at_bound, kCases * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(Layers, MemoryPlannerTraining, ::testing::Values(4, 12, 25, 50, 80));

TEST(MemoryPlanner, TheSameProblemHasTheSamePlan) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const MemoryProblem problem = TrainingStep(seed, 30).make();
    const MemoryProblem copy = problem;
    EXPECT_EQ(plan_memory(problem), plan_memory(copy));
  }
}

// Sums of products of sizes and lifetimes would overflow here.
TEST(MemoryPlanner, LargeSizesDoNotOverflow) {
  const std::int64_t bytes = std::int64_t{1} << 58;
  const MemoryProblem problem{
      .buffers = {{bytes, 0, 3}, {bytes, 1, 2}, {bytes - 3, 2, 3}, {bytes, 0, 0}}, .steps = 4};
  const MemoryPlan plan = plan_memory(problem);
  expect_valid(problem, plan);
  EXPECT_EQ(plan.peak, 3 * bytes);
}

TEST(MemoryPlanner, RefusesAProblemThatFailsItsCheck) {
  EXPECT_THROW(plan_memory({.buffers = {{0, 0, 0}}, .steps = 1}), std::invalid_argument);
  EXPECT_THROW(plan_memory({.buffers = {{1, 0, 1}}, .steps = 1}), std::invalid_argument);
  EXPECT_THROW(plan_memory({.buffers = {{1, 0, 0}}, .steps = 1, .alignment = 3}),
               std::invalid_argument);
}

}  // namespace
}  // namespace espalier::compiler
