#include "espalier/compiler/chains.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <stdexcept>

#include "espalier/compiler/kernel_choice.hpp"
#include "espalier/compiler/latent.hpp"
#include "espalier/compiler/liveness.hpp"
#include "runtime/espalier_rows.h"
#include "uses.hpp"

namespace espalier::compiler {
namespace {

// Rows that a step of a chain takes of the map of the greatest height, from the most tried on. More
// rows at a time are fewer turns, and rows that windows share are copied less often.
constexpr int kBands[] = {16, 8, 4, 2, 1};

// The share of the lowest peak, one in so many, that may be spent on more rows at a time, or on
// fewer nodes that run by rows: without it, windows of single rows cost some networks a tenth of
// their cycles.
constexpr std::int64_t kSlack = 10;

constexpr std::int64_t kImpossible = std::numeric_limits<std::int64_t>::max();

std::int64_t aligned(std::int64_t bytes) { return align_up(bytes, kArenaAlignment); }

const ir::Shape& shape_of(const TrainingGraph& graph, ValueId id) {
  const Value& value = graph.value(id);
  if (value.role == Role::kActivation) return graph.forward->tensor(value.index).shape;
  const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(value.index)];
  return graph.forward->tensor(value.role == Role::kSavedChannels ? op.inputs[0] : op.output).shape;
}

// Rows of the input that a row of the output needs.
struct Reach {
  int kernel = 1;
  int stride = 1;
  int pad = 0;
};
// The window of an op that has one.
const ir::Window* window_of(const TrainingGraph& graph, const Node& node) {
  const ir::Op& op = graph.forward->ops[static_cast<std::size_t>(node.op)];
  switch (node.kind) {
    case NodeKind::kConvForward:
      return &std::get<ir::Conv2D>(op.params).window;
    case NodeKind::kAveragePoolForward:
      return &std::get<ir::AveragePool>(op.params).window;
    case NodeKind::kMaxPoolForward:
      return &std::get<ir::MaxPool>(op.params).window;
    default:
      return nullptr;
  }
}
Reach reach_of(const TrainingGraph& graph, const Node& node) {
  const ir::Window* w = window_of(graph, node);
  if (w == nullptr) return {};
  return {static_cast<int>(w->extent_h()), w->stride_h, w->pad_top};
}

// Whether a node can run row by row. Rows of masks must begin with a byte of their own. Kernels see
// a band with its padding alone; that every window holds a row of the input is a rule of shapes.
bool can_stream(const TrainingGraph& graph, const Node& node) {
  if (node.op < 0) return false;
  const bool side = node.outputs[1] >= 0;
  if (side && row_bytes(graph, node.outputs[1]) < 0) return false;
  switch (node.kind) {
    case NodeKind::kConvForward:
    case NodeKind::kAveragePoolForward:
    case NodeKind::kMaxPoolForward:
    case NodeKind::kAddForward:
    case NodeKind::kRescaleForward:
    case NodeKind::kLookupForward:
    case NodeKind::kSelectForward:
    case NodeKind::kSaveChannels:
      return true;
    default:
      return false;
  }
}

struct Band {
  int rows = 0;
  int in_rows = 0;
};

// Runs a chain without its data: windows that are too small for it to finish grow by rows. By node:
// the most rows of a turn. `seen` is told of every turn.
std::vector<Band> rehearse(
    ChainTables& tables,
    const std::function<void(const esp_chain&, int step, const esp_band&)>& seen = {}) {
  const auto steps = static_cast<int>(tables.step_fields.size()) / ESP_STEP_FIELDS;
  std::vector<std::int8_t> counters(tables.maps.size() * sizeof(esp_rows));
  const esp_chain chain{
      tables.map_fields.data(), tables.step_fields.data(), tables.map_count(), steps, nullptr,
      counters.data()};
  const auto field = [&](int map, int which) -> std::int32_t& {
    return tables.map_fields[static_cast<std::size_t>(map * ESP_MAP_FIELDS + which)];
  };
  std::vector<Band> most(static_cast<std::size_t>(steps));
  const auto turn = [&](int step) {
    esp_band band{};
    if (esp_next_band(&chain, step, &band) == 0) return false;
    Band& turns = most[static_cast<std::size_t>(step)];
    turns.rows = std::max(turns.rows, band.rows);
    turns.in_rows = std::max(turns.in_rows, band.in_rows);
    if (seen) seen(chain, step, band);
    return true;
  };
  const auto feed = [&] {
    return tables.fed >= 0 &&
           esp_take_rows(&chain, tables.fed, nullptr, field(tables.fed, ESP_MAP_HEIGHT)) > 0;
  };
  const auto finished = [&] {
    for (int map = 0; map < tables.map_count(); ++map) {
      if (esp_rows_of(&chain, map).end < field(map, ESP_MAP_HEIGHT)) return false;
    }
    return true;
  };
  // A row more for the last map in which a row that could be made finds no room.
  const auto grow = [&] {
    for (int step = steps - 1; step >= 0; --step) {
      const int map =
          tables.step_fields[static_cast<std::size_t>(step * ESP_STEP_FIELDS + ESP_STEP_OUTPUT)];
      ++field(map, ESP_MAP_ROWS);
      if (turn(step)) return;
      --field(map, ESP_MAP_ROWS);
    }
    if (tables.fed < 0) throw std::logic_error("a chain of rows that cannot run");
    ++field(tables.fed, ESP_MAP_ROWS);
  };
  for (bool grown = true; grown;) {
    grown = false;
    esp_begin_rows(&chain);
    std::fill(most.begin(), most.end(), Band{});
    while (!finished()) {
      bool moved = feed();
      for (bool running = true; running;) {
        running = false;
        for (int step = 0; step < steps; ++step) running = turn(step) || running;
        moved = moved || running;
      }
      if (moved) continue;
      grow();
      grown = true;
    }
  }
  return most;
}

// How far above `over`, in bytes, a map that is read must begin so that no row of it is overwritten
// before its last reader has had it. The tables' windows suffice.
std::int64_t shift_over(ChainTables& tables, int map, int over) {
  const auto field = [&](int which, int name) {
    return std::int64_t{tables.map_fields[static_cast<std::size_t>(which * ESP_MAP_FIELDS + name)]};
  };
  std::int64_t shift = 0;
  rehearse(tables, [&](const esp_chain& chain, int step, const esp_band& band) {
    if (chain.steps[step * ESP_STEP_FIELDS + ESP_STEP_OUTPUT] != over) return;
    const std::int64_t needed = esp_first_needed(&chain, map);
    if (needed == field(map, ESP_MAP_HEIGHT)) return;
    shift = std::max(shift, (band.row + band.rows) * field(over, ESP_MAP_ROW_BYTES) -
                                needed * field(map, ESP_MAP_ROW_BYTES));
  });
  return aligned(shift);
}

// Nodes first..last as a chain: their tables, with windows of the rows that `rows` gives by map (0:
// the whole map).
template <typename Rows>
ChainTables tables_of(const TrainingGraph& graph, int first, int last, bool fed, const Rows& rows) {
  ChainTables tables;
  std::vector<bool> made;
  const auto map_of = [&](ValueId id, bool output) {
    const auto found = std::find(tables.maps.begin(), tables.maps.end(), id);
    const auto map = static_cast<std::int32_t>(found - tables.maps.begin());
    if (found == tables.maps.end()) {
      tables.maps.push_back(id);
      made.push_back(false);
    }
    if (output) made[static_cast<std::size_t>(map)] = true;
    return map;
  };
  for (int i = first; i <= last; ++i) {
    const Node& node = graph.nodes[static_cast<std::size_t>(i)];
    const Reach reach = reach_of(graph, node);
    const std::int32_t input = map_of(node.inputs[0], false);
    const std::int32_t other = node.inputs[1] < 0 ? -1 : map_of(node.inputs[1], false);
    const std::int32_t output = map_of(node.outputs[0], true);
    const std::int32_t fields[ESP_STEP_FIELDS] = {input,        other,        output,
                                                  reach.kernel, reach.stride, reach.pad};
    tables.step_fields.insert(tables.step_fields.end(), std::begin(fields), std::end(fields));
  }
  for (std::size_t map = 0; map < tables.maps.size(); ++map) {
    const ValueId id = tables.maps[map];
    const int height = shape_of(graph, id).height;
    const bool by_rows = fed && id == graph.input;
    if (by_rows) tables.fed = static_cast<int>(map);
    const int held = rows(id);
    const std::int32_t fields[ESP_MAP_FIELDS] = {height, held > 0 ? std::min(held, height) : height,
                                                 static_cast<std::int32_t>(row_bytes(graph, id)), 0,
                                                 made[map] || by_rows ? 0 : 1};
    tables.map_fields.insert(tables.map_fields.end(), std::begin(fields), std::end(fields));
  }
  return tables;
}

// The lowest peak that planning could reach.
std::int64_t peak_load(TrainingGraph graph) {
  assign_scratch(graph);
  return lower_bound(arena_problem(graph).problem);
}

// Chooses the chains of one graph.
class Streaming {
 public:
  /// `slack`: the lowest peak may be exceeded to save cycles.
  explicit Streaming(TrainingGraph& graph, bool slack = true)
      : graph_(graph),
        slack_(slack),
        uses_(graph),
        nodes_(graph.backward_begin),
        behind_(latent_of(graph).first),
        windows_(graph.values.size(), 0) {}

  void make(const std::vector<Segment>& segments) {
    measure();
    count_windows();
    for (const Segment& segment : segments) apply(segment, 1);
  }

  [[nodiscard]] bool allows(Segment s) const {
    if (parts_frozen(s.first, s.last)) return false;
    for (int i = s.first; i <= s.last; ++i) {
      if (i >= nodes_ || !can_stream(graph_, node(i))) return false;
    }
    return !graph_.fed || s.first > 0 || last_use(graph_.input) <= s.last;
  }

  void run() {
    measure();
    if (!graph_.fed && forward_peak_ <= backward_peak_) return;
    count_windows();
    choose();
  }

 private:
  // A segment as a chain: its tables, the turns of its nodes and the bytes alive while it runs.
  struct Form {
    ChainTables tables;
    std::vector<Band> bands;
    std::int64_t load = 0;
    ValueId input_over = -1;
    std::int64_t input_shift = 0;
  };

  [[nodiscard]] const Node& node(int i) const { return graph_.nodes[static_cast<std::size_t>(i)]; }
  [[nodiscard]] int last_use(ValueId id) const { return uses_.last[static_cast<std::size_t>(id)]; }
  [[nodiscard]] int writer(ValueId id) const { return uses_.writer[static_cast<std::size_t>(id)]; }
  [[nodiscard]] std::int64_t bytes(ValueId id) const { return aligned(graph_.value(id).bytes()); }
  [[nodiscard]] std::int64_t bytes(ValueId id, int rows) const {
    return aligned(row_bytes(graph_, id) * rows);
  }

  // Bytes alive at each step as it is, and before each forward node.
  void measure() {
    load_ = bytes_in_use(arena_problem(graph_).problem);
    for (std::size_t i = 0; i < load_.size(); ++i) {
      load_[i] += aligned(scratch_bytes(graph_, graph_.nodes[i]));
    }
    const auto forward = load_.begin() + nodes_;
    forward_peak_ = nodes_ == 0 ? 0 : *std::max_element(load_.begin(), forward);
    backward_peak_ = forward == load_.end() ? 0 : *std::max_element(forward, load_.end());
    entry_.assign(static_cast<std::size_t>(nodes_) + 1, 0);
    for (std::size_t id = 0; id < graph_.values.size(); ++id) {
      const auto value = static_cast<ValueId>(id);
      const int last = std::min(last_use(value), nodes_ - 1);
      const int made = value == graph_.input ? -1 : writer(value);
      if ((made < 0 && value != graph_.input) || made >= nodes_ || last <= made) continue;
      entry_[static_cast<std::size_t>(made + 1)] += bytes(value);
      entry_[static_cast<std::size_t>(last + 1)] -= bytes(value);
    }
    for (std::size_t i = 1; i < entry_.size(); ++i) entry_[i] += entry_[i - 1];
    streams_.resize(static_cast<std::size_t>(nodes_));
    made_.assign(static_cast<std::size_t>(nodes_), 0);
    inner_from_.assign(static_cast<std::size_t>(nodes_), {-1, -1});
    for (int i = 0; i < nodes_; ++i) {
      const auto at = static_cast<std::size_t>(i);
      streams_[at] = can_stream(graph_, node(i));
      for (const ValueId id : node(i).outputs) {
        if (id >= 0) made_[at] += bytes(id);
      }
      for (std::size_t k = 0; k < 2; ++k) {
        const ValueId id = node(i).inputs[k];
        if (id < 0 || (k == 1 && id == node(i).inputs[0]) || last_use(id) != i) continue;
        const int made = id == graph_.input ? 0 : writer(id);
        if (made >= 0 && is_inner(id, made, i)) inner_from_[at][k] = made;
      }
    }
  }

  // Samples may be put in behind the frozen nodes, which is not within a chain; those that come by
  // rows come in at the front alone.
  [[nodiscard]] bool parts_frozen(int first, int last) const {
    return first < behind_ && last >= behind_ && !(graph_.fed && first == 0);
  }

  // Whether only rows of a map need exist when these nodes are a chain.
  [[nodiscard]] bool is_inner(ValueId id, int first, int last) const {
    if (id == graph_.input) return graph_.fed && first == 0 && last_use(id) <= last;
    const Value& value = graph_.value(id);
    return value.role == Role::kActivation && writer(id) >= first && last_use(id) >= 0 &&
           last_use(id) <= last;
  }

  // The fewest rows of each map with which all that streams could run as one chain; windows_.
  void count_windows() {
    for (int first = 0; first < nodes_;) {
      int last = first - 1;
      while (last + 1 < nodes_ && streams_[static_cast<std::size_t>(last + 1)]) ++last;
      if (last >= first) {
        ChainTables tables = tables_of(graph_, first, last, graph_.fed, [&](ValueId id) {
          return is_inner(id, first, last) ? least_rows(id) : 0;
        });
        rehearse(tables);
        for (std::size_t map = 0; map < tables.maps.size(); ++map) {
          windows_[static_cast<std::size_t>(tables.maps[map])] =
              tables.map_fields[map * ESP_MAP_FIELDS + ESP_MAP_ROWS];
        }
      }
      first = last + 2;
    }
  }

  // What a map's readers need for one row.
  [[nodiscard]] int least_rows(ValueId id) const {
    int rows = 1;
    for (int i = std::max(0, writer(id)); i <= last_use(id) && i < nodes_; ++i) {
      const Node& reader = node(i);
      if (reader.inputs[0] == id) rows = std::max(rows, reach_of(graph_, reader).kernel);
    }
    return rows;
  }

  // Whether the last node of a chain may write over the rows of the input that have been read.
  [[nodiscard]] bool overwrites_input(int first, int last) const {
    const Node& end = node(last);
    const ValueId out = end.outputs[0];
    return first == 0 && last > 0 && !graph_.fed && last_use(graph_.input) >= 0 &&
           last_use(graph_.input) < last && graph_.value(out).role == Role::kActivation &&
           last_use(out) > last;
  }
  // Bytes of the two together.
  [[nodiscard]] std::int64_t stacked_bytes(ValueId over, std::int64_t shift) const {
    return std::max(bytes(over), aligned(shift + graph_.value(graph_.input).bytes()));
  }

  // Of chains that begin with one node, by their last: bytes alive while they run, and about how
  // many cycles more than their nodes as a whole they take.
  struct Chained {
    std::vector<std::int64_t> load;
    std::vector<std::int64_t> cost;
  };

  // Rows of a map that a chain moves by, of `band` in the highest map.
  static int rows_at_once(int band, int height, int highest) {
    return std::max(1, band * height / highest);
  }

  // What the turns of a node take, as part of any chain.
  struct Turns {
    std::int64_t scratch = -1;  ///< unknown yet
    std::int64_t cost = 0;
    std::int64_t windowed[2] = {0, 0};  ///< bytes that are saved of an input, negative
  };
  // Those of all nodes, in chains that move by `band` rows of maps of the height `highest`.
  struct Pace {
    int band = 0;
    int highest = 0;
    std::vector<Turns> turns;
  };

  // Turns have a price each, and windowed kernels read the rows that two turns share twice.
  [[nodiscard]] std::int64_t turns_cost(const Node& node, int rows) const {
    constexpr std::int64_t kTurn = 500;
    constexpr std::int64_t kByte = 3;
    const int height = shape_of(graph_, node.inputs[0]).height;
    const std::int64_t turns = (height + rows - 1) / rows;
    return turns * (kTurn + kByte * row_bytes(graph_, node.inputs[0]) *
                                (reach_of(graph_, node).kernel - 1));
  }

  [[nodiscard]] Turns turns_of(int i, const Pace& pace) const {
    Node turn = node(i);
    const auto rows = [&](ValueId id) {
      return rows_at_once(pace.band, shape_of(graph_, id).height, pace.highest);
    };
    Turns turns;
    turn.band_rows = rows(turn.outputs[0]);
    turn.band_in_rows = reach_of(graph_, turn).kernel + rows(turn.inputs[0]) - 1;
    turns.scratch = aligned(scratch_bytes(graph_, turn));
    turns.cost = turns_cost(turn, rows(turn.inputs[0]));
    for (std::size_t k = 0; k < 2; ++k) {
      const ValueId id = turn.inputs[k];
      if (inner_from_[static_cast<std::size_t>(i)][k] < 0) continue;
      const int held = windows_[static_cast<std::size_t>(id)] + rows(id) - 1;
      turns.windowed[k] = std::min(bytes(id), bytes(id, held)) - bytes(id);
    }
    return turns;
  }

  // The same for every chain of that pace, so each is found once.
  [[nodiscard]] Pace& pace_of(int band, int highest) {
    const auto found = std::find_if(paces_.begin(), paces_.end(), [&](const Pace& pace) {
      return pace.band == band && pace.highest == highest;
    });
    if (found != paces_.end()) return *found;
    paces_.push_back({band, highest, std::vector<Turns>(static_cast<std::size_t>(nodes_))});
    return paces_.back();
  }

  // Loads are exact but for temporary memory and counters, which form() counts.
  [[nodiscard]] Chained chained_from(int first, int band) {
    const auto n = static_cast<std::size_t>(nodes_);
    Chained chained{std::vector(n, kImpossible), std::vector<std::int64_t>(n, 0)};
    std::int64_t load = entry_[static_cast<std::size_t>(first)];
    std::int64_t scratch = 0;
    std::int64_t cost = 0;
    Pace& pace = pace_of(band, shape_of(graph_, node(first).inputs[0]).height);
    for (int i = first; i < nodes_ && streams_[static_cast<std::size_t>(i)]; ++i) {
      if (parts_frozen(first, i)) break;
      const auto at = static_cast<std::size_t>(i);
      Turns& turns = pace.turns[at];
      if (turns.scratch < 0) turns = turns_of(i, pace);
      scratch = std::max(scratch, turns.scratch);
      cost += turns.cost;
      load += made_[at];
      for (std::size_t k = 0; k < 2; ++k) {
        if (first <= inner_from_[at][k]) load += turns.windowed[k];
      }
      if (graph_.fed && first == 0 && last_use(graph_.input) > i) continue;
      chained.load[at] = load + scratch;
      chained.cost[at] = cost;
      if (overwrites_input(first, i)) {
        // Mostly little more than a row apart.
        const ValueId out = node(i).outputs[0];
        chained.load[at] +=
            stacked_bytes(out, row_bytes(graph_, out)) - bytes(out) - bytes(graph_.input);
      }
    }
    return chained;
  }

  // Dynamic programming over the ends of segments: the lowest peak there is, with single rows.
  [[nodiscard]] std::int64_t lowest_peak() {
    const auto n = static_cast<std::size_t>(nodes_);
    std::vector<std::int64_t> peak(n + 1, kImpossible);
    peak[0] = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (peak[i] == kImpossible) continue;
      const Chained chained = chained_from(static_cast<int>(i), 1);
      for (std::size_t j = i; j < n; ++j) {
        const bool chain = is_chain(static_cast<int>(i), static_cast<int>(j));
        const std::int64_t load = chain ? chained.load[j] : load_[i];
        if (load != kImpossible) peak[j + 1] = std::min(peak[j + 1], std::max(peak[i], load));
      }
    }
    return peak[n];
  }

  // And again: of what stays within that peak, some slack and the backward pass, what costs least.
  void choose() {
    const std::int64_t lowest = lowest_peak();
    if (lowest == kImpossible) return;  // an input that cannot come by rows
    limit_ = std::max(lowest + (slack_ ? lowest / kSlack : 0), backward_peak_);
    struct Step {
      std::int64_t cost = kImpossible;
      Segment segment;
      int band = 0;  ///< 0: no chain
    };
    const auto n = static_cast<std::size_t>(nodes_);
    std::vector<Step> best(n + 1);
    best[0].cost = 0;
    const auto offer = [&](std::size_t i, std::size_t j, std::int64_t cost, int band) {
      if (best[i].cost + cost >= best[j + 1].cost) return;
      best[j + 1] = {best[i].cost + cost, {static_cast<int>(i), static_cast<int>(j)}, band};
    };
    for (std::size_t i = 0; i < n; ++i) {
      if (best[i].cost == kImpossible) continue;
      if (!is_chain(static_cast<int>(i), static_cast<int>(i)) && load_[i] <= limit_) {
        offer(i, i, 0, 0);
      }
      if (!streams_[i]) continue;
      for (const int band : kBands) {
        const Chained chained = chained_from(static_cast<int>(i), band);
        for (std::size_t j = i; j < n; ++j) {
          if (is_chain(static_cast<int>(i), static_cast<int>(j)) && chained.load[j] <= limit_) {
            offer(i, j, chained.cost[j] + 1, band);
          }
        }
      }
    }
    std::vector<Step> chains;
    for (std::size_t at = n; at > 0; at = static_cast<std::size_t>(best[at].segment.first)) {
      if (best[at].band > 0) chains.push_back(best[at]);
    }
    for (std::size_t i = chains.size(); i-- > 0;) apply(chains[i].segment, chains[i].band);
  }

  // A node alone is none, unless the input comes by rows there.
  [[nodiscard]] bool is_chain(int first, int last) const {
    return last > first || (graph_.fed && first == 0);
  }
  [[nodiscard]] Form form(Segment s, int band) const {
    int height = 1;
    for (int i = s.first; i <= s.last; ++i) {
      height = std::max(height, shape_of(graph_, node(i).inputs[0]).height);
    }
    Form form;
    form.tables = tables_of(graph_, s.first, s.last, graph_.fed, [&](ValueId id) {
      if (!is_inner(id, s.first, s.last)) return 0;
      return windows_[static_cast<std::size_t>(id)] +
             rows_at_once(band, shape_of(graph_, id).height, height) - 1;
    });
    form.bands = rehearse(form.tables);
    form.load = entry_[static_cast<std::size_t>(s.first)] +
                aligned(form.tables.map_count() * static_cast<std::int64_t>(sizeof(esp_rows)));
    std::int64_t scratch = 0;
    for (int i = s.first; i <= s.last; ++i) {
      Node turn = node(i);
      const Band& most = form.bands[static_cast<std::size_t>(i - s.first)];
      turn.band_rows = most.rows;
      turn.band_in_rows = most.in_rows;
      scratch = std::max(scratch, aligned(scratch_bytes(graph_, turn)));
      for (const ValueId id : turn.outputs) {
        if (id >= 0) form.load += bytes(id);
      }
    }
    form.load += scratch;
    for (std::size_t map = 0; map < form.tables.maps.size(); ++map) {
      const ValueId id = form.tables.maps[map];
      if (!is_inner(id, s.first, s.last)) continue;
      form.load +=
          bytes(id, form.tables.map_fields[map * ESP_MAP_FIELDS + ESP_MAP_ROWS]) - bytes(id);
    }
    if (overwrites_input(s.first, s.last)) {
      const auto map_of = [&](ValueId id) {
        const auto found = std::find(form.tables.maps.begin(), form.tables.maps.end(), id);
        return static_cast<int>(found - form.tables.maps.begin());
      };
      const ValueId over = node(s.last).outputs[0];
      form.input_shift = shift_over(form.tables, map_of(graph_.input), map_of(over));
      const std::int64_t together = stacked_bytes(over, form.input_shift);
      if (together < bytes(over) + bytes(graph_.input)) {
        form.input_over = over;
        form.load += together - bytes(over) - bytes(graph_.input);
      }
    }
    return form;
  }

  // With as many rows at a time, up to `most_rows`, as stay within the limit.
  void apply(Segment s, int most_rows) {
    Form chosen;
    for (const int band : kBands) {
      if (band > most_rows) continue;
      chosen = form(s, band);
      if (chosen.load <= limit_) break;
    }
    if (chosen.input_over >= 0) {
      graph_.input_over = chosen.input_over;
      graph_.input_shift = chosen.input_shift;
    }
    const int index = static_cast<int>(graph_.chains.size());
    graph_.chains.push_back({s.first, s.last, -1, graph_.fed && s.first == 0});
    for (int i = s.first; i <= s.last; ++i) {
      Node& turn = graph_.nodes[static_cast<std::size_t>(i)];
      const Band& most = chosen.bands[static_cast<std::size_t>(i - s.first)];
      turn.chain = index;
      turn.band_rows = most.rows;
      turn.band_in_rows = most.in_rows;
      for (const ValueId id : turn.outputs) {
        if (id >= 0) graph_.value(id).in_place_of = -1;
      }
    }
    for (std::size_t map = 0; map < chosen.tables.maps.size(); ++map) {
      const ValueId id = chosen.tables.maps[map];
      const std::int32_t* fields = chosen.tables.map_fields.data() + map * ESP_MAP_FIELDS;
      if (!is_inner(id, s.first, s.last) || fields[ESP_MAP_ROWS] == fields[ESP_MAP_HEIGHT])
        continue;
      graph_.value(id).rows = fields[ESP_MAP_ROWS];
      graph_.value(id).elements = std::int64_t{fields[ESP_MAP_ROWS]} * fields[ESP_MAP_ROW_BYTES];
    }
  }

  TrainingGraph& graph_;
  const bool slack_;
  const Uses uses_;
  const int nodes_;
  const int behind_;  ///< the first node behind the frozen ones
  std::vector<bool> streams_;
  std::vector<int> windows_;
  std::vector<std::int64_t> load_;
  std::vector<std::int64_t> entry_;
  std::vector<std::int64_t> made_;  ///< bytes of a node's outputs
  /// By node and input: of chains that begin there or before, only rows of it need exist, and this
  /// is its last reader; -1: of none.
  std::vector<std::array<int, 2>> inner_from_;
  std::vector<Pace> paces_;
  std::int64_t forward_peak_ = 0;
  std::int64_t backward_peak_ = 0;
  std::int64_t limit_ = 0;
};

}  // namespace

std::int64_t row_bytes(const TrainingGraph& graph, ValueId id) {
  const Value& value = graph.value(id);
  const ir::Shape& shape = shape_of(graph, id);
  const std::int64_t elements =
      value.rows > 0 ? value.elements / value.rows : value.elements / shape.height;
  const std::int64_t bytes = byte_size(value.element, elements);
  // Bits of a row that share a byte with the next.
  return byte_size(value.element, 8 * elements) == 8 * bytes ? bytes : -1;
}

ChainTables chain_tables(const TrainingGraph& graph, const Chain& chain) {
  return tables_of(graph, chain.first, chain.last, chain.fed,
                   [&](ValueId id) { return graph.value(id).rows; });
}

Status check_rows(const TrainingGraph& graph, const Chain& chain,
                  const std::function<std::int64_t(ValueId)>& offset) {
  ChainTables tables = chain_tables(graph, chain);
  std::vector<std::string> problems;
  const std::vector<std::int32_t> fields = tables.map_fields;
  const auto field = [&](int map, int name) {
    return std::int64_t{fields[static_cast<std::size_t>(map * ESP_MAP_FIELDS + name)]};
  };
  const auto start = [&](int map) { return offset(tables.maps[static_cast<std::size_t>(map)]); };
  rehearse(tables, [&](const esp_chain& rows, int step, const esp_band& band) {
    const int made = rows.steps[step * ESP_STEP_FIELDS + ESP_STEP_OUTPUT];
    const std::int64_t from = start(made) + band.y;
    const std::int64_t to = from + band.rows * field(made, ESP_MAP_ROW_BYTES);
    for (int map = 0; map < rows.map_count; ++map) {
      if (map == made) continue;
      // The rows of this turn count as read already, unless they are asked for anew.
      const esp_rows there = esp_rows_of(&rows, map);
      std::int64_t first = esp_first_needed(&rows, map);
      const std::int32_t* s = rows.steps + step * ESP_STEP_FIELDS;
      if (s[ESP_STEP_INPUT] == map) {
        first = std::min<std::int64_t>(first, there.first + band.x / field(map, ESP_MAP_ROW_BYTES));
      }
      if (s[ESP_STEP_OTHER] == map) first = std::min<std::int64_t>(first, band.row);
      const std::int64_t live = start(map) + (first - there.first) * field(map, ESP_MAP_ROW_BYTES);
      const std::int64_t end =
          start(map) + (there.end - there.first) * field(map, ESP_MAP_ROW_BYTES);
      if (live >= end || to <= live || end <= from) continue;
      const ValueId written = tables.maps[static_cast<std::size_t>(made)];
      const ValueId lost = tables.maps[static_cast<std::size_t>(map)];
      if (problems.size() < 8) {
        problems.push_back(fmt::format(
            "rows {} to {} of {} overwrite rows of {} that are still to be read", band.row,
            band.row + band.rows - 1, value_name(graph, written), value_name(graph, lost)));
      }
    }
  });
  if (tables.map_fields != fields) problems.push_back("a chain does not run with its windows");
  if (!problems.empty()) return Error{ErrorKind::kInternal, problems};
  return Ok{};
}

bool can_chain(const TrainingGraph& graph, Segment segment) {
  TrainingGraph copy = graph;
  return Streaming(copy).allows(segment);
}

void make_chains(TrainingGraph& graph, const std::vector<Segment>& segments) {
  Streaming(graph).make(segments);
}

namespace {

void stream_with(TrainingGraph& graph, bool slack) {
  const TrainingGraph before = graph;
  Streaming(graph, slack).run();
  // The counters of chains, and what was only estimated, may take what windows save.
  if (!graph.chains.empty() && !graph.fed && peak_load(graph) >= peak_load(before)) graph = before;
}

}  // namespace

void stream(TrainingGraph& graph) { stream_with(graph, true); }

void stream_lowest(TrainingGraph& graph) { stream_with(graph, false); }

}  // namespace espalier::compiler
