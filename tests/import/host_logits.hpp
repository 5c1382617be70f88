// Logits of samples by the host's fast kernels.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "espalier/train/network.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/train/session.hpp"

namespace espalier::testing {

/// Calls visit(sample, label, logits) for every sample of the store that `make` puts together.
inline void for_each_logits(
    const ir::Graph& graph,
    const std::function<std::shared_ptr<const train::SampleStore>(const train::Network&)>& make,
    const std::function<void(std::int64_t, int, std::span<const float>)>& visit) {
  const train::Network network(graph);
  const train::Session session(network, plan::head_only(graph), graph.head, 0);
  const auto store = make(network);
  train::Workspace workspace(session);
  for (std::int64_t i = 0; i < store->size(); ++i) {
    const auto index = static_cast<std::uint32_t>(i);
    store->load({&index, 1}, workspace);
    session.forward(workspace, 1, false);
    visit(i, store->label(i),
          {session.logits(workspace), static_cast<std::size_t>(graph.head.classes)});
  }
}

}  // namespace espalier::testing
