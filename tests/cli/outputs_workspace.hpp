// Every command with every option that names an output, and what they need in a folder.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {

// A command that succeeds, the files it reads, and its options that name an output.
struct OutputCase {
  Arguments words;  // the command's name
  Arguments rest;
  std::vector<std::string> inputs;
  std::vector<std::string> files;    // options that name a file
  std::vector<std::string> folders;  // options that name a folder
};

class OutputsWorkspace : public Workspace {
 protected:
  OutputsWorkspace() {
    make_model();
    make_idx("train", 24);
    make_folder("pictures", 2);
    make_plan("plan.json", {"--last", "1"});
    write("notation.json", R"({"n_bias_update": 1})");
    succeed({"plan", "import", "model.onnx", "--out", "part.json", "--published",
             R"({"n_bias_update": 1, "n_weight_update": 1, "weight_update_ratio": 0.5})"});
    write("config.toml", "quiet=true\n");
    std::string table;
    for (int i = 0; i < 256; ++i) table += std::to_string(i - 128) + "\n";
    write("table.txt", table);
    write("device.json", R"({"schema": "espalier.device/1", "name": "part", "isa": "rv32imf",
      "sram_bytes": 262144, "flash_bytes": 1000000, "clock_hz": 1000000})");
    succeed({"analyze", "model.onnx", "--out", "profile.json", "--train",
             "idx:train-images,train-labels", "--epochs", "1", "--layers", "6", "--ratios", "1"});
    succeed({"compile", "model.onnx", "--plan", "plan.json", "--target", "rv32imf", "--out", "c"});
    write("samples", std::string(3 * 192, '\1'));
    write("sweep.json", R"({"schema": "espalier.sweep/1", "name": "one",
      "models": [{"name": "m", "file": "model.onnx"}],
      "datasets": [{"name": "d", "train": "idx:train-images,train-labels",
                    "test": "idx:train-images,train-labels"}],
      "training": {"seeds": [0], "recipe": {"epochs": 1}}})");
  }

  /// Every command, with --config last so that the generator covers it everywhere.
  static std::vector<OutputCase> cases() {
    const Arguments config{"--config", "config.toml"};
    const std::string idx = "idx:train-images,train-labels";
    return {
        {{"devices"}, {}, {}, {"--json"}, {}},
        {{"inspect"}, {"model.onnx"}, {"model.onnx"}, {"--json"}, {}},
        {{"analyze"},
         {"model.onnx", "--train", idx, "--preprocess", "lut=table.txt", "--out", "new.json"},
         {"model.onnx", "train-images", "train-labels", "table.txt"},
         {"--json", "--out"},
         {"--store"}},
        {{"search"},
         {"profile.json", "--model", "model.onnx", "--budget", "1KiB"},
         {"profile.json", "model.onnx"},
         {"--json", "--out"},
         {}},
        {{"search"},
         {"profile.json", "--model", "model.onnx", "--budget", "1KiB", "--measure", "1", "--train",
          idx, "--known", "plan.json", "--race-seeds", "2", "--epochs", "1"},
         {"profile.json", "model.onnx", "train-images", "train-labels", "plan.json"},
         {"--json", "--out"},
         {"--store"}},
        {{"plan", "make"},
         {"model.onnx", "--full", "--out", "new.json"},
         {"model.onnx"},
         {"--json", "--out"},
         {}},
        {{"plan", "import"},
         {"model.onnx", "--published", "notation.json", "--out", "new.json"},
         {"model.onnx", "notation.json"},
         {"--json", "--out"},
         {}},
        {{"plan", "rotate"},
         {"part.json", "--model", "model.onnx", "--out", "new.json"},
         {"part.json", "model.onnx"},
         {"--json", "--out"},
         {}},
        {{"plan", "show"},
         {"plan.json", "--model", "model.onnx"},
         {"plan.json", "model.onnx"},
         {"--json"},
         {}},
        {{"train"},
         {"model.onnx", "--plan", "plan.json", "--train", idx, "--test", idx, "--epochs", "1",
          "--preprocess", "resize=8,lut=table.txt"},
         {"model.onnx", "plan.json", "train-images", "train-labels", "table.txt"},
         {"--json", "--export"},
         {"--store"}},
        {{"compile"},
         {"model.onnx", "--plan", "plan.json", "--device", "device.json", "--emit-ir", "new"},
         {"model.onnx", "plan.json", "device.json"},
         {"--json", "--emit-ir", "--trace", "--problem"},
         {"--out", "--dump-passes"}},
        {{"evaluate"},
         {"model.onnx", "--test", idx},
         {"model.onnx", "train-images", "train-labels"},
         {"--json"},
         {}},
        {{"sweep"},
         {"sweep.json", "--out", "swept"},
         {"sweep.json", "model.onnx", "train-images", "train-labels"},
         {"--json"},
         {"--out"}},
        {{"report"}, {"profile.json", "--out", "page.html"}, {"profile.json"}, {"--json"}, {}},
        {{"fit"},
         {"model.onnx", "--train", idx, "--test", idx, "--device", "device.json", "--ratios", "1",
          "--epochs", "1", "--preprocess", "resize=8,lut=table.txt", "--out", "fits"},
         {"model.onnx", "train-images", "train-labels", "table.txt", "device.json"},
         {"--json"},
         {"--out"}},
        {{"check"},
         {"c", "--inputs", "samples", "--labels", "0,1,2"},
         {"samples"},
         {"--json"},
         {"--keep"}},
    };
  }

  /// The command with the output `option` at `path`, in place of what it had.
  static Arguments with(const OutputCase& c, const std::string& option, const std::string& path) {
    Arguments rest = c.rest;
    const auto at = std::find(rest.begin(), rest.end(), option);
    if (at != rest.end()) rest.erase(at, at + 2);
    return c.words + rest + Arguments{option, path, "--config", "config.toml"};
  }
};

}  // namespace espalier::testing
