#include "samples.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/support/file.hpp"

namespace espalier::device {

namespace {

codegen::Samples seeded(const Folder& folder, std::uint64_t seed, int steps) {
  return codegen::seeded_samples(seed, steps, folder.input_bytes, static_cast<int>(folder.classes));
}

// NAME_labels and NAME_samples, these from NAME.bin: linked in, or memory that the host fills.
std::string declaration(std::string_view name, const std::vector<int>& labels, std::size_t bytes) {
  return fmt::format(
      "static const int32_t {0}_labels[] = {{{1}}};\n"
      "#ifdef ESPALIER_HOST\n"
      "static int8_t {0}_samples[{3}][{2}];\n"
      "#else\n"
      "extern const int8_t {0}_samples[][{2}];\n"
      "__asm__(\n"
      "    \".pushsection .rodata.{0}_samples, \\\"a\\\"\\n\"\n"
      "    \".balign 16\\n\"\n"
      "    \".globl {0}_samples\\n\"\n"
      "    \"{0}_samples:\\n\"\n"
      "    \".incbin \\\"{0}.bin\\\"\\n\"\n"
      "    \".popsection\\n\");\n"
      "#endif\n",
      name, fmt::join(labels, ","), bytes, labels.size());
}

}  // namespace

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
    const codegen::Samples random = seeded(folder, options.seed, options.steps);
    inputs.assign(random.inputs.begin(), random.inputs.end());
    labels = random.labels;
  }
  for (std::size_t i = 0; i < steps; ++i) {
    if (labels[i] < 0 || labels[i] >= folder.classes) {
      return Error{ErrorKind::kUsage,
                   fmt::format("label {} must lie in 0..{}", labels[i], folder.classes - 1)};
    }
  }
  labels.resize(steps);
  const std::string text =
      fmt::format(
          "#define SAMPLES {}\n#define CLASSES {}\n#define FEATURES {}\n#define CONVS {}\n"
          "#define STATE_BYTES {}\n#define ARENA_BYTES {}\n",
          steps, folder.classes, folder.features, folder.convs, folder.state, folder.arena) +
      (folder.extern_arena ? fmt::format("#define EXTERN_ARENA_BYTES {}\n", folder.arena) : "") +
      (folder.turn_bytes ? fmt::format("#define TURN_BYTES {}\n", *folder.turn_bytes) : "") +
      declaration("check", labels, bytes);
  ESPALIER_CHECK_OK(write_file_atomic(work / "check.bin", inputs));
  ESPALIER_CHECK_OK(write_file_atomic(work / "check-samples.h", text));
  const auto recorded = static_cast<int>(folder.recorded.steps.size());
  const codegen::Samples again = seeded(folder, folder.recorded.seed, recorded);
  ESPALIER_CHECK_OK(write_file_atomic(work / "recorded.bin",
                                      std::string(again.inputs.begin(), again.inputs.end())));
  return write_file_atomic(work / "recorded-samples.h",
                           fmt::format("#define RECORDED {}\n", recorded) +
                               declaration("recorded", again.labels, bytes));
}

}  // namespace espalier::device
