#include "dispatch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "command.hpp"
#include "espalier/kernels/choice.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

// The subcommand that was chosen, at the deepest level.
const CLI::App* chosen(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

std::string full_name(const CLI::App* command) {
  if (command->get_parent() == nullptr) return command->get_name();
  return full_name(command->get_parent()) + " " + command->get_name();
}

constexpr const char* kFooter =
    R"(Order of work:
  inspect    what a model holds               model.onnx
  analyze    what training each part gains    -> contributions.json
  search     the best plan under a budget     -> plan.json  (or plan make, plan import)
  train      what the plan reaches            -> result.json, tuned.onnx
  compile    C that trains on the device      -> firmware/
  check      that C on the simulated core, or on an emulated board
  fit        all of these for the boards you have
  report     all of it as one page            -> report.html
  sweep      many models, budgets and seeds, from a configuration

Example:
  espalier analyze model.onnx --train cifar10:train.bin --out contributions.json
  espalier search contributions.json --model model.onnx --budget 100KiB --out plan.json
  espalier train model.onnx --plan plan.json --train cifar10:train.bin --test cifar10:test.bin
  espalier compile model.onnx --plan plan.json --target rv32imf --out firmware
  espalier check firmware
espalier COMMAND --help shows the options of a command.

Exit codes: 0 done, 2 usage, 3 no feasible plan, 4 verification mismatch, 65 bad input data,
66 input missing, 70 internal, 73 cannot write, 130 interrupted with state saved)";

// Runs a command whose options are understood: nothing is written before every output is claimed.
Status run(const Command& command, const CLI::App* parsed) {
  const auto* app = dynamic_cast<const CommandApp*>(parsed);
  set_log_level(*command.common);
  ESPALIER_CHECK_OK(app->check_values());
  ESPALIER_CHECK_OK(app->check_effects());
  if (command.common->print_config) {
    std::fputs(config_text(app).c_str(), stdout);
    return Ok{};
  }
  ESPALIER_CHECK_OK(kernels::check_chosen_kernels());
  ESPALIER_TRY(const std::vector<FileLock> locks, app->claim_outputs(command.common->force));
  return command.run();
}

}  // namespace

Status run_command(std::vector<std::string> arguments, bool nested, bool results) {
  CLI::App app{"Decides which parts of a pre-trained int8 network learn on a microcontroller"};
  app.name("espalier");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(kVersion));
  app.footer(kFooter);
  app.formatter(std::make_shared<HelpFormatter>());
  const std::vector<Command> commands{add_inspect(app), add_analyze(app), add_search(app),
                                      add_plan(app),    add_train(app),   add_evaluate(app),
                                      add_compile(app), add_check(app),   add_fit(app),
                                      add_devices(app), add_sweep(app),   add_report(app)};
  try {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(std::move(arguments));
  } catch (const CLI::Success& success) {
    app.exit(success);
    return Ok{};
  } catch (const CLI::FileError& error) {
    return Error{ErrorKind::kMissingInput, error.what()};
  } catch (const CLI::Error& error) {
    const CLI::App* command = chosen(app);
    const std::string what = explain(error, *command);
    return Error{ErrorKind::kUsage, what + (what.ends_with('?') ? " See " : "; see ") +
                                        full_name(command) + " --help"};
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    command.common->nested = nested;
    command.common->results = results;
    return run(command, chosen(app));
  }
  return Error{ErrorKind::kInternal, "no command was chosen"};
}

}  // namespace espalier::cli
