// Tuned networks back in their TFLite file.
#include "espalier/import/tflite_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "equivalent.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/import/tflite_reader.hpp"
#include "espalier/support/file.hpp"
#include "support/temp_folder.hpp"
#include "testing/npy.hpp"
#include "tflite_builder.hpp"

namespace espalier {
namespace {

using testing::BuiltinOperator;
using ::testing::HasSubstr;
using testing::TfliteBuilder;

// [1,4,3,2] pictures of raw pixels, a convolution, features in transposed order, a head.
TfliteBuilder model() {
  TfliteBuilder b;
  const int x = b.input({1, 4, 3, 2}, 1.0F, -128);
  std::vector<std::int8_t> w;
  for (int i = 0; i < 36; ++i) w.push_back(static_cast<std::int8_t>(i * 7 % 250 - 125));
  const int c = b.activation("c", {1, 2, 1, 2}, 0.1F, 0);
  b.conv({x, b.weights("w", {2, 3, 3, 2}, w, {0.001F, 0.002F}), b.integers("b", {100, -100})}, c,
         {tflite::Padding::VALID});
  const int t = b.like(c, "t", {1, 2, 2, 1});
  b.add(BuiltinOperator::TRANSPOSE, {c, b.integers("perm", {0, 3, 1, 2})}, t);
  b.classifier(b.reshape(t, {1, 4}), 4, 3);
  return b;
}

ir::Graph import_ok(const std::string& bytes) {
  Result<ir::Graph> graph = import_tflite_bytes(bytes, "model.tflite", "model");
  if (!graph.ok()) {
    throw std::runtime_error(graph.error().message());
  }
  return std::move(graph).value();
}

ir::Conv2D& conv_of(ir::Graph& graph) { return std::get<ir::Conv2D>(graph.ops[0].params); }

TEST(TfliteWriter, AnUnchangedNetworkKeepsItsBytes) {
  const std::string original = model().bytes();
  const Result<std::string> written = export_tflite_bytes(import_ok(original), original);
  ASSERT_TRUE(written.ok()) << written.error().message();
  EXPECT_EQ(*written, original);
}

TEST(TfliteWriter, ClassNamesSurvive) {
  TfliteBuilder b = model();
  b.model.description = "Converted by somebody";
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  EXPECT_TRUE(tuned.head.class_names.empty());
  tuned.head.class_names = {"Stra\u00dfe", "\"two\"\nlines", "3"};
  const std::string written = *export_tflite_bytes(tuned, original);
  const ir::Graph back = import_ok(written);
  EXPECT_EQ(back.head.class_names, tuned.head.class_names);
  const std::string text = tflite::GetModel(written.data())->description()->str();
  EXPECT_THAT(text, ::testing::StartsWith("Converted by somebody\nespalier.class_names=["));
  // Other names take their place; the same ones change nothing.
  ir::Graph again = back;
  EXPECT_EQ(*export_tflite_bytes(again, written), written);
  again.head.class_names = {"a", "b", "c"};
  EXPECT_EQ(import_ok(*export_tflite_bytes(again, written)).head.class_names,
            again.head.class_names);
}

// Model tables as converters write them: with or without a description, and with what stands in
// fields that Espalier does not read (metadata is field 6, signatures are field 7).
std::string file_of(const tflite::ModelT& model, bool described) {
  constexpr flatbuffers::voffset_t kMetadata = 16;
  constexpr flatbuffers::voffset_t kSignatures = 18;
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<tflite::OperatorCode>> codes;
  for (const auto& code : model.operator_codes) {
    codes.push_back(tflite::CreateOperatorCode(builder, code.get()));
  }
  std::vector<flatbuffers::Offset<tflite::Buffer>> buffers;
  for (const auto& buffer : model.buffers) {
    buffers.push_back(tflite::CreateBuffer(builder, buffer.get()));
  }
  const std::vector graphs{tflite::CreateSubGraph(builder, model.subgraphs[0].get())};
  const auto all_codes = builder.CreateVector(codes);
  const auto all_graphs = builder.CreateVector(graphs);
  const auto all_buffers = builder.CreateVector(buffers);
  const auto description = builder.CreateString("said");
  const auto metadata = builder.CreateVector(std::vector<std::uint32_t>{1, 2, 3});
  const auto signatures = builder.CreateVector(std::vector<std::uint32_t>{4});
  const flatbuffers::uoffset_t start = builder.StartTable();
  builder.AddOffset(kSignatures, signatures);
  builder.AddOffset(kMetadata, metadata);
  builder.AddOffset(tflite::Model::VT_BUFFERS, all_buffers);
  if (described) builder.AddOffset(tflite::Model::VT_DESCRIPTION, description);
  builder.AddOffset(tflite::Model::VT_SUBGRAPHS, all_graphs);
  builder.AddOffset(tflite::Model::VT_OPERATOR_CODES, all_codes);
  builder.AddElement<std::uint32_t>(tflite::Model::VT_VERSION, 3, 0);
  builder.Finish(flatbuffers::Offset<tflite::Model>(builder.EndTable(start)), "TFL3");
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

TEST(TfliteWriter, ClassNamesGoIntoEveryFile) {
  for (const bool described : {false, true}) {
    const std::string original = file_of(model().model, described);
    ir::Graph tuned = import_ok(original);
    tuned.head.class_names = {"ant", "bee", "cat"};
    conv_of(tuned).weights[5] = 42;
    tuned.head.bias[1] = 0.5F;
    const std::string written = *export_tflite_bytes(tuned, original);
    ir::Graph back = import_ok(written);
    EXPECT_EQ(back.head.class_names, tuned.head.class_names);
    // By them the file is known as one of ours, whatever is written behind them.
    const testing::TempFolder folder;
    const auto is_ours = [&folder](const std::string& bytes) {
      return write_file_atomic(folder.path() / "model", bytes).ok() &&
             is_exported_tflite(folder.path() / "model");
    };
    EXPECT_FALSE(is_ours(original));
    EXPECT_TRUE(is_ours(written));
    ir::Graph again = back;
    conv_of(again).weights[6] = 17;
    EXPECT_TRUE(is_ours(*export_tflite_bytes(again, written)));
    EXPECT_EQ(conv_of(back).weights, conv_of(tuned).weights);
    EXPECT_EQ(written.substr(4, 4), "TFL3");

    const tflite::Model& now = *tflite::GetModel(written.data());
    EXPECT_EQ(now.version(), 3U);
    const auto& table = reinterpret_cast<const flatbuffers::Table&>(now);
    const auto* metadata = table.GetPointer<const flatbuffers::Vector<std::uint32_t>*>(16);
    const auto* signatures = table.GetPointer<const flatbuffers::Vector<std::uint32_t>*>(18);
    ASSERT_TRUE(metadata != nullptr && signatures != nullptr);
    EXPECT_THAT(std::vector<std::uint32_t>(metadata->begin(), metadata->end()),
                ::testing::ElementsAre(1, 2, 3));
    EXPECT_EQ(signatures->Get(0), 4U);
    for (const auto* buffer : *now.buffers()) {
      if (buffer->data() == nullptr) continue;
      EXPECT_EQ((buffer->data()->data() - reinterpret_cast<const std::uint8_t*>(&written[0])) % 16,
                0);
    }
    // A second writing finds the description of the first.
    EXPECT_EQ(*export_tflite_bytes(back, written), written);
  }
}

// Labels in an archive, whose readers look for its end at that of the file.
TEST(TfliteWriter, AnArchiveStaysBehindTheModel) {
  const auto number = [](std::size_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
    return text;
  };
  const std::string model_bytes = model().bytes();
  const std::string name = "labels.txt";
  const std::string shared = number(20, 2) + number(0, 8) + number(0, 4) + number(3, 4) +
                             number(3, 4) + number(name.size(), 2) + number(0, 2);
  const std::string local = "PK\x03\x04" + shared + name + "ant";
  const std::string directory = "PK\x01\x02" + number(20, 2) + shared + std::string(10, '\0') +
                                number(model_bytes.size(), 4) + name;
  const std::string archive = local + directory + "PK\x05\x06" + number(0, 4) + number(1, 2) +
                              number(1, 2) + number(directory.size(), 4) +
                              number(model_bytes.size() + local.size(), 4) + number(0, 2);
  const std::string original = model_bytes + archive;
  EXPECT_EQ(*export_tflite_bytes(import_ok(original), original), original);
  std::string file = original;
  for (int i = 0; i < 2; ++i) {
    ir::Graph tuned = import_ok(file);
    tuned.head.bias[0] += 1;
    tuned.head.class_names = {"a", "b", std::to_string(i)};
    file = *export_tflite_bytes(tuned, file);
    EXPECT_EQ(import_ok(file).head.class_names, tuned.head.class_names);
    EXPECT_TRUE(file.ends_with(archive));
    EXPECT_EQ(file.find(local), file.size() - archive.size());
  }
  // One that would begin within the model is none.
  std::string odd = original;
  odd.replace(model_bytes.size() + local.size() + 42, 4, 4, '\0');
  ir::Graph tuned = import_ok(odd);
  tuned.head.bias[0] += 1;
  EXPECT_TRUE(export_tflite_bytes(tuned, odd).ok());
}

// The scores of a network that ends in pooling have no layer that a trained head could go to.
TEST(TfliteWriter, RefusesAHeadThatTheFileHasNot) {
  TfliteBuilder b;
  const int x = b.input({1, 4, 4, 1}, 0.02F, 3);
  const int c = b.activation("c", {1, 4, 4, 2}, 0.1F, -128);
  b.conv({x, b.weights("w", {2, 1, 1, 1}, {100, -50}, {0.01F}), b.integers("b", {5, 6})}, c,
         {.activation = tflite::Activation::RELU});
  const int mean = b.activation("mean", {1, 2}, 0.05F, -128);
  b.mean(c, {1, 2}, mean);
  b.graph().outputs = {mean};
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  conv_of(tuned).weights[0] = 7;
  EXPECT_EQ(conv_of(tuned).weights, [&] {
    ir::Graph back = import_ok(*export_tflite_bytes(tuned, original));
    return conv_of(back).weights;
  }());
  tuned.head.bias[0] = 1;
  const Result<std::string> refused = export_tflite_bytes(tuned, original);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("is no layer of the file"));
}

TEST(TfliteWriter, ParametersReturn) {
  const std::string original = model().bytes();
  ir::Graph tuned = import_ok(original);
  conv_of(tuned).weights[3] = 99;
  conv_of(tuned).weights[20] = -127;
  conv_of(tuned).bias[1] = 123456;
  for (std::size_t i = 0; i < tuned.head.weights.size(); ++i) {
    tuned.head.weights[i] = 0.1F * static_cast<float>(i) - 0.5F;
  }
  tuned.head.bias = {0.25F, -1, 2};
  const Result<std::string> written = export_tflite_bytes(tuned, original);
  ASSERT_TRUE(written.ok()) << written.error().message();
  ir::Graph back = import_ok(*written);
  for (std::size_t i = 0; i < tuned.head.weights.size(); ++i) {
    EXPECT_NEAR(back.head.weights[i], tuned.head.weights[i], 0.6F / 127 / 2 + 1e-6);
  }
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(back.head.bias[i], tuned.head.bias[i], 1e-3);
  back.head = tuned.head;
  testing::expect_equivalent(tuned, back);
}

// Two convolutions of three channels and a head of three classes whose biases are one buffer, as
// converters keep equal constants.
TfliteBuilder sharing() {
  TfliteBuilder b;
  int x = b.input({1, 2, 2, 3}, 0.02F, 3);
  for (const std::string name : {"a", "b"}) {
    const int y = b.activation(name, {1, 2, 2, 3}, 0.1F, 0);
    b.conv({x, b.weights(name + "_w", {3, 1, 1, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {0.01F}),
            b.integers(name + "_b", {5, 6, 7})},
           y, {});
    x = y;
  }
  const int mean = b.activation("mean", {1, 3}, 0.1F, 0);
  b.mean(x, {1, 2}, mean);
  b.classifier(mean, 3, 3);
  for (const auto& t : b.graph().tensors) {
    if (t->name.ends_with("_b")) t->buffer = b.tensor(b.op(0).inputs[2]).buffer;
  }
  return b;
}

ir::Conv2D& conv_at(ir::Graph& graph, std::size_t op) {
  return std::get<ir::Conv2D>(graph.ops[op].params);
}

// Weights of uint8 around another zero point than 128, as long as they fit the integers of the
// file.
TEST(TfliteWriter, RefusesWeightsBeyondTheZeroPoint) {
  TfliteBuilder b = model();
  for (auto& tensor : b.graph().tensors) {
    if (tensor->name != "w") continue;
    tensor->type = testing::TensorType::UINT8;
    tensor->quantization->zero_point = {130, 130};
    for (std::uint8_t& byte : b.model.buffers[tensor->buffer]->data) {
      byte = static_cast<std::uint8_t>(static_cast<std::int8_t>(byte) / 2 + 130);
    }
  }
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  conv_of(tuned).weights[3] = 125;
  const Result<std::string> written = export_tflite_bytes(tuned, original);
  ASSERT_TRUE(written.ok()) << written.error().message();
  ir::Graph back = import_ok(*written);
  EXPECT_EQ(conv_of(tuned).weights, conv_of(back).weights);
  conv_of(tuned).weights[3] = 126;
  const Result<std::string> refused = export_tflite_bytes(tuned, original);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("the zero point 130 of the file"));
}

// A channel whose weights lie beyond int8 goes back in the scale of the file.
TEST(TfliteWriter, WeightsBeyondInt8Return) {
  TfliteBuilder b;
  const int x = b.input({1, 1, 1, 2}, 0.02F, 3);
  const int c = b.activation("c", {1, 1, 1, 2}, 0.1F, 0);
  const int w = b.constant<std::uint8_t>("w", {2, 1, 1, 2}, {255, 75, 65, 45},
                                         testing::TensorType::UINT8, {0.01F}, 0, 55);
  b.conv({x, w, b.integers("b", {1000, -1000})}, c, {});
  b.classifier(c, 2, 3);
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  conv_of(tuned).weights = {127, 20, 11, -10};
  conv_of(tuned).bias = {700, -1000};
  const std::string written = *export_tflite_bytes(tuned, original);
  ir::Graph back = import_ok(written);
  testing::expect_same(conv_of(tuned), conv_of(back));
  const auto* data = tflite::GetModel(written.data())->buffers()->Get(b.tensor(w).buffer)->data();
  EXPECT_THAT(std::vector<int>(data->begin(), data->end()),
              ::testing::ElementsAre(255, 86, 66, 45));
}

TEST(TfliteWriter, WhatIsTrainedLeavesASharedBuffer) {
  const std::string original = sharing().bytes();
  ir::Graph tuned = import_ok(original);
  EXPECT_EQ(*export_tflite_bytes(tuned, original), original);
  const std::vector<std::int32_t> frozen = conv_at(tuned, 0).bias;
  conv_at(tuned, 1).bias = {1000, -2000, 3000};
  for (const bool head_too : {false, true}) {
    if (head_too) {
      tuned.head.bias = {0.25F, -0.5F, 1};
      tuned.head.class_names = {"ant", "bee", "cat"};
    }
    const Result<std::string> written = export_tflite_bytes(tuned, original);
    ASSERT_TRUE(written.ok()) << written.error().message();
    ir::Graph back = import_ok(*written);
    EXPECT_EQ(conv_at(back, 0).bias, frozen);
    EXPECT_EQ(conv_at(back, 1).bias, (std::vector<std::int32_t>{1000, -2000, 3000}));
    EXPECT_EQ(conv_at(back, 1).weights, conv_at(tuned, 1).weights);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(back.head.bias[i], tuned.head.bias[i], 1e-3);
    }
    EXPECT_EQ(back.head.class_names, tuned.head.class_names);
    const auto* buffers = tflite::GetModel(written->data())->buffers();
    EXPECT_EQ(buffers->size(),
              tflite::GetModel(original.data())->buffers()->size() + (head_too ? 2 : 1));
    for (const auto* buffer : *buffers) {
      if (buffer->data() == nullptr) continue;
      const auto* start = reinterpret_cast<const std::uint8_t*>(written->data());
      EXPECT_EQ((buffer->data()->data() - start) % 16, 0);
    }
  }
}

TEST(TfliteWriter, RefusesTensorsOfSeveralLayers) {
  TfliteBuilder b = sharing();
  b.op(1).inputs[1] = b.op(0).inputs[1];
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  conv_at(tuned, 1).weights[4] = 99;
  const Result<std::string> refused = export_tflite_bytes(tuned, original);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("shares its weights with another layer"));
}

TEST(TfliteWriter, AnotherNumberOfClassesChangesTheLastShapes) {
  const std::string original = model().bytes();
  ir::Graph tuned = import_ok(original);
  tuned.head.classes = 5;
  tuned.head.weights.assign(20, 0.5F);
  tuned.head.weights[7] = -1;
  tuned.head.bias.assign(5, 1.0F);
  const Result<std::string> written = export_tflite_bytes(tuned, original);
  ASSERT_TRUE(written.ok()) << written.error().message();
  const ir::Graph back = import_ok(*written);
  EXPECT_EQ(back.head.classes, 5);
  EXPECT_NEAR(back.head.weights[7], -1, 1e-6);
  const tflite::Model* file = tflite::GetModel(written->data());
  const auto* graph = file->subgraphs()->Get(0);
  const auto* scores =
      graph->tensors()->Get(static_cast<flatbuffers::uoffset_t>(graph->outputs()->Get(0)));
  EXPECT_EQ(scores->shape()->Get(1), 5);
  EXPECT_FLOAT_EQ(scores->quantization()->scale()->Get(0), 1.0F / 256);
}

std::vector<int> extents(const flatbuffers::Vector<std::int32_t>* list) {
  return {list->begin(), list->end()};
}

// With as many features as classes only the extents of the classes change.
TEST(TfliteWriter, AsManyFeaturesAsClasses) {
  constexpr int kFeatures = 4;
  for (const bool convolution : {false, true}) {
    TfliteBuilder b;
    const int x = b.input({1, 1, 1, kFeatures}, 1.0F, -128);
    const std::vector<std::int8_t> w(kFeatures * kFeatures, 3);
    const int bias = b.integers("fc_b", std::vector<std::int32_t>(kFeatures, 25));
    int logits = -1;
    if (convolution) {
      logits = b.activation("logits", {1, 1, 1, kFeatures}, 0.1F, 3);
      b.conv({x, b.weights("fc_w", {kFeatures, 1, 1, kFeatures}, w, {0.01F}), bias}, logits, {});
      logits = b.reshape(logits, {1, kFeatures});
    } else {
      logits = b.activation("logits", {1, kFeatures}, 0.1F, 3);
      b.dense({x, b.weights("fc_w", {kFeatures, kFeatures}, w, {0.01F}), bias}, logits);
    }
    const int scores = b.activation("scores", {1, kFeatures}, 1.0F / 256, -128);
    b.add(BuiltinOperator::SOFTMAX, {logits}, scores);
    b.graph().outputs = {scores};
    const std::string original = b.bytes();
    ir::Graph tuned = import_ok(original);
    tuned.head.classes = 7;
    tuned.head.weights.assign(7 * kFeatures, 0.5F);
    tuned.head.weights[20] = -1;
    tuned.head.bias.assign(7, 1.0F);
    const Result<std::string> written = export_tflite_bytes(tuned, original);
    ASSERT_TRUE(written.ok()) << written.error().message();
    const ir::Graph back = import_ok(*written);
    EXPECT_EQ(back.head.classes, 7);
    EXPECT_EQ(back.head.features, kFeatures);
    EXPECT_NEAR(back.head.weights[20], -1, 1e-6);
    std::map<std::string, std::vector<int>> shapes;
    for (const auto* t : *tflite::GetModel(written->data())->subgraphs()->Get(0)->tensors()) {
      shapes[t->name()->str()] = extents(t->shape());
    }
    EXPECT_EQ(shapes["input"], (std::vector{1, 1, 1, kFeatures}));
    EXPECT_EQ(shapes["fc_w"],
              convolution ? (std::vector{7, 1, 1, kFeatures}) : (std::vector{7, kFeatures}));
    EXPECT_EQ(shapes["fc_b"], std::vector{7});
    EXPECT_EQ(shapes["scores"], (std::vector{1, 7}));
  }
}

// A file exported with a head of seven classes of its own.
Result<std::string> with_seven_classes(const std::string& original) {
  ir::Graph tuned = import_ok(original);
  tuned.head.classes = 7;
  tuned.head.weights.assign(7 * static_cast<std::size_t>(tuned.head.features), 0.5F);
  tuned.head.bias.assign(7, 1.0F);
  return export_tflite_bytes(tuned, original);
}

// The shape in front of the head and that behind it are equal, and the converter keeps one of them.
TEST(TfliteWriter, AnotherNumberOfClassesLeavesSharedShapes) {
  constexpr int kFeatures = 4;
  TfliteBuilder b;
  const int x = b.input({1, 1, 1, kFeatures}, 1.0F, -128);
  b.classifier(b.reshape(x, {1, kFeatures}), kFeatures, kFeatures, false);
  const int shaped = b.reshape(b.graph().outputs[0], {1, kFeatures});
  b.graph().outputs = {shaped};
  const int first = b.op(0).inputs[1];
  b.tensor(b.op(2).inputs[1]).buffer = b.tensor(first).buffer;
  const Result<std::string> written = with_seven_classes(b.bytes());
  ASSERT_TRUE(written.ok()) << written.error().message();
  const tflite::Model& model = *tflite::GetModel(written->data());
  const auto* graph = model.subgraphs()->Get(0);
  const auto target = [&](flatbuffers::uoffset_t op) {
    const int shape = graph->operators()->Get(op)->inputs()->Get(1);
    const auto* tensor = graph->tensors()->Get(static_cast<flatbuffers::uoffset_t>(shape));
    const auto* data = model.buffers()->Get(tensor->buffer())->data();
    std::vector<std::int32_t> values(data->size() / sizeof(std::int32_t));
    std::memcpy(values.data(), data->data(), data->size());
    return values;
  };
  EXPECT_EQ(target(0), (std::vector<std::int32_t>{1, kFeatures}));
  EXPECT_EQ(target(2), (std::vector<std::int32_t>{1, 7}));
  b.op(2).inputs[1] = first;
  const Result<std::string> refused = with_seven_classes(b.bytes());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("shares its output's shape with another layer"));
}

// As Keras' Reshape is converted: the batch is computed, the classes are a scalar.
TEST(TfliteWriter, AnotherNumberOfClassesReachesAComputedShape) {
  constexpr int kClasses = 3;
  TfliteBuilder b;
  b.classifier(b.input({1, 4}, 0.02F, 3), 4, kClasses, false);
  const int logits = b.graph().outputs[0];
  const int extents_of_logits = b.integers("extents", {1, kClasses});
  b.tensor(extents_of_logits).buffer = 0;
  b.add(BuiltinOperator::SHAPE, {logits}, extents_of_logits);
  const int batch = b.integers("batch", {1});
  b.tensor(batch).buffer = 0;
  const int zero = b.integers("zero", {0});
  const int one = b.integers("one", {1});
  b.add(BuiltinOperator::STRIDED_SLICE, {extents_of_logits, zero, one, one}, batch);
  const int classes = b.integers("classes", {kClasses});
  const int target = b.integers("target", {1, kClasses});
  b.tensor(target).buffer = 0;
  b.add(BuiltinOperator::PACK, {batch, classes}, target);
  const int shaped = b.like(logits, "reshaped", {1, kClasses});
  b.add(BuiltinOperator::RESHAPE, {logits, target}, shaped);
  b.graph().outputs = {shaped};
  const Result<std::string> written = with_seven_classes(b.bytes());
  ASSERT_TRUE(written.ok()) << written.error().message();
  const tflite::Model& model = *tflite::GetModel(written->data());
  const auto* tensors = model.subgraphs()->Get(0)->tensors();
  const auto* scalar = tensors->Get(static_cast<flatbuffers::uoffset_t>(classes));
  std::int32_t value = 0;
  std::memcpy(&value, model.buffers()->Get(scalar->buffer())->data()->data(), sizeof value);
  EXPECT_EQ(value, 7);
  EXPECT_EQ(extents(tensors->Get(static_cast<flatbuffers::uoffset_t>(shaped))->shape()),
            (std::vector{1, 7}));
  EXPECT_EQ(import_ok(*written).head.classes, 7);
}

// A shape in a buffer that the file does not have.
TEST(TfliteWriter, AnotherNumberOfClassesReadsNothingBeyondTheFile) {
  TfliteBuilder b;
  b.classifier(b.input({1, 4}, 0.02F, 3), 4, 3, false);
  const int logits = b.graph().outputs[0];
  b.graph().outputs = {b.reshape(logits, {1, 3})};
  b.tensor(b.graph().operators.back()->inputs[1]).buffer = 1000000;
  const Result<std::string> written = with_seven_classes(b.bytes());
  ASSERT_TRUE(written.ok()) << written.error().message();
  EXPECT_EQ(import_ok(*written).head.classes, 7);
}

TEST(TfliteWriter, LogitsGetAScaleThatFitsThem) {
  const std::string original = model().bytes();
  ir::Graph tuned = import_ok(original);
  tuned.head.bias[0] += 1;
  const auto scale = [&](LogitRange range) {
    const Result<std::string> written = export_tflite_bytes(tuned, original, range);
    EXPECT_TRUE(written.ok());
    const auto* tensors = tflite::GetModel(written->data())->subgraphs()->Get(0)->tensors();
    for (const auto* tensor : *tensors) {
      if (tensor->name()->str() == "logits") return tensor->quantization()->scale()->Get(0);
    }
    return 0.0F;
  };
  EXPECT_FLOAT_EQ(scale({-5, 5}), 0.1F);
  EXPECT_FLOAT_EQ(scale({-51, 51}), 0.4F);
  // Ten integers for all of them would make many equal.
  EXPECT_FLOAT_EQ(scale({-0.51F, 0.51F}), 0.004F);
  EXPECT_EQ(*export_tflite_bytes(tuned, original, LogitRange{-5, 5}),
            *export_tflite_bytes(tuned, original));
}

// Scale and zero point of every quantised activation of a file that is named here.
std::map<std::string, std::pair<float, std::int64_t>> quantisations(const std::string& file) {
  std::map<std::string, std::pair<float, std::int64_t>> all;
  for (const auto* t : *tflite::GetModel(file.data())->subgraphs()->Get(0)->tensors()) {
    const auto* q = t->quantization();
    if (q == nullptr || q->scale() == nullptr || q->scale()->size() == 0) continue;
    const bool zero = q->zero_point() != nullptr && q->zero_point()->size() > 0;
    all[t->name()->str()] = {q->scale()->Get(0), zero ? q->zero_point()->Get(0) : 0};
  }
  return all;
}

// SOFTMAX reads the scale of what it is given: whatever holds the logits on the way to it has the
// wider one.
TEST(TfliteWriter, AWiderScaleReachesTheFunctionBehindTheLogits) {
  TfliteBuilder b;
  const int x = b.input({1, 4}, 0.02F, 3);
  b.classifier(x, 4, 3, false);
  const int shaped = b.reshape(b.graph().outputs[0], {1, 1, 1, 3});
  const int turned = b.like(shaped, "turned", {1, 3, 1, 1});
  b.add(BuiltinOperator::TRANSPOSE, {shaped, b.integers("perm", {0, 3, 1, 2})}, turned);
  const int squeezed = b.like(turned, "squeezed", {1, 3});
  b.add(BuiltinOperator::SQUEEZE, {turned}, squeezed);
  const int moved = b.activation("moved", {1, 3}, 0.1F, 131, tflite::TensorType::UINT8);
  b.add(BuiltinOperator::QUANTIZE, {squeezed}, moved);
  const int scores = b.activation("scores", {1, 3}, 1.0F / 256, 0, tflite::TensorType::UINT8);
  b.add(BuiltinOperator::SOFTMAX, {moved}, scores);
  b.graph().outputs = {scores};
  const std::string original = b.bytes();
  ir::Graph tuned = import_ok(original);
  tuned.head.bias[0] += 1;
  const Result<std::string> written = export_tflite_bytes(tuned, original, LogitRange{-51, 51});
  ASSERT_TRUE(written.ok()) << written.error().message();
  auto found = quantisations(*written);
  for (const char* name : {"logits", "reshaped", "turned", "squeezed"}) {
    EXPECT_FLOAT_EQ(found[name].first, 0.4F) << name;
    EXPECT_NEAR(static_cast<double>(found[name].second), 0, 1) << name;
    EXPECT_EQ(found[name], found["logits"]) << name;
  }
  EXPECT_FLOAT_EQ(found["moved"].first, 0.4F);
  EXPECT_EQ(found["moved"].second, found["logits"].second + 128);
  EXPECT_EQ(found["input"], quantisations(original)["input"]);
  EXPECT_EQ(found["scores"], quantisations(original)["scores"]);
  EXPECT_EQ(*export_tflite_bytes(tuned, original, LogitRange{-5, 5}),
            *export_tflite_bytes(tuned, original));
}

// A file with one output behind LOGISTIC has the difference of two scores, and one that leaves out
// zero points has none for a range that is not symmetric.
TEST(TfliteWriter, AWiderScaleOfOneOutput) {
  TfliteBuilder b;
  b.classifier(b.input({1, 4}, 0.02F, 3), 4, 1, false);
  const int logits = b.graph().outputs[0];
  const int scores = b.activation("scores", {1, 1}, 1.0F / 256, -128);
  b.add(BuiltinOperator::LOGISTIC, {logits}, scores);
  b.graph().outputs = {scores};
  for (const bool has_zero : {true, false}) {
    if (!has_zero) b.tensor(logits).quantization->zero_point.clear();
    const std::string original = b.bytes();
    ir::Graph tuned = import_ok(original);
    tuned.head.bias[1] += 1;
    const LogitRange range{-100, 100, -12.7F, 25.4F};
    const Result<std::string> written = export_tflite_bytes(tuned, original, range);
    ASSERT_TRUE(written.ok()) << written.error().message();
    const auto [scale, zero] = quantisations(*written)["logits"];
    EXPECT_FLOAT_EQ(scale, has_zero ? 38.1F / 255 : 0.2F);
    EXPECT_EQ(zero, has_zero ? -43 : 0);
  }
}

TEST(TfliteWriter, Refusals) {
  const std::string original = model().bytes();
  ir::Graph tuned = import_ok(original);
  TfliteBuilder other = model();
  other.model.buffers[1]->data[0] ^= 1;
  const Result<std::string> wrong = export_tflite_bytes(tuned, other.bytes());
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wrong.error().message(), HasSubstr("not the model that was trained"));
  TfliteBuilder bare = model();
  bare.op(0).inputs[2] = -1;
  ir::Graph changed = import_ok(bare.bytes());
  conv_of(changed).bias[0] = 1;
  const Result<std::string> refused = export_tflite_bytes(changed, bare.bytes());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("none in the file"));
}

}  // namespace
}  // namespace espalier
