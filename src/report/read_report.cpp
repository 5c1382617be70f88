#include "espalier/report/read_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "column_types.hpp"

namespace espalier::report {
namespace {

// A part of the document with the words that a diagnostic begins with.
struct Part {
  const Json& json;
  std::string where;

  [[nodiscard]] Error bad(const std::string& what) const {
    return {ErrorKind::kBadInput, fmt::format("{}: {}", where, what)};
  }
  [[nodiscard]] Result<std::string> text(const char* key) const {
    return json_field<std::string>(json, key, where);
  }
  // Names that stand in the page as they are.
  [[nodiscard]] Result<std::string> id(const char* key) const {
    ESPALIER_TRY(std::string id, text(key));
    const bool plain = !id.empty() && std::all_of(id.begin(), id.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (!plain) return bad(fmt::format("'{}' must be of small letters, digits and hyphens", key));
    return id;
  }
  template <typename T>
  Result<std::vector<T>> list(const char* key, Result<T> (*read)(const Part&)) const {
    ESPALIER_TRY(const Json members, json_field<Json>(json, key, where));
    if (!members.is_array()) return bad(fmt::format("'{}' must be an array", key));
    std::vector<T> all;
    for (const Json& member : members) {
      ESPALIER_TRY(T one, read({member, fmt::format("{}: {}[{}]", where, key, all.size())}));
      all.push_back(std::move(one));
    }
    return all;
  }
};

Result<std::string> read_text(const Part& part) {
  if (!part.json.is_string()) return part.bad("must be a string");
  return part.json.get<std::string>();
}

Result<Source> read_source(const Part& part) {
  Source source;
  ESPALIER_TRY(source.name, part.text("name"));
  ESPALIER_TRY(source.schema, part.text("schema"));
  ESPALIER_TRY(source.sha256, part.text("sha256"));
  return source;
}

Result<Column> read_column(const Part& part) {
  Column column;
  ESPALIER_TRY(column.key, part.text("key"));
  ESPALIER_TRY(column.title, part.text("title"));
  ESPALIER_TRY(const std::string type, part.text("type"));
  const auto* known = std::find_if(kColumnTypes.begin(), kColumnTypes.end(),
                                   [&](const auto& one) { return one.second == type; });
  if (known == kColumnTypes.end()) return part.bad("'type' is not known");
  column.type = known->first;
  if (part.json.contains("decimals")) {
    ESPALIER_TRY(column.decimals, json_field<int>(part.json, "decimals", part.where));
    if (column.decimals < 0 || column.decimals > 9) return part.bad("'decimals' is out of range");
  }
  return column;
}

bool fits(const Json& value, ColumnType type) {
  if (value.is_null()) return true;
  switch (type) {
    case ColumnType::kText:
      return value.is_string();
    case ColumnType::kInteger:
      return value.is_number_integer();
    case ColumnType::kNumber:
      return value.is_number();
    case ColumnType::kFlag:
      return value.is_boolean();
  }
  return false;
}

Result<std::vector<Json>> read_row(const Part& part) {
  if (!part.json.is_array()) return part.bad("must be an array");
  return part.json.get<std::vector<Json>>();
}

Result<Table> read_table(const Part& part) {
  Table table;
  ESPALIER_TRY(table.id, part.id("id"));
  ESPALIER_TRY(table.caption, part.text("caption"));
  ESPALIER_TRY(table.columns, part.list("columns", read_column));
  ESPALIER_TRY(table.rows, part.list("rows", read_row));
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const std::vector<Json>& row = table.rows[r];
    bool right = row.size() == table.columns.size();
    for (std::size_t i = 0; right && i < row.size(); ++i) {
      right = fits(row[i], table.columns[i].type);
    }
    if (!right) return part.bad(fmt::format("rows[{}] does not match the columns", r));
  }
  return table;
}

Result<Figure> read_figure(const Part& part) {
  Figure figure;
  ESPALIER_TRY(figure.id, part.id("id"));
  ESPALIER_TRY(figure.title, part.text("title"));
  ESPALIER_TRY(figure.description, part.text("description"));
  ESPALIER_TRY(figure.table, part.id("table"));
  ESPALIER_TRY(figure.specification, json_field<Json>(part.json, "specification", part.where));
  if (!figure.specification.is_object()) return part.bad("'specification' must be an object");
  return figure;
}

Result<Section> read_section(const Part& part) {
  Section section;
  ESPALIER_TRY(section.id, part.id("id"));
  ESPALIER_TRY(section.title, part.text("title"));
  ESPALIER_TRY(section.paragraphs, part.list("paragraphs", read_text));
  ESPALIER_TRY(section.figures, part.list("figures", read_figure));
  ESPALIER_TRY(section.tables, part.list("tables", read_table));
  for (const Figure& figure : section.figures) {
    if (find_table(section, figure.table) == nullptr) {
      return part.bad(fmt::format("figure '{}' is of a table that is not there", figure.id));
    }
  }
  return section;
}

}  // namespace

bool is_report(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && read_json(path, kReportSchema).ok();
}

Result<Report> read_report(const std::filesystem::path& path) {
  ESPALIER_TRY(const Json document, read_json(path, kReportSchema));
  const Part part{document, path.string()};
  Report report;
  ESPALIER_TRY(report.title, part.text("title"));
  ESPALIER_TRY(report.sources, part.list("sources", read_source));
  ESPALIER_TRY(report.warnings, part.list("warnings", read_text));
  ESPALIER_TRY(report.sections, part.list("sections", read_section));
  return report;
}

}  // namespace espalier::report
