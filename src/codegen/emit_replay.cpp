// Steps from what a replay memory keeps: declarations and functions.
#include <fmt/format.h>

#include "emission.hpp"
#include "espalier/compiler/latent.hpp"
#include "runtime/espalier_replay.h"

namespace espalier::codegen {

ReplayLayout replay_layout(const compiler::Program& program, std::int64_t bytes) {
  ReplayLayout layout;
  layout.latent_bytes = compiler::latent_of(program.graph).bytes;
  const auto classes = static_cast<std::int32_t>(program.graph.forward->head.classes);
  const std::int64_t table = 4 * std::int64_t{esp_replay_table_words(classes)};
  const std::int64_t slot =
      4 * std::int64_t{esp_replay_slot_words(static_cast<std::int32_t>(layout.latent_bytes))};
  layout.samples = bytes < table ? 0 : (bytes - table) / slot;
  layout.bytes = table + layout.samples * slot;
  return layout;
}

Status check_replay(const compiler::Program& program, Bytes bytes) {
  if (program.graph.fed && compiler::latent_of(program.graph).first == 0) {
    return Error{ErrorKind::kUsage,
                 "--replay: what is trained runs row by row with the input, so that there are no "
                 "latents to keep; leave out --input rows"};
  }
  const ReplayLayout layout = replay_layout(program, bytes.count);
  if (layout.samples > 0) return Ok{};
  return Error{
      ErrorKind::kUsage,
      fmt::format("--replay: {} bytes hold no sample, of which one takes {} where training begins, "
                  "and {} go to its counts; give more, or train fewer convs",
                  bytes.count, layout.latent_bytes, layout.bytes)};
}

namespace {

// A step whose input came by rows, and is kept.
std::string kept_by_rows(const Emission& c) {
  if (!c.program.graph.fed) return "";
  return fmt::format(R"(float {0}_train_end_kept(void* replay, int32_t label) {{
  uint32_t* words = replay_words(replay);
  if (words == 0 || label < 0 || label >= {1}_CLASSES) return {1}_REFUSED;
  if (rows_there() != {1}_INPUT_HEIGHT) return {1}_REFUSED;
  mark_rows(0);
  return train_kept(words, label);
}}

)",
                     c.name, c.macro);
}

}  // namespace

std::string replay_declarations(const Emission& c) {
  if (c.replay.samples == 0) return "";
  const std::string by_rows = fmt::format(
      R"(/* The same of rows, behind train_begin and train_rows in place of train_end; refuses also while
 * rows are missing. */
float {}_train_end_kept(void* replay, int32_t label);

)",
      c.name);
  return fmt::format(R"(
/* Replay: the firmware gives {1}_REPLAY_BYTES bytes at a multiple of 4, in which samples are
 * kept as the frozen layers leave them, {1}_REPLAY_SAMPLES at most and of all classes seen.
 * They hold no address: like the state they may be saved and taken back. */

/* Empties the memory; `seed` is that of what it keeps and draws. Returns 0; -1 and nothing changes
 * when it is misaligned. */
int32_t {0}_replay_reset(void* replay, uint32_t seed);

/* As train_step, and offers the sample to the memory. Refuses also a memory that was not reset, or
 * is damaged: nothing outside of it is ever written, and a reset mends it. (What was damaged of the
 * samples themselves goes unnoticed.) */
float {0}_train_step_kept(void* replay, const int8_t* input, int32_t label);

{3}/* A step on a random sample of the memory, without the frozen layers. Returns its loss, or
 * {1}_REFUSED before reset, when nothing is kept and of a memory that is damaged.{2} */
float {0}_train_replay(void* replay);
)",
                     c.name, c.macro,
                     c.program.graph.fed
                         ? ""
                         : "\n * An input that waits in " + c.name + "_input() is overwritten.",
                     c.program.graph.fed ? by_rows : "");
}

std::string replay_functions(const Emission& c) {
  return fmt::format(R"(int32_t {0}_replay_reset(void* replay, uint32_t seed) {{
  if (replay == 0 || ((uintptr_t)replay & 3u) != 0) return -1;
  esp_replay_reset((uint32_t*)replay, {1}_CLASSES, {1}_REPLAY_SAMPLES, {1}_LATENT_BYTES, seed);
  return 0;
}}

/* The words of a memory that may be used, or 0. */
static uint32_t* replay_words(void* replay) {{
  uint32_t* words = (uint32_t*)replay;
  if ({2} || words == 0 || ((uintptr_t)replay & 3u) != 0) return 0;
  return esp_replay_usable(words, {1}_CLASSES, {1}_REPLAY_SAMPLES, {1}_LATENT_BYTES) ? words : 0;
}}

/* A step on the input that was taken. */
static float train_kept(uint32_t* words, int32_t label) {{
  int32_t slot;
  run_prefix();
  slot = esp_replay_place(words, label);
  if (slot == ESP_REPLAY_DAMAGED) return {1}_REFUSED;
  if (slot >= 0) keep_latent((uint8_t*)(esp_replay_slot(words, slot) + 1));
  return train_latent(label);
}}

float {0}_train_step_kept(void* replay, const int8_t* input, int32_t label) {{
  uint32_t* words = replay_words(replay);
  if (words == 0 || label < 0 || label >= {1}_CLASSES) return {1}_REFUSED;
  take_input(input);
  return train_kept(words, label);
}}

{3}float {0}_train_replay(void* replay) {{
  uint32_t* words = replay_words(replay);
  const int32_t slot = words == 0 ? -1 : esp_replay_draw(words);
  if (slot < 0) return {1}_REFUSED;
  words = esp_replay_slot(words, slot);
  if (words[0] >= {1}_CLASSES) return {1}_REFUSED;
  take_latent((const uint8_t*)(words + 1));
  return train_latent((int32_t)words[0]);
}}

)",
                     c.name, c.macro, c.unready(), kept_by_rows(c));
}

}  // namespace espalier::codegen
