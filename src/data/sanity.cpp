#include "espalier/data/sanity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>

#include "espalier/data/classes.hpp"

namespace espalier::data {
namespace {

std::size_t content_hash(const Image& image) {
  return std::hash<std::string_view>()(
      {reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()});
}

// Mean, spread and share at the ends of -128..127 of some samples' inputs.
struct Spread {
  double count = 0;
  double sum = 0;
  double squares = 0;
  double ends = 0;

  void add(std::int8_t q) {
    const auto value = static_cast<double>(q);
    ++count;
    sum += value;
    squares += value * value;
    if (q == -128 || q == 127) ++ends;
  }
  [[nodiscard]] double mean() const { return sum / count; }
  [[nodiscard]] double deviation() const {
    return std::sqrt(std::max(0.0, squares / count - mean() * mean()));
  }
};

// What the pictures themselves look like, to tell odd preprocessing from odd pictures.
bool flat(const Image& image) {
  const auto [low, high] = std::minmax_element(image.pixels.begin(), image.pixels.end());
  return image.pixels.empty() || *high - *low < 16;
}
double share_at_ends(const Image& image) {
  const auto ends = std::count_if(image.pixels.begin(), image.pixels.end(),
                                  [](std::uint8_t p) { return p == 0 || p == 255; });
  return static_cast<double>(ends) /
         static_cast<double>(std::max<std::size_t>(1, image.pixels.size()));
}

}  // namespace

std::vector<std::string> doubts(const Dataset& dataset) {
  std::vector<std::string> found;
  const std::vector<std::int64_t> count = samples_by_class(dataset);
  ClassNames empty;
  ClassNames present;
  for (std::size_t c = 0; c < count.size(); ++c) {
    (count[c] == 0 ? empty : present).push_back(dataset.class_names[c]);
  }
  const std::string where = portable_spec(dataset.spec);
  if (present.size() == 1) {
    found.push_back(fmt::format(
        "{}: all {} samples are of class '{}': any accuracy is trivial; name data of two classes",
        where, dataset.size(), present.front()));
  }
  if (empty.size() == 1 && dataset.classes > 1 && empty.front() == "0" && count.front() == 0 &&
      numbered(dataset.class_names)) {
    found.push_back(
        fmt::format("{}: labels begin at 1, so that class 0 has no sample; leave it out with "
                    "--classes 1-{}",
                    where, dataset.classes - 1));
  } else if (!empty.empty()) {
    found.push_back(
        fmt::format("{}: no sample of {}; take more samples, or leave them out with "
                    "--classes",
                    where, class_list(empty)));
  }
  if (dataset.size() < dataset.classes) {
    found.push_back(fmt::format("{}: {} samples are fewer than its {} classes; take more", where,
                                dataset.size(), dataset.classes));
  }
  return found;
}

std::vector<std::string> scarce_doubts(const Dataset& training) {
  constexpr std::int64_t kFew = 5;
  constexpr std::int64_t kTimes = 20;
  const std::vector<std::int64_t> count = samples_by_class(training);
  const auto most = std::max_element(count.begin(), count.end());
  ClassNames scarce;
  for (std::size_t c = 0; c < count.size(); ++c) {
    if (count[c] > 0 && count[c] < kFew && count[c] * kTimes <= *most) {
      scarce.push_back(training.class_names[c]);
    }
  }
  if (scarce.empty()) return {};
  return {fmt::format(
      "{}: fewer than {} samples to train on of {}, and {} of '{}'; take more of the former, or "
      "leave them out with --classes",
      portable_spec(training.spec), kFew, class_list(scarce), *most,
      training.class_names[static_cast<std::size_t>(most - count.begin())])};
}

std::vector<std::string> input_doubts(const Samples& samples) {
  constexpr std::int64_t kLookedAt = 64;
  // In units of int8. Pictures spread over tens of them, whatever the normalisation.
  constexpr double kNoSpread = 2;
  constexpr double kMostAtEnds = 0.9;
  // Line drawings lie at the ends by themselves.
  constexpr double kMoreThanBefore = 0.3;
  Spread spread;
  std::vector<std::int8_t> input(samples.elements());
  const std::int64_t step = std::max<std::int64_t>(1, samples.size() / kLookedAt);
  const Element element = samples.dataset().element;
  const bool mapped = element == Element::kPixel || element == Element::kUint8;
  bool all_flat = true;
  double before = 0;
  double looked_at = 0;
  for (std::int64_t i = 0; i < samples.size(); i += step) {
    if (!samples.input(i, input).ok()) return {};
    for (const std::int8_t q : input) spread.add(q);
    if (!mapped) continue;
    const Image& image = samples.dataset().images[static_cast<std::size_t>(i)];
    all_flat = all_flat && flat(image);
    before += share_at_ends(image);
    ++looked_at;
  }
  if (spread.count == 0) return {};
  const std::string where = portable_spec(samples.dataset().spec);
  const std::string preprocess = samples.pipeline().description();
  const InputPipeline& pipeline = samples.pipeline();
  if (element == Element::kInt8 && pipeline.file_element() == Element::kFloat32 &&
      !pipeline.preprocess().quantized) {
    return {fmt::format(
        "{}: int8 samples are taken as the integers behind the float input of the model, of scale "
        "{} and zero point {}; if they carry another quantisation, say so with --preprocess "
        "quantized=SCALE:ZERO_POINT, or store them as float32",
        where, pipeline.scale(), pipeline.zero_point())};
  }
  if (!mapped && (spread.deviation() < kNoSpread || spread.ends > kMostAtEnds * spread.count)) {
    return {
        fmt::format("{}: the model's inputs are {:.1f} +- {:.1f} of -128..127, {:.0f} % of them "
                    "at the ends; are the values in the unit that the model was made for?",
                    where, spread.mean(), spread.deviation(), 100 * spread.ends / spread.count)};
  }
  if (spread.deviation() < kNoSpread) {
    return {fmt::format(
        "{}: every model input is nearly the same, {:.1f} +- {:.1f} of -128..127{}", where,
        spread.mean(), spread.deviation(),
        all_flat ? "; look at the data, whose samples hardly vary themselves"
                 : fmt::format(" with preprocess {}; mean and std are of pixels scaled to 0..1, "
                               "such as 0.5, not 127.5",
                               preprocess))};
  }
  const double at_ends = spread.ends / spread.count;
  if (mapped && at_ends > kMostAtEnds && at_ends > before / looked_at + kMoreThanBefore) {
    return {
        fmt::format("{}: {:.0f} % of the model's inputs lie at the ends of -128..127 with "
                    "preprocess {}; look at mean and std, which are of pixels scaled to 0..1",
                    where, 100 * at_ends, preprocess)};
  }
  if (pipeline.layout_in_doubt(samples.dataset().images.front())) {
    return {
        fmt::format("{}: the axes of the samples fit the order of the model's file, which is "
                    "taken, and channels last; if theirs are last, swap them",
                    where)};
  }
  return {};
}

std::vector<std::string> overlap_doubts(const Dataset& training, const Dataset& test) {
  std::unordered_multimap<std::size_t, const Image*> known;
  for (const Image& image : training.images) known.emplace(content_hash(image), &image);
  const auto shared =
      std::count_if(test.images.begin(), test.images.end(), [&](const Image& image) {
        const auto [first, last] = known.equal_range(content_hash(image));
        return std::any_of(first, last, [&](const auto& entry) { return *entry.second == image; });
      });
  if (shared == 0) return {};
  const std::string of = portable_spec(training.spec);
  const std::string in = portable_spec(test.spec);
  if (shared == test.size()) {
    return {
        fmt::format("every sample of {} is also in {}: what is measured is memory, not what "
                    "was learned; name data that was not trained on",
                    in, of)};
  }
  return {
      fmt::format("{} of the {} samples of {} are also in {}: part of what is measured is "
                  "memory; remove them from one of the two",
                  shared, test.size(), in, of)};
}

std::vector<std::string> set_doubts(const Samples& training, const Samples& test) {
  std::vector<std::string> all;
  for (const std::vector<std::string>& some :
       {doubts(training.dataset()), scarce_doubts(training.dataset()), doubts(test.dataset()),
        input_doubts(training), overlap_doubts(training.dataset(), test.dataset())}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace espalier::data
