// espalier evaluate MODEL --test SPEC: what a model, as it is, makes of labelled data.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"
#include "espalier/data/classes.hpp"
#include "espalier/data/sanity.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/train/result_sanity.hpp"
#include "espalier/train/sample_store.hpp"
#include "espalier/version.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  DataOptions data;
  std::string model;
  std::string test;
  std::string head = "keep";
  std::int64_t limit = 0;
};

// The data in the order of the model's classes, and what is doubtful about that. Data whose classes
// are numbers says which of the model's they are, and may lack some.
Result<data::Dataset> as_the_model_says(data::Dataset dataset, const ir::Graph& graph,
                                        const Options& options,
                                        std::vector<std::string>& warnings) {
  const ir::Head& head = graph.head;
  if (!head.class_names.empty()) {
    return trials::with_classes(std::move(dataset), head.class_names, options.model);
  }
  if (const auto numbers = data::numbers_below(dataset.class_names, head.classes)) {
    for (int& label : dataset.labels) label = (*numbers)[static_cast<std::size_t>(label)];
    dataset.classes = head.classes;
    dataset.class_names = data::class_numbers(head.classes);
    return dataset;
  }
  if (dataset.classes == head.classes) {
    auto doubt = positions_doubt(graph, dataset.class_names, options.test);
    if (doubt) warnings.push_back(*std::move(doubt));
    return dataset;
  }
  return Error{ErrorKind::kBadInput,
               fmt::format("{}: the model tells {} classes apart, {} has {}; name data of the "
                           "model's own task, or train a classifier for these with train",
                           options.model, head.classes, options.test,
                           data::class_list(dataset.class_names))};
}

// Rows are labels, columns predictions, both by number: what classes are called, where that is one.
std::string matrix(const train::Confusion& confusion, const data::ClassNames& names) {
  const data::ClassNames numbers =
      data::numbered(names) ? names : data::class_numbers(confusion.classes);
  std::size_t width = 5;
  for (const std::string& number : numbers) width = std::max(width, number.size());
  std::string text = "\nlabel \\ taken for";
  for (const std::string& taken : numbers) text += fmt::format(" {:>{}}", taken, width);
  text += '\n';
  for (int label = 0; label < confusion.classes; ++label) {
    text += fmt::format("{:>17}", numbers[static_cast<std::size_t>(label)]);
    for (int taken = 0; taken < confusion.classes; ++taken) {
      text += fmt::format(" {:>{}}", confusion.count(label, taken), width);
    }
    text += '\n';
  }
  return text;
}

Json matrix_json(const train::Confusion& confusion) {
  Json rows = Json::array();
  for (int label = 0; label < confusion.classes; ++label) {
    Json row = Json::array();
    for (int taken = 0; taken < confusion.classes; ++taken) {
      row.push_back(confusion.count(label, taken));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Status run(const Options& options) {
  ESPALIER_TRY(const trials::SetOptions sets, options.data.sets(options.common.seed));
  ESPALIER_TRY(ir::Graph graph, read_model(options.model));
  ESPALIER_TRY(data::Dataset dataset, trials::open_selected(options.test, options.limit, sets));
  std::vector<std::string> warnings;
  ESPALIER_TRY(dataset, as_the_model_says(std::move(dataset), graph, options, warnings));
  ESPALIER_TRY(const data::Samples samples,
               trials::bind_samples(graph, std::move(dataset), sets.preprocess));
  for (std::string& doubt : data::doubts(samples.dataset())) warnings.push_back(std::move(doubt));
  for (std::string& doubt : data::input_doubts(samples)) warnings.push_back(std::move(doubt));

  const int jobs = options.common.job_count();
  const train::Network network(std::move(graph));
  const train::Session session(network, plan::head_only(network.graph()), network.graph().head, 0);
  ESPALIER_TRY(const auto store, train::SampleStore::from_samples(network, samples, jobs));
  const train::Evaluation result = train::evaluate(session, *store, jobs);
  const data::ClassNames& names = samples.dataset().class_names;
  for (std::string& doubt : train::doubts(result, names, false))
    warnings.push_back(std::move(doubt));
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);

  constexpr int kMostPrinted = 20;
  const double balanced = result.confusion.balanced_accuracy();
  print(options.common,
        train::per_class_table(result.confusion, names) +
            (result.confusion.classes <= kMostPrinted ? matrix(result.confusion, names)
                                                      : std::string()) +
            fmt::format("\naccuracy {:.2f} %  balanced {:.2f} %  loss {:.4f}  of {} samples\n",
                        result.accuracy * 100, balanced * 100, result.loss, samples.size()));
  return write_report(
      options.common,
      {{"schema", "espalier.evaluate/1"},
       {"tool_version", kVersion},
       {"model", {{"name", network.graph().name}, {"sha256", network.graph().sha256}}},
       {"data", {{"test", samples.identity_json()}}},
       {"accuracy", result.accuracy},
       {"balanced_accuracy", balanced},
       {"loss", result.loss},
       {"classes", train::per_class_json(result.confusion, names)},
       {"confusion", matrix_json(result.confusion)},
       {"warnings", warnings}},
      fmt::format("espalier analyze {} --train DATA --out contributions.json",
                  shell_word(options.model)));
}

}  // namespace

Command add_evaluate(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "evaluate", "Measure a model as it is, published or tuned",
                                    o->common, "espalier.evaluate/1");
  command->add_input("model", o->model, "int8 model, TFLite or ONNX")->required();
  command->add_data("--test", o->test, kDataForms)->required();
  command->add_option("--limit-test", o->limit, "Test samples; 0 = all")->check(at_least_0());
  command->add_option("--head", o->head, "keep: the model's own classifier, the only one there is")
      ->check(one_of({"keep"}))
      ->capture_default_str();
  o->data.add_to(command);
  command->effective_if(
      "--seed", [o] { return o->limit > 0 && o->data.subset != "first"; },
      "it says which samples --limit-test takes");
  command->effective_if(
      "--subset", [o] { return o->limit > 0; }, "it says how --limit-test takes samples");
  command->footer(
      "Example:\n  espalier evaluate tuned.onnx --test cifar10:test.bin\n"
      "Before: espalier train --export");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
