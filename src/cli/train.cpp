// espalier train MODEL --plan plan.json: trains a plan and says what it reached.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "command.hpp"
#include "espalier/cost/analytic_memory.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/ir/input.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/support/file.hpp"
#include "espalier/train/result_sanity.hpp"
#include "espalier/trials/rate_sweep.hpp"
#include "espalier/trials/runner.hpp"
#include "espalier/trials/store.hpp"
#include "espalier/version.hpp"
#include "logit_range.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  DataOptions data;
  train::Recipe recipe;
  bool automatic_rate = false;
  std::string model;
  std::string plan;
  std::string training;
  std::string test;
  std::string exported;
  std::string store;
  std::string head = "fresh";
  std::string cache_limit = "2GiB";
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
  bool test_every_epoch = false;
  std::string numerics = "simulation";
  std::string rounding = "stochastic";
  int accumulate = 1;
  int gradient_bits = 8;
  std::string replay;
  int replays = 2;
  int classes_in_turn = 0;
  CommandApp* command = nullptr;

  [[nodiscard]] bool device() const { return numerics != "simulation"; }
  [[nodiscard]] bool integer() const { return numerics == "integer"; }
};

// Whether values without axes, as those of a CSV file, lie in another order for an ONNX export,
// which has channels first, than for the file of the model.
bool reordered_by_onnx(const ir::Graph& graph, const data::Dataset& dataset) {
  const data::Image& sample = dataset.images.front();
  if (dataset.element == data::Element::kPixel || sample.height * sample.width != 1) return false;
  const ir::Shape& shape = graph.tensor(graph.input).shape;
  const std::vector<std::int64_t> order = ir::file_input_order(graph);
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    const std::int64_t first = i % shape.channels * shape.pixels() + i / shape.channels;
    if (order[static_cast<std::size_t>(i)] != first) return true;
  }
  return false;
}

// What the options make of a plan: a recipe that the plan was found with stands where none is
// given.
Result<trials::Trial> trial_of(const Options& options, const plan::UpdatePlan& plan) {
  trials::Trial trial;
  trial.plan = plan;
  trial.recipe = options.recipe;
  if (!plan.recipe.is_null()) {
    ESPALIER_TRY(const train::Recipe found,
                 train::recipe_from_json(plan.recipe, options.plan + ": recipe"));
    trial.recipe = with_given_options(options.command, found, options.recipe);
    spdlog::info(
        "recipe of the plan where no option says otherwise: {} epochs{}, {}, rate {}{}, warm-up "
        "{}, "
        "{} schedule",
        trial.recipe.epochs,
        trial.recipe.head_epochs > 0
            ? fmt::format(", the first {} of the head alone", trial.recipe.head_epochs)
            : "",
        options.device() ? fmt::format("{} samples an update by --accumulate", options.accumulate)
                         : fmt::format("batch {}", trial.recipe.batch),
        options.automatic_rate ? "auto" : fmt::format("{}", trial.recipe.learning_rate),
        trial.recipe.clip > 0 ? fmt::format(" clipped at {}", trial.recipe.clip) : "",
        trial.recipe.warmup_epochs, train::schedule_name(trial.recipe.schedule));
    if (options.device()) tell_of_updates(found, options.accumulate);
  }
  trial.recipe.seed = options.common.seed;
  trial.head = options.head == "keep" ? trials::HeadStart::kKeep : trials::HeadStart::kFresh;
  trial.test_every_epoch = options.test_every_epoch;
  if (options.device()) {
    trial.numerics = *trials::numerics_named(options.numerics);
    trial.gradient_bits = options.gradient_bits;
    trial.recipe.batch = options.accumulate;  // so many samples make one update
    trial.stochastic = options.rounding == "stochastic";
    trial.stream.classes_in_turn = options.classes_in_turn;
    if (!options.replay.empty()) {
      ESPALIER_TRY(const Bytes bytes, parse_size(options.replay, "--replay"));
      trial.stream.replay_bytes = bytes.count;
      trial.stream.replays = options.replays;
    }
  }
  if (const Status sound = check_recipe(trial.recipe, options.numerics); !sound.ok()) {
    if (plan.recipe.is_null()) return sound.error();
    return Error{ErrorKind::kUsage, fmt::format("{}; what no option gives is of the recipe of {}",
                                                sound.error().message(), options.plan)};
  }
  if (trial.recipe.head_epochs > 0 &&
      (trial.stream.classes_in_turn > 0 || trial.stream.replay_bytes > 0)) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--head-epochs {}: goes with neither --classes-in-turn nor --replay; "
                             "give --head-epochs 0",
                             trial.recipe.head_epochs)};
  }
  return trial;
}

std::string epoch_line(int epoch, const train::EpochResult& e) {
  return fmt::format(
      "epoch {:>3}  loss {:.4f}  accuracy {:5.2f} %{}\n", epoch + 1, e.train.loss,
      e.train.accuracy * 100,
      e.test ? fmt::format("  test {:.4f}  {:5.2f} %", e.test->loss, e.test->accuracy * 100) : "");
}

std::string sweep_text(const trials::RateSweep& sweep) {
  std::string text = fmt::format("rates, {} epochs on {} images, {} others for validation\n",
                                 sweep.epochs, sweep.training, sweep.validation);
  for (const trials::RateSweep::Tried& tried : sweep.tried) {
    text += tried.diverged ? fmt::format("{:>8}  diverged\n", tried.rate)
                           : fmt::format("{:>8}  loss {:.4f}  accuracy {:5.2f} %{}\n", tried.rate,
                                         tried.validation.loss, tried.validation.accuracy * 100,
                                         tried.rate == sweep.best ? "  chosen" : "");
  }
  return text;
}

Json epochs_json(const train::TrainResult& result) {
  Json epochs = Json::array();
  for (std::size_t i = 0; i < result.epochs.size(); ++i) {
    const train::EpochResult& e = result.epochs[i];
    Json row{{"epoch", i + 1}, {"train_loss", e.train.loss}, {"train_accuracy", e.train.accuracy}};
    if (e.test) {
      row["test_loss"] = e.test->loss;
      row["test_accuracy"] = e.test->accuracy;
    }
    epochs.push_back(std::move(row));
  }
  return epochs;
}

Json gradients_json(const std::vector<engine::GradientUse>& uses) {
  Json gradients = Json::array();
  for (const engine::GradientUse& use : uses) {
    const auto share = [&](std::int64_t part) {
      return use.elements > 0 ? Json(static_cast<double>(part) / static_cast<double>(use.elements))
                              : Json(nullptr);
    };
    gradients.push_back({{"conv", use.conv},
                         {"exponent", use.exponent},
                         {"elements", use.elements},
                         {"saturated", share(use.saturated)},
                         {"zero", share(use.zero)}});
  }
  return gradients;
}

Json turns_json(const std::vector<train::Turn>& turns) {
  Json list = Json::array();
  for (const train::Turn& turn : turns) {
    list.push_back({{"classes", turn.classes},
                    {"test_accuracy", turn.test.confusion.accuracy_of_first(turn.classes)}});
  }
  return list;
}

std::string turns_table(const std::vector<train::Turn>& turns) {
  if (turns.empty()) return "";
  std::string text = "classes so far  accuracy on these\n";
  for (const train::Turn& turn : turns) {
    text += fmt::format("{:>14}  {:>15.2f} %\n", turn.classes,
                        100 * turn.test.confusion.accuracy_of_first(turn.classes));
  }
  return text;
}

std::string gradients_table(const std::vector<engine::GradientUse>& uses) {
  std::string text = "gradients: conv  exponent  cut off      zero\n";
  for (const engine::GradientUse& use : uses) {
    const double all = static_cast<double>(std::max<std::int64_t>(1, use.elements));
    text += fmt::format("{:>15}  {:>8}  {:>5.2f} %  {:>6.2f} %\n", use.conv, use.exponent,
                        100 * static_cast<double>(use.saturated) / all,
                        100 * static_cast<double>(use.zero) / all);
  }
  return text;
}

// Both sets, of the same classes in the same order: the model's own when its classifier is kept and
// says their names or the data's are the numbers of them, otherwise that of the training set, which
// is added to the warnings.
Result<trials::SampleSets> load_sets(const Options& options, const plan::UpdatePlan& plan,
                                     const ir::Graph& graph, const trials::SetOptions& sets,
                                     std::vector<std::string>& warnings) {
  ESPALIER_TRY(data::Dataset training,
               trials::open_selected(options.training, options.limit_train, sets));
  ESPALIER_TRY(data::Dataset test, trials::open_selected(options.test, options.limit_test, sets));
  if (!plan.classes.empty()) {
    const auto made_for =
        data::match_classes(plan.classes, options.plan, training.class_names, options.training);
    if (!made_for.ok()) return made_for.error();
  } else if (!plan.solver.empty()) {
    spdlog::warn("{} does not say which classes it was made for; take care that it was these",
                 options.plan);
  }
  if (options.head == "keep") {
    const data::ClassNames own = graph.head.class_names.empty()
                                     ? data::in_number_order(training.class_names)
                                     : graph.head.class_names;
    ESPALIER_TRY(training, trials::with_classes(std::move(training), own, options.model));
    if (auto doubt = positions_doubt(graph, training.class_names, options.training)) {
      spdlog::warn("{}", *doubt);
      warnings.push_back(*std::move(doubt));
    }
  }
  ESPALIER_TRY(test, trials::with_classes(std::move(test), training.class_names, options.training));
  ESPALIER_TRY(data::Samples training_samples,
               trials::bind_samples(graph, std::move(training), sets.preprocess));
  ESPALIER_TRY(data::Samples test_samples,
               trials::bind_samples(graph, std::move(test), sets.preprocess));
  return trials::SampleSets{std::move(training_samples), std::move(test_samples)};
}

// One call of the command, from its inputs to its report.
class TrainCommand {
 public:
  explicit TrainCommand(const Options& options) : options_(options) {}

  Status run() {
    ESPALIER_TRY(run_options_.cache_limit, parse_size(options_.cache_limit, "--cache-limit"));
    run_options_.jobs = options_.common.job_count();
    run_options_.progress = options_.common.progress();
    std::optional<trials::Store> store;
    if (!options_.store.empty()) {
      ESPALIER_TRY(trials::Store opened, trials::Store::open(options_.store));
      store.emplace(std::move(opened));
      run_options_.store = &*store;
    }
    ESPALIER_CHECK_OK(check_export(options_.model, options_.exported));
    ESPALIER_TRY(ir::Graph graph, read_model(options_.model));
    ESPALIER_TRY(const plan::UpdatePlan plan, plan::load_plan(options_.plan, graph));
    ESPALIER_TRY(const trials::SetOptions sets, options_.data.sets(options_.common.seed));
    ESPALIER_TRY(const trials::SampleSets loaded,
                 load_sets(options_, plan, graph, sets, warnings_));
    const data::Samples& training = loaded.training;
    const data::Samples& test = loaded.validation;
    const auto head =
        starting_head(graph, options_.head, training.classes(), options_.common.seed, "the data");
    if (!head.ok()) return head.error();
    ESPALIER_TRY(trials::Trial trial, trial_of(options_, plan));
    if (options_.classes_in_turn >= training.classes()) {
      return Error{ErrorKind::kUsage,
                   fmt::format("--classes-in-turn {}: the data have {} classes; give fewer",
                               options_.classes_in_turn, training.classes())};
    }
    ESPALIER_CHECK_OK(check_updates(trial, training.size()));
    for (std::string& doubt : warn_of_data(training, test)) warnings_.push_back(std::move(doubt));
    warn_of_turns(trial, training);
    const train::Network network(std::move(graph));
    if (options_.automatic_rate) ESPALIER_CHECK_OK(choose_rate(network, training, trial));
    ESPALIER_CHECK_OK(train(network, training, test, trial));
    return conclude(network, training, test, trial);
  }

 private:
  [[nodiscard]] Status check_updates(const trials::Trial& trial, std::int64_t samples) const {
    const Status some = trials::check_updates(trial, samples);
    if (some.ok()) return Ok{};
    return Error{ErrorKind::kUsage,
                 fmt::format("--accumulate {}: {}", options_.accumulate, some.error().message())};
  }

  // With classes in turn each group of them has all epochs; a turn has at least one update.
  void warn_of_turns(const trials::Trial& trial, const data::Samples& training) {
    std::int64_t sets = 1;
    for (const plan::WeightUpdate& update : trial.plan.weights) {
      sets = std::max(sets, plan::turns(trial.plan, update.conv));
    }
    const int width = trial.stream.classes_in_turn;
    const int groups = width > 0 ? (training.classes() + width - 1) / width : 1;
    std::int64_t come = groups * trial.recipe.epochs - trial.recipe.head_epochs;
    if (options_.device()) {
      const std::int64_t steps =
          training.size() * trial.stream.steps_of_sample() * trial.recipe.epochs;
      come = std::min(come, steps / trial.recipe.batch);
    }
    if (sets <= come) return;
    warnings_.push_back(fmt::format(
        "{}: channels take up to {} turns, an epoch each, of which {} come; more --epochs, or "
        "larger ratios, train them all",
        options_.plan, sets, come));
    spdlog::warn("{}", warnings_.back());
  }

  Status choose_rate(const train::Network& network, const data::Samples& training,
                     trials::Trial& trial) {
    trials::RunOptions options = run_options_;
    options.title = "rates";
    ESPALIER_TRY(const trials::RateSweep sweep,
                 trials::sweep_rates(network, training, trial, options));
    trial.recipe.learning_rate = sweep.best;
    print(options_.common, sweep_text(sweep));
    sweep_ = trials::to_json(sweep);
    return Ok{};
  }

  // From the store, where it has the result and nothing but the result is wanted.
  Status train(const train::Network& network, const data::Samples& training,
               const data::Samples& test, const trials::Trial& trial) {
    const trials::Address address =
        trials::address_of(trials::inputs_json(network.graph(), trial, training, test));
    if (run_options_.store != nullptr && options_.exported.empty()) {
      auto stored = run_options_.store->find(address);
      if (!stored.ok()) spdlog::warn("{}; this trial is run again", stored.error().message());
      if (stored.ok() && *stored) {
        result_ = **stored;
        spdlog::info("taken from {}", run_options_.store->record(address).string());
        for (std::size_t i = 0; i < result_.epochs.size(); ++i) {
          print(options_.common, epoch_line(static_cast<int>(i), result_.epochs[i]));
        }
        return Ok{};
      }
    }
    Progress progress(run_options_.progress, fmt::format("train {}", network.graph().name),
                      static_cast<double>(training.size()) * trial.recipe.epochs);
    train::TrainOptions callbacks;
    callbacks.on_images = [&](std::int64_t n) { progress.advance(static_cast<double>(n)); };
    callbacks.on_epoch = [&](int epoch, const train::EpochResult& e) {
      print(options_.common, epoch_line(epoch, e));
    };
    ESPALIER_TRY(trials::FinishedTrial finished,
                 trials::run_trial(network, training, test, trial, run_options_, callbacks));
    result_ = finished.result;
    finished_.emplace(std::move(finished));
    // What was trained is not lost with the store: it is reported all the same.
    if (run_options_.store != nullptr) kept_ = run_options_.store->put(address, result_);
    return Ok{};
  }

  [[nodiscard]] Result<Json> report(const train::Network& network, const data::Samples& training,
                                    const data::Samples& test, const trials::Trial& trial,
                                    Bytes memory) const {
    Json report{{"schema", "espalier.train/1"},
                {"tool_version", kVersion},
                {"model", {{"name", network.graph().name}, {"sha256", network.graph().sha256}}},
                {"plan",
                 {{"sha256", plan::sha256_of(trial.plan)},
                  {"bias_depth", trial.plan.bias_depth},
                  {"weights", trial.plan.weights.size()},
                  {"updates", plan::updates_json(trial.plan)},
                  {"analytic_bytes", memory.count}}},
                {"data", {{"train", training.identity_json()}, {"test", test.identity_json()}}},
                {"recipe", train::to_json(trial.recipe)},
                {"head", options_.head},
                {"numerics", options_.numerics},
                {"diverged", result_.diverged}};
    if (!sweep_.is_null()) report["rate_sweep"] = sweep_;
    if (trials::on_device(trial.numerics)) {
      report["rounding"] = options_.rounding;
      if (options_.integer()) report["gradient_bits"] = options_.gradient_bits;
      ESPALIER_TRY(const auto made, trials::Training::make(network, trial, training.classes()));
      report["sram_bytes"] = made.sram()->count;
      if (const auto layout = made.replay_layout()) {
        report["replay"] = {{"bytes", trial.stream.replay_bytes},
                            {"latent_bytes", layout->latent_bytes},
                            {"samples", layout->samples},
                            {"steps", trial.stream.replays},
                            {"kept", result_.kept}};
      }
      if (trial.stream.classes_in_turn > 0) {
        report["classes_in_turn"] = trial.stream.classes_in_turn;
        report["turns"] = turns_json(result_.turns);
      }
    }
    if (finished_) {
      Json host{{"prefix_bytes", finished_->prefix.count}};
      if (const auto bytes = finished_->training.workspace()) {
        host["workspace_bytes"] = bytes->count;
      }
      report["host_memory"] = std::move(host);
      const auto uses = finished_->training.gradient_use();
      if (!uses.empty()) report["gradients"] = gradients_json(uses);
    }
    report["test_accuracy"] = result_.diverged ? Json(nullptr) : Json(result_.test.accuracy);
    report["test_loss"] = result_.diverged ? Json(nullptr) : Json(result_.test.loss);
    if (!result_.diverged) {
      report["collapsed"] = train::learned_nothing(result_.test);
      report["test_balanced_accuracy"] = result_.test.confusion.balanced_accuracy();
      report["test_classes"] =
          train::per_class_json(result_.test.confusion, test.dataset().class_names);
    }
    report["warnings"] = warnings_;
    report["epochs"] = epochs_json(result_);
    report["images_per_second"] = result_.seconds > 0
                                      ? Json(static_cast<double>(result_.images) / result_.seconds)
                                      : Json(nullptr);
    return report;
  }

  // Every output is written that can be; the first that cannot is what the command ends with.
  Status conclude(const train::Network& network, const data::Samples& training,
                  const data::Samples& test, const trials::Trial& trial) {
    const Bytes memory = cost::analytic_memory(trial.plan, network.graph()).bytes();
    const data::ClassNames& names = test.dataset().class_names;
    if (!result_.diverged) {
      for (std::string& doubt : train::doubts(result_.test, names)) {
        spdlog::warn("{}", doubt);
        warnings_.push_back(std::move(doubt));
      }
    }
    ESPALIER_TRY(Json document, report(network, training, test, trial, memory));
    Outputs outputs;
    if (run_options_.store != nullptr) outputs.add({}, kept_);
    if (result_.diverged) {
      document["diverged_step"] = result_.diverged_step;
      outputs.add({}, Error{ErrorKind::kUsage,
                            fmt::format("training diverged at step {}: a loss or weight is no "
                                        "longer a usable number; lower --lr (now {}) or train "
                                        "fewer layers",
                                        result_.diverged_step, trial.recipe.learning_rate)});
      write_report(outputs, options_.common, document);
      return outputs.status();
    }
    const auto uses =
        finished_ ? finished_->training.gradient_use() : std::vector<engine::GradientUse>();
    if (!uses.empty()) print(options_.common, gradients_table(uses));
    print(options_.common,
          turns_table(result_.turns) + train::per_class_table(result_.test.confusion, names) +
              fmt::format("test accuracy {:.2f} %  balanced {:.2f} %  loss {:.4f}  extra memory {} "
                          "(analytic)\n",
                          result_.test.accuracy * 100,
                          result_.test.confusion.balanced_accuracy() * 100, result_.test.loss,
                          format_bytes(memory)));
    if (!options_.exported.empty()) {
      std::int64_t saturated = 0;
      ir::Graph tuned = finished_->training.tuned_graph(&saturated);
      tuned.head.class_names = training.dataset().class_names;
      outputs.add(options_.exported, write_tuned(tuned, training));
      document["export"] = {{"saturated_weights", saturated}};
      if (saturated > 0) {
        spdlog::info("{} weights had left -127..127 and were saturated in {}", saturated,
                     options_.exported);
      }
      if (!is_tflite_path(options_.exported) && reordered_by_onnx(tuned, training.dataset())) {
        spdlog::warn(
            "{} reads channels first: flat samples as those of {} are in the order of {}, so put "
            "them into that order, or give them axes",
            options_.exported, options_.training, options_.model);
      }
    }
    write_report(outputs, options_.common, document);
    outputs.next(fmt::format("espalier compile {} --plan {}{} --out FOLDER",
                             shell_word(options_.model), file_word(options_.plan, "PLAN"),
                             compile_options(trial, training.classes())));
    return outputs.status();
  }

  // TFLite rounds scores, in a range that has to hold those of the new classifier.
  [[nodiscard]] Status write_tuned(const ir::Graph& tuned, const data::Samples& training) const {
    std::optional<LogitRange> logits;
    if (is_tflite_path(options_.exported)) {
      ESPALIER_TRY(logits,
                   logit_range(tuned, training, run_options_.jobs, run_options_.cache_limit));
      const Result<std::string> original = read_file(options_.model);
      if (original.ok() && packs_files(*original)) {
        spdlog::warn(
            "{}: the files packed behind the model, such as labels, are still those of {}; "
            "replace them where the classes are others",
            options_.exported, options_.model);
      }
    }
    return export_model(tuned, options_.model, options_.exported, logits);
  }

  // The bits of gradients and what they start from, which compile takes from the data, too.
  [[nodiscard]] std::string integer_options(const trials::Trial& trial) const {
    std::string text;
    if (options_.gradient_bits != 8) {
      text += fmt::format(" --gradient-bits {}", options_.gradient_bits);
    }
    // For a plan that names no classes, compile cannot select any of the data.
    if (trial.plan.classes.empty() && !options_.data.classes.empty()) return text;
    text += " --train " + shell_word(options_.training);
    if (options_.data.preprocess != "auto") {
      text += " --train-preprocess " + shell_word(options_.data.preprocess);
    }
    return text;
  }

  // What compile needs to be told for a program that trains as this did.
  [[nodiscard]] std::string compile_options(const trials::Trial& trial, int classes) const {
    std::string text;
    // A plan that does not say is compiled for the model's own number of classes.
    if (trial.plan.classes.empty()) text += fmt::format(" --classes {}", classes);
    text += " --head " + options_.head;
    // Of a fresh classifier, and of stochastic rounding.
    if (options_.common.seed != 0) text += fmt::format(" --seed {}", options_.common.seed);
    if (options_.integer()) text += " --numerics integer" + integer_options(trial);
    if (options_.device()) {
      if (options_.accumulate != 1) text += fmt::format(" --accumulate {}", options_.accumulate);
      if (!trial.stochastic) text += " --rounding nearest";
      if (!options_.replay.empty()) text += " --replay " + shell_word(options_.replay);
    }
    train::Recipe known;  // to compile, without more options
    if (!trial.plan.recipe.is_null()) {
      const auto found = train::recipe_from_json(trial.plan.recipe, options_.plan);
      if (found.ok()) known = *found;
    }
    if (!trial.recipe.qas) {
      text += " --lr RATE";  // that of gradients that are not scaled is none for the device
    } else if (!known.qas || trial.recipe.learning_rate != known.learning_rate) {
      text += fmt::format(" --lr {}", trial.recipe.learning_rate);
    }
    if (trial.recipe.clip != known.clip) text += fmt::format(" --clip {}", trial.recipe.clip);
    return text;
  }

  const Options& options_;
  trials::RunOptions run_options_;
  train::TrainResult result_;
  std::optional<trials::FinishedTrial> finished_;
  Json sweep_;
  std::vector<std::string> warnings_;
  Status kept_ = Ok{};
};

}  // namespace

Command add_train(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "train", "Train a plan and measure its accuracy",
                                    o->common, "espalier.train/1");
  o->command = command;
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_input("--plan", o->plan, "Update plan (espalier.plan/1)")->required();
  command->add_data("--train", o->training, kDataForms)->required();
  command->add_data("--test", o->test, "Data to measure accuracy on")->required();
  command->add_option("--limit-train", o->limit_train, "Training samples; 0 = all")
      ->check(at_least_0());
  command->add_option("--limit-test", o->limit_test, "Test samples; 0 = all")->check(at_least_0());
  command->add_option("--head", o->head, "fresh, or keep the model's classifier")
      ->check(one_of({"fresh", "keep"}))
      ->capture_default_str();
  command
      ->add_option(
          "--numerics", o->numerics,
          "simulation (fp32 master weights), or what the emitted C does: device (gradients "
          "in float) or integer (in int8)")
      ->check(one_of({"simulation", "device", "integer"}))
      ->capture_default_str();
  command
      ->add_option("--accumulate", o->accumulate,
                   "Device: samples whose gradients make one update (in place of --batch)")
      ->check(between(1, 65536))
      ->capture_default_str();
  add_gradient_bits(command, o->gradient_bits);
  command->add_option("--rounding", o->rounding, "Device: nearest or stochastic")
      ->check(one_of({"nearest", "stochastic"}))
      ->capture_default_str();
  command->add_option("--replay", o->replay,
                      "Device: a memory of so many bytes for samples as the frozen layers leave "
                      "them, balanced over classes, to train on again; as compile --replay");
  command
      ->add_option("--replays", o->replays, "Steps from the replay memory behind each new sample")
      ->check(between(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--classes-in-turn", o->classes_in_turn,
                   "Device: samples of so many classes come first, in all epochs, then those of "
                   "the next; 0 = mixed")
      ->check(at_least_0())
      ->capture_default_str();
  command->add_output("--export", o->exported, model_format,
                      "Write the tuned model: .onnx, or .tflite when the model is");
  command->add_store(o->store,
                     "Folder of finished trials: take the result from there, or keep it there",
                     [] { return ""; });
  command
      ->add_option("--cache-limit", o->cache_limit,
                   "Memory for samples at the frozen prefix, inputs included")
      ->capture_default_str();
  command->add_flag("--test-every-epoch", o->test_every_epoch, "Also test after each epoch");
  add_recipe_options(command, o->recipe, &o->automatic_rate);
  recipe_is_of_file(command, "the plan's", false);
  o->data.add_to(command);
  const auto on_device = [o] { return o->device(); };
  command->effective_if(
      "--gradient-bits", [o] { return o->integer(); }, "add --numerics integer");
  command->effective_if("--accumulate", on_device, "add --numerics device");
  command->effective_if("--rounding", on_device, "add --numerics device");
  command->effective_if("--replay", on_device, "add --numerics device");
  command->effective_if("--classes-in-turn", on_device, "add --numerics device");
  command->effective_if(
      "--replays", [o] { return !o->replay.empty(); }, "add --replay BYTES");
  command->effective_if(
      "--batch", [o] { return !o->device(); },
      "a device takes one sample a step; --accumulate says how many make an "
      "update");
  command->effective_if(
      "--subset", [o] { return o->limit_train > 0 || o->limit_test > 0; },
      "it says how --limit-train and --limit-test take samples");
  command->footer(
      "Example:\n  espalier train model.onnx --plan plan.json --train cifar10:train.bin --test "
      "cifar10:test.bin \\\n    --json result.json --export tuned.onnx\n"
      "Before: espalier search, or espalier plan make. Next: espalier compile");
  return {command, [o] { return TrainCommand(*o).run(); },
          std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
