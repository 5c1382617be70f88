// Export, and import of what was exported.
#include "espalier/import/onnx_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "equivalent.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/support/file.hpp"
#include "sample_models.hpp"
#include "testing/npy.hpp"

namespace espalier {
namespace {

using ::testing::HasSubstr;

void expect_round_trip(const ir::Graph& graph) {
  const Result<std::string> bytes = export_onnx_bytes(graph);
  ASSERT_TRUE(bytes.ok()) << bytes.error().message();
  EXPECT_EQ(*export_onnx_bytes(graph), *bytes);
  const Result<ir::Graph> back = import_onnx_bytes(*bytes, "exported.onnx", "exported");
  ASSERT_TRUE(back.ok()) << back.error().message();
  testing::expect_equivalent(graph, *back);
  // Names are stable from the first export on.
  ir::Graph renamed = *back;
  renamed.name = graph.name;
  EXPECT_EQ(*export_onnx_bytes(renamed), *bytes);
}

TEST(OnnxWriter, RoundTripOfSmallModels) {
  expect_round_trip(*testing::small_model().import());
  expect_round_trip(*testing::mixed_model().import());
}

TEST(OnnxWriter, RoundTripOfPublishedModels) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  for (const char* name : {"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"}) {
    SCOPED_TRACE(name);
    const Result<ir::Graph> graph = import_model(path / "models" / (std::string(name) + ".onnx"));
    ASSERT_TRUE(graph.ok()) << graph.error().message();
    expect_round_trip(*graph);
  }
}

TEST(OnnxWriter, KeepsThePublishedNames) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path file = path / "models" / "mcunet-5fps.onnx";
  const Result<ir::Graph> graph = import_model(file);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  onnx::ModelProto original;
  onnx::ModelProto exported;
  ASSERT_TRUE(original.ParseFromString(*read_file(file)));
  ASSERT_TRUE(exported.ParseFromString(*export_onnx_bytes(*graph)));
  EXPECT_EQ(exported.ir_version(), 7);
  EXPECT_EQ(exported.opset_import(0).version(), 13);
  std::set<std::string> names;
  for (const auto& t : exported.graph().initializer()) names.insert(t.name());
  for (const auto& t : original.graph().initializer()) {
    if (!t.name().starts_with("conv42")) {
      EXPECT_TRUE(names.contains(t.name())) << t.name();
    }
  }
}

TEST(OnnxWriter, ChangedParametersArrive) {
  ir::Graph graph = *testing::small_model().import();
  auto& conv = std::get<ir::Conv2D>(graph.ops[0].params);
  conv.weights[7] = 99;
  conv.bias = {INT32_MIN, INT32_MAX, 0, -1};
  graph.head.weights[3] = 1.2345678F;
  graph.head.bias[1] = -9.5F;
  graph.ops[0].clamp_low = -100;
  graph.ops[0].clamp_high = 31;
  graph.tensors[static_cast<std::size_t>(graph.ops[1].output)].quantization = {0.03F, -4};
  graph.ops[1].clamp_high = 5;
  expect_round_trip(graph);
}

TEST(OnnxWriter, ClassNamesSurvive) {
  ir::Graph graph = *testing::small_model().import();
  EXPECT_TRUE(graph.head.class_names.empty());
  for (int c = 0; c < graph.head.classes; ++c) {
    graph.head.class_names.push_back("Stra\u00dfe \"" + std::to_string(c) + "\"");
  }
  const auto import = [](const std::string& bytes) {
    return import_onnx_bytes(bytes, "exported.onnx", "exported");
  };
  const std::string bytes = *export_onnx_bytes(graph);
  EXPECT_EQ(import(bytes)->head.class_names, graph.head.class_names);
  // Metadata that is none of ours does not stand in the way.
  const std::vector<std::string> strange{"", "ant", "[1, 2]", "{}", "[\"ant\"]", "[\"a\", 1"};
  for (const std::string& value : strange) {
    onnx::ModelProto model;
    ASSERT_TRUE(model.ParseFromString(bytes));
    model.mutable_metadata_props(0)->set_value(value);
    const Result<ir::Graph> back = import(model.SerializeAsString());
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_TRUE(back->head.class_names.empty()) << value;
  }
  graph.head.class_names.pop_back();
  EXPECT_FALSE(export_onnx_bytes(graph).ok());
}

TEST(OnnxWriter, EveryClampSurvives) {
  ir::Graph graph = *testing::small_model().import();
  for (const float scale : {0.1F, 6.0F / 255, 3.3e-5F, 1234.5F}) {
    graph.tensors[static_cast<std::size_t>(graph.ops[0].output)].quantization.scale = scale;
    graph.tensors[static_cast<std::size_t>(graph.ops[1].output)].quantization.scale = scale;
    for (int low = -128; low <= 127; low += 5) {
      graph.ops[0].clamp_low = low;
      graph.ops[0].clamp_high = std::min(127, low + 40);
      const Result<std::string> bytes = export_onnx_bytes(graph);
      ASSERT_TRUE(bytes.ok()) << bytes.error().message();
      const Result<ir::Graph> back = import_onnx_bytes(*bytes, "e.onnx", "e");
      ASSERT_TRUE(back.ok()) << back.error().message();
      EXPECT_EQ(back->ops[0].clamp_low, graph.ops[0].clamp_low);
      EXPECT_EQ(back->ops[0].clamp_high, graph.ops[0].clamp_high);
    }
  }
}

TEST(OnnxWriter, NamesNeverCollide) {
  ir::Graph graph = *testing::mixed_model().import();
  for (ir::Tensor& tensor : graph.tensors) tensor.name = "conv00_w_q";
  expect_round_trip(graph);
  for (ir::Tensor& tensor : graph.tensors) tensor.name = "";
  expect_round_trip(graph);
  for (ir::Tensor& tensor : graph.tensors) tensor.name = "logits";
  expect_round_trip(graph);
}

TEST(OnnxWriter, WritesFilesAndRefusesBrokenGraphs) {
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / "espalier_export_test.onnx";
  ir::Graph graph = *testing::small_model().import();
  ASSERT_TRUE(export_onnx(graph, path).ok());
  const Result<ir::Graph> back = import_model(path);
  ASSERT_TRUE(back.ok()) << back.error().message();
  testing::expect_equivalent(graph, *back);

  const Status unwritable =
      export_onnx(graph, std::filesystem::path(::testing::TempDir()) / "no_such_folder" / "m.onnx");
  ASSERT_FALSE(unwritable.ok());
  EXPECT_EQ(unwritable.error().kind, ErrorKind::kCannotWrite);

  graph.head.bias.pop_back();
  const Status broken = export_onnx(graph, path);
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace espalier
