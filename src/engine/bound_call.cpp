#include "bound_call.hpp"

#include <fmt/format.h>

#include <optional>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace espalier::engine {
namespace {

using codegen::Argument;
using codegen::KernelCall;
using codegen::StructArgument;
using codegen::StructType;
using compiler::ItemType;

[[noreturn]] void refuse(std::string_view what) {
  throw std::logic_error(fmt::format("a kernel takes no {} here", what));
}

template <typename T>
constexpr bool points_to(ItemType type) {
  switch (type) {
    case ItemType::kFloat:
      return std::is_same_v<T, float>;
    case ItemType::kInt32:
      return std::is_same_v<T, std::int32_t>;
    case ItemType::kRange:
      return std::is_same_v<T, esp_q_range>;
    case ItemType::kInt16:
      return std::is_same_v<T, std::int16_t>;
    case ItemType::kUint8:
      return std::is_same_v<T, std::uint8_t>;
    case ItemType::kInt8:
      return std::is_same_v<T, std::int8_t>;
  }
  return false;
}

// The address that an argument stands for; `T` without const.
template <typename T>
struct Address {
  const Memory& memory;

  const T* operator()(const codegen::Null&) const { return nullptr; }
  const T* operator()(const codegen::ArenaPointer& p) const {
    if (!points_to<T>(p.type)) refuse("such value of the arena");
    return reinterpret_cast<const T*>(memory.arena + p.offset);
  }
  const T* operator()(const codegen::FlashPointer& p) const {
    const codegen::FlashItem* item = memory.flash_layout->find(p.role, p.op);
    if (item == nullptr) throw std::logic_error("no such constant");
    const std::optional<ItemType> type = codegen::flash_kind(p.role).type;
    if (type.has_value() ? !points_to<T>(*type) : std::is_arithmetic_v<T>) refuse("such constant");
    return reinterpret_cast<const T*>(memory.flash + item->offset);
  }
  const T* operator()(const codegen::StatePointer& p) const {
    const compiler::StateItem* item = memory.state_layout->find(p.role, p.op);
    if (item == nullptr) throw std::logic_error("no such state item");
    if (!points_to<T>(compiler::state_type(p.role)) || p.index >= item->elements) {
      refuse("such state item");
    }
    return reinterpret_cast<const T*>(memory.state + compiler::kControlBytes + item->offset) +
           p.index;
  }
  const T* operator()(const codegen::Live& live) const {
    if constexpr (std::is_same_v<T, esp_sgd>) {
      if (live == codegen::Live::kSgd) return memory.sgd;
    }
    if constexpr (std::is_same_v<T, float>) {
      if (live == codegen::Live::kLoss) {
        return &reinterpret_cast<const compiler::StateControl*>(memory.state)->loss;
      }
    }
    refuse("such address");
  }
  const T* operator()(std::int64_t) const { refuse("number"); }
  const T* operator()(float) const { refuse("number"); }
  const T* operator()(const StructArgument&) const { refuse("struct"); }
  const T* operator()(const codegen::BandPointer& p) const { return (*this)(p.base); }
  const T* operator()(const codegen::BandDescriptor& d) const { return (*this)(d.whole); }
  const T* operator()(const codegen::BandCount&) const { refuse("number"); }
};

template <typename T>
T* address(const Argument& argument, const Memory& memory) {
  using Plain = std::remove_const_t<T>;
  // Constants and parameters lie in memory that is writable here; kernels say what they write.
  return const_cast<Plain*>(std::visit(Address<Plain>{memory}, argument.value));
}

std::int64_t number(const Argument& argument) {
  const auto* value = std::get_if<std::int64_t>(&argument.value);
  if (value == nullptr) refuse("such number");
  return *value;
}

// Puts the fields into a struct in their order.
class Fields {
 public:
  Fields(const StructArgument& given, StructType type, const Memory& memory)
      : fields_(given.fields), memory_(memory) {
    if (given.type != type) refuse("struct of this type");
  }
  template <typename T>
  Fields& operator>>(T*& field) {
    field = address<T>(next(), memory_);
    return *this;
  }
  Fields& operator>>(std::int32_t& field) {
    field = static_cast<std::int32_t>(number(next()));
    return *this;
  }
  Fields& operator>>(std::uint32_t& field) {
    field = static_cast<std::uint32_t>(number(next()));
    return *this;
  }

 private:
  const Argument& next() { return fields_.at(at_++); }
  const std::vector<Argument>& fields_;
  const Memory& memory_;
  std::size_t at_ = 0;
};

void fill(esp_weights& w, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kWeights, memory) >> w.full >> w.trained >> w.channels >> w.count;
}
void fill(esp_requantization& q, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kRequantization, memory) >> q.bias >> q.multiplier >> q.shift;
}
void fill(esp_weight_sink& s, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kWeightSink, memory) >> s.gradient >> s.add >> s.weights >> s.scale >>
      s.sgd >> s.tensor;
}
void fill(esp_bias_sink& s, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kBiasSink, memory) >> s.gradient >> s.add >> s.bias >> s.scale >>
      s.sgd >> s.tensor;
}
void fill(esp_q_sink& s, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kGradientSink, memory) >> s.range >> s.from >> s.addend_range >>
      s.mask >> s.mask_bits >> s.multiplier >> s.shift >> s.factor >> s.factor_shift;
}
void fill(esp_q_parameter_sink& s, const StructArgument& given, const Memory& memory) {
  Fields(given, StructType::kParameterSink, memory) >> s.sum >> s.sum_range >> s.sample >> s.from >>
      s.unit >> s.weights >> s.bias >> s.scale >> s.scale_exponent >> s.sgd >> s.tensor;
}

template <typename T>
concept MadeForTheCall = requires(T& t, const StructArgument& s, const Memory& m) {
  fill(t, s, m);
};

// One argument, ready to be passed.
template <typename P>
class Slot {
 public:
  Slot(const Argument& argument, const Memory&) : value_(static_cast<P>(number(argument))) {}
  P get() { return value_; }

 private:
  P value_;
};

template <>
class Slot<float> {
 public:
  Slot(const Argument& argument, const Memory&) {
    const auto* value = std::get_if<float>(&argument.value);
    if (value == nullptr) refuse("such number");
    value_ = *value;
  }
  float get() { return value_; }

 private:
  float value_ = 0;
};

// A number, the label of the step, or a number for the rows of a turn.
template <>
class Slot<std::int32_t> {
 public:
  Slot(const Argument& argument, const Memory& memory) {
    const auto* live = std::get_if<codegen::Live>(&argument.value);
    if (live != nullptr && *live == codegen::Live::kLabel) {
      from_ = memory.label;
    } else if (const auto* count = std::get_if<codegen::BandCount>(&argument.value)) {
      from_ = &memory.band->rows;
      value_ = static_cast<std::int32_t>(count->per_row);
    } else {
      value_ = static_cast<std::int32_t>(number(argument));
      return;
    }
    if (value_ == 0) value_ = 1;
  }
  std::int32_t get() { return from_ != nullptr ? *from_ * value_ : value_; }

 private:
  const std::int32_t* from_ = nullptr;
  std::int32_t value_ = 0;
};

// Bytes from the beginning of a map, or of what goes with its rows, to the rows of a turn.
const std::int32_t* offset_in(const esp_band& band, codegen::BandField field) {
  switch (field) {
    case codegen::BandField::kX:
      return &band.x;
    case codegen::BandField::kOther:
      return &band.other;
    case codegen::BandField::kY:
      return &band.y;
    case codegen::BandField::kRow:
      return &band.row;
  }
  refuse("such rows");
}

esp_conv rows_of(const esp_conv& whole, const esp_band& band) {
  return esp_band_of_conv(&whole, &band);
}
esp_pool rows_of(const esp_pool& whole, const esp_band& band) {
  return esp_band_of_pool(&whole, &band);
}
esp_add rows_of(const esp_add& whole, const esp_band& band) {
  return esp_band_of_add(&whole, &band);
}

template <typename T>
concept Descriptor = requires(const T& t, const esp_band& b) {
  rows_of(t, b);
};

template <typename T>
class Slot<T*> {
 public:
  Slot(const Argument& argument, const Memory& memory) : pointer_(address<T>(argument, memory)) {
    const auto* rows = std::get_if<codegen::BandPointer>(&argument.value);
    if (rows == nullptr) return;
    offset_ = offset_in(*memory.band, rows->field);
    scale_ = static_cast<std::int32_t>(rows->row_bytes);
  }
  T* get() {
    if (offset_ == nullptr) return pointer_;
    return pointer_ + *offset_ * scale_ / static_cast<std::int32_t>(sizeof(T));
  }

 private:
  T* pointer_;
  const std::int32_t* offset_ = nullptr;
  std::int32_t scale_ = 1;
};

template <Descriptor T>
class Slot<const T*> {
 public:
  Slot(const Argument& argument, const Memory& memory)
      : whole_(address<const T>(argument, memory)) {
    if (std::holds_alternative<codegen::BandDescriptor>(argument.value)) band_ = memory.band;
  }
  const T* get() {
    if (band_ == nullptr) return whole_;
    rows_ = rows_of(*whole_, *band_);
    return &rows_;
  }

 private:
  const T* whole_;
  const esp_band* band_ = nullptr;
  T rows_{};
};

template <typename T>
requires MadeForTheCall<T>
class Slot<const T*> {
 public:
  Slot(const Argument& argument, const Memory& memory) {
    if (std::holds_alternative<codegen::Null>(argument.value)) return;
    const auto* given = std::get_if<StructArgument>(&argument.value);
    if (given == nullptr) refuse("such address");
    fill(made_.emplace(), *given, memory);
  }
  const T* get() { return made_.has_value() ? &*made_ : nullptr; }

 private:
  std::optional<T> made_;
};

template <typename... P>
class Bound : public BoundCall {
 public:
  Bound(void (*kernel)(P...), const KernelCall& call, const Memory& memory)
      : Bound(kernel, call, memory, std::index_sequence_for<P...>{}) {}
  void run() override {
    std::apply([this](auto&... slots) { kernel_(slots.get()...); }, slots_);
  }

 private:
  template <std::size_t... I>
  Bound(void (*kernel)(P...), const KernelCall& call, const Memory& memory,
        std::index_sequence<I...>)
      : kernel_(kernel), slots_(Slot<P>(call.arguments.at(I), memory)...) {
    if (call.arguments.size() != sizeof...(P)) refuse("further argument");
  }

  void (*kernel_)(P...);
  std::tuple<Slot<P>...> slots_;
};

template <typename... P>
std::unique_ptr<BoundCall> bound(void (*kernel)(P...), const KernelCall& call,
                                 const Memory& memory) {
  return std::make_unique<Bound<P...>>(kernel, call, memory);
}

}  // namespace

std::unique_ptr<BoundCall> bind(const KernelCall& call, const Kernels& kernels,
                                const Memory& memory) {
  switch (call.kernel) {
#define ESPALIER_KERNEL(name, parameters) \
  case runtime::Kernel::name:             \
    return bound(kernels.name, call, memory);
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
  }
  throw std::logic_error("unknown kernel");
}

}  // namespace espalier::engine
