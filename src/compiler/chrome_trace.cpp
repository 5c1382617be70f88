#include "espalier/compiler/chrome_trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <tuple>

#include "espalier/support/json.hpp"

namespace espalier::compiler {
namespace {

constexpr int kProcess = 1;
constexpr int kStepRow = 0;  ///< rows of buffers follow

// Rows from the lowest address up: a buffer takes the first row that is free over its lifetime.
// Returns the row of every buffer, from 0.
std::vector<int> assign_rows(const MemoryProblem& problem, const MemoryPlan& plan) {
  std::vector<std::size_t> order(problem.buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(plan.offsets[a], problem.buffers[a].first, a) <
           std::tuple(plan.offsets[b], problem.buffers[b].first, b);
  });
  std::vector<std::vector<BufferLifetime>> rows;
  std::vector<int> row_of(problem.buffers.size());
  for (const std::size_t i : order) {
    const BufferLifetime& buffer = problem.buffers[i];
    const auto is_free = [&](const std::vector<BufferLifetime>& row) {
      return std::all_of(row.begin(), row.end(), [&](const BufferLifetime& other) {
        return other.last < buffer.first || buffer.last < other.first;
      });
    };
    const auto row = std::find_if(rows.begin(), rows.end(), is_free);
    row_of[i] = static_cast<int>(row - rows.begin());
    if (row == rows.end()) {
      rows.push_back({buffer});
    } else {
      row->push_back(buffer);
    }
  }
  return row_of;
}

class TraceWriter {
 public:
  void label_row(int row, const std::string& name) {
    Json event = {{"ph", "M"}, {"pid", kProcess}, {"tid", row}, {"name", "thread_name"}};
    event["args"]["name"] = name;
    add(event);
    event["name"] = "thread_sort_index";
    event["args"] = {{"sort_index", row}};
    add(event);
  }

  void label_process(const std::string& name) {
    Json event = {{"ph", "M"}, {"pid", kProcess}, {"name", "process_name"}};
    event["args"]["name"] = name;
    add(event);
  }

  void bar(const std::string& name, const char* category, int row, int first, int last, Json args) {
    Json event = {{"ph", "X"},    {"pid", kProcess}, {"tid", row},
                  {"name", name}, {"cat", category}, {"ts", first}};
    event["dur"] = static_cast<std::int64_t>(last) - first + 1;
    event["args"] = std::move(args);
    add(event);
  }

  void counter(std::size_t step, std::int64_t bytes) {
    Json event = {{"ph", "C"}, {"pid", kProcess}, {"name", "bytes in use"}, {"ts", step}};
    event["args"]["bytes"] = bytes;
    add(event);
  }

  [[nodiscard]] std::string finish() && {
    return "{\"displayTimeUnit\": \"ns\",\n\"traceEvents\": [" + std::move(events_) + "\n]}\n";
  }

 private:
  void add(const Json& event) {
    events_ += events_.empty() ? "\n" : ",\n";
    // Names may come from a model file and need not be UTF-8.
    events_ += json_text(event);
  }

  std::string events_;
};

}  // namespace

std::string chrome_trace(const MemoryProblem& problem, const MemoryPlan& plan,
                         const std::vector<std::string>& buffer_names,
                         const std::vector<std::string>& step_names) {
  const std::vector<std::int64_t> in_use = bytes_in_use(problem);
  if (plan.offsets.size() != problem.buffers.size()) {
    throw std::invalid_argument(fmt::format("a plan of {} buffers for a problem of {}",
                                            plan.offsets.size(), problem.buffers.size()));
  }
  TraceWriter trace;
  trace.label_process(
      fmt::format("arena: peak {} bytes, lower bound {} bytes", plan.peak, plan.lower_bound));
  trace.label_row(kStepRow, "steps");
  const std::vector<int> rows = assign_rows(problem, plan);
  const int row_count = rows.empty() ? 0 : *std::max_element(rows.begin(), rows.end()) + 1;
  for (int row = 0; row < row_count; ++row) {
    trace.label_row(kStepRow + 1 + row, fmt::format("buffers {}", row));
  }
  for (std::size_t step = 0; step < std::min(step_names.size(), in_use.size()); ++step) {
    const int at = static_cast<int>(step);
    trace.bar(step_names[step], "step", kStepRow, at, at,
              {{"step", step}, {"bytes_in_use", in_use[step]}});
  }
  for (std::size_t i = 0; i < problem.buffers.size(); ++i) {
    const BufferLifetime& buffer = problem.buffers[i];
    const bool named = i < buffer_names.size() && !buffer_names[i].empty();
    trace.bar(named ? buffer_names[i] : std::to_string(i), "buffer", kStepRow + 1 + rows[i],
              buffer.first, buffer.last,
              {{"buffer", i},
               {"offset", plan.offsets[i]},
               {"bytes", buffer.bytes},
               {"first_step", buffer.first},
               {"last_step", buffer.last}});
  }
  for (std::size_t step = 0; step < in_use.size(); ++step) trace.counter(step, in_use[step]);
  trace.counter(in_use.size(), 0);
  return std::move(trace).finish();
}

}  // namespace espalier::compiler
