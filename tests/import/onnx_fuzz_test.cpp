// Seeded mutations of small models: every import ends in a verified graph or a diagnostic.
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <string>

#include "espalier/import/onnx_reader.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/support/rng.hpp"
#include "sample_models.hpp"

namespace espalier {
namespace {

using testing::OnnxBuilder;

// What an import must keep whatever it reads; true when it was accepted.
bool check(const std::string& bytes) {
  const Result<ir::Graph> graph = import_onnx_bytes(bytes, "fuzz.onnx", "fuzz");
  if (!graph.ok()) {
    EXPECT_EQ(graph.error().kind, ErrorKind::kBadInput);
    EXPECT_FALSE(graph.error().diagnostics.empty());
    return false;
  }
  EXPECT_TRUE(ir::verify(*graph).ok());
  EXPECT_TRUE(export_onnx_bytes(*graph).ok());
  return true;
}

OnnxBuilder model(std::uint64_t seed) {
  return seed % 2 == 0 ? testing::small_model() : testing::mixed_model();
}

TEST(OnnxFuzz, FlippedBytes) {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{1, seed};
    std::string bytes = model(seed).bytes();
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
      bytes[rng.below(bytes.size())] ^= static_cast<char>(1U << rng.below(8));
    }
    accepted += check(bytes) ? 1 : 0;
  }
  // Weights and names make up much of a file, so neither all nor none may pass.
  EXPECT_GT(accepted, 100);
  EXPECT_LT(accepted, 1400);
}

TEST(OnnxFuzz, RemovedAndRepeatedBytes) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{2, seed};
    std::string bytes = model(seed).bytes();
    const std::size_t at = rng.below(bytes.size());
    const std::size_t length = rng.below(20);
    if (rng.chance(0.5)) {
      bytes.erase(at, length);
    } else {
      bytes.insert(at, bytes.substr(rng.below(bytes.size()), length));
    }
    check(bytes);
  }
}

// Numbers that have broken readers before.
std::int64_t odd_number(Rng& rng) {
  constexpr std::int64_t kOdd[] = {-1,        0,         1,         2,
                                   7,         255,       1 << 20,   INT32_MAX,
                                   INT32_MIN, INT64_MAX, INT64_MIN, INT32_MAX + std::int64_t{1}};
  return kOdd[rng.below(std::size(kOdd))];
}

// One change that leaves a well-formed file with another meaning.
void mutate(onnx::GraphProto& graph, Rng& rng) {
  const auto any_node = [&]() -> onnx::NodeProto& {
    return *graph.mutable_node(static_cast<int>(rng.below(std::uint64_t(graph.node_size()))));
  };
  const auto any_name = [&]() -> std::string {
    const onnx::NodeProto& node = any_node();
    if (rng.chance(0.5) && node.input_size() > 0) {
      return node.input(static_cast<int>(rng.below(std::uint64_t(node.input_size()))));
    }
    return node.output(0);
  };
  onnx::TensorProto& tensor = *graph.mutable_initializer(
      static_cast<int>(rng.below(std::uint64_t(graph.initializer_size()))));
  onnx::NodeProto& node = any_node();
  switch (rng.below(10)) {
    case 0:
      if (node.input_size() > 0) {
        node.set_input(static_cast<int>(rng.below(std::uint64_t(node.input_size()))), any_name());
      }
      break;
    case 1:
      node.set_op_type(any_node().op_type());
      break;
    case 2:
      if (node.attribute_size() > 0) {
        onnx::AttributeProto& a = *node.mutable_attribute(0);
        a.set_i(odd_number(rng));
        if (a.ints_size() > 0) a.set_ints(0, odd_number(rng));
      }
      break;
    case 3:
      if (tensor.dims_size() > 0) {
        tensor.set_dims(static_cast<int>(rng.below(std::uint64_t(tensor.dims_size()))),
                        odd_number(rng));
      }
      break;
    case 4:
      tensor.set_data_type(static_cast<int>(rng.below(18)));
      break;
    case 5:
      tensor.set_name(any_name());
      break;
    case 6:
      graph.mutable_node()->SwapElements(
          static_cast<int>(rng.below(std::uint64_t(graph.node_size()))),
          static_cast<int>(rng.below(std::uint64_t(graph.node_size()))));
      break;
    case 7:
      node.clear_input();
      break;
    case 8:
      node.add_input(any_name());
      break;
    default:
      node.set_output(0, any_name());
      break;
  }
}

TEST(OnnxFuzz, ChangedStructure) {
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{3, seed};
    OnnxBuilder b = model(seed);
    for (std::uint64_t n = 1 + rng.below(3); n > 0; --n) mutate(b.graph(), rng);
    accepted += check(b.bytes()) ? 1 : 0;
  }
  EXPECT_GT(accepted, 20);
  EXPECT_LT(accepted, 1000);
}

}  // namespace
}  // namespace espalier
