#include "example_documents.hpp"

#include <stdexcept>

#include "espalier/support/file.hpp"

namespace espalier::testing {
namespace {

constexpr int kConvs = 4;
const std::string kDigest(64, '5');

Json model() { return {{"name", kOddName}, {"sha256", kDigest}}; }

std::string plan_digest(const Json& plan) { return sha256_hex(json_text(plan, 2) + "\n"); }

void add_gains(Json& row, double accuracy, double loss) {
  row["accuracy_gain"] = {{"mean", accuracy}, {"standard_error", 0.01}};
  row["loss_gain"] = {{"mean", loss}, {"standard_error", 0.02}};
}

Json samples(int count) {
  return {{"spec", "cifar10:train.bin"},
          {"sha256", kDigest},
          {"count", count},
          {"classes", 10},
          {"preprocess", "auto"},
          {"selections", Json::array()}};
}

// Of two trainings.
Json gained(double low, double high) {
  return {{"gains", {low, high}}, {"mean", (low + high) / 2}, {"standard_error", (high - low) / 2}};
}

Json finalist(const Json& plan, double low, double high) {
  Json weights = Json::array();
  for (const Json& update : plan["weights"]) {
    weights.push_back({{"conv", update["conv"]}, {"ratio", update["ratio"]}});
  }
  Json result{{"bias_depth", plan["bias_depth"]},
              {"weights", weights},
              {"predicted", {{"mean", 0.1}, {"deviation", 0.01}}}};
  result.update(gained(low, high));
  return result;
}

// One budget of a measured search, met by the first finalist's plan.
Json raced(int budget, const Json& plan, const Json& additive, const Json& finalists) {
  const Json& bytes = plan["memory_bytes"]["analytic"];
  Json race{
      {"gain", finalists[0]["mean"]},
      {"standard_error", finalists[0]["standard_error"]},
      {"above_runner_up", finalists.size() > 1 ? 0.75 : 1.0},
      {"above_additive", 0.875},
      {"additive", {{"bias_depth", additive["bias_depth"]}, {"weights", additive["weights"]}}},
      {"finalists", finalists}};
  return {{"budget_bytes", budget}, {"memory_bytes", bytes}, {"analytic_bytes", bytes},
          {"planned_bytes", 50000}, {"step_macs", 3000000},  {"step_cycles", nullptr},
          {"race", race},           {"plan", plan}};
}

}  // namespace

Json profile_document() {
  Json bias = Json::array();
  Json weight = Json::array();
  Json trials = Json::array();
  for (int k = 0; k <= kConvs; ++k) {
    Json row{{"depth", k}};
    add_gains(row, 0.02 * k, 0.03 * k);
    bias.push_back(row);
    trials.push_back({{"depth", k}, {"seed", 0}, {"accuracy", 0.5 + 0.02 * k}, {"loss", 1.5}});
  }
  for (int conv = 0; conv < kConvs; ++conv) {
    for (const double ratio : {0.5, 1.0}) {
      Json row{{"conv", conv}, {"ratio", ratio}};
      add_gains(row, 0.01 * conv * ratio, 0.1 * conv * ratio);
      weight.push_back(row);
    }
  }
  Json& diverged = weight[1];
  diverged["accuracy_gain"] = nullptr;
  diverged["loss_gain"] = nullptr;
  trials.push_back(
      {{"depth", kConvs}, {"conv", 0}, {"ratio", 1.0}, {"seed", 0}, {"diverged", true}});
  return {{"schema", "espalier.contributions/1"},
          {"model", model()},
          {"seeds", {0, 1}},
          {"baseline", {{"accuracy", {{"mean", 0.5}}}, {"loss", {{"mean", 1.5}}}}},
          {"bias", bias},
          {"weight", weight},
          {"trials", trials}};
}

Json plan_document(const std::vector<std::pair<int, double>>& weights, int bias_depth) {
  Json list = Json::array();
  for (const auto& [conv, ratio] : weights) {
    list.push_back({{"conv", conv}, {"ratio", ratio}, {"channels", Json::array({0})}});
  }
  const int bytes = 100 + 1000 * bias_depth + 5000 * static_cast<int>(weights.size());
  return {
      {"schema", "espalier.plan/1"}, {"model", kOddName}, {"model_sha256", kDigest},
      {"bias_depth", bias_depth},    {"weights", list},   {"memory_bytes", {{"analytic", bytes}}}};
}

Json training_document(const Json& plan, int seed, double accuracy, double loss) {
  return {{"schema", "espalier.train/1"},
          {"model", model()},
          {"plan",
           {{"sha256", plan_digest(plan)},
            {"bias_depth", plan["bias_depth"]},
            {"weights", plan["weights"].size()},
            {"updates", plan["weights"]},
            {"analytic_bytes", plan["memory_bytes"]["analytic"]}}},
          {"data", {{"train", samples(100)}, {"test", samples(50)}}},
          {"recipe",
           {{"epochs", 2},
            {"batch", 8},
            {"learning_rate", 0.1},
            {"warmup_epochs", 1.0},
            {"qas", true},
            {"seed", seed}}},
          {"head", "fresh"},
          {"numerics", "simulation"},
          {"test_accuracy", accuracy},
          {"test_loss", loss}};
}

Json inspect_document() {
  Json convs = Json::array();
  for (const char* kind : {"full", "pointwise", "depthwise", "pointwise"}) {
    Json conv{{"name", "conv"}, {"kind", kind}};
    conv["in"] = {8, 8, 4};
    conv["out"] = {8, 8, 6};
    convs.push_back(conv);
  }
  return {{"schema", "espalier.inspect/1"}, {"model", model()}, {"convs", convs}};
}

Json compile_document(const Json& plan) {
  const auto value = [](const char* name, int offset, int bytes, int first, int last) {
    return Json::object({{"name", name},
                         {"offset", offset},
                         {"bytes", bytes},
                         {"first_step", first},
                         {"last_step", last}});
  };
  Json arena{{"backward_begin", 2}};
  arena["steps"] = {"conv.forward conv0", "conv.forward conv1", "loss head", "bias conv1"};
  arena["values"] = {value("input", 0, 1024, 0, 0), value("mask:conv1", 1024, 128, 1, 3),
                     value("d:logits", 0, 40, 2, 3), value("x:0", 1152, 896, 0, 1)};
  return {{"schema", "espalier.compile/1"},
          {"model", model()},
          {"plan_sha256", plan_digest(plan)},
          {"target", "rv32imf"},
          {"sram_bytes", 3000},
          {"arena_bytes", 2048},
          {"arena", arena}};
}

Json check_document() {
  const auto kernel = [](const char* name, double cycles) {
    return Json::object({{"name", name},
                         {"cycles", cycles},
                         {"instructions", 9e5},
                         {"macs", nullptr},
                         {"cycles_per_mac", nullptr}});
  };
  Json document{{"schema", "espalier.check/1"}, {"name", "net"}, {"target", "rv32imf"},
                {"failure", nullptr},           {"equal", true}, {"cycles_per_step", 3.0e6}};
  document["sram"] = {{"promised", 3000}, {"written", 3000}};
  document["kernels"] = {kernel("esp_small", 1e6), kernel("esp_large", 2e6)};
  return document;
}

Json search_document() {
  const Json biases = plan_document({}, 2);
  const Json one = plan_document({{3, 0.5}}, 2);
  const Json two = plan_document({{2, 0.5}, {3, 1.0}}, 2);
  const Json optimum = finalist(biases, 0.03, 0.05);
  Json front = Json::array();
  front.push_back(raced(3072, biases, biases, Json::array({optimum})));
  front.push_back(raced(8192, one, biases, Json::array({finalist(one, 0.06, 0.10), optimum})));
  front.push_back(raced(16384, two, biases, Json::array({finalist(two, 0.07, 0.09), optimum})));
  Json best = gained(0.08, 0.12);
  best.update({{"learning_rate", 0.2}, {"diverged", false}});
  Json usual = gained(0.07, 0.09);
  usual.update({{"learning_rate", 0.1}, {"diverged", false}});
  front[1]["race"]["learning_rate"] = 0.2;
  front[1]["race"]["rates"] = {best, usual};
  Json document{{"schema", "espalier.search/1"}, {"model", model()}, {"memory", "analytic"}};
  document.update(front.back());
  document.erase("plan");
  document["measured"] = {{"trainings", 40},
                          {"diverged", 1},
                          {"before", {{"rank_correlation", 0.5}, {"r2", nullptr}}},
                          {"after", {{"rank_correlation", 0.75}, {"r2", 0.5}}}};
  document["front"] = front;
  return document;
}

ExampleFolder::ExampleFolder() {
  const Json head = plan_document({}, 0);
  const Json biases = plan_document({}, 2);
  const Json last = plan_document({{2, 1.0}, {3, 1.0}}, 2);
  const Json sparse = plan_document({{2, 0.5}, {3, 1.0}}, 3);
  write("profile.json", profile_document());
  write("inspect.json", inspect_document());
  write("sparse.json", sparse);
  write("compile.json", compile_document(sparse));
  write("check.json", check_document());
  for (int seed = 0; seed < 2; ++seed) {
    const std::string end = "." + std::to_string(seed) + ".json";
    write("head" + end, training_document(head, seed, 0.50 + 0.02 * seed, 1.5));
    write("biases" + end, training_document(biases, seed, 0.54 + 0.02 * seed, 1.45));
    write("last" + end, training_document(last, seed, 0.60 + 0.04 * seed, 1.3));
    write("sparse" + end, training_document(sparse, seed, 0.66 + 0.02 * seed, 1.2));
  }
}

void ExampleFolder::write(const std::string& name, const Json& document) const {
  static_cast<void>(folder_.write(name, json_text(document, 2) + "\n"));
}

report::Documents ExampleFolder::read() const {
  Result<report::Documents> documents = report::read_documents({path()});
  if (!documents.ok()) throw std::runtime_error(documents.error().message());
  return *documents;
}

}  // namespace espalier::testing
