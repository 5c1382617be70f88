// Constant tensors of an ONNX file, decoded and checked against their own dimensions.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "espalier/support/result.hpp"
#include "view.hpp"

namespace espalier::onnx_detail {

/// Element types that quantised networks use.
enum class Element { kFloat, kInt8, kUint8, kInt32, kInt64, kBool };

/// What does not fit is the nearest that does: exporters write the ends of slices so.
std::int32_t in_32_bits(std::int64_t value);

std::string element_name(Element element);

using import_detail::Dims;

/// `16x3x3x3`, or `scalar`.
std::string dims_text(const Dims& dims);

/// Ranks above this are damaged files.
inline constexpr int kMaxRank = 8;

/// A decoded tensor; the product of dims is the number of elements that are really there.
struct Constant {
  Element element = Element::kFloat;
  Dims dims;
  std::vector<float> floats;       ///< the elements of a kFloat
  std::vector<std::int32_t> ints;  ///< the elements of every other type

  [[nodiscard]] bool is_float() const { return element == Element::kFloat; }
  [[nodiscard]] std::size_t count() const { return is_float() ? floats.size() : ints.size(); }
};

using ConstantPtr = std::shared_ptr<const Constant>;

/// Decodes a tensor. The diagnostic of an error (kBadInput) says what and what next, not where:
/// external or segmented data, negative or overflowing dims, dims that do not fit the data, other
/// element types, int64 elements beyond int32.
Result<Constant> decode_constant(const onnx::TensorProto& tensor);

}  // namespace espalier::onnx_detail
