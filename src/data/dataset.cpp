#include "espalier/data/dataset.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <filesystem>
#include <system_error>

#include "readers.hpp"

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSchemes =
    "write cifar10:FILE[,FILE...], idx:IMAGES,LABELS or folder:DIR";

struct Spec {
  std::string_view scheme;
  std::vector<fs::path> paths;
};

Result<Spec> parse_spec(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return Error{ErrorKind::kUsage, fmt::format("dataset '{}': {}; {}", text, why, kSchemes)};
  };
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return wrong("names no format");
  Spec spec{text.substr(0, colon), {}};
  std::string_view rest = text.substr(colon + 1);
  const bool list = spec.scheme == "cifar10" || spec.scheme == "idx";
  if (!list && spec.scheme != "folder") return wrong("unknown format");
  while (true) {
    const std::size_t comma = list ? rest.find(',') : std::string_view::npos;
    spec.paths.emplace_back(rest.substr(0, comma));
    if (spec.paths.back().empty()) return wrong("a file name is missing");
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (spec.scheme == "idx" && spec.paths.size() != 2) return wrong("two files are needed");
  return spec;
}

// The last component, also of `a/b/` and of `.`.
std::string file_name(const fs::path& path) {
  std::error_code error;
  fs::path full = fs::absolute(path, error).lexically_normal();
  if (error) full = path;
  if (!full.has_filename()) full = full.parent_path();
  return full.filename().string();
}

// File names may hold any bytes, JSON may not.
Json valid_utf8(const std::string& text) {
  return Json::parse(json_text(text));
}

Json selection_json(const Selection& selection) {
  switch (selection.kind) {
    case Selection::Kind::kSubset: {
      Json json = {{"step", "subset"}};
      if (!selection.classes.empty()) json["classes"] = selection.classes;
      if (selection.count > 0) {
        json["limit"] = selection.count;
        json["take"] = selection.balanced ? "balanced" : "first";
        if (selection.balanced) json["seed"] = selection.seed;
      }
      return json;
    }
    case Selection::Kind::kTrain:
    case Selection::Kind::kValidation:
      return {{"step", "split"},
              {"part", selection.kind == Selection::Kind::kTrain ? "train" : "validation"},
              {"validation", selection.count},
              {"seed", selection.seed}};
  }
  return {};
}

}  // namespace

Result<Dataset> load_dataset(std::string_view spec) {
  ESPALIER_TRY(const Spec parsed, parse_spec(spec));
  auto dataset = [&]() -> Result<Dataset> {
    if (parsed.scheme == "cifar10") return read_cifar10(parsed.paths);
    if (parsed.scheme == "idx") return read_idx(parsed.paths[0], parsed.paths[1]);
    return read_folder(parsed.paths[0]);
  }();
  if (dataset.ok()) dataset->spec = spec;
  return dataset;
}

std::string portable_spec(std::string_view spec) {
  const Result<Spec> parsed = parse_spec(spec);
  if (!parsed.ok()) return std::string(spec);
  std::string text(parsed->scheme);
  char separator = ':';
  for (const fs::path& path : parsed->paths) {
    text += separator + file_name(path);
    separator = ',';
  }
  return text;
}

Json identity_json(const Dataset& dataset) {
  Json selections = Json::array();
  for (const Selection& selection : dataset.selections) {
    selections.push_back(selection_json(selection));
  }
  return {{"spec", valid_utf8(portable_spec(dataset.spec))},
          {"sha256", dataset.sha256},
          {"count", dataset.size()},
          {"classes", dataset.classes},
          {"selections", std::move(selections)}};
}

}  // namespace espalier::data
