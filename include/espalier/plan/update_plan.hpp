// The update plan: which biases, which weight tensors and which of their input channels may learn.
// A plain value; validate() holds it against a graph. The head is always trained and not listed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "espalier/ir/graph.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::plan {

/// The trained part of one convolution's weights.
struct WeightUpdate {
  int conv = -1;              ///< conv index, as in ir::conv_ops
  double ratio = 1.0;         ///< fraction of the input channels, in (0, 1]
  std::vector<int> channels;  ///< trained input channels, ascending; channel_count() of them
  /// Sets that follow in turn, as many channels each, before `channels` comes again; see
  /// add_rotation(). Empty where the same channels train all the time.
  std::vector<std::vector<int>> next_channels;

  bool operator==(const WeightUpdate&) const = default;
};

/// What may learn, for one model. Fields behind `weights` say where the plan comes from; they are
/// absent from plans that no search made.
struct UpdatePlan {
  std::string model;                     ///< name of the model, for messages
  std::string model_sha256;              ///< of the model file: the model's identity
  int bias_depth = 0;                    ///< k: the last k convs train their biases
  std::vector<WeightUpdate> weights;     ///< ascending conv, each at least conv count - k
  std::vector<std::string> classes;      ///< names of the classes of the data it was made for
  std::optional<double> predicted_gain;  ///< the search's objective
  std::string gain_metric;               ///< its unit: "accuracy" or "loss"; empty without it
  std::map<std::string, Bytes> memory;   ///< by memory model, such as "analytic"
  std::optional<Bytes> budget;           ///< the search's limit
  Json recipe;                           ///< of the trainings it was found by; null without
  Json measured;                         ///< what training the plan itself gained; null without
  std::string solver;                    ///< such as "evolution"; empty when made by hand
  std::optional<std::uint64_t> seed;     ///< of the solver
  std::string tool_version;              ///< of the Espalier that wrote the plan

  bool operator==(const UpdatePlan&) const = default;
};

/// int(in_channels * ratio), the number of input channels that a ratio trains: the double product,
/// truncated, as in the published code. 0 <= ratio <= 1.
int channel_count(int in_channels, double ratio);

/// The channel_count() input channels with the largest L2 norm of their int8 weights over
/// [out, kernel_h, kernel_w], ascending. Of equal norms the lower channel comes first. A channel of
/// a grouped convolution owns the weights of its group's outputs; that of a depthwise one is the
/// channel itself.
std::vector<int> select_channels(const ir::Conv2D& conv, double ratio);

/// The entry for one conv with select_channels() filled in.
WeightUpdate make_weight_update(const ir::Graph& graph, int conv, double ratio);

/// Lets all channels of a partly trained conv take turns: in descending norm, as many at a time as
/// the update trains, the last set filled up from the front. `channels` is the first set.
void add_rotation(WeightUpdate& update, const ir::Graph& graph);
/// The same for all updates of a plan.
void add_rotation(UpdatePlan& plan, const ir::Graph& graph);
/// True when some conv trains other channels in another turn.
bool rotates(const UpdatePlan& plan);

/// A plan that trains the head alone.
UpdatePlan head_only(const ir::Graph& graph);
/// Head and biases of the last `depth` convs; 0 <= depth <= conv count, else kUsage.
Result<UpdatePlan> bias_only(const ir::Graph& graph, int depth);
/// Head, biases and all weights of the last `depth` convs; 0 <= depth <= conv count, else kUsage.
Result<UpdatePlan> last_k(const ir::Graph& graph, int depth);
/// Everything.
UpdatePlan full(const ir::Graph& graph);

/// Holds a plan against a graph: identity of the model, ranges, order, duplicates, channel lists.
/// kBadInput lists every violation, each prefixed by `where`.
Status validate(const UpdatePlan& plan, const ir::Graph& graph, std::string_view where = "plan");

/// The shallowest conv that trains anything, or the conv count when only the head is trained: no
/// gradient is needed before its output.
int first_trained_conv(const UpdatePlan& plan, const ir::Graph& graph);

/// The cut of a plan: the position in graph.ops of the first conv that trains anything, or the end
/// of the body. What comes before it computes the same for a sample whatever was trained.
int training_cut(const UpdatePlan& plan, const ir::Graph& graph);

/// True when the bias of a conv is trained.
bool trains_bias(const UpdatePlan& plan, const ir::Graph& graph, int conv);

/// Turns after which the channels of a conv train again: 1 where the same always do, 0 for frozen
/// weights.
std::int64_t turns(const UpdatePlan& plan, int conv);

/// The input channels of a conv that train in a turn, counted from 0, or nullopt when its weights
/// are frozen. Points into `plan`.
std::optional<std::span<const int>> trained_channels(const UpdatePlan& plan, int conv,
                                                     std::int64_t turn = 0);

}  // namespace espalier::plan
