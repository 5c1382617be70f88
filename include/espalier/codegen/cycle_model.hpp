// What a training step costs on the simulated core, without simulating it: what each node has to
// do, and what that takes on a target, fitted to measured nodes (profiles/cycles,
// tools/fit_cycles.py).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/compiler/training_graph.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/result.hpp"

namespace espalier::codegen {

inline constexpr std::string_view kCyclesSchema = "espalier.cycles/1";

/// What the cycles of a kernel are linear in, beside a constant.
enum class Amount : std::uint8_t {
  kMacs,        ///< multiply-accumulates
  kWeightMacs,  ///< those of a weight gradient that is made on the way, which are not in kMacs
  kInputs,      ///< elements of the first input
  kOutputs,     ///< elements of the first output
  kMasks,       ///< elements of the mask that is written
  kWeights,     ///< parameters that are read or stepped
  kMerged,      ///< weights that come from flash and SRAM together
  kCalls,       ///< 1
};
inline constexpr std::array<std::string_view, 8> kAmountNames{
    "macs", "weight_macs", "inputs", "outputs", "masks", "weights", "merged", "calls"};

/// Pixels of which a blocked integer weight gradient keeps the outputs turned round; those of more
/// it turns anew for every few inputs. ESP_PIXELS of that kernel, which a test holds it to.
inline constexpr std::int64_t kPixelsKept = 128;

/// The work of one node.
struct Work {
  std::string form;  ///< the kernel, with what else tells its loops apart: `esp_conv_forward 3x3`
  std::array<std::int64_t, kAmountNames.size()> amounts{};
};

/// Of the nodes of one sample, in order; an update that comes after several samples is left out.
/// `graph`: whole maps, as all passes but `stream` leave it.
std::vector<Work> work_of(const compiler::TrainingGraph& graph);

/// Cycles of nodes on one target.
struct CycleModel {
  std::string target;
  /// Cycles for each of the amounts, by form; under a kernel's own name for windows that were not
  /// measured.
  std::map<std::string, std::array<double, kAmountNames.size()>, std::less<>> forms;
  /// Largest error of the steps that were measured beside the fit, as a share of what they took.
  double error = 0;
};

/// The models of profiles/cycles, as they were when this was built.
const std::vector<CycleModel>& shipped_cycle_models();

/// That of a target. kUsage lists the targets that have one.
Result<CycleModel> find_cycle_model(std::string_view target);

/// Reads a model. kBadInput.
Result<CycleModel> cycle_model_from_json(const Json& document, std::string_view where);

/// Cycles of a step on one sample, rounded. `graph` as for work_of(). kUsage names the kernels that
/// were not measured on the target.
Result<std::int64_t> step_cycles(const CycleModel& model, const compiler::TrainingGraph& graph);

}  // namespace espalier::codegen
