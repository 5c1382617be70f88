#include "espalier/plan/plan_json.hpp"

#include <limits>
#include <set>
#include <string>

#include "espalier/support/file.hpp"

namespace espalier::plan {
namespace {

// Reads members one after another and keeps every complaint, so that one run names them all.
class Reader {
 public:
  Reader(const Json& document, std::string_view where) : document_(document), where_(where) {}

  Result<UpdatePlan> read() {
    if (!document_.is_object()) {
      return Error{ErrorKind::kBadInput, where_ + ": must be a JSON object"};
    }
    std::string schema;
    take(document_, "schema", where_, schema);
    if (problems_.empty() && schema != kPlanSchema) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: schema is '{}', expected '{}'", where_, schema, kPlanSchema)};
    }
    UpdatePlan plan;
    take(document_, "model", where_, plan.model);
    take(document_, "model_sha256", where_, plan.model_sha256);
    take(document_, "bias_depth", where_, plan.bias_depth);
    read_weights(plan);
    read_classes(plan);
    take_optional("predicted_gain", plan.predicted_gain);
    if (document_.contains("gain_metric")) take(document_, "gain_metric", where_, plan.gain_metric);
    read_memory(plan);
    std::optional<std::int64_t> budget;
    take_optional("budget_bytes", budget);
    if (budget) plan.budget = Bytes{*budget};
    if (document_.contains("recipe")) {
      plan.recipe = document_.at("recipe");
      if (!plan.recipe.is_object()) problem(where_, "'recipe' must be an object");
    }
    if (document_.contains("measured")) {
      plan.measured = document_.at("measured");
      if (!plan.measured.is_object()) problem(where_, "'measured' must be an object");
    }
    if (document_.contains("solver")) take(document_, "solver", where_, plan.solver);
    read_seed(plan);
    if (document_.contains("tool_version")) {
      take(document_, "tool_version", where_, plan.tool_version);
    }
    if (!problems_.empty()) return Error{ErrorKind::kBadInput, problems_};
    return plan;
  }

 private:
  template <typename T>
  void take(const Json& object, const char* key, const std::string& where, T& target) {
    Result<T> field = json_field<T>(object, key, where);
    if (field.ok()) {
      target = std::move(field).value();
    } else {
      for (const std::string& text : field.error().diagnostics) problems_.push_back(text);
    }
  }

  template <typename T>
  void take_optional(const char* key, std::optional<T>& target) {
    if (!document_.contains(key)) return;
    T value{};
    take(document_, key, where_, value);
    target = value;
  }

  void problem(const std::string& where, std::string_view text) {
    problems_.push_back(fmt::format("{}: {}", where, text));
  }

  void read_weights(UpdatePlan& plan) {
    const auto weights = document_.find("weights");
    if (weights == document_.end() || !weights->is_array()) {
      problem(where_, "'weights' must be an array");
      return;
    }
    for (std::size_t i = 0; i < weights->size(); ++i) {
      const Json& entry = (*weights)[i];
      const std::string where = fmt::format("{}: weights[{}]", where_, i);
      WeightUpdate update;
      take(entry, "conv", where, update.conv);
      take(entry, "ratio", where, update.ratio);
      read_channels(entry.is_object() ? entry.value("channels", Json()) : Json(), "channels", where,
                    update.channels);
      read_next_channels(entry, where, update.next_channels);
      plan.weights.push_back(std::move(update));
    }
  }

  void read_channels(const Json& list, std::string_view name, const std::string& where,
                     std::vector<int>& channels) {
    if (!list.is_array()) {
      problem(where, fmt::format("'{}' must be an array of integers", name));
      return;
    }
    for (const Json& channel : list) {
      if (!channel.is_number_integer() || channel < std::numeric_limits<int>::min() ||
          channel > std::numeric_limits<int>::max()) {
        problem(where, fmt::format("channel {} must be an integer", json_text(channel)));
        return;
      }
      channels.push_back(channel.get<int>());
    }
  }

  void read_next_channels(const Json& entry, const std::string& where,
                          std::vector<std::vector<int>>& sets) {
    if (!entry.is_object() || !entry.contains("next_channels")) return;
    const Json& list = entry.at("next_channels");
    if (!list.is_array() || list.empty()) {
      problem(where, "'next_channels' must be an array of at least one array of integers");
      return;
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      read_channels(list[i], fmt::format("next_channels[{}]", i), where, sets.emplace_back());
    }
  }

  void read_classes(UpdatePlan& plan) {
    const auto classes = document_.find("classes");
    if (classes == document_.end()) return;
    std::set<std::string> names;
    for (const Json& name : *classes) {
      if (classes->is_array() && name.is_string()) names.insert(name.get<std::string>());
    }
    if (names.empty() || names.size() != classes->size()) {
      problem(where_, "'classes' must be an array of names, each of its own");
      return;
    }
    for (const Json& name : *classes) plan.classes.push_back(name.get<std::string>());
  }

  void read_memory(UpdatePlan& plan) {
    const auto memory = document_.find("memory_bytes");
    if (memory == document_.end()) return;
    if (!memory->is_object()) {
      problem(where_, "'memory_bytes' must be an object of integers");
      return;
    }
    for (const auto& [model, size] : memory->items()) {
      std::int64_t bytes = 0;
      take(*memory, model.c_str(), where_ + ": memory_bytes", bytes);
      plan.memory[model] = Bytes{bytes};
    }
  }

  void read_seed(UpdatePlan& plan) {
    const auto seed = document_.find("seed");
    if (seed == document_.end()) return;
    if (!seed->is_number_integer() || (!seed->is_number_unsigned() && *seed < 0)) {
      problem(where_, "'seed' must be an integer of at least 0");
      return;
    }
    plan.seed = seed->get<std::uint64_t>();
  }

  const Json& document_;
  std::string where_;
  std::vector<std::string> problems_;
};

}  // namespace

Json updates_json(const UpdatePlan& plan) {
  Json updates = Json::array();
  for (const WeightUpdate& update : plan.weights) {
    Json entry{{"conv", update.conv}, {"ratio", update.ratio}};
    if (const std::int64_t count = turns(plan, update.conv); count > 1) entry["turns"] = count;
    updates.push_back(std::move(entry));
  }
  return updates;
}

Json to_json(const UpdatePlan& plan) {
  Json document;
  document["schema"] = kPlanSchema;
  document["model"] = plan.model;
  document["model_sha256"] = plan.model_sha256;
  document["bias_depth"] = plan.bias_depth;
  document["weights"] = Json::array();
  for (const WeightUpdate& update : plan.weights) {
    Json entry;
    entry["conv"] = update.conv;
    entry["ratio"] = update.ratio;
    entry["channels"] = update.channels;
    if (!update.next_channels.empty()) entry["next_channels"] = update.next_channels;
    document["weights"].push_back(std::move(entry));
  }
  if (!plan.classes.empty()) document["classes"] = plan.classes;
  if (plan.predicted_gain) document["predicted_gain"] = *plan.predicted_gain;
  if (!plan.gain_metric.empty()) document["gain_metric"] = plan.gain_metric;
  if (!plan.memory.empty()) {
    Json memory = Json::object();
    for (const auto& [model, size] : plan.memory) memory[model] = size.count;
    document["memory_bytes"] = std::move(memory);
  }
  if (plan.budget) document["budget_bytes"] = plan.budget->count;
  if (!plan.recipe.is_null()) document["recipe"] = plan.recipe;
  if (!plan.measured.is_null()) document["measured"] = plan.measured;
  if (!plan.solver.empty()) document["solver"] = plan.solver;
  if (plan.seed) document["seed"] = *plan.seed;
  if (!plan.tool_version.empty()) document["tool_version"] = plan.tool_version;
  return document;
}

Result<UpdatePlan> from_json(const Json& document, const ir::Graph& graph, std::string_view where) {
  ESPALIER_TRY(UpdatePlan plan, Reader(document, where).read());
  ESPALIER_CHECK_OK(validate(plan, graph, where));
  return plan;
}

Result<UpdatePlan> load_plan(const std::filesystem::path& path, const ir::Graph& graph) {
  ESPALIER_TRY(const Json document, read_json(path, kPlanSchema));
  return from_json(document, graph, path.string());
}

std::string sha256_of(const UpdatePlan& plan) {
  return sha256_hex(json_text(to_json(plan), 2) + "\n");
}

Status save_plan(const std::filesystem::path& path, const UpdatePlan& plan) {
  return write_json(path, to_json(plan));
}

}  // namespace espalier::plan
