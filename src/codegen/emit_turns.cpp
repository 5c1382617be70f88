// The change of turn of trained channels, for the files of a folder; empty where none take turns.
#include <fmt/format.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "emission.hpp"

namespace espalier::codegen {

std::string turn_sizes(const Emission& c) {
  if (c.calls.turns.empty()) return "";
  return fmt::format("#define {:<36} {:<8} /* of these, written at run time by next_turn */\n",
                     c.macro + "_TURN_BYTES", c.layout.turn_bytes());
}

std::string turn_declarations(const Emission& c) {
  if (c.calls.turns.empty()) return "";
  return fmt::format(
      R"(
/* Trained input channels take turns: lets the next ones learn, for example behind every pass of
 * train_step over the data. What was learned of those before them stays, in flash: {1}_TURN_BYTES bytes there,
 * the section .espalier_turns, are written, as a whole and in order, by `write` in pieces. It has
 * the bytes of `data` in flash at `at` when it returns 0, or keeps them until it is called again; at
 * the end it is called once with `at` and `data` null. Behind a piece nothing is read any more that
 * stands before its end: sectors may be erased and programmed as they fill up.
 *
 * Between two updates alone; the arena, and an input in it, are overwritten. Returns 0;
 * {1}_NOT_NOW, and nothing changes, before reset, while an input comes by rows and while gradients
 * wait for an update; {1}_WRITE_FAILED where `write` returned anything but 0. Then, and when the
 * power is lost meanwhile, flash is neither what it was nor what it was to be: everything is refused,
 * also after a restart, until a copy of it is written back (it begins at {0}_turn_memory()) and the
 * state saved with that copy is loaded. So: save, copy, next_turn, save. Reset, too, works only with
 * the tensors as they were linked. An erase that is cut short may leave anything: save, load and
 * reset read all of the tensors for their checksum, and load takes for {1}_DAMAGED what
 * was saved with others. */
int32_t {0}_next_turn(int32_t (*write)(void* context, const void* at, const void* data,
                                      uint32_t bytes),
                      void* context);
#define {1}_NOT_NOW (-1) /* of next_turn */
#define {1}_OTHER_TURN (-3) /* of load: flash holds the tensors of another turn */
#define {1}_WRITE_FAILED (-4) /* of next_turn: flash holds neither turn */

/* {1}_TURN_BYTES bytes in flash; 0 when there are none. */
const void* {0}_turn_memory(void);
)",
      c.name, c.macro);
}

std::string turn_struct(const Emission& c) {
  if (c.layout.turn_bytes() == 0) return "";
  std::string text = fmt::format("\n/* Written at run time. */\nstruct {}_turns {{\n", c.name);
  for (const FlashItem& item : c.layout.items) {
    if (takes_turns(item.role)) text += member_text(c, item);
  }
  return text + fmt::format("}};\n\nextern struct {0}_turns {0}_turns;\n", c.name);
}

std::string turn_section(const Emission& c) {
  return fmt::format(
      R"(
/* For flash that is written at run time, which the linker script has a place for; it holds nothing
 * else, from the beginning of a sector, unless what writes it preserves that. */
#ifdef ESP_TURNS_SECTION
#elif defined(__GNUC__)
#define ESP_TURNS_SECTION __attribute__((section(".espalier_turns")))
#else
#error "define ESP_TURNS_SECTION as what puts a variable into flash that is written at run time"
#endif
ESP_TURNS_SECTION struct {0}_turns {0}_turns = {{
)",
      c.name);
}

std::string turn_guard(const Emission& c, std::string_view turn, std::string_view then) {
  if (c.layout.turn_bytes() == 0) return "";
  return fmt::format("  if (TURNS.begun[0] != TURNS.done[0]) {};\n  if (TURNS.done[0] != {}) {};\n",
                     then, turn, then);
}

std::uint32_t linked_turns_checksum(const Emission& c) {
  const std::vector<std::byte> image = flash_image(c.program, c.layout);
  const auto* turns = reinterpret_cast<const Bytef*>(image.data() + c.layout.turns_offset);
  return static_cast<std::uint32_t>(
      crc32_z(0, turns, static_cast<z_size_t>(c.layout.turn_bytes())));
}

std::string turn_functions(const Emission& c) {
  if (c.calls.turns.empty()) return "";
  const bool flash = c.layout.turn_bytes() > 0;
  std::string text = fmt::format(
      R"(int32_t {0}_next_turn(int32_t (*write)(void* context, const void* at, const void* data,
                                      uint32_t bytes),
                      void* context) {{
  const int32_t turn = sram.state.turn[0] + 1;
  int32_t failed = 0;
  if ({1}sram.state.waiting != 1{2}) return {3}_NOT_NOW;
  sram.state.waiting = 0; /* nothing else works before all is done */
)",
      c.name, c.options.extern_arena ? "sram.arena == 0 || " : "",
      c.program.graph.fed ? " || rows_begun()" : "", c.macro);
  if (flash) text += "  failed = write(context, TURNS.begun, &turn, sizeof turn);\n";
  const std::string room = c.program.graph.turn_room < 0
                               ? "0"
                               : fmt::format("I8({})", c.program.offset(c.program.graph.turn_room));
  for (const ChannelTurns& t : c.calls.turns) {
    using compiler::StateRole;
    const auto state = [&](StateRole role) {
      return "sram.state." + item_name(c.graph, role, t.op);
    };
    text += fmt::format(
        "  if (failed == 0) {{\n"
        "    const esp_turns t = {{&FLASH.{}, {}, {},\n"
        "                         {}, {}, FLASH.{}, {}}};\n"
        "    failed = esp_turn_channels(&t, turn, {}, write, context);\n  }}\n",
        item_name(c.graph, FlashRole::kConv, t.op),
        t.sliced ? "TURNS." + item_name(c.graph, FlashRole::kTurnWeights, t.op) : "0",
        state(StateRole::kWeights), state(StateRole::kChannels), t.count,
        item_name(c.graph, FlashRole::kChannelSets, t.op), t.turns, room);
  }
  if (flash) {
    text +=
        "  if (failed == 0) failed = write(context, TURNS.done, &turn, sizeof turn);\n"
        "  if (failed == 0) failed = write(context, 0, 0, 0);\n"
        "  if (failed != 0) return " +
        c.macro + "_WRITE_FAILED;\n";
  }
  return text + fmt::format(R"(  sram.state.turn[0] = turn;
  sram.state.waiting = 1;
  return 0;
}}

const void* {}_turn_memory(void) {{ return {}; }}

)",
                            c.name, flash ? "&TURNS" : "0");
}

std::string turn_readme(const Emission& c) {
  if (c.calls.turns.empty()) return "";
  return fmt::format(R"(## Channels that take turns

Of some convolutions more input channels learn than SRAM holds: a set of them at a time. The firmware
says when the next set has its turn, and supplies what writes flash:

```c
int32_t write_flash(void* context, const void* at, const void* data, uint32_t bytes);
{0}_next_turn(write_flash, 0);  /* for example behind every pass of steps over the data */
```

The {2} bytes of the section `.espalier_turns`, the whole tensors of these convolutions, are then written in
order and without gaps, so that the function may fill a sector, erase it and program it, and need not hold
more. What it returns, when that is not 0, ends the change: `{1}_WRITE_FAILED`. (`{1}_NOT_NOW` says that nothing
was done, as gradients wait for an update: try again behind it.) The linker script puts the section into flash
that may be erased at run time, from the beginning of a sector; it must not be copied to SRAM.

A write that fails and a loss of power meanwhile lose the tensors: keep a copy of the {2} bytes from
`{0}_turn_memory()`, and the state saved before the change, until the state saved behind it is safe.
`{0}_load` refuses a state that is of another turn than flash (`{1}_OTHER_TURN`), and flash that was left half
written, by a checksum of the tensors that is saved with the state (`{1}_DAMAGED`); `{0}_reset` works only
with the tensors as they were linked.

)",
                     c.name, c.macro, c.layout.turn_bytes());
}

}  // namespace espalier::codegen
