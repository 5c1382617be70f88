// What a check found, in words, as JSON and as a table.
#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "espalier/device/check.hpp"

namespace espalier::device {

Status verdict(const CheckReport& report) {
  if (!report.failure.empty()) return Error{ErrorKind::kMismatch, report.failure};
  std::vector<std::string> problems;
  if (!report.mismatch.empty()) problems.push_back(report.name + ": " + report.mismatch);
  // Start-up code clears all that the program may use, so that a promise is met to the byte.
  const std::int64_t excess = report.used_sram.count - report.promised_sram.count;
  if (excess != 0) {
    problems.push_back(fmt::format(
        "{}: {} bytes of SRAM were written outside the stack, {} {} than promised", report.name,
        report.used_sram.count, std::abs(excess), excess > 0 ? "more" : "fewer"));
  }
  if (report.used_parameters != report.promised_parameters) {
    problems.push_back(fmt::format("{}: {} bytes of constants in flash, {} promised", report.name,
                                   report.used_parameters.count, report.promised_parameters.count));
  }
  if (report.stack_used > report.stack_allowed) {
    problems.push_back(fmt::format("{}: the stack took {} bytes of {} allowed", report.name,
                                   report.stack_used.count, report.stack_allowed.count));
  }
  if (!problems.empty()) return Error{ErrorKind::kMismatch, problems};
  return Ok{};
}

Json to_json(const CheckReport& r) {
  Json kernels = Json::array();
  for (const KernelCycles& k : r.kernels) {
    kernels.push_back(
        {{"name", k.name},
         {"cycles", k.cycles},
         {"instructions", k.instructions},
         {"macs", k.macs ? Json(*k.macs) : Json(nullptr)},
         {"instructions_per_mac", k.macs ? Json(k.instructions / *k.macs) : Json(nullptr)},
         {"cycles_per_mac", k.macs && k.cycles > 0 ? Json(k.cycles / *k.macs) : Json(nullptr)}});
  }
  Json nodes = Json::array();
  for (const NodeCycles& node : r.nodes) {
    nodes.push_back({{"name", node.name}, {"cycles", node.cycles}});
  }
  return {{"schema", "espalier.check/1"},
          {"name", r.name},
          {"target", r.target},
          {"steps", r.steps},
          {"accumulate", r.accumulate},
          {"updates", r.updates},
          {"failure", r.failure.empty() ? Json(nullptr) : Json(r.failure)},
          {"equal", r.failure.empty() && r.mismatch.empty()},
          {"mismatch", r.mismatch.empty() ? Json(nullptr) : Json(r.mismatch)},
          {"compared",
           {{"arrays", r.compared_arrays},
            {"bytes", r.compared.count},
            {"nodes", r.traced_nodes},
            {"node_steps", r.traced_steps},
            {"recorded_steps", r.recorded_steps}}},
          {"losses", r.losses},
          {"cycles_per_step", r.cycles_per_step},
          {"instructions_per_step", r.instructions_per_step},
          {"cycles_per_instruction", r.instructions_per_step > 0
                                         ? Json(r.cycles_per_step / r.instructions_per_step)
                                         : Json(nullptr)},
          {"cycles_per_turn", r.cycles_per_turn > 0 ? Json(r.cycles_per_turn) : Json(nullptr)},
          {"kernels", std::move(kernels)},
          {"nodes", r.nodes.empty() ? Json(nullptr) : std::move(nodes)},
          {"sram", {{"promised", r.promised_sram.count}, {"written", r.used_sram.count}}},
          {"stack", {{"allowed", r.stack_allowed.count}, {"used", r.stack_used.count}}},
          {"flash",
           {{"promised_parameters", r.promised_parameters.count},
            {"used_parameters", r.used_parameters.count},
            {"used", r.used_flash.count}}},
          {"simulated_cycles_per_second", r.simulated_cycles_per_second}};
}

std::string to_table(const CheckReport& r) {
  std::string text = fmt::format(
      "{}: {} training steps{} on the host and on {}, {}\n", r.name, r.steps,
      r.accumulate > 1 ? fmt::format(" ({} samples to an update)", r.accumulate) : "", r.machine,
      r.mismatch.empty()
          ? fmt::format(
                "every loss and logit{} {} bytes of {} parameter arrays{} the same bits, and "
                "those of the host engine in {} steps",
                r.traced_nodes > 0 ? "," : " and", r.compared.count, r.compared_arrays,
                r.traced_nodes > 0
                    ? fmt::format(" and what each of {} nodes writes", r.traced_nodes)
                    : "",
                r.recorded_steps)
          : r.mismatch);
  text += fmt::format("SRAM   {:>9} written of {} promised; stack {} of {} allowed\n",
                      r.used_sram.count, r.promised_sram.count, r.stack_used.count,
                      r.stack_allowed.count);
  text += fmt::format("flash  {:>9} used, of these {} constants of {} promised\n",
                      r.used_flash.count, r.used_parameters.count, r.promised_parameters.count);
  if (r.cycles_per_step == 0) {
    text += fmt::format("{:>9.0f} instructions a step; an emulator knows no cycles\n",
                        r.instructions_per_step);
    if (r.kernels.empty()) return text;
    text += fmt::format("\n{:<34} {:>17} {:>7} {:>12} {:>17}\n", "kernel", "instructions/step",
                        "share", "MACs/step", "instructions/MAC");
    for (const KernelCycles& k : r.kernels) {
      text += fmt::format("{:<34} {:>17.0f} {:>5.1f} % {:>12} {:>17}\n", k.name, k.instructions,
                          100 * k.instructions / r.instructions_per_step,
                          k.macs ? fmt::format("{:.0f}", *k.macs) : "-",
                          k.macs ? fmt::format("{:.2f}", k.instructions / *k.macs) : "-");
    }
    return text;
  }
  text += fmt::format(
      "cycles {:>9.0f} a step, {:.3f} an instruction; simulated at {:.1f} M a "
      "second\n{}\n",
      r.cycles_per_step, r.cycles_per_step / r.instructions_per_step,
      r.simulated_cycles_per_second / 1e6,
      r.cycles_per_turn > 0
          ? fmt::format(
                "       {:>9.0f} a change of turn, without what flash takes to be written\n",
                r.cycles_per_turn)
          : "");
  text += fmt::format("{:<34} {:>13} {:>7} {:>12} {:>11}\n", "kernel", "cycles/step", "share",
                      "MACs/step", "cycles/MAC");
  for (const KernelCycles& k : r.kernels) {
    text += fmt::format("{:<34} {:>13.0f} {:>5.1f} % {:>12} {:>11}\n", k.name, k.cycles,
                        100 * k.cycles / r.cycles_per_step,
                        k.macs ? fmt::format("{:.0f}", *k.macs) : "-",
                        k.macs ? fmt::format("{:.2f}", k.cycles / *k.macs) : "-");
  }
  return text;
}

}  // namespace espalier::device
