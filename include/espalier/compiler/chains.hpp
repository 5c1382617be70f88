// Chains: consecutive forward nodes that run in turns, a few rows of each at a time, so that of the
// maps between them only a window of rows exists. No row is computed twice and no bit changes.
// Which rows a turn makes is decided while they run, by runtime/espalier_rows.h alone; here the
// same counting tells beforehand how many rows each window needs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "espalier/compiler/training_graph.hpp"
#include "espalier/support/result.hpp"

namespace espalier::compiler {

/// The tables of a chain, in the fields of espalier_rows.h; the maps' places in the arena are 0.
struct ChainTables {
  std::vector<ValueId> maps;              ///< by map
  std::vector<std::int32_t> map_fields;   ///< [maps][ESP_MAP_FIELDS]
  std::vector<std::int32_t> step_fields;  ///< [nodes][ESP_STEP_FIELDS]
  int fed = -1;                           ///< the map that comes by rows

  [[nodiscard]] int map_count() const { return static_cast<int>(maps.size()); }
};

/// Of a chain of a graph that the passes have left.
ChainTables chain_tables(const TrainingGraph& graph, const Chain& chain);

/// Where bytes that go with rows of a node's output stand: of a mask or of winners, for one row.
std::int64_t row_bytes(const TrainingGraph& graph, ValueId value);

/// Runs a chain without its data and holds every row that is written against all rows, of whichever
/// map, that are still to be read. `offset`: where a value lies. kInternal names what is
/// overwritten.
Status check_rows(const TrainingGraph& graph, const Chain& chain,
                  const std::function<std::int64_t(ValueId)>& offset);

/// First and last node, inclusive.
struct Segment {
  int first = 0;
  int last = 0;
};

/// Whether these forward nodes can be a chain: all of them run row by row, and none that is frozen
/// stands beside one that is not, where samples may be put in, unless the input comes by rows.
bool can_chain(const TrainingGraph& graph, Segment segment);

/// Makes chains of these, in ascending order, each with the fewest rows it can run with.
void make_chains(TrainingGraph& graph, const std::vector<Segment>& segments);

/// The `stream` pass: chooses chains by what they do to the planned peak and, within a tenth above
/// the lowest, by what they cost.
void stream(TrainingGraph& graph);

/// The same for the lowest peak, whatever that costs.
void stream_lowest(TrainingGraph& graph);

}  // namespace espalier::compiler
