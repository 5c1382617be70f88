// <name>.h: the functions and sizes that firmware sees.
#include <fmt/format.h>

#include "class_names.hpp"
#include "emission.hpp"
#include "espalier/ir/input.hpp"

namespace espalier::codegen {

namespace {

std::string use_arena(const Emission& c) {
  if (!c.options.extern_arena) return "";
  return fmt::format(
      R"(/* Gives the program its arena, {1}_ARENA_BYTES bytes at a multiple of 4 that programs may
 * share: each uses them during a call alone, but for {2}. Before reset, and again at
 * any time between two calls. Returns 0; -1 and nothing changes when it is too small or misaligned. */
int32_t {0}_use_arena(void* memory, uint32_t bytes);

)",
      c.name, c.macro, c.program.graph.fed ? "an input that comes by rows" : c.name + "_input()");
}

// What an input that lies in the arena does not outlast.
std::string overwriting(const Emission& c) {
  std::string calls = "reset, forward, train_step";
  if (c.replay.samples == 0) return calls + " and train_head";
  return calls + ", train_head,\n * train_step_kept and train_replay";
}

// How an input gets in.
std::string inputs(const Emission& c) {
  if (!c.program.graph.fed) {
    return fmt::format(
        R"(/* Where the next input may be written instead of passing it: {1}_INPUT_BYTES bytes, rows of
 * pixels of channels. Overwritten by every call of {2}.{3} */
int8_t* {0}_input(void);

/* Runs the network and returns the most probable class; -1 before reset. `input` is copied unless
 * it is {0}_input(). */
int32_t {0}_forward(const int8_t* input);
)",
        c.name, c.macro, overwriting(c), c.options.extern_arena ? "\n * 0 before use_arena." : "");
  }
  return fmt::format(
      R"(/* An input as it comes, {1}_INPUT_HEIGHT rows of {1}_ROW_BYTES bytes, pixels of channels: begin,
 * then rows from the top, so many at a time as there are, then end. There is no buffer of a whole
 * input; nothing else may be called in between. Begin and rows return 0; -1 and nothing changes
 * before reset, without begin, and for more rows than are left. */
int32_t {0}_forward_begin(void);
int32_t {0}_forward_rows(const int8_t* rows, int32_t count);
/* The most probable class; -1 while rows are missing. */
int32_t {0}_forward_end(void);

/* A step of training likewise. */
int32_t {0}_train_begin(void);
int32_t {0}_train_rows(const int8_t* rows, int32_t count);
/* As train_step; {1}_REFUSED also while rows are missing, which may come yet. */
float {0}_train_end(int32_t label);
/* As train_head, of such an input. */
float {0}_train_head_end(int32_t label);

/* The same with a whole input, {1}_INPUT_BYTES bytes that lie anywhere: the network and the most
 * probable class; -1 before reset. */
int32_t {0}_forward(const int8_t* input);
)",
      c.name, c.macro);
}

// What firmware needs to know of sizes.
std::string sizes(const Emission& c) {
  const ir::Tensor& input = c.graph.tensor(c.graph.input);
  std::string text;
  const auto define = [&](std::string_view key, std::int64_t value, std::string_view comment) {
    text += fmt::format("#define {:<36} {:<8} /* {} */\n", fmt::format("{}_{}", c.macro, key),
                        value, comment);
  };
  define("SRAM_BYTES", c.sram_bytes(), "everything but the stack");
  define("ARENA_BYTES", c.program.arena_bytes().count, "of these, for values of one step");
  define("STATE_BYTES", c.program.state.bytes, "of these, kept across steps: the block to save");
  define("SAVED_BYTES", kSavedHeaderBytes + c.program.state.bytes, "what save writes");
  define("PARAMETER_BYTES", c.layout.bytes, "constants in flash; code comes on top");
  text += turn_sizes(c);
  define("INPUT_HEIGHT", input.shape.height, "rows");
  define("INPUT_WIDTH", input.shape.width, "columns");
  define("INPUT_CHANNELS", input.shape.channels, "innermost");
  define("INPUT_BYTES", input.shape.elements(),
         c.program.graph.fed ? "int8, by rows" : "int8, in the arena");
  if (c.program.graph.fed) {
    define("ROW_BYTES", std::int64_t{input.shape.width} * input.shape.channels, "of these, a row");
  }
  define("CLASSES", c.classes(), "logits");
  define("FEATURES", c.graph.head.features, "inputs of the classifier");
  define("CONVS", static_cast<std::int64_t>(ir::conv_ops(c.graph).size()), "convolutions");
  define("ACCUMULATE", c.program.graph.accumulate, "samples an update");
  if (c.replay.samples > 0) {
    define("REPLAY_BYTES", c.replay.bytes, "memory for replay, given by the firmware");
    define("REPLAY_SAMPLES", c.replay.samples, "kept there");
    define("LATENT_BYTES", c.replay.latent_bytes, "of each, behind the frozen layers");
  }
  return text;
}

}  // namespace

std::string header_text(const Emission& c) {
  const ir::Tensor& input = c.graph.tensor(c.graph.input);
  std::string text = c.banner("inference and training of one sample at a time");
  text += fmt::format("#ifndef {0}_H\n#define {0}_H\n\n#include <stdint.h>\n\n", c.macro);
  text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  text += sizes(c);
  text +=
      fmt::format("#define {}_PLAN_HASH 0x{}ull /* first 64 bits of the SHA-256 of plan.json */\n",
                  c.macro, c.plan_hash());
  text +=
      fmt::format("#define {}_PROGRAM_HASH 0x{}ull /* of all files here, as in program.json */\n",
                  c.macro, kHashPlaceholder);
  text += fmt::format(
      "#define {}_REFUSED (-1.0f) /* in place of a loss, which is never negative */\n", c.macro);
  text += fmt::format("#define {0}_OTHER_PROGRAM (-1) /* of load */\n#define {0}_DAMAGED (-2)\n",
                      c.macro);
  text += class_names_macro(c.macro, c.graph.head);
  text += fmt::format("\n/* One input element stands for {} * (q - {}). */\n",
                      float_literal(ir::file_input_quantization(c.graph).scale),
                      input.quantization.zero_point);
  text += fmt::format("#define {}_INPUT_SCALE {}\n#define {}_INPUT_ZERO_POINT ({})\n", c.macro,
                      float_literal(ir::file_input_quantization(c.graph).scale), c.macro,
                      input.quantization.zero_point);
  text +=
      fmt::format(R"(
{3}/* Puts all parameters back to where training starts. Before it, or a load, nothing else works. */
void {0}_reset(void);

/* Learning rate for a batch of 256; a sample's gradient is stepped by 1/256 of it. Reset sets
 * {1}. Returns 0; a rate that is negative or no finite number, and any before reset, changes
 * nothing and returns -1. */
int32_t {0}_set_learning_rate(float rate);

{4}
/* One step of training on one sample: forward, loss, backward, update (every
 * {2}_ACCUMULATE samples). Returns the loss before the update. A label that is not one of 0 to
 * {2}_CLASSES - 1, and any before reset, changes nothing and returns {2}_REFUSED. */
float {0}_train_step(const int8_t* input, int32_t label);

/* The same for the classifier alone, without a backward pass: for example the first pass over the
 * data, so that gradients of a classifier that knows nothing yet do not pull at the rest. */
float {0}_train_head(const int8_t* input, int32_t label);

/* Of the last step and of the last forward. */
float {0}_loss(void);
const float* {0}_logits(void);

/* Writes all that persists (parameters, learning rate, seed and count of the steps, sums of
 * gradients) to {2}_SAVED_BYTES bytes, between any two calls: format and its version, the
 * hash of the program, {2}_STATE_BYTES, the CRC-32 of all the rest, the state. What is
 * saved before reset, load takes for damaged. */
void {0}_save(void* saved);

/* Takes such bytes back, also instead of reset: training goes on to the bit as if there had been no
 * break. Returns 0; otherwise nothing is changed: {2}_OTHER_PROGRAM when they are none of
 * this program's, {2}_DAMAGED when they are and do not hold what was saved. */
int32_t {0}_load(const void* saved);

/* The state itself, {2}_STATE_BYTES bytes. */
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
                  c.name, float_literal(c.options.learning_rate), c.macro, use_arena(c), inputs(c));
  if (c.program.graph.accumulate > 1) {
    const bool integer = compiler::is_integer(c.program.graph);
    text += fmt::format(R"(
/* Gradients added up since the last update, before scaling{2}; 0 when not trained. */
{1}* {0}_weight_sums(int32_t conv, int32_t* count);
{1}* {0}_bias_sums(int32_t conv, int32_t* count);
)",
                        c.name, c_type(compiler::state_type(compiler::weight_sum(integer))),
                        integer ? ", each tensor in a unit of its own" : "");
  }
  text += turn_declarations(c);
  text += replay_declarations(c);
  text += pixel_declarations(c);
  text += "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";
  return text;
}

}  // namespace espalier::codegen
