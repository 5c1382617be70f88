#include "espalier/import/tflite_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "diagnostics.hpp"
#include "espalier/import/metadata.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"
#include "tflite/lowering.hpp"
#include "tflite/schema_generated.h"

namespace espalier {
namespace {

// No network has more tables; the bound keeps the verifier's time in proportion.
constexpr flatbuffers::uoffset_t kMaxTables = 1 << 20;
constexpr flatbuffers::uoffset_t kMaxDepth = 32;
constexpr std::uint32_t kFileVersion = 3;

Error bad(std::string_view where, std::string_view text) {
  return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, text)};
}

Error too_large(std::string_view where) {
  return bad(where, fmt::format("is larger than {} MiB, which no microcontroller holds; give a "
                                "smaller model",
                                kMaxTfliteFileBytes >> 20));
}

}  // namespace

Result<ir::Graph> import_tflite_bytes(std::string_view bytes, std::string_view where,
                                      std::string_view name) {
  if (bytes.empty()) return bad(where, "the file is empty; convert the model again");
  if (static_cast<std::int64_t>(bytes.size()) > kMaxTfliteFileBytes) return too_large(where);
  // The format wants its data aligned.
  std::vector<std::uint64_t> aligned(bytes.size() / sizeof(std::uint64_t) + 1);
  auto* data = reinterpret_cast<std::uint8_t*>(aligned.data());
  std::copy(bytes.begin(), bytes.end(), data);
  flatbuffers::Verifier verifier(data, bytes.size(), kMaxDepth, kMaxTables);
  if (bytes.size() < 8 || !tflite::VerifyModelBuffer(verifier)) {
    return bad(where, "is not a TFLite model or is cut off; convert or download it again");
  }
  const tflite::Model& model = *tflite::GetModel(data);
  ir::Graph graph;
  graph.name = name;
  graph.sha256 = sha256_hex(bytes);
  import_detail::Diagnostics diagnostics(where);
  if (model.version() != kFileVersion) {
    diagnostics.add(fmt::format("is of version {} of the format, {} is needed; convert it again",
                                model.version(), kFileVersion));
  }
  tflite_detail::lower(model, graph, diagnostics);
  if (!diagnostics.empty()) return diagnostics.error();
  if (const Status verified = ir::verify(graph); !verified.ok()) {
    Error error = verified.error();
    for (std::string& text : error.diagnostics) {
      text = fmt::format("{}: {}; quantise or convert the model again", where, text);
    }
    return error;
  }
  if (model.description() != nullptr) {
    graph.head.class_names =
        class_names_in_text(model.description()->string_view(), graph.head.classes);
  }
  ir::normalize_input_unit(graph);
  return graph;
}

Result<ir::Graph> import_tflite(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::uintmax_t size = std::filesystem::file_size(path, ignored);
  if (!ignored && size > static_cast<std::uintmax_t>(kMaxTfliteFileBytes)) {
    return too_large(path.string());
  }
  ESPALIER_TRY(const std::string bytes, read_file(path));
  return import_tflite_bytes(bytes, path.string(), path.stem().string());
}

}  // namespace espalier
