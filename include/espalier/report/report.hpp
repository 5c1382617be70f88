// What a report shows: sections of tables, and figures each drawn from one of them. Knows neither
// the documents that the numbers come from nor how a page is written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/json.hpp"

namespace espalier::report {

inline constexpr std::string_view kReportSchema = "espalier.report/1";

enum class ColumnType { kText, kInteger, kNumber, kFlag };

struct Column {
  std::string key;    ///< unique in the table; the field's name in figures and CSV
  std::string title;  ///< for people, with the unit
  ColumnType type = ColumnType::kText;
  int decimals = 2;  ///< kNumber: digits behind the point in the page; JSON and CSV have all
};

/// Rows of values, each null or of its column's type.
struct Table {
  std::string id;  ///< unique in the report; letters, digits, hyphens
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<Json>> rows;
};

/// A drawing of one table of the same section.
struct Figure {
  std::string id;
  std::string title;
  std::string description;  ///< what is to be seen, for those who do not see it
  std::string table;        ///< id of the table whose rows are the data
  Json specification;       ///< Vega-Lite; its data is named "table"
};

struct Section {
  std::string id;
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<Figure> figures;
  std::vector<Table> tables;
};

/// A document that was read.
struct Source {
  std::string name;
  std::string schema;
  std::string sha256;
};

struct Report {
  std::string title;
  std::vector<Source> sources;
  std::vector<std::string> warnings;
  std::vector<Section> sections;
  Table trials;  ///< every single training that the documents hold
};

/// The table with this id, or null.
const Table* find_table(const Section& section, std::string_view id);

/// The rows as objects by column key: the data of a figure.
Json records(const Table& table);

/// `espalier.report/1`: all but the trials. The schema is reports/schemas/report.json.
Json to_json(const Report& report);

/// The same as text to be kept and compared: indented, with what fits into a line of 100 characters,
/// such as the rows of tables, on one.
std::string to_text(const Report& report);

/// CSV as RFC 4180 has it, with column keys on the first line; lines end in \n.
std::string to_csv(const Table& table);

}  // namespace espalier::report
