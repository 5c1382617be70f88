#include "espalier/import/importer.hpp"

#include <fmt/format.h>

#include <array>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "espalier/import/metadata.hpp"
#include "espalier/import/onnx_reader.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/import/tflite_reader.hpp"
#include "espalier/import/tflite_writer.hpp"
#include "espalier/support/file.hpp"

namespace espalier {
namespace {

// One row per format: adding one is adding its reader and a row.
struct Format {
  std::string_view extension;
  bool (*recognises)(std::string_view head);
  Result<ir::Graph> (*import)(const std::filesystem::path& path);
};

constexpr std::size_t kHeadBytes = 8;

// A flatbuffer carries its file identifier behind the offset of its root table.
bool is_tflite(std::string_view head) { return head.size() >= 8 && head.substr(4, 4) == "TFL3"; }

// A serialised ModelProto starts with field 1, the IR version, which is a small number.
bool is_onnx(std::string_view head) {
  constexpr char kNewestPlausibleVersion = 64;
  return head.size() >= 2 && head[0] == 0x08 && head[1] > 0 && head[1] < kNewestPlausibleVersion;
}

constexpr std::array<Format, 2> kFormats{{
    {".tflite", &is_tflite, &import_tflite},
    {".onnx", &is_onnx, &import_onnx},
}};

std::string read_head(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

}  // namespace

std::vector<std::string> model_doubts(const ir::Graph& graph) {
  if (graph.rounded_channels == 0) return {};
  return {
      fmt::format("the weights of {} output channel{} of {} lie beyond int8 and are rounded to a "
                  "wider scale, so its results differ a little from those of the file",
                  graph.rounded_channels, graph.rounded_channels == 1 ? "" : "s", graph.name)};
}

bool is_tflite_path(const std::filesystem::path& path) { return path.extension() == ".tflite"; }

bool is_exported_tflite(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!is_tflite(read_head(path)) ||
      std::filesystem::file_size(path, ignored) > kMaxTfliteFileBytes) {
    return false;
  }
  const Result<std::string> bytes = read_file(path);
  return bytes.ok() && bytes->find(fmt::format("\n{}=[", kClassNamesKey)) != std::string::npos;
}

Status check_export(const std::filesystem::path& original, const std::filesystem::path& path) {
  if (path.has_extension() && !is_tflite_path(path) && path.extension() != ".onnx") {
    return Error{
        ErrorKind::kUsage,
        fmt::format("{}: networks are written as .onnx or .tflite; name it so", path.string())};
  }
  if (!is_tflite_path(path) || is_tflite(read_head(original))) return Ok{};
  return Error{ErrorKind::kUsage,
               fmt::format("{}: only a network that was read from TFLite can be written as TFLite, "
                           "and {} is none; write .onnx",
                           path.string(), original.string())};
}

Status export_model(const ir::Graph& tuned, const std::filesystem::path& original,
                    const std::filesystem::path& path, std::optional<LogitRange> logits) {
  ESPALIER_CHECK_OK(check_export(original, path));
  return is_tflite_path(path) ? export_tflite(tuned, original, path, logits)
                              : export_onnx(tuned, path);
}

Result<ir::Graph> import_model(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_fifo(path, ignored)) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: is a pipe, and a model is read more than once; copy its content "
                             "to a file",
                             path.string())};
  }
  const std::string head = read_head(path);
  for (const Format& format : kFormats) {
    if (format.recognises(head)) return format.import(path);
  }
  for (const Format& format : kFormats) {
    if (path.extension() == format.extension) return format.import(path);
  }
  // Says so when the file is missing or a folder.
  ESPALIER_CHECK_OK(read_file(path));
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: is not a model format that Espalier knows; give a quantised "
                           "model in TFLite (.tflite) or ONNX (.onnx)",
                           path.string())};
}

}  // namespace espalier
