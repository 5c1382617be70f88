// Any bytes as a TFLite model: a graph that verifies and goes back into its file, or diagnostics.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "espalier/import/tflite_reader.hpp"
#include "espalier/import/tflite_writer.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::tflite(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto graph = espalier::import_tflite_bytes(bytes, "model.tflite", "model");
  if (!graph.ok()) {
    if (graph.error().diagnostics.empty()) std::abort();
    return;
  }
  if (!espalier::ir::verify(*graph).ok()) std::abort();
  espalier::ir::Graph tuned = std::move(graph).value();
  for (float& weight : tuned.head.weights) weight *= -0.5F;
  for (espalier::ir::Op& op : tuned.ops) {
    auto* conv = std::get_if<espalier::ir::Conv2D>(&op.params);
    if (conv != nullptr) conv->weights[0] = static_cast<std::int8_t>(-conv->weights[0]);
  }
  // Files whose layers share parameters are refused; nothing may crash.
  (void)espalier::export_tflite_bytes(tuned, bytes);
}
