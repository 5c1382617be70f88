// Who writes which name in an ONNX graph, which nodes matter, and where the classifier is. Looks
// at names and op types only.
#pragma once

#include <onnx/onnx_pb.h>

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "onnx/node.hpp"

namespace espalier::onnx_detail {

/// Connections of a graph, however damaged.
class Topology {
 public:
  explicit Topology(const onnx::GraphProto& graph);

  /// Reports names that are written twice.
  void check(import_detail::Diagnostics& diagnostics) const;

  /// Name of the graph's first output, empty when there is none.
  [[nodiscard]] const std::string& output() const { return output_; }
  /// Index of the node that writes a name, -1 when none does.
  [[nodiscard]] int producer(std::string_view name) const;
  /// True when the output depends on the node.
  [[nodiscard]] bool live(int node) const { return live_[static_cast<std::size_t>(node)]; }
  /// True when a live node reads the name.
  [[nodiscard]] bool reads(const std::string& name) const { return read_.count(name) > 0; }
  /// True when the live nodes cannot be sorted.
  [[nodiscard]] bool has_cycle() const;

  /// Result of walking from the output to the last Conv, Gemm or MatMul.
  struct HeadSearch {
    int node = -1;        ///< the classifier, -1 when there is none
    int stopped_at = -1;  ///< without classifier: the node that ended the search, -1 when none did
    bool averages = false;  ///< that one averages class maps: these are the scores
  };
  [[nodiscard]] HeadSearch find_head() const;

 private:
  void mark_live();
  [[nodiscard]] bool constant(const std::string& name) const;

  const onnx::GraphProto& graph_;
  std::string output_;
  std::unordered_map<std::string, int> producers_;
  std::unordered_set<std::string> initializers_;
  std::unordered_set<std::string> read_;
  std::vector<bool> live_;
};

}  // namespace espalier::onnx_detail
