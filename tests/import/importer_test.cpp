// Choice of the format, and the three published networks.
#include "espalier/import/importer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/import/onnx_writer.hpp"
#include "espalier/support/file.hpp"
#include "sample_models.hpp"
#include "testing/npy.hpp"

namespace espalier {
namespace {

using ::testing::HasSubstr;

std::filesystem::path temporary(const std::string& name) {
  return std::filesystem::path(::testing::TempDir()) / ("espalier_import_" + name);
}

// One line of a published table.
struct ConvRow {
  std::string role;
  int kernel, stride, in, out, height_in, height_out;
  std::int64_t macs, weights;
};

std::vector<ConvRow> read_rows(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<ConvRow> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    int index = 0;
    ConvRow row;
    if (fields >> index >> row.role >> row.kernel >> row.stride >> row.in >> row.out >>
        row.height_in >> row.height_out >> row.macs >> row.weights) {
      rows.push_back(row);
    }
  }
  return rows;
}

struct Published {
  const char* name;
  std::size_t convs;
};

std::ostream& operator<<(std::ostream& out, const Published& model) { return out << model.name; }

class PublishedModel : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedModel, MatchesItsConvTable) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path folder = path / "models";
  const std::string name = GetParam().name;
  const Result<ir::Graph> imported = import_model(folder / (name + ".onnx"));
  ASSERT_TRUE(imported.ok()) << imported.error().message();
  const ir::Graph& graph = *imported;
  EXPECT_EQ(graph.name, name);
  EXPECT_EQ(graph.sha256, sha256_hex(*read_file(folder / (name + ".onnx"))));
  EXPECT_EQ(graph.tensor(graph.input).shape, (ir::Shape{128, 128, 3}));
  EXPECT_FLOAT_EQ(graph.tensor(graph.input).quantization.scale, 2.0F / 255);

  const std::vector<int> convs = ir::conv_ops(graph);
  const std::vector<ConvRow> rows = read_rows(folder / (name + ".convs.txt"));
  ASSERT_EQ(convs.size(), GetParam().convs);
  ASSERT_EQ(rows.size(), convs.size() + 1);
  for (std::size_t i = 0; i < convs.size(); ++i) {
    SCOPED_TRACE(i);
    const ConvRow& row = rows[i];
    const ir::Op& op = graph.ops[static_cast<std::size_t>(convs[i])];
    const ir::Conv2D& conv = ir::conv(graph, convs[i]);
    EXPECT_EQ(conv.window.kernel_h, row.kernel);
    EXPECT_EQ(conv.window.kernel_w, row.kernel);
    EXPECT_EQ(conv.window.stride_h, row.stride);
    EXPECT_EQ(conv.window.pad_top, (row.kernel - 1) / 2);
    EXPECT_EQ(conv.window.pad_bottom, (row.kernel - 1) / 2);
    EXPECT_EQ(conv.in_channels, row.in);
    EXPECT_EQ(conv.out_channels, row.out);
    EXPECT_EQ(conv.depthwise(), row.role.starts_with("dw"));
    EXPECT_EQ(graph.tensor(op.inputs[0]).shape.height, row.height_in);
    EXPECT_EQ(graph.tensor(op.output).shape.height, row.height_out);
    EXPECT_EQ(std::int64_t(conv.weights.size()), row.weights);
    EXPECT_EQ(ir::forward_macs(op, graph), row.macs);
  }
  EXPECT_EQ(graph.head.features, rows.back().in);
  EXPECT_EQ(graph.head.classes, 1000);
}

INSTANTIATE_TEST_SUITE_P(Networks, PublishedModel,
                         ::testing::Values(Published{"mcunet-5fps", 42},
                                           Published{"mbv2-w0.35", 51},
                                           Published{"proxyless-w0.3", 60}),
                         [](const auto& tested) {
                           std::string name = tested.param.name;
                           std::erase_if(name, [](char c) { return !std::isalnum(c); });
                           return name;
                         });

TEST(PublishedValues, AreTransposedAndDequantised) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path file = path / "models" / "mcunet-5fps.onnx";
  const Result<ir::Graph> graph = import_model(file);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(*read_file(file)));
  const auto raw = [&]<typename T>(const std::string& name, std::size_t i, T) {
    for (const onnx::TensorProto& t : model.graph().initializer()) {
      if (t.name() == name) return reinterpret_cast<const T*>(t.raw_data().data())[i];
    }
    ADD_FAILURE() << name;
    return T{};
  };
  const ir::Conv2D& stem = ir::conv(*graph, ir::conv_ops(*graph)[0]);
  for (std::size_t o = 0; o < 16; ++o) {
    EXPECT_EQ(stem.bias[o], raw("conv00_b", o, std::int32_t{}));
    EXPECT_EQ(stem.weight_scales[o], raw("conv00_w_scale", o, float{}));
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t p = 0; p < 9; ++p) {
        EXPECT_EQ(stem.weights[(o * 9 + p) * 3 + c],
                  raw("conv00_w", (o * 3 + c) * 9 + p, std::int8_t{}));
      }
    }
  }
  for (std::size_t i = 0; i < 160000; i += 997) {
    EXPECT_FLOAT_EQ(graph->head.weights[i], static_cast<float>(raw("conv42_w", i, std::int8_t{})) *
                                                raw("conv42_w_scale", i / 160, float{}));
  }
  EXPECT_FLOAT_EQ(graph->head.bias[7], static_cast<float>(raw("conv42_b", 7, std::int32_t{})) *
                                           raw("conv42_b_scale", 7, float{}));
}

TEST(ImportModel, NamesTheGraphAfterTheFile) {
  const std::filesystem::path path = temporary("tiny.onnx");
  const std::string bytes = testing::small_model().bytes();
  ASSERT_TRUE(write_file_atomic(path, bytes).ok());
  const Result<ir::Graph> graph = import_model(path);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  EXPECT_EQ(graph->name, "espalier_import_tiny");
  EXPECT_EQ(graph->sha256, sha256_hex(bytes));
}

TEST(ImportModel, NamesOfAnyBytesAreReadAndWritten) {
  const std::filesystem::path path = temporary("\xff\xfe\x80.onnx");
  ASSERT_TRUE(write_file_atomic(path, testing::small_model().bytes()).ok());
  const Result<ir::Graph> graph = import_model(path);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const Result<std::string> exported = export_onnx_bytes(*graph);
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(*exported));
  EXPECT_EQ(model.graph().name(), "espalier_import_???");
  ASSERT_TRUE(write_file_atomic(path, "\x08\x07").ok());
  EXPECT_FALSE(import_model(path).ok());
  std::filesystem::remove(path);
}

TEST(ImportModel, RecognisesOnnxByItsContent) {
  const std::filesystem::path path = temporary("tiny.bin");
  ASSERT_TRUE(write_file_atomic(path, testing::small_model().bytes()).ok());
  EXPECT_TRUE(import_model(path).ok());
}

TEST(ImportModel, ReportsWhatItCannotRead) {
  const auto expect_error = [](const std::filesystem::path& path, ErrorKind kind,
                               const std::string& text) {
    const Result<ir::Graph> graph = import_model(path);
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.error().kind, kind);
    ASSERT_EQ(graph.error().diagnostics.size(), 1U) << graph.error().message();
    EXPECT_THAT(graph.error().message(), HasSubstr(path.filename().string()));
    EXPECT_THAT(graph.error().message(), HasSubstr(text));
  };
  expect_error(temporary("absent.onnx"), ErrorKind::kMissingInput, "cannot be opened");
  expect_error(temporary("absent.txt"), ErrorKind::kMissingInput, "cannot be opened");
  expect_error(::testing::TempDir() + ".", ErrorKind::kBadInput, "is a directory");

  const std::filesystem::path empty = temporary("empty.onnx");
  ASSERT_TRUE(write_file_atomic(empty, "").ok());
  expect_error(empty, ErrorKind::kBadInput, "empty");
  const std::filesystem::path text = temporary("text.txt");
  ASSERT_TRUE(write_file_atomic(text, "not a model").ok());
  expect_error(text, ErrorKind::kBadInput, "not a model format");
  const std::filesystem::path tflite = temporary("model.onnx");
  ASSERT_TRUE(write_file_atomic(tflite, std::string("\x1c\0\0\0TFL3....", 12)).ok());
  expect_error(tflite, ErrorKind::kBadInput, "is not a TFLite model or is cut off");
}

// Its first bytes, by which formats are told apart, could not be read again.
TEST(ImportModel, RefusesPipesUnread) {
  const std::filesystem::path pipe = temporary("pipe");
  std::filesystem::remove(pipe);
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto graph = import_model(pipe);
  std::filesystem::remove(pipe);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(graph.error().message(), HasSubstr("is a pipe, and a model is read more than once"));
}

TEST(ImportModel, RefusesHugeFilesUnread) {
  const std::filesystem::path path = temporary("huge.onnx");
  ASSERT_TRUE(write_file_atomic(path, "\x08\x07").ok());
  std::filesystem::resize_file(path, static_cast<std::uintmax_t>(kMaxOnnxFileBytes) + 1);
  const Result<ir::Graph> graph = import_model(path);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(graph.error().message(), HasSubstr("larger than 64 MiB"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace espalier
