#include "espalier/import/onnx_reader.hpp"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "diagnostics.hpp"
#include "espalier/import/metadata.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"
#include "onnx/lowering.hpp"
#include "onnx/node.hpp"

namespace espalier {
namespace {

using import_detail::Diagnostics;
using onnx_detail::Node;

// QuantizeLinear exists from here on.
constexpr std::int64_t kOldestOpset = 10;

// Version of the standard operators, 0 when the file does not say.
std::int64_t opset(const onnx::ModelProto& model) {
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    if (onnx_detail::is_standard_domain(set.domain())) return set.version();
  }
  return 0;
}

// Operators whose presence tells how a file came to be.
struct Origin {
  std::string_view domain;  // begins with this; empty: any
  std::string_view type;    // is this; empty: any
  std::string_view what;
};
constexpr std::string_view kStaticNext =
    "quantise the float model statically instead, for example with ONNX Runtime's quantize_static "
    "(int8, QDQ format, per channel)";
constexpr Origin kOrigins[]{
    {"", "DynamicQuantizeLinear", "is quantised dynamically: scales are computed at run time"},
    {"", "ConvInteger", "is quantised dynamically: scales are computed at run time"},
    {"", "MatMulInteger", "is quantised dynamically: scales are computed at run time"},
    {"", "DynamicQuantizeMatMul", "is quantised dynamically: scales are computed at run time"},
    {"", "DynamicQuantizeLSTM", "is quantised dynamically: scales are computed at run time"},
    {"", "MatMulIntegerToFloat", "is quantised dynamically: scales are computed at run time"},
    {"qonnx", "", "is a QONNX model, whose Quant nodes hold float weights"},
    {"finn", "", "is a QONNX model of FINN, whose Quant nodes hold float weights"},
    {"onnx.brevitas", "", "is a Brevitas export with quantisers of its own"},
    {"mct", "", "is an export of Sony's Model Compression Toolkit with quantisers of its own"},
    {"sony", "", "is an export of Sony's tools with quantisers of its own"},
    {"ai.onnx.ml", "", "holds operators of ONNX-ML, of classical models rather than networks"},
    {"trt", "", "is an export for TensorRT with quantisers of its own"},
    {"org.openvinotoolkit", "", "is an export for OpenVINO whose FakeQuantize nodes are float"},
    {"org.pytorch.aten", "", "holds PyTorch operators that were not exported"},
};

const Origin* origin_of(const onnx::NodeProto& node) {
  for (const Origin& origin : kOrigins) {
    const bool domain = origin.domain.empty() || node.domain().starts_with(origin.domain);
    if (domain && (origin.type.empty() || origin.type == node.op_type())) return &origin;
  }
  return nullptr;
}

// Says once for each foreign form of quantisation that a file has it; true when there is one.
bool report_origins(const onnx::GraphProto& graph, Diagnostics& diagnostics) {
  std::vector<std::string_view> said;
  for (int i = 0; i < graph.node_size(); ++i) {
    const Origin* origin = origin_of(graph.node(i));
    if (origin == nullptr || std::find(said.begin(), said.end(), origin->what) != said.end()) {
      continue;
    }
    said.push_back(origin->what);
    const auto count =
        std::count_if(graph.node().begin(), graph.node().end(), [&](const onnx::NodeProto& node) {
          const Origin* other = origin_of(node);
          return other != nullptr && other->what == origin->what;
        });
    diagnostics.add(fmt::format("{} ({} such nodes, the first is {}); {}", origin->what, count,
                                Node(graph.node(i), i).where().text(), kStaticNext));
  }
  return !said.empty();
}

// Which nodes of a graph deal with integers.
struct Quantised {
  bool activations = false;
  bool weights = false;
};

Quantised quantised(const onnx::GraphProto& graph) {
  Quantised found;
  std::unordered_set<std::string_view> initializers;
  for (const onnx::TensorProto& tensor : graph.initializer()) initializers.insert(tensor.name());
  for (const onnx::NodeProto& node : graph.node()) {
    const bool constant = node.input_size() > 0 && initializers.count(node.input(0)) > 0;
    if (node.op_type() == "QuantizeLinear" && !constant) found.activations = true;
    if (node.op_type().starts_with("QLinear")) found.activations = true;
    if (node.op_type() == "DequantizeLinear") {
      (constant ? found.weights : found.activations) = true;
    }
  }
  return found;
}

// True when a float tensor is what the graph's inputs are.
bool reads_floats(const onnx::GraphProto& graph) {
  return std::any_of(graph.input().begin(), graph.input().end(),
                     [](const onnx::ValueInfoProto& input) {
                       return input.type().tensor_type().elem_type() == onnx::TensorProto::FLOAT;
                     });
}

// Reports what is wrong with the file as a whole; true when its nodes can be read one by one.
bool check_form(const onnx::ModelProto& model, Diagnostics& diagnostics) {
  const std::int64_t version = opset(model);
  if (version <= 0) {
    diagnostics.add(
        "does not say which ONNX opset it uses; it is cut off or damaged, so export or download it "
        "again");
  } else if (version < kOldestOpset) {
    diagnostics.add(
        fmt::format("uses opset {}, at least {} is needed; export it again with a newer opset, or "
                    "convert it with onnx.version_converter before quantising",
                    version, kOldestOpset));
  }
  const onnx::GraphProto& graph = model.graph();
  if (graph.output_size() != 1) {
    diagnostics.add(
        fmt::format("the graph has {} outputs; keep only the logits", graph.output_size()));
  }
  if (report_origins(graph, diagnostics)) return false;
  const Quantised found = quantised(graph);
  if (found.activations || !reads_floats(graph)) return true;
  diagnostics.add(
      found.weights
          ? fmt::format("only its weights are quantised, activations are float; {}", kStaticNext)
          : std::string(
                "is a float model without QuantizeLinear and DequantizeLinear; quantise it first "
                "(int8, QDQ format, per channel), for example with ONNX Runtime's "
                "quantize_static"));
  return false;
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

  ir::Graph graph;
  graph.name = name;
  graph.sha256 = sha256_hex(bytes);
  Diagnostics diagnostics(where);
  if (check_form(model, diagnostics)) {
    onnx_detail::lower(model, opset(model), graph, diagnostics);
  } else {
    onnx_detail::report_unknown_operators(model.graph(), diagnostics);
  }
  if (!diagnostics.empty()) return diagnostics.error();
  if (const Status verified = ir::verify(graph); !verified.ok()) {
    Error error = verified.error();
    for (std::string& text : error.diagnostics) {
      text = fmt::format("{}: {}; quantise or export the model again", where, text);
    }
    return error;
  }
  ir::normalize_input_unit(graph);
  for (const onnx::StringStringEntryProto& entry : model.metadata_props()) {
    if (entry.key() != kClassNamesKey) continue;
    graph.head.class_names = class_names_from_metadata(entry.value(), graph.head.classes);
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
