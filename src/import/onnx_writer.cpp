#include "espalier/import/onnx_writer.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "diagnostics.hpp"
#include "espalier/import/metadata.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"

namespace espalier {
namespace {

constexpr std::int64_t kIrVersion = 7;
constexpr std::int64_t kOpset = 13;

template <typename T>
constexpr onnx::TensorProto::DataType kDataType = onnx::TensorProto::UNDEFINED;
template <>
constexpr onnx::TensorProto::DataType kDataType<float> = onnx::TensorProto::FLOAT;
template <>
constexpr onnx::TensorProto::DataType kDataType<std::int8_t> = onnx::TensorProto::INT8;
template <>
constexpr onnx::TensorProto::DataType kDataType<std::int32_t> = onnx::TensorProto::INT32;

using Dims = std::vector<std::int64_t>;

class Writer {
 public:
  explicit Writer(const ir::Graph& graph) : graph_(graph), bases_(graph.tensors.size()) {}

  std::string run() {
    model_.set_ir_version(kIrVersion);
    model_.set_producer_name("espalier");
    model_.add_opset_import()->set_version(kOpset);
    // File names can be any bytes, a name in the format is UTF-8.
    body().set_name(graph_.name.empty() ? "espalier" : import_detail::printable(graph_.name));
    name_tensors();
    write_input();
    for (const ir::Op& op : graph_.ops) {
      std::visit([&](const auto& params) { write(params, op); }, op.params);
    }
    write_head();
    write_class_names();
    return serialize();
  }

 private:
  onnx::GraphProto& body() { return *model_.mutable_graph(); }

  // ---- pieces ----
  template <typename T>
  std::string constant(const std::string& name, const Dims& dims, const std::vector<T>& values) {
    onnx::TensorProto& tensor = *body().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(kDataType<T>);
    for (const std::int64_t extent : dims) tensor.add_dims(extent);
    tensor.set_raw_data(values.data(), values.size() * sizeof(T));
    return name;
  }

  onnx::NodeProto& node(const std::string& type, const std::string& name,
                        const std::vector<std::string>& inputs, const std::string& output) {
    onnx::NodeProto& made = *body().add_node();
    made.set_op_type(type);
    made.set_name(name);
    for (const std::string& input : inputs) made.add_input(input);
    made.add_output(output);
    return made;
  }

  static void attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::INT);
    made.set_i(value);
  }
  static void attribute(onnx::NodeProto& node, const std::string& name, const Dims& values) {
    onnx::AttributeProto& made = *node.add_attribute();
    made.set_name(name);
    made.set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) made.add_ints(value);
  }

  static void window(onnx::NodeProto& node, const ir::Window& w) {
    attribute(node, "kernel_shape", Dims{w.kernel_h, w.kernel_w});
    attribute(node, "pads", Dims{w.pad_top, w.pad_left, w.pad_bottom, w.pad_right});
    attribute(node, "strides", Dims{w.stride_h, w.stride_w});
  }

  void declare(onnx::ValueInfoProto& value, const std::string& name, const Dims& dims) {
    value.set_name(name);
    onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param("N");
    for (const std::int64_t extent : dims) type.mutable_shape()->add_dim()->set_dim_value(extent);
  }

  // ---- names ----
  // Everything about tensor `id` is named after base(id): base_f, base_q, base_dq, base_scale.
  [[nodiscard]] const std::string& base(ir::TensorId id) const {
    return bases_[static_cast<std::size_t>(id)];
  }
  std::string dequantized(ir::TensorId id) const { return base(id) + "_dq"; }

  // True, and every name made from the base reserved, unless one of them is in use.
  bool reserve(const std::string& base) {
    constexpr std::array<std::string_view, 18> kSuffixes{
        "",   "_f",       "_q",    "_dq",   "_scale", "_zp",      "_clip_f", "_min",   "_max",
        "_w", "_w_scale", "_w_zp", "_w_dq", "_b",     "_b_scale", "_b_dq",   "_table", "_index"};
    std::vector<std::string> names;
    for (const std::string_view suffix : kSuffixes) names.push_back(base + std::string(suffix));
    for (const std::string& name : names) {
      if (taken_.count(name) > 0) return false;
    }
    taken_.insert(names.begin(), names.end());
    return true;
  }

  void claim(ir::TensorId id, const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !reserve(name); ++i) name = fmt::format("{}_{}", wanted, i);
    bases_[static_cast<std::size_t>(id)] = name;
  }

  // Convolutions go by their index; other tensors keep the name they have, as far as it is free.
  void name_tensors() {
    taken_ = {"logits", "flatten_f", "head_w", "head_b"};
    claim(graph_.input, "input");
    int conv_index = 0;
    for (const ir::Op& op : graph_.ops) {
      if (std::holds_alternative<ir::Conv2D>(op.params)) {
        claim(op.output, fmt::format("conv{:02}", conv_index++));
      }
    }
    for (const ir::Op& op : graph_.ops) {
      if (std::holds_alternative<ir::Conv2D>(op.params)) continue;
      std::string_view name = graph_.tensor(op.output).name;
      if (name.ends_with("_q")) name.remove_suffix(2);
      claim(op.output, std::string(name.empty() ? ir::mnemonic(op.params) : name));
    }
  }

  // ---- quantisation ----
  void write_input() {
    const ir::Shape& shape = graph_.tensor(graph_.input).shape;
    declare(*body().add_input(), "input", {shape.channels, shape.height, shape.width});
    quantize(graph_.input, "input");
  }

  // QuantizeLinear and DequantizeLinear behind a float value; the latter alone where `real` is
  // empty, since the integers are there.
  void quantize(ir::TensorId id, const std::string& real) {
    const ir::Quantization& q = graph_.tensor(id).quantization;
    const std::string& name = base(id);
    const std::string scale = constant<float>(name + "_scale", {}, {q.scale});
    const std::string zero =
        constant<std::int8_t>(name + "_zp", {}, {static_cast<std::int8_t>(q.zero_point)});
    if (!real.empty()) {
      node("QuantizeLinear", name + "_QuantizeLinear", {real, scale, zero}, name + "_q");
    }
    node("DequantizeLinear", name + "_DequantizeLinear", {name + "_q", scale, zero},
         dequantized(id));
  }

  // Clamps that are tighter than int8 become a Clip before the quantisation.
  void finish(const ir::Op& op, std::string real) {
    constexpr int kLow = -128;
    constexpr int kHigh = 127;
    const std::string& name = base(op.output);
    if (op.clamp_low > kLow || op.clamp_high < kHigh) {
      const ir::Quantization& q = graph_.tensor(op.output).quantization;
      const auto bound = [&](const char* suffix, int value) {
        return constant<float>(name + suffix, {},
                               {static_cast<float>(value - q.zero_point) * q.scale});
      };
      std::vector<std::string> inputs{
          real, op.clamp_low > kLow ? bound("_min", op.clamp_low) : std::string()};
      if (op.clamp_high < kHigh) inputs.push_back(bound("_max", op.clamp_high));
      const std::string clipped = name + "_clip_f";
      node("Clip", name + "_clip", inputs, clipped);
      real = clipped;
    }
    quantize(op.output, real);
  }

  // ---- ops ----
  void write(const ir::Conv2D& conv, const ir::Op& op) {
    const std::string& name = base(op.output);
    const std::int64_t out = conv.out_channels;
    const std::string weights = dequantize_weights(name, conv);
    std::vector<float> bias_scales;
    for (const float scale : conv.weight_scales) {
      bias_scales.push_back(graph_.tensor(op.inputs[0]).quantization.scale * scale);
    }
    onnx::NodeProto& bias = node(
        "DequantizeLinear", name + "_b_DequantizeLinear",
        {constant(name + "_b", {out}, conv.bias), constant(name + "_b_scale", {out}, bias_scales)},
        name + "_b_dq");
    attribute(bias, "axis", 0);
    onnx::NodeProto& made =
        node("Conv", name, {dequantized(op.inputs[0]), weights, name + "_b_dq"}, name + "_f");
    attribute(made, "dilations", Dims{conv.window.dilation_h, conv.window.dilation_w});
    attribute(made, "group", conv.groups);
    window(made, conv.window);
    finish(op, name + "_f");
  }

  std::string dequantize_weights(const std::string& name, const ir::Conv2D& conv) {
    const ir::Window& w = conv.window;
    const int in = conv.in_per_group();
    const Dims dims{conv.out_channels, in, w.kernel_h, w.kernel_w};
    // [out][h][w][in] to [out][in][h][w].
    std::vector<std::int8_t> weights;
    weights.reserve(conv.weights.size());
    const std::int64_t pixels = std::int64_t{w.kernel_h} * w.kernel_w;
    for (std::int64_t o = 0; o < conv.out_channels; ++o) {
      for (std::int64_t i = 0; i < in; ++i) {
        for (std::int64_t p = 0; p < pixels; ++p) {
          weights.push_back(conv.weights[static_cast<std::size_t>((o * pixels + p) * in + i)]);
        }
      }
    }
    const std::int64_t out = conv.out_channels;
    onnx::NodeProto& made =
        node("DequantizeLinear", name + "_w_DequantizeLinear",
             {constant(name + "_w", dims, weights),
              constant(name + "_w_scale", {out}, conv.weight_scales),
              constant(name + "_w_zp", {out},
                       std::vector<std::int8_t>(static_cast<std::size_t>(out), 0))},
             name + "_w_dq");
    attribute(made, "axis", 0);
    return name + "_w_dq";
  }

  void write(const ir::Add&, const ir::Op& op) {
    const std::string& name = base(op.output);
    node("Add", name, {dequantized(op.inputs[0]), dequantized(op.inputs[1])}, name + "_f");
    finish(op, name + "_f");
  }

  void write(const ir::Mul&, const ir::Op& op) {
    const std::string& name = base(op.output);
    node("Mul", name, {dequantized(op.inputs[0]), dequantized(op.inputs[1])}, name + "_f");
    finish(op, name + "_f");
  }

  void write(const ir::Concat&, const ir::Op& op) {
    const std::string& name = base(op.output);
    std::vector<std::string> operands;
    for (const ir::TensorId id : op.inputs) operands.push_back(dequantized(id));
    attribute(node("Concat", name, operands, name + "_f"), "axis", std::int64_t{1});
    finish(op, name + "_f");
  }

  void write(const ir::Select& select, const ir::Op& op) {
    const std::string& name = base(op.output);
    const std::vector<std::int32_t> channels(select.channels.begin(), select.channels.end());
    const auto count = static_cast<std::int64_t>(channels.size());
    attribute(node("Gather", name,
                   {dequantized(op.inputs[0]), constant(name + "_channels", {count}, channels)},
                   name + "_f"),
              "axis", std::int64_t{1});
    finish(op, name + "_f");
  }

  void write_pool(const std::string& kind, const ir::Window& w, const ir::Op& op) {
    const std::string& name = base(op.output);
    const ir::Shape& in = graph_.tensor(op.inputs[0]).shape;
    const bool global = w.kernel_h == in.height && w.kernel_w == in.width && w.pad_top == 0 &&
                        w.pad_left == 0 && w.pad_bottom == 0 && w.pad_right == 0;
    onnx::NodeProto& made =
        node(global ? "Global" + kind : kind, name, {dequantized(op.inputs[0])}, name + "_f");
    if (!global) window(made, w);
    finish(op, name + "_f");
  }
  void write(const ir::AveragePool& pool, const ir::Op& op) {
    write_pool("AveragePool", pool.window, op);
  }
  void write(const ir::MaxPool& pool, const ir::Op& op) { write_pool("MaxPool", pool.window, op); }

  void write(const ir::Rescale&, const ir::Op& op) { finish(op, dequantized(op.inputs[0])); }

  // The integers look their outputs up. Gather counts from the end what is below zero, so that the
  // table begins with the output of 0.
  void write(const ir::Lookup& table, const ir::Op& op) {
    const std::string& name = base(op.output);
    const std::string integers = base(op.inputs[0]) + "_q";
    attribute(node("Cast", name + "_Cast", {integers}, name + "_index"), "to",
              std::int64_t{onnx::TensorProto::INT32});
    std::vector<std::int8_t> turned(table.outputs.begin(), table.outputs.end());
    std::rotate(turned.begin(), turned.begin() + 128, turned.end());
    node("Gather", name, {constant(name + "_table", {256}, turned), name + "_index"}, name + "_q");
    quantize(op.output, "");
    add_metadata(derivatives_key(name + "_q"), derivatives_to_metadata(table.derivatives));
  }

  // ---- head ----
  void write_head() {
    const ir::Head& head = graph_.head;
    const ir::Shape& shape = graph_.tensor(graph_.features).shape;
    // Flatten counts channels first, the graph channels last.
    std::vector<float> weights;
    weights.reserve(head.weights.size());
    const std::int64_t pixels = shape.pixels();
    for (std::int64_t c = 0; c < head.classes; ++c) {
      for (std::int64_t i = 0; i < shape.channels; ++i) {
        for (std::int64_t p = 0; p < pixels; ++p) {
          weights.push_back(
              head.weights[static_cast<std::size_t>((c * pixels + p) * shape.channels + i)]);
        }
      }
    }
    onnx::NodeProto& flatten =
        node("Flatten", "flatten", {dequantized(graph_.features)}, "flatten_f");
    attribute(flatten, "axis", 1);
    onnx::NodeProto& gemm =
        node("Gemm", "head",
             {"flatten_f", constant("head_w", {head.classes, head.features}, weights),
              constant("head_b", {head.classes}, head.bias)},
             "logits");
    attribute(gemm, "transB", 1);
    declare(*body().add_output(), "logits", {head.classes});
  }

  void write_class_names() {
    if (graph_.head.class_names.empty()) return;
    add_metadata(kClassNamesKey, class_names_to_metadata(graph_.head.class_names));
  }

  void add_metadata(const std::string& key, const std::string& value) {
    onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }

  std::string serialize() {
    std::string bytes;
    {
      google::protobuf::io::StringOutputStream text(&bytes);
      google::protobuf::io::CodedOutputStream coded(&text);
      coded.SetSerializationDeterministic(true);
      model_.SerializeToCodedStream(&coded);
    }
    return bytes;
  }

  const ir::Graph& graph_;
  onnx::ModelProto model_;
  std::vector<std::string> bases_;
  std::unordered_set<std::string> taken_;
};

}  // namespace

Result<std::string> export_onnx_bytes(const ir::Graph& graph) {
  ESPALIER_CHECK_OK(ir::verify(graph));
  return Writer(ir::in_file_units(graph)).run();
}

Status export_onnx(const ir::Graph& graph, const std::filesystem::path& path) {
  ESPALIER_TRY(const std::string bytes, export_onnx_bytes(graph));
  return write_file_atomic(path, bytes);
}

}  // namespace espalier
