// <name>.c: the calls of a training step, and the functions that the header declares.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "emission.hpp"
#include "espalier/compiler/chains.hpp"
#include "espalier/compiler/latent.hpp"
#include "runtime/espalier_rows.h"

namespace espalier::codegen {
namespace {

using compiler::Node;
using compiler::NodeKind;
using compiler::StateItem;
using compiler::StateRole;

// ---- Arguments ----------------------------------------------------------------------------------

std::string state(const Emission& c, StateRole role, int op) {
  return "sram.state." + item_name(c.graph, role, op);
}

std::string flash(const Emission& c, FlashRole role, int op) {
  return (takes_turns(role) ? "TURNS." : "FLASH.") + item_name(c.graph, role, op);
}

std::string_view struct_name(StructType type) {
  switch (type) {
    case StructType::kWeights:
      return "esp_weights";
    case StructType::kRequantization:
      return "esp_requantization";
    case StructType::kWeightSink:
      return "esp_weight_sink";
    case StructType::kBiasSink:
      return "esp_bias_sink";
    case StructType::kGradientSink:
      return "esp_q_sink";
    case StructType::kParameterSink:
      return "esp_q_parameter_sink";
  }
  return "";
}

std::string arena(std::int64_t offset, compiler::ItemType type) {
  const char* macro = type == compiler::ItemType::kInt8    ? "I8"
                      : type == compiler::ItemType::kUint8 ? "U8"
                      : type == compiler::ItemType::kInt16 ? "I16"
                      : type == compiler::ItemType::kInt32 ? "I32"
                                                           : "F32";
  return fmt::format("{}({})", macro, offset);
}

// The struct of a descriptor without its prefix.
std::string_view descriptor_name(FlashRole role) {
  return flash_kind(role).c_type.substr(std::string_view("esp_").size());
}

// An argument as an expression of C. Of a descriptor for a turn's rows, that is the local variable
// which turn_text() makes.
struct Expression {
  const Emission& c;

  std::string operator()(const Null&) const { return "0"; }
  std::string operator()(const ArenaPointer& p) const { return arena(p.offset, p.type); }
  std::string operator()(const FlashPointer& p) const {
    return (flash_kind(p.role).type ? "" : "&") + flash(c, p.role, p.op);
  }
  std::string operator()(const StatePointer& p) const {
    const std::string item = state(c, p.role, p.op);
    return p.index == 0 ? item : fmt::format("{} + {}", item, p.index);
  }
  std::string operator()(const Live& live) const {
    switch (live) {
      case Live::kLoss:
        return "&sram.state.loss";
      case Live::kLabel:
        return "label";
      case Live::kSgd:
        return "sgd";
    }
    return "";
  }
  std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
  std::string operator()(float number) const { return float_literal(number); }
  std::string operator()(const StructArgument& made) const {
    std::string fields;
    for (const Argument& field : made.fields) {
      fields += (fields.empty() ? "" : ", ") + std::visit(*this, field.value);
    }
    return fmt::format("&(const {}){{{}}}", struct_name(made.type), fields);
  }
  std::string operator()(const BandPointer& p) const {
    const std::string base = (*this)(p.base) + " + band.";
    switch (p.field) {
      case BandField::kX:
        return base + "x";
      case BandField::kOther:
        return base + "other";
      case BandField::kY:
        return base + "y";
      case BandField::kRow:
        return fmt::format("{}row * {}", base, p.row_bytes);
    }
    return "";
  }
  std::string operator()(const BandDescriptor&) const { return "&d"; }
  std::string operator()(const BandCount& count) const {
    return fmt::format("band.rows * {}", count.per_row);
  }
};

// ---- Calls --------------------------------------------------------------------------------------

// Arguments are packed into lines of at most 100 columns.
std::string call_text(const Emission& c, const KernelCall& call, std::string_view margin = "    ") {
  std::string text = fmt::format("{}{}(", margin, runtime::kernel_name(call.kernel));
  const std::string indent(text.size(), ' ');
  std::size_t column = text.size();
  bool first = true;
  for (const Argument& given : call.arguments) {
    const std::string argument = std::visit(Expression{c}, given.value);
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

std::string comment(const Emission& c, const Node& node) {
  std::string what = compiler::node_name(c.program.graph, node);
  if (const ir::Conv2D* conv = compiler::conv_of(c.graph, node.op)) {
    const ir::Shape& out =
        c.graph.tensor(c.graph.ops[static_cast<std::size_t>(node.op)].output).shape;
    what += fmt::format(", {}x{}{} {} -> {} on {}x{}", conv->window.kernel_h, conv->window.kernel_w,
                        conv->window.stride_h > 1 ? fmt::format("/{}", conv->window.stride_h) : "",
                        conv->in_channels, conv->out_channels, out.height, out.width);
  }
  return fmt::format("  /* {} */\n", comment_text(what));
}

// The calls of a node behind a comment that names it. In a block of their own, so that the
// descriptors among their arguments are gone from the stack before the next node's come.
std::string block(const Emission& c, const Node& node, const std::vector<KernelCall>& calls,
                  const char* condition = "") {
  std::string text = comment(c, node) + "  " + condition + "{\n";
  for (const KernelCall& call : calls) text += call_text(c, call);
  return text + "  }\n";
}

// ---- Chains -------------------------------------------------------------------------------------

// A node's turn in its chain.
std::string turn_text(const Emission& c, int step, const Node& node, const KernelCall& call) {
  std::string text =
      fmt::format("  {}    if (esp_next_band(chain, {}, &band)) {{\n", comment(c, node), step);
  for (const Argument& argument : call.arguments) {
    if (const auto* descriptor = std::get_if<BandDescriptor>(&argument.value)) {
      const std::string_view name = descriptor_name(descriptor->whole.role);
      text += fmt::format("      const esp_{0} d = esp_band_of_{0}(&{1}, &band);\n", name,
                          flash(c, descriptor->whole.role, descriptor->whole.op));
    }
  }
  return text + call_text(c, call, "      ") + "      running = 1;\n    }\n";
}

// The tables of a chain, as a local variable.
std::string chain_text(const Emission& c, const compiler::Chain& chain) {
  const int op = c.program.graph.nodes[static_cast<std::size_t>(chain.first)].op;
  return fmt::format("  const esp_chain chain = {{{}, {}, {}, {}, {}, {}}};\n",
                     flash(c, FlashRole::kRowMaps, op), flash(c, FlashRole::kRowSteps, op),
                     compiler::chain_tables(c.program.graph, chain).map_count(),
                     chain.last - chain.first + 1, arena(0, compiler::ItemType::kInt8),
                     arena(c.program.offset(chain.rows), compiler::ItemType::kInt8));
}

// The functions that run chains.
std::string chains(const Emission& c) {
  std::string text;
  for (std::size_t k = 0; k < c.program.graph.chains.size(); ++k) {
    const compiler::Chain& chain = c.program.graph.chains[k];
    text += fmt::format(
        "/* A few rows of each in turn, until none has rows left to make. */\n"
        "static void rows_{}(const esp_chain* chain) {{\n  esp_band band;\n  int32_t running;\n"
        "  do {{\n    running = 0;\n",
        k);
    for (int i = chain.first; i <= chain.last; ++i) {
      const auto node = static_cast<std::size_t>(i);
      text +=
          turn_text(c, i - chain.first, c.program.graph.nodes[node], c.calls.nodes[node].front());
    }
    text += "  } while (running);\n}\n\n";
  }
  return text;
}

// A chain as a node of the step, like block().
std::string chain_block(const Emission& c, int index) {
  const compiler::TrainingGraph& graph = c.program.graph;
  const compiler::Chain& chain = graph.chains[static_cast<std::size_t>(index)];
  const auto name = [&](int node) {
    return compiler::node_name(graph, graph.nodes[static_cast<std::size_t>(node)]);
  };
  return fmt::format(
      "  /* {} to {}, row by row */\n  {{\n  {}    esp_begin_rows(&chain);\n"
      "    rows_{}(&chain);\n  }}\n",
      comment_text(name(chain.first)), comment_text(name(chain.last)), chain_text(c, chain), index);
}

// The input by rows: what they go through as they come.
std::string feeding(const Emission& c) {
  const compiler::Chain& chain = c.program.graph.chains.front();
  const compiler::ChainTables tables = compiler::chain_tables(c.program.graph, chain);
  return fmt::format(
      R"(#define ROWS_BEGUN 0x5A11E4u

static uint32_t rows_begun(void) {{
  uint32_t mark;
  memcpy(&mark, {3}, sizeof mark);
  return mark == ROWS_BEGUN;
}}

static void mark_rows(uint32_t mark) {{ memcpy({3}, &mark, sizeof mark); }}

static void begin_input(void) {{
{0}  esp_begin_rows(&chain);
  mark_rows(ROWS_BEGUN);
}}

static int32_t rows_there(void) {{
{0}  return rows_begun() ? esp_rows_of(&chain, {1}).end : -1;
}}

static void take_rows(const int8_t* data, int32_t count) {{
{0}  while (count > 0) {{
    const int32_t taken = esp_take_rows(&chain, {1}, data, count);
    data += taken * {2}_ROW_BYTES;
    count -= taken;
    if (esp_rows_full(&chain, {1})) rows_0(&chain);
  }}
}}

static void take_input(const int8_t* input) {{
  begin_input();
  take_rows(input, {2}_INPUT_HEIGHT);
  mark_rows(0); /* none are coming */
}}

)",
      chain_text(c, chain), tables.fed, c.macro,
      arena(c.program.offset(chain.rows) + tables.map_count() * std::int64_t{sizeof(esp_rows)},
            compiler::ItemType::kInt8));
}

// ---- The parts of the source --------------------------------------------------------------------

std::string memory(const Emission& c) {
  const bool given = c.options.extern_arena;
  std::string text =
      given ? "/* All SRAM but the stack and the arena." : "/* All SRAM but the stack.";
  text +=
      " The arena is of floats so that they may be accessed as such;\n"
      " * int8 and bytes may alias anything. */\nstatic struct {\n";
  text += given ? "  float* arena;\n"
                : fmt::format("  float arena[{}];\n", c.program.arena_bytes().count / 4);
  text +=
      "  struct { /* what is kept across steps, all that saving needs */\n"
      "    float rate;      /* learning rate per sample */\n"
      "    uint32_t seed;   /* of stochastic rounding */\n"
      "    uint32_t step;   /* updates so far */\n"
      "    int32_t waiting; /* samples since the last update, and 1; 0 before reset */\n"
      "    float loss;\n";
  for (const StateItem& item : c.program.state.items) {
    const compiler::ItemType type = compiler::state_type(item.role);
    // With the padding to a multiple of four bytes.
    const std::int64_t elements = (item.bytes() + 3) / 4 * 4 / compiler::type_bytes(type);
    text += fmt::format("    {} {}[{}];\n", compiler::c_type(type),
                        item_name(c.graph, item.role, item.op), elements);
  }
  text += "  } state;\n} sram;\n\n";
  text += "#define I8(offset) ((int8_t*)sram.arena + (offset))\n";
  text += "#define U8(offset) ((uint8_t*)sram.arena + (offset))\n";
  if (compiler::is_integer(c.program.graph)) {
    text += "#define I16(offset) ((esp_any_int16*)(void*)((int8_t*)sram.arena + (offset)))\n";
    text += "#define I32(offset) ((esp_any_int32*)(void*)(sram.arena + (offset) / 4))\n";
  }
  text += "#define F32(offset) (sram.arena + (offset) / 4)\n\n";
  return text;
}

std::string steps(const Emission& c) {
  const compiler::TrainingGraph& graph = c.program.graph;
  // With a replay memory the frozen nodes are a function of their own.
  const bool replay = c.replay.samples > 0;
  const int first = replay ? compiler::latent_of(graph).first : 0;
  std::string forward =
      replay ? "static void run_prefix(void) {\n" : "static void run_forward(void) {\n";
  // A step of the head alone is the same pass, without what it does not need.
  std::string backward =
      "static void run_backward(int32_t label, const esp_sgd* sgd, int32_t head_alone) {\n";
  auto of_head = std::count_if(graph.nodes.begin(), graph.nodes.end(), compiler::trains_head);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (replay && static_cast<int>(i) == first) {
      forward += "}\n\nstatic void run_behind_prefix(void) {\n";
    }
    const int chain = graph.nodes[i].chain;
    if (chain >= 0) {
      const compiler::Chain& whole = graph.chains[static_cast<std::size_t>(chain)];
      if (whole.first == static_cast<int>(i) && !whole.fed) forward += chain_block(c, chain);
      continue;
    }
    const Node& node = graph.nodes[i];
    const bool always = compiler::trains_head(node) || of_head == 0;
    if (static_cast<int>(i) < graph.backward_begin) {
      forward += block(c, node, c.calls.nodes[i]);
    } else {
      backward += block(c, node, c.calls.nodes[i], always ? "" : "if (!head_alone) ");
    }
    if (compiler::trains_head(node) && --of_head == 0) backward += "  if (head_alone) return;\n";
  }
  if (backward.find("sgd", backward.find('\n')) == std::string::npos) backward += "  (void)sgd;\n";
  if (replay) {
    forward += "}\n\nstatic void run_forward(void) {\n  run_prefix();\n  run_behind_prefix();\n";
  }
  std::string text = chains(c) + forward + "}\n\n" + backward + "}\n\n";
  if (graph.update.empty()) return text;
  text += "static void run_update(const esp_sgd* sgd) {\n";
  for (std::size_t i = 0; i < graph.update.size(); ++i) {
    text += block(c, graph.update[i], c.calls.update[i]);
  }
  for (const StatePointer& sum : c.calls.cleared) {
    text += fmt::format("  memset({0}, 0, sizeof {0});\n", state(c, sum.role, sum.op));
  }
  return text + "}\n\n";
}

std::string accessor(const Emission& c, std::string_view what, StateRole role) {
  std::string text = fmt::format("{}* {}_{}(int32_t conv, int32_t* count) {{\n",
                                 compiler::c_type(compiler::state_type(role)), c.name, what);
  std::string cases;
  for (const compiler::TrainedConv& t : c.program.graph.trained) {
    const StateItem* item = c.program.state.find(role, t.op);
    if (item == nullptr) continue;
    cases += fmt::format("    case {}: *count = {}; return {};\n", t.conv, item->elements,
                         state(c, role, t.op));
  }
  if (cases.empty()) return text + "  (void)conv;\n  *count = 0;\n  return 0;\n}\n\n";
  return text + "  switch (conv) {\n" + cases + "    default: *count = 0; return 0;\n  }\n}\n\n";
}

std::string checksum() {
  return R"(/* CRC-32 as zlib computes it, four bits at a time. */
static uint32_t checksum(uint32_t crc, const void* data, uint32_t bytes) {
  static const uint32_t rows[16] = {
      0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
      0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
      0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
  const uint8_t* byte = (const uint8_t*)data;
  crc = ~crc;
  for (; bytes > 0; --bytes, ++byte) {
    crc ^= *byte;
    crc = (crc >> 4) ^ rows[crc & 15u];
    crc = (crc >> 4) ^ rows[crc & 15u];
  }
  return ~crc;
}

)";
}

std::string reset(const Emission& c) {
  std::string text = c.layout.turn_bytes() > 0 ? checksum() : "";
  text += fmt::format("void {}_reset(void) {{\n", c.name);
  if (c.options.extern_arena) {
    text += fmt::format(
        "  if (sram.arena == 0) return;\n  memset(sram.arena, 0, {}_ARENA_BYTES);\n"
        "  memset(&sram.state, 0, sizeof sram.state);\n",
        c.macro);
  } else {
    text += "  memset(&sram, 0, sizeof sram);\n";
  }
  text += turn_guard(c, "0", "return");
  if (c.layout.turn_bytes() > 0) {
    text += fmt::format("  if (checksum(0, &TURNS, {}_TURN_BYTES) != {:#010x}u) return;\n", c.macro,
                        linked_turns_checksum(c));
  }
  text += fmt::format("  (void)esp_rate_per_sample({}, &sram.state.rate);\n",
                      float_literal(c.options.learning_rate));
  text += fmt::format("  sram.state.seed = {}u;\n  sram.state.waiting = 1;\n", c.options.seed);
  for (const InitialValue& value : c.calls.reset) {
    text += fmt::format("  memcpy({0}, {1}, sizeof {0});\n", state(c, value.to.role, value.to.op),
                        flash(c, value.from.role, value.from.op));
  }
  return text + "}\n\n";
}

std::string use_arena(const Emission& c) {
  return fmt::format(R"(int32_t {0}_use_arena(void* memory, uint32_t bytes) {{
  if (memory == 0 || bytes < {1}_ARENA_BYTES || ((uintptr_t)memory & 3u) != 0) return -1;
  sram.arena = (float*)memory;
  return 0;
}}

)",
                     c.name, c.macro);
}

// What follows the backward pass.
std::string end_of_step(const Emission& c) {
  if (c.program.graph.accumulate == 1) {
    return "  ++sram.state.step;\n  return sram.state.loss;\n}\n\n";
  }
  return fmt::format(R"(  if (sram.state.waiting++ == {}) {{
    run_update(&sgd);
    sram.state.waiting = 1;
    ++sram.state.step;
  }}
  return sram.state.loss;
}}

)",
                     c.program.graph.accumulate);
}

// The steps there are: of all that the plan trains, and of the classifier alone.
struct Step {
  const char* whole;    // the function for an input as a whole
  const char* by_rows;  // that ends one by rows
  int head_alone;
};
constexpr Step kSteps[] = {{"train_step", "train_end", 0}, {"train_head", "train_head_end", 1}};

std::string training(const Emission& c) {
  std::string text = fmt::format(R"(static int32_t most_probable(void) {{
  int32_t best = 0, k;
  for (k = 1; k < {1}; ++k) {{
    if (sram.state.logits[k] > sram.state.logits[best]) best = k;
  }}
  return best;
}}

int32_t {0}_forward(const int8_t* input) {{
  if ({2}) return -1;
  take_input(input);
  run_forward();
  return most_probable();
}}

)",
                                 c.name, c.classes(), c.unready());
  for (const Step& step : kSteps) {
    text += fmt::format(R"(float {0}_{5}(const int8_t* input, int32_t label) {{
  const esp_sgd sgd = esp_sgd_of(sram.state.rate, sram.state.seed, sram.state.step, {4}, {7});
  if ({2} || label < 0 || label >= {1}) return {3}_REFUSED;
  take_input(input);
  run_forward();
  run_backward(label, &sgd, {6});
)",
                        c.name, c.classes(), c.unready(), c.macro, c.options.stochastic ? 1 : 0,
                        step.whole, step.head_alone, c.options.clip) +
            end_of_step(c);
  }
  return text;
}

// A forward pass and a step of training whose input comes by rows.
std::string by_rows(const Emission& c) {
  std::string text;
  for (const char* what : {"forward", "train"}) {
    text += fmt::format(R"(int32_t {0}_{1}_begin(void) {{
  if ({2}) return -1;
  begin_input();
  return 0;
}}

int32_t {0}_{1}_rows(const int8_t* rows, int32_t count) {{
  if ({2}) return -1;
  if (rows_there() < 0 || count < 0 || count > {3}_INPUT_HEIGHT - rows_there()) return -1;
  take_rows(rows, count);
  return 0;
}}

)",
                        c.name, what, c.unready(), c.macro);
  }
  text += fmt::format(R"(int32_t {0}_forward_end(void) {{
  if ({1}) return -1;
  if (rows_there() != {2}_INPUT_HEIGHT) return -1;
  mark_rows(0);
  run_forward();
  return most_probable();
}}

)",
                      c.name, c.unready(), c.macro);
  for (const Step& step : kSteps) {
    text += fmt::format(R"(float {0}_{4}(int32_t label) {{
  const esp_sgd sgd = esp_sgd_of(sram.state.rate, sram.state.seed, sram.state.step, {3}, {6});
  if ({1} || label < 0 || label >= {2}_CLASSES) return {2}_REFUSED;
  if (rows_there() != {2}_INPUT_HEIGHT) return {2}_REFUSED;
  mark_rows(0);
  run_forward();
  run_backward(label, &sgd, {5});
)",
                        c.name, c.unready(), c.macro, c.options.stochastic ? 1 : 0, step.by_rows,
                        step.head_alone, c.options.clip) +
            end_of_step(c);
  }
  return text;
}

// A step that begins behind the frozen prefix, and the copies of what it needs from there.
std::string replaying(const Emission& c) {
  if (c.replay.samples == 0) return "";
  std::string take;
  std::string keep;
  std::int64_t at = 0;
  for (const compiler::ValueId id : compiler::latent_of(c.program.graph).values) {
    const std::int64_t bytes = c.program.graph.value(id).bytes();
    const std::string value = arena(c.program.offset(id), compiler::ItemType::kInt8);
    take += fmt::format("  memcpy({}, latent + {}, {});\n", value, at, bytes);
    keep += fmt::format("  memcpy(latent + {}, {}, {});\n", at, value, bytes);
    at += bytes;
  }
  return fmt::format(R"(static void take_latent(const uint8_t* latent) {{
{}}}

static void keep_latent(uint8_t* latent) {{
{}}}

/* A step on the latent in the arena. */
static float train_latent(int32_t label) {{
  const esp_sgd sgd = esp_sgd_of(sram.state.rate, sram.state.seed, sram.state.step, {}, {});
  run_behind_prefix();
  run_backward(label, &sgd, 0);
)",
                     take, keep, c.options.stochastic ? 1 : 0, c.options.clip) +
         end_of_step(c) + replay_functions(c);
}

// What refuses a state of another turn than flash is of.
std::string loaded_turn(const Emission& c) {
  if (c.layout.turn_bytes() == 0) return "";
  const std::int64_t at =
      compiler::kControlBytes + c.program.state.find(StateRole::kTurn, -1)->offset;
  return fmt::format("  memcpy(&i, state + {}, sizeof i);\n", at) +
         turn_guard(c, "i", fmt::format("return {}_OTHER_TURN", c.macro));
}

std::string saving(const Emission& c) {
  const bool turns = c.layout.turn_bytes() > 0;
  const auto all = [&](std::string_view state) {
    std::string crc =
        fmt::format("checksum(checksum(0, header, 20), {}, {}_STATE_BYTES)", state, c.macro);
    return turns ? fmt::format("checksum({},\n                       &TURNS, {}_TURN_BYTES)", crc,
                               c.macro)
                 : crc;
  };
  return (turns ? "" : checksum()) +  // which reset has need of
         fmt::format(
             R"(/* "ESPS", version, hash of the program, bytes of state; the checksum of these{4} and the state. */
static void saved_header(uint32_t header[6]) {{
  header[0] = 0x53505345u;
  header[1] = 1;
  header[2] = (uint32_t){1}_PROGRAM_HASH;
  header[3] = (uint32_t)({1}_PROGRAM_HASH >> 32);
  header[4] = {1}_STATE_BYTES;
}}

void {0}_save(void* saved) {{
  uint32_t header[6];
  saved_header(header);
  header[5] = {2};
  if (sram.state.waiting == 0) header[5] = ~header[5]; /* a state that nothing goes on from */
  memcpy(saved, header, 24);
  memcpy((uint8_t*)saved + 24, &sram.state, {1}_STATE_BYTES);
}}

int32_t {0}_load(const void* saved) {{
  const uint8_t* state = (const uint8_t*)saved + 24;
  uint32_t header[6], there[6];
  int32_t i;
  saved_header(header);
  memcpy(there, saved, 24);
  for (i = 0; i < 5; ++i) {{
    if (there[i] != header[i]) return {1}_OTHER_PROGRAM;
  }}
{5}  if ({3} != there[5]) return {1}_DAMAGED;
  memcpy(&sram.state, state, {1}_STATE_BYTES);
  return 0;
}}

)",
             c.name, c.macro, all("&sram.state"), all("state"),
             turns ? ", what flash\n * holds of channels that take turns" : "", loaded_turn(c));
}

std::string interface(const Emission& c) {
  std::string text = c.options.extern_arena ? use_arena(c) : "";
  text += reset(c);
  text += fmt::format(
      "int32_t {}_set_learning_rate(float rate) {{\n"
      "  if (sram.state.waiting == 0) return -1;\n"
      "  return esp_rate_per_sample(rate, &sram.state.rate);\n}}\n\n",
      c.name);
  const std::string input =
      arena(c.program.offset(c.program.graph.input), compiler::ItemType::kInt8);
  if (c.program.graph.fed) {
    text += feeding(c);
  } else {
    text += fmt::format("int8_t* {}_input(void) {{ return {}{}; }}\n\n", c.name,
                        c.options.extern_arena ? "sram.arena == 0 ? 0 : " : "", input);
    text += fmt::format(
        "static void take_input(const int8_t* input) {{\n  if (input != {0}) memcpy({0}, input, "
        "{1});\n}}\n\n",
        input, c.input_shape().elements());
  }
  text += training(c);
  if (c.program.graph.fed) text += by_rows(c);
  text += turn_functions(c);
  text += replaying(c);
  text += pixel_functions(c);
  text += fmt::format("float {}_loss(void) {{ return sram.state.loss; }}\n\n", c.name);
  text += fmt::format("const float* {}_logits(void) {{ return sram.state.logits; }}\n\n", c.name);
  text += saving(c);
  text += fmt::format("void* {}_state(void) {{ return &sram.state; }}\n\n", c.name);
  text += accessor(c, "weights", StateRole::kWeights);
  text += accessor(c, "bias", StateRole::kBias);
  if (c.program.graph.accumulate > 1) {
    const bool integer = compiler::is_integer(c.program.graph);
    text += accessor(c, "weight_sums", compiler::weight_sum(integer));
    text += accessor(c, "bias_sums", compiler::bias_sum(integer));
  }
  text +=
      fmt::format("float* {}_head_weights(void) {{ return sram.state.head_weights; }}\n\n", c.name);
  text += fmt::format("float* {}_head_bias(void) {{ return sram.state.head_bias; }}\n", c.name);
  return text;
}

}  // namespace

namespace {

// The name that a line at file scope defines behind `keyword`, up to one of `ends`; empty without.
std::string defined_by(std::string_view line, std::string_view keyword, const char* ends) {
  const std::size_t end = line.find_first_of(ends, keyword.size());
  if (!line.starts_with(keyword) || end == std::string_view::npos) return "";
  line = line.substr(0, end);
  const std::size_t before = line.find_last_of(" *");
  return std::string(line.substr(before + 1));
}

// The file with names that another program's have not, so that one file may include both.
std::string with_own_names(const Emission& c, const std::string& before, const std::string& text) {
  std::vector<std::string> names{"sram"};
  std::string undone = "\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string name = defined_by(line, "static ", "([");
    if (!name.empty()) names.push_back(name);
    const std::string macro = defined_by(line, "#define ", "( ");
    if (!macro.empty()) undone += fmt::format("#undef {}\n", macro);
  }
  std::string renamed = "/* Names of this file alone, for one that includes several programs. */\n";
  for (const std::string& name : names) {
    renamed += fmt::format("#define {0} {1}_own_{0}\n", name, c.name);
    undone += fmt::format("#undef {}\n", name);
  }
  return before + renamed + "\n" + text + undone;
}

}  // namespace

std::string source_text(const Emission& c) {
  std::string text = c.banner("the training step");
  text +=
      "/* Kernels stay functions of their own: the stack that one needs is taken only while it\n"
      " * runs, and cycles can be told apart. */\n"
      "#ifdef ESP_KERNEL\n"
      "#elif defined(__GNUC__) && !defined(__clang__)\n"
      "#define ESP_KERNEL static __attribute__((noinline, noclone))\n"
      "#elif defined(__clang__)\n"
      "#define ESP_KERNEL static __attribute__((noinline))\n"
      "#else\n#define ESP_KERNEL static\n#endif\n\n"
      "/* Products and sums are rounded one by one, whatever flags this is built with. */\n"
      "#ifdef __FAST_MATH__\n#error \"build without -ffast-math: it changes what is computed\"\n"
      "#endif\n"
      "#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n"
      "#elif defined(__GNUC__) && defined(__FP_FAST_FMAF) && !defined(__STRICT_ANSI__)\n"
      "#pragma GCC optimize(\"-ffp-contract=off\")\n#endif\n\n";
  text += fmt::format("#include \"{0}.h\"\n\n#include \"{0}_params.h\"\n\n", c.name);
  text += c.hash_check({"PROGRAM_", "PARAMS_", "KERNELS_"});
  return with_own_names(
      c, text,
      fmt::format(
          "#define FLASH {}_params\n{}\n", c.name,
          c.layout.turn_bytes() > 0 ? fmt::format("#define TURNS {}_turns\n", c.name) : "") +
          memory(c) + steps(c) + interface(c));
}

}  // namespace espalier::codegen
