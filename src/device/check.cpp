#include "espalier/device/check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <sstream>
#include <string_view>
#include <utility>

#include "compiled_folder.hpp"
#include "device_sources.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/rng.hpp"
#include "process.hpp"
#include "tb/simulator.hpp"

namespace espalier::device {
namespace {

namespace fs = std::filesystem;

// A working folder that goes when the check ends, unless it is to be kept.
class WorkFolder {
 public:
  static Result<WorkFolder> make(const fs::path& keep) {
    WorkFolder folder;
    std::error_code error;
    if (!keep.empty()) {
      folder.path_ = fs::absolute(keep);
      folder.keep_ = true;
      fs::create_directories(folder.path_, error);
      if (error) {
        return Error{ErrorKind::kCannotWrite,
                     fmt::format("{}: {}", keep.string(), error.message())};
      }
      return folder;
    }
    std::string name = (fs::temp_directory_path(error) / "espalier-check-XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr) {
      return Error{ErrorKind::kCannotWrite, "no temporary folder can be made; set TMPDIR"};
    }
    folder.path_ = name;
    return folder;
  }
  WorkFolder(WorkFolder&& other) noexcept
      : path_(std::exchange(other.path_, {})), keep_(other.keep_) {}
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder() {
    std::error_code ignored;
    if (!keep_ && !path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  WorkFolder() = default;
  fs::path path_;
  bool keep_ = false;
};

// Writes what the driver trains on: samples.bin, and check-samples.h, which takes it in as it is.
// As an array in C it would cost compilers many times its size.
Status write_samples(const Folder& folder, const CheckOptions& options, const fs::path& work) {
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

std::vector<std::string> common_flags(const Folder& folder) {
  return {"-std=c99",
          "-O2",
          "-ffp-contract=off",
          fmt::format("-DPROGRAM={}", folder.name),
          fmt::format("-DHEADER=\"{}.h\"", folder.name),
          "-I",
          folder.path.string()};
}

// No share of the steps is done before the core runs.
std::function<bool()> keep_going(const CheckOptions& options) {
  return [&options] { return !options.progress || options.progress(0); };
}

// A compiler, or what belongs to it. No fault of it is one of the program.
Result<ProcessResult> run_tool(const std::vector<std::string>& arguments, const fs::path& folder,
                               const CheckOptions& options, std::string advice) {
  Result<ProcessResult> result =
      run_process(arguments, folder,
                  {.merge = true, .keep_going = keep_going(options), .advice = std::move(advice)});
  if (!result.ok() && result.error().kind == ErrorKind::kMismatch) {
    return Error{ErrorKind::kBadInput, result.error().message()};
  }
  return result;
}

Status compile(const std::vector<std::string>& arguments, const fs::path& folder,
               const CheckOptions& options, std::string_view what) {
  const std::string_view option = what == "the host" ? "--host-cc" : "--riscv-cc";
  ESPALIER_TRY(const ProcessResult result,
               run_tool(arguments, folder, options,
                        fmt::format("install it, or name another one with {}", option)));
  if (result.exit_code == 0) return Ok{};
  const bool too_large = result.output.find("do not fit") != std::string::npos ||
                         result.output.find("will not fit") != std::string::npos;
  return Error{too_large ? ErrorKind::kInfeasible : ErrorKind::kBadInput,
               fmt::format("the build for {} failed:\n{}", what, result.output)};
}

struct Run {
  std::vector<std::vector<std::uint32_t>> steps;  // loss, then logits, as bits
  std::vector<std::uint64_t> cycles;
  std::vector<std::uint64_t> instructions;
  std::map<std::string, std::vector<std::uint8_t>> arrays;  // by name
  std::vector<std::string> order;                           // of arrays
};

// What the driver printed. `contents` turns the last field of an array's line into bytes.
template <typename Contents>
Result<Run> parse(const std::string& text, const Folder& folder, int steps, Contents contents) {
  const auto unreadable = [](std::string_view what) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("check: {} cannot be read from what the program printed", what)};
  };
  Run run;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string kind;
    fields >> kind >> std::hex;
    if (kind == "step") {
      std::vector<std::uint32_t> bits;
      for (std::uint32_t value = 0; fields >> value;) bits.push_back(value);
      if (bits.size() != 1 + static_cast<std::size_t>(folder.classes)) return unreadable("a step");
      run.steps.push_back(std::move(bits));
    } else if (kind == "cost") {
      std::uint64_t cycles = 0;
      std::uint64_t instructions = 0;
      fields >> cycles >> instructions;
      run.cycles.push_back(cycles);
      run.instructions.push_back(instructions);
    } else if (kind == "array") {
      std::string what;
      std::string last;
      std::uint32_t conv = 0;
      std::uint32_t bytes = 0;
      fields >> what >> conv >> bytes >> last;
      const std::string name = array_name(what, conv);
      if (bytes > kLargestSize) return unreadable(name);
      run.arrays[name] = contents(last, bytes);
      run.order.push_back(name);
      if (run.arrays[name].size() != bytes) return unreadable(name);
    }
  }
  if (run.steps.size() != static_cast<std::size_t>(steps)) return unreadable("every step");
  // Otherwise a parameter would go without comparison.
  for (const std::string& name : folder.trained) {
    if (run.arrays.find(name) == run.arrays.end()) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: program.json says that {} is trained, and the C has no such "
                               "array; compile the folder again",
                               folder.name, name)};
    }
  }
  for (const std::string& name : run.order) {
    if (folder.trained.find(name) == folder.trained.end()) {
      return Error{ErrorKind::kBadInput,
                   fmt::format("{}: the C trains {}, and program.json does not say so; compile the "
                               "folder again",
                               folder.name, name)};
    }
  }
  return run;
}

Result<Run> run_host(const Folder& folder, const CheckOptions& options, const fs::path& work) {
  std::vector<std::string> build{options.host_compiler};
  for (const std::string& flag : common_flags(folder)) build.push_back(flag);
  for (const fs::path& source : {work / "driver.c", folder.path / (folder.name + ".c"),
                                 folder.path / (folder.name + "_params.c")}) {
    build.push_back(source.string());
  }
  build.insert(build.end(), {"-o", (work / "host").string()});
  ESPALIER_CHECK_OK(compile(build, work, options, "the host"));
  // Lines of steps, bytes of arrays in hexadecimal, and much to spare.
  const std::int64_t output = options.steps * (9 * folder.classes + 64) +
                              2 * (folder.sram + folder.parameters) + (std::int64_t{1} << 20);
  Result<ProcessResult> result =
      run_process({(work / "host").string()}, work,
                  {.limit = options.host_limit * options.steps,
                   .largest_output = static_cast<std::size_t>(output),
                   .keep_going = keep_going(options),
                   .advice = fmt::format("set {} to a folder that may execute",
                                         options.keep.empty() ? "TMPDIR" : "--keep")});
  if (!result.ok()) {
    if (result.error().kind != ErrorKind::kMismatch) return result.error();
    return Error{ErrorKind::kMismatch, "on the host: " + result.error().message()};
  }
  if (result->exit_code > 128) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("on the host: ended by signal {} ({})", result->exit_code - 128,
                             ::strsignal(result->exit_code - 128))};
  }
  if (result->exit_code != 0) {
    return Error{ErrorKind::kMismatch,
                 fmt::format("on the host: exited with code {}", result->exit_code)};
  }
  return parse(result->output, folder, options.steps,
               [](const std::string& hex, std::uint32_t bytes) {
                 std::vector<std::uint8_t> values;
                 const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
                 for (std::uint32_t i = 0; i < bytes && 2 * i + 1 < hex.size(); ++i) {
                   values.push_back(
                       static_cast<std::uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1])));
                 }
                 return values;
               });
}

// The size tool of the compiler's binutils, beside it: riscv64-unknown-elf-gcc-12 has
// riscv64-unknown-elf-size.
Result<std::string> size_tool(const CheckOptions& options) {
  const fs::path compiler = options.riscv_compiler;
  const std::string name = compiler.filename().string();
  const std::size_t at = name.rfind("gcc");
  if (at == std::string::npos) {
    return Error{ErrorKind::kUsage,
                 fmt::format("--riscv-cc {}: its size tool cannot be told from a name without "
                             "'gcc'; name it as in riscv64-unknown-elf-gcc, beside which lies "
                             "riscv64-unknown-elf-size",
                             options.riscv_compiler)};
  }
  return (compiler.parent_path() / (name.substr(0, at) + "size")).string();
}

// Bytes of the sections of an object or a program for which `counts` holds.
template <typename Counts>
Result<std::int64_t> bytes_of(const std::string& tool, const fs::path& file,
                              const CheckOptions& options, Counts counts) {
  ESPALIER_TRY(
      const ProcessResult sizes,
      run_tool({tool, "-A", file.string()}, file.parent_path(), options,
               fmt::format("it belongs to {}; install both, or name another one with --riscv-cc",
                           options.riscv_compiler)));
  std::int64_t total = 0;
  std::istringstream lines(sizes.output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string section;
    std::int64_t bytes = 0;
    if (fields >> section >> bytes && counts(section)) total += bytes;
  }
  if (sizes.exit_code != 0 || total == 0) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: cannot tell sizes:\n{}", tool, sizes.output)};
  }
  return total;
}

bool lies_in_flash(const std::string& section) {
  return section == ".text" || section == ".rodata" || section == ".data";
}

// The linker script of the device: its memories, and where they hold what.
std::string linker_script(const CheckOptions& options, std::int64_t flash_bytes) {
  return fmt::format(
      "/* Memories of {}, for link.ld. The flash is as large as the samples of the check need. */\n"
      "ESPALIER_FLASH_BASE = {:#010x};\nESPALIER_FLASH_SIZE = {:#x};\n"
      "ESPALIER_SRAM_BASE = {:#010x};\nESPALIER_SRAM_SIZE = {:#x};\n"
      "ESPALIER_STACK_SIZE = {:#x};\nINCLUDE link.ld\n",
      options.system.name, options.system.flash_base, flash_bytes, options.system.sram_base,
      options.system.sram.count, options.stack.count);
}

// Bytes of flash for the run: the device's, samples and labels, and room for the driver. What the
// program takes of it is checked apart.
std::int64_t flash_for_run(const Folder& folder, const CheckOptions& options, std::int64_t steps) {
  const std::int64_t samples = (folder.input_bytes + std::int64_t{sizeof(std::int32_t)}) * steps;
  return (options.system.flash.count + samples + (std::int64_t{1} << 20)) / 16 * 16;
}

// The simulated system with so much flash, or what is wrong with it.
std::optional<std::string> configure(const System& system, std::int64_t flash_bytes,
                                     hw::SimulatorConfig& config) {
  if (flash_bytes > kLargestSize || system.sram.count > kLargestSize) {
    return fmt::format("{} bytes of flash and {} of SRAM are more than {}", flash_bytes,
                       system.sram.count, kLargestSize);
  }
  config.flash_base = system.flash_base;
  config.sram_base = system.sram_base;
  config.flash_size = static_cast<std::uint32_t>(flash_bytes);
  config.sram_size = static_cast<std::uint32_t>(system.sram.count);
  config.profile = true;
  return hw::check(config);
}

// The simulated system, with flash for samples; kInfeasible when no such system can be.
Result<hw::SimulatorConfig> simulated_system(const Folder& folder, const CheckOptions& options) {
  hw::SimulatorConfig config;
  const auto wrong_with = [&](std::int64_t steps) {
    return configure(options.system, flash_for_run(folder, options, steps), config);
  };
  const std::optional<std::string> wrong = wrong_with(options.steps);
  if (!wrong) return config;
  std::int64_t fit = 0;  // and `too_many` do not
  for (std::int64_t too_many = options.steps; too_many - fit > 1;) {
    const std::int64_t middle = fit + (too_many - fit) / 2;
    (wrong_with(middle) ? too_many : fit) = middle;
  }
  return Error{ErrorKind::kInfeasible,
               fmt::format("{}: cannot be simulated with the samples of {} steps: {}; {}",
                           options.system.name, options.steps, *wrong,
                           fit > 0 ? fmt::format("{} steps fit, lower --steps", fit)
                                   : "not even one step fits, the device needs other memories")};
}

std::uint64_t cycle_limit(const Folder& folder, const CheckOptions& options) {
  if (options.max_cycles != 0) return options.max_cycles;
  double macs = 0;
  for (const auto& [kernel, count] : folder.macs) macs += count;
  const double step = 5e7 + (options.system.float_unit ? 100 : 600) * std::clamp(macs, 0.0, 1e11);
  return static_cast<std::uint64_t>(step * options.steps);
}

Result<Run> run_core(const Folder& folder, const CheckOptions& options, const fs::path& work,
                     const hw::SimulatorConfig& config, const std::string& tool,
                     CheckReport& report) {
  for (const auto& [name, text] : device_sources()) {
    ESPALIER_CHECK_OK(write_file_atomic(work / std::string(name), text));
  }
  ESPALIER_CHECK_OK(
      write_file_atomic(work / "device.ld", linker_script(options, config.flash_size)));
  std::vector<std::string> target{options.riscv_compiler, "--specs=picolibc.specs"};
  const std::vector<std::string> isa =
      options.system.float_unit
          ? std::vector<std::string>{"-march=rv32imf", "-mabi=ilp32f"}
          : std::vector<std::string>{"-march=rv32im", "-misa-spec=2.2", "-mabi=ilp32"};
  target.insert(target.end(), isa.begin(), isa.end());
  for (const std::string& flag : common_flags(folder)) target.push_back(flag);
  target.insert(target.end(), {"-fno-schedule-insns", "-funroll-loops", "-ffunction-sections",
                               "-fdata-sections"});
  // Names of our own files hold a hyphen, which no name of a program does.
  const auto object = [&](const fs::path& source, const std::string& name) -> Status {
    std::vector<std::string> build = target;
    build.insert(build.end(), {"-c", source.string(), "-o", (work / name).string()});
    return compile(build, work, options, "RISC-V");
  };
  ESPALIER_CHECK_OK(object(work / "driver.c", "check-driver.o"));
  ESPALIER_CHECK_OK(object(folder.path / (folder.name + ".c"), folder.name + ".o"));
  ESPALIER_CHECK_OK(object(folder.path / (folder.name + "_params.c"), folder.name + "_params.o"));
  std::vector<std::string> link = target;
  const std::string elf = (work / "core.elf").string();
  link.insert(link.end(),
              {"-nostartfiles", "-Wl,--gc-sections", "-Tdevice.ld", "crt0.S", "check-driver.o",
               folder.name + ".o", folder.name + "_params.o", "-o", elf});
  ESPALIER_CHECK_OK(compile(link, work, options, "RISC-V"));
  // The program alone, whole, with what it needs of the libraries.
  const fs::path alone = work / "program.elf";
  link = target;
  link.insert(link.end(), {"-nostartfiles", "-Tdevice.ld", "-Wl,-e," + folder.name + "_train_step",
                           folder.name + ".o", folder.name + "_params.o", "-o", alone.string()});
  ESPALIER_CHECK_OK(compile(link, work, options, "RISC-V"));
  ESPALIER_TRY(const std::int64_t flash, bytes_of(tool, alone, options, lies_in_flash));
  ESPALIER_TRY(
      const std::int64_t constants,
      bytes_of(tool, work / (folder.name + "_params.o"), options, [&](const std::string& name) {
        return name.ends_with("rodata." + folder.name + "_params");
      }));
  report.used_flash = Bytes{flash};
  report.used_parameters = Bytes{constants};
  if (flash > options.system.flash.count) {
    return Error{ErrorKind::kInfeasible,
                 fmt::format("{} bytes of code and constants exceed {} bytes of flash by {}", flash,
                             options.system.flash.count, flash - options.system.flash.count)};
  }

  hw::Simulator simulator(config);
  ESPALIER_TRY(const std::string image, read_file(elf));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(image.data());
  if (const auto wrong = simulator.load_elf({bytes, image.size()})) {
    return Error{ErrorKind::kInternal, fmt::format("{}: {}", elf, *wrong)};
  }
  const auto start = std::chrono::steady_clock::now();
  constexpr std::uint64_t kSlice = 2'000'000;
  const std::uint64_t max_cycles = cycle_limit(folder, options);
  hw::RunResult result;
  for (std::uint64_t limit = kSlice;; limit += kSlice) {
    result = simulator.run(std::min(limit, max_cycles));
    if (result.outcome != hw::Outcome::kCycleLimit || limit >= max_cycles) break;
    const std::string& console = simulator.console();
    std::size_t done = 0;
    for (std::size_t at = 0; (at = console.find("cost", at)) != std::string::npos; ++at) ++done;
    if (options.progress &&
        !options.progress(static_cast<double>(done) / static_cast<double>(options.steps))) {
      return Error{ErrorKind::kInterrupted, "check: interrupted"};
    }
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  report.simulated_cycles_per_second = static_cast<double>(result.cycles) / spent.count();
  report.used_sram = Bytes{result.sram.bytes_written_outside_stack};
  report.stack_used = Bytes{result.sram.stack_bytes};
  if (result.outcome != hw::Outcome::kExited || result.exit_code != 0) {
    std::string_view next;
    if (result.outcome == hw::Outcome::kCycleLimit)
      next = "; raise --max-cycles if it needs longer";
    if (result.outcome == hw::Outcome::kStackOverflow) next = "; raise --stack if it needs more";
    return Error{ErrorKind::kMismatch, fmt::format("on the core: {}{}", result.describe(), next)};
  }
  // Compilers append what they like to the name of a clone.
  std::map<std::string, KernelCycles> kernels;
  for (const hw::FunctionProfile& function : simulator.profile()) {
    if (function.name.rfind("esp_", 0) != 0) continue;
    const std::string name = function.name.substr(0, function.name.find('.'));
    KernelCycles& kernel = kernels[name];
    kernel.name = name;
    kernel.cycles += static_cast<double>(function.cycles) / options.steps;
    kernel.instructions += static_cast<double>(function.instructions) / options.steps;
  }
  for (auto& [name, kernel] : kernels) {
    const auto macs = folder.macs.find(name);
    if (macs != folder.macs.end() && macs->second > 0) kernel.macs = macs->second;
    report.kernels.push_back(kernel);
  }
  std::stable_sort(
      report.kernels.begin(), report.kernels.end(),
      [](const KernelCycles& a, const KernelCycles& b) { return a.cycles > b.cycles; });
  return parse(simulator.console(), folder, options.steps,
               [&](const std::string& address, std::uint32_t count) {
                 std::vector<std::uint8_t> values(count);
                 const auto at =
                     static_cast<std::uint32_t>(std::strtoul(address.c_str(), nullptr, 16));
                 if (!simulator.read_memory(at, values)) values.clear();
                 return values;
               });
}

// What is known when the program fails; other errors stay errors.
Result<CheckReport> failed(CheckReport report, const Error& error) {
  if (error.kind != ErrorKind::kMismatch) return error;
  report.failure = error.message();
  report.kernels.clear();
  return report;
}

// Names the first difference between two runs; empty when there is none.
std::string first_difference(const Run& host, const Run& core) {
  for (std::size_t step = 0; step < host.steps.size(); ++step) {
    if (step >= core.steps.size()) return fmt::format("step {}: missing on the core", step);
    const auto& a = host.steps[step];
    const auto& b = core.steps[step];
    if (a.size() != b.size()) return fmt::format("step {}: cannot be compared", step);
    // Logits come before the loss that is computed from them.
    for (std::size_t k = 1; k <= a.size(); ++k) {
      const std::size_t i = k % a.size();
      if (a[i] == b[i]) continue;
      return fmt::format("step {}: {} is {:#010x} on the host, {:#010x} on the core", step,
                         i == 0 ? "loss" : fmt::format("logits[{}]", i - 1), a[i], b[i]);
    }
  }
  for (const std::string& name : host.order) {
    const auto found = core.arrays.find(name);
    if (found == core.arrays.end()) return name + ": missing on the core";
    const std::vector<std::uint8_t>& a = host.arrays.at(name);
    const std::vector<std::uint8_t>& b = found->second;
    const auto size = std::min(a.size(), b.size());
    for (std::size_t i = 0; i < size; ++i) {
      if (a[i] == b[i]) continue;
      const std::size_t element =
          name.find("weights") != std::string::npos && name.rfind("head", 0) != 0 ? i : i / 4;
      return fmt::format("{}[{}]: byte {} is {:#04x} on the host, {:#04x} on the core", name,
                         element, i, a[i], b[i]);
    }
    if (a.size() != b.size()) return name + ": of another size on the core";
  }
  return "";
}

}  // namespace

Result<CheckReport> check(const fs::path& path, const CheckOptions& given) {
  CheckOptions options = given;
  if (options.steps < 1) return Error{ErrorKind::kUsage, "--steps must be at least 1"};
  if (options.stack.count < 1) return Error{ErrorKind::kUsage, "--stack must be above 0"};
  // The linker aligns the stack; it then has what is said here.
  options.stack = Bytes{(options.stack.count + 15) / 16 * 16};
  ESPALIER_TRY(const Folder folder, read_folder(path));
  if (folder.dot_product && !options.system.dot_product) {
    return Error{ErrorKind::kInfeasible,
                 fmt::format("{}: uses pm4adda.b, which {} has not; compile it without "
                             "--dot-product",
                             path.string(), options.system.name)};
  }
  CheckReport report;
  report.name = folder.name;
  report.target = folder.target;
  report.steps = options.steps;
  report.promised_sram = Bytes{folder.sram};
  report.promised_parameters = Bytes{folder.parameters};
  report.stack_allowed = options.stack;
  const std::int64_t needed = folder.sram + options.stack.count;
  if (needed > options.system.sram.count) {
    return Error{ErrorKind::kInfeasible,
                 fmt::format("{} bytes of SRAM and {} of stack exceed {} bytes by {}", folder.sram,
                             options.stack.count, options.system.sram.count,
                             needed - options.system.sram.count)};
  }
  // Before samples are made: they could be many.
  ESPALIER_TRY(const hw::SimulatorConfig config, simulated_system(folder, options));
  ESPALIER_TRY(const std::string tool, size_tool(options));
  ESPALIER_TRY(const WorkFolder work, WorkFolder::make(options.keep));
  ESPALIER_CHECK_OK(write_samples(folder, options, work.path()));
  ESPALIER_CHECK_OK(write_file_atomic(work.path() / "driver.c", device_sources().at("driver.c")));
  const Result<Run> on_host = run_host(folder, options, work.path());
  if (!on_host.ok()) return failed(report, on_host.error());
  const Run& host = *on_host;
  for (const auto& step : host.steps) {
    float loss = 0;
    std::memcpy(&loss, step.data(), sizeof loss);
    report.losses.push_back(loss);
  }
  const Result<Run> on_core = run_core(folder, options, work.path(), config, tool, report);
  if (!on_core.ok()) return failed(report, on_core.error());
  const Run& core = *on_core;
  report.mismatch = first_difference(host, core);
  for (const auto& [name, values] : host.arrays) {
    ++report.compared_arrays;
    report.compared.count += static_cast<std::int64_t>(values.size());
  }
  for (std::size_t i = 0; i < core.cycles.size(); ++i) {
    report.cycles_per_step += static_cast<double>(core.cycles[i]) / options.steps;
    report.instructions_per_step += static_cast<double>(core.instructions[i]) / options.steps;
  }
  return report;
}

Status verdict(const CheckReport& report) {
  if (!report.failure.empty()) return Error{ErrorKind::kMismatch, report.failure};
  std::vector<std::string> problems;
  if (!report.mismatch.empty()) problems.push_back(report.name + ": " + report.mismatch);
  // Start-up code clears all that the program may use, so that a promise is met to the byte.
  const std::int64_t excess = report.used_sram.count - report.promised_sram.count;
  if (excess != 0) {
    problems.push_back(fmt::format(
        "{}: {} bytes of SRAM were written outside the stack, {} {} than promised", report.name,
        report.used_sram.count, std::abs(excess), excess > 0 ? "more" : "fewer"));
  }
  if (report.used_parameters != report.promised_parameters) {
    problems.push_back(fmt::format("{}: {} bytes of constants in flash, {} promised", report.name,
                                   report.used_parameters.count, report.promised_parameters.count));
  }
  if (report.stack_used > report.stack_allowed) {
    problems.push_back(fmt::format("{}: the stack took {} bytes of {} allowed", report.name,
                                   report.stack_used.count, report.stack_allowed.count));
  }
  if (!problems.empty()) return Error{ErrorKind::kMismatch, problems};
  return Ok{};
}

Json to_json(const CheckReport& r) {
  Json kernels = Json::array();
  for (const KernelCycles& k : r.kernels) {
    kernels.push_back({{"name", k.name},
                       {"cycles", k.cycles},
                       {"instructions", k.instructions},
                       {"macs", k.macs ? Json(*k.macs) : Json(nullptr)},
                       {"cycles_per_mac", k.macs ? Json(k.cycles / *k.macs) : Json(nullptr)}});
  }
  return {{"schema", "espalier.check/1"},
          {"name", r.name},
          {"target", r.target},
          {"steps", r.steps},
          {"failure", r.failure.empty() ? Json(nullptr) : Json(r.failure)},
          {"equal", r.failure.empty() && r.mismatch.empty()},
          {"mismatch", r.mismatch.empty() ? Json(nullptr) : Json(r.mismatch)},
          {"compared", {{"arrays", r.compared_arrays}, {"bytes", r.compared.count}}},
          {"losses", r.losses},
          {"cycles_per_step", r.cycles_per_step},
          {"instructions_per_step", r.instructions_per_step},
          {"cycles_per_instruction", r.instructions_per_step > 0
                                         ? Json(r.cycles_per_step / r.instructions_per_step)
                                         : Json(nullptr)},
          {"kernels", std::move(kernels)},
          {"sram", {{"promised", r.promised_sram.count}, {"written", r.used_sram.count}}},
          {"stack", {{"allowed", r.stack_allowed.count}, {"used", r.stack_used.count}}},
          {"flash",
           {{"promised_parameters", r.promised_parameters.count},
            {"used_parameters", r.used_parameters.count},
            {"used", r.used_flash.count}}},
          {"simulated_cycles_per_second", r.simulated_cycles_per_second}};
}

std::string to_table(const CheckReport& r) {
  std::string text = fmt::format(
      "{}: {} training steps on host and core, {}\n", r.name, r.steps,
      r.mismatch.empty()
          ? fmt::format("every loss and logit and {} bytes of {} parameter arrays the same bits",
                        r.compared.count, r.compared_arrays)
          : r.mismatch);
  text += fmt::format("SRAM   {:>9} written of {} promised; stack {} of {} allowed\n",
                      r.used_sram.count, r.promised_sram.count, r.stack_used.count,
                      r.stack_allowed.count);
  text += fmt::format("flash  {:>9} used, of these {} constants of {} promised\n",
                      r.used_flash.count, r.used_parameters.count, r.promised_parameters.count);
  text += fmt::format(
      "cycles {:>9.0f} a step, {:.3f} an instruction; simulated at {:.1f} M a "
      "second\n\n",
      r.cycles_per_step, r.cycles_per_step / r.instructions_per_step,
      r.simulated_cycles_per_second / 1e6);
  text += fmt::format("{:<34} {:>13} {:>7} {:>12} {:>11}\n", "kernel", "cycles/step", "share",
                      "MACs/step", "cycles/MAC");
  for (const KernelCycles& k : r.kernels) {
    text += fmt::format("{:<34} {:>13.0f} {:>5.1f} % {:>12} {:>11}\n", k.name, k.cycles,
                        100 * k.cycles / r.cycles_per_step,
                        k.macs ? fmt::format("{:.0f}", *k.macs) : "-",
                        k.macs ? fmt::format("{:.2f}", k.cycles / *k.macs) : "-");
  }
  return text;
}

}  // namespace espalier::device
