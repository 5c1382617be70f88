#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>

#include "espalier/data/classes.hpp"
#include "espalier/support/file.hpp"
#include "readers.hpp"

namespace espalier::data {
namespace {

using Row = std::vector<std::string>;

constexpr std::array<std::string_view, 4> kLabelColumns{"label", "class", "target", "y"};
// What is written in place of a number that is missing.
constexpr std::array<std::string_view, 6> kMissing{"na", "n/a", "#n/a", "<na>", "nan", "null"};
constexpr int kMostClasses = 32767;

Error bad(const std::string& where, std::size_t line, std::string_view what) {
  return Error{ErrorKind::kBadInput, fmt::format("{}:{}: {}", where, line, what)};
}

// The fields of a line. Quotes around a field are dropped, doubled ones inside stand for one.
Row split_line(std::string_view line, char separator) {
  Row fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      const bool doubled = quoted && i + 1 < line.size() && line[i + 1] == '"';
      if (doubled) fields.back() += line[++i];
      if (!doubled) quoted = !quoted;
    } else if (c == separator && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  for (std::string& field : fields) {
    const std::size_t begin = field.find_first_not_of(" \t");
    const std::size_t end = field.find_last_not_of(" \t");
    field = begin == std::string::npos ? std::string() : field.substr(begin, end - begin + 1);
  }
  return fields;
}

std::optional<double> real(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

// The first that stands outside quotes.
char separator_of(std::string_view line) {
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == ',' || c == ';' || c == '\t')) return c;
  }
  return ',';
}

bool equal_words(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char left, char right) {
    return std::tolower(static_cast<unsigned char>(left)) ==
           std::tolower(static_cast<unsigned char>(right));
  });
}

// The next line that is not empty, taken off `rest`, and its number counted up; false at the end.
bool next_line(std::string_view& rest, std::string_view& line, std::size_t& number) {
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) return true;
  }
  return false;
}

std::vector<std::size_t> words_of(const Row& row) {
  std::vector<std::size_t> words;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!real(row[i])) words.push_back(i);
  }
  return words;
}

bool is_usual_label(const std::string& field) {
  return std::any_of(kLabelColumns.begin(), kLabelColumns.end(), [&](auto name) {
    // A single letter may be the class of a row without header.
    return name.size() > 1 && equal_words(field, name);
  });
}

// How many fields there are beside `word`, if they are 0, 1, 2, ... or, `first` being 1, 1, 2, 3,
// ...; otherwise 0.
std::size_t counted_fields(const Row& row, std::size_t word, std::size_t first) {
  std::size_t counted = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i == word) continue;
    if (row[i] != std::to_string(first + counted)) return 0;
    ++counted;
  }
  return counted;
}

// What the rows below the first have in one of its columns.
struct Below {
  bool again = false;  // what it has there itself, so that this is a class
  bool numbers = false;
  bool words = false;
};

Below below(const Row& first, std::size_t column, std::string_view rest, char separator) {
  Below found;
  std::string_view line;
  for (std::size_t number = 0; !found.again && next_line(rest, line, number);) {
    const Row row = split_line(line, separator);
    if (column >= row.size()) continue;
    found.again = row[column] == first[column];
    (real(row[column]) ? found.numbers : found.words) = true;
  }
  return found;
}

// A header has names where the rows in `rest` have numbers. Where but one field is a word, that may
// be a class in front of which are features: a header has it if it is what labels are often called
// or the others count columns, unless a row below has it, too.
bool is_header(const Row& first, std::string_view rest, char separator, const std::string& wanted) {
  const std::vector<std::size_t> words = words_of(first);
  if (words.size() == first.size()) return true;
  const auto any = [&](auto&& is) { return std::any_of(first.begin(), first.end(), is); };
  if (!wanted.empty() && any([&](const std::string& f) { return equal_words(f, wanted); })) {
    return true;
  }
  const bool usual = any(is_usual_label);
  if (words.size() != 1) return usual;
  const std::size_t word = words.front();
  const std::size_t from_0 = counted_fields(first, word, 0);
  const std::size_t counted = std::max(from_0, counted_fields(first, word, 1));
  if (!usual && counted < 2) return false;
  const Below column = below(first, word, rest, separator);
  if (column.again) return false;
  // Without a header, no row has a word but in the last column. There 1,2,y may be a sample.
  const bool of_numbers = column.numbers && !column.words;
  return usual || word + 1 < first.size() || of_numbers || from_0 >= 2 || counted >= 3;
}

// A header in words, without most of a long one.
std::string some_of(const Row& header) {
  constexpr std::size_t kShown = 8;
  if (header.size() <= kShown) return fmt::format("{}", fmt::join(header, ", "));
  return fmt::format("{}, ... {}, {} in all",
                     fmt::join(header.begin(), header.begin() + kShown - 1, ", "), header.back(),
                     header.size());
}

// The column of labels: the one that was asked for, one of the usual names, the only name among
// numbers, or the last.
Result<std::size_t> label_column(const Row& first, bool header, const std::string& wanted,
                                 const std::string& where) {
  const auto find = [&](std::string_view name) -> std::optional<std::size_t> {
    for (std::size_t i = 0; header && i < first.size(); ++i) {
      if (equal_words(first[i], name)) return i;
    }
    return std::nullopt;
  };
  if (!wanted.empty()) {
    if (const auto at = find(wanted)) return *at;
    return bad(where, 1,
               header
                   ? fmt::format("no column is called '{}'; there are {}", wanted, some_of(first))
                   : fmt::format("has no header with a column '{}'; add one", wanted));
  }
  for (const std::string_view name : kLabelColumns) {
    if (name == "y" && find("z")) continue;  // an axis of three
    if (const auto at = find(name)) return *at;
  }
  const std::vector<std::size_t> words = words_of(first);
  return header && words.size() == 1 ? words.front() : first.size() - 1;
}

// Labels as written to numbers and names: whole numbers stay what they are, other words are
// numbered in byte order. `lines` says where each stands.
Status number_labels(const std::vector<std::string>& words, const std::vector<std::size_t>& lines,
                     const std::string& where, Dataset& dataset) {
  const auto is_number = [](const std::string& word) { return real(word).has_value(); };
  const auto is_missing = [](const std::string& word) {
    return std::any_of(kMissing.begin(), kMissing.end(),
                       [&](std::string_view missing) { return equal_words(word, missing); });
  };
  const auto word = std::find_if_not(words.begin(), words.end(), is_number);
  // Among names such a word may be one, too.
  if (word != words.end() && std::any_of(words.begin(), words.end(), is_number) &&
      std::all_of(word, words.end(),
                  [&](const std::string& w) { return is_number(w) || is_missing(w); })) {
    return bad(where, lines[static_cast<std::size_t>(word - words.begin())],
               fmt::format("the label is missing, '{}' among numbers; remove the row", *word));
  }
  if (word != words.end()) {
    std::map<std::string, int> classes;
    for (const std::string& name : words) classes.emplace(name, 0);
    for (auto& [name, index] : classes) {
      index = dataset.classes++;
      dataset.class_names.push_back(name);
    }
    for (const std::string& name : words) dataset.labels.push_back(classes.at(name));
    return Ok{};
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    const double value = *real(words[i]);
    if (value != std::floor(value) || value < 0 || value >= kMostClasses) {
      return bad(where, lines[i],
                 fmt::format("label {} makes this a regression; only classes, names or whole "
                             "numbers from 0 on, can be learned",
                             words[i]));
    }
    dataset.labels.push_back(static_cast<int>(value));
  }
  dataset.classes = 1 + *std::max_element(dataset.labels.begin(), dataset.labels.end());
  dataset.class_names = class_numbers(dataset.classes);
  return Ok{};
}

// What to do about a field that is no number. Spreadsheets of many languages write 0,5.
std::string_view advice(std::string field) {
  const std::size_t comma = field.find(',');
  if (comma != std::string::npos) field[comma] = '.';
  return comma != std::string::npos && real(field) ? "write decimals with a point"
                                                   : "remove the row or fill it in";
}

// One row's features, its label column left out, as float32.
Result<Image> features_of(const Row& row, std::size_t label, const std::string& where,
                          std::size_t line) {
  Image image{1, 1, static_cast<int>(row.size()) - 1, {}};
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (i == label) continue;
    const std::optional<double> value = real(row[i]);
    if (!value || std::abs(*value) > 1e30) {
      return bad(where, line,
                 fmt::format("column {}: '{}' is not a number; {}", i + 1, row[i], advice(row[i])));
    }
    const auto single = static_cast<float>(*value);
    std::array<std::uint8_t, sizeof single> bytes{};
    std::memcpy(bytes.data(), &single, sizeof single);
    image.pixels.insert(image.pixels.end(), bytes.begin(), bytes.end());
  }
  return image;
}

}  // namespace

Result<Dataset> read_csv(const std::filesystem::path& file, const std::string& column) {
  constexpr std::int64_t kMaxCsvBytes = std::int64_t{1} << 30;
  const std::string where = file.string();
  ESPALIER_TRY(const std::string content, read_data_file(file, kMaxCsvBytes));
  Dataset dataset;
  dataset.element = Element::kFloat32;
  dataset.sha256 = sha256_hex(content);
  std::vector<std::string> words;
  std::vector<std::size_t> lines;  // of these words
  std::string_view rest = content;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);  // a byte order mark
  if (rest.find('\0') != std::string_view::npos) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds bytes of 0, as UTF-16 has them; save it as UTF-8", where)};
  }
  const char separator = separator_of(rest.substr(0, rest.find('\n')));
  std::size_t width = 0;
  std::size_t label = 0;
  std::string_view text;
  for (std::size_t line = 0; next_line(rest, text, line);) {
    const Row row = split_line(text, separator);
    if (width == 0) {
      width = row.size();
      if (width < 2) return bad(where, line, "has one column; features and a label are needed");
      const bool header = is_header(row, rest, separator, column);
      ESPALIER_TRY(label, label_column(row, header, column, where));
      if (header) continue;
    }
    if (row.size() != width) {
      return bad(where, line,
                 fmt::format("has {} columns, and the first line {}", row.size(), width));
    }
    constexpr std::int64_t kValueBytes = sizeof(float);
    if (dataset.size() >= most_records(kValueBytes * static_cast<std::int64_t>(width))) {
      return bad(where, line,
                 fmt::format("{} samples are the limit; use a part of them", dataset.size()));
    }
    ESPALIER_TRY(Image image, features_of(row, label, where, line));
    if (row[label].empty()) return bad(where, line, "the label is missing; remove the row");
    dataset.images.push_back(std::move(image));
    words.push_back(row[label]);
    lines.push_back(line);
  }
  if (words.empty()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds no sample; a line is features and a label", where)};
  }
  ESPALIER_CHECK_OK(number_labels(words, lines, where, dataset));
  return dataset;
}

}  // namespace espalier::data
