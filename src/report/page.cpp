#include "espalier/report/page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "espalier/version.hpp"
#include "page_parts.hpp"

namespace espalier::report {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html(const std::string& text) { return escaped(valid_utf8(text)); }

// JSON inside a script element: nothing in it can end the element or begin a comment.
std::string script_json(const Json& json) {
  std::string out;
  for (const char c : json_text(json)) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

bool is_number(const Column& column) {
  return column.type == ColumnType::kInteger || column.type == ColumnType::kNumber;
}

std::string cell_text(const Json& value, const Column& column) {
  if (value.is_null()) return "–";
  switch (column.type) {
    case ColumnType::kText:
      return html(value.get<std::string>());
    case ColumnType::kFlag:
      return value.get<bool>() ? "yes" : "no";
    case ColumnType::kInteger:
      return json_text(value);
    case ColumnType::kNumber: {
      std::string text = fmt::format("{:.{}f}", value.get<double>(), column.decimals);
      // No negative zero.
      if (text.find_first_not_of("-0.") == std::string::npos && text[0] == '-') text.erase(0, 1);
      return text;
    }
  }
  return "";
}

void add_table(std::string& out, const Table& table) {
  out += fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}, table\">\n<table "
      "id=\"{1}\">\n<caption>{0}</caption>\n<thead>\n<tr>",
      html(table.caption), table.id);
  for (const Column& column : table.columns) {
    out += fmt::format("<th scope=\"col\"{}>{}</th>", is_number(column) ? " class=\"number\"" : "",
                       html(column.title));
  }
  out += "</tr>\n</thead>\n<tbody>\n";
  for (const std::vector<Json>& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Column& column = table.columns[i];
      const char* number = is_number(column) ? " class=\"number\"" : "";
      const std::string text = cell_text(row[i], column);
      out += i == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", number, text)
                    : fmt::format("<td{}>{}</td>", number, text);
    }
    out += "</tr>\n";
  }
  out += "</tbody>\n</table>\n</div>\n";
}

void add_figure(std::string& out, const Figure& figure, const Section& section, bool can_draw) {
  const char* instead =
      can_draw
          ? "The drawing appears where scripts may run."
          : "Not drawn: this build of Espalier is without Vega-Lite (see the end of the page).";
  out += fmt::format(
      "<figure id=\"{0}\">\n<figcaption><h3 id=\"{0}-title\">{1}</h3>\n<p id=\"{0}-text\">{2}</p>"
      "</figcaption>\n<div class=\"plot\" {3} data-table=\"{4}\"><p class=\"quiet\">{5} The table "
      "below has its numbers.</p></div>\n",
      figure.id, html(figure.title), html(figure.description),
      can_draw ? fmt::format("role=\"img\" aria-labelledby=\"{0}-title\" "
                             "aria-describedby=\"{0}-text\"",
                             figure.id)
               : "",
      figure.table, instead);
  if (const Table* table = find_table(section, figure.table)) {
    out += fmt::format("<details{}>\n<summary>Table: {}</summary>\n", can_draw ? "" : " open",
                       html(table->caption));
    add_table(out, *table);
    out += "</details>\n";
  }
  out += fmt::format(
      "<details>\n<summary>Vega-Lite specification: {}</summary>\n<pre tabindex=\"0\"><code "
      "class=\"specification\">{}</code></pre>\n</details>\n</figure>\n",
      html(figure.title), escaped(json_text(figure.specification, 2)));
}

void add_section(std::string& out, const Section& section, bool can_draw) {
  out += fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}"
      "</h2>\n",
      section.id, html(section.title));
  for (const std::string& text : section.paragraphs) out += "<p>" + html(text) + "</p>\n";
  for (const Table& table : section.tables) {
    const bool behind_figure =
        std::any_of(section.figures.begin(), section.figures.end(),
                    [&](const Figure& figure) { return figure.table == table.id; });
    if (behind_figure) continue;
    add_table(out, table);
    out += fmt::format(
        "<button type=\"button\" hidden data-copies=\"{}\" aria-label=\"Copy the table: {}\">Copy "
        "the "
        "table</button>\n",
        table.id, html(table.caption));
  }
  for (const Figure& figure : section.figures) add_figure(out, figure, section, can_draw);
  out += "</section>\n";
}

void add_sources(std::string& out, const Report& report) {
  Table table{.id = "sources", .caption = "Documents that this page shows"};
  table.columns = {{"name", "file"}, {"schema", "schema"}, {"sha256", "SHA-256"}};
  for (const Source& source : report.sources) {
    table.rows.push_back({source.name, source.schema, source.sha256});
  }
  out +=
      "<section id=\"about\" aria-labelledby=\"about-title\">\n<h2 id=\"about-title\">About this "
      "page</h2>\n";
  for (const std::string& warning : report.warnings) {
    out += "<p class=\"warning\">" + html(warning) + "</p>\n";
  }
  add_table(out, table);
}

void add_library_note(std::string& out, const DrawingLibrary& library) {
  if (library.present()) {
    out +=
        "<p>Drawn with Vega, Vega-Lite and Vega-Embed, which are part of this page.</p>\n"
        "<details>\n<summary>Their licences</summary>\n<pre tabindex=\"0\">" +
        escaped(library.licences) + "</pre>\n</details>\n";
    return;
  }
  out +=
      "<p class=\"warning\">Figures are not drawn: Espalier was built without Vega, Vega-Lite and "
      "Vega-Embed. With npm at hand, <code>tools/setup.sh</code> fetches them and the next build "
      "has them. Tables and specifications are complete.</p>\n";
}

// Rows of the tables that figures are drawn from.
Json rows_of(const Report& report) {
  Json rows = Json::object();
  for (const Section& section : report.sections) {
    for (const Figure& figure : section.figures) {
      if (const Table* table = find_table(section, figure.table)) {
        rows[table->id] = records(*table);
      }
    }
  }
  return rows;
}

void add_scripts(std::string& out, const Report& report, const DrawingLibrary& library) {
  const auto& parts = page_parts();
  out += "<script type=\"application/json\" id=\"rows\">" + script_json(rows_of(report)) +
         "</script>\n<script type=\"application/json\" id=\"themes\">" +
         script_json(Json::parse(parts.at("theme.json"))) + "</script>\n";
  for (const std::string_view script : {library.vega, library.vega_lite, library.vega_embed}) {
    if (!script.empty()) out += "<script>" + std::string(script) + "</script>\n";
  }
  out += "<script>" + std::string(parts.at("page.js")) + "</script>\n";
}

}  // namespace

std::string to_page(const Report& report, const DrawingLibrary& library) {
  const bool can_draw = library.present();
  std::string out = fmt::format(
      "{}<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
      "'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"Espalier {}\">\n<title>{}</title>\n<style>\n{}</style>\n"
      "</head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the content</a>\n"
      "<header><h1>{}</h1></header>\n<nav aria-label=\"Sections\"><ul>\n",
      kPageStart, kVersion, html(report.title), page_parts().at("page.css"), html(report.title));
  for (const Section& section : report.sections) {
    out += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", section.id, html(section.title));
  }
  out +=
      "<li><a href=\"#about\">About this page</a></li>\n</ul></nav>\n<main id=\"content\" "
      "tabindex=\"-1\">\n<p id=\"said\" role=\"status\" class=\"quiet\"></p>\n";
  for (const Section& section : report.sections) add_section(out, section, can_draw);
  add_sources(out, report);
  add_library_note(out, library);
  out +=
      fmt::format("</section>\n</main>\n<footer><p>Made by Espalier {}.</p></footer>\n", kVersion);
  add_scripts(out, report, library);
  return out + "</body>\n</html>\n";
}

}  // namespace espalier::report
