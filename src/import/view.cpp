#include "view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace espalier::import_detail {
namespace {

// Appends runs, joining those that one run can stand for.
void append(Axis& axis, const Run& run) {
  if (run.extent == 1) return;
  if (!axis.empty() && axis.back().stride == run.stride * run.extent) {
    axis.back() = {axis.back().extent * run.extent, run.stride};
  } else {
    axis.push_back(run);
  }
}

std::int64_t extent_of(const Axis& axis) {
  std::int64_t extent = 1;
  for (const Run& run : axis) extent *= run.extent;
  return extent;
}

// Sums of one multiple of each run's stride, in the order of the runs.
std::vector<std::int64_t> offsets_of(std::span<const Run> runs) {
  std::vector<std::int64_t> offsets{0};
  for (const Run& run : runs) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(run.extent));
    for (const std::int64_t base : offsets) {
      for (std::int64_t i = 0; i < run.extent; ++i) next.push_back(base + i * run.stride);
    }
    offsets = std::move(next);
  }
  return offsets;
}

// The runs that a run of old memory makes in new memory, innermost first; false when it crosses
// memory in a way that no axis explains.
bool move_run(Run run, std::span<const std::int64_t> extents, std::span<const std::int64_t> from,
              std::span<const std::int64_t> to, Axis& innermost_first) {
  while (run.extent > 1) {
    bool found = false;
    for (std::size_t a = 0; a < extents.size() && !found; ++a) {
      if (extents[a] == 1 || run.stride < from[a] || run.stride % from[a] != 0) continue;
      const std::int64_t step = run.stride / from[a];
      if (step >= extents[a] || extents[a] % step != 0) continue;
      const std::int64_t steps = std::min(run.extent, extents[a] / step);
      if (run.extent % steps != 0) continue;
      innermost_first.push_back({steps, step * to[a]});
      run = {run.extent / steps, run.stride * steps};
      found = true;
    }
    if (!found) return false;
  }
  return true;
}

}  // namespace

std::int64_t element_count(const Dims& dims) {
  std::int64_t count = 1;
  for (const std::int64_t extent : dims) {
    if (__builtin_mul_overflow(count, extent, &count)) return INT64_MAX;
  }
  return count;
}

Dims slice_indices(std::int64_t begin, std::int64_t end, std::int64_t step, std::int64_t extent) {
  Dims indices;
  if (step == 0) return indices;
  const std::int64_t lowest = step > 0 ? 0 : -1;
  const auto bound = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + extent : at, lowest, extent + lowest);
  };
  const std::int64_t last = bound(end);
  for (std::int64_t i = bound(begin); step > 0 ? i < last : i > last; i += step) {
    indices.push_back(i);
  }
  return indices;
}

View::View(std::vector<Axis> axes) {
  for (const Axis& axis : axes) {
    axes_.emplace_back();
    for (const Run& run : axis) append(axes_.back(), run);
  }
}

View View::row_major(const Dims& dims) {
  std::vector<Axis> axes(dims.size());
  std::int64_t stride = 1;
  for (std::size_t i = dims.size(); i-- > 0;) {
    axes[i] = {Run{dims[i], stride}};
    stride *= dims[i];
  }
  return View(std::move(axes));
}

Dims View::dims() const {
  Dims dims;
  for (const Axis& axis : axes_) dims.push_back(extent_of(axis));
  return dims;
}

std::int64_t View::elements() const { return element_count(dims()); }

Axis View::flat() const {
  Axis all;
  for (const Axis& axis : axes_) {
    for (const Run& run : axis) append(all, run);
  }
  return all;
}

std::vector<std::int64_t> View::positions() const { return offsets_of(flat()); }

std::optional<View> View::reshaped(const Dims& dims) const {
  if (element_count(dims) != elements()) return std::nullopt;
  Axis rest = flat();
  std::vector<Axis> axes(dims.size());
  for (std::size_t i = dims.size(); i-- > 0;) {
    Axis innermost_first;
    std::int64_t wanted = dims[i];
    while (wanted > 1) {
      Run& run = rest.back();
      const std::int64_t taken = std::gcd(wanted, run.extent);
      if (taken != wanted && taken != run.extent) return std::nullopt;
      innermost_first.push_back({taken, run.stride});
      wanted /= taken;
      run = {run.extent / taken, run.stride * taken};
      if (run.extent == 1) rest.pop_back();
    }
    axes[i].assign(innermost_first.rbegin(), innermost_first.rend());
  }
  return View(std::move(axes));
}

View View::transposed(std::span<const std::size_t> order) const {
  View result;
  for (const std::size_t i : order) result.axes_.push_back(axes_[i]);
  return result;
}

std::optional<View> View::moved(std::span<const std::int64_t> extents,
                                std::span<const std::int64_t> from,
                                std::span<const std::int64_t> to) const {
  std::vector<Axis> axes;
  for (const Axis& axis : axes_) {
    Axis innermost_first;
    for (std::size_t i = axis.size(); i-- > 0;) {
      if (!move_run(axis[i], extents, from, to, innermost_first)) return std::nullopt;
    }
    axes.emplace_back(innermost_first.rbegin(), innermost_first.rend());
  }
  return View(std::move(axes));
}

namespace {

// `picked`: by axis the offsets of its elements, where these are not all.
std::optional<ChannelWalk> walk(const View& view, int channels,
                                const std::vector<std::vector<std::int64_t>>& picked) {
  std::vector<std::int64_t> walked{0};
  std::vector<Axis> axes(view.rank());
  for (std::size_t a = 0; a < view.rank(); ++a) {
    Axis within;
    for (const Run& run : view.axis(a)) {
      if (run.stride >= channels) continue;
      if (run.stride * run.extent > channels) return std::nullopt;
      within.push_back(run);
    }
    const bool cut = !picked[a].empty();
    if (cut && within.size() != view.axis(a).size()) return std::nullopt;
    const std::vector<std::int64_t> offsets = cut ? picked[a] : offsets_of(within);
    std::vector<std::int64_t> next;
    for (const std::int64_t base : walked) {
      for (const std::int64_t offset : offsets) next.push_back(base + offset);
    }
    walked = std::move(next);
    if (cut) within = {{static_cast<std::int64_t>(offsets.size()), 1}};
    // Strides of channels are counted below, those of pixels from here.
    std::size_t next_within = 0;
    for (const Run& run : view.axis(a)) {
      if (run.stride >= channels) axes[a].push_back({run.extent, -run.stride / channels});
      if (run.stride < channels && !cut) axes[a].push_back(within[next_within++]);
    }
    if (cut) axes[a] = within;
  }
  const auto count = static_cast<std::int64_t>(walked.size());
  std::int64_t stride = 1;
  for (std::size_t a = axes.size(); a-- > 0;) {
    for (std::size_t r = axes[a].size(); r-- > 0;) {
      Run& run = axes[a][r];
      if (run.stride < 0) {
        run.stride *= -count;
      } else {
        run.stride = stride;
        stride *= run.extent;
      }
    }
  }
  return ChannelWalk{{walked.begin(), walked.end()}, View(std::move(axes))};
}

}  // namespace

std::optional<ChannelWalk> walk_channels(const View& view, int channels) {
  return walk(view, channels, std::vector<std::vector<std::int64_t>>(view.rank()));
}

std::optional<ChannelWalk> walk_channels(const View& view, int channels, std::size_t axis,
                                         std::span<const std::int64_t> indices) {
  std::vector<std::vector<std::int64_t>> picked(view.rank());
  const std::vector<std::int64_t> offsets = offsets_of(view.axis(axis));
  for (const std::int64_t i : indices) picked[axis].push_back(offsets[static_cast<std::size_t>(i)]);
  return walk(view, channels, picked);
}

std::string batch_text(const Dims& dims) {
  return dims.empty() ? "[N]" : fmt::format("[N,{}]", fmt::join(dims, ","));
}

bool along_channels(const Dims& constant, const View& view, int channels) {
  if (element_count(constant) == 1) return true;
  const Dims dims = view.dims();
  if (constant.size() > dims.size() + 1) return false;
  Dims padded(dims.size() + 1 - constant.size(), 1);
  padded.insert(padded.end(), constant.begin(), constant.end());
  for (std::size_t axis = 0; axis < dims.size(); ++axis) {
    Dims wanted(dims.size() + 1, 1);
    wanted[axis + 1] = channels;
    if (padded == wanted && view.axis(axis) == Axis{{channels, 1}}) return true;
  }
  return false;
}

}  // namespace espalier::import_detail
