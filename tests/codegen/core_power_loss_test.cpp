// examples/power_loss on the simulated core: the test bench takes the power away at random cycles,
// and training ends in the bits of a run without a break.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "espalier/codegen/emit.hpp"
#include "espalier/codegen/target.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "espalier/support/rng.hpp"
#include "support/temp_folder.hpp"
#include "tb/simulator.hpp"
#include "testing/quick_compiler.hpp"
#include "testing/random_graph.hpp"

namespace espalier::codegen {
namespace {

#ifdef ESPALIER_SLOW_TESTS
constexpr int kResets = 1000;
constexpr int kSteps = 1000;
#else
constexpr int kResets = 6;
constexpr int kSteps = 12;
#endif

constexpr std::uint32_t kSram = 0x2000'0000;
constexpr std::uint32_t kSramBytes = 64U << 10;  // of the program; the flash lies behind it
constexpr std::uint32_t kFlash = kSram + kSramBytes;
constexpr std::uint32_t kPage = 1024;
enum : std::uint32_t { kIdle, kErasing, kWriting };

// What was found under way when the power went.
struct Seen {
  int erasing = 0;
  int writing = 0;
  int other = 0;
};

class CorePowerLoss : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("command -v riscv64-unknown-elf-gcc >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "needs riscv64-unknown-elf-gcc; tools/setup.sh installs it";
    }
    espalier::testing::GraphBuilder builder(5, {4, 4, 3});
    const ir::TensorId wide = builder.conv(builder.input(), 8, espalier::testing::window(1, 1, 0));
    const ir::TensorId deep = builder.conv(wide, 8, espalier::testing::window(3, 2, 1), 8);
    const ir::Graph graph = builder.finish(builder.global_pool(deep), 3);
    const plan::UpdatePlan plan = plan::full(graph);
    compiler::CompileOptions compile;
    compile.accumulate = 3;
    const compiler::Program program = *compiler::compile(graph, plan, compile);
    EmitOptions options;
    options.target = target_named("rv32imf");
    options.target.overlays.clear();
    options.stochastic = true;
    options.name = "net";
    ASSERT_TRUE(write_folder(work_.path() / "net", emit(program, plan, options), true).ok());
    const auto saved = static_cast<std::uint32_t>(24 + program.state.bytes);
    bank_bytes_ = (saved + 12 + kPage - 1) / kPage * kPage;
    const std::string command = fmt::format(
        "ESPALIER_RISCV_GCC={} {}/sw/build.sh {} {} {}/power_loss/banks.c {}/net/net.c "
        "{}/net/net_params.c -I{}/net -I{}/power_loss -DPROGRAM=net '-DHEADER=\"net.h\"' "
        "-DSAVED={} "
        "-DINPUTS={} -DCLASSES={} -DSTEPS={} -DFLASH_BASE={:#x}u -DBANK_BYTES={}u "
        "-Wl,--defsym=ESPALIER_SRAM_SIZE={:#x}",
        espalier::testing::quick_compiler("riscv64-unknown-elf-gcc"), ESPALIER_HW, elf(),
        ESPALIER_POWER_LOSS_MAIN, ESPALIER_EXAMPLES, work_.path().string(), work_.path().string(),
        work_.path().string(), ESPALIER_EXAMPLES, saved, graph.tensor(graph.input).shape.elements(),
        graph.head.classes, kSteps, kFlash, bank_bytes_, kSramBytes);
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  [[nodiscard]] std::string elf() const { return (work_.path() / "power_loss.elf").string(); }

  // A system whose flash is as it may come from the factory.
  [[nodiscard]] hw::Simulator system() const {
    hw::SimulatorConfig config;
    config.sram_size = kSramBytes + kPage + 2 * bank_bytes_;
    hw::Simulator simulator(config);
    const std::string image = *read_file(elf());
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(image.data());
    EXPECT_EQ(simulator.load_elf({bytes, image.size()}), std::nullopt);
    std::vector<std::uint8_t> flash(kPage + 2 * bank_bytes_, 0x5A);
    std::fill(flash.begin(), flash.begin() + 8, std::uint8_t{0});
    EXPECT_TRUE(simulator.write_memory(kFlash, flash));
    return simulator;
  }

  // The power goes: SRAM comes back as anything, and so does what the flash was at.
  static void take_power(hw::Simulator& simulator, Rng& rng, Seen& seen) {
    const auto anything = [&rng] { return static_cast<std::uint8_t>(rng.below(256)); };
    std::array<std::uint8_t, 8> controller{};
    ASSERT_TRUE(simulator.read_memory(kFlash, controller));
    std::uint32_t what = 0;
    std::uint32_t where = 0;
    std::memcpy(&what, controller.data(), 4);
    std::memcpy(&where, controller.data() + 4, 4);
    std::vector<std::uint8_t> torn(what == kErasing ? kPage : 4);
    if (what == kIdle) {
      ++seen.other;
    } else {
      ++(what == kErasing ? seen.erasing : seen.writing);
      ASSERT_TRUE(simulator.read_memory(where, torn));
      for (std::uint8_t& byte : torn) {
        if (rng.chance(0.5)) byte = rng.chance(0.5) ? std::uint8_t{0xFF} : anything();
      }
      ASSERT_TRUE(simulator.write_memory(where, torn));
    }
    ASSERT_TRUE(simulator.write_memory(kFlash, std::array<std::uint8_t, 8>{}));
    std::vector<std::uint8_t> sram(kSramBytes);
    for (std::uint8_t& byte : sram) byte = anything();
    ASSERT_TRUE(simulator.write_memory(kSram, sram));
    simulator.reset(*simulator.symbol("_start"));
  }

  static bool idle(const hw::Simulator& simulator) {
    std::array<std::uint8_t, 4> what{};
    EXPECT_TRUE(simulator.read_memory(kFlash, what));
    return what == std::array<std::uint8_t, 4>{};
  }

  // What a run prints last, and how many cycles it took since its last reset.
  static std::string finish(hw::Simulator& simulator, std::uint64_t& cycles) {
    const hw::RunResult result = simulator.run(2'000'000'000);
    EXPECT_EQ(result.describe(), "exited with code 0") << simulator.console();
    cycles = result.cycles;
    const std::string& console = simulator.console();
    const std::size_t at = console.rfind("end ");
    return at == std::string::npos ? std::string() : console.substr(at);
  }

  [[nodiscard]] std::string uninterrupted(std::uint64_t& cycles) const {
    hw::Simulator simulator = system();
    return finish(simulator, cycles);
  }

  espalier::testing::TempFolder work_;
  std::uint32_t bank_bytes_ = 0;
};

TEST_F(CorePowerLoss, ResetsAtRandomCyclesEndInTheBitsOfAnUninterruptedRun) {
  std::uint64_t cycles = 0;
  const std::string expected = uninterrupted(cycles);
  ASSERT_GT(expected.size(), 100U);
  const std::uint64_t pair = cycles / (kSteps / 2);  // two steps and what saves them

  Rng rng{41};
  hw::Simulator simulator = system();
  Seen seen;
  for (int reset = 0; reset < kResets; ++reset) {
    // Long enough to load and save, now and then, and seldom twice. Flash is worked on for a small
    // part of the time: every second loss of power waits for that.
    std::uint64_t at = 1 + rng.below(2 * pair);
    hw::RunResult result = simulator.run(at);
    const std::uint64_t latest = at + 2 * pair;
    while (reset % 2 == 1 && idle(simulator) && at < latest &&
           result.outcome == hw::Outcome::kCycleLimit) {
      at += 1 + rng.below(500);
      result = simulator.run(at);
    }
    ASSERT_EQ(result.outcome, hw::Outcome::kCycleLimit)
        << result.describe() << " after " << reset << " resets";
    ASSERT_NO_FATAL_FAILURE(take_power(simulator, rng, seen));
  }
  EXPECT_EQ(finish(simulator, cycles), expected);
  EXPECT_GT(seen.other, 0);
  EXPECT_GT(seen.erasing + seen.writing, 0);
  if (kResets > 100) {
    EXPECT_GT(seen.erasing, 20);
    EXPECT_GT(seen.writing, 20);
  }
}

}  // namespace
}  // namespace espalier::codegen
