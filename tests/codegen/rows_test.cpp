// Inputs that come by rows: any number at a time, the same bits, and what is refused.
#include <gtest/gtest.h>

#include <cstring>

#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/engine/engine.hpp"
#include "testing/random_graph.hpp"
#include "testing/random_plan.hpp"

namespace espalier::codegen {
namespace {

using testing::EmittedProgram;

constexpr int kHeight = 16;
constexpr std::ptrdiff_t kRow = 16 * 3;

// A network by rows, trained by its emitted C, and the engine with the input resident beside it.
class ByRows : public ::testing::Test {
 protected:
  static compiler::Program compiled(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                    bool fed) {
    compiler::CompileOptions options;
    options.fed = fed;
    return *compiler::compile(graph, plan, options);
  }
  static EmitOptions options() {
    EmitOptions options;
    options.seed = 7;
    return options;
  }
  std::vector<std::int8_t> input() { return testing::random_int8(rng_, kHeight * kRow); }
  float expected(const std::vector<std::int8_t>& input, int label, bool head_alone = false) {
    std::copy(input.begin(), input.end(), engine_.input());
    return head_alone ? engine_.train_head(label) : engine_.train_step(label);
  }

  Rng rng_{3, 9};
  ir::Graph graph_ = testing::small_network(5, 3, kHeight);
  plan::UpdatePlan plan_ = testing::random_plan(graph_, rng_);
  compiler::Program resident_ = compiled(graph_, plan_, false);
  compiler::Program program_ = compiled(graph_, plan_, true);
  engine::Engine engine_{resident_, {options().stochastic, 7, options().learning_rate}};
  EmittedProgram emitted_{emit(program_, plan_, options()), identifier(graph_.name),
                          "-O0 -fsanitize=undefined -fno-sanitize-recover"};
};

TEST_F(ByRows, TrainsWhateverTheNumberOfRowsAtATime) {
  emitted_.reset();
  for (int step = 0; step < 12; ++step) {
    const std::vector<std::int8_t> image = input();
    const int label = step % 3;
    const bool head_alone = step % 5 > 2;
    const float loss = expected(image, label, head_alone);
    if (step % 4 == 3) {  // as a whole, from anywhere
      EXPECT_EQ(head_alone ? emitted_.train_head(image, label) : emitted_.train_step(image, label),
                loss);
      continue;
    }
    ASSERT_EQ(emitted_.begin("train"), 0);
    for (int row = 0; row < kHeight;) {
      const int count = step == 0 ? 1 : static_cast<int>(rng_.below(kHeight + 1 - row));
      ASSERT_EQ(emitted_.rows("train", image.data() + row * kRow, count), 0);
      row += count;
    }
    EXPECT_EQ(head_alone ? emitted_.train_head_end(label) : emitted_.train_end(label), loss)
        << step;
  }
  const std::vector<std::int8_t> image = input();
  std::copy(image.begin(), image.end(), engine_.input());
  engine_.run_forward();
  const std::span<const float> logits = engine_.logits();
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  ASSERT_EQ(emitted_.begin("forward"), 0);
  ASSERT_EQ(emitted_.rows("forward", image.data(), kHeight), 0);
  EXPECT_EQ(emitted_.forward_end(), best);
  EXPECT_EQ(std::memcmp(emitted_.logits(3).data(), logits.data(), logits.size_bytes()), 0);
  EXPECT_EQ(emitted_.forward(image), best);
}

TEST_F(ByRows, RefusesWhatComesOutOfTurn) {
  const std::vector<std::int8_t> image = input();
  EXPECT_EQ(emitted_.begin("train"), -1);  // before reset
  EXPECT_EQ(emitted_.rows("train", image.data(), 1), -1);
  emitted_.reset();
  EXPECT_EQ(emitted_.rows("train", image.data(), 1), -1);  // without begin
  EXPECT_EQ(emitted_.train_end(0), -1.0F);
  EXPECT_EQ(emitted_.forward_end(), -1);
  ASSERT_EQ(emitted_.begin("train"), 0);
  ASSERT_EQ(emitted_.rows("train", image.data(), 5), 0);
  EXPECT_EQ(emitted_.rows("train", image.data(), kHeight - 4), -1);  // more than are left
  EXPECT_EQ(emitted_.rows("train", image.data(), -1), -1);
  EXPECT_EQ(emitted_.train_end(0), -1.0F);  // rows are missing, and may come yet
  EXPECT_EQ(emitted_.train_head_end(0), -1.0F);
  ASSERT_EQ(emitted_.rows("train", image.data() + 5 * kRow, kHeight - 5), 0);
  EXPECT_EQ(emitted_.train_end(3), -1.0F);  // no such label
  EXPECT_EQ(emitted_.train_end(2), expected(image, 2));
  EXPECT_EQ(emitted_.train_end(2), -1.0F);  // it has been taken
  // Begun anew, what came before is forgotten.
  ASSERT_EQ(emitted_.begin("train"), 0);
  ASSERT_EQ(emitted_.rows("train", image.data(), 9), 0);
  const std::vector<std::int8_t> other = input();
  ASSERT_EQ(emitted_.begin("train"), 0);
  ASSERT_EQ(emitted_.rows("train", other.data(), kHeight), 0);
  EXPECT_EQ(emitted_.train_end(1), expected(other, 1));
}

TEST_F(ByRows, InputsAsAWholeLeaveNoRowsBehind) {
  const std::vector<std::int8_t> image = input();
  emitted_.reset();
  EXPECT_EQ(emitted_.train_step(image, 2), expected(image, 2));
  EXPECT_EQ(emitted_.train_end(2), -1.0F);
  EXPECT_EQ(emitted_.rows("train", image.data(), 1), -1);
  EXPECT_GE(emitted_.forward(image), 0);
  EXPECT_EQ(emitted_.forward_end(), -1);
}

}  // namespace
}  // namespace espalier::codegen
