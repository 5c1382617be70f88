// Damaged, hostile and unsupported ONNX models: one run names everything, nothing crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "espalier/import/onnx_reader.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/rng.hpp"
#include "sample_models.hpp"
#include "testing/npy.hpp"

namespace espalier {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using testing::Dims;
using ::testing::HasSubstr;
using testing::OnnxBuilder;
using testing::ramp;
using testing::set_attribute;
using ::testing::StartsWith;

std::vector<std::string> diagnostics(const Result<ir::Graph>& graph) {
  if (graph.ok()) {
    ADD_FAILURE() << "was imported";
    return {};
  }
  EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
  for (const std::string& text : graph.error().diagnostics) {
    EXPECT_THAT(text, StartsWith("model.onnx: "));
  }
  return graph.error().diagnostics;
}

std::vector<std::string> diagnostics_of(std::string_view bytes) {
  return diagnostics(import_onnx_bytes(bytes, "model.onnx", "model"));
}

// The small model after `change`, which must leave exactly one diagnostic that holds `text`.
void expect_one(const std::string& text, const std::function<void(OnnxBuilder&)>& change) {
  OnnxBuilder b = testing::small_model();
  change(b);
  const std::vector<std::string> all = diagnostics(b.import());
  ASSERT_EQ(all.size(), 1U) << ::testing::PrintToString(all);
  EXPECT_THAT(all[0], HasSubstr(text));
}

onnx::NodeProto& node_of(OnnxBuilder& b, const std::string& type) {
  for (onnx::NodeProto& node : *b.graph().mutable_node()) {
    if (node.op_type() == type) return node;
  }
  throw std::logic_error("no " + type);
}

onnx::TensorProto& initializer(OnnxBuilder& b, const std::string& name) {
  for (onnx::TensorProto& t : *b.graph().mutable_initializer()) {
    if (t.name() == name) return t;
  }
  throw std::logic_error("no " + name);
}

TEST(BadFile, EmptyOrRandom) {
  EXPECT_THAT(diagnostics_of(""), ElementsAre(HasSubstr("empty")));
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng{seed};
    std::string bytes(1 + rng.below(2000), '\0');
    for (char& c : bytes) c = static_cast<char>(rng.below(256));
    EXPECT_EQ(diagnostics_of(bytes).size(), 1U);
  }
}

TEST(BadFile, TruncatedAnywhere) {
  const std::string bytes = testing::small_model().bytes();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(diagnostics_of(std::string_view(bytes).substr(0, size)).empty()) << size;
  }
}

TEST(BadFile, TruncatedPublishedModel) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const Result<std::string> bytes = read_file(path / "models" / "mcunet-5fps.onnx");
  ASSERT_TRUE(bytes.ok());
  for (std::size_t i = 0; i < 300; ++i) {
    const std::size_t size = bytes->size() * i / 300;
    EXPECT_EQ(diagnostics_of(std::string_view(*bytes).substr(0, size)).size(), 1U) << size;
  }
  for (std::size_t cut = 1; cut < 40; ++cut) {
    EXPECT_EQ(diagnostics_of(std::string_view(*bytes).substr(0, bytes->size() - cut)).size(), 1U);
  }
}

TEST(BadModel, OpsetTooOldOrAbsent) {
  expect_one("opset 12 has one scale a tensor",
             [](OnnxBuilder& b) { b.model.mutable_opset_import(0)->set_version(12); });
  // Everything in one run.
  OnnxBuilder old = testing::small_model();
  old.model.mutable_opset_import(0)->set_version(9);
  old.output("pool", {0, 4});
  node_of(old, "GlobalAveragePool").set_op_type("Evil");
  const std::vector<std::string> all = diagnostics(old.import());
  EXPECT_THAT(all, Contains(HasSubstr("uses opset 9, at least 10")));
  EXPECT_THAT(all, Contains(HasSubstr("2 outputs")));
  EXPECT_THAT(all, Contains(HasSubstr("'pool' (Evil): this operator is not supported")));
  expect_one("does not say", [](OnnxBuilder& b) { b.model.clear_opset_import(); });
  expect_one("does not say",
             [](OnnxBuilder& b) { b.model.mutable_opset_import(0)->set_domain("com.microsoft"); });
}

TEST(BadModel, Float) {
  OnnxBuilder b;
  b.input("input", {0, 2, 4, 4});
  b.constant<float>("w", {3, 2, 4, 4}, std::vector<float>(96, 0.1F));
  b.node("Conv", {"input", "w"}, "c");
  b.classifier(b.relu("c", "r"), 3, 2);
  const std::vector<std::string> all = diagnostics(b.import());
  ASSERT_EQ(all.size(), 1U);
  EXPECT_THAT(all[0],
              AllOf(HasSubstr("float model"), HasSubstr("QDQ"), HasSubstr("quantize_static")));
}

TEST(BadModel, EveryUnsupportedNodeInOneRun) {
  OnnxBuilder b;
  std::string x = b.quantized(b.input("input", {0, 2, 6, 6}), "input", 0.02F, 3);
  b.node("LRN", {x}, "swish_7");                                                   // node 2
  b.node("Softmax", {x}, "soft");                                                  // node 3
  x = b.quantized("soft", "soft", 0.02F, 3);                                       // 4, 5
  const std::string w = b.weights("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F});        // 6
  set_attribute(b.node("Conv", {"swish_7", w}, "wide"), "dilations", Dims{2, 0});  // 7
  b.node("Add", {"wide", x}, "sum");                                               // 8
  x = b.quantized("sum", "sum", 0.1F, 0);                                          // 9, 10
  b.node("MySpecialOp", {x}, "special").set_domain("com.example");                 // 11
  b.classifier("special", 72, 2);                                                  // 12, 13
  const std::vector<std::string> all = diagnostics(b.import());
  EXPECT_EQ(all.size(), 4U) << ::testing::PrintToString(all);
  EXPECT_THAT(all,
              Contains(HasSubstr(
                  "node 2 'swish_7' (LRN): this operator is not supported; rewrite the network")));
  EXPECT_THAT(all, Contains(HasSubstr("node 3 'soft' (Softmax): not supported inside the body; ")));
  EXPECT_THAT(all, Contains(HasSubstr("node 7 'wide' (Conv): a dilation is out of range")));
  EXPECT_THAT(all, Contains(HasSubstr("node 11 'special' (com.example.MySpecialOp)")));
}

TEST(BadModel, UnquantisedPartsAreNamed) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
  b.node("Conv", {x, b.weights("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F})}, "c");
  b.node("Conv", {"c", b.constant<float>("v", {2, 2, 1, 1}, {1, 2, 3, 4})}, "d");
  b.classifier(b.quantized("d", "d", 0.1F, 0), 2, 2);
  const std::vector<std::string> all = diagnostics(b.import());
  EXPECT_EQ(all.size(), 2U) << ::testing::PrintToString(all);
  EXPECT_THAT(all, Contains(AllOf(HasSubstr("'d' (Conv)"), HasSubstr("weights are float"))));
  EXPECT_THAT(all, Contains(AllOf(HasSubstr("'d' (Conv)"), HasSubstr("'c' (Conv)"),
                                  HasSubstr("not quantised"))));
}

TEST(BadModel, FloatResultUsedTwice) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 1, 1}), "input", 0.02F, 3);
  b.node("Conv", {x, b.weights("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F})}, "c");
  const std::string y = b.quantized(b.relu("c", "r"), "y", 0.1F, 0);
  const std::string z = b.quantized("c", "z", 0.1F, 0);
  b.node("Add", {y, z}, "sum");
  b.classifier(b.quantized("sum", "sum", 0.1F, 0), 2, 2);
  const std::vector<std::string> all = diagnostics(b.import());
  ASSERT_EQ(all.size(), 1U) << ::testing::PrintToString(all);
  EXPECT_THAT(all[0], HasSubstr("used elsewhere too"));
}

TEST(BadModel, NoClassifier) {
  OnnxBuilder b;
  const std::string x = b.quantized(b.input("input", {0, 2, 3, 3}), "input", 0.02F, 3);
  const std::string w = b.weights("w", {2, 2, 1, 1}, {1, 2, 3, 4}, {0.1F});
  b.node("Conv", {x, w}, "c");
  b.node("Relu", {b.quantized("c", "c", 0.1F, 0)}, "end");
  b.output("end", {0, 2, 3, 3});
  EXPECT_THAT(diagnostics(b.import()),
              ElementsAre(AllOf(HasSubstr("'end' (Relu)"), HasSubstr("classifier"))));
  // Without the Relu the Conv is last, but its output is an image.
  b.graph().mutable_node()->RemoveLast();
  b.graph().mutable_output(0)->set_name("c_dq");
  EXPECT_THAT(diagnostics(b.import()),
              ElementsAre(AllOf(HasSubstr("'c' (Conv)"), HasSubstr("is an image"))));
}

TEST(BadModel, LyingDims) {
  expect_one("promise 8 elements", [](OnnxBuilder& b) {
    initializer(b, "c0_w").mutable_dims()->Clear();
    initializer(b, "c0_w").add_dims(8);
  });
  expect_one("dimension of -4", [](OnnxBuilder& b) { initializer(b, "c0_w").set_dims(0, -4); });
  expect_one("overflow", [](OnnxBuilder& b) {
    initializer(b, "c0_w").set_dims(0, std::numeric_limits<std::int64_t>::max());
    initializer(b, "c0_w").set_dims(1, 4);
  });
  expect_one("promise 72 elements",
             [](OnnxBuilder& b) { initializer(b, "c0_w").mutable_raw_data()->pop_back(); });
  expect_one("dimensions", [](OnnxBuilder& b) {
    for (int i = 0; i < 10; ++i) initializer(b, "c0_w").add_dims(1);
  });
  expect_one("not [out,in,height,width]", [](OnnxBuilder& b) {
    // No element, any number of channels.
    initializer(b, "c0_w").set_dims(0, std::int64_t{1} << 40);
    initializer(b, "c0_w").set_dims(1, 0);
    initializer(b, "c0_w").clear_raw_data();
    initializer(b, "c0_w").set_raw_data("");
    initializer(b, "c0_w_scale").mutable_dims()->Clear();
    initializer(b, "c0_w_scale").mutable_raw_data()->resize(4);
    initializer(b, "c0_w_zp").mutable_dims()->Clear();
    initializer(b, "c0_w_zp").mutable_raw_data()->resize(1);
  });
  expect_one("not within -128..127", [](OnnxBuilder& b) {
    onnx::TensorProto& t = initializer(b, "c0_zp");
    t.clear_raw_data();
    t.add_int32_data(300);
  });
  expect_one("element type is DOUBLE", [](OnnxBuilder& b) {
    initializer(b, "c0_scale").set_data_type(onnx::TensorProto::DOUBLE);
  });
  expect_one("number 12345",
             [](OnnxBuilder& b) { initializer(b, "c0_scale").set_data_type(12345); });
}

TEST(BadModel, ExternalData) {
  expect_one("external file", [](OnnxBuilder& b) {
    onnx::TensorProto& t = initializer(b, "c0_w");
    t.clear_raw_data();
    t.set_data_location(onnx::TensorProto::EXTERNAL);
    auto& entry = *t.add_external_data();
    entry.set_key("location");
    entry.set_value("weights.bin");
  });
}

TEST(BadModel, MissingInitializerAndInput) {
  expect_one("reads 'c0_w', which is neither",
             [](OnnxBuilder& b) { initializer(b, "c0_w").set_name("elsewhere"); });
  OnnxBuilder b = testing::small_model();
  // As an initializer the image makes a network without input.
  b.graph().clear_input();
  b.constant<float>("input", {1, 2, 6, 6}, std::vector<float>(72, 0.0F));
  EXPECT_THAT(diagnostics(b.import()), ElementsAre(HasSubstr("depends on 0 inputs"),
                                                   HasSubstr("reads the constant 'input_dq'")));
}

TEST(BadModel, UnsortedAndCyclic) {
  expect_one("not in topological order", [](OnnxBuilder& b) {
    b.graph().mutable_node()->SwapElements(4, 5);  // Conv behind its QuantizeLinear
  });
  expect_one("has a cycle", [](OnnxBuilder& b) { node_of(b, "Conv").set_input(0, "pool_dq"); });
  expect_one("has a cycle", [](OnnxBuilder& b) { node_of(b, "Conv").set_input(0, "c0"); });
}

TEST(BadModel, DuplicateNames) {
  OnnxBuilder b = testing::small_model();
  b.node("Identity", {"pool_dq"}, "c0");
  EXPECT_THAT(diagnostics(b.import()), ElementsAre(HasSubstr("which node 4 writes too")));
  expect_one("which is an initializer", [](OnnxBuilder& c) { c.constant<float>("pool", {}, {1}); });
}

TEST(BadModel, InputsAndOutputs) {
  expect_one("0 outputs", [](OnnxBuilder& b) { b.graph().clear_output(); });
  expect_one("2 outputs", [](OnnxBuilder& b) { b.output("pool", {0, 4}); });
  expect_one("[N,C,H,W]", [](OnnxBuilder& b) {
    b.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  });
  expect_one("positive number", [](OnnxBuilder& b) {
    b.graph()
        .mutable_input(0)
        ->mutable_type()
        ->mutable_tensor_type()
        ->mutable_shape()
        ->mutable_dim(2)
        ->set_dim_param("H");
  });
  expect_one("positive number", [](OnnxBuilder& b) {
    b.graph()
        .mutable_input(0)
        ->mutable_type()
        ->mutable_tensor_type()
        ->mutable_shape()
        ->mutable_dim(1)
        ->set_dim_value(std::int64_t{1} << 40);
  });
  expect_one("not float", [](OnnxBuilder& b) {
    b.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
        onnx::TensorProto::DOUBLE);
  });
}

TEST(BadModel, Quantisation) {
  const auto set_float = [](onnx::TensorProto& t, float value) {
    t.mutable_raw_data()->assign(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const float scale : {0.0F, -1.0F, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    OnnxBuilder b = testing::small_model();
    set_float(initializer(b, "c0_scale"), scale);
    EXPECT_THAT(diagnostics(b.import()), Contains(HasSubstr("not a positive number")));
  }
  expect_one("differ from those", [](OnnxBuilder& b) {
    b.scalar("other", 0.25F);
    b.node_at(6).set_input(1, "other");
  });
  expect_one("axis 1", [](OnnxBuilder& b) {
    for (onnx::NodeProto& node : *b.graph().mutable_node()) {
      if (node.name() == "c0_w_dq") node.mutable_attribute(0)->set_i(1);
    }
  });
  expect_one("int16", [](OnnxBuilder& b) {
    // As text, since the reader does not decode the type.
    initializer(b, "c0_zp").set_data_type(onnx::TensorProto::INT16);
    initializer(b, "c0_zp").set_name("int16");
    for (int i : {5, 6}) b.node_at(i).set_input(2, "int16");
  });
}

TEST(BadModel, Attributes) {
  const auto conv = [](const std::string& text,
                       const std::function<void(onnx::NodeProto&)>& change) {
    expect_one(text, [&](OnnxBuilder& b) { change(node_of(b, "Conv")); });
  };
  conv("'c0' (Conv): an attribute has the wrong type",
       [](onnx::NodeProto& n) { set_attribute(n, "group", 1.0F); });
  conv("groups", [](onnx::NodeProto& n) { set_attribute(n, "group", std::int64_t{-1}); });
  conv("groups", [](onnx::NodeProto& n) { set_attribute(n, "group", std::int64_t{1} << 62); });
  conv("expect 4 input channels",
       [](onnx::NodeProto& n) { set_attribute(n, "group", std::int64_t{2}); });
  conv("stride", [](onnx::NodeProto& n) { set_attribute(n, "strides", Dims{0, 1}); });
  conv("stride", [](onnx::NodeProto& n) { set_attribute(n, "strides", Dims{1}); });
  conv("kernel_shape", [](onnx::NodeProto& n) { set_attribute(n, "kernel_shape", Dims{5, 5}); });
  conv("auto_pad",
       [](onnx::NodeProto& n) { set_attribute(n, "auto_pad", std::string("SAME\x01")); });
  conv("pads as much as its kernel or more, which is legal",
       [](onnx::NodeProto& n) { n.mutable_attribute(0)->set_ints(0, 3); });
  conv("pad is negative", [](onnx::NodeProto& n) { n.mutable_attribute(0)->set_ints(0, -1); });
  conv("does not fit", [](onnx::NodeProto& n) { n.set_input(2, "fc_b"); });
  expect_one("alpha", [](OnnxBuilder& b) { set_attribute(node_of(b, "Gemm"), "alpha", 0.5F); });
  expect_one("transA",
             [](OnnxBuilder& b) { set_attribute(node_of(b, "Gemm"), "transA", std::int64_t{1}); });
  expect_one("axis", [](OnnxBuilder& b) { node_of(b, "Flatten").mutable_attribute(0)->set_i(2); });
  expect_one("an image in another order", [](OnnxBuilder& b) {
    onnx::NodeProto& pool = node_of(b, "GlobalAveragePool");
    pool.set_op_type("ReduceMean");
    set_attribute(pool, "axes", Dims{1, 2});
  });
}

TEST(BadModel, Reshapes) {
  const auto reshaped = [](const std::string& text, const std::vector<std::int64_t>& shape) {
    expect_one(text, [&](OnnxBuilder& b) {
      onnx::NodeProto& node = node_of(b, "Flatten");
      node.set_op_type("Reshape");
      node.clear_attribute();
      node.add_input(b.constant("shape", {static_cast<std::int64_t>(shape.size())}, shape));
    });
  };
  reshaped("changes the batch to 4", {4, 1});
  reshaped("not a list", {-1});
  reshaped("does not fit", {0, 5});
  reshaped("ambiguous", {0, -1, -1});
  reshaped("ambiguous", {-1, -1});
  reshaped("ambiguous", {0, std::int64_t{1} << 30, std::int64_t{1} << 30, std::int64_t{1} << 30});
  reshaped("its new shape does not fit the input", {0, std::int64_t{1} << 40});
}

TEST(BadModel, ManyClaimsOnOneInitializer) {
  // 2000 layers share 1 MiB of weights: small as a file, 2 GiB as a graph.
  OnnxBuilder b;
  std::string x = b.quantized(b.input("input", {0, 1024, 1, 1}), "input", 0.02F, 3);
  const std::string w =
      b.weights("w", {1024, 1024, 1, 1}, std::vector<std::int8_t>(std::size_t{1} << 20, 1), {0.1F});
  b.scalar("s", 0.1F);
  b.constant<std::int8_t>("z", {}, {0});
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "c" + std::to_string(i);
    b.node("Conv", {x, w}, name);
    b.node("QuantizeLinear", {name, "s", "z"}, name + "_q");
    b.node("DequantizeLinear", {name + "_q", "s", "z"}, name + "_dq");
    x = name + "_dq";
  }
  b.classifier(x, 1024, 2);
  EXPECT_THAT(diagnostics(b.import()), ElementsAre(HasSubstr("too many weights")));
}

TEST(BadModel, HostileNamesAreShownPrintable) {
  expect_one("'??[2J", [](OnnxBuilder& b) {
    node_of(b, "GlobalAveragePool").set_op_type("Evil");
    node_of(b, "Evil").set_name("\n\x1b[2J" + std::string(10000, 'x'));
  });
}

}  // namespace
}  // namespace espalier
