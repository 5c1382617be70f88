// The sections of a report, one function each; no section where there is nothing to show.
#pragma once

#include <optional>

#include "updates.hpp"

namespace espalier::report {

std::optional<Section> comparison_section(const Updates& updates, Metric metric);
std::optional<Section> measured_front_section(const Documents& documents);
std::optional<Section> contribution_section(const Documents& documents, const Updates& updates,
                                            Metric metric);
std::optional<Section> plans_section(const Documents& documents, const Updates& updates);
std::optional<Section> arena_section(const Documents& documents);
std::optional<Section> cycles_section(const Documents& documents);
Table trials_table(const Documents& documents);

/// What sections share.
const Network* network_of(const Documents& documents, const Model& model);
std::string kind_of(const Network* network, int conv);  ///< "not known" without the network

/// Whether an update of this kind is neither biases nor all of some last layers.
inline bool trains_some_channels(const std::string& kind) {
  return kind == "sparse" || kind == "published" || kind == "found";
}

/// What a setting is called: A, B, ...; empty for none.
inline std::string setting_name(int setting) {
  return setting < 0 ? ""
                     : std::string(1, static_cast<char>('A' + setting % 26)) +
                           (setting < 26 ? "" : std::to_string(setting / 26));
}
bool several_models(const Updates& updates);
/// Columns without a value say nothing on a slide, nor does the name of the one model, setting or
/// search.
void drop_plain_columns(Table& table);

/// Json of an optional number: null without.
inline Json cell(const std::optional<double>& value) { return value ? Json(*value) : Json(); }
inline Json cell(const std::optional<std::int64_t>& value) { return value ? Json(*value) : Json(); }
inline Json mean_of(const std::optional<Estimate>& e) { return e ? Json(e->mean) : Json(); }
inline Json error_of(const std::optional<Estimate>& e) {
  return e ? cell(e->standard_error) : Json();
}
inline Json scaled(const Json& value, double factor) {
  return value.is_null() ? value : Json(value.get<double>() * factor);
}
inline Json kib(const std::optional<std::int64_t>& bytes) {
  return bytes ? Json(static_cast<double>(*bytes) / 1024) : Json();
}

/// Parts of Vega-Lite specifications.
namespace spec {

/// The frame of a figure as wide as its place; `layers` or marks go on top.
Json frame(int height);
/// `{"field": ..., "type": ..., "title": ...}` of a column.
Json channel(const Table& table, const std::string& key);
/// The layer with a tooltip of these columns. One without any value is left out, and in a row
/// without a value one says so, as in tables.
Json with_tooltip(Json layer, const Table& table, const std::vector<std::string>& keys);
/// An axis of whole numbers.
Json whole_axis();
/// The legend of shares of channels: those that occur in the column.
Json ratio_legend(const Table& table);
/// A nominal colour or shape: each value of `order` has the same one in every figure, others
/// follow, and the legend has those that occur in the column.
Json colour(const Table& table, const std::string& key, const std::vector<std::string>& order);
/// Keeps rows for which the expression holds.
Json filter(const std::string& expression);
/// Data of a layer that draws one thing, whatever the rows are.
Json once();
/// `low` and `high`, one standard error around the mean; rows without an error are left out.
Json around(const std::string& mean, const std::string& error);
/// A channel of memories, logarithmic where they span orders of magnitude.
Json memory(const Table& table, const std::string& key);
/// A line across at y = 0.
Json zero_line();

}  // namespace spec
}  // namespace espalier::report
