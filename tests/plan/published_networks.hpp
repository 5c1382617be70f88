// The three published networks, imported once per test program.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "espalier/import/importer.hpp"
#include "testing/npy.hpp"

namespace espalier::testing {

inline constexpr std::array kPublishedNetworks{"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"};

/// `data` is the shared data folder. Throws when a model cannot be imported.
inline const ir::Graph& published_network(const std::filesystem::path& data,
                                          const std::string& name) {
  static std::map<std::string, ir::Graph> graphs;
  const auto known = graphs.find(name);
  if (known != graphs.end()) return known->second;
  Result<ir::Graph> graph = import_model(data / "models" / (name + ".onnx"));
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return graphs.emplace(name, std::move(graph).value()).first->second;
}

}  // namespace espalier::testing
