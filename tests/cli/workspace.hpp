// A folder with a tiny model and tiny datasets, and the program run in it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/json.hpp"
#include "run_program.hpp"
#include "support/temp_folder.hpp"

namespace espalier::testing {

using Arguments = std::vector<std::string>;

/// Joins lists of arguments.
Arguments operator+(Arguments a, const Arguments& b);

/// Convs of small_network, the model that Workspace::make_model writes.
inline constexpr int kConvs = 7;
/// Its features: the memory in bytes that training the head alone takes.
inline constexpr int kHeadBytes = 40;

class Workspace : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path path(const std::filesystem::path& name) const {
    return folder_.path() / name;
  }
  /// Names relative to the folder, which is the program's working folder too.
  void write(const std::filesystem::path& name, std::string_view content) const;
  [[nodiscard]] std::string read(const std::filesystem::path& name) const;
  [[nodiscard]] Json read_json(const std::filesystem::path& name) const;
  /// Every file in the folder.
  [[nodiscard]] std::vector<std::string> files() const;

  /// small_network as an ONNX file: input 8x8x3, seven convs, 4 classes.
  void make_model(const std::string& name = "model.onnx", std::uint64_t seed = 1,
                  int side = 8) const;
  /// NAME-images and NAME-labels: 12x12 grey pictures whose brightness tells the class.
  void make_idx(const std::string& name, int count, int classes = 4) const;
  /// 32x32 colour pictures of ten classes.
  void make_cifar(const std::string& name, int count) const;
  /// NAME/class0 ... with PNG pictures of several sizes.
  void make_folder(const std::string& name, int each, int classes = 3) const;
  /// A contribution profile of model.onnx, measured by the program; needs the IDX data "train".
  void make_profile(const std::string& name = "profile.json") const;
  /// A plan made by the program: the arguments of `plan make` between the model and --out.
  void make_plan(const std::string& name, const Arguments& rule) const;

  /// Runs the program. Expects that it neither hangs nor crashes.
  Finished run(const Arguments& arguments, RunOptions options = {}) const;
  /// Runs its command line in this process, which saves starting one: most of the time of a small
  /// command. What follows does the same. Of run_here.cpp.
  Finished run_here(const Arguments& arguments) const;
  /// Expects success.
  Finished succeed(const Arguments& arguments) const;
  /// Expects success with `--json -`, and nothing but one document on standard output.
  Json report(const Arguments& arguments) const;
  /// Expects this exit code, nothing on standard output, no new, changed or missing file, and on
  /// standard error diagnostics alone: one line for each text, which it holds.
  void fail(int exit_code, const Arguments& arguments, const std::vector<std::string>& texts) const;

 private:
  TempFolder folder_;
};

/// Arguments of the smallest useful analysis.
inline const Arguments kAnalyzeTiny{"--train",  "idx:train-images,train-labels",
                                    "--epochs", "1",
                                    "--batch",  "16",
                                    "--layers", "5,6",
                                    "--ratios", "0.5,1"};

}  // namespace espalier::testing
