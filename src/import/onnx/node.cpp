#include "onnx/node.hpp"

namespace espalier::onnx_detail {

bool is_standard_domain(std::string_view domain) { return domain.empty() || domain == "ai.onnx"; }

std::string_view Node::input(int i) const {
  return i < proto_->input_size() ? std::string_view(proto_->input(i)) : std::string_view();
}

std::string_view Node::output() const {
  return proto_->output_size() > 0 ? std::string_view(proto_->output(0)) : std::string_view();
}

std::string Node::name() const {
  return std::string(proto_->name().empty() ? output() : std::string_view(proto_->name()));
}

import_detail::Where Node::where() const {
  const bool standard = is_standard_domain(proto_->domain());
  return {index_, name(), standard ? type() : proto_->domain() + "." + type()};
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

}  // namespace espalier::onnx_detail
