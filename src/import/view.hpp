// How a foreign graph sees the elements of a tensor: any sequence of transpositions and changes of
// shape, without moving anything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace espalier::import_detail {

/// Extents of one sample, without the batch.
using Dims = std::vector<std::int64_t>;

/// Product of the extents, which a file may claim at will; the largest integer where it is beyond.
std::int64_t element_count(const Dims& dims);

/// Elements `begin` to `end` of an axis, `end` not among them, every `step`-th; negative ones count
/// from the axis' end, those beyond are cut off. Empty where the step is 0.
Dims slice_indices(std::int64_t begin, std::int64_t end, std::int64_t step, std::int64_t extent);

/// Elements that lie `stride` apart.
struct Run {
  std::int64_t extent = 1;
  std::int64_t stride = 1;
  bool operator==(const Run&) const = default;
};

/// One axis of a view: runs from the outermost to the innermost, neither of extent 1 nor two that
/// one could stand for. An axis of extent 1 has none.
using Axis = std::vector<Run>;

/// Axes over the elements of a tensor; strides count elements of the tensor's memory.
class View {
 public:
  View() = default;
  explicit View(std::vector<Axis> axes);

  /// Rows of memory in the order of the dimensions.
  static View row_major(const Dims& dims);

  [[nodiscard]] Dims dims() const;
  [[nodiscard]] std::size_t rank() const { return axes_.size(); }
  [[nodiscard]] const Axis& axis(std::size_t i) const { return axes_[i]; }
  [[nodiscard]] std::int64_t elements() const;
  /// All elements in the order of the view.
  [[nodiscard]] Axis flat() const;
  /// Memory positions of all elements in the order of the view.
  [[nodiscard]] std::vector<std::int64_t> positions() const;

  /// The same elements in the same order under other dimensions; nullopt when their number differs
  /// or an axis would have to be cut where memory has no boundary.
  [[nodiscard]] std::optional<View> reshaped(const Dims& dims) const;
  /// Axis i becomes what axis order[i] was. `order` is a permutation.
  [[nodiscard]] View transposed(std::span<const std::size_t> order) const;
  /// The same elements where memory has other strides: what lay `from[i]` apart lies `to[i]` apart.
  /// `extents` are those of the memory's axes; an axis of extent 1 is not looked at. nullopt when
  /// the strides do not belong to such a memory.
  [[nodiscard]] std::optional<View> moved(std::span<const std::int64_t> extents,
                                          std::span<const std::int64_t> from,
                                          std::span<const std::int64_t> to) const;

  bool operator==(const View&) const = default;

 private:
  std::vector<Axis> axes_;
};

/// The channels that a view of [pixel][channel] memory walks through in its order, and the same
/// view of memory that holds these alone, in that order.
struct ChannelWalk {
  std::vector<int> channels;
  View view;
};
/// nullopt when an axis runs over pixels and channels in one.
std::optional<ChannelWalk> walk_channels(const View& view, int channels);
/// Likewise with elements `indices` of an axis alone; nullopt when it does not run over channels.
std::optional<ChannelWalk> walk_channels(const View& view, int channels, std::size_t axis,
                                         std::span<const std::int64_t> indices);

/// `[N,3,96,96]`.
std::string batch_text(const Dims& dims);

/// True when a constant that broadcasts over the batch and the axes of a view has one number a
/// channel of what the view shows, or is one number.
bool along_channels(const Dims& constant, const View& view, int channels);

}  // namespace espalier::import_detail
