#include "command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <sstream>
#include <thread>

#include "espalier/ir/input.hpp"
#include "espalier/support/file.hpp"
#include "espalier/train/session.hpp"

namespace espalier::cli {
namespace {

// Every reader of JSON holds integers up to 2^53 - 1 exactly.
constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 53) - 1;

// Sets the options that a configuration file names and the command line does not. CLI11 reads such
// a file for the program as a whole only, not for a subcommand. Fails as CLI11 does, by throwing.
void apply_config(CLI::App* command, const std::string& path) {
  const Result<std::string> text = read_file(path);
  if (!text.ok()) throw CLI::FileError(text.error().message(), CLI::ExitCodes::FileError);
  std::istringstream stream(*text);
  const CLI::ConfigTOML format;
  for (const CLI::ConfigItem& item : format.from_config(stream)) {
    CLI::Option* option = command->get_option_no_throw("--" + item.name);
    if (option == nullptr) option = command->get_option_no_throw(item.name);
    if (!item.parents.empty() || option == nullptr || !option->get_configurable()) {
      const std::string name =
          item.parents.empty() ? item.name : fmt::format("[{}]", item.parents.front());
      throw CLI::ConfigError(fmt::format("{}: '{}' is not an option of this command", path, name),
                             CLI::ExitCodes::ConfigError);
    }
    if (!option->empty()) continue;
    if (option->get_expected_min() == 0) {
      option->add_result(option->get_flag_value(item.name, format.to_flag(item)));
    } else {
      option->add_result(item.inputs);
    }
    option->run_callback();
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

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& description,
                      CommonOptions& common) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--seed", common.seed, "Seed of every random choice")
      ->check(CLI::Range(std::uint64_t{0}, kMaxSeed))
      ->capture_default_str();
  command->add_option("--jobs", common.jobs, "Threads; 0 = one per processor. Results are the same")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--json", common.json, "Write the report as JSON to PATH, or - for stdout")
      ->type_name("PATH|-");
  command->add_flag("--quiet", common.quiet, "Print errors only");
  command->add_flag("-v,--verbose", common.verbose, "Print more");
  command->add_flag("--no-progress", common.no_progress, "Never show a progress line");
  command
      ->add_option_function<std::string>(
          "--config", [command](const std::string& path) { apply_config(command, path); },
          "Read options from a file of option=value lines; the command line goes before it")
      ->type_name("FILE")
      ->configurable(false);
  command
      ->add_flag("--print-config", common.print_config,
                 "Print the options in effect as a configuration file and stop")
      ->configurable(false);
  return command;
}

std::string config_text(const CLI::App* command) {
  std::istringstream lines(command->config_to_str(true));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    // An empty text stands for an option that was not given.
    if (!line.ends_with("=\"\"")) text += line + '\n';
  }
  return text;
}

void print(const CommonOptions& common, const std::string& text) {
  if (!common.quiet && !common.json_on_stdout()) std::fputs(text.c_str(), stdout);
}

Status write_report(const CommonOptions& common, const Json& document) {
  if (common.json.empty()) return Ok{};
  return write_json(common.json, document);
}

Status check_outputs(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (path.empty()) continue;
    if (std::count(paths.begin(), paths.end(), path) > 1) {
      return Error{ErrorKind::kUsage,
                   fmt::format("{}: is to hold two outputs; name another path for one of them",
                               path == "-" ? "standard output" : path)};
    }
    if (path != "-") ESPALIER_CHECK_OK(check_writable(path));
  }
  return Ok{};
}

void DataOptions::add_to(CLI::App* command) {
  command
      ->add_option("--preprocess", preprocess,
                   "auto, or items such as resize=147,crop=128,lut=FILE,mean=..,std=..,identity")
      ->capture_default_str();
  command->add_option("--classes", classes,
                      "Keep these labels only, in this order, as classes 0, 1, ...; e.g. 0,2-4");
  command
      ->add_option("--subset", subset,
                   "How limits take samples: balanced over classes by the seed, or the first")
      ->check(CLI::IsMember({"balanced", "first"}))
      ->capture_default_str();
}

data::SubsetOptions DataOptions::subset_of(std::int64_t limit, std::uint64_t seed) const {
  data::SubsetOptions options;
  options.limit = limit;
  options.seed = seed;
  options.take =
      subset == "first" ? data::SubsetOptions::Take::kFirst : data::SubsetOptions::Take::kBalanced;
  return options;
}

Result<data::Dataset> load_selected(const std::string& spec, std::int64_t limit,
                                    const DataOptions& options, std::uint64_t seed) {
  data::SubsetOptions subset = options.subset_of(limit, seed);
  if (!options.classes.empty()) {
    ESPALIER_TRY(subset.classes, parse_int_list(options.classes, "--classes"));
  }
  ESPALIER_TRY(data::Dataset dataset, data::load_dataset(spec));
  return data::subset(std::move(dataset), subset);
}

Result<data::Samples> bind_samples(const ir::Graph& graph, data::Dataset dataset,
                                   const DataOptions& options) {
  ESPALIER_TRY(const data::Preprocess preprocess, data::parse_preprocess(options.preprocess));
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const ir::Quantization quantization = ir::file_input_quantization(graph);
  ESPALIER_TRY(data::InputPipeline pipeline,
               data::make_pipeline(preprocess, shape.height, shape.width, shape.channels,
                                   quantization.scale, quantization.zero_point));
  return data::Samples(std::move(dataset), std::move(pipeline));
}

Result<data::Samples> load_samples(const ir::Graph& graph, const std::string& spec,
                                   std::int64_t limit, const DataOptions& options,
                                   std::uint64_t seed) {
  ESPALIER_TRY(data::Dataset dataset, load_selected(spec, limit, options, seed));
  return bind_samples(graph, std::move(dataset), options);
}

void add_recipe_options(CLI::App* command, train::Recipe& recipe) {
  command->add_option("--epochs", recipe.epochs, "Passes over the training set")
      ->capture_default_str();
  command->add_option("--batch", recipe.batch, "Samples per step")->capture_default_str();
  command
      ->add_option("--lr", recipe.learning_rate,
                   "Peak learning rate for a batch of 256, scaled to the batch")
      ->capture_default_str();
  command->add_option("--warmup", recipe.warmup_epochs, "Epochs of linear rise before the cosine")
      ->capture_default_str();
  command
      ->add_option_function<std::string>(
          "--schedule",
          [&recipe](const std::string& name) {
            recipe.schedule = train::schedule_of(name, "--schedule").value();
          },
          "standard, or published: a rise from rate 0 and a cosine that does not reach it")
      ->check(CLI::IsMember({"standard", "published"}))
      ->default_str("standard");
  command->add_flag_callback(
      "--no-qas", [&recipe] { recipe.qas = false; }, "Train without quantisation-aware scaling");
}

Result<Bytes> parse_size(const std::string& text, const std::string& what) {
  Result<Bytes> size = parse_bytes(text);
  if (size.ok()) return size;
  return Error{size.error().kind, fmt::format("{}: {}", what, size.error().message())};
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

void HeadOptions::add_to(CLI::App* command) {
  command->add_option("--classes", classes, "Classes of the classifier; 0 = the model's own")
      ->check(CLI::Range(0, 32767));
  command->add_option("--head", start, "Start of the classifier: fresh, keep, or auto")
      ->check(CLI::IsMember({"fresh", "keep", "auto"}))
      ->capture_default_str();
}

Result<ir::Head> HeadOptions::make(const ir::Graph& graph, std::uint64_t seed) const {
  const int wanted = classes == 0 ? graph.head.classes : classes;
  return starting_head(graph, start, wanted, seed, "--classes says");
}

Result<ir::Head> starting_head(const ir::Graph& graph, const std::string& start, int classes,
                               std::uint64_t seed, std::string_view who) {
  const bool fits = graph.head.classes == classes;
  if (start == "keep" && !fits) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--head keep: the model has {} classes, {} {}; use --head fresh",
                             graph.head.classes, who, classes)};
  }
  if (start == "fresh" || !fits) return train::fresh_head(graph.head.features, classes, seed);
  return graph.head;
}

}  // namespace espalier::cli
