#include "espalier/import/onnx_reader.hpp"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "espalier/support/file.hpp"
#include "onnx_lowering.hpp"
#include "onnx_node.hpp"

namespace espalier {
namespace {

using onnx_detail::Diagnostics;

constexpr std::int64_t kOldestOpset = 13;

bool is_onnx_domain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

// Version of the standard operators, 0 when the file does not say.
std::int64_t opset(const onnx::ModelProto& model) {
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    if (is_onnx_domain(set.domain())) return set.version();
  }
  return 0;
}

// True when nothing in the graph deals with integers.
bool is_float_model(const onnx::GraphProto& graph) {
  constexpr std::array<std::string_view, 5> kMarks{"QuantizeLinear", "DequantizeLinear", "QLinear",
                                                   "Integer", "DynamicQuantize"};
  return std::none_of(graph.node().begin(), graph.node().end(), [&](const onnx::NodeProto& node) {
    return std::any_of(kMarks.begin(), kMarks.end(), [&](std::string_view mark) {
      return node.op_type().find(mark) != std::string::npos;
    });
  });
}

Error bad(std::string_view where, std::string_view text) {
  return Error{ErrorKind::kBadInput, fmt::format("{}: {}", where, text)};
}

Error too_large(std::string_view where) {
  return bad(where, fmt::format("is larger than {} MiB, which no microcontroller holds; give a "
                                "smaller model",
                                kMaxOnnxFileBytes >> 20));
}

}  // namespace

Result<ir::Graph> import_onnx_bytes(std::string_view bytes, std::string_view where,
                                    std::string_view name) {
  if (bytes.empty()) return bad(where, "the file is empty; export the model again");
  if (static_cast<std::int64_t>(bytes.size()) > kMaxOnnxFileBytes) return too_large(where);
  onnx::ModelProto model;
  {
    // Everything that is wrong is said in our own words.
    const google::protobuf::LogSilencer silence;
    if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return bad(where, "is not an ONNX model or is cut off; export or download it again");
    }
  }
  if (!model.has_graph() || model.graph().node_size() == 0) {
    return bad(where, "holds no ONNX graph; export or download it again");
  }
  const std::int64_t version = opset(model);
  if (version < kOldestOpset) {
    return bad(where,
               version <= 0
                   ? std::string("does not say which ONNX opset it uses; it is cut off or "
                                 "damaged, so export or download it again")
                   : fmt::format("uses opset {}, at least {} is needed; export it again with "
                                 "a newer opset, or convert it with onnx.version_converter "
                                 "before quantising",
                                 version, kOldestOpset));
  }
  if (is_float_model(model.graph())) {
    return bad(where,
               "is a float model without QuantizeLinear and DequantizeLinear; quantise it first "
               "(int8, QDQ format, per channel), for example with ONNX Runtime's quantize_static");
  }

  ir::Graph graph;
  graph.name = name;
  graph.sha256 = sha256_hex(bytes);
  Diagnostics diagnostics(where);
  onnx_detail::lower(model.graph(), graph, diagnostics);
  if (!diagnostics.empty()) return diagnostics.error();
  if (const Status verified = ir::verify(graph); !verified.ok()) {
    Error error = verified.error();
    for (std::string& text : error.diagnostics) {
      text = fmt::format("{}: {}; quantise or export the model again", where, text);
    }
    return error;
  }
  return graph;
}

Result<ir::Graph> import_onnx(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::uintmax_t size = std::filesystem::file_size(path, ignored);
  if (!ignored && size > static_cast<std::uintmax_t>(kMaxOnnxFileBytes)) {
    return too_large(path.string());
  }
  ESPALIER_TRY(const std::string bytes, read_file(path));
  return import_onnx_bytes(bytes, path.string(), path.stem().string());
}

}  // namespace espalier
