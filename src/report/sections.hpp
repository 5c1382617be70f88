// The sections of a report, one function each; no section where there is nothing to show.
#pragma once

#include <optional>

#include "updates.hpp"

namespace espalier::report {

std::optional<Section> comparison_section(const Updates& updates, Metric metric);
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
/// Tooltip with these columns.
Json tooltip(const Table& table, const std::vector<std::string>& keys);
/// A nominal colour whose domain is those of `order` that occur in the column, in this order.
Json colour(const Table& table, const std::string& key, const std::vector<std::string>& order);
/// Keeps rows for which the expression holds.
Json filter(const std::string& expression);
/// A line across at y = 0.
Json zero_line();

}  // namespace spec
}  // namespace espalier::report
