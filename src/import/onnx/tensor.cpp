#include "onnx/tensor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

namespace espalier::onnx_detail {
namespace {

// ONNX raw data is little endian and copied as it is.
static_assert(std::endian::native == std::endian::little);

Error bad(std::string text) { return Error{ErrorKind::kBadInput, std::move(text)}; }

constexpr std::string_view kDamaged = "the file is damaged, export it again";

// The number of elements that dims promise.
Result<std::size_t> element_count(const onnx::TensorProto& tensor) {
  if (tensor.dims_size() > kMaxRank) {
    return bad(
        fmt::format("has {} dimensions; at most {} make sense", tensor.dims_size(), kMaxRank));
  }
  std::int64_t count = 1;
  for (const std::int64_t extent : tensor.dims()) {
    if (extent < 0) return bad(fmt::format("has a dimension of {}; {}", extent, kDamaged));
    if (__builtin_mul_overflow(count, extent, &count)) {
      return bad(fmt::format("its dimensions overflow; {}", kDamaged));
    }
  }
  return static_cast<std::size_t>(count);
}

Error wrong_size(std::size_t count, std::size_t available, std::string_view unit) {
  return bad(fmt::format("its dimensions promise {} elements, the data has {} {}; {}", count,
                         available, unit, kDamaged));
}

// Elements from raw_data when it is there, otherwise from the typed field.
template <typename Raw, typename Out, typename Field>
Status copy_elements(const onnx::TensorProto& tensor, std::size_t count, const Field& field,
                     std::vector<Out>& out) {
  if (tensor.has_raw_data()) {
    const std::string& raw = tensor.raw_data();
    if (raw.size() % sizeof(Raw) != 0 || raw.size() / sizeof(Raw) != count) {
      return wrong_size(count, raw.size(), "bytes");
    }
    out.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      Raw value;
      std::memcpy(&value, raw.data() + i * sizeof(Raw), sizeof(Raw));
      if constexpr (std::is_same_v<Raw, std::int64_t>) {
        out[i] = in_32_bits(value);
      } else {
        out[i] = static_cast<Out>(value);
      }
    }
    return Ok{};
  }
  if (static_cast<std::size_t>(field.size()) != count) {
    return wrong_size(count, static_cast<std::size_t>(field.size()), "elements");
  }
  out.reserve(count);
  for (const auto value : field) {
    if constexpr (std::is_same_v<Raw, std::int64_t>) {
      out.push_back(in_32_bits(value));
      continue;
    }
    if constexpr (std::is_integral_v<Raw>) {
      // Small integers travel in a wider field, which can hold more than their type.
      constexpr std::int64_t kLow =
          std::max<std::int64_t>(std::numeric_limits<Raw>::min(), INT32_MIN);
      constexpr std::int64_t kHigh =
          std::min<std::int64_t>(std::numeric_limits<Raw>::max(), INT32_MAX);
      if (value < kLow || value > kHigh) {
        return bad(fmt::format("an element is {}, not within {}..{}", value, kLow, kHigh));
      }
    }
    out.push_back(static_cast<Out>(value));
  }
  return Ok{};
}

}  // namespace

std::int32_t in_32_bits(std::int64_t value) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(value, -INT32_MAX, INT32_MAX));
}

std::string element_name(Element element) {
  switch (element) {
    case Element::kFloat:
      return "float";
    case Element::kInt8:
      return "int8";
    case Element::kUint8:
      return "uint8";
    case Element::kInt32:
      return "int32";
    case Element::kInt64:
      return "int64";
    case Element::kBool:
      return "bool";
  }
  return "unknown";
}

std::string dims_text(const Dims& dims) {
  return dims.empty() ? "scalar" : fmt::format("{}", fmt::join(dims, "x"));
}

Result<Constant> decode_constant(const onnx::TensorProto& tensor) {
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL || tensor.external_data_size() > 0) {
    return bad(
        "its data is in an external file, which is not supported; save the model as one file "
        "(onnx.save with save_as_external_data=False)");
  }
  if (tensor.has_segment()) return bad("its data is segmented, which is not supported; merge it");
  ESPALIER_TRY(const std::size_t count, element_count(tensor));

  Constant constant;
  constant.dims.assign(tensor.dims().begin(), tensor.dims().end());
  switch (tensor.data_type()) {
    case onnx::TensorProto::FLOAT:
      constant.element = Element::kFloat;
      ESPALIER_CHECK_OK(copy_elements<float>(tensor, count, tensor.float_data(), constant.floats));
      break;
    case onnx::TensorProto::INT8:
      constant.element = Element::kInt8;
      ESPALIER_CHECK_OK(
          copy_elements<std::int8_t>(tensor, count, tensor.int32_data(), constant.ints));
      break;
    case onnx::TensorProto::UINT8:
      constant.element = Element::kUint8;
      ESPALIER_CHECK_OK(
          copy_elements<std::uint8_t>(tensor, count, tensor.int32_data(), constant.ints));
      break;
    case onnx::TensorProto::INT32:
      constant.element = Element::kInt32;
      ESPALIER_CHECK_OK(
          copy_elements<std::int32_t>(tensor, count, tensor.int32_data(), constant.ints));
      break;
    case onnx::TensorProto::INT64:
      constant.element = Element::kInt64;
      ESPALIER_CHECK_OK(
          copy_elements<std::int64_t>(tensor, count, tensor.int64_data(), constant.ints));
      break;
    case onnx::TensorProto::BOOL:
      constant.element = Element::kBool;
      ESPALIER_CHECK_OK(
          copy_elements<std::uint8_t>(tensor, count, tensor.int32_data(), constant.ints));
      break;
    default:
      return bad(
          fmt::format("its element type is {}; float, int8, uint8, int32 and int64 are supported",
                      onnx::TensorProto::DataType_IsValid(tensor.data_type())
                          ? onnx::TensorProto::DataType_Name(
                                static_cast<onnx::TensorProto::DataType>(tensor.data_type()))
                          : fmt::format("number {}", tensor.data_type())));
  }
  return constant;
}

}  // namespace espalier::onnx_detail
