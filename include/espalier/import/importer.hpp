// Model files become graphs here: one entry point for every supported format.
#pragma once

#include <filesystem>

#include "espalier/import/onnx_reader.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// Reads a quantised network. The format is recognised by the content first (the identifier that a
/// TFLite file carries), then by the extension. The graph's name is the file's stem and its sha256
/// that of the file's bytes.
/// Errors: kMissingInput when the file cannot be opened; kBadInput when it is damaged, of an
/// unknown format, or holds anything the graph cannot express, every such node in one run.
Result<ir::Graph> import_model(const std::filesystem::path& path);

}  // namespace espalier
