// espalier fit MODEL --train DATA --test DATA --device NAME --out DIR: which plan a board has room
// for, what it reaches and how long a step takes. Runs the commands that answer this one by one.
#include "espalier/device/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "command.hpp"
#include "dispatch.hpp"
#include "espalier/codegen/emit.hpp"
#include "espalier/codegen/target.hpp"
#include "espalier/contribution/profile.hpp"
#include "espalier/cost/device_profile.hpp"
#include "espalier/device/check.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/trials/sets.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

struct Options {
  CommonOptions common;
  DataOptions data;
  std::string model;
  std::string train;
  std::string test;
  std::vector<std::string> devices;
  std::string out;
  std::string stack = "4KiB";
  std::string input = "resident";
  std::string reserve = "16KiB";
  std::string numerics = "simulation";
  train::Recipe recipe;
  std::optional<int> limit_train;  // otherwise as analyze and train have it
  std::optional<int> limit_val;
  int limit_test = 0;
  std::vector<double> ratios{0.25, 1};
};

// What a device turned out to have room for.
struct Fitted {
  cost::DeviceProfile device;
  Bytes budget{0};
  std::string failure;  ///< why there is no plan; empty when there is one
  bool wrong = false;   ///< its program computed otherwise than the host
  Bytes sram{0};
  int bias_depth = 0;
  int weights = 0;
  double accuracy = 0;
  double balanced = 0;                ///< over classes
  std::vector<std::string> warnings;  ///< why the accuracy is doubtful
  std::int64_t updates = 0;           ///< in the steps that were run
  double cycles = 0;                  ///< a step, where a machine counts them
  double instructions = 0;            ///< a step
};

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class Fit {
 public:
  explicit Fit(const Options& options) : o_(options) {}

  Status run() {
    ESPALIER_CHECK_OK(check_options());
    std::vector<cost::DeviceProfile> profiles;
    for (const std::string& name : o_.devices) {
      ESPALIER_TRY(profiles.emplace_back(), cost::find_device(name));
      for (std::size_t i = 0; i + 1 < profiles.size(); ++i) {
        if (profiles[i].name != profiles.back().name) continue;
        return Error{ErrorKind::kUsage,
                     fmt::format("--device: {} and {} are both named {}, and so is the folder of "
                                 "what is found; name each another",
                                 o_.devices[i], name, profiles[i].name)};
      }
    }
    if (!o_.common.force) ESPALIER_CHECK_OK(check_files(profiles));
    ESPALIER_CHECK_OK(check_test_data());
    ESPALIER_CHECK_OK(make_folder(o_.out));
    ESPALIER_CHECK_OK(measure());
    std::vector<Fitted> all;
    for (std::size_t i = 0; i < profiles.size(); ++i) {
      ESPALIER_TRY(all.emplace_back(), fit(o_.devices[i], profiles[i]));
    }
    print(o_.common, table(all));
    Outputs outputs;
    outputs.add(file("fit.json"), write_json(file("fit.json"), document(all)));
    write_report(outputs, o_.common, document(all));
    const bool any = std::ranges::any_of(all, [](const Fitted& f) { return f.failure.empty(); });
    if (any) outputs.next(fmt::format("build the C in {}/on-DEVICE/c into your firmware", o_.out));
    // A program that is wrong is worse news than a report that was not written.
    for (const Fitted& f : all) {
      if (f.wrong) return Error{ErrorKind::kMismatch, f.failure};
    }
    ESPALIER_CHECK_OK(outputs.status());
    if (any) return Ok{};
    return Error{ErrorKind::kInfeasible, all.front().failure};
  }

 private:
  // What only the last steps would find, after all the work of the first.
  [[nodiscard]] Status check_options() const {
    ESPALIER_CHECK_OK(parse_size(o_.stack, "--stack"));
    ESPALIER_CHECK_OK(parse_size(o_.reserve, "--reserve"));
    if (!o_.recipe.qas) {
      return Error{ErrorKind::kUsage,
                   "--no-qas: what is found is compiled, and the device always scales gradients; "
                   "leave it out"};
    }
    return check_recipe(o_.recipe, o_.numerics);
  }

  [[nodiscard]] std::string file(const std::string& name) const {
    return (fs::path(o_.out) / name).string();
  }

  // What is replaced or removed is what an earlier run left, and nothing else.
  [[nodiscard]] Status check_files(const std::vector<cost::DeviceProfile>& profiles) const {
    const std::vector<std::pair<const char*, std::string_view>> of_device{
        {"plan.json", "espalier.plan/1"},
        {"result.json", "espalier.train/1"},
        {"compile.json", "espalier.compile/1"},
        {"check.json", "espalier.check/1"}};
    std::vector<std::pair<fs::path, std::string_view>> files{
        {file("fit.json"), "espalier.fit/1"},
        {file("contributions.json"), contribution::kProfileSchema},
        {file("head-only.json"), "espalier.plan/1"},
        {file("head-only.result.json"), "espalier.train/1"}};
    for (const cost::DeviceProfile& profile : profiles) {
      for (const auto& [name, schema] : of_device) {
        files.emplace_back(folder_of(profile) / name, schema);
      }
    }
    for (const auto& [path, schema] : files) {
      ESPALIER_CHECK_OK(check_replaceable(path, json_format(schema)));
    }
    return Ok{};
  }

  // Its files are read long after those of --train.
  [[nodiscard]] Status check_test_data() const {
    ESPALIER_TRY(const trials::SetOptions options,
                 trials::set_options(o_.data.preprocess, o_.data.classes, o_.data.subset != "first",
                                     o_.common.seed));
    const auto test = trials::open_selected(o_.test, o_.limit_test, options);
    return test.ok() ? Status(Ok{}) : Status(test.error());
  }

  [[nodiscard]] fs::path folder_of(const cost::DeviceProfile& device) const {
    return fs::path(o_.out) / ("on-" + device.name);
  }

  // Runs a command with the flags that all have, and the seed where it is of use.
  [[nodiscard]] Status step(Arguments command, bool seeded = true) const {
    command = command + Arguments{"--jobs", std::to_string(o_.common.jobs)};
    if (seeded) command = command + Arguments{"--seed", std::to_string(o_.common.seed)};
    if (o_.common.quiet) command.emplace_back("--quiet");
    if (o_.common.verbose) command.emplace_back("--verbose");
    if (o_.common.no_progress) command.emplace_back("--no-progress");
    const bool results = o_.common.verbose && !o_.common.json_on_stdout();
    const Status done = run_command(std::move(command), true, results);
    set_log_level(o_.common);  // the command had its own
    return done;
  }

  void say(const std::string& what) const { print(o_.common, what + "\n"); }

  // `limited`: whether a limit takes a part of a set at all.
  [[nodiscard]] Arguments data(bool limited) const {
    Arguments list{
        "--train",
        o_.train,
        "--preprocess",
        o_.data.preprocess,
    };
    if (!o_.data.classes.empty()) list = list + Arguments{"--classes", o_.data.classes};
    if (limited && o_.data.subset != "balanced")
      list = list + Arguments{"--subset", o_.data.subset};
    if (o_.limit_train) list = list + Arguments{"--limit-train", std::to_string(*o_.limit_train)};
    return list;
  }

  [[nodiscard]] Arguments recipe(bool batches) const {
    const train::Recipe& r = o_.recipe;
    Arguments list{"--epochs",      std::to_string(r.epochs),
                   "--lr",          fmt::format("{}", r.learning_rate),
                   "--warmup",      fmt::format("{}", r.warmup_epochs),
                   "--head-epochs", std::to_string(r.head_epochs),
                   "--clip",        std::to_string(r.clip),
                   "--schedule",    std::string(train::schedule_name(r.schedule))};
    if (batches) list = list + Arguments{"--batch", std::to_string(r.batch)};
    return list;
  }

  // What each part gains, and what training the classifier alone reaches.
  Status measure() {
    Arguments ratios{"--ratios"};
    std::string list;
    for (const double ratio : o_.ratios)
      list += (list.empty() ? "" : ",") + fmt::format("{}", ratio);
    ratios.push_back(list);
    say("analyze: what training each part gains");
    ESPALIER_CHECK_OK(step(
        Arguments{"analyze", o_.model} + data(true) + recipe(true) + ratios +
        (o_.limit_val ? Arguments{"--limit-val", std::to_string(*o_.limit_val)} : Arguments{}) +
        Arguments{"--numerics", o_.numerics, "--out", file("contributions.json")}));
    ESPALIER_CHECK_OK(
        step({"plan", "make", o_.model, "--head-only", "--out", file("head-only.json")}, false));
    ESPALIER_CHECK_OK(train(file("head-only.json"), file("head-only.result.json")));
    ESPALIER_TRY(const Json result, read_json(file("head-only.result.json"), "espalier.train/1"));
    ESPALIER_TRY(head_only_,
                 json_field<double>(result, "test_accuracy", file("head-only.result.json")));
    class_names_ = result.at("data").at("train").at("class_names");
    return Ok{};
  }

  Status train(const std::string& plan, const std::string& result) const {
    const bool device = o_.numerics != "simulation";
    return step(
        Arguments{"train", o_.model, "--plan", plan, "--test", o_.test, "--limit-test",
                  std::to_string(o_.limit_test), "--numerics", o_.numerics, "--json", result} +
        data(o_.limit_train.has_value() || o_.limit_test > 0) + recipe(!device) +
        (device ? Arguments{"--accumulate", std::to_string(o_.recipe.batch)} : Arguments{}));
  }

  // Of the program on the device; a simulation stands for float gradients.
  [[nodiscard]] std::string compiled_numerics() const {
    return o_.numerics == "integer" ? "integer" : "device";
  }

  // Samples to an update of that program; a simulation stands for one.
  [[nodiscard]] std::string accumulate() const { return std::to_string(samples()); }
  [[nodiscard]] int samples() const { return o_.numerics == "simulation" ? 1 : o_.recipe.batch; }

  // What integer gradients start from: no functions for pixels come with the preprocessing.
  [[nodiscard]] Arguments calibration() const {
    if (o_.numerics != "integer") return {};
    return {"--train", o_.train, "--train-preprocess", o_.data.preprocess};
  }

  // What an earlier run left, which the plan of this one would lie beside. What the user has put
  // next to the C stays.
  static void remove_old(const fs::path& folder) {
    std::error_code ignored;
    for (const char* name : {"plan.json", "result.json", "compile.json", "check.json"}) {
      fs::remove(folder / name, ignored);
    }
    const fs::path c = folder / "c";
    const Result<Json> program = read_json(c / "program.json", "espalier.program/1");
    if (!program.ok()) return;
    for (const std::string& name : codegen::file_names(program->value("name", ""))) {
      fs::remove(c / name, ignored);
    }
    fs::remove(c, ignored);  // unless there is more in it
  }

  // `given`: the device as --device names it.
  Result<Fitted> fit(const std::string& given, const cost::DeviceProfile& device) const {
    Fitted fitted;
    fitted.device = device;
    const fs::path folder = folder_of(device);
    remove_old(folder);
    ESPALIER_TRY(const Bytes stack, parse_size(o_.stack, "--stack"));
    ESPALIER_TRY(const Bytes reserve, parse_size(o_.reserve, "--reserve"));
    fitted.budget = Bytes{device.sram.count - stack.count - reserve.count};
    const Result<Bytes> left = device::left_for_training(device, stack, reserve);
    if (!left.ok()) {
      fitted.failure = left.error().message();
      return fitted;
    }
    say(fmt::format("{}: search within {}, train, compile, check", device.name,
                    format_bytes(fitted.budget)));
    ESPALIER_CHECK_OK(make_folder(folder));
    const auto file = [&](const char* name) { return (folder / name).string(); };
    const Status found = step(
        {"search", this->file("contributions.json"), "--model", o_.model, "--memory", "planned",
         "--budget", fmt::format("{}B", fitted.budget.count), "--numerics", compiled_numerics(),
         "--input", o_.input, "--accumulate", accumulate(), "--out", file("plan.json")});
    if (!found.ok()) {
      if (found.error().kind != ErrorKind::kInfeasible) return found.error();
      fitted.failure = device.name + ": " + found.error().message();
      return fitted;
    }
    const Status trained = train(file("plan.json"), file("result.json"));
    if (!trained.ok()) {
      // One that ran away says nothing about other devices.
      const Result<Json> result = read_json(file("result.json"), "espalier.train/1");
      const bool diverged = trained.error().message().find("diverged") != std::string::npos;
      if (!diverged || !result.ok() || !result->value("diverged", false)) return trained.error();
      fitted.failure = device.name + ": " + trained.error().message();
      return fitted;
    }
    const Status compiled =
        step(Arguments{"compile",      o_.model,
                       "--plan",       file("plan.json"),
                       "--device",     given,
                       "--head",       "fresh",  // as it was trained
                       "--stack",      o_.stack,
                       "--lr",         fmt::format("{}", o_.recipe.learning_rate),
                       "--clip",       std::to_string(o_.recipe.clip),
                       "--accumulate", accumulate(),
                       "--numerics",   compiled_numerics(),
                       "--input",      o_.input,
                       "--out",        file("c"),
                       "--json",       file("compile.json"),
                       "--force"} +
             calibration());
    if (!compiled.ok()) {
      if (compiled.error().kind != ErrorKind::kInfeasible) return compiled.error();
      fitted.failure = compiled.error().diagnostics.front();  // what is alive at the peak follows
      return fitted;
    }
    ESPALIER_CHECK_OK(read(folder, fitted));
    ESPALIER_CHECK_OK(time(folder, given, fitted));
    return fitted;
  }

  static Status read(const fs::path& folder, Fitted& fitted) {
    ESPALIER_TRY(const Json plan, read_json(folder / "plan.json", "espalier.plan/1"));
    ESPALIER_TRY(const Json result, read_json(folder / "result.json", "espalier.train/1"));
    ESPALIER_TRY(const Json compile, read_json(folder / "compile.json", "espalier.compile/1"));
    ESPALIER_TRY(const auto depth, json_field<std::int64_t>(plan, "bias_depth", "plan.json"));
    ESPALIER_TRY(const auto sram, json_field<std::int64_t>(compile, "sram_bytes", "compile.json"));
    fitted.bias_depth = static_cast<int>(depth);
    fitted.weights = static_cast<int>(plan.at("weights").size());
    fitted.sram = Bytes{sram};
    ESPALIER_TRY(fitted.accuracy, json_field<double>(result, "test_accuracy", "result.json"));
    ESPALIER_TRY(fitted.balanced,
                 json_field<double>(result, "test_balanced_accuracy", "result.json"));
    fitted.warnings = result.at("warnings").get<std::vector<std::string>>();
    return Ok{};
  }

  // By running a step, or the few that make an update, where there is a machine for it and its
  // tools are installed.
  Status time(const fs::path& folder, const std::string& given, Fitted& fitted) const {
    const codegen::Target* target = codegen::find_target(fitted.device.target);
    if (target == nullptr || target->machine == "host") return Ok{};
    const std::string report = (folder / "check.json").string();
    const int steps = samples() <= device::kMostUsualSteps ? samples() : 1;
    const Status checked = step({"check", (folder / "c").string(), "--device", given, "--stack",
                                 o_.stack, "--steps", std::to_string(steps), "--json", report});
    if (!checked.ok()) return judge(checked.error(), fitted);
    ESPALIER_TRY(const Json json, read_json(report, "espalier.check/1"));
    ESPALIER_TRY(fitted.updates, json_field<std::int64_t>(json, "updates", report));
    ESPALIER_TRY(fitted.cycles, json_field<double>(json, "cycles_per_step", report));
    ESPALIER_TRY(fitted.instructions, json_field<double>(json, "instructions_per_step", report));
    return Ok{};
  }

  // Of a program that was not timed. A compiler or an address that is missing says nothing about
  // the plan, a program that does not go onto the board or computes otherwise there does; neither
  // says anything about other boards.
  static Status judge(const Error& error, Fitted& fitted) {
    switch (error.kind) {
      case ErrorKind::kBadInput:
      case ErrorKind::kMissingInput:
        fitted.warnings.push_back("not timed: " + error.message());
        return Ok{};
      case ErrorKind::kMismatch:
        fitted.wrong = true;
        [[fallthrough]];
      case ErrorKind::kInfeasible:
        fitted.failure = fmt::format("{}: {}", fitted.device.name, error.diagnostics.front());
        return Ok{};
      default:
        return error;
    }
  }

  // A step's time: of cycles with an update among them what it is, otherwise what it is at least.
  static std::optional<double> milliseconds(const Fitted& f) {
    const double count = f.cycles > 0 ? f.cycles : f.instructions;
    if (count == 0) return std::nullopt;
    return 1e3 * count / static_cast<double>(f.device.clock_hz);
  }

  [[nodiscard]] std::string table(const std::vector<Fitted>& all) const {
    std::string text = fmt::format("\n{:<14} {:>11} {:>11}  {:<26} {:>8}  {}\n", "device", "budget",
                                   "SRAM", "plan", "test", "a step");
    for (const Fitted& f : all) {
      if (!f.failure.empty()) {
        text += fmt::format("{:<14} {:>11} {:>11}  {}: {}\n", f.device.name, format_bytes(f.budget),
                            "-", f.wrong ? "wrong" : "no plan", f.failure);
        continue;
      }
      const std::optional<double> ms = milliseconds(f);
      const std::string time = !ms ? "-"
                                   : fmt::format("{}{:.1f} ms at {} MHz",
                                                 f.cycles > 0 && f.updates > 0 ? "" : "at least ",
                                                 *ms, f.device.clock_hz / 1000000);
      text += fmt::format("{:<14} {:>11} {:>11}  {:<26} {:>6.2f} %  {}\n", f.device.name,
                          format_bytes(f.budget), format_bytes(f.sram),
                          fmt::format("{} biases, weights of {}", f.bias_depth, f.weights),
                          100 * f.accuracy, time);
    }
    text += fmt::format("{:<14} {:>11} {:>11}  {:<26} {:>6.2f} %\n", "anywhere", "", "",
                        "classifier alone", 100 * head_only_);
    for (const Fitted& f : all) {
      for (const std::string& warning : f.warnings) {
        text += fmt::format("{}: {}\n", f.device.name, warning);
      }
    }
    return text;
  }

  [[nodiscard]] Json document(const std::vector<Fitted>& all) const {
    Json devices = Json::array();
    for (const Fitted& f : all) {
      const bool fits = f.failure.empty();
      const std::optional<double> ms = milliseconds(f);
      devices.push_back(
          {{"device", f.device.name},
           {"budget_bytes", f.budget.count},
           {"failure", fits ? Json(nullptr) : Json(f.failure)},
           {"sram_bytes", fits ? Json(f.sram.count) : Json(nullptr)},
           {"bias_depth", fits ? Json(f.bias_depth) : Json(nullptr)},
           {"weights", fits ? Json(f.weights) : Json(nullptr)},
           {"test_accuracy", fits ? Json(f.accuracy) : Json(nullptr)},
           {"test_balanced_accuracy", fits ? Json(f.balanced) : Json(nullptr)},
           {"warnings", f.warnings},
           {"updates", ms ? Json(f.updates) : Json(nullptr)},
           {"cycles_per_step", f.cycles > 0 ? Json(f.cycles) : Json(nullptr)},
           {"instructions_per_step", f.instructions > 0 ? Json(f.instructions) : Json(nullptr)},
           {"milliseconds_per_step", ms ? Json(*ms) : Json(nullptr)}});
    }
    return {{"schema", "espalier.fit/1"},
            {"tool_version", kVersion},
            {"class_names", class_names_},
            {"head_only_accuracy", head_only_},
            {"devices", std::move(devices)}};
  }

  const Options& o_;
  double head_only_ = 0;
  Json class_names_;
};

bool is_ours(std::string_view name) {
  return name == "fit.json" || name.starts_with("contributions.") ||
         name.starts_with("head-only.") || name.starts_with("on-");
}

}  // namespace

Command add_fit(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command =
      add_command(app, "fit", "Find what a board has room for and what it reaches", o->common,
                  "espalier.fit/1");
  command->reads([o] {
    std::vector<fs::path> files;
    for (const std::string& device : o->devices) {
      if (fs::path(device).has_extension()) files.emplace_back(device);
    }
    return files;
  });
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_data("--train", o->train, kDataForms)->required();
  command->add_data("--test", o->test, "Data to measure accuracy on")->required();
  command
      ->add_option("--device", o->devices,
                   "Devices, by name (see espalier devices) or profile, by comma")
      ->delimiter(',')
      ->required();
  command
      ->add_output(
          "--out", o->out, [] { return folder_format("a folder of espalier fit", is_ours); },
          "Folder for everything that is found")
      ->required();
  command->add_option("--stack", o->stack, "SRAM for the stack")->capture_default_str();
  command->add_option("--reserve", o->reserve, "SRAM for the rest of the firmware")
      ->capture_default_str();
  command
      ->add_option("--input", o->input,
                   "Of the program: resident, or by rows, which has no buffer of it")
      ->check(one_of({"resident", "rows"}))
      ->capture_default_str();
  command
      ->add_option(
          "--numerics", o->numerics,
          "Of the final training: simulation, or that of the device, with gradients in float "
          "(device) or in int8 (integer)")
      ->check(one_of({"simulation", "device", "integer"}))
      ->capture_default_str();
  command->add_option("--ratios", o->ratios, "Shares of input channels to measure")
      ->delimiter(',')
      ->capture_default_str();
  command
      ->add_option("--limit-train", o->limit_train,
                   fmt::format("Training samples; 0 = all [all, of the analysis up to {}]",
                               trials::kUsualTraining))
      ->check(at_least_0());
  command
      ->add_option("--limit-val", o->limit_val,
                   fmt::format("Validation samples, set aside from --train; 0 = a third of it "
                               "[up to {}]",
                               trials::kUsualValidation))
      ->check(at_least_0());
  command->add_option("--limit-test", o->limit_test, "Test samples; 0 = all")
      ->check(at_least_0())
      ->capture_default_str();
  add_recipe_options(command, o->recipe);
  o->data.add_to(command);
  command->footer(
      "Example:\n  espalier fit model.onnx --train cifar10:train.bin --test cifar10:test.bin \\\n"
      "    --device stm32f746,rp2040 --out fit\n"
      "Runs analyze, search, train, compile and check. Next: the C in DIR/on-DEVICE/c");
  return {command, [o] { return Fit(*o).run(); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
