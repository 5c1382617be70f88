// What happens on the device: the arena over a training step, and cycles by kernel.
#include <fmt/format.h>

#include <algorithm>

#include "sections.hpp"

namespace espalier::report {
namespace {

// `mask:conv21` -> mask. Values without one of the prefixes are activations, whatever their name.
std::string role_of(const std::string& value) {
  const std::string prefix = value.substr(0, value.find(':'));
  const std::string letters = prefix.substr(0, prefix.find_first_of("0123456789"));
  if (prefix == value) return "activation";
  if (letters == "d" || prefix == "g") return "gradient";
  if (prefix == "dW" || prefix == "dB") return "parameter gradient";
  if (prefix == "mask" || prefix == "winners") return "mask";
  if (prefix == "rows" || letters == "scratch") return "scratch";
  return prefix == "saved" ? "saved input" : "activation";
}

Table arena_table(const Compiled& compiled, const std::string& id) {
  Table table{.id = id, .caption = "Values in the arena"};
  table.columns = {{"value", "value"},
                   {"role", "role"},
                   {"offset", "offset, bytes", ColumnType::kInteger},
                   {"bytes", "size, bytes", ColumnType::kInteger},
                   {"first", "first step", ColumnType::kInteger},
                   {"last", "last step", ColumnType::kInteger},
                   {"from", "made by"},
                   {"until", "last used by"}};
  for (const Compiled::Value& value : compiled.values) {
    table.rows.push_back({value.name, role_of(value.name), value.offset, value.bytes,
                          value.first_step, value.last_step,
                          compiled.steps[static_cast<std::size_t>(value.first_step)],
                          compiled.steps[static_cast<std::size_t>(value.last_step)]});
  }
  return table;
}

// `most`: bytes of the largest arena of the report, so that all are drawn to one scale.
Json arena_spec(const Table& table, const Compiled& compiled, std::int64_t most) {
  const double promised = static_cast<double>(compiled.arena_bytes) / 1024;
  const Json bytes{{"domain", {0, static_cast<double>(most) / 1024}}};
  const Json steps{{"domain", {0, compiled.steps.size()}}, {"nice", false}};
  Json result = spec::frame(340);
  result["layer"] = {
      spec::with_tooltip({{"transform",
                           {{{"calculate", "datum.offset / 1024"}, {"as", "low"}},
                            {{"calculate", "(datum.offset + datum.bytes) / 1024"}, {"as", "high"}},
                            {{"calculate", "datum.last + 1"}, {"as", "end"}}}},
                          {"mark", {{"type", "rect"}, {"strokeWidth", 0.5}, {"stroke", "#8888"}}},
                          {"encoding",
                           {{"x",
                             {{"field", "first"},
                              {"type", "quantitative"},
                              {"title", "step of the training step"},
                              {"scale", steps}}},
                            {"x2", {{"field", "end"}}},
                            {"y",
                             {{"field", "low"},
                              {"type", "quantitative"},
                              {"title", "place in the arena, KiB"},
                              {"scale", bytes}}},
                            {"y2", {{"field", "high"}}},
                            {"color", spec::colour(table, "role",
                                                   {"activation", "saved input", "mask", "gradient",
                                                    "parameter gradient", "scratch"})}}}},
                         table, {"value", "bytes", "offset", "first", "from", "last", "until"}),
      {{"data", spec::once()},
       {"mark", {{"type", "rule"}, {"strokeWidth", 2}}},
       {"encoding", {{"y", {{"datum", promised}}}}}},
      {{"data", spec::once()},
       {"mark",
        {{"type", "text"},
         {"align", "left"},
         {"baseline", "bottom"},
         {"dx", 4},
         {"dy", -3},
         {"text", fmt::format("promised: {} bytes", compiled.arena_bytes)}}},
       {"encoding", {{"x", {{"datum", 0}}}, {"y", {{"datum", promised}}}}}},
      {{"data", spec::once()},
       {"mark", {{"type", "rule"}, {"strokeDash", {5, 4}}}},
       {"encoding", {{"x", {{"datum", compiled.backward_begin}}}}}}};
  return result;
}

// Bytes of the values alive at the step where they are most, and which step that is.
std::pair<std::int64_t, int> fullest(const Compiled& compiled) {
  std::pair<std::int64_t, int> most{0, 0};
  for (int step = 0; step < static_cast<int>(compiled.steps.size()); ++step) {
    std::int64_t bytes = 0;
    for (const Compiled::Value& value : compiled.values) {
      if (value.first_step <= step && step <= value.last_step) bytes += value.bytes;
    }
    if (bytes > most.first) most = {bytes, step};
  }
  return most;
}

Table kernel_table(const Check& check, const std::string& id) {
  Table table{.id = id, .caption = "Cycles of a training step by kernel"};
  table.columns = {{"kernel", "kernel"},
                   {"megacycles", "M cycles a step", ColumnType::kNumber, 3},
                   {"share", "share, %", ColumnType::kNumber, 1},
                   {"instructions", "M instructions a step", ColumnType::kNumber, 3},
                   {"macs", "M multiply-accumulates", ColumnType::kNumber, 3},
                   {"cycles_per_mac", "cycles a multiply-accumulate", ColumnType::kNumber, 2}};
  std::vector<Check::Kernel> kernels = check.kernels;
  std::stable_sort(kernels.begin(), kernels.end(),
                   [](const auto& a, const auto& b) { return a.cycles > b.cycles; });
  double all = 0;
  for (const Check::Kernel& kernel : kernels) all += kernel.cycles;
  for (const Check::Kernel& kernel : kernels) {
    table.rows.push_back(
        {kernel.name, kernel.cycles / 1e6, all > 0 ? Json(100 * kernel.cycles / all) : Json(),
         kernel.instructions / 1e6, scaled(cell(kernel.macs), 1e-6), cell(kernel.cycles_per_mac)});
  }
  return table;
}

Json kernel_spec(const Table& table) {
  Json y = spec::channel(table, "kernel");
  y["sort"] = nullptr;
  y["title"] = nullptr;
  y["axis"] = {{"labelLimit", 170}};
  Json result = spec::frame(static_cast<int>(table.rows.size()) * 22);
  result["mark"] = {{"type", "bar"}};
  result["encoding"] = {{"x", spec::channel(table, "megacycles")}, {"y", y}};
  return spec::with_tooltip(std::move(result), table,
                            {"kernel", "megacycles", "share", "macs", "cycles_per_mac"});
}

}  // namespace

std::optional<Section> arena_section(const Documents& documents) {
  Section section{.id = "arena", .title = "Memory over a training step"};
  std::int64_t most = 0;
  for (const Compiled& compiled : documents.compiled) most = std::max(most, compiled.arena_bytes);
  for (const Compiled& compiled : documents.compiled) {
    if (compiled.values.empty()) continue;
    const std::size_t n = section.figures.size() + 1;
    Table table = arena_table(compiled, fmt::format("values-{}", n));
    const auto [bytes, step] = fullest(compiled);
    section.figures.push_back(
        {fmt::format("arena-{}", n),
         fmt::format("{} ({}): the arena over a training step", compiled.model.name, compiled.file),
         fmt::format(
             "{} values in {} steps; the dashed line is where the backward pass begins. "
             "Fullest is step {}, {}, with {} bytes alive; the arena has {} bytes, and with "
             "what is kept across steps {} bytes of SRAM are promised.",
             compiled.values.size(), compiled.steps.size(), step,
             compiled.steps[static_cast<std::size_t>(step)], bytes, compiled.arena_bytes,
             compiled.sram_bytes),
         table.id, arena_spec(table, compiled, most)});
    section.tables.push_back(std::move(table));
  }
  if (section.figures.empty()) return std::nullopt;
  return section;
}

std::optional<Section> cycles_section(const Documents& documents) {
  Section section{.id = "cycles", .title = "Cycles by kernel"};
  for (const Check& check : documents.checks) {
    if (!check.equal) {
      section.paragraphs.push_back(fmt::format(
          "{} ({}): the check failed{}; no cycles are shown.", check.program, check.file,
          check.failure.empty() ? ", host and core differ" : ": " + check.failure));
      continue;
    }
    const std::size_t n = section.figures.size() + 1;
    Table table = kernel_table(check, fmt::format("kernels-{}", n));
    if (table.rows.empty()) continue;
    section.figures.push_back(
        {fmt::format("cycles-{}", n),
         fmt::format("{} ({}, {}): cycles of a training step", check.program, check.target,
                     check.file),
         fmt::format("{:.3f} million cycles a step on the simulated core, the same bits as on the "
                     "host; {} takes the most.",
                     check.cycles_per_step.value_or(0) / 1e6,
                     table.rows.front()[0].get<std::string>()),
         table.id, kernel_spec(table)});
    section.tables.push_back(std::move(table));
  }
  if (section.figures.empty() && section.paragraphs.empty()) return std::nullopt;
  return section;
}

}  // namespace espalier::report
