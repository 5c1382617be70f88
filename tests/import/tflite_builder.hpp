// Small TFLite models for tests, built operator by operator as the converter writes them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/import/tflite_reader.hpp"
#include "tflite/schema_generated.h"

namespace espalier::testing {

using tflite::BuiltinOperator;
using tflite::TensorType;

class TfliteBuilder {
 public:
  TfliteBuilder() {
    model.version = 3;
    model.subgraphs.push_back(std::make_unique<tflite::SubGraphT>());
    model.buffers.push_back(std::make_unique<tflite::BufferT>());
  }

  tflite::SubGraphT& graph() { return *model.subgraphs[0]; }
  tflite::TensorT& tensor(int i) { return *graph().tensors[static_cast<std::size_t>(i)]; }
  tflite::OperatorT& op(std::size_t i) { return *graph().operators[i]; }

  /// An activation.
  int activation(const std::string& name, std::vector<std::int32_t> shape, float scale, int zero,
                 TensorType type = TensorType::INT8) {
    auto made = std::make_unique<tflite::TensorT>();
    made->name = name;
    made->shape = std::move(shape);
    made->type = type;
    if (type != TensorType::FLOAT32) {
      made->quantization = std::make_unique<tflite::QuantizationParametersT>();
      made->quantization->scale = {scale};
      made->quantization->zero_point = {zero};
    }
    graph().tensors.push_back(std::move(made));
    return static_cast<int>(graph().tensors.size()) - 1;
  }
  int input(std::vector<std::int32_t> shape, float scale, int zero,
            TensorType type = TensorType::INT8) {
    graph().inputs = {activation("input", std::move(shape), scale, zero, type)};
    return graph().inputs[0];
  }

  template <typename T>
  int constant(const std::string& name, std::vector<std::int32_t> shape,
               const std::vector<T>& values, TensorType type, std::vector<float> scales = {},
               std::int32_t axis = 0, int zero = 0) {
    const int id = activation(name, std::move(shape), 1, 0, type);
    auto buffer = std::make_unique<tflite::BufferT>();
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(values.data());
    buffer->data.assign(bytes, bytes + values.size() * sizeof(T));
    tensor(id).buffer = static_cast<std::uint32_t>(model.buffers.size());
    model.buffers.push_back(std::move(buffer));
    tensor(id).quantization = std::make_unique<tflite::QuantizationParametersT>();
    tensor(id).quantization->zero_point.assign(scales.size(), zero);
    tensor(id).quantization->scale = std::move(scales);
    tensor(id).quantization->quantized_dimension = axis;
    return id;
  }
  int weights(const std::string& name, std::vector<std::int32_t> shape,
              const std::vector<std::int8_t>& values, std::vector<float> scales, int axis = 0) {
    return constant(name, std::move(shape), values, TensorType::INT8, std::move(scales), axis);
  }
  int integers(const std::string& name, const std::vector<std::int32_t>& values,
               std::vector<std::int32_t> shape = {}) {
    if (shape.empty()) shape = {static_cast<std::int32_t>(values.size())};
    return constant(name, std::move(shape), values, TensorType::INT32);
  }

  tflite::OperatorT& add(BuiltinOperator code, std::vector<std::int32_t> inputs, int output) {
    auto made = std::make_unique<tflite::OperatorT>();
    made->opcode_index = opcode(code);
    made->inputs = std::move(inputs);
    made->outputs = {output};
    graph().operators.push_back(std::move(made));
    return *graph().operators.back();
  }

  struct Window {
    tflite::Padding padding = tflite::Padding::SAME;
    int stride_h = 1;
    int stride_w = 1;
    tflite::Activation activation = tflite::Activation::NONE;
  };
  void conv(std::vector<std::int32_t> inputs, int output, Window w) {
    tflite::Conv2DOptionsT options;
    options.padding = w.padding;
    options.stride_h = w.stride_h;
    options.stride_w = w.stride_w;
    options.activation = w.activation;
    add(BuiltinOperator::CONV_2D, std::move(inputs), output).options.Set(options);
  }
  void depthwise(std::vector<std::int32_t> inputs, int output, int multiplier, Window w) {
    tflite::DepthwiseConv2DOptionsT options;
    options.padding = w.padding;
    options.stride_h = w.stride_h;
    options.stride_w = w.stride_w;
    options.activation = w.activation;
    options.depth_multiplier = multiplier;
    add(BuiltinOperator::DEPTHWISE_CONV_2D, std::move(inputs), output).options.Set(options);
  }
  void dense(std::vector<std::int32_t> inputs, int output,
             tflite::Activation activation = tflite::Activation::NONE) {
    tflite::FullyConnectedOptionsT options;
    options.activation = activation;
    add(BuiltinOperator::FULLY_CONNECTED, std::move(inputs), output).options.Set(options);
  }
  void pool(BuiltinOperator code, int input, int output, int filter_h, int filter_w, Window w) {
    tflite::Pool2DOptionsT options;
    options.padding = w.padding;
    options.stride_h = w.stride_h;
    options.stride_w = w.stride_w;
    options.activation = w.activation;
    options.filter_h = filter_h;
    options.filter_w = filter_w;
    add(code, {input}, output).options.Set(options);
  }
  void mean(int input, const std::vector<std::int32_t>& axes, int output) {
    tflite::ReducerOptionsT options;
    options.keep_dims = false;
    add(BuiltinOperator::MEAN, {input, integers("axes", axes)}, output).options.Set(options);
  }
  void sum(int a, int b, int output, tflite::Activation activation = tflite::Activation::NONE) {
    tflite::AddOptionsT options;
    options.activation = activation;
    add(BuiltinOperator::ADD, {a, b}, output).options.Set(options);
  }
  int reshape(int input, std::vector<std::int32_t> shape) {
    const int out = like(input, "reshaped", shape);
    add(BuiltinOperator::RESHAPE, {input, integers("shape", shape)}, out);
    return out;
  }
  /// A tensor of the quantisation of another.
  int like(int other, const std::string& name, std::vector<std::int32_t> shape) {
    const tflite::TensorT& t = tensor(other);
    const bool real = t.type == TensorType::FLOAT32;
    return activation(name, std::move(shape), real ? 0 : t.quantization->scale[0],
                      real ? 0 : static_cast<int>(t.quantization->zero_point[0]), t.type);
  }

  /// FULLY_CONNECTED and SOFTMAX: the usual end of a network.
  void classifier(int features, int in, int classes, bool softmax = true) {
    std::vector<std::int8_t> w;
    for (int i = 0; i < in * classes; ++i) w.push_back(static_cast<std::int8_t>(i % 97 - 48));
    const int weights_id = weights("fc_w", {classes, in}, w, {0.01F});
    const int bias = integers("fc_b", std::vector<std::int32_t>(std::size_t(classes), 25));
    const int logits = activation("logits", {1, classes}, 0.1F, 3);
    dense({features, weights_id, bias}, logits);
    graph().outputs = {logits};
    if (!softmax) return;
    const int scores = activation("scores", {1, classes}, 1.0F / 256, -128);
    add(BuiltinOperator::SOFTMAX, {logits}, scores);
    graph().outputs = {scores};
  }

  [[nodiscard]] std::string bytes() const {
    flatbuffers::FlatBufferBuilder builder;
    tflite::FinishModelBuffer(builder, tflite::Model::Pack(builder, &model));
    return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
  }
  [[nodiscard]] Result<ir::Graph> import() const {
    return import_tflite_bytes(bytes(), "model.tflite", "model");
  }

  tflite::ModelT model;

 private:
  std::uint32_t opcode(BuiltinOperator code) {
    for (std::size_t i = 0; i < model.operator_codes.size(); ++i) {
      if (model.operator_codes[i]->code == code) return static_cast<std::uint32_t>(i);
    }
    auto made = std::make_unique<tflite::OperatorCodeT>();
    made->code = code;
    made->old_code = static_cast<std::int8_t>(std::min(127, static_cast<int>(code)));
    model.operator_codes.push_back(std::move(made));
    return static_cast<std::uint32_t>(model.operator_codes.size()) - 1;
  }
};

}  // namespace espalier::testing
