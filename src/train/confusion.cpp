#include "espalier/train/confusion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace espalier::train {
namespace {

std::string name_of(const std::vector<std::string>& names, int c) {
  const auto i = static_cast<std::size_t>(c);
  return i < names.size() ? names[i] : fmt::format("{}", c);
}

}  // namespace

Confusion::Confusion(int class_count)
    : classes(class_count),
      counts(static_cast<std::size_t>(class_count) * static_cast<std::size_t>(class_count)) {}

void Confusion::add(int label, int prediction) {
  ++counts[static_cast<std::size_t>(label) * static_cast<std::size_t>(classes) +
           static_cast<std::size_t>(prediction)];
}

std::int64_t Confusion::count(int label, int prediction) const {
  return counts[static_cast<std::size_t>(label) * static_cast<std::size_t>(classes) +
                static_cast<std::size_t>(prediction)];
}

std::int64_t Confusion::labelled(int label) const {
  const auto row = counts.begin() + std::ptrdiff_t{label} * classes;
  return std::accumulate(row, row + classes, std::int64_t{0});
}

std::int64_t Confusion::predicted(int prediction) const {
  std::int64_t sum = 0;
  for (int label = 0; label < classes; ++label) sum += count(label, prediction);
  return sum;
}

std::int64_t Confusion::samples() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

std::optional<double> Confusion::accuracy(int label) const {
  const std::int64_t all = labelled(label);
  if (all == 0) return std::nullopt;
  return static_cast<double>(count(label, label)) / static_cast<double>(all);
}

double Confusion::accuracy_of_first(int seen) const {
  std::int64_t right = 0;
  std::int64_t all = 0;
  for (int label = 0; label < std::min(seen, classes); ++label) {
    right += count(label, label);
    all += labelled(label);
  }
  return all == 0 ? 0 : static_cast<double>(right) / static_cast<double>(all);
}

double Confusion::balanced_accuracy() const {
  double sum = 0;
  int present = 0;
  for (int label = 0; label < classes; ++label) {
    const std::optional<double> share = accuracy(label);
    if (!share) continue;
    sum += *share;
    ++present;
  }
  return present == 0 ? 0 : sum / present;
}

int Confusion::majority() const {
  int best = 0;
  for (int label = 1; label < classes; ++label) {
    if (labelled(label) > labelled(best)) best = label;
  }
  return best;
}

double Confusion::guessing_loss() const {
  const auto all = static_cast<double>(samples());
  double loss = 0;
  for (int label = 0; label < classes; ++label) {
    const double share = static_cast<double>(labelled(label)) / all;
    if (share > 0) loss -= share * std::log(share);
  }
  return loss;
}

Json per_class_json(const Confusion& confusion, const std::vector<std::string>& names) {
  Json list = Json::array();
  for (int c = 0; c < confusion.classes; ++c) {
    const std::optional<double> share = confusion.accuracy(c);
    list.push_back({{"name", name_of(names, c)},
                    {"samples", confusion.labelled(c)},
                    {"predicted", confusion.predicted(c)},
                    {"accuracy", share ? Json(*share) : Json(nullptr)}});
  }
  return list;
}

std::string per_class_table(const Confusion& confusion, const std::vector<std::string>& names) {
  constexpr int kAll = 20;
  constexpr std::size_t kWorst = 10;
  std::vector<int> order(static_cast<std::size_t>(confusion.classes));
  std::iota(order.begin(), order.end(), 0);
  std::string text =
      fmt::format("{:>9}  {:>7}  {:>9}  class\n", "accuracy", "samples", "predicted");
  if (confusion.classes > kAll) {
    const auto value = [&](int c) { return confusion.accuracy(c).value_or(2); };
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return value(a) < value(b); });
    order.resize(kWorst);
    text = fmt::format("the {} of {} classes that are recognised worst:\n{}", kWorst,
                       confusion.classes, text);
  }
  for (const int c : order) {
    const std::optional<double> share = confusion.accuracy(c);
    text += fmt::format("{}  {:>7}  {:>9}  {}\n",
                        share ? fmt::format("{:>7.2f} %", *share * 100) : std::string("        -"),
                        confusion.labelled(c), confusion.predicted(c), name_of(names, c));
  }
  return text;
}

}  // namespace espalier::train
