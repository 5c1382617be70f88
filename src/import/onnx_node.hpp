// One node of an ONNX graph: its attributes with their types checked, and diagnostics that name it.
#pragma once

#include <onnx/onnx_pb.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnx_constant.hpp"

namespace espalier::onnx_detail {

/// Text from a file as a diagnostic may show it: printable and short.
std::string printable(std::string_view text);

/// A node and its position in the file.
class Node {
 public:
  Node(const onnx::NodeProto& proto, int index) : proto_(&proto), index_(index) {}

  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] const onnx::NodeProto& proto() const { return *proto_; }
  [[nodiscard]] const std::string& type() const { return proto_->op_type(); }
  /// Name of input i, empty when it is absent.
  [[nodiscard]] std::string_view input(int i) const;
  /// Name of the first output.
  [[nodiscard]] std::string_view output() const;
  /// The node's name, or its first output's when it has none.
  [[nodiscard]] std::string name() const;
  /// `node 17 'Softmax_3' (Softmax)`.
  [[nodiscard]] std::string text() const;

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

/// Collects diagnostics, each starting with where.
class Diagnostics {
 public:
  explicit Diagnostics(std::string_view where) : where_(where) {}

  /// About the file as a whole or a named part of it.
  void add(std::string_view text);
  /// About a node: why it is refused and what to do next.
  void add(const Node& node, std::string_view why, std::string_view next);

  [[nodiscard]] bool empty() const { return all_.empty(); }
  /// Everything collected, as an error. Not empty().
  [[nodiscard]] Error error() const { return Error{ErrorKind::kBadInput, all_}; }

 private:
  std::string where_;
  std::vector<std::string> all_;
};

}  // namespace espalier::onnx_detail
