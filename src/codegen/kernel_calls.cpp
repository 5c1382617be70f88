#include "espalier/codegen/kernel_calls.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "espalier/compiler/chains.hpp"
#include "espalier/compiler/kernel_choice.hpp"
#include "espalier/compiler/narrow.hpp"
#include "espalier/ir/fixed_point.hpp"

namespace espalier::codegen {
namespace {

using compiler::ItemType;
using compiler::Node;
using compiler::NodeKind;
using compiler::Sink;
using compiler::StateRole;
using compiler::TrainedConv;
using compiler::ValueId;
using runtime::Kernel;

// Keys that tell the random numbers of one tensor from another's.
std::int64_t weight_key(int op) { return 2LL * op + 1; }
std::int64_t bias_key(int op) { return 2LL * op + 2; }

// The arguments of one node's calls.
class NodeLowering {
 public:
  NodeLowering(const compiler::Program& program, const FlashLayout& layout, const Node& node)
      : program_(program), graph_(*program.graph.forward), layout_(layout), node_(node) {}

  std::vector<KernelCall> run() {
    const Kernel kernel = compiler::kernel_of(program_.graph, node_);
    if (node_.kind == NodeKind::kApplyHead) return {apply_head(0), apply_head(1)};
    return {{kernel, node_macs(program_.graph, node_), arguments(kernel)}};
  }

 private:
  using Arguments = std::vector<Argument>;

  [[nodiscard]] Argument arena(ValueId id, ItemType type) const {
    if (id < 0) return Null{};
    const ArenaPointer whole{program_.offset(id), type};
    if (node_.chain < 0 || id == node_.scratch) return whole;
    if (id == in(0)) return BandPointer{whole, BandField::kX};
    if (id == in(1)) return BandPointer{whole, BandField::kOther};
    if (id == out(0)) return BandPointer{whole, BandField::kY};
    return BandPointer{whole, BandField::kRow, compiler::row_bytes(program_.graph, id)};
  }
  [[nodiscard]] Argument i8(ValueId id) const { return arena(id, ItemType::kInt8); }
  [[nodiscard]] Argument u8(ValueId id) const { return arena(id, ItemType::kUint8); }
  [[nodiscard]] Argument f32(ValueId id) const { return arena(id, ItemType::kFloat); }
  [[nodiscard]] Argument i32(ValueId id) const { return arena(id, ItemType::kInt32); }
  // An integer gradient.
  [[nodiscard]] Argument q(ValueId id) const {
    return arena(id, program_.graph.gradient == compiler::Element::kInt16 ? ItemType::kInt16
                                                                          : ItemType::kInt8);
  }
  [[nodiscard]] Argument flash(FlashRole role) const {
    const FlashPointer whole{role, node_.op};
    if (node_.chain >= 0 && !flash_kind(role).type) return BandDescriptor{whole};
    return whole;
  }
  // A count that goes with the rows of the output.
  [[nodiscard]] Argument rowwise(std::int64_t count) const {
    if (node_.chain < 0) return count;
    return BandCount{count /
                     (node_.kind == NodeKind::kSaveChannels ? input() : output()).shape.height};
  }
  [[nodiscard]] Argument state(StateRole role) const { return StatePointer{role, node_.op}; }
  static Argument head(StateRole role) { return StatePointer{role, -1}; }
  static Argument head_descriptor() { return FlashPointer{FlashRole::kHead, -1}; }
  static Argument number(std::int64_t n) { return n; }

  [[nodiscard]] ValueId in(std::size_t i) const { return node_.inputs[i]; }
  [[nodiscard]] ValueId out(std::size_t i) const { return node_.outputs[i]; }
  [[nodiscard]] const ir::Op& op() const { return graph_.ops[static_cast<std::size_t>(node_.op)]; }
  [[nodiscard]] const ir::Tensor& input() const { return graph_.tensor(op().inputs[0]); }
  [[nodiscard]] const ir::Tensor& output() const { return graph_.tensor(op().output); }
  [[nodiscard]] const TrainedConv* trained() const { return program_.graph.trained_conv(node_.op); }
  [[nodiscard]] bool sliced() const { return trained() != nullptr && trained()->sliced; }

  // The trained channels of a convolution: a constant, or those whose turn it is.
  static Argument list_of(const TrainedConv& trained) {
    if (trained.rotates()) return StatePointer{StateRole::kChannels, trained.op};
    return FlashPointer{FlashRole::kChannels, trained.op};
  }

  // Frozen weights lie in flash, trained ones in SRAM, sliced ones in both.
  [[nodiscard]] Argument weights(int op) const {
    const TrainedConv* trained = program_.graph.trained_conv(op);
    const bool turns = layout_.find(FlashRole::kTurnWeights, op) != nullptr;
    const FlashPointer frozen{turns ? FlashRole::kTurnWeights : FlashRole::kWeights, op};
    const StatePointer resident{StateRole::kWeights, op};
    Arguments fields;
    if (trained == nullptr || !trained->weights) {
      fields = {frozen, Null{}, Null{}, number(0)};
    } else if (!trained->sliced) {
      fields = {resident, Null{}, Null{}, number(0)};
    } else {
      fields = {frozen, resident, list_of(*trained),
                number(static_cast<std::int64_t>(trained->channels.size()))};
    }
    return StructArgument{StructType::kWeights, std::move(fields)};
  }

  [[nodiscard]] Argument requantization(int op) const {
    const TrainedConv* trained = program_.graph.trained_conv(op);
    const bool bias = trained != nullptr && trained->bias;
    return StructArgument{
        StructType::kRequantization,
        {bias ? Argument{StatePointer{StateRole::kBias, op}}
              : Argument{FlashPointer{FlashRole::kBias, op}},
         FlashPointer{FlashRole::kMultiplier, op}, FlashPointer{FlashRole::kShift, op}}};
  }

  // The fields of a sink by what becomes of the gradient. `gradient`: where it is stored.
  [[nodiscard]] Arguments sink(ValueId gradient, StateRole sum, StateRole parameters,
                               FlashRole scale, std::int64_t key) const {
    switch (node_.sink) {
      case Sink::kStore:
        return {f32(gradient), number(0), Null{}, Null{}, Null{}, number(0)};
      case Sink::kAdd:
        return {state(sum), number(1), Null{}, Null{}, Null{}, number(0)};
      case Sink::kApply:
        return {Null{}, number(0), state(parameters), flash(scale), Live::kSgd, number(key)};
    }
    throw std::logic_error("unknown sink");
  }
  [[nodiscard]] Argument weight_sink(ValueId gradient) const {
    return StructArgument{StructType::kWeightSink,
                          sink(gradient, StateRole::kWeightSum, StateRole::kWeights,
                               FlashRole::kWeightScale, weight_key(node_.op))};
  }
  [[nodiscard]] Argument bias_sink() const {
    return StructArgument{StructType::kBiasSink, sink(out(0), StateRole::kBiasSum, StateRole::kBias,
                                                      FlashRole::kBiasScale, bias_key(node_.op))};
  }

  static Argument range(int index) { return StatePointer{StateRole::kRanges, -1, index}; }
  [[nodiscard]] Argument range_of(ValueId id) const {
    return id < 0 ? Argument{Null{}} : range(program_.graph.value(id).range);
  }

  // Where an integer gradient goes: scaled for a convolution, by one factor, or as it is.
  [[nodiscard]] Argument gradient_sink(ValueId addend, ValueId mask, int scale_op,
                                       ir::FixedPoint factor = {0, 0}) const {
    const auto of_conv = [&](FlashRole role) {
      return scale_op < 0 ? Argument{Null{}} : Argument{FlashPointer{role, scale_op}};
    };
    return StructArgument{
        StructType::kGradientSink,
        {range_of(out(0)), range_of(in(0)), range_of(addend), u8(mask), mask_bits(mask),
         of_conv(FlashRole::kMultiplier), of_conv(FlashRole::kShift), number(factor.multiplier),
         number(factor.shift)}};
  }
  // Of a node that makes a gradient from a gradient, with a mask as its third input.
  [[nodiscard]] Argument scaled_sink(ValueId addend) const {
    return gradient_sink(addend, in(2), node_.scale_op);
  }
  [[nodiscard]] Argument mask_scale_sink() const {
    if (compiler::conv_of(graph_, node_.op) != nullptr) {
      return gradient_sink(-1, in(1), node_.op);
    }
    return gradient_sink(-1, in(1), -1, ir::make_fixed_point(static_cast<double>(ratio())));
  }

  [[nodiscard]] ir::FixedPoint fixed_product() const {
    return ir::make_fixed_point(ir::product_factor(graph_, op()));
  }

  // Where integer gradients of parameters go, or come from: `stored` is their sum of one sample.
  [[nodiscard]] Argument parameter_sink(ValueId stored, bool weights) const {
    const bool update = node_.kind == NodeKind::kApplyWeights || node_.kind == NodeKind::kApplyBias;
    const bool applied = update || node_.sink == Sink::kApply;
    const bool added = node_.sink == Sink::kAdd || (update && program_.graph.accumulate > 1);
    const StateRole sums = weights ? compiler::weight_sum(true) : compiler::bias_sum(true);
    const Argument none = Null{};
    return StructArgument{
        StructType::kParameterSink,
        {added ? state(sums) : i32(stored),
         added ? range(compiler::sum_range(program_.graph, node_.op, weights)) : none,
         added && applied ? none : range(compiler::kSampleRange),
         added && applied ? none : range_of(gradient_behind(stored)), number(sum_unit(weights)),
         weights && applied ? state(StateRole::kWeights) : none,
         !weights && applied ? state(StateRole::kBias) : none,
         applied ? flash(weights ? FlashRole::kWeightStep : FlashRole::kBiasStep) : none,
         applied ? flash(weights ? FlashRole::kWeightStepExponent : FlashRole::kBiasStepExponent)
                 : none,
         applied ? Argument{Live::kSgd} : none,
         number(weights ? weight_key(node_.op) : bias_key(node_.op))}};
  }
  // Lowest bits that int32 has no room for; none with 8 bits, as narrow() sees to.
  [[nodiscard]] std::int64_t sum_unit(bool weights) const {
    if (program_.graph.gradient != compiler::Element::kInt16) return 0;
    return std::max(0, compiler::sum_bits(program_.graph, node_.op, weights) - 30);
  }
  // The gradient of the map whose sums a node makes, or has `stored`.
  [[nodiscard]] ValueId gradient_behind(ValueId stored) const {
    if (stored < 0 || node_.outputs[0] == stored) return in(0);
    for (const Node& node : program_.graph.nodes) {
      if (node.outputs[0] == stored) return node.inputs[0];
    }
    throw std::logic_error("sums that no node makes");
  }

  // The channels that a weight gradient is of, and how many; none: all.
  [[nodiscard]] Argument channels() const {
    return sliced() ? list_of(*trained()) : Argument{Null{}};
  }
  [[nodiscard]] Argument channel_count() const {
    return number(sliced() ? static_cast<std::int64_t>(trained()->channels.size()) : 0);
  }

  [[nodiscard]] Argument mask_bits(compiler::ValueId mask) const {
    const bool bits =
        mask >= 0 && program_.graph.value(mask).element == compiler::Element::kBitMask;
    return number(bits ? 1 : 0);
  }

  // The operand of a node that is of one, and the channels of those before it.
  [[nodiscard]] const ir::Tensor& operand() const {
    return graph_.tensor(op().inputs[static_cast<std::size_t>(node_.operand)]);
  }
  [[nodiscard]] Argument first_channel() const {
    std::int64_t first = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(node_.operand); ++i) {
      first += graph_.tensor(op().inputs[i]).shape.channels;
    }
    return number(first);
  }

  // Zero point of the operand of a product that a gradient is not of.
  [[nodiscard]] Argument other_zero() const {
    return number(graph_.tensor(op().inputs[node_.operand == 0 ? 1 : 0]).quantization.zero_point);
  }
  [[nodiscard]] float product_factor() const {
    return static_cast<float>(ir::product_factor(graph_, op()));
  }

  // s_operand / s_y of a sum, a rescaling or a mean.
  [[nodiscard]] double ratio() const {
    return static_cast<double>(operand().quantization.scale) /
           static_cast<double>(output().quantization.scale);
  }

  // A gradient of its own, or the sum over samples.
  [[nodiscard]] Argument gradient_or(std::size_t input, StateRole sum) const {
    return in(input) >= 0 ? f32(in(input)) : state(sum);
  }

  [[nodiscard]] KernelCall apply_head(std::size_t part) const {
    const bool weights = part == 0;
    const std::int64_t count =
        weights ? std::int64_t{graph_.head.features} * graph_.head.classes : graph_.head.classes;
    return {Kernel::esp_apply_floats,
            0,
            {number(count),
             gradient_or(part, weights ? StateRole::kHeadWeightSum : StateRole::kHeadBiasSum),
             state(weights ? StateRole::kHeadWeights : StateRole::kHeadBias), Live::kSgd}};
  }

  [[nodiscard]] Arguments head_gradient() const {
    Arguments list{head_descriptor(), f32(in(0)), i8(in(1))};
    const auto more = [&](Argument weights, Argument bias, Argument last) {
      for (Argument* a : {&weights, &bias, &last}) list.push_back(std::move(*a));
      return list;
    };
    switch (node_.sink) {
      case Sink::kApply:
        return more(head(StateRole::kHeadWeights), head(StateRole::kHeadBias), Live::kSgd);
      case Sink::kAdd:
        return more(head(StateRole::kHeadWeightSum), head(StateRole::kHeadBiasSum), number(1));
      case Sink::kStore:
        return more(f32(out(0)), f32(out(1)), number(0));
    }
    throw std::logic_error("unknown sink");
  }

  // The trained channels, sliced or not; none: all.
  [[nodiscard]] Argument listed_channels() const {
    return trained()->channels.empty() ? Argument{Null{}} : list_of(*trained());
  }

  [[nodiscard]] Arguments apply_weights() const {
    return {flash(FlashRole::kConv),
            listed_channels(),
            number(static_cast<std::int64_t>(trained()->channels.size())),
            number(sliced() ? 1 : 0),
            gradient_or(0, StateRole::kWeightSum),
            state(StateRole::kWeights),
            flash(FlashRole::kWeightScale),
            Live::kSgd,
            number(weight_key(node_.op))};
  }

  [[nodiscard]] Arguments depthwise_backward() const {
    const bool with_weights = in(1) >= 0;
    return {flash(FlashRole::kConv),
            f32(in(0)),
            weights(node_.op),
            i8(in(1)),
            with_weights ? channels() : Argument{Null{}},
            with_weights ? channel_count() : number(0),
            with_weights ? weight_sink(-1) : Argument{Null{}},
            f32(node_.scratch)};
  }

  [[nodiscard]] Arguments pass_gradient() const {
    if (node_.kind == NodeKind::kGradientSum) {
      const std::int64_t elements = program_.graph.value(out(0)).elements;
      const auto scaled = static_cast<std::size_t>(node_.scale_op);
      const std::int64_t channels =
          node_.scale_op < 0 ? 1 : graph_.tensor(graph_.ops[scaled].output).shape.channels;
      return {number(elements / channels), number(channels), q(in(0)), q(in(1)), q(out(0)),
              scaled_sink(in(1))};
    }
    return {number(output().shape.pixels()),
            number(output().shape.channels),
            q(in(0)),
            Null{},  // narrow() joins addends to input gradients alone
            q(out(0)),
            mask_scale_sink()};
  }

  [[nodiscard]] Arguments depthwise_backward_q() const {
    const bool with_weights = in(1) >= 0;
    return {flash(FlashRole::kConv),
            q(in(0)),
            weights(node_.op),
            i8(in(1)),
            with_weights ? channels() : Argument{Null{}},
            with_weights ? channel_count() : number(0),
            with_weights ? parameter_sink(-1, true) : Argument{Null{}},
            q(out(0)),
            scaled_sink(-1),
            q(node_.scratch)};
  }

  // By kernel, in the order of kernels.def; a new kernel does not compile without its case.
  [[nodiscard]] Arguments arguments(Kernel kernel) const {
#define ESPALIER_BOTH_FORMS(name) \
  case Kernel::name##_q8:         \
  case Kernel::name##_q16
    switch (kernel) {
      ESPALIER_BOTH_FORMS(esp_adapt_ranges)
          : return {number(program_.graph.gradient_ranges - compiler::kFirstAdaptive),
                    range(compiler::kFirstAdaptive)};
      ESPALIER_BOTH_FORMS(esp_apply_bias)
          : return {number(output().shape.channels), parameter_sink(in(0), false)};
      ESPALIER_BOTH_FORMS(esp_apply_weights)
          : return {flash(FlashRole::kConv), listed_channels(),
                    number(static_cast<std::int64_t>(trained()->channels.size())),
                    number(sliced() ? 1 : 0), parameter_sink(in(0), true)};
      ESPALIER_BOTH_FORMS(esp_bias_gradient)
          : return {number(output().shape.pixels()), number(output().shape.channels), q(in(0)),
                    parameter_sink(out(0), false)};
      ESPALIER_BOTH_FORMS(esp_depthwise_backward) : return depthwise_backward_q();
      ESPALIER_BOTH_FORMS(esp_depthwise_input_gradient)
          : ESPALIER_BOTH_FORMS(esp_input_gradient)
          : ESPALIER_BOTH_FORMS(esp_pointwise_input_gradient)
          : return {flash(FlashRole::kConv), q(in(0)), weights(node_.op), q(in(1)), q(out(0)),
                    scaled_sink(in(1))};
      ESPALIER_BOTH_FORMS(esp_depthwise_weight_gradient)
          : ESPALIER_BOTH_FORMS(esp_weight_gradient)
          : return {flash(FlashRole::kConv),     q(in(0)), i8(in(1)), channels(), channel_count(),
                    parameter_sink(out(0), true)};
      ESPALIER_BOTH_FORMS(esp_gate_gradient)
          : return {number(output().shape.pixels()),
                    number(output().shape.channels),
                    q(in(0)),
                    u8(in(1)),
                    mask_bits(in(1)),
                    i8(in(2)),
                    other_zero(),
                    q(out(0)),
                    gradient_sink(-1, -1, -1, fixed_product())};
      ESPALIER_BOTH_FORMS(esp_lookup_gradient)
          : return {number(output().shape.elements()),
                    flash(FlashRole::kSlopeStep),
                    number(slope_unit(std::get<ir::Lookup>(op().params))),
                    q(in(0)),
                    i8(in(1)),
                    q(out(0)),
                    gradient_sink(-1, -1, -1)};
      ESPALIER_BOTH_FORMS(esp_mul_gradient)
          : return {number(output().shape.pixels()),
                    number(output().shape.channels),
                    number(ir::is_gate(graph_, op()) ? 1 : 0),
                    q(in(0)),
                    i8(in(2)),
                    other_zero(),
                    q(out(0)),
                    gradient_sink(-1, in(1), -1, fixed_product())};
      ESPALIER_BOTH_FORMS(esp_spread_gradients)
          : return {number(input().shape.pixels()),
                    number(input().shape.channels),
                    flash(FlashRole::kPlaces),
                    q(in(0)),
                    number(output().shape.channels),
                    q(in(1)),
                    q(out(0)),
                    scaled_sink(in(1))};
      ESPALIER_BOTH_FORMS(esp_take_gradients)
          : return {number(operand().shape.pixels()),
                    number(operand().shape.channels),
                    q(in(0)),
                    first_channel(),
                    number(output().shape.channels),
                    q(in(1)),
                    q(out(0)),
                    scaled_sink(in(1))};
      ESPALIER_BOTH_FORMS(esp_max_pool_gradient)
          : return {flash(FlashRole::kPool), q(in(0)), u8(in(1)), q(out(0)), scaled_sink(-1)};
      ESPALIER_BOTH_FORMS(esp_pass_gradient) : return pass_gradient();
      ESPALIER_BOTH_FORMS(esp_pool_gradient)
          : return {flash(FlashRole::kPool), q(in(0)), q(out(0)), scaled_sink(-1)};
      ESPALIER_BOTH_FORMS(esp_quantize_gradient)
          : return {number(program_.graph.value(out(0)).elements), f32(in(0)), q(out(0)),
                    range(compiler::kSampleRange)};
#undef ESPALIER_BOTH_FORMS
      case Kernel::esp_add_forward:
        return {flash(FlashRole::kAdd), i8(in(0)), i8(in(1)), i8(out(0)), u8(out(1))};
      case Kernel::esp_apply_bias:
        return {number(output().shape.channels),
                gradient_or(0, StateRole::kBiasSum),
                state(StateRole::kBias),
                flash(FlashRole::kBiasScale),
                Live::kSgd,
                number(bias_key(node_.op))};
      case Kernel::esp_apply_weights:
        return apply_weights();
      case Kernel::esp_average_pool_forward:
        return {flash(FlashRole::kPool), i8(in(0)), i8(out(0))};
      case Kernel::esp_average_pool_requantized: {
        const ir::Quantization& x = graph_.tensor(op().inputs[0]).quantization;
        const ir::FixedPoint fixed =
            ir::make_fixed_point(static_cast<double>(x.scale) / output().quantization.scale);
        return {flash(FlashRole::kPool),
                number(fixed.multiplier),
                number(fixed.shift),
                number(x.zero_point),
                number(output().quantization.zero_point),
                i8(in(0)),
                i8(out(0)),
                u8(out(1)),
                mask_bits(out(1))};
      }
      case Kernel::esp_bias_gradient:
        return {number(output().shape.pixels()), number(output().shape.channels), f32(in(0)),
                bias_sink()};
      case Kernel::esp_conv_forward:
      case Kernel::esp_depthwise_forward:
        return {flash(FlashRole::kConv),  i8(in(0)),  weights(node_.op),
                requantization(node_.op), i8(out(0)), u8(out(1)),
                i8(node_.scratch)};
      case Kernel::esp_pointwise_forward:
        return {flash(FlashRole::kConv),  i8(in(0)),  weights(node_.op),
                requantization(node_.op), i8(out(0)), u8(out(1))};
      case Kernel::esp_depthwise_backward:
        return depthwise_backward();
      case Kernel::esp_depthwise_input_gradient:
        return {flash(FlashRole::kConv), f32(in(0)),        weights(node_.op), f32(out(0)),
                number(in(1) >= 0),      f32(node_.scratch)};
      case Kernel::esp_input_gradient:
      case Kernel::esp_pointwise_input_gradient:
        return {flash(FlashRole::kConv), f32(in(0)), weights(node_.op), f32(out(0)),
                number(in(1) >= 0)};
      case Kernel::esp_depthwise_weight_gradient:
      case Kernel::esp_weight_gradient:
        return {flash(FlashRole::kConv), f32(in(0)),         i8(in(1)), channels(),
                channel_count(),         weight_sink(out(0))};
      case Kernel::esp_gate_gradient:
        return {number(output().shape.pixels()),
                number(output().shape.channels),
                f32(in(0)),
                u8(in(1)),
                mask_bits(in(1)),
                product_factor(),
                i8(in(2)),
                other_zero(),
                f32(out(0))};
      case Kernel::esp_gradient_sum:
        return {number(program_.graph.value(out(0)).elements), f32(in(0)), f32(in(1)), f32(out(0))};
      case Kernel::esp_head_forward:
        return {head_descriptor(), i8(in(0)), head(StateRole::kHeadWeights),
                head(StateRole::kHeadBias), head(StateRole::kLogits)};
      case Kernel::esp_head_gradient:
      case Kernel::esp_head_update:
        return head_gradient();
      case Kernel::esp_head_input_gradient:
        return {head_descriptor(), f32(in(0)), head(StateRole::kHeadWeights), f32(out(0))};
      case Kernel::esp_lookup_forward:
        return {rowwise(output().shape.elements()), flash(FlashRole::kTable), i8(in(0)),
                i8(out(0))};
      case Kernel::esp_lookup_gradient:
        return {number(output().shape.elements()),
                flash(FlashRole::kSlope),
                f32(in(0)),
                i8(in(1)),
                f32(out(0)),
                number(in(2) >= 0)};
      case Kernel::esp_loss_gradient:
        return {number(graph_.head.classes), head(StateRole::kLogits), Live::kLabel, f32(out(0)),
                Live::kLoss};
      case Kernel::esp_mask_scale:
        return {number(output().shape.elements()), f32(in(0)),  u8(in(1)),         mask_bits(in(1)),
                static_cast<float>(ratio()),       f32(out(0)), number(in(2) >= 0)};
      case Kernel::esp_mask_scale_channels:
        return {number(output().shape.pixels()),
                number(output().shape.channels),
                f32(in(0)),
                u8(in(1)),
                mask_bits(in(1)),
                flash(FlashRole::kFactor),
                f32(out(0))};
      case Kernel::esp_max_pool_forward:
        return {flash(FlashRole::kPool), i8(in(0)), i8(out(0)), u8(out(1))};
      case Kernel::esp_max_pool_gradient:
        return {flash(FlashRole::kPool), f32(in(0)), u8(in(1)), f32(out(0))};
      case Kernel::esp_mul_forward:
        return {flash(FlashRole::kAdd),
                number(output().shape.pixels()),
                number(output().shape.channels),
                number(ir::is_gate(graph_, op()) ? 1 : 0),
                i8(in(0)),
                i8(in(1)),
                i8(out(0)),
                u8(out(1))};
      case Kernel::esp_mul_gradient:
        return {number(output().shape.pixels()),
                number(output().shape.channels),
                number(ir::is_gate(graph_, op()) ? 1 : 0),
                f32(in(0)),
                u8(in(1)),
                mask_bits(in(1)),
                product_factor(),
                i8(in(2)),
                other_zero(),
                f32(out(0))};
      case Kernel::esp_put_channels:
        return {number(operand().shape.pixels()),
                number(operand().shape.channels),
                i8(in(0)),
                first_channel(),
                number(output().shape.channels),
                i8(out(0))};
      case Kernel::esp_spread_gradients:
        return {number(input().shape.pixels()),
                number(input().shape.channels),
                flash(FlashRole::kPlaces),
                f32(in(0)),
                number(output().shape.channels),
                f32(out(0)),
                number(in(1) >= 0)};
      case Kernel::esp_take_gradients:
        return {number(operand().shape.pixels()),
                number(operand().shape.channels),
                f32(in(0)),
                first_channel(),
                number(output().shape.channels),
                f32(out(0)),
                number(in(1) >= 0)};
      case Kernel::esp_pool_gradient:
        return {flash(FlashRole::kPool), f32(in(0)), f32(out(0))};
      case Kernel::esp_save_channels: {
        const bool select = node_.kind == NodeKind::kSelectForward;
        return {i8(in(0)),
                rowwise(input().shape.pixels()),
                number(input().shape.channels),
                select ? flash(FlashRole::kSelection) : channels(),
                select ? number(output().shape.channels) : channel_count(),
                i8(out(0))};
      }
      case Kernel::esp_apply_floats:
        break;  // of the head alone: see apply_head()
    }
    throw std::logic_error("no call of this kernel");
  }

  const compiler::Program& program_;
  const ir::Graph& graph_;
  const FlashLayout& layout_;
  const Node& node_;
};

std::vector<InitialValue> initial_values(const compiler::TrainingGraph& graph) {
  std::vector<InitialValue> values{
      {{StateRole::kHeadWeights, -1}, {FlashRole::kHeadWeights, -1}},
      {{StateRole::kHeadBias, -1}, {FlashRole::kHeadBias, -1}},
  };
  for (const TrainedConv& t : graph.trained) {
    if (t.bias) values.push_back({{StateRole::kBias, t.op}, {FlashRole::kBias, t.op}});
    if (t.weights) {
      values.push_back({{StateRole::kWeights, t.op},
                        {t.sliced ? FlashRole::kTrainedWeights : FlashRole::kWeights, t.op}});
    }
    if (t.rotates()) {
      values.push_back({{StateRole::kChannels, t.op}, {FlashRole::kChannelSets, t.op}});
    }
  }
  if (compiler::range_count(graph) > 0) {
    values.push_back({{StateRole::kRanges, -1}, {FlashRole::kRanges, -1}});
  }
  return values;
}

}  // namespace

std::int64_t node_macs(const compiler::TrainingGraph& training, const Node& node) {
  const ir::Graph& graph = *training.forward;
  const auto forward = [&](int op) {
    return ir::forward_macs(graph.ops[static_cast<std::size_t>(op)], graph);
  };
  // Of a weight gradient: the share of the trained channels.
  const auto weights = [&] {
    const TrainedConv* trained = training.trained_conv(node.op);
    const int in = compiler::conv_of(graph, node.op)->in_channels;
    const int kept =
        trained == nullptr || !trained->sliced ? in : static_cast<int>(trained->channels.size());
    return forward(node.op) * kept / in;
  };
  const std::int64_t head = std::int64_t{graph.head.features} * graph.head.classes;
  switch (node.kind) {
    case NodeKind::kConvForward:
    case NodeKind::kInputGradient:
      return forward(node.op);
    case NodeKind::kWeightGradient:
      return weights();
    case NodeKind::kDepthwiseBackward:
      return forward(node.op) + (node.inputs[1] >= 0 ? weights() : 0);
    case NodeKind::kHeadForward:
    case NodeKind::kHeadInputGradient:
    case NodeKind::kHeadGradient:
      return head;
    default:
      return 0;
  }
}

CallList kernel_calls(const compiler::Program& program, const FlashLayout& layout) {
  CallList list;
  const auto lower = [&](const Node& node) { return NodeLowering(program, layout, node).run(); };
  for (const Node& node : program.graph.nodes) list.nodes.push_back(lower(node));
  for (const Node& node : program.graph.update) list.update.push_back(lower(node));
  list.reset = initial_values(program.graph);
  for (const compiler::StateItem& item : program.state.items) {
    if (compiler::is_cleared(item.role)) list.cleared.push_back({item.role, item.op});
  }
  for (const TrainedConv& t : program.graph.trained) {
    if (!t.rotates()) continue;
    list.turns.push_back({t.op, t.sliced, static_cast<std::int64_t>(t.channels.size()),
                          static_cast<std::int64_t>(t.next_channels.size()) + 1});
  }
  return list;
}

}  // namespace espalier::codegen
