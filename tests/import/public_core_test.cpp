// Networks of other people on the simulated core, bit for bit as on the host.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <ostream>
#include <string>
#include <utility>

#include "espalier/compiler/compile.hpp"
#include "espalier/device/check.hpp"
#include "espalier/engine/emit_recorded.hpp"
#include "espalier/import/importer.hpp"
#include "espalier/plan/update_plan.hpp"
#include "espalier/support/folder.hpp"
#include "support/temp_folder.hpp"
#include "testing/npy.hpp"
#include "testing/test_name.hpp"

namespace espalier {
namespace {

struct OnCore {
  const char* file;
  bool full = false;  // otherwise the last three convolutions
};

std::ostream& operator<<(std::ostream& out, const OnCore& t) { return out << t.file; }

class PublicOnCore : public ::testing::TestWithParam<OnCore> {};

TEST_P(PublicOnCore, TrainsBitForBit) {
  ESPALIER_SHARED_DATA_OR_SKIP(path);
  const Result<ir::Graph> graph = import_model(path / GetParam().file);
  ASSERT_TRUE(graph.ok()) << graph.error().message();
  const plan::UpdatePlan plan =
      GetParam().full ? plan::full(*graph) : plan::last_k(*graph, 3).value();
  const Result<compiler::Program> program = compiler::compile(*graph, plan, {});
  ASSERT_TRUE(program.ok()) << program.error().message();
  const testing::TempFolder temporary;
  codegen::EmitOptions options;
  options.name = "model";
  options.target = codegen::target_named("rv32imf");
  ASSERT_TRUE(write_folder(temporary.path() / "c",
                           engine::emit_recorded(*program, plan, std::move(options)), true)
                  .ok());
  device::CheckOptions check;
  check.steps = 1;
  const Result<device::CheckReport> report = device::check(temporary.path() / "c", check);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_TRUE(device::verdict(*report).ok()) << device::verdict(*report).error().message();
  EXPECT_EQ(report->used_sram, report->promised_sram);
}

// A fully int8 file, one with maximum pools, one whose mean has a quantisation of its own, ResNet8.
INSTANTIATE_TEST_SUITE_P(Files, PublicOnCore,
                         ::testing::Values(OnCore{"models_public/kws_ref_model.tflite"},
                                           OnCore{"models_public/micro_kws_m.tflite", true},
                                           OnCore{"models_public/kws_ref_model.onnx"},
                                           OnCore{"mlperf_tiny/pretrainedResnet_quant.tflite"}),
                         [](const auto& tested) { return testing::test_name(tested.param.file); });

}  // namespace
}  // namespace espalier
