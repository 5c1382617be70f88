// espalier report DOCUMENT...: what the documents say, as a page, as JSON and as CSV.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "command.hpp"
#include "espalier/report/build.hpp"
#include "espalier/report/documents.hpp"
#include "espalier/report/page.hpp"
#include "espalier/report/read_report.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"

namespace espalier::cli {
namespace {

struct Options {
  CommonOptions common;
  std::vector<std::string> documents;
  std::string out;
  std::string title = "Espalier report";
  std::string metric = "loss";
  bool no_page = false;

  // A report.json to be shown again.
  [[nodiscard]] bool again() const {
    return documents.size() == 1 && report::is_report(documents.front());
  }
};

constexpr const char* kPage = "report.html";
constexpr const char* kReport = "report.json";
constexpr const char* kTrials = "trials.csv";

bool is_page(const std::string& path) { return path.ends_with(".html"); }

bool is_ours(std::string_view name) { return name == kPage || name == kReport || name == kTrials; }

Format format_of(const std::string& out) {
  if (!is_page(out)) return folder_format("a folder with a report", is_ours);
  return text_format("a page with a report", report::kPageStart);
}

Status write_pages(const Options& options, const report::Report& report) {
  const std::string& out = options.out;
  const std::map<std::string, std::string> data{{kReport, report::to_text(report)},
                                                {kTrials, report::to_csv(report.trials)}};
  if (options.no_page) return write_folder(out, data, true);
  const report::DrawingLibrary library = report::built_in_library();
  if (!library.present()) {
    spdlog::warn(
        "built without Vega-Lite: the page has tables, not figures; tools/setup.sh fetches it for "
        "the next build");
  }
  const std::string page = report::to_page(report, library);
  if (is_page(out)) return write_file_atomic(out, page);
  std::map<std::string, std::string> files = data;
  files[kPage] = page;
  return write_folder(out, files, true);
}

Result<report::Report> make_report(const Options& options) {
  if (options.again()) {
    if (!options.out.empty() && !is_page(options.out)) {
      return Error{ErrorKind::kUsage,
                   fmt::format("{}: a {} holds no single trainings for a {}; name a page such as "
                               "{} with --out",
                               options.out, kReport, kTrials, kPage)};
    }
    return report::read_report(options.documents.front());
  }
  ESPALIER_TRY(const report::Documents documents,
               report::read_documents({options.documents.begin(), options.documents.end()}));
  report::BuildOptions build;
  build.title = options.title;
  build.metric = options.metric == "loss" ? report::Metric::kLoss : report::Metric::kAccuracy;
  report::Report report = report::build_report(documents, build);
  for (const std::string& warning : report.warnings) spdlog::warn("{}", warning);
  return report;
}

std::string next(const Options& options) {
  const auto in_folder = [&](const char* name) {
    return std::filesystem::path(options.out) / name;
  };
  if (options.out.empty() || options.no_page) {
    const std::string data = options.no_page ? in_folder(kReport).string() : options.common.json;
    return fmt::format("espalier report {} --out {} makes its page", file_word(data, kReport),
                       kPage);
  }
  return fmt::format("open {} in a browser",
                     shell_word(is_page(options.out) ? options.out : in_folder(kPage).string()));
}

Status run(const Options& options) {
  if (options.out.empty() && options.common.json.empty()) {
    return Error{ErrorKind::kUsage,
                 "nothing to write: give --out report.html, --out DIR or --json"};
  }
  ESPALIER_TRY(const report::Report report, make_report(options));
  const Json json = report::to_json(report);
  Outputs outputs;
  if (!options.out.empty()) outputs.add(options.out, write_pages(options, report));
  write_report(outputs, options.common, json);
  outputs.next(next(options));
  return outputs.status();
}

}  // namespace

Command add_report(CLI::App& app) {
  const auto o = std::make_shared<Options>();
  CommandApp* command = add_command(app, "report", "Show documents as one page that works offline",
                                    o->common, report::kReportSchema);
  command
      ->add_option(
          "documents", o->documents,
          "What analyze, search, plan, train, inspect, compile, check and sweep wrote; of a folder "
          "all *.json that lie in it; or one report.json, to make its page again")
      ->required();
  command->reads(
      [o] { return std::vector<std::filesystem::path>(o->documents.begin(), o->documents.end()); });
  command
      ->add_output(
          "--out", o->out, [o] { return format_of(o->out); },
          "The page, when it ends in .html; otherwise a folder for report.html, report.json and "
          "trials.csv")
      ->type_name("FILE.html|DIR");
  command->add_option("--title", o->title, "Title of the page")->capture_default_str();
  command->add_option("--metric", o->metric, "What gains are drawn in: loss or accuracy")
      ->check(one_of({"loss", "accuracy"}))
      ->capture_default_str();
  command->add_flag(
      "--no-page", o->no_page,
      "Of a folder leave the page out, which `espalier report report.json` makes again: "
      "what is kept of a sweep is then small");
  command->effective_if(
      "--no-page", [o] { return !o->out.empty() && !is_page(o->out); },
      "it is about the folder that --out names");
  for (const char* option : {"--title", "--metric"}) {
    command->effective_if(
        option, [o] { return !o->again(); }, "a report.json has its own");
  }
  command->effective_if(
      "--seed", [] { return false; }, "nothing is drawn at random");
  command->footer("Example:\n  espalier report *.json --out report.html");
  return {command, [o] { return run(*o); }, std::shared_ptr<CommonOptions>(o, &o->common)};
}

}  // namespace espalier::cli
