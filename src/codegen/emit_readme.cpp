// README.md of an emitted folder.
#include <fmt/format.h>

#include "emission.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/version.hpp"
#include "runtime/espalier_runtime.h"

namespace espalier::codegen {
namespace {

std::string replay(const Emission& c) {
  if (c.replay.samples == 0) return "";
  return fmt::format(R"(## Replay

What is learned of new classes overwrites what was learned of old ones. A memory that the firmware
gives keeps up to {2} samples as the frozen layers leave them, {3} bytes each, of all classes alike:

```c
static uint32_t replay[{1}_REPLAY_BYTES / 4];
{0}_replay_reset(replay, 1);
float loss = {0}_train_step_kept(replay, image, label);  /* as train_step, and may be kept */
{4}{0}_train_replay(replay);  /* a step on one that was kept, without the frozen layers */
```

)",
                     c.name, c.macro, c.replay.samples, c.replay.latent_bytes,
                     c.program.graph.fed
                         ? fmt::format("loss = {}_train_end_kept(replay, label);  /* the same in "
                                       "place of train_end, of rows */\n",
                                       c.name)
                         : "");
}

std::string clip(const Emission& c) {
  if (c.options.clip == 0) return "";
  return fmt::format(
      " No update changes a weight by more than {} of its int8\nsteps, or a bias by more than {} "
      "units.",
      c.options.clip, ESP_BIAS_CLIP * c.options.clip);
}

// Which steps those are that the plan was found with.
std::string head_epochs(const Emission& c) {
  if (c.head_epochs == 0 || c.replay.samples > 0) return "";
  return fmt::format(
      ": the plan was found with it in {} over the data",
      c.head_epochs == 1 ? "the first pass" : fmt::format("the first {} passes", c.head_epochs));
}

// The calls of a forward pass and of a step.
std::string usage(const Emission& c) {
  const ir::Tensor& input = c.graph.tensor(c.graph.input);
  const std::string values =
      fmt::format("/* {}x{}x{} int8, q = real / {} + ({}) */", input.shape.height,
                  input.shape.width, input.shape.channels,
                  ir::file_input_quantization(c.graph).scale, input.quantization.zero_point);
  if (!c.program.graph.fed) {
    return fmt::format(
        "memcpy({0}_input(), image, {1}_INPUT_BYTES);  {2}\n"
        "int32_t guess = {0}_forward({0}_input());\n"
        "float loss = {0}_train_step(image, label);\n",
        c.name, c.macro, values);
  }
  return fmt::format(
      "{2}\n"
      "{0}_train_begin();\n"
      "while (camera_has_a_row()) {0}_train_rows(camera_row(), 1); /* of {1}_ROW_BYTES bytes */\n"
      "float loss = {0}_train_end(label);   /* {0}_forward_begin(), _rows(), _end() likewise */\n",
      c.name, c.macro, values);
}

}  // namespace

std::string readme_text(const Emission& c) {
  std::string trained;
  for (const compiler::TrainedConv& t : c.program.graph.trained) {
    trained +=
        fmt::format("| {} | {} | {} |\n", t.conv, t.bias ? "yes" : "no",
                    !t.weights ? "-"
                               : fmt::format("{} of {} input channels{}",
                                             compiler::trained_channel_count(c.program.graph, t),
                                             compiler::conv_of(c.graph, t.op)->in_channels,
                                             t.rotates() ? " in turn" : ""));
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
the `Makefile`). Products and sums must not be fused, for the device to compute what the host measured
to the last bit: the sources see to that with GCC and clang, other compilers need their flag for it.

```c
#include "{name}.h"

{arena_call}{name}_reset();
{usage}```

`train_step` updates the parameters in place, after every {samples}. A label that is out of range
and a call before `{name}_reset()` change nothing and return `{macro}_REFUSED`. `{head}` does the same for the
classifier alone, without a backward pass{head_epochs}.{clip}

## Saving what was learned

{kept} is kept in flash: what was learned is lost with the power unless the firmware saves it, after
any call.

```c
{name}_save(saved);  /* {macro}_SAVED_BYTES: {saved} bytes */
```

After the next start, training goes on to the bit as if there had been no break:

```c
if ({name}_load(saved) != 0) {name}_reset();
```

What belongs to another program, or was damaged, is refused and changes nothing. Flash that loses power
while it is written holds neither the old nor the new: write to two places in turn, with a number that
rises, and load the newest that is whole.

{turns}{replay}## Beside other programs

Firmware that holds several programs has the kernels that they share once when one file includes them, in
place of `{name}.c` and the others (`{name}_params.c` stays a file of its own):

```c
#include "{name}.c"
#include "other.c"
```

They must be compiled for the same target, with the same kernels; an `#error` says so where they are not.

## What learns

The classifier, and

| conv | bias | weights |
|---|---|---|
{trained})",
      fmt::arg("name", c.name), fmt::arg("macro", c.macro),
      fmt::arg("model", markdown_text(c.graph.name)), fmt::arg("version", kVersion),
      fmt::arg("sram", c.sram_bytes()), fmt::arg("arena", c.program.arena_bytes().count),
      fmt::arg("state", c.program.state.bytes),
      fmt::arg("arena_call",
               c.options.extern_arena
                   ? fmt::format(
                         "static float arena[{}_ARENA_BYTES / 4]; /* other programs may use it */\n"
                         "{}_use_arena(arena, sizeof arena);\n",
                         c.macro, c.name)
                   : ""),
      fmt::arg("kept", c.layout.turn_bytes() > 0 ? "Nothing of this turn" : "Nothing"),
      fmt::arg("head", c.name + (c.program.graph.fed ? "_train_head_end" : "_train_head")),
      fmt::arg("head_epochs", head_epochs(c)), fmt::arg("clip", clip(c)),
      fmt::arg("turns", turn_readme(c)), fmt::arg("replay", replay(c)),
      fmt::arg("saved", kSavedHeaderBytes + c.program.state.bytes),
      fmt::arg("parameters", c.layout.bytes), fmt::arg("usage", usage(c)),
      fmt::arg("samples", c.program.graph.accumulate > 1
                              ? fmt::format("{} samples", c.program.graph.accumulate)
                              : "sample"),
      fmt::arg("trained", trained.empty() ? "| - | - | - |\n" : trained));
}

}  // namespace espalier::codegen
