// The three published networks, imported once per test program.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <string>

#include "espalier/import/importer.hpp"
#include "testing/npy.hpp"

namespace espalier::testing {

inline constexpr std::array kPublishedNetworks{"mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"};

/// `folder` is the shared data folder. An import failure fails the test program.
inline const ir::Graph& published_network(const std::filesystem::path& folder,
                                          const std::string& name) {
  static std::map<std::string, ir::Graph> graphs;
  const auto known = graphs.find(name);
  if (known != graphs.end()) return known->second;
  Result<ir::Graph> graph = import_model(folder / "models" / (name + ".onnx"));
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  return graphs.emplace(name, std::move(graph).value()).first->second;
}

}  // namespace espalier::testing
