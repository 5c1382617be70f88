#include "espalier/data/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <set>
#include <system_error>

#include "readers.hpp"

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSchemes =
    "write cifar10:FILE[,FILE...], idx:IMAGES,LABELS, folder:DIR, npy:FEATURES,LABELS, npz:FILE or "
    "csv:FILE";

struct Spec {
  std::string_view scheme;
  std::vector<fs::path> paths;
  std::vector<std::string> names;  // two, of what is inside the file; empty ones were not given
};

// How many parts a format takes, and how many of them are files; the others name what is in them.
struct Format {
  std::string_view scheme;
  std::size_t least;
  std::size_t most;
  std::size_t files;
};
constexpr std::size_t kAny = 1000000;
constexpr std::array<Format, 6> kFormats{{{"cifar10", 1, kAny, kAny},
                                          {"idx", 2, 2, 2},
                                          {"folder", 1, 1, 1},
                                          {"npy", 2, 2, 2},
                                          {"npz", 1, 3, 1},
                                          {"csv", 1, 2, 1}}};

Result<Spec> parse_spec(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return Error{ErrorKind::kUsage, fmt::format("dataset '{}': {}; {}", text, why, kSchemes)};
  };
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return wrong("names no format");
  const auto* const format = std::find_if(kFormats.begin(), kFormats.end(), [&](const Format& f) {
    return f.scheme == text.substr(0, colon);
  });
  if (format == kFormats.end()) return wrong("unknown format");
  Spec spec{format->scheme, {}, {}};
  std::string_view rest = text.substr(colon + 1);
  // The name of a folder may hold a comma: nothing follows it.
  const bool list = format->most > 1;
  while (true) {
    const std::size_t comma = list ? rest.find(',') : std::string_view::npos;
    const std::string_view part = rest.substr(0, comma);
    if (part.empty()) return wrong("a file name is missing");
    if (spec.paths.size() < format->files) {
      spec.paths.emplace_back(part);
    } else {
      spec.names.emplace_back(part);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  // Other formats take files of different kinds.
  if (format->files == kAny) {
    for (auto path = spec.paths.begin(); path != spec.paths.end(); ++path) {
      const bool again = std::any_of(spec.paths.begin(), path, [&](const fs::path& other) {
        std::error_code error;
        return fs::equivalent(other, *path, error) && !error;
      });
      if (again) return wrong(fmt::format("'{}' is there twice", path->string()));
    }
  }
  const std::size_t parts = spec.paths.size() + spec.names.size();
  if (format->least == 2 && parts != 2) return wrong("two files are needed");
  if (parts > format->most) return wrong("has too many parts");
  spec.names.resize(2);
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

// The spec with `name_of` in place of each path.
template <typename NameOf>
std::string spec_text(const Spec& spec, NameOf name_of) {
  std::string text(spec.scheme);
  char separator = ':';
  for (const fs::path& path : spec.paths) {
    text += separator + name_of(path);
    separator = ',';
  }
  for (const std::string& name : spec.names) {
    if (!name.empty()) text += separator + name;
  }
  return text;
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
    case Selection::Kind::kValidation: {
      const char* part = selection.kind == Selection::Kind::kTrain ? "train" : "validation";
      if (selection.folds > 0) {
        Json json{{"step", "fold"},
                  {"part", part},
                  {"fold", selection.fold},
                  {"folds", selection.folds},
                  {"seed", selection.seed}};
        if (selection.joined > 0) json["joined"] = selection.joined;
        return json;
      }
      Json json{{"step", "split"},
                {"part", part},
                {"validation", selection.count},
                {"seed", selection.seed}};
      // Only where versions before that bound chose other records.
      if (selection.halved) json["most_of_class"] = "half";
      if (selection.last) json["last_of"] = selection.balanced ? "balanced" : "first";
      return json;
    }
  }
  return {};
}

}  // namespace

namespace {

// Names come from folders and files, which may hold any bytes, and are matched with those that
// documents hold, which may not.
Status name_as_documents_do(Dataset& dataset) {
  std::set<std::string> names;
  for (std::string& name : dataset.class_names) {
    name = valid_utf8(name);
    if (names.insert(name).second) continue;
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: two classes named {} differ only in bytes that are no UTF-8; "
                             "rename one",
                             dataset.spec, name)};
  }
  return Ok{};
}

Result<Dataset> read(std::string_view spec, bool decode_folders) {
  ESPALIER_TRY(const Spec parsed, parse_spec(spec));
  auto dataset = [&]() -> Result<Dataset> {
    if (parsed.scheme == "cifar10") return read_cifar10(parsed.paths);
    if (parsed.scheme == "idx") return read_idx(parsed.paths[0], parsed.paths[1]);
    if (parsed.scheme == "npy") return read_npy(parsed.paths[0], parsed.paths[1]);
    if (parsed.scheme == "npz") return read_npz(parsed.paths[0], parsed.names[0], parsed.names[1]);
    if (parsed.scheme == "csv") return read_csv(parsed.paths[0], parsed.names[0]);
    return read_folder(parsed.paths[0], decode_folders);
  }();
  if (!dataset.ok()) return dataset;
  dataset->spec = spec;
  ESPALIER_CHECK_OK(name_as_documents_do(*dataset));
  return dataset;
}

}  // namespace

Result<Dataset> load_dataset(std::string_view spec) { return read(spec, true); }

Result<Dataset> open_dataset(std::string_view spec) { return read(spec, false); }

std::string portable_spec(std::string_view spec) {
  const Result<Spec> parsed = parse_spec(spec);
  return parsed.ok() ? spec_text(*parsed, file_name) : std::string(spec);
}

std::vector<fs::path> spec_files(std::string_view spec) {
  const Result<Spec> parsed = parse_spec(spec);
  return parsed.ok() ? parsed->paths : std::vector<fs::path>();
}

std::string spec_in(std::string_view spec, const fs::path& folder) {
  const Result<Spec> parsed = parse_spec(spec);
  if (!parsed.ok()) return std::string(spec);
  // What is absolute stays: that is how paths are joined.
  return spec_text(
      *parsed, [&](const fs::path& path) { return (folder / path).lexically_normal().string(); });
}

Json identity_json(const Dataset& dataset) {
  Json names = Json::array();
  for (const std::string& name : dataset.class_names) names.push_back(name);
  Json selections = Json::array();
  for (const Selection& selection : dataset.selections) {
    selections.push_back(selection_json(selection));
  }
  Json json{{"spec", valid_utf8(portable_spec(dataset.spec))},
            {"sha256", dataset.sha256},
            {"count", dataset.size()},
            {"classes", dataset.classes},
            {"class_names", std::move(names)},
            {"selections", std::move(selections)}};
  if (dataset.element != Element::kPixel) json["element"] = element_name(dataset.element);
  return json;
}

std::string_view element_name(Element element) {
  switch (element) {
    case Element::kPixel:
      return "pixel";
    case Element::kUint8:
      return "uint8";
    case Element::kInt8:
      return "int8";
    case Element::kFloat32:
      return "float32";
  }
  return "";
}

}  // namespace espalier::data
