// <name>_params.h and <name>_params.c: the constants.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "emission.hpp"
#include "runtime/espalier_integer_types.h"
#include "runtime/espalier_runtime.h"

namespace espalier::codegen {
namespace {

// The numbers of an item, as literals.
class Literals {
 public:
  Literals(const std::vector<std::byte>& image, const FlashItem& item)
      : image_(image), item_(item) {}

  std::vector<std::string> run() && {
    const std::optional<compiler::ItemType> type = flash_kind(item_.role).type;
    if (type.has_value()) {
      elements(*type);
    } else {
      descriptor();
    }
    return std::move(values_);
  }

 private:
  template <typename T>
  [[nodiscard]] T at(std::int64_t index) const {
    T value;
    std::memcpy(&value, image_.data() + item_.offset + index * static_cast<std::int64_t>(sizeof(T)),
                sizeof value);
    return value;
  }

  template <typename T>
  void integers(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      const auto v = static_cast<std::int64_t>(at<T>(i));
      // -2147483648 is no int literal in C.
      values_.push_back(v == INT32_MIN ? "(-2147483647 - 1)" : fmt::format("{}", v));
    }
  }

  void elements(compiler::ItemType type) {
    using compiler::ItemType;
    switch (type) {
      case ItemType::kFloat:
        for (std::int64_t i = 0; i < item_.elements; ++i) {
          values_.push_back(float_literal(at<float>(i)));
        }
        return;
      case ItemType::kInt32:
        return integers<std::int32_t>(item_.elements);
      case ItemType::kRange:
        for (std::int64_t i = 0; i < item_.elements; ++i) {
          const auto range = at<esp_q_range>(i);
          values_.push_back(fmt::format("{{{}, {}}}", range.exponent, range.bits));
        }
        return;
      case ItemType::kInt16:
        return integers<std::int16_t>(item_.elements);
      case ItemType::kUint8:
        return integers<std::uint8_t>(item_.elements);
      case ItemType::kInt8:
        return integers<std::int8_t>(item_.elements);
    }
  }

  void put(std::initializer_list<std::int64_t> numbers) {
    for (const std::int64_t n : numbers) values_.push_back(fmt::format("{}", n));
  }

  void descriptor() {
    if (item_.role == FlashRole::kConv || item_.role == FlashRole::kPool) {
      return integers<std::int16_t>(item_.bytes / 2);  // of nothing else
    }
    if (item_.role == FlashRole::kAdd) {
      const auto d = at<esp_add>(0);
      return put({d.elements, d.a_multiplier, d.b_multiplier, d.shift, d.a_zero, d.b_zero,
                  d.out_zero, d.low, d.high, d.mask_bits});
    }
    const auto d = at<esp_head>(0);
    put({d.features, d.classes, d.zero});
    values_.push_back(float_literal(d.scale));
  }

  const std::vector<std::byte>& image_;
  const FlashItem& item_;
  std::vector<std::string> values_;
};

// The values of an item within those of its struct.
std::string initializer(const Emission& c, const FlashItem& item,
                        const std::vector<std::byte>& image) {
  std::string text = fmt::format("  /* {} */\n  {{", item_name(c.graph, item.role, item.op));
  std::string line;
  const auto flush = [&](bool last) {
    text += line;
    line.clear();
    if (!last) text += "\n   ";
  };
  const auto put = [&](std::string value, bool last) {
    line += value;
    if (!last) line += ',';
    if (line.size() > 88 && !last) flush(false);
  };
  std::vector<std::string> values = Literals(image, item).run();
  for (std::size_t i = 0; i < values.size(); ++i) {
    put(std::move(values[i]), i + 1 == values.size());
  }
  flush(true);
  return text + "},\n";
}

}  // namespace

std::string member_text(const Emission& c, const FlashItem& item) {
  const FlashKind& kind = flash_kind(item.role);
  // Elements with the padding to a multiple of four bytes.
  return fmt::format("  {} {}{};\n", kind.c_type, item_name(c.graph, item.role, item.op),
                     kind.type ? fmt::format("[{}]", item.bytes / kind.bytes) : "");
}

std::string parameter_header_text(const Emission& c) {
  std::string text = c.banner("constants");
  text +=
      fmt::format("#ifndef {0}_PARAMS_H\n#define {0}_PARAMS_H\n\n#include \"{1}_kernels.h\"\n\n",
                  c.macro, c.name);
  text += fmt::format("#define {}_PARAMS_HASH 0x{}ull\n\n", c.macro, kHashPlaceholder);
  text += fmt::format("struct {}_params {{\n", c.name);
  for (const FlashItem& item : c.layout.items) {
    if (!takes_turns(item.role)) text += member_text(c, item);
  }
  text += fmt::format("}};\n\nextern const struct {0}_params {0}_params;\n", c.name);
  return text + turn_struct(c) + "\n#endif\n";
}

std::string parameters_text(const Emission& c) {
  const std::vector<std::byte> image = flash_image(c.program, c.layout);
  std::string text = c.banner("constants");
  // The kernels themselves belong to the other source.
  text += fmt::format("#define ESP_TYPES_ONLY\n#include \"{0}_params.h\"\n\n", c.name);
  text += c.hash_check({"PARAMS_", "KERNELS_"});
  text += fmt::format("const struct {0}_params {0}_params = {{\n", c.name);
  std::string turns;
  for (const FlashItem& item : c.layout.items) {
    (takes_turns(item.role) ? turns : text) += initializer(c, item, image);
  }
  text += "};\n";
  return turns.empty() ? text : text + turn_section(c) + turns + "};\n";
}

}  // namespace espalier::codegen
