#include "espalier/data/samples.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace espalier::data {

Status Samples::input(std::int64_t i, std::span<std::int8_t> out_hwc) const {
  if (i < 0 || i >= size()) {
    return Error{ErrorKind::kInternal,
                 fmt::format("sample {} was requested, there are {}", i, size())};
  }
  Status status = pipeline_.to_input(dataset_.images[static_cast<std::size_t>(i)], out_hwc);
  if (status.ok()) return status;
  return Error{status.error().kind, fmt::format("{}: sample {}: {}", portable_spec(dataset_.spec),
                                                i, status.error().message())};
}

Json Samples::identity_json() const {
  Json json = data::identity_json(dataset_);
  json["preprocess"] = pipeline_.description();
  return json;
}

}  // namespace espalier::data
