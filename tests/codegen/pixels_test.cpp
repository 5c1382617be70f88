// Pixels that the emitted C turns into inputs, against the host's preprocessing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/support/rng.hpp"
#include "testing/random_graph.hpp"

namespace espalier::codegen {
namespace {

using testing::EmittedProgram;

void expect_inputs_of_the_host(int channels, const data::Preprocess& preprocess) {
  testing::GraphBuilder builder(3, {7, 7, channels});
  const ir::Graph graph =
      builder.finish(builder.global_pool(builder.conv(builder.input(), 4, {3, 3, 1, 1, 1, 1})), 3);
  const Result<data::InputPipeline> pipeline =
      data::make_pipeline(preprocess, 7, 7, channels, 1.0F / 64, 3);
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message();
  EmitOptions options;
  for (int c = 0; c < channels; ++c) options.pixels.push_back(pipeline->table(c));
  const plan::UpdatePlan plan = plan::head_only(graph);
  const compiler::Program program = *compiler::compile(graph, plan);
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name));
  emitted.reset();
  Rng rng{5, 5};
  for (const int samples : {3, 1}) {
    data::Image image{7, 7, samples, {}};
    for (int i = 0; i < 7 * 7 * samples; ++i) {
      image.pixels.push_back(static_cast<std::uint8_t>(rng.below(256)));
    }
    std::vector<std::int8_t> expected(static_cast<std::size_t>(7 * 7 * channels));
    ASSERT_TRUE(pipeline->to_input(image, expected).ok());
    for (int row = 0; row < 7; ++row) {
      EXPECT_EQ(emitted.pixel_row(samples == 3, row, image.pixels.data() + row * 7 * samples), 0);
    }
    const std::int8_t* input = emitted.input();
    EXPECT_EQ(std::vector<std::int8_t>(input, input + expected.size()), expected);
    for (const int row : {-1, 7}) {
      EXPECT_EQ(emitted.pixel_row(samples == 3, row, image.pixels.data()), -1);
    }
    EXPECT_EQ(std::vector<std::int8_t>(input, input + expected.size()), expected);
  }
}

// A program whose input comes by rows makes them one at a time.
TEST(Pixels, BecomeRows) {
  testing::GraphBuilder builder(3, {7, 5, 3});
  const ir::Graph graph =
      builder.finish(builder.global_pool(builder.conv(builder.input(), 4, {3, 3, 1, 1, 1, 1})), 3);
  data::Preprocess preprocess;
  preprocess.mean = {0.485F, 0.456F, 0.406F};
  preprocess.std = {0.229F, 0.224F, 0.225F};
  const Result<data::InputPipeline> pipeline =
      data::make_pipeline(preprocess, 7, 5, 3, 1.0F / 64, 3);
  ASSERT_TRUE(pipeline.ok()) << pipeline.error().message();
  EmitOptions options;
  for (int c = 0; c < 3; ++c) options.pixels.push_back(pipeline->table(c));
  const plan::UpdatePlan plan = plan::head_only(graph);
  compiler::CompileOptions compile;
  compile.fed = true;
  const compiler::Program program = *compiler::compile(graph, plan, compile);
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name));
  Rng rng{5, 5};
  for (const int samples : {3, 1}) {
    data::Image image{7, 5, samples, {}};
    for (int i = 0; i < 7 * 5 * samples; ++i) {
      image.pixels.push_back(static_cast<std::uint8_t>(rng.below(256)));
    }
    std::vector<std::int8_t> expected(7 * 5 * 3);
    ASSERT_TRUE(pipeline->to_input(image, expected).ok());
    std::vector<std::int8_t> made(expected.size());
    for (std::ptrdiff_t row = 0; row < 7; ++row) {
      emitted.make_row(samples == 3, made.data() + row * 15,
                       image.pixels.data() + row * 5 * samples);
    }
    EXPECT_EQ(made, expected);
  }
}

TEST(Pixels, BecomeTheInputsOfTheHost) {
  data::Preprocess normalized;
  normalized.mean = {0.485F, 0.456F, 0.406F};
  normalized.std = {0.229F, 0.224F, 0.225F};
  data::Preprocess identity;
  identity.identity = true;
  data::Preprocess table;
  table.lut.emplace();
  Rng rng{1, 2};
  for (std::int8_t& value : *table.lut) value = static_cast<std::int8_t>(rng.below(256));
  expect_inputs_of_the_host(3, normalized);
  for (const int channels : {1, 3}) {
    SCOPED_TRACE(channels);
    expect_inputs_of_the_host(channels, identity);
    expect_inputs_of_the_host(channels, table);
  }
}

}  // namespace
}  // namespace espalier::codegen
