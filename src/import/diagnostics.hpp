// What is wrong with a model file, said in one run: one line a kind, whatever the format.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/result.hpp"

namespace espalier::import_detail {

/// Text from a file as a diagnostic may show it: printable and short.
std::string printable(std::string_view text);

/// A node of a foreign graph, as diagnostics name it.
struct Where {
  int index = -1;
  std::string name;  ///< its own, or its first output's
  std::string type;  ///< the operator, with its domain when it is not a standard one

  /// `node 17 'Softmax_3' (Softmax)`.
  [[nodiscard]] std::string text() const;
};

/// Collects diagnostics. Those of nodes that differ in names and numbers alone are one kind: one
/// line, with the first such node and the number of the others.
class Diagnostics {
 public:
  explicit Diagnostics(std::string_view file) : file_(file) {}

  /// About the file as a whole or a named part of it.
  void add(std::string_view text);
  /// About a node: why it is refused and what to do next.
  void add(const Where& node, std::string_view why, std::string_view next);

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// Everything collected, in the order of first occurrence. Not empty().
  [[nodiscard]] Error error() const;

 private:
  struct Entry {
    std::string kind;
    std::string first;  ///< the node, empty for the file
    std::string text;
    int last = -1;   ///< index of the last node counted
    int others = 0;  ///< further nodes of the kind
  };
  std::string file_;
  std::vector<Entry> entries_;
};

}  // namespace espalier::import_detail
