#include "espalier/plan/published.hpp"

#include <charconv>
#include <cmath>
#include <cstdlib>

namespace espalier::plan {
namespace {

// Splits "21-24-27" and reads each part as a number. nullopt when a part is not one.
std::optional<std::vector<double>> split_numbers(const std::string& text) {
  std::vector<double> numbers;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find('-', begin), text.size());
    double number = 0;
    const char* last = text.data() + end;
    const auto [stop, error] = std::from_chars(text.data() + begin, last, number);
    if (error != std::errc() || stop != last) return std::nullopt;
    numbers.push_back(number);
    begin = end + 1;
  }
  return numbers;
}

class Reader {
 public:
  Reader(const ir::Graph& graph, const Json& document, std::string_view where)
      : graph_(graph), document_(document), where_(where) {
    convs_ = static_cast<int>(ir::conv_ops(graph).size());
  }

  Result<UpdatePlan> read() {
    if (!document_.is_object()) {
      return Error{ErrorKind::kBadInput,
                   where_ +
                       ": must be an object such as {\"n_bias_update\": 22, "
                       "\"manual_weight_idx\": [21, 24], \"weight_update_ratio\": [1, 0.25]}"};
    }
    check_unsupported();
    const int depth = read_depth();
    const std::vector<int> convs = read_convs(depth);
    const std::vector<double> ratios = read_ratios();
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return make(depth, convs, ratios);
  }

 private:
  void problem(std::string_view text) { problems_.push_back(fmt::format("{}: {}", where_, text)); }

  // The member, or nullptr when it is missing or null.
  const Json* member(const char* key) const {
    const auto it = document_.find(key);
    return it == document_.end() || it->is_null() ? nullptr : &*it;
  }

  void check_unsupported() {
    const Json* criteria = member("weight_select_criteria");
    if (criteria != nullptr && *criteria != "magnitude+") {
      problem(fmt::format("'weight_select_criteria' {} is not supported; only \"magnitude+\" is",
                          criteria->dump()));
    }
    const Json* pw1 = member("pw1_weight_only");
    if (pw1 != nullptr && *pw1 != false && *pw1 != 0) {
      problem("'pw1_weight_only' is not supported; list the convs in 'manual_weight_idx'");
    }
  }

  // A count of convs: an integer or "all".
  int read_count(const char* key, int all) {
    const Json& value = *member(key);
    if (value == "all") return all;
    const Result<int> number = json_field<int>(document_, key, where_);
    if (number.ok() && *number >= 0 && *number <= all) return *number;
    problem(fmt::format("'{}' must be \"all\" or an integer from 0 to {}", key, all));
    // The choice that makes the other members draw no complaints of their own.
    return all;
  }

  int read_depth() {
    if (member("n_bias_update") == nullptr) {
      problem("'n_bias_update' must be present");
      return 0;
    }
    return read_count("n_bias_update", convs_);
  }

  std::vector<int> read_convs(int depth) {
    std::vector<int> convs;
    const Json* list = member("manual_weight_idx");
    if (list == nullptr) {
      const int last =
          member("n_weight_update") == nullptr ? 0 : read_count("n_weight_update", depth);
      for (int conv = convs_ - last; conv < convs_; ++conv) convs.push_back(conv);
      listed_convs_ = convs.size();
      return convs;
    }
    const std::optional<std::vector<double>> numbers = numbers_of(*list, false);
    if (!numbers) {
      problem("'manual_weight_idx' must be an array of conv indices or a text such as \"21-24\"");
      return convs;
    }
    for (const double number : *numbers) check_conv(number, depth, convs);
    listed_convs_ = numbers->size();
    return convs;
  }

  void check_conv(double number, int depth, std::vector<int>& convs) {
    if (number != std::floor(number) || number < 0 || number >= convs_) {
      problem(fmt::format("'manual_weight_idx': conv {} does not exist; '{}' has convs 0 to {}",
                          number, graph_.name, convs_ - 1));
      return;
    }
    const int conv = static_cast<int>(number);
    if (!convs.empty() && conv <= convs.back()) {
      problem(
          fmt::format("'manual_weight_idx': conv {} follows conv {}; list each conv once, in "
                      "ascending order",
                      conv, convs.back()));
    }
    if (conv < convs_ - depth) {
      problem(
          fmt::format("'manual_weight_idx': conv {} is not among the last {} convs, whose "
                      "biases are trained; raise 'n_bias_update' to at least {}",
                      conv, depth, convs_ - conv));
    }
    convs.push_back(conv);
  }

  std::vector<double> read_ratios() {
    const Json* list = member("weight_update_ratio");
    if (list == nullptr) return std::vector<double>(listed_convs_, 1.0);
    std::optional<std::vector<double>> ratios = numbers_of(*list, true);
    if (!ratios) {
      problem(
          "'weight_update_ratio' must be an array of numbers or null, one number, or a text "
          "such as \"1-0.25\"");
      return {};
    }
    for (const double ratio : *ratios) {
      if (!(ratio >= 0.0 && ratio <= 1.0)) {
        problem(fmt::format("'weight_update_ratio': {} is out of range; give 0 to 1", ratio));
      }
    }
    if (list->is_number()) return std::vector<double>(listed_convs_, ratios->front());
    if (ratios->size() != listed_convs_) {
      problem(
          fmt::format("'weight_update_ratio' has {} entries, 'manual_weight_idx' has {}; give "
                      "one ratio for each conv",
                      ratios->size(), listed_convs_));
    }
    return *ratios;
  }

  // Numbers of an array, of a text with dashes, or a single one. Where allowed, null counts as 1.
  static std::optional<std::vector<double>> numbers_of(const Json& value, bool allow_null) {
    if (value.is_string()) return split_numbers(value.get<std::string>());
    if (value.is_number()) return std::vector<double>{value.get<double>()};
    if (!value.is_array()) return std::nullopt;
    std::vector<double> numbers;
    for (const Json& entry : value) {
      if (!entry.is_number() && !(allow_null && entry.is_null())) return std::nullopt;
      numbers.push_back(entry.is_null() ? 1.0 : entry.get<double>());
    }
    return numbers;
  }

  UpdatePlan make(int depth, const std::vector<int>& convs, const std::vector<double>& ratios) {
    UpdatePlan plan = bias_only(graph_, depth).value();
    for (std::size_t i = 0; i < convs.size(); ++i) {
      WeightUpdate update = make_weight_update(graph_, convs[i], ratios[i]);
      if (!update.channels.empty()) plan.weights.push_back(std::move(update));
    }
    return plan;
  }

  const ir::Graph& graph_;
  const Json& document_;
  std::string where_;
  int convs_ = 0;
  std::size_t listed_convs_ = 0;  ///< entries of manual_weight_idx, sound or not
  std::vector<std::string> problems_;
};

}  // namespace

Result<UpdatePlan> from_published(const ir::Graph& graph, const Json& document,
                                  std::string_view where) {
  return Reader(graph, document, where).read();
}

Json to_published(const UpdatePlan& plan) {
  Json document;
  document["n_bias_update"] = plan.bias_depth;
  document["manual_weight_idx"] = Json::array();
  document["weight_update_ratio"] = Json::array();
  for (const WeightUpdate& update : plan.weights) {
    document["manual_weight_idx"].push_back(update.conv);
    document["weight_update_ratio"].push_back(update.ratio);
  }
  return document;
}

}  // namespace espalier::plan
