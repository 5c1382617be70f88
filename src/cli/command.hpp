// What every subcommand shares: common flags, where output goes, loading of models and data.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "command_app.hpp"
#include "espalier/data/classes.hpp"
#include "espalier/data/samples.hpp"
#include "espalier/ir/graph.hpp"
#include "espalier/support/bytes.hpp"
#include "espalier/support/json.hpp"
#include "espalier/support/progress.hpp"
#include "espalier/support/result.hpp"
#include "espalier/train/recipe.hpp"
#include "espalier/trials/sets.hpp"
#include "words.hpp"

namespace espalier::cli {

/// The largest seed: every reader of JSON holds integers up to 2^53 - 1 exactly.
inline constexpr std::int64_t kMaxSeed = (std::int64_t{1} << 53) - 1;

/// Flags that every subcommand has.
struct CommonOptions {
  std::uint64_t seed = 0;
  int jobs = 0;        ///< 0 = one per processor
  std::string json;    ///< empty = none, "-" = standard output
  std::string config;  ///< file that options were read from
  bool quiet = false;
  bool verbose = false;
  bool no_progress = false;
  bool print_config = false;
  /// A step of another command: says what is doubtful alone, unless verbose, and advises no options
  /// of its own.
  bool nested = false;
  bool results = true;  ///< are printed
  bool force = false;   ///< replace files that are inputs or something else than is written

  [[nodiscard]] int job_count() const;
  [[nodiscard]] ProgressOptions progress() const;
  /// True when standard output is kept for a JSON document.
  [[nodiscard]] bool json_on_stdout() const { return json == "-"; }
};

/// Adds a subcommand with the common flags. `schema` is that of the report that --json writes; it
/// may depend on other options.
CommandApp* add_command(CLI::App& app, const std::string& name, const std::string& description,
                        CommonOptions& common, std::function<Format()> report);
CommandApp* add_command(CLI::App& app, const std::string& name, const std::string& description,
                        CommonOptions& common, std::string_view schema);

/// The options in effect, as a file that --config reads.
std::string config_text(const CommandApp* command);

/// What is logged, by --quiet and --verbose.
void set_log_level(const CommonOptions& common);

/// Prints text for people, unless --quiet or JSON takes standard output.
void print(const CommonOptions& common, const std::string& text);

/// The outputs of a command, each attempted whatever became of the others.
class Outputs {
 public:
  /// Notes how writing `path` went, and tells people when it went well.
  void add(const std::string& path, const Status& written);
  /// Says what to do with what was written, unless something was not.
  void next(const std::string& advice) const;
  /// All diagnostics, under the exit code of the first.
  [[nodiscard]] Status status() const;

 private:
  std::optional<Error> failure_;
};

/// A file as a shell takes it, for advice; `otherwise` where none was named, or standard output.
std::string file_word(const std::string& file, const std::string& otherwise);

/// Writes `document` where --json says, if anywhere.
void write_report(Outputs& outputs, const CommonOptions& common, const Json& document);

/// The same where the report is all there is to write; then what to do next.
Status write_report(const CommonOptions& common, const Json& document, const std::string& next);

/// The forms of a dataset, for the help of options.
inline constexpr const char* kDataForms =
    "cifar10:FILE[,FILE], idx:IMAGES,LABELS, folder:DIR, npy:X,Y, npz:FILE[,X,Y] or "
    "csv:FILE[,COLUMN]";

/// The file that a value of --preprocess names, if any.
std::vector<std::filesystem::path> table_files(const std::string& preprocess);

/// --preprocess and --subset.
void add_preprocess_option(CommandApp* command, std::string& preprocess);
void add_subset_option(CommandApp* command, std::string& subset);

/// How samples are selected and preprocessed.
struct DataOptions {
  std::string preprocess = "auto";
  std::string classes;  ///< comma separated names or numbers; empty = all
  std::string subset = "balanced";
  void add_to(CommandApp* command);
  /// As the library has it. kUsage for what is no list of classes or no preprocessing.
  [[nodiscard]] Result<trials::SetOptions> sets(std::uint64_t seed) const;
};

/// import_model(), with everything doubtful logged as warnings.
Result<ir::Graph> read_model(const std::filesystem::path& path);

/// The doubt where a classifier that does not say the names of its classes is used for data that
/// does: position is all they have in common. `what` says who has the names.
std::optional<std::string> positions_doubt(const ir::Graph& graph, const data::ClassNames& names,
                                           const std::string& what);

/// Everything doubtful about two sets, logged as warnings and returned.
std::vector<std::string> warn_of_data(const data::Samples& training, const data::Samples& test);

/// The classifier that training starts from: `start` is fresh, keep, or auto, which keeps the
/// model's own when that has `classes` classes and not the names of others; auto says so. kUsage
/// when another one is to be kept; `who` asks for so many classes, of these names where they are
/// known, such as "the data says".
Result<ir::Head> starting_head(const ir::Graph& graph, const std::string& start, int classes,
                               std::uint64_t seed, std::string_view who,
                               const data::ClassNames& names = {});

/// Options for it where no data is at hand that says how many classes there are.
struct HeadOptions {
  int classes = 0;             ///< 0 = as the document says, or the model's own
  std::string start = "auto";  ///< fresh, keep, or auto: keep when the number of classes allows it
  void add_classes(CommandApp* command);
  void add_to(CommandApp* command);
  /// `document` is a plan or profile made for data of `known` classes, 0 when it does not say, and
  /// of these names where it says them. Warns where the model's own number has to do, and where
  /// --classes contradicts the document.
  [[nodiscard]] Result<ir::Head> make(const ir::Graph& graph, std::uint64_t seed,
                                      const std::string& document, int known,
                                      const data::ClassNames& names = {}) const;
};

/// --numerics of trainings: simulation, device or integer.
CLI::Option* add_numerics(CommandApp* command, std::string& numerics);
/// --gradient-bits, of integer numerics.
void add_gradient_bits(CommandApp* command, int& bits);
/// --epochs, --batch, --lr, --warmup, --head-epochs, --clip, --schedule, --no-qas. With
/// `automatic`, --lr also takes auto, which sets it.
void add_recipe_options(CommandApp* command, train::Recipe& recipe, bool* automatic = nullptr);
/// Says that `file` has a recipe, `always` or perhaps, that stands for those that are not given:
/// with_given_options().
void recipe_is_of_file(CommandApp* command, const std::string& file, bool always);
/// What is wrong with a recipe in these numerics and can be told before any file is read: kUsage.
Status check_recipe(const train::Recipe& recipe, const std::string& numerics);
/// The recipe `found`, but for what the command line or a configuration file gives in `given`.
train::Recipe with_given_options(const CommandApp* command, train::Recipe found,
                                 const train::Recipe& given);
/// Says so where updates on the device are of other than the samples of a plan's recipe.
void tell_of_updates(const train::Recipe& of_plan, int accumulate);

/// Parses a size such as "100KiB" given to the option `what`.
Result<Bytes> parse_size(const std::string& text, const std::string& what);

/// Seconds of a time such as 90s, 15min or 2h; nothing for what is none, or not above 0.
std::optional<double> seconds_of(const std::string& text);

/// Parses "1,2,5-8".
Result<std::vector<int>> parse_int_list(const std::string& text, const std::string& what);

/// The subcommands. Each adds itself to `app` and stores what to run.
using Action = std::function<Status()>;
struct Command {
  CLI::App* app = nullptr;
  Action run;
  std::shared_ptr<CommonOptions> common;
};
Command add_inspect(CLI::App& app);
Command add_analyze(CLI::App& app);
Command add_search(CLI::App& app);
Command add_plan(CLI::App& app);
Command add_train(CLI::App& app);
Command add_evaluate(CLI::App& app);
Command add_compile(CLI::App& app);
Command add_check(CLI::App& app);
Command add_fit(CLI::App& app);
Command add_devices(CLI::App& app);
Command add_sweep(CLI::App& app);
Command add_report(CLI::App& app);

}  // namespace espalier::cli
