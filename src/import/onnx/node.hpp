// One node of an ONNX graph: its attributes with their types checked, and how diagnostics name it.
#pragma once

#include <onnx/onnx_pb.h>

#include <optional>
#include <string>
#include <string_view>

#include "diagnostics.hpp"
#include "onnx/tensor.hpp"

namespace espalier::onnx_detail {

using import_detail::printable;

/// True for the domain of the standard operators.
bool is_standard_domain(std::string_view domain);

/// A node and its position in the file.
class Node {
 public:
  Node(const onnx::NodeProto& proto, int index) : proto_(&proto), index_(index) {}

  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] const onnx::NodeProto& proto() const { return *proto_; }
  [[nodiscard]] const std::string& type() const { return proto_->op_type(); }
  /// Name of input i, empty when it is absent.
  [[nodiscard]] std::string_view input(int i) const;
  [[nodiscard]] bool has_input(int i) const { return !input(i).empty(); }
  /// Name of the first output.
  [[nodiscard]] std::string_view output() const;
  /// The node's name, or its first output's when it has none.
  [[nodiscard]] std::string name() const;
  [[nodiscard]] import_detail::Where where() const;

  /// Attributes; nullopt when absent or of another type.
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name) const;
  [[nodiscard]] std::optional<float> real(std::string_view name) const;
  [[nodiscard]] std::optional<std::string> string(std::string_view name) const;
  [[nodiscard]] std::optional<Dims> integers(std::string_view name) const;
  [[nodiscard]] const onnx::AttributeProto* attribute(std::string_view name) const;

 private:
  const onnx::NodeProto* proto_;
  int index_;
};

}  // namespace espalier::onnx_detail
