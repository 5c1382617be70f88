// Forward and backward of mcunet-5fps against the published code's own numbers, layer by layer on
// its own inputs (shared data, see docs/architecture.md, "Numerics in one page").
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "espalier/import/importer.hpp"
#include "espalier/kernels/reference.hpp"
#include "espalier/plan/published.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/json.hpp"
#include "espalier/train/session.hpp"
#include "testing/npy.hpp"

namespace espalier::train {
namespace {

namespace fs = std::filesystem;
using espalier::testing::read_npy;
using espalier::testing::to_nhwc;

constexpr int kImages = 4;

// The golden forward pass, by tensor of the graph, dense NHWC, all images.
struct Golden {
  ir::Graph graph;
  std::vector<std::vector<std::int8_t>> outputs;
  std::vector<std::vector<std::uint8_t>> masks;
  ir::Head head;
  std::vector<int> labels;
};

Golden load_golden(const fs::path& data) {
  const fs::path folder = data / "reference" / "golden_mcunet5fps_forward";
  Result<ir::Graph> graph = import_model(data / "models" / "mcunet-5fps.onnx");
  EXPECT_TRUE(graph.ok());
  Golden golden;
  golden.graph = std::move(graph).value();
  golden.outputs.resize(golden.graph.tensors.size());
  golden.masks.resize(golden.graph.tensors.size());
  for (std::size_t t = 0; t < golden.graph.tensors.size(); ++t) {
    const std::string& name = golden.graph.tensors[t].name;
    const std::string stem = name.substr(0, name.size() - 2);  // without _q
    const std::string file =
        stem + (fs::exists(folder / (stem + "_out.npy")) ? "_out.npy" : "_q.npy");
    const auto values = read_npy<std::int8_t>(folder / file);
    golden.outputs[t] = values.shape.size() == 4 ? to_nhwc(values) : values.values;
    if (!fs::exists(folder / (stem + "_maskbits.npy"))) continue;
    const auto bits = read_npy<std::uint8_t>(folder / (stem + "_maskbits.npy"));
    espalier::testing::Array<std::uint8_t> mask{values.shape, {}};
    for (std::size_t i = 0; i < values.values.size(); ++i) {
      mask.values.push_back(bits.values[i / 8] >> (i % 8) & 1);
    }
    golden.masks[t] = to_nhwc(mask);
  }
  const auto weight = read_npy<float>(folder / "head_weight.npy");
  golden.head = {160, 10, weight.values, read_npy<float>(folder / "head_bias.npy").values};
  golden.labels = read_npy<int>(folder / "labels.npy").values;
  return golden;
}

template <typename T>
std::vector<T> image(const std::vector<T>& all, int i) {
  const std::size_t size = all.size() / kImages;
  const auto first = all.begin() + static_cast<std::ptrdiff_t>(size) * i;
  return {first, first + static_cast<std::ptrdiff_t>(size)};
}

// Copies dense maps of all images into a workspace's padded tensor.
template <typename T, typename U>
void put(const Network& network, ir::TensorId id, const std::vector<T>& dense, U* out) {
  const int channels = network.graph().tensor(id).shape.channels;
  const int stride = network.stride(id);
  for (std::size_t p = 0; p < dense.size() / static_cast<std::size_t>(channels); ++p) {
    for (int c = 0; c < channels; ++c) {
      out[p * static_cast<std::size_t>(stride) + static_cast<std::size_t>(c)] =
          dense[p * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)];
    }
  }
}

TEST(GoldenForward, EveryLayerOnItsOwnInput) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Golden golden = load_golden(data);
  int differing = 0;
  int masks_differing = 0;
  std::int64_t compared = 0;
  for (const ir::Op& op : golden.graph.ops) {
    const auto y = static_cast<std::size_t>(op.output);
    for (int i = 0; i < kImages; ++i) {
      std::vector<std::vector<std::int8_t>> inputs;
      for (const ir::TensorId id : op.inputs) {
        inputs.push_back(image(golden.outputs[static_cast<std::size_t>(id)], i));
      }
      const kernels::reference::Forward result =
          kernels::reference::forward(golden.graph, op, inputs);
      const std::vector<std::int8_t> expected = image(golden.outputs[y], i);
      ASSERT_EQ(result.output.size(), expected.size()) << op.name;
      for (std::size_t k = 0; k < expected.size(); ++k) {
        const int distance = std::abs(result.output[k] - expected[k]);
        ASSERT_LE(distance, 1) << op.name;
        differing += distance;
        ++compared;
      }
      if (golden.masks[y].empty()) continue;
      const std::vector<std::uint8_t> mask = image(golden.masks[y], i);
      for (std::size_t k = 0; k < mask.size(); ++k) {
        if (mask[k] == result.mask[k]) continue;
        ++masks_differing;
        // A mask can only differ where rounding moved the value across the clamp.
        ASSERT_TRUE(expected[k] == -128 || expected[k] == 127) << op.name;
      }
    }
  }
  EXPECT_GT(compared, 3000000);
  EXPECT_LE(differing, 30);
  EXPECT_LE(masks_differing, 30);
  RecordProperty("differing_outputs", differing);
  RecordProperty("differing_masks", masks_differing);
}

// The fast path through the whole network equals the scalar reference bit for bit.
TEST(GoldenForward, FastPathEqualsReferenceEndToEnd) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Golden golden = load_golden(data);
  const Network network(golden.graph);
  const Session session(network, plan::full(golden.graph), golden.head);
  Workspace workspace(session);
  put(network, golden.graph.input, golden.outputs[static_cast<std::size_t>(golden.graph.input)],
      workspace.activation(golden.graph.input));
  session.forward(workspace, kImages, true);
  for (int i = 0; i < kImages; ++i) {
    std::vector<std::vector<std::int8_t>> tensors(golden.graph.tensors.size());
    const auto input = static_cast<std::size_t>(golden.graph.input);
    tensors[input] = image(golden.outputs[input], i);
    for (std::size_t o = 0; o < golden.graph.ops.size(); ++o) {
      const ir::Op& op = golden.graph.ops[o];
      std::vector<std::vector<std::int8_t>> inputs;
      for (const ir::TensorId id : op.inputs)
        inputs.push_back(tensors[static_cast<std::size_t>(id)]);
      const kernels::reference::Forward expected =
          kernels::reference::forward(golden.graph, op, inputs);
      const ir::Shape shape = golden.graph.tensor(op.output).shape;
      const std::size_t base = network.elements(op.output) * static_cast<std::size_t>(i);
      for (std::size_t k = 0; k < expected.output.size(); ++k) {
        const std::size_t channels = static_cast<std::size_t>(shape.channels);
        const std::size_t at = base +
                               k / channels * static_cast<std::size_t>(network.stride(op.output)) +
                               k % channels;
        ASSERT_EQ(workspace.activation(op.output)[at], expected.output[k]) << op.name;
        if (std::holds_alternative<ir::Conv2D>(op.params) ||
            std::holds_alternative<ir::Add>(op.params)) {
          ASSERT_EQ(workspace.mask(static_cast<int>(o))[at], expected.mask[k]) << op.name;
        }
      }
      tensors[static_cast<std::size_t>(op.output)] = expected.output;
    }
  }
}

double largest(const std::vector<float>& values) {
  double most = 1e-30;
  for (const float v : values) most = std::max(most, static_cast<double>(std::abs(v)));
  return most;
}

class GoutCheck : public BackwardObserver {
 public:
  GoutCheck(const Network& network, const fs::path& folder) : network_(network), folder_(folder) {}
  void after(int op, int first, int /*samples*/, const float* gradient) override {
    if (first > 0) return;
    const ir::TensorId id = network_.graph().ops[static_cast<std::size_t>(op)].output;
    const std::string& name = network_.graph().tensor(id).name;
    const fs::path file = folder_ / (name.substr(0, name.size() - 2) + "_gout.npy");
    if (!fs::exists(file)) return;
    ++checked;
    const std::vector<float> expected = to_nhwc(read_npy<float>(file));
    const auto& factor = network_.ops()[static_cast<std::size_t>(op)].requantization.factor;
    const auto channels = static_cast<std::size_t>(network_.graph().tensor(id).shape.channels);
    const auto stride = static_cast<std::size_t>(network_.stride(id));
    const double bound = 1e-5 * largest(expected);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      // Golden values reach the pre-clamp value; ours already carry the requantisation factor.
      const float ours = gradient[k / channels * stride + k % channels];
      ASSERT_NEAR(ours, expected[k] * factor[k % channels], bound * factor[k % channels] + 1e-30)
          << name;
    }
  }
  int checked = 0;

 private:
  const Network& network_;
  fs::path folder_;
};

TEST(GoldenBackward, EveryGradientGivenTheGoldenForward) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Golden golden = load_golden(data);
  const Network network(golden.graph);
  Session session(network, plan::full(golden.graph), golden.head);
  Workspace workspace(session);
  put(network, golden.graph.input, golden.outputs[static_cast<std::size_t>(golden.graph.input)],
      workspace.activation(golden.graph.input));
  session.forward(workspace, kImages, true);
  // Replace our forward pass by the golden one; the head reads features and logits computed from
  // them, which the golden pool output equals exactly.
  for (std::size_t o = 0; o < golden.graph.ops.size(); ++o) {
    const ir::TensorId y = golden.graph.ops[o].output;
    put(network, y, golden.outputs[static_cast<std::size_t>(y)], workspace.activation(y));
    const auto& mask = golden.masks[static_cast<std::size_t>(y)];
    if (!mask.empty()) put(network, y, mask, workspace.mask(static_cast<int>(o)));
  }
  session.forward_head(workspace, kImages);

  const fs::path forward = data / "reference" / "golden_mcunet5fps_forward";
  const auto logits = read_npy<float>(forward / "logits.npy").values;
  for (int s = 0; s < kImages; ++s) {
    for (int c = 0; c < 10; ++c) {
      ASSERT_NEAR(session.logits(workspace)[s * session.logit_stride() + c],
                  logits[static_cast<std::size_t>(s * 10 + c)], 1e-5);
    }
  }
  Gradients gradients = session.make_gradients();
  GoutCheck gout(network, data / "reference" / "golden_mcunet5fps_gout_image0");
  session.backward(workspace, golden.labels, kImages, gradients, &gout);
  EXPECT_GE(gout.checked, 42);
  EXPECT_NEAR(gradients.loss / kImages, read_npy<float>(forward / "loss.npy").values[0], 1e-5);

  const fs::path folder = data / "reference" / "golden_mcunet5fps_grads";
  for (std::size_t index = 0; index < network.convs().size(); ++index) {
    const std::string stem = fmt::format("conv{:02}", index);
    const int op = network.convs()[index];
    const ir::Op& node = golden.graph.ops[static_cast<std::size_t>(op)];
    const auto& conv = std::get<ir::Conv2D>(node.params);
    const std::vector<float> dense = session.dense_weight_gradient(gradients, op);
    // OIHW to OHWI is NCHW to NHWC with N = O.
    const std::vector<float> dw = to_nhwc(read_npy<float>(folder / (stem + "_wgrad.npy")));
    const std::vector<float> dw_qas = to_nhwc(read_npy<float>(folder / (stem + "_wgrad_qas.npy")));
    ASSERT_EQ(dense.size(), dw.size());
    const std::size_t fan_in = dense.size() / conv.weight_scales.size();
    const double bound = 1e-5 * largest(dw);
    const double bound_qas = 1e-5 * largest(dw_qas);
    for (std::size_t i = 0; i < dense.size(); ++i) {
      const float scale = conv.weight_scales[i / fan_in];
      ASSERT_NEAR(dense[i], dw[i], bound) << stem;
      ASSERT_NEAR(dense[i] == 0.0F ? 0.0F : dense[i] / (scale * scale), dw_qas[i], bound_qas)
          << stem;
    }
    const auto db = read_npy<float>(folder / (stem + "_bgrad.npy")).values;
    const auto db_qas = read_npy<float>(folder / (stem + "_bgrad_qas.npy")).values;
    const float in_scale = golden.graph.tensor(node.inputs[0]).quantization.scale;
    for (std::size_t c = 0; c < db.size(); ++c) {
      const float sum = gradients.convs[static_cast<std::size_t>(op)].bias[c];
      const float scale = in_scale * conv.weight_scales[c];
      ASSERT_NEAR(sum, db[c], 1e-5 * largest(db)) << stem;
      ASSERT_NEAR(sum == 0.0F ? 0.0F : sum / (scale * scale), db_qas[c], 1e-5 * largest(db_qas))
          << stem;
    }
  }
  const auto head_grad = read_npy<float>(forward / "head_weight_grad.npy").values;
  const double head_bound = 1e-5 * largest(head_grad);
  for (std::size_t i = 0; i < head_grad.size(); ++i) {
    ASSERT_NEAR(gradients.head_weights[i], head_grad[i], head_bound);
  }
}

// The losses of the first steps of SGD from the golden start. Later ones hang on single roundings.
TEST(GoldenTrajectory, FirstLossesOfEveryUpdateSet) {
  ESPALIER_SHARED_DATA_OR_SKIP(data);
  const Golden golden = load_golden(data);
  const Network network(golden.graph);
  Result<std::string> text = read_file(data / "reference" / "golden_trajectories.json");
  ASSERT_TRUE(text.ok());
  const Json document = *parse_json(*text, "golden_trajectories.json");
  int runs = 0;
  for (const auto& [name, run] : document["runs"].items()) {
    if (!run["qas"].get<bool>()) continue;
    const Result<plan::UpdatePlan> plan = plan::from_published(golden.graph, run["config"], name);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    Session session(network, *plan, golden.head, 0);
    Workspace workspace(session);
    put(network, golden.graph.input, golden.outputs[static_cast<std::size_t>(golden.graph.input)],
        workspace.activation(golden.graph.input));
    Gradients gradients = session.make_gradients();
    for (std::size_t step = 0; step < 3; ++step) {
      session.forward(workspace, kImages, true);
      Session::clear(gradients);
      session.backward(workspace, golden.labels, kImages, gradients);
      const double expected = run["losses"][step].get<double>();
      EXPECT_NEAR(gradients.loss / kImages, expected, (step == 0 ? 0.01 : 0.15) * expected)
          << name << " step " << step;
      ASSERT_TRUE(session.update(gradients, run["lr"].get<float>(), true));
    }
    ++runs;
  }
  EXPECT_GE(runs, 4);
}

}  // namespace
}  // namespace espalier::train
