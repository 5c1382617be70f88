#include "sections.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

namespace espalier::report {

const Network* network_of(const Documents& documents, const Model& model) {
  for (const Network& network : documents.networks) {
    if (network.model.sha256 == model.sha256) return &network;
  }
  return nullptr;
}

std::string kind_of(const Network* network, int conv) {
  if (network == nullptr || conv >= static_cast<int>(network->convs.size())) return "not known";
  return network->convs[static_cast<std::size_t>(conv)].kind;
}

bool several_models(const Updates& updates) {
  return std::any_of(updates.all.begin(), updates.all.end(), [&](const Update& u) {
    return u.model.sha256 != updates.all[0].model.sha256;
  });
}

void drop_plain_columns(Table& table) {
  for (std::size_t i = table.columns.size(); i-- > 1;) {
    const std::string& key = table.columns[i].key;
    const bool name = key == "model" || key == "setting" || key == "search";
    const Json plain = key == "diverged" ? Json(0) : name ? table.rows.front()[i] : Json();
    if (!std::all_of(table.rows.begin(), table.rows.end(),
                     [&](const auto& row) { return row[i] == plain; })) {
      continue;
    }
    table.columns.erase(table.columns.begin() + static_cast<std::ptrdiff_t>(i));
    for (auto& row : table.rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

Table trials_table(const Documents& documents) {
  Table table{.id = "trials", .caption = "Every single training"};
  table.columns = {{"document", "document"},
                   {"model", "model"},
                   {"measured_on", "measured on"},
                   {"bias_depth", "bias depth", ColumnType::kInteger},
                   {"weights", "convs with trained weights", ColumnType::kInteger},
                   {"conv", "conv", ColumnType::kInteger},
                   {"ratio", "ratio", ColumnType::kNumber},
                   {"analytic_bytes", "extra memory, bytes", ColumnType::kInteger},
                   {"seed", "seed", ColumnType::kInteger},
                   {"diverged", "diverged", ColumnType::kFlag},
                   {"accuracy", "accuracy", ColumnType::kNumber},
                   {"loss", "loss", ColumnType::kNumber},
                   {"update", "update"},
                   {"setting", "setting"}};
  for (const Profile& profile : documents.profiles) {
    for (const Profile::Trial& t : profile.trials) {
      table.rows.push_back({profile.file, profile.model.name, "validation", t.depth,
                            t.weights ? 1 : 0, t.weights ? Json(t.weights->conv) : Json(),
                            t.weights ? Json(t.weights->ratio) : Json(), Json(), t.seed,
                            !t.accuracy, cell(t.accuracy), cell(t.loss), Json(), Json()});
    }
  }
  for (const Training& t : documents.trainings) {
    table.rows.push_back({t.file, t.model.name, "test", t.bias_depth, t.weights, Json(), Json(),
                          t.analytic_bytes, t.seed, !t.accuracy, cell(t.accuracy), cell(t.loss),
                          t.label.empty() ? Json() : Json(t.label), t.setting});
  }
  return table;
}

namespace {

std::size_t index_of(const Table& table, const std::string& key) {
  const auto column = std::find_if(table.columns.begin(), table.columns.end(),
                                   [&](const Column& c) { return c.key == key; });
  return static_cast<std::size_t>(column - table.columns.begin());
}

}  // namespace

namespace spec {

Json frame(int height) {
  return {{"data", {{"name", "table"}}},
          {"width", "container"},
          {"height", height},
          {"autosize", {{"type", "fit-x"}, {"contains", "padding"}}}};
}

Json channel(const Table& table, const std::string& key) {
  const Column& column = table.columns[index_of(table, key)];
  const bool number = column.type == ColumnType::kInteger || column.type == ColumnType::kNumber;
  return {{"field", key}, {"type", number ? "quantitative" : "nominal"}, {"title", column.title}};
}

Json with_tooltip(Json layer, const Table& table, const std::vector<std::string>& keys) {
  Json all = Json::array();
  for (const std::string& key : keys) {
    const std::size_t index = index_of(table, key);
    const Column& column = table.columns[index];
    const auto without = std::count_if(table.rows.begin(), table.rows.end(),
                                       [&](const auto& row) { return row[index].is_null(); });
    if (without == std::ssize(table.rows)) continue;
    const std::string format =
        column.type == ColumnType::kNumber ? fmt::format(".{}f", column.decimals) : "";
    Json one = channel(table, key);
    if (without > 0) {
      // Vega would call it null.
      const std::string text = key + "_text";
      layer["transform"].push_back(
          {{"calculate",
            fmt::format("isValid(datum.{0}) ? {1} : '–'", key,
                        format.empty() ? fmt::format("datum.{}", key)
                                       : fmt::format("format(datum.{}, '{}')", key, format))},
           {"as", text}});
      one["field"] = text;
      one["type"] = "nominal";
    } else if (!format.empty()) {
      one["format"] = format;
    }
    all.push_back(std::move(one));
  }
  layer["encoding"]["tooltip"] = std::move(all);
  return layer;
}

Json whole_axis() { return {{"tickMinStep", 1}, {"format", "d"}}; }

Json ratio_legend(const Table& table) {
  const std::size_t index = index_of(table, "ratio");
  std::set<double> ratios;
  for (const std::vector<Json>& row : table.rows) {
    if (row[index].is_number()) ratios.insert(row[index].get<double>());
  }
  return {{"values", ratios}, {"type", "symbol"}, {"labelExpr", "format(datum.value, '.3~f')"}};
}

Json colour(const Table& table, const std::string& key, const std::vector<std::string>& order) {
  const std::size_t index = index_of(table, key);
  std::set<std::string> present;
  for (const std::vector<Json>& row : table.rows) {
    if (row[index].is_string()) present.insert(row[index].get<std::string>());
  }
  std::vector<std::string> domain = order;
  for (const std::string& value : present) {
    if (std::find(order.begin(), order.end(), value) == order.end()) domain.push_back(value);
  }
  std::vector<std::string> shown;
  std::copy_if(domain.begin(), domain.end(), std::back_inserter(shown),
               [&](const std::string& value) { return present.contains(value); });
  return {{"field", key},
          {"type", "nominal"},
          {"title", table.columns[index].title},
          {"scale", {{"domain", domain}}},
          {"legend", {{"values", shown}}}};
}

Json filter(const std::string& expression) { return Json::array({Json{{"filter", expression}}}); }

Json once() { return {{"values", Json::array({Json::object()})}}; }

Json around(const std::string& mean, const std::string& error) {
  return {{{"filter", fmt::format("isValid(datum.{})", error)}},
          {{"calculate", fmt::format("datum.{} - datum.{}", mean, error)}, {"as", "low"}},
          {{"calculate", fmt::format("datum.{} + datum.{}", mean, error)}, {"as", "high"}}};
}

Json memory(const Table& table, const std::string& key) {
  const std::size_t index = index_of(table, key);
  const auto [least, most] =
      std::minmax_element(table.rows.begin(), table.rows.end(),
                          [&](const auto& a, const auto& b) { return a[index] < b[index]; });
  Json result = channel(table, key);
  // A linear axis would show the largest alone.
  if ((*least)[index] > 0 && (*most)[index] > 20 * (*least)[index].get<double>()) {
    result["scale"] = {{"type", "log"}};
    result["axis"] = {{"format", "~g"}, {"labelOverlap", true}, {"tickCount", 3}};
  }
  return result;
}

Json zero_line() {
  return {{"data", once()},
          {"mark", {{"type", "rule"}, {"strokeDash", {2, 3}}, {"opacity", 0.6}}},
          {"encoding", {{"y", {{"datum", 0}}}}}};
}

}  // namespace spec
}  // namespace espalier::report
