// Small ONNX models for tests, built node by node as a quantiser would write them.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "espalier/import/onnx_reader.hpp"

namespace espalier::testing {

using Dims = std::vector<std::int64_t>;

template <typename T>
constexpr onnx::TensorProto::DataType onnx_type() {
  if constexpr (std::is_same_v<T, float>) return onnx::TensorProto::FLOAT;
  if constexpr (std::is_same_v<T, std::int8_t>) return onnx::TensorProto::INT8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return onnx::TensorProto::UINT8;
  if constexpr (std::is_same_v<T, std::int32_t>) return onnx::TensorProto::INT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return onnx::TensorProto::INT64;
}

template <typename T>
onnx::TensorProto make_tensor(const std::string& name, const Dims& dims,
                              const std::vector<T>& values) {
  onnx::TensorProto tensor;
  tensor.set_name(name);
  tensor.set_data_type(onnx_type<T>());
  for (const std::int64_t d : dims) tensor.add_dims(d);
  tensor.set_raw_data(values.data(), values.size() * sizeof(T));
  return tensor;
}

inline void set_attribute(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INT);
  a.set_i(value);
}
inline void set_attribute(onnx::NodeProto& node, const std::string& name, float value) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::FLOAT);
  a.set_f(value);
}
inline void set_attribute(onnx::NodeProto& node, const std::string& name,
                          const std::string& value) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::STRING);
  a.set_s(value);
}
inline void set_attribute(onnx::NodeProto& node, const std::string& name, const Dims& values) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t v : values) a.add_ints(v);
}

/// Repeating values low, low+1, ..., high, so that every position of a small tensor is told apart.
template <typename T>
std::vector<T> ramp(std::int64_t count, int low, int high) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<T>(low + static_cast<int>(i) % (high - low + 1)));
  }
  return values;
}

class OnnxBuilder {
 public:
  explicit OnnxBuilder(std::int64_t opset = 13) {
    model.set_ir_version(7);
    model.add_opset_import()->set_version(opset);
    graph().set_name("test");
  }

  onnx::GraphProto& graph() { return *model.mutable_graph(); }
  onnx::NodeProto& node_at(int i) { return *graph().mutable_node(i); }

  /// 0 is a free dimension.
  std::string input(const std::string& name, const Dims& dims,
                    onnx::TensorProto::DataType type = onnx::TensorProto::FLOAT) {
    declare(*graph().add_input(), name, dims, type);
    return name;
  }
  void output(const std::string& name, const Dims& dims) {
    declare(*graph().add_output(), name, dims, onnx::TensorProto::FLOAT);
  }

  template <typename T>
  std::string constant(const std::string& name, const Dims& dims, const std::vector<T>& values) {
    *graph().add_initializer() = make_tensor(name, dims, values);
    return name;
  }
  std::string scalar(const std::string& name, float value) {
    return constant<float>(name, {}, {value});
  }

  /// Adds a node named like its output.
  onnx::NodeProto& node(const std::string& type, const std::vector<std::string>& inputs,
                        const std::string& output) {
    onnx::NodeProto& made = *graph().add_node();
    made.set_op_type(type);
    made.set_name(output);
    for (const std::string& name : inputs) made.add_input(name);
    made.add_output(output);
    return made;
  }
  std::string relu(const std::string& x, const std::string& name) {
    node("Relu", {x}, name);
    return name;
  }

  /// QuantizeLinear and DequantizeLinear of tensor `name`; returns NAME_dq. T is int8 or uint8.
  template <typename T = std::int8_t>
  std::string quantized(const std::string& real, const std::string& name, float scale, int zero) {
    scalar(name + "_scale", scale);
    constant<T>(name + "_zp", {}, {static_cast<T>(zero)});
    node("QuantizeLinear", {real, name + "_scale", name + "_zp"}, name + "_q");
    node("DequantizeLinear", {name + "_q", name + "_scale", name + "_zp"}, name + "_dq");
    return name + "_dq";
  }

  /// Integer weights behind DequantizeLinear; returns NAME_dq. One scale, or one per `axis`.
  template <typename T = std::int8_t>
  std::string weights(const std::string& name, const Dims& dims, const std::vector<T>& values,
                      const std::vector<float>& scales, int zero = 0, std::int64_t axis = 0) {
    constant<T>(name, dims, values);
    const bool per_tensor = scales.size() == 1;
    const Dims parameters = per_tensor ? Dims{} : Dims{static_cast<std::int64_t>(scales.size())};
    constant<float>(name + "_scale", parameters, scales);
    constant<T>(name + "_zp", parameters, std::vector<T>(scales.size(), static_cast<T>(zero)));
    onnx::NodeProto& made =
        node("DequantizeLinear", {name, name + "_scale", name + "_zp"}, name + "_dq");
    if (!per_tensor) set_attribute(made, "axis", axis);
    return name + "_dq";
  }

  /// int32 bias behind DequantizeLinear without zero point; returns NAME_dq.
  std::string bias(const std::string& name, const std::vector<std::int32_t>& values,
                   const std::vector<float>& scales) {
    constant<std::int32_t>(name, {static_cast<std::int64_t>(values.size())}, values);
    constant<float>(name + "_scale", {static_cast<std::int64_t>(scales.size())}, scales);
    set_attribute(node("DequantizeLinear", {name, name + "_scale"}, name + "_dq"), "axis",
                  std::int64_t{0});
    return name + "_dq";
  }

  /// Float Gemm on flattened features: the usual end of a network. Returns the float weights.
  std::vector<float> classifier(const std::string& features, std::int64_t in,
                                std::int64_t classes) {
    set_attribute(node("Flatten", {features}, "features_flat"), "axis", std::int64_t{1});
    std::vector<float> values = ramp<float>(in * classes, -50, 47);
    for (float& v : values) v *= 0.01F;
    constant<float>("fc_w", {classes, in}, values);
    constant<float>("fc_b", {classes}, std::vector<float>(static_cast<std::size_t>(classes), 0.5F));
    set_attribute(node("Gemm", {"features_flat", "fc_w", "fc_b"}, "logits"), "transB",
                  std::int64_t{1});
    output("logits", {0, classes});
    return values;
  }

  [[nodiscard]] std::string bytes() const { return model.SerializeAsString(); }
  [[nodiscard]] Result<ir::Graph> import() const {
    return import_onnx_bytes(bytes(), "model.onnx", "model");
  }

  onnx::ModelProto model;

 private:
  static void declare(onnx::ValueInfoProto& value, const std::string& name, const Dims& dims,
                      onnx::TensorProto::DataType type) {
    value.set_name(name);
    onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(type);
    for (const std::int64_t d : dims) {
      auto& dim = *tensor.mutable_shape()->add_dim();
      if (d == 0) {
        dim.set_dim_param("N");
      } else {
        dim.set_dim_value(d);
      }
    }
  }
};

}  // namespace espalier::testing
