#include "espalier/train/result_sanity.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <optional>

namespace espalier::train {
namespace {

constexpr const char* kTrainAgain =
    "try another --lr, more --epochs or samples, and look at --preprocess and the labels";
constexpr const char* kLook = "look at --preprocess, --classes and the labels";

// Weights that ran away may leave a sample or two to another class.
constexpr double kNearlyAll = 0.99;
// Of the loss of guessing: what is no better than that.
constexpr double kGuessing = 0.99;

// Whether naming classes at random would do as well over classes, within two standard errors. Where
// one class is rare, a classifier may be right less often than its absence and still see it.
bool balanced_by_chance(const Confusion& confusion) {
  double present = 0;
  double inverse_counts = 0;
  for (int c = 0; c < confusion.classes; ++c) {
    const std::int64_t samples = confusion.labelled(c);
    if (samples == 0) continue;
    ++present;
    inverse_counts += 1.0 / static_cast<double>(samples);
  }
  const double chance = 1 / present;
  const double standard_error = chance * std::sqrt(chance * (1 - chance) * inverse_counts);
  return confusion.balanced_accuracy() <= chance + 2 * standard_error;
}

// The class that every sample is taken for, if there is one.
std::optional<int> only_class(const Confusion& confusion) {
  for (int c = 0; c < confusion.classes; ++c) {
    if (confusion.predicted(c) == confusion.samples()) return c;
  }
  return std::nullopt;
}

}  // namespace

bool learned_nothing(const Evaluation& result) {
  const Confusion& confusion = result.confusion;
  const std::int64_t samples = confusion.samples();
  if (samples == 0 || confusion.labelled(confusion.majority()) == samples) return false;
  if (!balanced_by_chance(confusion)) return false;
  if (result.loss >= kGuessing * confusion.guessing_loss()) return true;
  for (int c = 0; c < confusion.classes; ++c) {
    const auto taken = static_cast<double>(confusion.predicted(c));
    if (taken >= kNearlyAll * static_cast<double>(samples)) return true;
  }
  return false;
}

bool collapsed(const Evaluation& result, const Evaluation& head) {
  return learned_nothing(result) && !learned_nothing(head);
}

std::vector<std::string> doubts(const Evaluation& result, const std::vector<std::string>& names,
                                bool trained) {
  const char* const remedy = trained ? kTrainAgain : kLook;
  std::vector<std::string> found;
  const Confusion& confusion = result.confusion;
  const std::int64_t all = confusion.samples();
  if (all == 0 || confusion.classes < 2) return found;
  const auto name = [&](int c) {
    const auto i = static_cast<std::size_t>(c);
    return i < names.size() ? names[i] : fmt::format("{}", c);
  };
  const auto samples = static_cast<double>(all);
  const int common = confusion.majority();
  const double share = static_cast<double>(confusion.labelled(common)) / samples;
  if (share == 1) return found;  // the data's fault, and said there
  const double standard_error = std::sqrt(share * (1 - share) / samples);
  if (const std::optional<int> only = only_class(confusion)) {
    found.push_back(fmt::format("every sample is taken for '{}': nothing was learned; {}",
                                name(*only), remedy));
  }
  const bool chance =
      result.accuracy <= share + 2 * standard_error && balanced_by_chance(confusion);
  if (found.empty() && chance) {
    const std::string within =
        result.accuracy > share ? fmt::format(" by two standard errors of {} samples", all) : "";
    found.push_back(
        fmt::format("an accuracy of {:.2f} % is no better than always saying '{}' ({:.2f} %){}; {}",
                    result.accuracy * 100, name(common), share * 100, within, remedy));
  }
  const double balanced = confusion.balanced_accuracy();
  // Of four samples three are of one class, and it shows.
  if (share >= 0.75 && balanced < result.accuracy - 0.1) {
    found.push_back(
        fmt::format("the accuracy of {:.2f} % is mostly the share of '{}' ({:.2f} %): over classes "
                    "it is {:.2f} %; compare by that, or balance the data with --limit-train and "
                    "--limit-test",
                    result.accuracy * 100, name(common), share * 100, balanced * 100));
  }
  const double guessing = confusion.guessing_loss();
  if (result.loss >= kGuessing * guessing) {
    found.push_back(fmt::format(
        "a loss of {:.4f} is no better than that of guessing ({:.4f}){}", result.loss, guessing,
        chance    ? ""
        : trained ? ": the classifier is right more often than it should be sure; lower --lr"
                  : ": the classifier is right more often than it should be sure"));
  }
  return found;
}

}  // namespace espalier::train
