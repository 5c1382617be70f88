// Model files become graphs here: one entry point for every supported format.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "espalier/import/tflite_writer.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier {

/// Reads a quantised network. The format is recognised by the content first (the identifier that a
/// TFLite file carries), then by the extension. The graph's name is the file's stem and its sha256
/// that of the file's bytes.
/// Errors: kMissingInput when the file cannot be opened; kBadInput when it is damaged, of an
/// unknown format, or holds anything the graph cannot express, every such node in one run.
Result<ir::Graph> import_model(const std::filesystem::path& path);

/// What is to be known of how a network was read, in words: that some weights had to be rounded.
std::vector<std::string> model_doubts(const ir::Graph& graph);

/// True when `path` is to be written as TFLite: by its extension.
bool is_tflite_path(const std::filesystem::path& path);

/// Whether a file is a network that export_model() wrote as TFLite: it says the names of its
/// classes.
bool is_exported_tflite(const std::filesystem::path& path);

/// Whether a network read from `original` can be written to `path`: only what came from TFLite goes
/// back into TFLite. Errors: kUsage.
Status check_export(const std::filesystem::path& original, const std::filesystem::path& path);

/// Writes a tuned network, as TFLite into a copy of `original` (export_tflite) or as ONNX
/// (export_onnx), by the extension of `path`. `logits` are for TFLite, which rounds them. Errors:
/// theirs, and check_export's.
Status export_model(const ir::Graph& tuned, const std::filesystem::path& original,
                    const std::filesystem::path& path,
                    std::optional<LogitRange> logits = std::nullopt);

}  // namespace espalier
