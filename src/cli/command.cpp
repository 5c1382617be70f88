#include "command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "config_file.hpp"
#include "espalier/data/preprocess.hpp"
#include "espalier/data/sanity.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/support/file.hpp"
#include "espalier/train/session.hpp"

namespace espalier::cli {
namespace {

// Another option was given with which this one, which was not, cannot stand.
bool is_excluded(const CLI::Option* option) {
  const std::set<CLI::Option*> others = option->get_excludes();
  return option->empty() && std::any_of(others.begin(), others.end(),
                                        [](const CLI::Option* other) { return !other->empty(); });
}

// Sets the options that a configuration file names and the command line does not. Fails as CLI11
// does, by throwing.
void apply_config(CommandApp* command, const std::string& path) {
  const Result<std::string> text = read_file(path);
  if (!text.ok()) throw CLI::FileError(text.error().message(), CLI::ExitCodes::FileError);
  const auto fail = [](const std::string& why) {
    throw CLI::ConfigError(why, CLI::ExitCodes::ConfigError);
  };
  const Result<std::vector<ConfigItem>> items = parse_config(*text, path);
  if (!items.ok()) fail(items.error().message());
  for (const ConfigItem& item : *items) {
    CLI::Option* option = command->get_option_no_throw("--" + item.name);
    if (option == nullptr || !option->get_configurable()) {
      // An argument without dashes, which may have the name of an option that no file sets.
      CLI::Option* argument = command->get_option_no_throw(item.name);
      if (argument != nullptr) option = argument;
    }
    if (option == nullptr || !option->get_configurable()) {
      const std::string meant = option == nullptr ? nearest_option(*command, item.name) : "";
      fail(fmt::format("{}:{}: '{}' is not an option of this command{}", path, item.line, item.name,
                       meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
    }
    const bool flag = option->get_expected_min() == 0;
    if (!item.values && !flag) {
      fail(fmt::format("{}:{}: '{}' has no value; write {}=VALUE", path, item.line, item.name,
                       item.name));
    }
    if (!option->empty()) continue;
    const std::vector<std::string> values = item.values.value_or(std::vector<std::string>{"true"});
    if (flag && values.size() == 1) {
      option->add_result(option->get_flag_value(item.name, values.front()));
    } else {
      option->add_result(values);
    }
    option->run_callback();
    command->set_by_file(option);
  }
}

}  // namespace

int CommonOptions::job_count() const {
  if (jobs > 0) return jobs;
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

ProgressOptions CommonOptions::progress() const {
  ProgressOptions options = default_progress();
  options.enabled = options.enabled && !quiet && !no_progress;
  return options;
}

CommandApp* add_command(CLI::App& app, const std::string& name, const std::string& description,
                        CommonOptions& common, std::string_view schema) {
  return add_command(app, name, description, common,
                     [schema = std::string(schema)] { return json_format(schema); });
}

CommandApp* add_command(CLI::App& app, const std::string& name, const std::string& description,
                        CommonOptions& common, std::function<Format()> report) {
  const auto command = std::make_shared<CommandApp>(description, name);
  app.add_subcommand(command);
  command->formatter(app.get_formatter());
  command->option_defaults()->group("Common options");
  command->get_help_ptr()->group("Common options");
  command->add_option("--seed", common.seed, "Seed of every random choice")
      ->check(between(0, kMaxSeed))
      ->capture_default_str();
  command->add_option("--jobs", common.jobs, "Threads; 0 = one per processor. Results are the same")
      ->check(between(0, 1024))
      ->capture_default_str();
  command
      ->add_output("--json", common.json, std::move(report),
                   "Write the report as JSON to PATH, or - for stdout")
      ->type_name("PATH|-");
  command->add_flag("--force", common.force,
                    "Replace an output that is an input, or something else than will be written");
  command->add_flag("--quiet", common.quiet, "Print errors only");
  command->add_flag("-v,--verbose", common.verbose, "Print more");
  command->effective_if(
      "--verbose", [&common] { return !common.quiet; }, "leave --quiet out");
  command->add_flag("--no-progress", common.no_progress, "Never show a progress line");
  command->reads([&common] { return std::vector<std::filesystem::path>{common.config}; });
  command
      ->add_option_function<std::string>(
          "--config",
          [app = command.get(), &common](const std::string& path) {
            common.config = path;
            apply_config(app, path);
          },
          "Read options from a file of option=value lines; the command line goes before it")
      ->type_name("FILE")
      ->configurable(false);
  command
      ->add_flag("--print-config", common.print_config,
                 "Print the options in effect as a configuration file and stop")
      ->configurable(false);
  command->option_defaults()->group("Options");
  return command.get();
}

std::string config_text(const CommandApp* command) {
  std::string text;
  for (const CLI::Option* option : command->get_options()) {
    if (!option->get_configurable() || !command->effective(option)) continue;
    if (command->is_decided_by_file(option) || is_excluded(option)) continue;
    std::vector<std::string> values = option->reduced_results();
    const std::string& usual = option->get_default_str();
    if (values.empty() && usual.starts_with('[')) {  // a list, as it is written there
      text += option->get_single_name() + '=' + usual + '\n';
      continue;
    }
    if (values.empty()) values = {usual};
    if (values == std::vector<std::string>{""}) {
      if (option->get_expected_min() > 0) continue;  // a text that was not given
      values = {"false"};
    }
    text += config_line(option->get_single_name(), values);
  }
  return text;
}

void set_log_level(const CommonOptions& common) {
  spdlog::set_level(common.quiet     ? spdlog::level::err
                    : common.verbose ? spdlog::level::debug
                    : common.nested  ? spdlog::level::warn
                                     : spdlog::level::info);
}

void print(const CommonOptions& common, const std::string& text) {
  if (common.quiet || !common.results || common.json_on_stdout()) return;
  Progress::clear_line();
  std::fputs(text.c_str(), stdout);
}

void Outputs::add(const std::string& path, const Status& written) {
  if (written.ok()) {
    if (!path.empty() && path != "-") spdlog::info("wrote {}", path);
  } else if (failure_) {
    failure_->diagnostics.insert(failure_->diagnostics.end(), written.error().diagnostics.begin(),
                                 written.error().diagnostics.end());
  } else {
    failure_ = written.error();
  }
}

void Outputs::next(const std::string& advice) const {
  if (!failure_) spdlog::info("next: {}", advice);
}

std::string file_word(const std::string& file, const std::string& otherwise) {
  return file.empty() || file == "-" ? otherwise : shell_word(file);
}

Status Outputs::status() const {
  if (failure_) return *failure_;
  return Ok{};
}

void write_report(Outputs& outputs, const CommonOptions& common, const Json& document) {
  if (!common.json.empty()) outputs.add(common.json, write_json(common.json, document));
}

Status write_report(const CommonOptions& common, const Json& document, const std::string& next) {
  Outputs outputs;
  write_report(outputs, common, document);
  outputs.next(next);
  return outputs.status();
}

std::vector<std::filesystem::path> table_files(const std::string& preprocess) {
  const std::string_view table = data::table_file(preprocess);
  return table.empty() ? std::vector<std::filesystem::path>()
                       : std::vector<std::filesystem::path>{table};
}

void add_preprocess_option(CommandApp* command, std::string& preprocess) {
  command->reads([&preprocess] { return table_files(preprocess); });
  command
      ->add_option("--preprocess", preprocess,
                   "auto, or items such as resize=147,crop=128,lut=FILE,mean=..,std=..,identity")
      ->capture_default_str();
}

void add_subset_option(CommandApp* command, std::string& subset) {
  command
      ->add_option("--subset", subset,
                   "How limits take samples: balanced over classes by the seed, or the first")
      ->check(one_of({"balanced", "first"}))
      ->capture_default_str();
}

void DataOptions::add_to(CommandApp* command) {
  add_preprocess_option(command, preprocess);
  command->add_option("--classes", classes,
                      "Keep these classes only, in this order: names or numbers, such as cat,dog "
                      "or 0,2-4");
  add_subset_option(command, subset);
}

Result<trials::SetOptions> DataOptions::sets(std::uint64_t seed) const {
  return trials::set_options(preprocess, classes, subset != "first", seed);
}

Result<ir::Graph> read_model(const std::filesystem::path& path) {
  Result<ir::Graph> graph = import_model(path);
  if (!graph.ok()) return graph;
  for (const std::string& doubt : model_doubts(*graph)) spdlog::warn("{}", doubt);
  return graph;
}

std::optional<std::string> positions_doubt(const ir::Graph& graph, const data::ClassNames& names,
                                           const std::string& what) {
  if (!graph.head.class_names.empty() || data::counts_up(names)) return std::nullopt;
  return fmt::format(
      "{} does not say the names of its classes: those of {} are taken for them in order, {}",
      graph.name, what, data::class_list(names));
}

std::vector<std::string> warn_of_data(const data::Samples& training, const data::Samples& test) {
  std::vector<std::string> all = data::set_doubts(training, test);
  for (const std::string& doubt : all) spdlog::warn("{}", doubt);
  return all;
}

CLI::Option* add_numerics(CommandApp* command, std::string& numerics) {
  return command
      ->add_option("--numerics", numerics,
                   "Of trainings: simulation (fp32 master weights), or what the emitted C does, a "
                   "batch being the samples of an update: device (gradients in float) or integer "
                   "(in int8)")
      ->check(one_of({"simulation", "device", "integer"}))
      ->capture_default_str();
}

void add_gradient_bits(CommandApp* command, int& bits) {
  command->add_option("--gradient-bits", bits, "Integer numerics: 8, or 16 for twice the memory")
      ->check(one_of({"8", "16"}))
      ->capture_default_str();
}

void add_recipe_options(CommandApp* command, train::Recipe& recipe, bool* automatic) {
  command->add_option("--epochs", recipe.epochs, "Passes over the training set")
      ->capture_default_str();
  command->add_option("--batch", recipe.batch, "Samples per step")->capture_default_str();
  const std::string rate = "Peak learning rate for a batch of 256, scaled to the batch";
  if (automatic == nullptr) {
    command->add_option("--lr", recipe.learning_rate, rate)->capture_default_str();
  } else {
    command
        ->add_option_function<std::string>(
            "--lr",
            [&recipe, automatic](const std::string& text) {
              *automatic = text == "auto";
              if (!*automatic && !CLI::detail::lexical_cast(text, recipe.learning_rate)) {
                throw CLI::ValidationError("--lr", text + " is neither a number nor auto");
              }
            },
            rate + "; auto: the best of short trainings on a part of the training data")
        ->default_str(fmt::format("{}", recipe.learning_rate));
  }
  command->add_option("--warmup", recipe.warmup_epochs, "Epochs of linear rise before the cosine")
      ->capture_default_str();
  command
      ->add_option("--head-epochs", recipe.head_epochs,
                   "Of the epochs, the first so many train the classifier alone, at the peak rate")
      ->capture_default_str();
  command
      ->add_option("--clip", recipe.clip,
                   "Largest change of a weight by one update, in int8 steps, and of a bias, in 32 "
                   "of its units: bears higher rates; 0 = any")
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--schedule",
          [&recipe](const std::string& name) {
            recipe.schedule = train::schedule_of(name, "--schedule").value();
          },
          "standard; published: a rise from rate 0 and a cosine that does not reach it; constant: "
          "the peak behind the warm-up, as firmware that knows no end")
      ->check(one_of({"standard", "published", "constant"}))
      ->default_str("standard");
  command->add_flag_callback(
      "--no-qas", [&recipe] { recipe.qas = false; }, "Train without quantisation-aware scaling");
}

Status check_recipe(const train::Recipe& recipe, const std::string& numerics) {
  if (numerics != "simulation") ESPALIER_CHECK_OK(train::check_on_device(recipe));
  return train::check(recipe);
}

void recipe_is_of_file(CommandApp* command, const std::string& file, bool always) {
  command->decided_by_file(
      {"--epochs", "--batch", "--lr", "--warmup", "--head-epochs", "--clip", "--schedule"},
      always ? file : file + ", or {}");
  command->decided_by_file({"--no-qas"}, file);
}

train::Recipe with_given_options(const CommandApp* command, train::Recipe found,
                                 const train::Recipe& given) {
  const auto take = [&](const char* option, auto member) {
    if (command->count(option) > 0) found.*member = given.*member;
  };
  take("--epochs", &train::Recipe::epochs);
  take("--batch", &train::Recipe::batch);
  take("--lr", &train::Recipe::learning_rate);
  take("--warmup", &train::Recipe::warmup_epochs);
  take("--head-epochs", &train::Recipe::head_epochs);
  take("--clip", &train::Recipe::clip);
  take("--schedule", &train::Recipe::schedule);
  take("--no-qas", &train::Recipe::qas);
  return found;
}

void tell_of_updates(const train::Recipe& of_plan, int accumulate) {
  if (accumulate == of_plan.batch) return;
  spdlog::info("the plan's updates are of {} samples, here of {}: --accumulate gives another",
               of_plan.batch, accumulate);
}

Result<Bytes> parse_size(const std::string& text, const std::string& what) {
  Result<Bytes> size = parse_bytes(text);
  if (size.ok()) return size;
  return Error{size.error().kind, fmt::format("{}: {}", what, size.error().message())};
}

std::optional<double> seconds_of(const std::string& text) {
  constexpr double kMost = 1e6;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  const std::map<std::string, double> units{{"s", 1}, {"min", 60}, {"h", 3600}};
  const auto unit = units.find(std::string(parsed.ptr, end));
  if (parsed.ec != std::errc() || !(number > 0) || number > kMost || unit == units.end()) {
    return std::nullopt;
  }
  return number * unit->second;
}

Result<std::vector<int>> parse_int_list(const std::string& text, const std::string& what) {
  const auto fail = [&] {
    return Error{ErrorKind::kUsage,
                 fmt::format("{} '{}' is not a list of integers such as 1,2,5-8", what, text)};
  };
  std::vector<int> values;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc() || first < 0) return fail();
    int last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc() || last < first || last - first > 100000) return fail();
    }
    for (int v = first; v <= last; ++v) values.push_back(v);
    if (parsed.ptr == end) return values;
    if (*parsed.ptr != ',') return fail();
    at = parsed.ptr + 1;
  }
}

void HeadOptions::add_classes(CommandApp* command) {
  command
      ->add_option("--classes", classes,
                   "Classes of the classifier; 0 = those of the data that plan or profile was made "
                   "for, or the model's own where it does not say")
      ->check(between(0, 32767));
}

void HeadOptions::add_to(CommandApp* command) {
  add_classes(command);
  command->add_option("--head", start, "Start of the classifier: fresh, keep, or auto")
      ->check(one_of({"fresh", "keep", "auto"}))
      ->capture_default_str();
}

Result<ir::Head> HeadOptions::make(const ir::Graph& graph, std::uint64_t seed,
                                   const std::string& document, int known,
                                   const data::ClassNames& names) const {
  if (classes > 0) {
    const data::ClassNames same = classes == known ? names : data::ClassNames();
    ESPALIER_TRY(ir::Head head, starting_head(graph, start, classes, seed, "--classes", same));
    if (known > 0 && known != classes) {
      spdlog::warn("--classes {}: {} was made for data of {} classes", classes, document, known);
    }
    return head;
  }
  if (known > 0) return starting_head(graph, start, known, seed, document, names);
  // One that is kept has its own, whatever the data.
  if (start != "keep") {
    spdlog::warn(
        "{} does not say how many classes its data has: taken are the model's own {}; give "
        "--classes",
        document, graph.head.classes);
  }
  return starting_head(graph, start, graph.head.classes, seed, document);
}

Result<ir::Head> starting_head(const ir::Graph& graph, const std::string& start, int classes,
                               std::uint64_t seed, std::string_view who,
                               const data::ClassNames& names) {
  if (start == "keep" && graph.head.classes != classes) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--head keep: the model has {} classes, {} says {}; use --head fresh",
                             graph.head.classes, who, classes)};
  }
  const data::ClassNames& own = graph.head.class_names;
  bool fits = graph.head.classes == classes;
  bool by_name = false;
  if (fits && start != "fresh" && !own.empty() && !names.empty()) {
    const auto same = data::match_classes(names, who, own, graph.name);
    if (!same.ok() && start == "keep") {
      return Error{ErrorKind::kUsage,
                   fmt::format("--head keep: the model has {}; {} has {}; use --head fresh",
                               data::class_list(own), who, data::class_list(names))};
    }
    if (!same.ok()) {
      spdlog::warn("the model's classifier is of {}; {} has {}: a fresh one begins",
                   data::class_list(own), who, data::class_list(names));
    }
    fits = same.ok();
    by_name = same.ok() && !same->by_position;
  }
  const bool kept = start != "fresh" && fits;
  // Where a model does not say the names of its classes, they are known by their numbers.
  const data::ClassNames said = kept && own.empty() ? data::in_number_order(names) : names;
  if (kept) {
    const auto doubt = positions_doubt(graph, said, std::string(who));
    if (doubt) spdlog::warn("{}", *doubt);
  }
  ir::Head head = kept ? graph.head : train::fresh_head(graph.head.features, classes, seed);
  // Numbers stand for names that were not known, unless they are the names of the other side, too.
  if (kept && by_name) return head;
  const data::ClassNames& numbers = data::numbered(head.class_names) ? head.class_names : names;
  if (kept && !names.empty() && !data::counts_up(numbers)) {
    spdlog::warn("{} has {}, and {} has {}: these are taken for the former in order", graph.name,
                 data::class_list(head.class_names), who, data::class_list(names));
  }
  if (head.class_names.empty() || (data::numbered(head.class_names) && !names.empty())) {
    head.class_names = said;
  }
  return head;
}

}  // namespace espalier::cli
