#include "workspace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "data/data_files.hpp"
#include "espalier/import/onnx_writer.hpp"
#include "espalier/support/rng.hpp"
#include "testing/random_graph.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Bright or dark by class, with noise.
std::string grey_picture(int label, Rng& rng) {
  std::string pixels;
  for (int i = 0; i < 144; ++i) {
    pixels += static_cast<char>(40 + 50 * label + static_cast<int>(rng.below(40)));
  }
  return pixels;
}

}  // namespace

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void Workspace::write(const std::filesystem::path& name, std::string_view content) const {
  static_cast<void>(folder_.write(name, content));
}

std::string Workspace::read(const std::filesystem::path& name) const {
  // As it is, whatever read_file() would say of it.
  const std::ifstream file(path(name), std::ios::binary);
  if (!file) throw std::runtime_error(path(name).string() + ": cannot be opened");
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

Json Workspace::read_json(const std::filesystem::path& name) const {
  return Json::parse(read(name));
}

std::vector<std::string> Workspace::files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
    names.push_back(std::filesystem::relative(entry.path(), folder_.path()).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void Workspace::make_model(const std::string& name, std::uint64_t seed, int side) const {
  ir::Graph graph = small_network(seed, 4, side);
  // A centred input, so that the mapping of pixels to it is found automatically.
  graph.tensors[static_cast<std::size_t>(graph.input)].quantization = {1.0F / 128, 0};
  const Status written = export_onnx(graph, path(name));
  if (!written.ok()) throw std::runtime_error(written.error().message());
}

void Workspace::make_idx(const std::string& name, int count, int classes) const {
  Rng rng{static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(classes)};
  std::string images;
  std::string labels;
  for (int i = 0; i < count; ++i) {
    images += grey_picture(i % classes, rng);
    labels += static_cast<char>(i % classes);
  }
  const auto n = static_cast<std::uint32_t>(count);
  write(name + "-images", idx_file({n, 12, 12}, images));
  write(name + "-labels", idx_file({n}, labels));
}

void Workspace::make_cifar(const std::string& name, int count) const {
  std::string records;
  for (int i = 0; i < count; ++i) records += cifar_record(i % 10, 20 * (i % 10) + i / 10);
  write(name, records);
}

void Workspace::make_folder(const std::string& name, int each, int classes) const {
  for (int c = 0; c < classes; ++c) {
    for (int i = 0; i < each; ++i) {
      const data::Image image =
          noise_image(8 + 3 * i, 12, i % 2 == 0 ? 3 : 1, static_cast<std::uint32_t>(100 * c + i));
      write(fmt::format("{}/class{}/{}.png", name, c, i), png_file(image));
    }
  }
}

void Workspace::make_profile(const std::string& name) const {
  succeed(Arguments{"analyze", "model.onnx", "--out", name} + kAnalyzeTiny);
}

void Workspace::make_plan(const std::string& name, const Arguments& rule) const {
  succeed(Arguments{"plan", "make", "model.onnx"} + rule + Arguments{"--out", name});
}

Finished Workspace::run(const Arguments& arguments, RunOptions options) const {
  options.folder = folder_.path();
  Finished finished = run_program(arguments, options);
  EXPECT_FALSE(finished.hung) << ::testing::PrintToString(arguments);
  EXPECT_GE(finished.exit_code, 0) << "ended by a signal: " << finished.err;
  EXPECT_NE(finished.exit_code, 70) << finished.err;
  EXPECT_THAT(finished.err, Not(HasSubstr("terminate called")));
  return finished;
}

Finished Workspace::succeed(const Arguments& arguments) const {
  Finished finished = run_here(arguments);
  EXPECT_EQ(finished.exit_code, 0) << ::testing::PrintToString(arguments) << '\n' << finished.err;
  return finished;
}

Json Workspace::report(const Arguments& arguments) const {
  const Finished finished = succeed(arguments + Arguments{"--json", "-"});
  // Throws when anything else stands beside the document.
  return Json::parse(finished.out);
}

void Workspace::fail(int exit_code, const Arguments& arguments,
                     const std::vector<std::string>& texts) const {
  SCOPED_TRACE(::testing::PrintToString(arguments));
  std::vector<std::pair<std::string, std::string>> before;
  for (const std::string& name : files()) {
    before.emplace_back(name, std::filesystem::is_directory(path(name)) ? "" : read(name));
  }
  const Finished finished = run_here(arguments);
  EXPECT_EQ(finished.exit_code, exit_code) << finished.err;
  EXPECT_EQ(finished.out, "");
  const std::vector<std::string> diagnostics = lines_of(finished.err);
  EXPECT_EQ(diagnostics.size(), texts.size()) << finished.err;
  for (const std::string& line : diagnostics) EXPECT_THAT(line, StartsWith("espalier: "));
  for (const std::string& text : texts) EXPECT_THAT(diagnostics, Contains(HasSubstr(text)));
  std::vector<std::pair<std::string, std::string>> after;
  for (const std::string& name : files()) {
    after.emplace_back(name, std::filesystem::is_directory(path(name)) ? "" : read(name));
  }
  EXPECT_TRUE(before == after) << "files have changed: " << ::testing::PrintToString(files());
}

}  // namespace espalier::testing
