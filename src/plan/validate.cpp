// Holds a plan against a graph. Knows nothing of the solvers and builders that make plans.
#include <fmt/format.h>

#include "espalier/plan/update_plan.hpp"

namespace espalier::plan {
namespace {

// Graphs built in code have no file and so no digest; only their name can tell them apart.
bool same_model(const UpdatePlan& plan, const ir::Graph& graph) {
  if (plan.model_sha256 != graph.sha256) return false;
  return !graph.sha256.empty() || plan.model == graph.name;
}

std::string identity(std::string_view name, std::string_view sha256) {
  return fmt::format("'{}' (SHA-256 {})", name, sha256.empty() ? "unknown" : sha256);
}

class Validator {
 public:
  Validator(const UpdatePlan& plan, const ir::Graph& graph, std::string_view where)
      : plan_(plan), graph_(graph), where_(where), conv_ops_(ir::conv_ops(graph)) {}

  Status run() {
    if (!same_model(plan_, graph_)) {
      // Every other finding would be a consequence of this one.
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: made for model {}, used with model {}; use the plan's own "
                               "model, or make a plan for this one",
                               where_, identity(plan_.model, plan_.model_sha256),
                               identity(graph_.name, graph_.sha256))};
    }
    check_depth();
    for (std::size_t i = 0; i < plan_.weights.size(); ++i) check_entry(i);
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return Ok{};
  }

 private:
  void problem(const std::string& text) {
    problems_.push_back(fmt::format("{}: {}", where_, text));
  }

  [[nodiscard]] int conv_count() const { return static_cast<int>(conv_ops_.size()); }

  void check_depth() {
    depth_ok_ = plan_.bias_depth >= 0 && plan_.bias_depth <= conv_count();
    if (depth_ok_) return;
    problem(fmt::format("bias_depth {} is out of range; '{}' has {} convs, so give 0 to {}",
                        plan_.bias_depth, graph_.name, conv_count(), conv_count()));
  }

  void check_entry(std::size_t index) {
    const WeightUpdate& update = plan_.weights[index];
    const std::string entry = fmt::format("weights[{}]", index);
    if (update.conv < 0 || update.conv >= conv_count()) {
      problem(fmt::format("{}: conv {} does not exist; '{}' has convs 0 to {}", entry, update.conv,
                          graph_.name, conv_count() - 1));
      return;
    }
    if (index > 0 && update.conv <= plan_.weights[index - 1].conv) {
      const bool twice = update.conv == plan_.weights[index - 1].conv;
      problem(fmt::format("{}: conv {} {}", entry, update.conv,
                          twice ? "is listed twice; merge the entries"
                                : "is out of order; list convs in ascending order"));
    }
    if (depth_ok_ && update.conv < conv_count() - plan_.bias_depth) {
      problem(
          fmt::format("{}: conv {} trains weights but lies before the last {} convs, whose "
                      "biases are trained; raise bias_depth to at least {}",
                      entry, update.conv, plan_.bias_depth, conv_count() - update.conv));
    }
    // The negated form also catches NaN.
    if (!(update.ratio > 0.0 && update.ratio <= 1.0)) {
      problem(fmt::format("{}: ratio {} of conv {} is out of range; give more than 0, at most 1",
                          entry, update.ratio, update.conv));
      return;
    }
    check_channels(update, entry);
  }

  void check_channels(const WeightUpdate& update, const std::string& entry) {
    const int in_channels =
        ir::conv(graph_, conv_ops_[static_cast<std::size_t>(update.conv)]).in_channels;
    const int expected = channel_count(in_channels, update.ratio);
    if (expected == 0) {
      problem(
          fmt::format("{}: ratio {} of conv {} keeps none of its {} input channels; remove the "
                      "entry or give at least {}",
                      entry, update.ratio, update.conv, in_channels, 1.0 / in_channels));
      return;
    }
    check_set(update, update.channels, in_channels, entry);
    for (std::size_t i = 0; i < update.next_channels.size(); ++i) {
      check_set(update, update.next_channels[i], in_channels,
                fmt::format("{}: next_channels[{}]", entry, i));
    }
  }

  void check_set(const WeightUpdate& update, const std::vector<int>& channels, int in_channels,
                 const std::string& entry) {
    const int expected = channel_count(in_channels, update.ratio);
    if (static_cast<int>(channels.size()) != expected) {
      problem(fmt::format("{}: {} channels listed, but ratio {} of conv {} trains {} of {}", entry,
                          channels.size(), update.ratio, update.conv, expected, in_channels));
    }
    for (std::size_t i = 0; i < channels.size(); ++i) {
      const int channel = channels[i];
      if (channel < 0 || channel >= in_channels) {
        problem(fmt::format("{}: channel {} does not exist; conv {} has input channels 0 to {}",
                            entry, channel, update.conv, in_channels - 1));
        return;
      }
      if (i > 0 && channel <= channels[i - 1]) {
        const bool twice = channel == channels[i - 1];
        problem(fmt::format("{}: channel {} {}", entry, channel,
                            twice ? "is listed twice; list each channel once"
                                  : "is out of order; list channels in ascending order"));
        return;
      }
    }
  }

  const UpdatePlan& plan_;
  const ir::Graph& graph_;
  std::string_view where_;
  std::vector<int> conv_ops_;
  bool depth_ok_ = false;
  std::vector<std::string> problems_;
};

}  // namespace

Status validate(const UpdatePlan& plan, const ir::Graph& graph, std::string_view where) {
  return Validator(plan, graph, where).run();
}

}  // namespace espalier::plan
