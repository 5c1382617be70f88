// Accuracy of published networks on their own tasks, with the classifier of the file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "espalier/import/importer.hpp"
#include "espalier/trials/sets.hpp"
#include "file_logits.hpp"
#include "host_logits.hpp"
#include "testing/npy.hpp"

namespace espalier {
namespace {

// The first of the largest scores, which the files round to 1/256: their runtimes take that.
int first_of_best(std::span<const float> logits, const testing::Scale& scale) {
  std::vector<double> scores;
  for (const float logit : logits) {
    scores.push_back(std::exp((testing::quantised(logit, scale) - scale.zero) * scale.scale));
  }
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  for (double& score : scores) score = std::nearbyint(256 * score / sum);
  return static_cast<int>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

// Samples that a TFLite file takes for their class.
int right(const std::filesystem::path& file, const std::string& spec) {
  const Result<ir::Graph> graph = import_model(file);
  if (!graph.ok()) throw std::runtime_error(graph.error().message());
  const Result<data::Samples> samples = trials::load_samples(*graph, spec, 0, {});
  if (!samples.ok()) throw std::runtime_error(samples.error().message());
  const testing::Scale scale = testing::tflite_logits(file);
  int count = 0;
  testing::for_each_logits(
      *graph,
      [&](const train::Network& network) {
        return *train::SampleStore::from_samples(network, *samples, 1);
      },
      [&](std::int64_t, int label, std::span<const float> logits) {
        count += first_of_best(logits, scale) == label ? 1 : 0;
      });
  return count;
}

// 73.95 % of 2,000.
TEST(PublicAccuracy, Resnet8OfMlperfTiny) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  EXPECT_EQ(right(path / "mlperf_tiny" / "pretrainedResnet_quant.tflite",
                  "cifar10:" + (path / "cifar10" / "test_2k.bin").string()),
            1479);
}

// 90.2 % of 1,000, from features in the file's quantisation.
TEST(PublicAccuracy, KeywordsOfMlperfTiny) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const std::filesystem::path kws = path / "kws";
  EXPECT_EQ(right(path / "models_public" / "kws_ref_model.tflite",
                  "npy:" + (kws / "features.npy").string() + "," + (kws / "labels.npy").string()),
            902);
}

}  // namespace
}  // namespace espalier
