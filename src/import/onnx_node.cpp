#include "onnx_node.hpp"

#include <fmt/format.h>

namespace espalier::onnx_detail {

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string shown;
  for (const char c : text.substr(0, kLongest)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > kLongest) shown += "...";
  return shown;
}

std::string_view Node::input(int i) const {
  return i < proto_->input_size() ? std::string_view(proto_->input(i)) : std::string_view();
}

std::string_view Node::output() const {
  return proto_->output_size() > 0 ? std::string_view(proto_->output(0)) : std::string_view();
}

std::string Node::name() const {
  return std::string(proto_->name().empty() ? output() : std::string_view(proto_->name()));
}

std::string Node::text() const {
  const bool standard = proto_->domain().empty() || proto_->domain() == "ai.onnx";
  return fmt::format("node {} '{}' ({}{})", index_, printable(name()),
                     standard ? "" : printable(proto_->domain()) + ".", printable(type()));
}

const onnx::AttributeProto* Node::attribute(std::string_view name) const {
  for (const onnx::AttributeProto& attribute : proto_->attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

std::optional<std::int64_t> Node::integer(std::string_view name) const {
  const onnx::AttributeProto* found = attribute(name);
  if (found == nullptr || found->type() != onnx::AttributeProto::INT) return std::nullopt;
  return found->i();
}

std::optional<float> Node::real(std::string_view name) const {
  const onnx::AttributeProto* found = attribute(name);
  if (found == nullptr || found->type() != onnx::AttributeProto::FLOAT) return std::nullopt;
  return found->f();
}

std::optional<std::string> Node::string(std::string_view name) const {
  const onnx::AttributeProto* found = attribute(name);
  if (found == nullptr || found->type() != onnx::AttributeProto::STRING) return std::nullopt;
  return found->s();
}

std::optional<Dims> Node::integers(std::string_view name) const {
  const onnx::AttributeProto* found = attribute(name);
  if (found == nullptr || found->type() != onnx::AttributeProto::INTS) return std::nullopt;
  return Dims(found->ints().begin(), found->ints().end());
}

void Diagnostics::add(std::string_view text) {
  all_.push_back(fmt::format("{}: {}", where_, text));
}

void Diagnostics::add(const Node& node, std::string_view why, std::string_view next) {
  all_.push_back(fmt::format("{}: {}: {}; {}", where_, node.text(), why, next));
}

}  // namespace espalier::onnx_detail
