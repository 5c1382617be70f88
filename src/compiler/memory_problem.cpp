#include "espalier/compiler/memory_problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>

namespace espalier::compiler {
namespace {

// Leaves room for an offset plus a size.
constexpr std::int64_t kMaxTotalBytes = std::numeric_limits<std::int64_t>::max() / 4;

void require(const MemoryProblem& problem) {
  const Status status = check(problem);
  if (!status.ok()) throw std::invalid_argument(status.error().message());
}

// The layout has no quotes, so a separator inside a name would shift the columns behind it.
std::string plain_name(const std::vector<std::string>& names, std::size_t index) {
  if (index >= names.size() || names[index].empty()) return std::to_string(index);
  std::string name = names[index];
  for (char& c : name) {
    if (c == ',' || c == '"' || static_cast<unsigned char>(c) < 0x20) c = '_';
  }
  return name;
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

class CsvReader {
 public:
  explicit CsvReader(std::string_view where) : where_(where) {}

  Result<MemoryProblem> read(std::string_view text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      ++line_;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) continue;
      if (columns_ != 0) {
        read_buffer(split(line));
        continue;
      }
      read_header(split(line));
      // Every other finding would be a consequence of these.
      if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    }
    if (columns_ == 0) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: no header; begin with 'id,lower,upper,size'", where_)};
    }
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    problem_.alignment = alignment_.value_or(1);
    const Status status = check(problem_);
    if (!status.ok()) {
      for (const std::string& finding : status.error().diagnostics) {
        problems_.push_back(fmt::format("{}: {}", where_, finding));
      }
      return Error{ErrorKind::kBadInput, problems_};
    }
    return std::move(problem_);
  }

 private:
  using Column = std::optional<std::size_t>;

  void problem(const std::string& text) {
    problems_.push_back(fmt::format("{}:{}: {}", where_, line_, text));
  }

  void read_header(const std::vector<std::string_view>& fields) {
    columns_ = fields.size();
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const std::string_view name = fields[i];
      Column* const column = find_column(name);
      if (column == nullptr) continue;
      if (column->has_value()) {
        problem(fmt::format("two columns '{}'; keep one of them", name));
        continue;
      }
      *column = i;
    }
    const auto demand = [&](const Column& column, std::string_view name) {
      if (!column) problem(fmt::format("no column '{}'; the header must name it", name));
    };
    demand(lower_, "lower");
    demand(upper_, "upper");
    demand(size_, "size");
  }

  Column* find_column(std::string_view name) {
    if (name == "lower") return &lower_;
    if (name == "upper") return &upper_;
    if (name == "size") return &size_;
    if (name == "alignment") return &alignment_column_;
    if (name == "gaps") return &gaps_;
    return nullptr;
  }

  void read_buffer(const std::vector<std::string_view>& fields) {
    if (fields.size() != columns_) {
      problem(fmt::format("{} fields, but the header has {} columns", fields.size(), columns_));
      return;
    }
    const std::size_t before = problems_.size();
    const int first = read_step(fields[*lower_], "lower");
    const int upper = read_step(fields[*upper_], "upper");
    const std::optional<std::int64_t> bytes = parse_integer(fields[*size_]);
    if (!bytes || *bytes <= 0) {
      problem(fmt::format("size '{}' is not a number of bytes above 0", fields[*size_]));
    }
    if (gaps_ && !fields[*gaps_].empty()) {
      problem("a buffer with gaps; split it into one buffer for each part of its lifetime");
    }
    if (alignment_column_) read_alignment(fields[*alignment_column_]);
    if (problems_.size() != before) return;
    if (upper <= first) {
      problem(
          fmt::format("upper {} must be above lower {}; it is the first step in which the "
                      "buffer is dead",
                      upper, first));
      return;
    }
    problem_.buffers.push_back({*bytes, first, upper - 1});
    problem_.steps = std::max(problem_.steps, upper);
  }

  int read_step(std::string_view text, std::string_view column) {
    const std::optional<std::int64_t> value = parse_integer(text);
    if (value && *value >= 0 && *value <= kMaxSteps) return static_cast<int>(*value);
    problem(fmt::format("{} '{}' is not a step from 0 to {}", column, text, kMaxSteps));
    return 0;
  }

  void read_alignment(std::string_view text) {
    const std::optional<std::int64_t> value = parse_integer(text);
    if (!value || *value <= 0 || *value > (1 << 30) ||
        !std::has_single_bit(static_cast<std::uint64_t>(*value))) {
      problem(fmt::format("alignment '{}' is not a power of two from 1 to 2^30", text));
      return;
    }
    if (!alignment_) alignment_ = static_cast<int>(*value);
    if (*alignment_ != *value) {
      problem(fmt::format("alignment {} after {}; all buffers must have the same", *value,
                          *alignment_));
    }
  }

  std::string_view where_;
  int line_ = 0;
  std::size_t columns_ = 0;  ///< of the header; 0: not read yet
  Column lower_;
  Column upper_;
  Column size_;
  Column alignment_column_;
  Column gaps_;
  std::optional<int> alignment_;
  MemoryProblem problem_;
  std::vector<std::string> problems_;
};

}  // namespace

Status check(const MemoryProblem& problem) {
  std::vector<std::string> findings;
  const bool aligned =
      problem.alignment > 0 && std::has_single_bit(static_cast<unsigned>(problem.alignment));
  if (!aligned) {
    findings.push_back(
        fmt::format("alignment {} is not a power of two; give 1, 2, 4, ...", problem.alignment));
  }
  if (problem.steps < 0 || problem.steps > kMaxSteps) {
    findings.push_back(
        fmt::format("{} steps; there must be from 0 to {}", problem.steps, kMaxSteps));
  }
  std::int64_t total = 0;
  bool overflow = false;
  for (std::size_t i = 0; i < problem.buffers.size(); ++i) {
    const BufferLifetime& buffer = problem.buffers[i];
    if (buffer.bytes <= 0) {
      findings.push_back(
          fmt::format("buffer {}: {} bytes; a buffer must hold at least 1", i, buffer.bytes));
    }
    if (buffer.last < buffer.first) {
      findings.push_back(fmt::format("buffer {}: its last step {} is before its first step {}", i,
                                     buffer.last, buffer.first));
    } else if (buffer.first < 0 || buffer.last >= problem.steps) {
      findings.push_back(fmt::format("buffer {}: steps {} to {}, but the problem has {} steps", i,
                                     buffer.first, buffer.last, problem.steps));
    }
    if (!aligned || buffer.bytes <= 0 || overflow) continue;
    overflow = buffer.bytes > kMaxTotalBytes ||
               align_up(buffer.bytes, problem.alignment) > kMaxTotalBytes - total;
    if (!overflow) {
      total += align_up(buffer.bytes, problem.alignment);
    } else {
      findings.push_back(
          fmt::format("buffer {}: {} bytes bring the sum of all sizes above {}, where offsets "
                      "would overflow",
                      i, buffer.bytes, kMaxTotalBytes));
    }
  }
  if (problem.stacked < 0 || problem.stacked > static_cast<int>(problem.buffers.size())) {
    findings.push_back(
        fmt::format("{} stacked buffers of {}", problem.stacked, problem.buffers.size()));
  } else {
    for (std::size_t i = 1; i < static_cast<std::size_t>(problem.stacked); ++i) {
      const BufferLifetime& below = problem.buffers[i - 1];
      if (below.first > problem.buffers[i].first || below.last < problem.buffers[i].last) {
        findings.push_back(
            fmt::format("buffer {}: outlives buffer {}, which it is stacked upon", i, i - 1));
      }
    }
  }
  if (!findings.empty()) return Error{ErrorKind::kBadInput, findings};
  return Ok{};
}

std::vector<std::int64_t> bytes_in_use(const MemoryProblem& problem) {
  require(problem);
  std::vector<std::int64_t> bytes(static_cast<std::size_t>(problem.steps) + 1, 0);
  for (const BufferLifetime& buffer : problem.buffers) {
    const std::int64_t size = align_up(buffer.bytes, problem.alignment);
    bytes[static_cast<std::size_t>(buffer.first)] += size;
    bytes[static_cast<std::size_t>(buffer.last) + 1] -= size;
  }
  for (std::size_t step = 1; step < bytes.size(); ++step) bytes[step] += bytes[step - 1];
  bytes.pop_back();
  return bytes;
}

std::int64_t lower_bound(const MemoryProblem& problem) {
  const std::vector<std::int64_t> bytes = bytes_in_use(problem);
  return bytes.empty() ? 0 : *std::max_element(bytes.begin(), bytes.end());
}

std::string to_csv(const MemoryProblem& problem, const std::vector<std::string>& names,
                   const MemoryPlan* plan) {
  if (plan != nullptr && plan->offsets.size() != problem.buffers.size()) {
    throw std::invalid_argument(fmt::format("a plan of {} buffers for a problem of {}",
                                            plan->offsets.size(), problem.buffers.size()));
  }
  const bool with_alignment = problem.alignment != 1;
  std::string text = "id,lower,upper,size";
  if (with_alignment) text += ",alignment";
  if (plan != nullptr) text += ",offset";
  text += '\n';
  for (std::size_t i = 0; i < problem.buffers.size(); ++i) {
    const BufferLifetime& buffer = problem.buffers[i];
    fmt::format_to(std::back_inserter(text), "{},{},{},{}", plain_name(names, i), buffer.first,
                   static_cast<std::int64_t>(buffer.last) + 1, buffer.bytes);
    if (with_alignment) fmt::format_to(std::back_inserter(text), ",{}", problem.alignment);
    if (plan != nullptr) fmt::format_to(std::back_inserter(text), ",{}", plan->offsets[i]);
    text += '\n';
  }
  return text;
}

Result<MemoryProblem> problem_from_csv(std::string_view text, std::string_view where) {
  return CsvReader(where).read(text);
}

}  // namespace espalier::compiler
