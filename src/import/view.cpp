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

std::vector<std::int64_t> View::positions() const {
  std::vector<std::int64_t> positions{0};
  for (const Run& run : flat()) {
    std::vector<std::int64_t> next;
    next.reserve(positions.size() * static_cast<std::size_t>(run.extent));
    for (const std::int64_t base : positions) {
      for (std::int64_t i = 0; i < run.extent; ++i) next.push_back(base + i * run.stride);
    }
    positions = std::move(next);
  }
  return positions;
}

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

std::string batch_text(const Dims& dims) {
  return dims.empty() ? "[N]" : fmt::format("[N,{}]", fmt::join(dims, ","));
}

}  // namespace espalier::import_detail
