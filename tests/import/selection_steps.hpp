// Random sequences of operators that take channels apart, shuffle and join them, as both formats
// write them, and where each channel of their result comes from.
#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "espalier/support/rng.hpp"
#include "onnx_builder.hpp"
#include "tflite_builder.hpp"

namespace espalier::testing {

inline constexpr int kSelectionHeight = 3;
inline constexpr int kSelectionWidth = 2;
inline constexpr int kSelectionChannels = 12;
inline constexpr float kSelectionScale = 0.04F;
inline constexpr int kSelectionZero = 7;

struct SelectionStep {
  enum Kind { kSplit, kSlice, kGather, kShuffle, kJoin } kind = kSplit;
  std::vector<int> sizes;  ///< of a split
  int kept = 0;            ///< its output that is used on
  int begin = 0;           ///< of a slice
  int end = 0;
  int step = 1;
  std::vector<int> channels;  ///< of a gather
  int groups = 1;             ///< of a shuffle
};

/// What a step makes of channels.
inline std::vector<int> moved(const SelectionStep& step, const std::vector<int>& from) {
  std::vector<int> to;
  const auto count = static_cast<int>(from.size());
  switch (step.kind) {
    case SelectionStep::kSplit: {
      const auto kept = step.sizes.begin() + step.kept;
      const auto begin = from.begin() + std::accumulate(step.sizes.begin(), kept, 0);
      return {begin, begin + *kept};
    }
    case SelectionStep::kSlice:
      for (int i = step.begin; step.step > 0 ? i < step.end : i > step.end; i += step.step) {
        to.push_back(from[static_cast<std::size_t>(i)]);
      }
      return to;
    case SelectionStep::kGather:
      for (const int i : step.channels) to.push_back(from[static_cast<std::size_t>(i)]);
      return to;
    case SelectionStep::kShuffle:
      for (int i = 0; i < count; ++i) {
        const int each = count / step.groups;
        to.push_back(from[static_cast<std::size_t>(i % step.groups * each + i / step.groups)]);
      }
      return to;
    case SelectionStep::kJoin:
      to = from;
      to.insert(to.end(), from.rbegin(), from.rend());
      return to;
  }
  return to;
}

class SelectionSteps {
 public:
  /// Repeats of a join are kept apart from selections: nothing takes a channel twice.
  SelectionSteps(std::uint64_t seed, int count) : rng_{seed, 0x53454C} {
    channels.resize(kSelectionChannels);
    std::iota(channels.begin(), channels.end(), 0);
    for (int i = 0; i < count && channels.size() > 1; ++i) {
      steps.push_back(step());
      channels = moved(steps.back(), channels);
    }
  }

  std::vector<SelectionStep> steps;
  std::vector<int> channels;  ///< of the input, that the result has

  /// The steps between quantised tensors, global mean and classifier. The result is `result_dq`.
  [[nodiscard]] OnnxBuilder onnx(std::int64_t opset) const {
    OnnxBuilder b(opset);
    std::string x =
        b.quantized(b.input("input", {0, kSelectionChannels, kSelectionHeight, kSelectionWidth}),
                    "input", kSelectionScale, kSelectionZero);
    auto count = static_cast<std::int64_t>(kSelectionChannels);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::string name = "s" + std::to_string(i);
      x = b.quantized(add(b, steps[i], x, name, count, opset), name, kSelectionScale,
                      kSelectionZero);
      count = static_cast<std::int64_t>(
          moved(steps[i], std::vector<int>(static_cast<std::size_t>(count))).size());
    }
    x = b.quantized(x, "result", kSelectionScale, kSelectionZero);
    b.node("GlobalAveragePool", {x}, "mean");
    b.classifier(b.quantized("mean", "mean", kSelectionScale, kSelectionZero),
                 static_cast<int>(count), 3);
    return b;
  }

  [[nodiscard]] TfliteBuilder tflite() const {
    TfliteBuilder b;
    int x = b.input({1, kSelectionHeight, kSelectionWidth, kSelectionChannels}, kSelectionScale,
                    kSelectionZero);
    int count = kSelectionChannels;
    for (const SelectionStep& step : steps) x = add(b, step, x, count);
    const int mean = b.like(x, "mean", {1, count});
    b.mean(x, {1, 2}, mean);
    b.classifier(mean, count, 3);
    return b;
  }

 private:
  int pick(int low, int high) {
    return low + static_cast<int>(rng_.below(static_cast<std::uint64_t>(high - low + 1)));
  }
  SelectionStep step() {
    const auto count = static_cast<int>(channels.size());
    SelectionStep made;
    made.kind = static_cast<SelectionStep::Kind>(rng_.below(count > 24 ? 4 : 5));
    switch (made.kind) {
      case SelectionStep::kSplit: {
        const int parts = count % 3 == 0 ? 3 : 2;
        const int each = (count + parts - 1) / parts;
        for (int i = 0; i < parts; ++i) made.sizes.push_back(std::min(each, count - i * each));
        if (rng_.chance(0.5) && made.sizes[0] > 1) {
          --made.sizes[0];
          ++made.sizes[1];
        }
        made.kept = pick(0, parts - 1);
        break;
      }
      case SelectionStep::kSlice: {
        const bool back = rng_.chance(0.3);
        made.step = (back ? -1 : 1) * pick(1, 2);
        made.begin = back ? count - 1 : pick(0, count / 2);
        made.end = back ? pick(-1, count / 2 - 1) : pick(count / 2 + 1, count);
        break;
      }
      case SelectionStep::kGather:
        for (const std::uint32_t i : rng_.permutation(static_cast<std::uint32_t>(count))) {
          made.channels.push_back(static_cast<int>(i));
        }
        made.channels.resize(static_cast<std::size_t>(pick((count + 1) / 2, count)));
        break;
      case SelectionStep::kShuffle:
        made.groups = count % 3 == 0 ? 3 : count % 2 == 0 ? 2 : count;
        break;
      case SelectionStep::kJoin:
        break;
    }
    return made;
  }

  static std::string add(OnnxBuilder& b, const SelectionStep& step, const std::string& x,
                         const std::string& name, std::int64_t count, std::int64_t opset) {
    const std::string out = name + "_f";
    const auto list = [&](const std::string& role, const Dims& values) {
      return b.constant<std::int64_t>(name + "_" + role + "_list",
                                      {static_cast<std::int64_t>(values.size())}, values);
    };
    switch (step.kind) {
      case SelectionStep::kSplit: {
        const Dims sizes(step.sizes.begin(), step.sizes.end());
        const bool equal = std::all_of(sizes.begin(), sizes.end(),
                                       [&](std::int64_t size) { return size == sizes[0]; });
        const bool input = opset >= 13 && !equal;
        auto& node = b.node("Split", input ? std::vector{x, list("sizes", sizes)} : std::vector{x},
                            name + "_part0");
        set_attribute(node, "axis", std::int64_t{1});
        if (opset < 13 && !equal) set_attribute(node, "split", sizes);
        for (std::size_t i = 1; i < sizes.size(); ++i) {
          node.add_output(name + "_part" + std::to_string(i));
        }
        return name + "_part" + std::to_string(step.kept);
      }
      case SelectionStep::kSlice: {
        // Ends before the first element count from far below.
        const std::int64_t end = step.end < 0 ? INT64_MIN + 1 : step.end;
        b.node("Slice",
               {x, list("starts", {step.begin - count}), list("ends", {end}), list("axes", {1}),
                list("steps", {step.step})},
               out);
        return out;
      }
      case SelectionStep::kGather:
        set_attribute(
            b.node("Gather", {x, list("channels", {step.channels.begin(), step.channels.end()})},
                   out),
            "axis", std::int64_t{-3});
        return out;
      case SelectionStep::kShuffle: {
        b.node("Reshape",
               {x, list("apart",
                        {0, step.groups, count / step.groups, kSelectionHeight, kSelectionWidth})},
               name + "_apart");
        set_attribute(b.node("Transpose", {name + "_apart"}, name + "_turned"), "perm",
                      Dims{0, 2, 1, 3, 4});
        b.node("Reshape",
               {name + "_turned", list("joined", {0, -1, kSelectionHeight, kSelectionWidth})}, out);
        return out;
      }
      case SelectionStep::kJoin: {
        const std::string turned = name + "_turned";
        b.node("Slice",
               {x, list("starts", {-1}), list("ends", {INT64_MIN + 1}), list("axes", {1}),
                list("steps", {-1})},
               turned);
        set_attribute(
            b.node("Concat", {x, b.quantized(turned, turned, kSelectionScale, kSelectionZero)},
                   out),
            "axis", std::int64_t{1});
        return out;
      }
    }
    return out;
  }

  static int add(TfliteBuilder& b, const SelectionStep& step, int x, int& count) {
    const auto map = [&](int channels) {
      return b.like(x, "map", {1, kSelectionHeight, kSelectionWidth, channels});
    };
    const auto strided = [&](int begin, int end, int by, int channels) {
      const int out = map(channels);
      tflite::StridedSliceOptionsT options;
      options.begin_mask = 7;
      options.end_mask = end < 0 ? 15 : 7;
      b.add(BuiltinOperator::STRIDED_SLICE,
            {x, b.integers("begins", {0, 0, 0, begin}), b.integers("ends", {0, 0, 0, end}),
             b.integers("steps", {1, 1, 1, by})},
            out)
          .options.Set(options);
      return out;
    };
    const int before = count;
    count = static_cast<int>(moved(step, std::vector<int>(static_cast<std::size_t>(count))).size());
    switch (step.kind) {
      case SelectionStep::kSplit: {
        const bool equal = std::all_of(step.sizes.begin(), step.sizes.end(),
                                       [&](int size) { return size == step.sizes[0]; });
        std::vector<int> parts;
        for (const int size : step.sizes) parts.push_back(map(size));
        const int axis = b.integers("axis", {3}, {1});
        auto& op =
            equal ? b.add(BuiltinOperator::SPLIT, {axis, x}, parts[0])
                  : b.add(BuiltinOperator::SPLIT_V,
                          {x, b.integers("sizes", {step.sizes.begin(), step.sizes.end()}), axis},
                          parts[0]);
        op.outputs.assign(parts.begin(), parts.end());
        return parts[static_cast<std::size_t>(step.kept)];
      }
      case SelectionStep::kSlice: {
        if (step.step == 1 && step.end % 2 == 0) {
          const int out = map(count);
          b.add(BuiltinOperator::SLICE,
                {x, b.integers("begins", {0, 0, 0, step.begin}),
                 b.integers("sizes", {1, -1, kSelectionWidth, step.end == before ? -1 : count})},
                out);
          return out;
        }
        return strided(step.begin, step.end, step.step, count);
      }
      case SelectionStep::kGather: {
        const int out = map(count);
        tflite::GatherOptionsT options;
        options.axis = 3;
        b.add(BuiltinOperator::GATHER,
              {x, b.integers("indices", {step.channels.begin(), step.channels.end()})}, out)
            .options.Set(options);
        return out;
      }
      case SelectionStep::kShuffle: {
        const int each = before / step.groups;
        const int apart = b.reshape(x, {1, kSelectionHeight, kSelectionWidth, step.groups, each});
        const int turned =
            b.like(x, "turned", {1, kSelectionHeight, kSelectionWidth, each, step.groups});
        b.add(BuiltinOperator::TRANSPOSE, {apart, b.integers("perm", {0, 1, 2, 4, 3})}, turned);
        return b.reshape(turned, {1, kSelectionHeight, kSelectionWidth, before});
      }
      case SelectionStep::kJoin: {
        const int turned = strided(-1, -1, -1, before);
        const int out = map(count);
        tflite::ConcatenationOptionsT options;
        options.axis = 3;
        b.add(BuiltinOperator::CONCATENATION, {x, turned}, out).options.Set(options);
        return out;
      }
    }
    return x;
  }

  Rng rng_;
};

}  // namespace espalier::testing
