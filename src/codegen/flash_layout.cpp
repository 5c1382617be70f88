#include "espalier/codegen/flash_layout.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <stdexcept>

#include "espalier/compiler/chains.hpp"
#include "espalier/compiler/kernel_choice.hpp"
#include "espalier/compiler/narrow.hpp"
#include "espalier/ir/fixed_point.hpp"
#include "runtime/espalier_integer_types.h"
#include "runtime/espalier_rows.h"

namespace espalier::codegen {
namespace {

using compiler::ItemType;
using compiler::NodeKind;
using compiler::Program;

FlashKind kind_of(ItemType type, std::string_view suffix) {
  return {c_type(type), type_bytes(type), type, suffix};
}

const FlashKind kKinds[] = {
#define ESPALIER_FLASH_STRUCT(role, type, description) {#type, sizeof(type), std::nullopt, ""},
#define ESPALIER_FLASH_ITEM(role, element, suffix, description) kind_of(ItemType::element, suffix),
#include "espalier/codegen/flash_items.def"
#undef ESPALIER_FLASH_ITEM
#undef ESPALIER_FLASH_STRUCT
};

std::int16_t half(std::int64_t value) { return static_cast<std::int16_t>(value); }

// What a set of channels that take turns has room for.
std::int64_t padded_count(const compiler::TrainedConv& trained) {
  return static_cast<std::int64_t>(trained.channels.size() + 1) / 2 * 2;
}

// 1 / scale^2 in single precision; where that is not a number the gradient is 0, and 0 * 0 stays 0.
float inverse_square(double scale) {
  const auto value = static_cast<float>(1.0 / (scale * scale));
  return std::isfinite(value) ? value : 0.0F;
}

// factor * 2^exponent, the factor in [2^30, 2^31); 0 where that or the exponent has no such form.
struct Scaled {
  std::int32_t factor = 0;
  std::int8_t exponent = 0;
};
Scaled inverse_square_scaled(double scale) {
  const double value = 1.0 / (scale * scale);
  if (!std::isfinite(value)) return {};
  int power = 0;
  const double mantissa = std::frexp(value, &power);  // in [0.5, 1)
  const double factor = std::min(std::nearbyint(std::ldexp(mantissa, 31)), 2147483647.0);
  if (power - 31 < INT8_MIN || power - 31 > INT8_MAX) return {};
  return {static_cast<std::int32_t>(factor), static_cast<std::int8_t>(power - 31)};
}

// The descriptor of an op, or what stands in its place, if it needs any; a new op does not compile
// without an answer.
struct Descriptor {
  using Role = std::optional<FlashRole>;
  Role operator()(const ir::Conv2D&) const { return FlashRole::kConv; }
  Role operator()(const ir::Add&) const { return FlashRole::kAdd; }
  Role operator()(const ir::Mul&) const { return FlashRole::kAdd; }
  Role operator()(const ir::Concat&) const { return std::nullopt; }
  Role operator()(const ir::Select&) const { return FlashRole::kSelection; }
  Role operator()(const ir::Rescale&) const { return FlashRole::kAdd; }
  Role operator()(const ir::AveragePool&) const { return FlashRole::kPool; }
  Role operator()(const ir::MaxPool&) const { return FlashRole::kPool; }
  Role operator()(const ir::Lookup&) const { return FlashRole::kTable; }
};

class Image {
 public:
  Image(const Program& program, const FlashLayout& layout)
      : program_(program), graph_(*program.graph.forward), layout_(layout) {
    bytes_.resize(static_cast<std::size_t>(layout.bytes));
  }

  std::vector<std::byte> run() {
    for (const FlashItem& item : layout_.items) fill(item);
    return std::move(bytes_);
  }

 private:
  template <typename T>
  void put(const FlashItem& item, std::int64_t i, T value) {
    std::memcpy(bytes_.data() + item.offset + i * static_cast<std::int64_t>(sizeof(T)), &value,
                sizeof(T));
  }
  [[nodiscard]] const ir::Op& op(int position) const {
    return graph_.ops[static_cast<std::size_t>(position)];
  }
  [[nodiscard]] const ir::Tensor& input(int position, std::size_t i = 0) const {
    return graph_.tensor(op(position).inputs[i]);
  }
  [[nodiscard]] const ir::Tensor& output(int position) const {
    return graph_.tensor(op(position).output);
  }
  [[nodiscard]] const ir::Lookup& lookup(int position) const {
    return std::get<ir::Lookup>(op(position).params);
  }
  [[nodiscard]] const std::vector<int>& selected(int position) const {
    return std::get<ir::Select>(op(position).params).channels;
  }
  // Where an input channel stands in a selection, or -1.
  static std::int16_t place(const std::vector<int>& selected, std::int64_t channel) {
    const auto at = std::find(selected.begin(), selected.end(), channel);
    return at == selected.end() ? std::int16_t{-1} : half(at - selected.begin());
  }
  [[nodiscard]] std::int16_t mask_bits() const { return mask_bits_; }

  void fill(const FlashItem& item) {
    const ir::Conv2D* conv = compiler::conv_of(graph_, item.op);
    const auto channel = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    for (std::int64_t i = 0; i < item.elements; ++i) {
      switch (item.role) {
        case FlashRole::kConv:
          put(item, i, describe(item.op));
          break;
        case FlashRole::kAdd:
          put(item, i, describe_add(item.op));
          break;
        case FlashRole::kPool:
          put(item, i, describe_pool(item.op));
          break;
        case FlashRole::kRowMaps:
        case FlashRole::kRowSteps:
          return fill_rows(item);
        case FlashRole::kTable:
          put(item, i, lookup(item.op).outputs[channel(i)]);
          break;
        case FlashRole::kSlope:
          put(item, i, lookup(item.op).derivatives[channel(i)]);
          break;
        case FlashRole::kSlopeStep:
          put(item, i,
              half(std::lround(std::ldexp(lookup(item.op).derivatives[channel(i)],
                                          slope_unit(lookup(item.op))))));
          break;
        case FlashRole::kSelection:
          put(item, i, half(selected(item.op)[channel(i)]));
          break;
        case FlashRole::kPlaces:
          put(item, i, place(selected(item.op), i));
          break;
        case FlashRole::kHead:
          put(item, i, describe_head());
          break;
        case FlashRole::kMultiplier:
          put(item, i, fixed(item.op, *conv, i).multiplier);
          break;
        case FlashRole::kShift:
          put(item, i, static_cast<std::uint8_t>(fixed(item.op, *conv, i).shift));
          break;
        case FlashRole::kBias:
          put(item, i, conv->bias[channel(i)]);
          break;
        case FlashRole::kFactor:
          put(item, i,
              static_cast<float>(static_cast<double>(input(item.op).quantization.scale) *
                                 conv->weight_scales[channel(i)] /
                                 static_cast<double>(output(item.op).quantization.scale)));
          break;
        case FlashRole::kWeightScale:
          put(item, i, inverse_square(weight_unit(*conv, i)));
          break;
        case FlashRole::kBiasScale:
          put(item, i, inverse_square(bias_unit(item.op, *conv, i)));
          break;
        case FlashRole::kWeightStep:
          put(item, i, inverse_square_scaled(weight_unit(*conv, i)).factor);
          break;
        case FlashRole::kWeightStepExponent:
          put(item, i, inverse_square_scaled(weight_unit(*conv, i)).exponent);
          break;
        case FlashRole::kBiasStep:
          put(item, i, inverse_square_scaled(bias_unit(item.op, *conv, i)).factor);
          break;
        case FlashRole::kBiasStepExponent:
          put(item, i, inverse_square_scaled(bias_unit(item.op, *conv, i)).exponent);
          break;
        case FlashRole::kRanges:
          put(item, i,
              esp_q_range{
                  program_.exponents.empty() ? std::int16_t{0} : program_.exponents[channel(i)],
                  0});
          break;
        case FlashRole::kHeadWeights:
          put(item, i, graph_.head.weights[channel(i)]);
          break;
        case FlashRole::kHeadBias:
          put(item, i, graph_.head.bias[channel(i)]);
          break;
        case FlashRole::kChannels:
          put(item, i, half(program_.graph.trained_conv(item.op)->channels[channel(i)]));
          break;
        case FlashRole::kChannelSets:
          return fill_sets(item, *program_.graph.trained_conv(item.op));
        case FlashRole::kWeights:
        case FlashRole::kTurnWeights:
          return fill_weights(item, *conv);
        case FlashRole::kTrainedWeights:
        case FlashRole::kTurnBegun:
        case FlashRole::kTurnDone:
          break;
      }
    }
  }

  static double weight_unit(const ir::Conv2D& conv, std::int64_t o) {
    return conv.weight_scales[static_cast<std::size_t>(o)];
  }
  [[nodiscard]] double bias_unit(int position, const ir::Conv2D& conv, std::int64_t o) const {
    return static_cast<double>(input(position).quantization.scale) * weight_unit(conv, o);
  }

  // Turn by turn, each set from an even place.
  void fill_sets(const FlashItem& item, const compiler::TrainedConv& trained) {
    const std::int64_t stride = padded_count(trained);
    for (std::int64_t turn = 0; turn * stride < item.elements; ++turn) {
      std::int64_t at = turn * stride;
      for (const int c : trained.channels_of(turn)) put(item, at++, half(c));
    }
  }

  // The whole tensor; what is sliced moves to the item of trained weights and leaves zeros.
  void fill_weights(const FlashItem& item, const ir::Conv2D& conv) {
    for (std::int64_t i = 0; i < item.elements; ++i) {
      put(item, i, conv.weights[static_cast<std::size_t>(i)]);
    }
    const FlashItem* trained = layout_.find(FlashRole::kTrainedWeights, item.op);
    if (trained == nullptr) return;
    std::int64_t at = 0;
    for (const std::size_t from :
         compiler::resident_positions(program_.graph, *program_.graph.trained_conv(item.op))) {
      put(*trained, at++, conv.weights[from]);
      put(item, static_cast<std::int64_t>(from), std::int8_t{0});
    }
  }

  [[nodiscard]] ir::FixedPoint fixed(int position, const ir::Conv2D& conv, std::int64_t o) const {
    return ir::make_fixed_point(static_cast<double>(input(position).quantization.scale) *
                                conv.weight_scales[static_cast<std::size_t>(o)] /
                                static_cast<double>(output(position).quantization.scale));
  }

  [[nodiscard]] esp_conv describe(int position) const {
    esp_conv d = compiler::describe_conv(graph_, position);
    d.mask_bits = mask_bits();
    return d;
  }

  [[nodiscard]] esp_add describe_add(int position) const {
    const bool two = op(position).inputs.size() > 1;
    const double out = output(position).quantization.scale;
    const ir::FixedPointPair pair =
        std::holds_alternative<ir::Mul>(op(position).params)
            ? ir::make_fixed_point_pair(ir::product_factor(graph_, op(position)), 0.0)
            : ir::make_fixed_point_pair(
                  static_cast<double>(input(position).quantization.scale) / out,
                  two ? static_cast<double>(input(position, 1).quantization.scale) / out : 0.0);
    esp_add d{};
    d.elements = static_cast<std::int32_t>(output(position).shape.elements());
    d.a_multiplier = pair.multiplier_a;
    d.b_multiplier = pair.multiplier_b;
    d.shift = half(pair.shift);
    d.a_zero = half(input(position).quantization.zero_point);
    d.b_zero = half(two ? input(position, 1).quantization.zero_point : 0);
    d.out_zero = half(output(position).quantization.zero_point);
    d.low = half(op(position).clamp_low);
    d.high = half(op(position).clamp_high);
    d.mask_bits = mask_bits();
    return d;
  }

  [[nodiscard]] esp_pool describe_pool(int position) const {
    const auto* average = std::get_if<ir::AveragePool>(&op(position).params);
    const ir::Window& w =
        average != nullptr ? average->window : std::get<ir::MaxPool>(op(position).params).window;
    const ir::Shape& in = input(position).shape;
    const ir::Shape& out = output(position).shape;
    esp_pool d{};
    d.in_h = half(in.height);
    d.in_w = half(in.width);
    d.channels = half(in.channels);
    d.out_h = half(out.height);
    d.out_w = half(out.width);
    d.kernel_h = half(w.kernel_h);
    d.kernel_w = half(w.kernel_w);
    d.stride_h = half(w.stride_h);
    d.stride_w = half(w.stride_w);
    d.pad_top = half(w.pad_top);
    d.pad_left = half(w.pad_left);
    d.half_to_even = average != nullptr && average->rounding == ir::HalfRounding::kToEven ? 1 : 0;
    d.low = half(op(position).clamp_low);
    d.high = half(op(position).clamp_high);
    return d;
  }

  // Of the chain that begins with an op.
  [[nodiscard]] compiler::ChainTables chain_of(int op) const {
    for (const compiler::Chain& chain : program_.graph.chains) {
      if (program_.graph.nodes[static_cast<std::size_t>(chain.first)].op == op) {
        return compiler::chain_tables(program_.graph, chain);
      }
    }
    throw std::logic_error("no chain begins there");
  }
  // A table of a chain as a whole; maps with their places in the arena.
  void fill_rows(const FlashItem& item) {
    compiler::ChainTables tables = chain_of(item.op);
    for (std::size_t map = 0; map < tables.maps.size(); ++map) {
      tables.map_fields[map * ESP_MAP_FIELDS + ESP_MAP_OFFSET] =
          static_cast<std::int32_t>(program_.offset(tables.maps[map]));
    }
    const std::vector<std::int32_t>& fields =
        item.role == FlashRole::kRowMaps ? tables.map_fields : tables.step_fields;
    for (std::int64_t i = 0; i < item.elements; ++i) {
      put(item, i, fields[static_cast<std::size_t>(i)]);
    }
  }

  [[nodiscard]] esp_head describe_head() const {
    const ir::Quantization& q = graph_.tensor(graph_.features).quantization;
    return {graph_.head.features, graph_.head.classes, q.zero_point, q.scale};
  }

  const Program& program_;
  const ir::Graph& graph_;
  const FlashLayout& layout_;
  std::vector<std::byte> bytes_;
  // All masks of a program are of one kind.
  std::int16_t mask_bits_ =
      std::any_of(program_.graph.values.begin(), program_.graph.values.end(),
                  [](const compiler::Value& v) { return v.element == compiler::Element::kBitMask; })
          ? std::int16_t{1}
          : std::int16_t{0};
};

}  // namespace

const FlashKind& flash_kind(FlashRole role) { return kKinds[static_cast<std::size_t>(role)]; }

const FlashItem* FlashLayout::find(FlashRole role, int op) const {
  const auto found = std::find_if(items.begin(), items.end(), [&](const FlashItem& item) {
    return item.role == role && item.op == op;
  });
  return found == items.end() ? nullptr : &*found;
}

namespace {

// Whether a tensor in flash is written when the turn changes.
bool turns(const compiler::TrainedConv& trained) { return trained.rotates() && trained.sliced; }

// What is written at run time, in the order in which it is.
void put_turns(FlashLayout& layout, const compiler::TrainingGraph& graph) {
  if (std::none_of(graph.trained.begin(), graph.trained.end(), turns)) return;
  layout.items.push_back({FlashRole::kTurnBegun, -1, 1});
  for (const compiler::TrainedConv& t : graph.trained) {
    if (!turns(t)) continue;
    const ir::Conv2D& conv = *compiler::conv_of(*graph.forward, t.op);
    layout.items.push_back(
        {FlashRole::kTurnWeights, t.op, static_cast<std::int64_t>(conv.weights.size())});
  }
  layout.items.push_back({FlashRole::kTurnDone, -1, 1});
}

}  // namespace

FlashLayout flash_layout(const Program& program) {
  const compiler::TrainingGraph& graph = program.graph;
  const bool integer = compiler::is_integer(graph);
  std::set<int> scaled;  // convolutions, tables and selections that a gradient passes
  for (const compiler::Node& node : graph.nodes) {
    if ((node.kind == NodeKind::kMaskScale && !integer) || node.kind == NodeKind::kLookupGradient ||
        node.kind == NodeKind::kSelectGradient) {
      scaled.insert(node.op);
    }
  }
  FlashLayout layout;
  const auto put = [&](FlashRole role, int op, std::int64_t elements) {
    if (elements > 0) layout.items.push_back({role, op, elements, 0, 0});
  };
  put(FlashRole::kHead, -1, 1);
  put(FlashRole::kHeadWeights, -1,
      std::int64_t{graph.forward->head.features} * graph.forward->head.classes);
  put(FlashRole::kHeadBias, -1, graph.forward->head.classes);
  put(FlashRole::kRanges, -1, compiler::range_count(graph));
  for (std::size_t i = 0; i < graph.forward->ops.size(); ++i) {
    const int op = static_cast<int>(i);
    const ir::Op& node = graph.forward->ops[i];
    const ir::Conv2D* conv = compiler::conv_of(*graph.forward, op);
    if (conv == nullptr) {
      const std::optional<FlashRole> role = std::visit(Descriptor{}, node.params);
      const bool table = role == FlashRole::kTable;
      const auto* select = std::get_if<ir::Select>(&node.params);
      if (select != nullptr) {
        put(*role, op, static_cast<std::int64_t>(select->channels.size()));
        put(FlashRole::kPlaces, op,
            scaled.count(op) != 0 ? graph.forward->tensor(node.inputs[0]).shape.channels : 0);
        continue;
      }
      if (role) put(*role, op, table ? 256 : 1);
      put(integer ? FlashRole::kSlopeStep : FlashRole::kSlope, op,
          table && scaled.count(op) != 0 ? 256 : 0);
      continue;
    }
    const compiler::TrainedConv* trained = graph.trained_conv(op);
    const auto weights = static_cast<std::int64_t>(conv->weights.size());
    put(FlashRole::kConv, op, 1);
    put(FlashRole::kMultiplier, op, conv->out_channels);
    put(FlashRole::kBias, op, conv->out_channels);
    put(FlashRole::kShift, op, conv->out_channels);
    put(FlashRole::kFactor, op, scaled.count(op) != 0 ? conv->out_channels : 0);
    if (trained == nullptr || !turns(*trained)) put(FlashRole::kWeights, op, weights);
    if (trained == nullptr) continue;
    const std::int64_t biases = trained->bias ? conv->out_channels : 0;
    const std::int64_t rows = trained->weights ? conv->out_channels : 0;
    put(FlashRole::kBiasScale, op, integer ? 0 : biases);
    put(FlashRole::kWeightScale, op, integer ? 0 : rows);
    put(FlashRole::kBiasStep, op, integer ? biases : 0);
    put(FlashRole::kWeightStep, op, integer ? rows : 0);
    put(FlashRole::kBiasStepExponent, op, integer ? biases : 0);
    put(FlashRole::kWeightStepExponent, op, integer ? rows : 0);
    if (trained->rotates()) {
      put(FlashRole::kChannelSets, op,
          static_cast<std::int64_t>(trained->next_channels.size() + 1) * padded_count(*trained));
    } else {
      put(FlashRole::kChannels, op, static_cast<std::int64_t>(trained->channels.size()));
    }
    put(FlashRole::kTrainedWeights, op,
        trained->sliced ? compiler::resident_weights(graph, *trained) : 0);
  }
  for (const compiler::Chain& chain : graph.chains) {
    const compiler::ChainTables tables = compiler::chain_tables(graph, chain);
    const int op = graph.nodes[static_cast<std::size_t>(chain.first)].op;
    put(FlashRole::kRowMaps, op, static_cast<std::int64_t>(tables.map_fields.size()));
    put(FlashRole::kRowSteps, op, static_cast<std::int64_t>(tables.step_fields.size()));
  }
  put_turns(layout, graph);
  for (FlashItem& item : layout.items) {
    if (item.role == FlashRole::kTurnBegun) layout.turns_offset = layout.bytes;
    item.bytes = (item.elements * flash_kind(item.role).bytes + 3) / 4 * 4;
    item.offset = layout.bytes;
    layout.bytes += item.bytes;
  }
  if (!layout.find(FlashRole::kTurnBegun, -1)) layout.turns_offset = layout.bytes;
  return layout;
}

int slope_unit(const ir::Lookup& lookup) {
  float steepest = 0;
  for (const float slope : lookup.derivatives) steepest = std::max(steepest, std::abs(slope));
  int unit = 14;
  while (unit > 0 && std::ldexp(steepest, unit) > INT16_MAX) --unit;
  return unit;
}

std::vector<std::byte> flash_image(const Program& program, const FlashLayout& layout) {
  return Image(program, layout).run();
}

}  // namespace espalier::codegen
