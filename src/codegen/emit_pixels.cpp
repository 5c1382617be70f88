// From the pixels of a camera to the input, as the host made inputs for training.
#include <fmt/format.h>

#include <algorithm>

#include "emission.hpp"

namespace espalier::codegen {
namespace {

// Channels that have the same table share it.
bool same_for_all(const std::vector<PixelTable>& tables) {
  return std::adjacent_find(tables.begin(), tables.end(), std::not_equal_to<>()) == tables.end();
}

std::string table_text(const PixelTable& table) {
  std::string text = "  {";
  for (std::size_t i = 0; i < table.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : i % 16 == 0 ? ",\n   " : ", ", table[i]);
  }
  return text + "}";
}

}  // namespace

std::string pixel_declarations(const Emission& c) {
  if (c.options.pixels.empty()) return "";
  if (c.program.graph.fed) {
    return fmt::format(R"(
/* Makes a row of the input, {1}_ROW_BYTES bytes, of a row of a picture as training saw it:
 * {1}_INPUT_WIDTH pixels of three bytes, red, green and blue, or of one. The picture has the size
 * of the input already. */
void {0}_rgb_row(int8_t* to, const uint8_t* rgb);
void {0}_grey_row(int8_t* to, const uint8_t* grey);
)",
                       c.name, c.macro);
  }
  return fmt::format(R"(
/* Writes a row of a picture to {0}_input() as training saw it: {1}_INPUT_WIDTH pixels of
 * three bytes, red, green and blue, or of one. The picture has the size of the input already.
 * Returns 0; -1 and nothing changes for a row that is none. */
int32_t {0}_rgb_row(int32_t row, const uint8_t* rgb);
int32_t {0}_grey_row(int32_t row, const uint8_t* grey);
)",
                     c.name, c.macro);
}

std::string pixel_functions(const Emission& c) {
  const std::vector<PixelTable>& tables = c.options.pixels;
  if (tables.empty()) return "";
  const bool shared = same_for_all(tables);
  const std::size_t count = shared ? 1 : tables.size();
  std::string text = fmt::format(
      "/* Inputs that pixel values stand for{}. */\nstatic const int8_t pixel_table[{}][256] = "
      "{{\n",
      shared ? "" : ", by channel", count);
  for (std::size_t i = 0; i < count; ++i) {
    text += table_text(tables[i]) + (i + 1 < count ? ",\n" : "\n};\n\n");
  }
  const auto table = [&](int channel) {
    return fmt::format("pixel_table[{}]", shared ? 0 : channel);
  };
  std::string rgb;
  std::string grey;
  if (tables.size() == 1) {
    rgb = fmt::format(
        "    /* Brightness by ITU-R 601, rounded. */\n"
        "    const uint32_t luma = rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u;\n"
        "    *to++ = {}[luma >> 16];\n",
        table(0));
  }
  for (int channel = 0; channel < static_cast<int>(tables.size()); ++channel) {
    if (tables.size() > 1)
      rgb += fmt::format("    *to++ = {}[rgb[{}]];\n", table(channel), channel);
    grey += fmt::format("    *to++ = {}[*grey];\n", table(channel));
  }
  for (const auto& [what, step, body] :
       {std::tuple{"rgb", "rgb += 3", rgb}, std::tuple{"grey", "++grey", grey}}) {
    if (c.program.graph.fed) {
      text += fmt::format(
          "void {0}_{1}_row(int8_t* to, const uint8_t* {1}) {{\n  int32_t x;\n"
          "  for (x = 0; x < {2}_INPUT_WIDTH; ++x, {3}) {{\n{4}  }}\n}}\n\n",
          c.name, what, c.macro, step, body);
      continue;
    }
    text += fmt::format(R"(int32_t {0}_{2}_row(int32_t row, const uint8_t* {2}) {{
  int8_t* to;
  int32_t x;
  if ({5}row < 0 || row >= {1}_INPUT_HEIGHT) return -1;
  to = {0}_input() + row * ({1}_INPUT_WIDTH * {1}_INPUT_CHANNELS);
  for (x = 0; x < {1}_INPUT_WIDTH; ++x, {3}) {{
{4}  }}
  return 0;
}}

)",
                        c.name, c.macro, what, step, body,
                        c.options.extern_arena ? "sram.arena == 0 || " : "");
  }
  return text;
}

}  // namespace espalier::codegen
