// The example that keeps what was learned in two banks of flash, with the power cut at any moment.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

extern "C" {
#include "examples/power_loss/banks.h"
}
#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/support/rng.hpp"
#include "testing/random_graph.hpp"

namespace espalier::codegen {
namespace {

using testing::EmittedProgram;

// Two banks. When the power goes in the middle of a call, a random part of that call has happened,
// the byte at its end holds anything, and nothing that comes later happens.
class Flash {
 public:
  Flash(std::size_t bytes, Rng& rng) : rng_(rng) {
    for (auto& bank : banks_) bank.assign(bytes, 0x5A);  // as it may come from the factory
    interface_ = {this, erase, write, contents};
  }
  [[nodiscard]] const banks_flash* interface() const { return &interface_; }
  /// The power goes in the call after so many; -1: it does not.
  void cut_after(int calls) { calls_left_ = calls; }
  [[nodiscard]] bool dark() const { return dark_; }
  void light() { dark_ = false; }

 private:
  static Flash& self(void* context) { return *static_cast<Flash*>(context); }
  static void erase(void* context, std::int32_t bank) {
    Flash& flash = self(context);
    auto& bytes = flash.banks_[static_cast<std::size_t>(bank)];
    const std::size_t count = flash.happens(bytes.size());
    for (std::size_t i = 0; i < count; ++i) bytes[i] = 0xFF;
    flash.tear(bytes, count);
  }
  static void write(void* context, std::int32_t bank, std::uint32_t offset, const void* data,
                    std::uint32_t size) {
    Flash& flash = self(context);
    auto& bytes = flash.banks_[static_cast<std::size_t>(bank)];
    ASSERT_LE(offset + size, bytes.size());
    const std::size_t count = flash.happens(size);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(bytes[offset + i], 0xFF) << "written without an erase";
      bytes[offset + i] = static_cast<const std::uint8_t*>(data)[i];
    }
    if (count < size) flash.tear(bytes, offset + count);
  }
  static const std::uint8_t* contents(void* context, std::int32_t bank) {
    return self(context).banks_[static_cast<std::size_t>(bank)].data();
  }

  // How much of a call of so many bytes happens.
  std::size_t happens(std::size_t bytes) {
    if (dark_) return 0;
    if (calls_left_ < 0 || calls_left_-- > 0) return bytes;
    dark_ = true;
    torn_ = true;
    return static_cast<std::size_t>(rng_.below(bytes + 1));
  }
  void tear(std::vector<std::uint8_t>& bytes, std::size_t at) {
    if (torn_ && at < bytes.size()) bytes[at] = static_cast<std::uint8_t>(rng_.below(256));
    torn_ = false;
  }

  Rng& rng_;
  std::array<std::vector<std::uint8_t>, 2> banks_;
  banks_flash interface_{};
  int calls_left_ = -1;
  bool dark_ = false;
  bool torn_ = false;
};

// The functions that C calls have no room for the program.
const EmittedProgram* g_program = nullptr;
std::size_t g_bytes = 0;
std::int32_t load(const void* saved) {
  return g_program->load({static_cast<const std::byte*>(saved), g_bytes});
}

std::vector<std::byte> run(const EmittedProgram& program, const ir::Graph& graph, int samples,
                           std::size_t saved_bytes, int resets) {
  Rng rng{31, static_cast<std::uint64_t>(resets)};
  Flash flash(saved_bytes + BANKS_TRAILER_BYTES, rng);
  g_program = &program;
  g_bytes = saved_bytes;
  int cuts = 0;
  std::uint32_t whole = 0;  // samples in the last copy that was written to its end
  for (;;) {
    // What SRAM holds after a reset is anything.
    for (std::byte& b : program.state(static_cast<std::int64_t>(saved_bytes) - 24)) {
      b = std::byte{static_cast<unsigned char>(rng.below(256))};
    }
    flash.light();
    const bool last = cuts == resets;
    flash.cut_after(last ? -1 : static_cast<int>(rng.below(5)));
    std::uint32_t done = 0;
    if (banks_load(flash.interface(), load, static_cast<std::uint32_t>(saved_bytes), &done) != 0) {
      program.reset();
      done = 0;
    }
    EXPECT_GE(done, whole) << "a copy was lost";
    while (static_cast<int>(done) < samples && !flash.dark()) {
      Rng sample{32, done};
      std::vector<std::int8_t> input(
          static_cast<std::size_t>(graph.tensor(graph.input).shape.elements()));
      for (std::int8_t& x : input) x = static_cast<std::int8_t>(sample.below(256));
      EXPECT_GE(program.train_step(input, static_cast<int>(done) % graph.head.classes), 0);
      ++done;
      if (done % 2 != 0 || resets == 0) continue;
      const std::vector<std::byte> saved = program.save(static_cast<std::int64_t>(saved_bytes));
      banks_save(flash.interface(), saved.data(), static_cast<std::uint32_t>(saved_bytes), done);
      if (!flash.dark()) whole = done;
    }
    if (last) break;
    ++cuts;
  }
  return program.save(static_cast<std::int64_t>(saved_bytes));
}

TEST(PowerLoss, AThousandResetsEndInTheBitsOfAnUninterruptedRun) {
  const ir::Graph graph = testing::small_network(5, 4, 4);
  const plan::UpdatePlan plan = plan::full(graph);
  compiler::CompileOptions compile;
  compile.accumulate = 3;
  const compiler::Program program = *compiler::compile(graph, plan, compile);
  EmitOptions options;
  options.stochastic = true;
  const EmittedProgram emitted(emit(program, plan, options), identifier(graph.name), "-Og");
  const auto bytes = static_cast<std::size_t>(24 + program.state.bytes);
  const int samples = 900;
  EXPECT_EQ(run(emitted, graph, samples, bytes, 1000), run(emitted, graph, samples, bytes, 0));
}

}  // namespace
}  // namespace espalier::codegen
