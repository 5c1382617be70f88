#include "espalier/codegen/emit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>
#include <span>
#include <sstream>
#include <utility>

#include "class_names.hpp"
#include "dot_conditionals.hpp"
#include "espalier/compiler/kernel_choice.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/support/file.hpp"
#include "espalier/version.hpp"
#include "kernel_choice.hpp"

namespace espalier::codegen {
namespace {

using compiler::Node;
using compiler::NodeKind;
using compiler::Program;
using compiler::Sink;
using compiler::StateItem;
using compiler::StateRole;
using compiler::ValueId;
using runtime::Kernel;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string op_identifier(const ir::Graph& graph, int op) {
  if (op < 0) return "head";
  return compiler::conv_of(graph, op) != nullptr ? compiler::op_name(graph, op)
                                                 : fmt::format("op{}", op);
}

// A float literal that reads back as the same float.
std::string float_literal(float value) {
  std::string text = fmt::format("{:.9g}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text + "f";
}

template <typename T>
T read_at(const std::vector<std::byte>& image, std::int64_t offset) {
  T value;
  std::memcpy(&value, image.data() + offset, sizeof value);
  return value;
}

constexpr std::string_view kHashPlaceholder = "@PROGRAM_HASH@";

class Emitter {
 public:
  Emitter(const Program& program, const plan::UpdatePlan& plan, const EmitOptions& options)
      : program_(program),
        graph_(*program.graph.forward),
        options_(options),
        name_(options.name.empty() ? identifier(graph_.name) : options.name),
        macro_(upper(name_)),
        layout_(flash_layout(program)),
        image_(flash_image(program, layout_)),
        plan_text_(json_text(plan::to_json(plan), 2) + "\n") {}

  std::map<std::string, std::string> run() {
    std::map<std::string, std::string> files;
    const std::string body = source();  // collects the kernels in use
    files[name_ + ".c"] = body;
    files[name_ + ".h"] = header();
    files[name_ + "_params.h"] = parameter_header();
    files[name_ + "_params.c"] = parameters();
    files[name_ + "_kernels.h"] = kernels();
    files["Makefile"] = makefile(options_.target, name_);
    files["README.md"] = readme();
    files["plan.json"] = plan_text_;
    files["program.json"] = program_json();
    put_hash(files);
    return files;
  }

 private:
  // Two programs of one name, from other plans or other options, must not be mixed: all files carry
  // the hash of all their text.
  static void put_hash(std::map<std::string, std::string>& files) {
    std::string all;
    for (const auto& [name, text] : files) all += name + '\0' + text + '\0';
    const std::string hash = sha256_hex(all).substr(0, 16);
    for (auto& [name, text] : files) {
      for (std::size_t at = 0; (at = text.find(kHashPlaceholder, at)) != std::string::npos;) {
        text.replace(at, kHashPlaceholder.size(), hash);
      }
    }
  }

  // ---- names ---------------------------------------------------------------------------------

  [[nodiscard]] std::string flash(FlashRole role, int op) const {
    return fmt::format("FLASH.{}", item_name(graph_, role, op));
  }
  [[nodiscard]] std::string state(StateRole role, int op) const {
    return fmt::format("sram.state.{}", item_name(graph_, role, op));
  }
  [[nodiscard]] std::string flash_if(FlashRole role, int op) const {
    return layout_.find(role, op) == nullptr ? "0" : flash(role, op);
  }
  [[nodiscard]] std::string banner(std::string_view what) const {
    return fmt::format("/* {} - {}\n * Plan {}\n * Made by Espalier {}; do not edit. */\n", name_,
                       what, plan_hash(), kVersion);
  }
  [[nodiscard]] std::string plan_hash() const { return sha256_hex(plan_text_).substr(0, 16); }
  // Refuses to compile with headers of another program. `headers`: suffixes of their macros.
  [[nodiscard]] std::string hash_check(std::initializer_list<std::string_view> headers) const {
    std::string condition;
    for (const std::string_view header : headers) {
      condition += fmt::format("{}{}_{}HASH != 0x{}ull", condition.empty() ? "" : " || \\\n    ",
                               macro_, header, kHashPlaceholder);
    }
    return fmt::format(
        "#if {}\n#error \"the files of {} come from different programs: compile its plan again and "
        "take all of them\"\n#endif\n\n",
        condition, name_);
  }
  [[nodiscard]] std::int64_t classes() const { return graph_.head.classes; }
  [[nodiscard]] const ir::Shape& input_shape() const { return graph_.tensor(graph_.input).shape; }

  // ---- <name>.h ------------------------------------------------------------------------------

  [[nodiscard]] std::string header() const {
    const ir::Tensor& input = graph_.tensor(graph_.input);
    std::string text = banner("inference and training of one sample at a time");
    text += fmt::format("#ifndef {0}_H\n#define {0}_H\n\n#include <stdint.h>\n\n", macro_);
    text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    const auto define = [&](std::string_view key, std::int64_t value, std::string_view comment) {
      text += fmt::format("#define {:<36} {:<8} /* {} */\n", fmt::format("{}_{}", macro_, key),
                          value, comment);
    };
    define("SRAM_BYTES", program_.sram_bytes().count, "everything but the stack");
    define("ARENA_BYTES", program_.arena_bytes().count, "of these, for values of one step");
    define("STATE_BYTES", program_.state.bytes, "of these, kept across steps: the block to save");
    define("PARAMETER_BYTES", layout_.bytes, "constants in flash; code comes on top");
    define("INPUT_HEIGHT", input.shape.height, "rows");
    define("INPUT_WIDTH", input.shape.width, "columns");
    define("INPUT_CHANNELS", input.shape.channels, "innermost");
    define("INPUT_BYTES", input.shape.elements(), "int8, in the arena");
    define("CLASSES", classes(), "logits");
    define("FEATURES", graph_.head.features, "inputs of the classifier");
    define("CONVS", static_cast<std::int64_t>(ir::conv_ops(graph_).size()), "convolutions");
    define("ACCUMULATE", program_.graph.accumulate, "samples an update");
    text += fmt::format(
        "#define {}_PLAN_HASH 0x{}ull /* first 64 bits of the SHA-256 of plan.json */\n", macro_,
        plan_hash());
    text +=
        fmt::format("#define {}_PROGRAM_HASH 0x{}ull /* of all files here, as in program.json */\n",
                    macro_, kHashPlaceholder);
    text += fmt::format(
        "#define {}_REFUSED (-1.0f) /* in place of a loss, which is never negative */\n", macro_);
    text += class_names_macro(macro_, graph_.head);
    text += fmt::format("\n/* One input element stands for {} * (q - {}). */\n",
                        float_literal(ir::file_input_quantization(graph_).scale),
                        input.quantization.zero_point);
    text += fmt::format("#define {}_INPUT_SCALE {}\n#define {}_INPUT_ZERO_POINT ({})\n", macro_,
                        float_literal(ir::file_input_quantization(graph_).scale), macro_,
                        input.quantization.zero_point);
    text += fmt::format(R"(
/* Puts all parameters back to where training starts. Call it before anything else. */
void {0}_reset(void);

/* Learning rate for a batch of 256; a sample's gradient is stepped by 1/256 of it. Reset sets
 * {1}. Returns 0; a rate that is negative or no finite number changes nothing and returns -1. */
int32_t {0}_set_learning_rate(float rate);

/* Where the next input may be written instead of passing it: {2}_INPUT_BYTES bytes, rows of
 * pixels of channels. Overwritten by every call of forward and train_step. */
int8_t* {0}_input(void);

/* Runs the network and returns the most probable class. `input` is copied unless it is
 * {0}_input(). */
int32_t {0}_forward(const int8_t* input);

/* One step of training on one sample: forward, loss, backward, update (every
 * {2}_ACCUMULATE samples). Returns the loss before the update. A label that is not one of 0 to
 * {2}_CLASSES - 1 changes nothing and returns {2}_REFUSED. */
float {0}_train_step(const int8_t* input, int32_t label);

/* Of the last train_step and of the last forward. */
float {0}_loss(void);
const float* {0}_logits(void);

/* All that persists: parameters, learning rate, seed and count of the steps, sums of gradients. Save
 * {2}_STATE_BYTES bytes between any two calls; to go on from there, call {0}_reset() and
 * copy them back. They belong to the program of {2}_PROGRAM_HASH alone. */
void* {0}_state(void);

/* Parameters of a convolution by conv index, in SRAM when they are trained, otherwise 0; `count`
 * receives the number of elements. Weights are [out][tap][trained input channel]; of a depthwise
 * convolution [trained channel][tap]. */
int8_t* {0}_weights(int32_t conv, int32_t* count);
int32_t* {0}_bias(int32_t conv, int32_t* count);
/* The classifier: [class][feature] and [class]. */
float* {0}_head_weights(void);
float* {0}_head_bias(void);
)",
                        name_, float_literal(options_.learning_rate), macro_);
    if (program_.graph.accumulate > 1) {
      text += fmt::format(R"(
/* Gradients added up since the last update, before scaling; 0 when not trained. */
float* {0}_weight_sums(int32_t conv, int32_t* count);
float* {0}_bias_sums(int32_t conv, int32_t* count);
)",
                          name_);
    }
    text += "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
    return text;
  }

  // ---- <name>_params -------------------------------------------------------------------------

  static std::string_view c_type(FlashRole role) {
    switch (flash_type(role)) {
      case FlashType::kFloat:
        return "float";
      case FlashType::kInt32:
        return "int32_t";
      case FlashType::kInt16:
        return "int16_t";
      case FlashType::kUint8:
        return "uint8_t";
      case FlashType::kInt8:
        return "int8_t";
      case FlashType::kStruct:
        break;
    }
    switch (role) {
      case FlashRole::kConv:
        return "esp_conv";
      case FlashRole::kAdd:
        return "esp_add";
      case FlashRole::kPool:
        return "esp_pool";
      default:
        return "esp_head";
    }
  }

  // Elements with the padding to a multiple of four bytes.
  static std::int64_t padded_elements(const FlashItem& item) {
    switch (flash_type(item.role)) {
      case FlashType::kInt16:
        return item.bytes / 2;
      case FlashType::kUint8:
      case FlashType::kInt8:
        return item.bytes;
      default:
        return item.bytes / 4;
    }
  }

  [[nodiscard]] std::string parameter_header() const {
    std::string text = banner("constants");
    text +=
        fmt::format("#ifndef {0}_PARAMS_H\n#define {0}_PARAMS_H\n\n#include \"{1}_kernels.h\"\n\n",
                    macro_, name_);
    text += fmt::format("#define {}_PARAMS_HASH 0x{}ull\n\n", macro_, kHashPlaceholder);
    text += fmt::format("struct {}_params {{\n", name_);
    for (const FlashItem& item : layout_.items) {
      const bool one = flash_type(item.role) == FlashType::kStruct;
      text += fmt::format("  {} {}{};\n", c_type(item.role), item_name(graph_, item.role, item.op),
                          one ? "" : fmt::format("[{}]", padded_elements(item)));
    }
    text += fmt::format("}};\n\nextern const struct {0}_params {0}_params;\n\n#endif\n", name_);
    return text;
  }

  [[nodiscard]] std::string parameters() const {
    std::string text = banner("constants");
    // The kernels themselves belong to the other source.
    text += fmt::format("#define ESP_TYPES_ONLY\n#include \"{0}_params.h\"\n\n", name_);
    text += hash_check({"PARAMS_", "KERNELS_"});
    text += fmt::format("const struct {0}_params {0}_params = {{\n", name_);
    for (const FlashItem& item : layout_.items) {
      text += fmt::format("  /* {} */\n  {{", item_name(graph_, item.role, item.op));
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
      std::vector<std::string> values = literals(item);
      for (std::size_t i = 0; i < values.size(); ++i) {
        put(std::move(values[i]), i + 1 == values.size());
      }
      flush(true);
      text += "},\n";
    }
    text += "};\n";
    return text;
  }

  [[nodiscard]] std::vector<std::string> literals(const FlashItem& item) const {
    std::vector<std::string> values;
    const auto integers = [&](auto zero, std::int64_t count) {
      using T = decltype(zero);
      for (std::int64_t i = 0; i < count; ++i) {
        const auto v = static_cast<std::int64_t>(
            read_at<T>(image_, item.offset + i * static_cast<std::int64_t>(sizeof(T))));
        // -2147483648 is no int literal in C.
        values.push_back(v == INT32_MIN ? "(-2147483647 - 1)" : fmt::format("{}", v));
      }
    };
    switch (flash_type(item.role)) {
      case FlashType::kFloat:
        for (std::int64_t i = 0; i < item.elements; ++i) {
          values.push_back(float_literal(read_at<float>(image_, item.offset + 4 * i)));
        }
        break;
      case FlashType::kInt32:
        integers(std::int32_t{}, item.elements);
        break;
      case FlashType::kInt16:
        integers(std::int16_t{}, item.elements);
        break;
      case FlashType::kUint8:
        integers(std::uint8_t{}, item.elements);
        break;
      case FlashType::kInt8:
        integers(std::int8_t{}, item.elements);
        break;
      case FlashType::kStruct: {
        if (item.role == FlashRole::kConv || item.role == FlashRole::kPool) {
          integers(std::int16_t{}, item.bytes / 2);
        } else if (item.role == FlashRole::kAdd) {
          const auto d = read_at<esp_add>(image_, item.offset);
          for (const std::int64_t v :
               {std::int64_t{d.elements}, std::int64_t{d.a_multiplier},
                std::int64_t{d.b_multiplier}, std::int64_t{d.shift}, std::int64_t{d.a_zero},
                std::int64_t{d.b_zero}, std::int64_t{d.out_zero}, std::int64_t{d.low},
                std::int64_t{d.high}, std::int64_t{d.mask_bits}}) {
            values.push_back(fmt::format("{}", v));
          }
        } else {
          const auto d = read_at<esp_head>(image_, item.offset);
          values = {fmt::format("{}", d.features), fmt::format("{}", d.classes),
                    fmt::format("{}", d.zero), float_literal(d.scale)};
        }
        break;
      }
    }
    return values;
  }

  // ---- <name>_kernels.h ----------------------------------------------------------------------

  [[nodiscard]] std::string kernels() const {
    const auto& sources = runtime::runtime_sources();
    std::string text = banner("the kernels in use");
    text += fmt::format("#define {}_KERNELS_HASH 0x{}ull\n", macro_, kHashPlaceholder);
    std::string types(sources.at("espalier_runtime.h"));
    // One include guard around all.
    text += types.substr(0, types.rfind("#endif"));
    text += "#ifndef ESP_TYPES_ONLY\n";
    std::set<std::string> emitted{"espalier_runtime.h"};
    for (const std::string& kernel : kernels_) append_source(kernel + ".c", emitted, text);
    text += "\n#endif\n\n#endif\n";
    return text;
  }

  // The text of a kernel or of a header it includes, in the form of the last overlay that has one,
  // after what it includes itself.
  void append_source(const std::string& file, std::set<std::string>& emitted,
                     std::string& text) const {
    if (!emitted.insert(file).second) return;
    const std::string_view source = runtime::source_of(file, options_.target.overlays);
    std::istringstream lines{resolve_dot_conditionals(file, source, options_.target.dot_product)};
    std::string body;
    for (std::string line; std::getline(lines, line);) {
      constexpr std::string_view kInclude = "#include \"";
      if (line.rfind(kInclude, 0) == 0) {
        append_source(line.substr(kInclude.size(), line.rfind('"') - kInclude.size()), emitted,
                      text);
      } else {
        body += line + '\n';
      }
    }
    text += body;
  }

  // ---- <name>.c ------------------------------------------------------------------------------

  [[nodiscard]] std::string source() {
    std::string text = banner("the training step");
    text +=
        "/* Kernels stay functions of their own: the stack that one needs is taken only while it\n"
        " * runs, and cycles can be told apart. */\n"
        "#if defined(__GNUC__) && !defined(__clang__)\n"
        "#define ESP_KERNEL static __attribute__((noinline, noclone))\n"
        "#elif defined(__clang__)\n"
        "#define ESP_KERNEL static __attribute__((noinline))\n"
        "#else\n#define ESP_KERNEL static\n#endif\n";
    text += fmt::format("#include \"{0}.h\"\n\n#include \"{0}_params.h\"\n\n", name_);
    text += hash_check({"PROGRAM_", "PARAMS_", "KERNELS_"});
    text += fmt::format("#define FLASH {}_params\n\n", name_);
    text +=
        "/* All SRAM but the stack. The arena is of floats so that they may be accessed as such;\n"
        " * int8 and bytes may alias anything. */\nstatic struct {\n";
    text += fmt::format("  float arena[{}];\n", program_.arena_bytes().count / 4);
    text +=
        "  struct { /* what is kept across steps, all that saving needs */\n"
        "    float rate;      /* learning rate per sample */\n"
        "    uint32_t seed;   /* of stochastic rounding */\n"
        "    uint32_t step;   /* updates so far */\n"
        "    int32_t waiting; /* samples since the last update */\n"
        "    float loss;\n";
    for (const StateItem& item : program_.state.items) {
      const std::string_view type = item.role == StateRole::kWeights ? "int8_t"
                                    : item.role == StateRole::kBias  ? "int32_t"
                                                                     : "float";
      text += fmt::format(
          "    {} {}[{}];\n", type, item_name(graph_, item.role, item.op),
          item.role == StateRole::kWeights ? (item.elements + 3) / 4 * 4 : item.elements);
    }
    text += "  } state;\n} sram;\n\n";
    text += "#define I8(offset) ((int8_t*)sram.arena + (offset))\n";
    text += "#define U8(offset) ((uint8_t*)sram.arena + (offset))\n";
    text += "#define F32(offset) (sram.arena + (offset) / 4)\n\n";

    std::string forward = "static void run_forward(void) {\n";
    std::string backward = "static void run_backward(int32_t label, const esp_sgd* sgd) {\n";
    for (std::size_t i = 0; i < program_.graph.nodes.size(); ++i) {
      (static_cast<int>(i) < program_.graph.backward_begin ? forward : backward) +=
          block(program_.graph.nodes[i]);
    }
    text += forward + "}\n\n";
    if (backward.find("sgd", backward.find('\n')) == std::string::npos)
      backward += "  (void)sgd;\n";
    text += backward + "}\n\n";
    if (!program_.graph.update.empty()) {
      text += "static void run_update(const esp_sgd* sgd) {\n";
      for (const Node& node : program_.graph.update) text += block(node);
      for (const StateItem& item : program_.state.items) {
        if (item.role == StateRole::kHeadWeightSum || item.role == StateRole::kHeadBiasSum ||
            item.role == StateRole::kBiasSum || item.role == StateRole::kWeightSum) {
          const std::string array = state(item.role, item.op);
          text += fmt::format("  memset({0}, 0, sizeof {0});\n", array);
        }
      }
      text += "}\n\n";
    }
    text += api();
    return text;
  }

  [[nodiscard]] std::string weights(int op) const {
    const compiler::TrainedConv* trained = program_.graph.trained_conv(op);
    if (trained == nullptr || !trained->weights) {
      return fmt::format("&(const esp_weights){{{}, 0, 0, 0}}", flash(FlashRole::kWeights, op));
    }
    if (!trained->sliced) {
      return fmt::format("&(const esp_weights){{{}, 0, 0, 0}}", state(StateRole::kWeights, op));
    }
    return fmt::format("&(const esp_weights){{{}, {}, {}, {}}}", flash(FlashRole::kWeights, op),
                       state(StateRole::kWeights, op), flash(FlashRole::kChannels, op),
                       trained->channels.size());
  }

  [[nodiscard]] std::string requantization(int op) const {
    const compiler::TrainedConv* trained = program_.graph.trained_conv(op);
    const std::string bias = trained != nullptr && trained->bias ? state(StateRole::kBias, op)
                                                                 : flash(FlashRole::kBias, op);
    return fmt::format("&(const esp_requantization){{{}, {}, {}}}", bias,
                       flash(FlashRole::kMultiplier, op), flash(FlashRole::kShift, op));
  }

  [[nodiscard]] std::string pointer(std::string_view type, ValueId id) const {
    return id < 0 ? "0" : fmt::format("{}({})", type, program_.offset(id));
  }
  [[nodiscard]] std::string i8(ValueId id) const { return pointer("I8", id); }
  [[nodiscard]] std::string u8(ValueId id) const { return pointer("U8", id); }
  [[nodiscard]] std::string f32(ValueId id) const { return pointer("F32", id); }

  // Channels and their count as arguments of a weight gradient kernel.
  [[nodiscard]] std::string channel_arguments(int op) const {
    const compiler::TrainedConv* trained = program_.graph.trained_conv(op);
    if (trained == nullptr || !trained->sliced) return "0, 0";
    return fmt::format("{}, {}", flash(FlashRole::kChannels, op), trained->channels.size());
  }

  [[nodiscard]] std::string weight_sink(const Node& node, ValueId gradient) const {
    switch (node.sink) {
      case Sink::kStore:
        return fmt::format("&(const esp_weight_sink){{{}, 0, 0, 0, 0, 0}}", f32(gradient));
      case Sink::kAdd:
        return fmt::format("&(const esp_weight_sink){{{}, 1, 0, 0, 0, 0}}",
                           state(StateRole::kWeightSum, node.op));
      case Sink::kApply:
        break;
    }
    return fmt::format("&(const esp_weight_sink){{0, 0, {}, {}, sgd, {}}}",
                       state(StateRole::kWeights, node.op), flash(FlashRole::kWeightScale, node.op),
                       weight_key(node.op));
  }

  [[nodiscard]] std::string bias_sink(const Node& node) const {
    switch (node.sink) {
      case Sink::kStore:
        return fmt::format("&(const esp_bias_sink){{{}, 0, 0, 0, 0, 0}}", f32(node.outputs[0]));
      case Sink::kAdd:
        return fmt::format("&(const esp_bias_sink){{{}, 1, 0, 0, 0, 0}}",
                           state(StateRole::kBiasSum, node.op));
      case Sink::kApply:
        break;
    }
    return fmt::format("&(const esp_bias_sink){{0, 0, {}, {}, sgd, {}}}",
                       state(StateRole::kBias, node.op), flash(FlashRole::kBiasScale, node.op),
                       bias_key(node.op));
  }

  std::string call(const std::string& kernel, std::initializer_list<std::string> arguments) {
    kernels_.insert(kernel);
    kernel_macs_[kernel] += macs_;
    // Arguments are packed into lines of at most 100 columns.
    std::string text = fmt::format("    {}(", kernel);
    const std::string indent(text.size(), ' ');
    std::size_t column = text.size();
    bool first = true;
    for (const std::string& argument : arguments) {
      if (!first) {
        text += ',';
        if (column + argument.size() + 4 > 100) {
          text += "\n" + indent;
          column = indent.size();
        } else {
          text += ' ';
          column += 2;
        }
      }
      text += argument;
      column += argument.size();
      first = false;
    }
    return text + ");\n";
  }

  [[nodiscard]] std::string comment(const Node& node) const {
    std::string what = compiler::node_name(program_.graph, node);
    if (node.kind == NodeKind::kStreamForward) {
      what += " + " + compiler::op_name(graph_, node.operand);
    }
    for (const int op : {node.op, node.kind == NodeKind::kStreamForward ? node.operand : -1}) {
      const ir::Conv2D* conv = compiler::conv_of(graph_, op);
      if (conv == nullptr) continue;
      const ir::Shape& out = graph_.tensor(graph_.ops[static_cast<std::size_t>(op)].output).shape;
      what +=
          fmt::format(", {}x{}{} {} -> {} on {}x{}", conv->window.kernel_h, conv->window.kernel_w,
                      conv->window.stride_h > 1 ? fmt::format("/{}", conv->window.stride_h) : "",
                      conv->in_channels, conv->out_channels, out.height, out.width);
    }
    return fmt::format("  /* {} */\n", comment_text(what));
  }

  // The calls of a node behind a comment that names it. In a block of their own, so that the
  // descriptors among their arguments are gone from the stack before the next node's come.
  std::string block(const Node& node) { return comment(node) + "  {\n" + calls(node) + "  }\n"; }

  std::string calls(const Node& node) {
    const auto desc = [&](FlashRole role) { return "&" + flash(role, node.op); };
    const std::string head = "&" + flash(FlashRole::kHead, -1);
    const bool has_second = node.inputs[1] >= 0;
    const KernelChoice kernel = choose_kernel(program_, node);
    const Kernel chosen = compiler::kernel_of(program_.graph, node);
    macs_ = node_macs(program_, node);
    const auto number = [](std::int64_t n) { return fmt::format("{}", n); };
    switch (node.kind) {
      case NodeKind::kConvForward:
        if (chosen == Kernel::esp_depthwise_forward) {
          return call("esp_depthwise_forward",
                      {desc(FlashRole::kConv), i8(node.inputs[0]), weights(node.op),
                       requantization(node.op), i8(node.outputs[0]), u8(node.outputs[1]),
                       i8(node.scratch)});
        }
        if (chosen == Kernel::esp_pointwise_forward) {
          return call("esp_pointwise_forward",
                      {desc(FlashRole::kConv), i8(node.inputs[0]), weights(node.op),
                       requantization(node.op), i8(node.outputs[0]), u8(node.outputs[1])});
        }
        return call(
            "esp_conv_forward",
            {desc(FlashRole::kConv), i8(node.inputs[0]), weights(node.op), requantization(node.op),
             i8(node.outputs[0]), u8(node.outputs[1]), i8(node.scratch)});
      case NodeKind::kStreamForward:
        return call(
            "esp_stream_forward",
            {desc(FlashRole::kConv), i8(node.inputs[0]), weights(node.op), requantization(node.op),
             u8(node.outputs[2]), "&" + flash(FlashRole::kConv, node.operand),
             weights(node.operand), requantization(node.operand), i8(node.outputs[0]),
             u8(node.outputs[1]), i8(node.scratch)});
      case NodeKind::kAddForward:
      case NodeKind::kRescaleForward:
        return call("esp_add_forward",
                    {desc(FlashRole::kAdd), i8(node.inputs[0]), i8(node.inputs[1]),
                     i8(node.outputs[0]), u8(node.outputs[1])});
      case NodeKind::kAveragePoolForward:
        return call("esp_average_pool_forward",
                    {desc(FlashRole::kPool), i8(node.inputs[0]), i8(node.outputs[0])});
      case NodeKind::kMaxPoolForward:
        return call("esp_max_pool_forward", {desc(FlashRole::kPool), i8(node.inputs[0]),
                                             i8(node.outputs[0]), u8(node.outputs[1])});
      case NodeKind::kSaveChannels:
        return call("esp_save_channels",
                    {i8(node.inputs[0]), number(kernel.pixels_in), number(kernel.channels_in),
                     channel_arguments(node.op), i8(node.outputs[0])});
      case NodeKind::kHeadForward:
        return call("esp_head_forward",
                    {head, i8(node.inputs[0]), state(StateRole::kHeadWeights, -1),
                     state(StateRole::kHeadBias, -1), state(StateRole::kLogits, -1)});
      case NodeKind::kLossGradient:
        return call("esp_loss_gradient", {number(classes()), state(StateRole::kLogits, -1), "label",
                                          f32(node.outputs[0]), "&sram.state.loss"});
      case NodeKind::kHeadInputGradient:
        return call(
            "esp_head_input_gradient",
            {head, f32(node.inputs[0]), state(StateRole::kHeadWeights, -1), f32(node.outputs[0])});
      case NodeKind::kHeadGradient:
        if (node.sink == Sink::kApply) {
          return call("esp_head_update",
                      {head, f32(node.inputs[0]), i8(node.inputs[1]),
                       state(StateRole::kHeadWeights, -1), state(StateRole::kHeadBias, -1), "sgd"});
        }
        if (node.sink == Sink::kAdd) {
          return call("esp_head_gradient", {head, f32(node.inputs[0]), i8(node.inputs[1]),
                                            state(StateRole::kHeadWeightSum, -1),
                                            state(StateRole::kHeadBiasSum, -1), "1"});
        }
        return call("esp_head_gradient", {head, f32(node.inputs[0]), i8(node.inputs[1]),
                                          f32(node.outputs[0]), f32(node.outputs[1]), "0"});
      case NodeKind::kMaskScale:
        if (compiler::conv_of(graph_, node.op) != nullptr) {
          return call("esp_mask_scale_channels",
                      {number(kernel.pixels_out), number(kernel.channels_out), f32(node.inputs[0]),
                       u8(node.inputs[1]), number(kernel.mask_bits),
                       flash(FlashRole::kFactor, node.op), f32(node.outputs[0])});
        }
        return call("esp_mask_scale",
                    {number(kernel.pixels_out * kernel.channels_out), f32(node.inputs[0]),
                     u8(node.inputs[1]), number(kernel.mask_bits), float_literal(kernel.factor),
                     f32(node.outputs[0]), node.inputs[2] >= 0 ? "1" : "0"});
      case NodeKind::kBiasGradient:
        return call("esp_bias_gradient", {number(kernel.pixels_out), number(kernel.channels_out),
                                          f32(node.inputs[0]), bias_sink(node)});
      case NodeKind::kWeightGradient:
        return call(std::string(runtime::kernel_name(chosen)),
                    {desc(FlashRole::kConv), f32(node.inputs[0]), i8(node.inputs[1]),
                     channel_arguments(node.op), weight_sink(node, node.outputs[0])});
      case NodeKind::kInputGradient: {
        const std::string add = has_second ? "1" : "0";
        if (chosen == Kernel::esp_depthwise_input_gradient) {
          return call("esp_depthwise_input_gradient",
                      {desc(FlashRole::kConv), f32(node.inputs[0]), weights(node.op),
                       f32(node.outputs[0]), add, f32(node.scratch)});
        }
        return call(std::string(runtime::kernel_name(chosen)),
                    {desc(FlashRole::kConv), f32(node.inputs[0]), weights(node.op),
                     f32(node.outputs[0]), add});
      }
      case NodeKind::kDepthwiseBackward:
        return call("esp_depthwise_backward",
                    {desc(FlashRole::kConv), f32(node.inputs[0]), weights(node.op),
                     i8(node.inputs[1]), has_second ? channel_arguments(node.op) : "0, 0",
                     has_second ? weight_sink(node, -1) : "0", f32(node.scratch)});
      case NodeKind::kPoolGradient:
        return call("esp_pool_gradient",
                    {desc(FlashRole::kPool), f32(node.inputs[0]), f32(node.outputs[0])});
      case NodeKind::kMaxPoolGradient:
        return call("esp_max_pool_gradient", {desc(FlashRole::kPool), f32(node.inputs[0]),
                                              u8(node.inputs[1]), f32(node.outputs[0])});
      case NodeKind::kGradientSum:
        return call("esp_gradient_sum",
                    {number(program_.graph.value(node.outputs[0]).elements), f32(node.inputs[0]),
                     f32(node.inputs[1]), f32(node.outputs[0])});
      case NodeKind::kApplyWeights: {
        const compiler::TrainedConv& trained = *program_.graph.trained_conv(node.op);
        return call(
            "esp_apply_weights",
            {desc(FlashRole::kConv), flash_if(FlashRole::kChannels, node.op),
             number(static_cast<std::int64_t>(trained.channels.size())), trained.sliced ? "1" : "0",
             node.inputs[0] >= 0 ? f32(node.inputs[0]) : state(StateRole::kWeightSum, node.op),
             state(StateRole::kWeights, node.op), flash(FlashRole::kWeightScale, node.op), "sgd",
             number(weight_key(node.op))});
      }
      case NodeKind::kApplyBias:
        return call(
            "esp_apply_bias",
            {number(kernel.channels_out),
             node.inputs[0] >= 0 ? f32(node.inputs[0]) : state(StateRole::kBiasSum, node.op),
             state(StateRole::kBias, node.op), flash(FlashRole::kBiasScale, node.op), "sgd",
             number(bias_key(node.op))});
      case NodeKind::kApplyHead: {
        const std::int64_t count = std::int64_t{graph_.head.features} * classes();
        return call("esp_apply_floats", {number(count),
                                         node.inputs[0] >= 0 ? f32(node.inputs[0])
                                                             : state(StateRole::kHeadWeightSum, -1),
                                         state(StateRole::kHeadWeights, -1), "sgd"}) +
               call("esp_apply_floats",
                    {number(classes()),
                     node.inputs[1] >= 0 ? f32(node.inputs[1]) : state(StateRole::kHeadBiasSum, -1),
                     state(StateRole::kHeadBias, -1), "sgd"});
      }
    }
    return {};
  }

  [[nodiscard]] std::string api() const {
    std::string text =
        fmt::format("void {}_reset(void) {{\n  memset(&sram, 0, sizeof sram);\n", name_);
    text += fmt::format("  (void){}_set_learning_rate({});\n", name_,
                        float_literal(options_.learning_rate));
    text += fmt::format("  sram.state.seed = {}u;\n", options_.seed);
    const auto copy = [&](const std::string& to, const std::string& from) {
      text += fmt::format("  memcpy({0}, {1}, sizeof {0});\n", to, from);
    };
    copy(state(StateRole::kHeadWeights, -1), flash(FlashRole::kHeadWeights, -1));
    copy(state(StateRole::kHeadBias, -1), flash(FlashRole::kHeadBias, -1));
    for (const compiler::TrainedConv& t : program_.graph.trained) {
      if (t.bias) copy(state(StateRole::kBias, t.op), flash(FlashRole::kBias, t.op));
      if (t.weights) {
        copy(state(StateRole::kWeights, t.op),
             flash(t.sliced ? FlashRole::kTrainedWeights : FlashRole::kWeights, t.op));
      }
    }
    text += "}\n\n";
    text += fmt::format(R"(int32_t {}_set_learning_rate(float rate) {{
  if (!(rate >= 0.0f && rate <= 3.40282347e38f)) return -1;
  sram.state.rate = rate / 256.0f;
  return 0;
}}

)",
                        name_);
    const std::string input = i8(program_.graph.input);
    text += fmt::format("int8_t* {}_input(void) {{ return {}; }}\n\n", name_, input);
    text += fmt::format(
        "static void take_input(const int8_t* input) {{\n  if (input != {0}) memcpy({0}, input, "
        "{1});\n}}\n\n",
        input, input_shape().elements());
    text += fmt::format(R"(int32_t {0}_forward(const int8_t* input) {{
  int32_t best = 0, k;
  take_input(input);
  run_forward();
  for (k = 1; k < {1}; ++k) {{
    if (sram.state.logits[k] > sram.state.logits[best]) best = k;
  }}
  return best;
}}

float {0}_train_step(const int8_t* input, int32_t label) {{
  const esp_sgd sgd = {{sram.state.rate, esp_mix(sram.state.seed + sram.state.step * 0x9E3779B9u), {2}}};
  if (label < 0 || label >= {1}) return {3}_REFUSED;
  take_input(input);
  run_forward();
  run_backward(label, &sgd);
)",
                        name_, classes(), options_.stochastic ? 1 : 0, macro_);
    if (program_.graph.accumulate > 1) {
      text += fmt::format(R"(  if (++sram.state.waiting == {}) {{
    run_update(&sgd);
    sram.state.waiting = 0;
    ++sram.state.step;
  }}
)",
                          program_.graph.accumulate);
    } else {
      text += "  ++sram.state.step;\n";
    }
    text += "  return sram.state.loss;\n}\n\n";
    text += fmt::format("float {}_loss(void) {{ return sram.state.loss; }}\n\n", name_);
    text += fmt::format("const float* {}_logits(void) {{ return sram.state.logits; }}\n\n", name_);
    text += fmt::format("void* {}_state(void) {{ return &sram.state; }}\n\n", name_);
    text += accessor("int8_t", "weights", StateRole::kWeights);
    text += accessor("int32_t", "bias", StateRole::kBias);
    if (program_.graph.accumulate > 1) {
      text += accessor("float", "weight_sums", StateRole::kWeightSum);
      text += accessor("float", "bias_sums", StateRole::kBiasSum);
    }
    text += fmt::format("float* {}_head_weights(void) {{ return sram.state.head_weights; }}\n\n",
                        name_);
    text += fmt::format("float* {}_head_bias(void) {{ return sram.state.head_bias; }}\n", name_);
    return text;
  }

  [[nodiscard]] std::string accessor(std::string_view type, std::string_view what,
                                     StateRole role) const {
    std::string text =
        fmt::format("{}* {}_{}(int32_t conv, int32_t* count) {{\n", type, name_, what);
    std::string cases;
    for (const compiler::TrainedConv& t : program_.graph.trained) {
      const StateItem* item = program_.state.find(role, t.op);
      if (item == nullptr) continue;
      cases += fmt::format("    case {}: *count = {}; return {};\n", t.conv, item->elements,
                           state(role, t.op));
    }
    if (cases.empty()) return text + "  (void)conv;\n  *count = 0;\n  return 0;\n}\n\n";
    return text + "  switch (conv) {\n" + cases + "    default: *count = 0; return 0;\n  }\n}\n\n";
  }

  // ---- the rest ------------------------------------------------------------------------------

  [[nodiscard]] std::string readme() const {
    const ir::Tensor& input = graph_.tensor(graph_.input);
    std::string trained;
    for (const compiler::TrainedConv& t : program_.graph.trained) {
      trained +=
          fmt::format("| {} | {} | {} |\n", t.conv, t.bias ? "yes" : "no",
                      !t.weights ? "-"
                                 : fmt::format("{} of {} input channels",
                                               compiler::trained_channel_count(program_.graph, t),
                                               compiler::conv_of(graph_, t.op)->in_channels));
    }
    return fmt::format(
        R"(# {name}

Inference and on-device training of `{model}` in plain C99, made by Espalier {version} from the plan in
`plan.json`. No heap, no recursion, no library but `string.h` and `stdint.h`.

| | bytes |
|---|---|
| SRAM, all but the stack (which `espalier check` measures) | {sram} |
| - arena: values of one step | {arena} |
| - state: trained parameters, classifier, logits, what steps count | {state} |
| Flash, constants; code comes on top | {parameters} |

## Use

Add `{name}.c` and `{name}_params.c` to the firmware, or `make` (for the target's compiler see the top of
the `Makefile`). Keep `-ffp-contract=off`: with it the device computes what the host measured, to the
last bit.

```c
#include "{name}.h"

{name}_reset();
memcpy({name}_input(), image, {macro}_INPUT_BYTES);  /* {input} int8, q = real / {scale} + ({zero}) */
int32_t guess = {name}_forward({name}_input());
float loss = {name}_train_step(image, label);
```

`train_step` updates the parameters in place, after every {samples}. A label that is out of range
changes nothing and returns `{macro}_REFUSED`.

## Saving what was learned

Nothing is kept in flash: what was learned is lost with the power unless the firmware saves the block
that `{name}_state()` returns, after any call.

```c
memcpy(saved, {name}_state(), {macro}_STATE_BYTES);  /* {state} bytes */
```

After the next start, training goes on to the bit as if there had been no break:

```c
{name}_reset();
memcpy({name}_state(), saved, {macro}_STATE_BYTES);
```

A block is of use to the program it came from alone; save `{macro}_PROGRAM_HASH` with it and compare.

## What learns

The classifier, and

| conv | bias | weights |
|---|---|---|
{trained})",
        fmt::arg("name", name_), fmt::arg("macro", macro_),
        fmt::arg("model", markdown_text(graph_.name)), fmt::arg("version", kVersion),
        fmt::arg("sram", program_.sram_bytes().count),
        fmt::arg("arena", program_.arena_bytes().count), fmt::arg("state", program_.state.bytes),
        fmt::arg("parameters", layout_.bytes),
        fmt::arg("input", fmt::format("{}x{}x{}", input.shape.height, input.shape.width,
                                      input.shape.channels)),
        fmt::arg("scale", ir::file_input_quantization(graph_).scale),
        fmt::arg("zero", input.quantization.zero_point),
        fmt::arg("samples", program_.graph.accumulate > 1
                                ? fmt::format("{} samples", program_.graph.accumulate)
                                : "sample"),
        fmt::arg("trained", trained.empty() ? "| - | - | - |\n" : trained));
  }

  [[nodiscard]] std::string program_json() const {
    Json convs = Json::array();
    for (const compiler::TrainedConv& t : program_.graph.trained) {
      convs.push_back({{"conv", t.conv},
                       {"bias", t.bias},
                       {"weight_channels", compiler::trained_channel_count(program_.graph, t)}});
    }
    const Json document{{"schema", kProgramSchema},
                        {"tool_version", kVersion},
                        {"name", name_},
                        {"model", {{"name", graph_.name}, {"sha256", graph_.sha256}}},
                        {"plan_sha256", sha256_hex(plan_text_)},
                        {"program_hash", kHashPlaceholder},
                        {"target", options_.target.name},
                        {"build", to_json(options_.target)},
                        {"sram_bytes", program_.sram_bytes().count},
                        {"arena_bytes", program_.arena_bytes().count},
                        {"arena_lower_bound", program_.placement.lower_bound},
                        {"state_bytes", program_.state.bytes},
                        {"parameter_bytes", layout_.bytes},
                        {"input_bytes", input_shape().elements()},
                        {"classes", classes()},
                        {"class_names", graph_.head.class_names},
                        {"features", graph_.head.features},
                        {"convs", ir::conv_ops(graph_).size()},
                        {"accumulate", program_.graph.accumulate},
                        {"learning_rate", options_.learning_rate},
                        {"rounding", options_.stochastic ? "stochastic" : "nearest"},
                        {"seed", options_.seed},
                        {"kernel_macs", kernel_macs_},
                        {"trained", std::move(convs)},
                        {"recorded", to_json(options_.recorded)}};
    return json_text(document, 2) + "\n";
  }

  const Program& program_;
  const ir::Graph& graph_;
  const EmitOptions& options_;
  std::string name_;
  std::string macro_;
  FlashLayout layout_;
  std::vector<std::byte> image_;
  std::string plan_text_;
  std::set<std::string> kernels_;
  std::map<std::string, std::int64_t> kernel_macs_;  // of one step, by kernel
  std::int64_t macs_ = 0;                            // of the node being written
};

}  // namespace

std::string item_name(const ir::Graph& graph, FlashRole role, int op) {
  const std::string prefix = op_identifier(graph, op);
  switch (role) {
    case FlashRole::kConv:
    case FlashRole::kAdd:
    case FlashRole::kPool:
    case FlashRole::kHead:
      return prefix;
    case FlashRole::kMultiplier:
      return prefix + "_multiplier";
    case FlashRole::kBias:
      return prefix + "_bias";
    case FlashRole::kFactor:
      return prefix + "_factor";
    case FlashRole::kWeightScale:
      return prefix + "_weight_scale";
    case FlashRole::kBiasScale:
      return prefix + "_bias_scale";
    case FlashRole::kHeadWeights:
      return "head_weights";
    case FlashRole::kHeadBias:
      return "head_bias";
    case FlashRole::kChannels:
      return prefix + "_channels";
    case FlashRole::kShift:
      return prefix + "_shift";
    case FlashRole::kWeights:
      return prefix + "_weights";
    case FlashRole::kTrainedWeights:
      return prefix + "_trained";
  }
  return prefix;
}

std::string item_name(const ir::Graph& graph, StateRole role, int op) {
  const std::string prefix = op_identifier(graph, op);
  switch (role) {
    case StateRole::kLogits:
      return "logits";
    case StateRole::kHeadWeights:
      return "head_weights";
    case StateRole::kHeadBias:
      return "head_bias";
    case StateRole::kHeadWeightSum:
      return "head_weight_sum";
    case StateRole::kHeadBiasSum:
      return "head_bias_sum";
    case StateRole::kBias:
      return prefix + "_bias";
    case StateRole::kBiasSum:
      return prefix + "_bias_sum";
    case StateRole::kWeightSum:
      return prefix + "_weight_sum";
    case StateRole::kWeights:
      return prefix + "_weights";
  }
  return prefix;
}

std::map<std::string, std::string> emit(const Program& program, const plan::UpdatePlan& plan,
                                        const EmitOptions& options) {
  return Emitter(program, plan, options).run();
}

}  // namespace espalier::codegen
