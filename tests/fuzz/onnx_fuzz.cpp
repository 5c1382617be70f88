// Any bytes as an ONNX model: a graph that verifies, or diagnostics.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "espalier/import/onnx_reader.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "fuzz/targets.hpp"

void espalier::fuzz::onnx(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto graph = espalier::import_onnx_bytes(bytes, "model.onnx", "model");
  if (graph.ok()) {
    if (!espalier::ir::verify(*graph).ok() || !espalier::export_onnx_bytes(*graph).ok())
      std::abort();
  } else if (graph.error().diagnostics.empty()) {
    std::abort();
  }
}
