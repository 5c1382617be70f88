// Writes the inputs that fuzzing starts from: fuzz_corpus DIR makes DIR/TARGET/* for every target.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "espalier/contribution/profile.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/plan/plan_json.hpp"
#include "espalier/support/json.hpp"
#include "import/sample_models.hpp"
#include "import/tflite_builder.hpp"
#include "ir/small_graph.hpp"

namespace {

namespace fs = std::filesystem;
using namespace espalier;  // NOLINT(google-build-using-namespace): a small program of its own

void write(const fs::path& folder, const std::string& name, const std::string& bytes) {
  fs::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << bytes;
}

std::string tflite_model() {
  testing::TfliteBuilder b;
  const int x = b.input({1, 6, 6, 1}, 1.0F, -128);
  const int c = b.activation("c", {1, 3, 3, 2}, 0.1F, -128);
  b.conv({x, b.weights("w", {2, 3, 3, 1}, std::vector<std::int8_t>(18, 5), {0.01F, 0.02F}),
          b.integers("b", {1, 2})},
         c, {tflite::Padding::SAME, 2, 2, tflite::Activation::RELU});
  const int max = b.like(c, "max", {1, 2, 2, 2});
  b.pool(tflite::BuiltinOperator::MAX_POOL_2D, c, max, 2, 2, {tflite::Padding::SAME, 2, 2});
  b.classifier(b.reshape(max, {1, 8}), 8, 3);
  return b.bytes();
}

// A big-endian number of four bytes.
std::string big(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string idx_images() {
  return std::string("\0\0\x08\x03", 4) + big(1) + big(2) + big(2) + std::string("\1\2\3\4", 4);
}

// A grey PNG of 1x1 with one stored block, and the smallest JPEG header.
std::string png() {
  const unsigned char bytes[] = {
      0x89, 'P',  'N',  'G',  13,   10,   26,  10,   0,   0,    0,    13,   'I',  'H',
      'D',  'R',  0,    0,    0,    1,    0,   0,    0,   1,    8,    0,    0,    0,
      0,    0x3a, 0x7e, 0x9b, 0x55, 0,    0,   0,    13,  'I',  'D',  'A',  'T',  0x78,
      0x01, 1,    2,    0,    0xfd, 0xff, 0,   0x80, 0,   0x82, 0,    0x81, 0x77, 0xcd,
      0x72, 0xb6, 0,    0,    0,    0,    'I', 'E',  'N', 'D',  0xae, 0x42, 0x60, 0x82};
  return {reinterpret_cast<const char*>(bytes), sizeof bytes};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const fs::path root = argv[1];
  write(root / "onnx", "small", testing::small_model().bytes());
  write(root / "onnx", "mixed", testing::mixed_model().bytes());
  const ir::Graph graph = testing::graph_of_every_op();
  if (auto bytes = export_onnx_bytes(graph); bytes.ok()) write(root / "onnx", "every", *bytes);
  write(root / "tflite", "small", tflite_model());
  plan::UpdatePlan plan;
  plan.model = graph.name;
  plan.model_sha256 = graph.sha256;
  plan.bias_depth = 1;
  write(root / "plan", "biases", json_text(plan::to_json(plan)));
  contribution::Profile profile;
  profile.model = graph.name;
  profile.seeds = {0};
  profile.ratios = {1};
  contribution::summarise(profile, 2);
  write(root / "profile", "empty", json_text(contribution::to_json(profile)));
  write(root / "device", "small",
        R"({"schema": "espalier.device/1", "name": "small", "sram_bytes": 65536,)"
        R"( "flash_bytes": 262144})");
  write(root / "idx", "one", idx_images());
  write(root / "image", "png", png());
  return 0;
}
