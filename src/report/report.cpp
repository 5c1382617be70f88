#include "espalier/report/report.hpp"

#include <algorithm>

#include "column_types.hpp"
#include "espalier/version.hpp"

namespace espalier::report {
namespace {

std::string_view name_of(ColumnType type) {
  return std::find_if(kColumnTypes.begin(), kColumnTypes.end(),
                      [&](const auto& known) { return known.first == type; })
      ->second;
}

Json to_json(const Table& table) {
  Json columns = Json::array();
  for (const Column& column : table.columns) {
    Json json{{"key", column.key}, {"title", column.title}, {"type", name_of(column.type)}};
    if (column.type == ColumnType::kNumber) json["decimals"] = column.decimals;
    columns.push_back(std::move(json));
  }
  return {{"id", table.id},
          {"caption", table.caption},
          {"columns", std::move(columns)},
          {"rows", table.rows}};
}

Json to_json(const Section& section) {
  Json figures = Json::array();
  for (const Figure& figure : section.figures) {
    figures.push_back({{"id", figure.id},
                       {"title", figure.title},
                       {"description", figure.description},
                       {"table", figure.table},
                       {"specification", figure.specification}});
  }
  Json tables = Json::array();
  for (const Table& table : section.tables) tables.push_back(to_json(table));
  return {{"id", section.id},
          {"title", section.title},
          {"paragraphs", section.paragraphs},
          {"figures", std::move(figures)},
          {"tables", std::move(tables)}};
}

std::string csv_field(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return json_text(value);
  const std::string& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

// `indent` is that of the line on which the value begins, `column` where on it.
void add_lines(std::string& text, const Json& value, std::size_t indent, std::size_t column) {
  constexpr std::size_t kWidth = 100;
  const std::string line = json_text(value);
  if (column + line.size() < kWidth || !value.is_structured()) {
    text += line;
    return;
  }
  text += value.is_object() ? '{' : '[';
  const char* separator = "\n";
  for (const auto& [key, member] : value.items()) {
    const std::string name = value.is_object() ? json_text(Json(key)) + ": " : "";
    text += separator + std::string(indent + 2, ' ') + name;
    add_lines(text, member, indent + 2, indent + 2 + name.size());
    separator = ",\n";
  }
  text += '\n' + std::string(indent, ' ') + (value.is_object() ? '}' : ']');
}

}  // namespace

const Table* find_table(const Section& section, std::string_view id) {
  const auto it = std::find_if(section.tables.begin(), section.tables.end(),
                               [&](const Table& table) { return table.id == id; });
  return it == section.tables.end() ? nullptr : &*it;
}

Json records(const Table& table) {
  Json all = Json::array();
  for (const std::vector<Json>& row : table.rows) {
    Json record = Json::object();
    for (std::size_t i = 0; i < row.size(); ++i) record[table.columns[i].key] = row[i];
    all.push_back(std::move(record));
  }
  return all;
}

Json to_json(const Report& report) {
  Json sources = Json::array();
  for (const Source& source : report.sources) {
    sources.push_back(
        {{"name", source.name}, {"schema", source.schema}, {"sha256", source.sha256}});
  }
  Json sections = Json::array();
  for (const Section& section : report.sections) sections.push_back(to_json(section));
  return {{"schema", kReportSchema},     {"tool_version", kVersion},
          {"title", report.title},       {"sources", std::move(sources)},
          {"warnings", report.warnings}, {"sections", std::move(sections)}};
}

std::string to_text(const Report& report) {
  std::string text;
  add_lines(text, to_json(report), 0, 0);
  return text + '\n';
}

std::string to_csv(const Table& table) {
  std::string text;
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    text += (i == 0 ? "" : ",") + csv_field(table.columns[i].key);
  }
  text += '\n';
  for (const std::vector<Json>& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) text += (i == 0 ? "" : ",") + csv_field(row[i]);
    text += '\n';
  }
  return text;
}

}  // namespace espalier::report
