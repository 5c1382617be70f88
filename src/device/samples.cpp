#include "samples.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "espalier/support/rng.hpp"

namespace espalier::device {

Status write_samples(const Folder& folder, const CheckOptions& options,
                     const std::filesystem::path& work) {
  std::string inputs;
  std::vector<int> labels = options.labels;
  const auto bytes = static_cast<std::size_t>(folder.input_bytes);
  const auto steps = static_cast<std::size_t>(options.steps);
  if (!options.inputs.empty()) {
    ESPALIER_TRY(inputs, read_file(options.inputs));
    if (inputs.size() % bytes != 0) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: {} bytes are not a whole number of samples of {} bytes",
                               options.inputs, inputs.size(), bytes)};
    }
    if (inputs.size() / bytes < steps || labels.size() < steps) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: {} steps need as many samples and labels; there are {} samples "
                               "and {} labels; lower --steps",
                               options.inputs, steps, inputs.size() / bytes, labels.size())};
    }
    inputs.resize(bytes * steps);
  } else {
    Rng rng{options.seed, 0x434845434B};  // "CHECK"
    inputs.resize(bytes * steps);
    for (char& c : inputs) c = static_cast<char>(rng.below(256));
    labels.clear();
    for (std::size_t i = 0; i < steps; ++i) {
      labels.push_back(static_cast<int>(rng.below(static_cast<std::uint64_t>(folder.classes))));
    }
  }
  for (std::size_t i = 0; i < steps; ++i) {
    if (labels[i] < 0 || labels[i] >= folder.classes) {
      return Error{ErrorKind::kUsage,
                   fmt::format("label {} must lie in 0..{}", labels[i], folder.classes - 1)};
    }
  }
  std::string text =
      fmt::format("#define SAMPLES {}\n#define CLASSES {}\n#define FEATURES {}\n#define CONVS {}\n",
                  steps, folder.classes, folder.features, folder.convs);
  text += "static const int32_t labels[] = {";
  for (std::size_t i = 0; i < steps; ++i) text += fmt::format("{},", labels[i]);
  text += fmt::format(
      "}};\nextern const int8_t check_samples[][{}];\n"
      "__asm__(\n"
      "    \".pushsection .rodata.check_samples, \\\"a\\\"\\n\"\n"
      "    \".balign 16\\n\"\n"
      "    \".globl check_samples\\n\"\n"
      "    \"check_samples:\\n\"\n"
      "    \".incbin \\\"samples.bin\\\"\\n\"\n"
      "    \".popsection\\n\");\n",
      bytes);
  ESPALIER_CHECK_OK(write_file_atomic(work / "samples.bin", inputs));
  return write_file_atomic(work / "check-samples.h", text);
}

}  // namespace espalier::device
