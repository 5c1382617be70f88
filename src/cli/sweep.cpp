// espalier sweep CONFIG: a declared experiment, here, in shards, or on a Slurm cluster.
#include "espalier/study/sweep.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <system_error>

#include "command.hpp"
#include "espalier/study/slurm.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/support/process.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOutlineSchema = "espalier.sweep_outline/1";

struct Options {
  CommonOptions common;
  std::string config;
  std::string out;
  std::string shard;
  std::string engine = "local";
  std::string cache_limit = "2GiB";
  std::vector<std::string> models;  // empty: all
  bool dry_run = false;

  [[nodiscard]] bool slurm() const { return engine == "slurm"; }
};

// A folder that a sweep, or the scripts for one, have begun.
Format sweep_folder() {
  return {"a folder of a sweep", true,
          [](const fs::path& path) {
            std::error_code error;
            return fs::is_directory(path / "trials", error) ||
                   fs::is_directory(path / "slurm", error);
          },
          [](const fs::path& file) {
            const std::set<std::string> results{"sweep.json", "models", "plans", "profiles"};
            const std::string part = file.begin()->string();
            return part == "trials" || part == "slurm" || results.contains(part) ||
                   std::any_of(results.begin(), results.end(),
                               [&](const std::string& name) { return is_kept_name(part, name); });
          }};
}

Result<trials::Shard> parse_shard(const std::string& text) {
  trials::Shard shard;
  if (text.empty()) return shard;
  const std::size_t slash = text.find('/');
  const auto number = [](const std::string& part) -> std::optional<int> {
    const bool digits = !part.empty() && part.size() < 7 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    return digits ? std::optional(std::stoi(part)) : std::nullopt;
  };
  const auto index = number(text.substr(0, slash));
  const auto count = slash == std::string::npos ? std::nullopt : number(text.substr(slash + 1));
  if (!index || !count || *index >= *count) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--shard: '{}' is no shard such as 0/4; they count from 0", text)};
  }
  return trials::Shard{*index, *count};
}

std::string duration(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 5400) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h", seconds / 3600);
}

Status outline(const Options& options, const study::SweepConfig& config,
               const study::SweepOptions& sweep) {
  ESPALIER_TRY(const std::vector<study::SweepGroup> groups, study::outline_sweep(config, sweep));
  std::string text = fmt::format("{:>8} {:>8} {:>9}  what\n", "trials", "stored", "time");
  Json rows = Json::array();
  study::SweepGroup all{"in all", 0, 0, 0, true};
  const auto line = [&](const study::SweepGroup& group) {
    text += fmt::format("{:>8} {:>8} {:>9}  {}\n",
                        fmt::format("{}{}", group.exact ? "" : "~", group.trials), group.stored,
                        duration(group.seconds), group.what);
  };
  for (const study::SweepGroup& group : groups) {
    line(group);
    rows.push_back({{"what", group.what},
                    {"trials", group.trials},
                    {"stored", group.stored},
                    {"seconds", group.seconds},
                    {"exact", group.exact}});
    all.trials += group.trials;
    all.stored += group.stored;
    all.seconds += group.seconds;
    all.exact = all.exact && group.exact;
  }
  line(all);
  if (!all.exact) text += "~: plans that are still to be found are estimated\n";
  print(options.common, text);
  return write_report(options.common,
                      Json{{"schema", kOutlineSchema},
                           {"tool_version", kVersion},
                           {"name", config.name},
                           {"trials", all.trials},
                           {"stored", all.stored},
                           {"seconds", all.seconds},
                           {"exact", all.exact},
                           {"groups", std::move(rows)}},
                      "the same without --dry-run");
}

// What the best plans reached, one line a plan: means over seeds, each numerics and recipe apart.
std::string table(const Json& document) {
  std::string text;
  for (const Json& result : document["results"]) {
    text += fmt::format("{} on {}\n{:<28}{:>14}  test accuracy\n",
                        result["model"]["name"].get<std::string>(),
                        result["dataset"].get<std::string>(), "plan", "extra memory");
    for (const Json& plan : result["plans"]) {
      struct Group {
        std::vector<double> accuracies;  // per cent
        int ran_away = 0;
      };
      std::map<std::string, Group> groups;
      for (const Json& training : plan["trainings"]) {
        const std::string group =
            training["numerics"].get<std::string>() +
            (training.contains("recipe") ? " " + training["recipe"].get<std::string>() : "");
        if (training["diverged"].get<bool>() || training["collapsed"].get<bool>()) {
          ++groups[group].ran_away;
        } else {
          groups[group].accuracies.push_back(training["test_accuracy"].get<double>() * 100);
        }
      }
      for (const auto& [name, group] : groups) {
        const std::vector<double>& values = group.accuracies;
        const contribution::Estimate estimate = contribution::estimate(values);
        const std::string error = estimate.standard_error
                                      ? fmt::format(" +- {:.2f}", *estimate.standard_error)
                                      : std::string();
        const std::string reached =
            values.empty() ? "-" : fmt::format("{:.2f}{} %", estimate.mean, error);
        const std::string lost =
            group.ran_away == 0
                ? ""
                : fmt::format("  ({} of {} diverged or collapsed)", group.ran_away,
                              values.size() + static_cast<std::size_t>(group.ran_away));
        text += fmt::format("{:<28}{:>14}  {}{}{}\n", plan["name"].get<std::string>(),
                            format_bytes(Bytes{plan["analytic_bytes"].get<std::int64_t>()}),
                            reached, lost, groups.size() > 1 ? "  " + name : "");
      }
    }
  }
  return text;
}

// --- Slurm ---

Result<std::string> submit(const std::vector<std::string>& words) {
  ESPALIER_TRY(
      const ProcessResult result,
      run_process(words, fs::current_path(),
                  {.advice = "install Slurm's client programs where jobs are submitted, or "
                             "--dry-run writes the scripts alone"}));
  const std::string id = result.output.substr(0, result.output.find_first_of(";\n"));
  if (result.exit_code != 0 || id.empty()) {
    return Error{ErrorKind::kUsage,
                 fmt::format("sbatch refused the job with exit code {}; its own message says why",
                             result.exit_code)};
  }
  return id;
}

Status run_on_slurm(const Options& options, const study::SweepConfig& config) {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path out = fs::absolute(options.out);
  const fs::path folder = out / "slurm";
  ESPALIER_CHECK_OK(make_folder(folder));
  std::string command =
      fmt::format("{} sweep {} --out {} --cache-limit {}", shell_word(program.string()),
                  shell_word(fs::absolute(options.config).string()), shell_word(out.string()),
                  shell_word(options.cache_limit));
  if (!options.models.empty()) {
    command += " --models " + shell_word(fmt::format("{}", fmt::join(options.models, ",")));
  }
  const study::SlurmScripts scripts =
      study::slurm_scripts(config, command, folder, fs::current_path());
  const fs::path array = folder / "shards.sbatch";
  const fs::path merge = folder / "merge.sbatch";
  ESPALIER_CHECK_OK(write_file_atomic(array, scripts.array));
  ESPALIER_CHECK_OK(write_file_atomic(merge, scripts.merge));
  spdlog::info("wrote {} and {}", array.string(), merge.string());
  if (options.dry_run) {
    spdlog::info("next: sbatch {}, then sbatch --dependency=afterany:ID {}",
                 shell_word(array.string()), shell_word(merge.string()));
    return Ok{};
  }
  ESPALIER_TRY(const std::string id, submit({"sbatch", "--parsable", array.string()}));
  // Also when a task fails for good: the merging job runs what is missing.
  const auto last = submit({"sbatch", "--parsable", "--dependency=afterany:" + id, merge.string()});
  if (!last.ok()) {
    return Error{last.error().kind,
                 fmt::format("{}; array {} is submitted, without the job that merges it: sbatch "
                             "--dependency=afterany:{} {}, or scancel {}",
                             last.error().message(), id, id, shell_word(merge.string()), id)};
  }
  print(options.common,
        fmt::format("array {} of {} shards; merged by job {}\n", id, config.slurm.shards, *last));
  spdlog::info("next: squeue, and when job {} has ended, espalier report {}", *last,
               shell_word(options.out));
  return Ok{};
}

// The configuration with the models that are wanted.
Result<study::SweepConfig> read_config(const Options& options) {
  ESPALIER_TRY(study::SweepConfig config, study::load_sweep_config(options.config));
  if (options.models.empty()) return config;
  if (const Status kept = study::keep_models(config, options.models); !kept.ok()) {
    return Error{kept.error().kind, "--models: " + kept.error().message()};
  }
  return config;
}

Status run(const Options& options) {
  ESPALIER_TRY(const trials::Shard shard, parse_shard(options.shard));
  study::SweepOptions sweep;
  sweep.out = options.out;
  sweep.jobs = options.common.job_count();
  sweep.shard = shard;
  sweep.progress = options.common.progress();
  ESPALIER_TRY(sweep.cache_limit, parse_size(options.cache_limit, "--cache-limit"));
  ESPALIER_TRY(const study::SweepConfig config, read_config(options));
  if (options.slurm()) return run_on_slurm(options, config);
  if (options.dry_run) return outline(options, config, sweep);
  ESPALIER_TRY(const Json document, study::run_sweep(config, sweep));
  if (document.is_null()) {
    spdlog::info("shard {} is done; without --shard the same command writes the results",
                 options.shard);
    return Ok{};
  }
  Outputs outputs;
  outputs.add((fs::path(options.out) / "sweep.json").string(), Ok{});
  print(options.common, table(document));
  write_report(outputs, options.common, document);
  outputs.next(fmt::format("espalier report {} --out report.html", shell_word(options.out)));
  return outputs.status();
}

// What the configuration names, where it can be read; what is wrong with it is said by the run.
std::vector<fs::path> files_read(const Options& options) {
  if (options.config.empty()) return {};
  const Result<study::SweepConfig> config = read_config(options);
  return config.ok() ? study::inputs_of(*config) : std::vector<fs::path>();
}

std::vector<std::string> data_read(const Options& options) {
  std::vector<std::string> specs;
  if (options.config.empty()) return specs;
  const Result<study::SweepConfig> config = read_config(options);
  if (!config.ok()) return specs;
  for (const study::SweepDataset& dataset : config->datasets) {
    specs.push_back(dataset.train);
    specs.push_back(dataset.test);
  }
  return specs;
}

}  // namespace

Command add_sweep(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(
      app, "sweep", "Run a declared experiment: models, data, budgets, plans, seeds", o->common,
      [o] { return json_format(o->dry_run ? kOutlineSchema : study::kSweepResultsSchema); });
  command->add_input("config", o->config, "Configuration (espalier.sweep/1)")->required();
  command->reads([o] { return files_read(*o); });
  command->reads_data([o] { return data_read(*o); });
  command
      ->add_shared_folder("--out", o->out, sweep_folder(),
                          "Folder of trials and results; a sweep that was stopped goes on there")
      ->required();
  command->add_option("--models", o->models, "Only these of the configuration's models, by comma")
      ->delimiter(',')
      ->type_name("NAME");
  command->add_flag("--dry-run", o->dry_run,
                    "List the trials, how many are stored, and the time to expect; with --engine "
                    "slurm write the scripts and submit nothing");
  command->add_option("--shard", o->shard,
                      "Run one of several parts, such as 0/4; the same command without it then "
                      "writes the results");
  command->add_option("--engine", o->engine, "local, or slurm: submit shards as a job array")
      ->check(one_of({"local", "slurm"}))
      ->capture_default_str();
  command
      ->add_option("--cache-limit", o->cache_limit,
                   "Memory for samples at frozen prefixes, inputs included")
      ->capture_default_str();
  const auto here = [o] { return !o->slurm(); };
  command->effective_if(
      "--shard", [o] { return !o->slurm() && !o->dry_run; },
      "--dry-run and --engine slurm speak of all shards");
  command->effective_if(
      "--seed", [] { return false; }, "/training/seeds of the configuration says which");
  command->effective_if(
      "--cache-limit", [o] { return o->slurm() || !o->dry_run; }, "--dry-run trains nothing");
  command->effective_if("--jobs", here, "/slurm/cpus of the configuration says how many");
  command->effective_if(
      "--json", [o] { return !o->slurm() && o->shard.empty(); },
      "results are written by the run without shards");
  command->footer(
      "Example:\n  espalier sweep configs/sweep-embedded.json --out build/sweep\n  espalier report "
      "build/sweep --out build/sweep.html\nMore in docs/sweeps.md");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
