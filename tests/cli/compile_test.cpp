// espalier compile, planned memory and device numerics, from the command line.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "espalier/import/onnx_writer.hpp"
#include "espalier/support/file.hpp"
#include "import/onnx_builder.hpp"
#include "testing/quick_compiler.hpp"
#include "testing/random_graph.hpp"
#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::AllOf;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::Not;

class CompileTest : public Workspace {
 protected:
  CompileTest() {
    make_model();
    make_plan("plan.json", {"--last", "4"});
  }
};

TEST_F(CompileTest, WritesAFolderThatBuilds) {
  const Json report = this->report({"compile", "model.onnx", "--plan", "plan.json", "--out", "c"});
  EXPECT_EQ(report["schema"], "espalier.compile/1");
  EXPECT_EQ(report["sram_bytes"],
            report["arena_bytes"].get<int>() + report["state_bytes"].get<int>());
  const Json program = read_json("c/program.json");
  EXPECT_EQ(program["schema"], "espalier.program/1");
  EXPECT_EQ(program["sram_bytes"], report["sram_bytes"]);
  EXPECT_THAT(read("c/model.h"), HasSubstr("float model_train_step("));
  EXPECT_EQ(std::system(("make -s -C " + path("c").string()).c_str()), 0);
}

// What a picture of the arena is drawn from: nothing overlaps in place and time, and the highest
// end is the arena that was promised.
TEST_F(CompileTest, TellsWhereTheArenaHoldsWhat) {
  const Json report = this->report({"compile", "model.onnx", "--plan", "plan.json", "--out", "c"});
  EXPECT_EQ(report["plan_sha256"], read_json("c/program.json")["plan_sha256"]);
  const Json& arena = report["arena"];
  const int steps = static_cast<int>(arena["steps"].size());
  EXPECT_THAT(arena["backward_begin"].get<int>(), AllOf(Gt(0), Lt(steps)));
  const Json& values = arena["values"];
  ASSERT_GT(values.size(), 3U);
  int end = 0;
  const auto number = [](const Json& value, const char* key) { return value[key].get<int>(); };
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Json& a = values[i];
    EXPECT_LE(number(a, "first_step"), number(a, "last_step"));
    EXPECT_LT(number(a, "last_step"), steps);
    end = std::max(end, number(a, "offset") + number(a, "bytes"));
    for (std::size_t j = 0; j < i; ++j) {
      const Json& b = values[j];
      const bool together = number(a, "first_step") <= number(b, "last_step") &&
                            number(b, "first_step") <= number(a, "last_step");
      const bool overlap = number(a, "offset") < number(b, "offset") + number(b, "bytes") &&
                           number(b, "offset") < number(a, "offset") + number(a, "bytes");
      EXPECT_FALSE(together && overlap) << a << b;
    }
  }
  EXPECT_EQ((end + 3) / 4 * 4, report["arena_bytes"].get<int>());
}

TEST_F(CompileTest, DoesNotOverwriteWithoutForce) {
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c"});
  const Finished again = run({"compile", "model.onnx", "--plan", "plan.json", "--out", "c"});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, AllOf(HasSubstr("c: is not empty"), HasSubstr("--force")));
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c", "--force"});
}

TEST_F(CompileTest, KeepsSamplesToReplay) {
  const Arguments compile{"compile",   "model.onnx", "--plan", "plan.json",
                          "--classes", "4",          "--out",  "c"};
  const Finished said = succeed(compile + Arguments{"--replay", "10KiB", "--json", "compile.json"});
  const Json replay = read_json("c/program.json")["replay"];
  EXPECT_EQ(read_json("compile.json")["replay_bytes"], replay["bytes"]);
  EXPECT_THAT(said.out,
              HasSubstr(", and " + replay["bytes"].dump() + " of replay memory from the firmware"));
  EXPECT_GT(replay["samples"], 1);
  EXPECT_LE(replay["bytes"], 10240);
  EXPECT_GT(replay["bytes"].get<int>(), 10240 - 8 - replay["latent_bytes"].get<int>());
  EXPECT_THAT(read("c/model.h"), HasSubstr("float model_train_replay(void* replay);"));
  EXPECT_THAT(read("c/README.md"), HasSubstr("## Replay"));
  EXPECT_EQ(std::system(("make -s -C " + path("c").string() + " CC=" + quick_tool("cc")).c_str()),
            0);
  std::filesystem::remove_all(path("c"));
  fail(2, compile + Arguments{"--replay", "100"}, {"--replay: 100 bytes hold no sample"});
  fail(2, compile + Arguments{"--replay", "much"}, {"--replay"});
}

// The firmware has the replay memory in SRAM, beside what the program needs.
TEST_F(CompileTest, CountsTheMemoryOfReplay) {
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json", "--classes", "4"};
  const Json plain = report(compile);
  EXPECT_EQ(plain["replay_bytes"], 0);
  const int sram = plain["sram_bytes"];
  const auto device = [&](int bytes) {
    write("part.json", R"({"schema": "espalier.device/1", "name": "part", "isa": "rv32imc",
      "flash_bytes": 1000000, "clock_hz": 1000000, "sram_bytes": )" +
                           std::to_string(bytes) + "}");
  };
  const Arguments on_part{"--device", "part.json", "--stack", "1KiB", "--out", "c", "--force"};
  const Arguments replay{"--replay", "10KiB"};
  device(sram + 1024);
  succeed(compile + on_part);
  const Finished refused = run(compile + on_part + replay);
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(" replay memory (--replay), 1024 stack (--stack)"),
                                 HasSubstr("or replay fewer samples")));
  device(sram + 1024 + 10240);
  const Json fits = report(compile + on_part + replay);
  EXPECT_EQ(fits["sram_bytes"], sram);
  EXPECT_THAT(fits["replay_bytes"].get<int>(), AllOf(Gt(5120), Lt(10241)));
  const auto within = [&](int bytes) {
    return compile + replay + Arguments{"--out", "d", "--sram", std::to_string(bytes)};
  };
  fail(3, within(10240), {"--sram: of 10240 bytes --replay takes 10240 and leaves nothing"});
  fail(3, within(10240 + 16), {"the 10240 bytes of --replay taken off --sram"});
  EXPECT_TRUE(report(within(sram + 10240))["recomputed"].empty());
}

// Of an arena that the firmware gives, what a header promises has a pointer.
TEST_F(CompileTest, CountsThePointerToAnArena) {
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json", "--classes",
                          "4",       "--out",      "c",      "--force"};
  const Arguments given{"--arena", "extern"};
  const int own = report(compile)["sram_bytes"];
  EXPECT_EQ(report(compile + given)["sram_bytes"], own + 4);
  EXPECT_EQ(read_json("c/program.json")["sram_bytes"], own + 4);
  const auto on_part = [&](int bytes) {
    write("part.json", R"({"schema": "espalier.device/1", "name": "part", "isa": "rv32imc",
      "flash_bytes": 1000000, "clock_hz": 1000000, "sram_bytes": )" +
                           std::to_string(bytes) + "}");
    return compile + Arguments{"--device", "part.json", "--stack", "1KiB"};
  };
  succeed(on_part(own + 1024));
  const Finished tight = run(on_part(own + 1024) + given);
  EXPECT_EQ(tight.exit_code, 3);
  EXPECT_THAT(tight.err, HasSubstr("SRAM are 4 too few"));
  EXPECT_THAT(tight.err, HasSubstr("4 pointer to the arena"));
  succeed(on_part(own + 1024 + 4) + given);
  const Arguments within{"--sram", std::to_string(own)};
  EXPECT_TRUE(report(compile + within)["recomputed"].empty());
  // With a pointer parts run again, or nothing fits.
  const Finished shared = run(compile + within + given);
  if (shared.exit_code == 0) {
    EXPECT_LE(read_json("c/program.json")["sram_bytes"], own);
  } else {
    EXPECT_THAT(shared.err, HasSubstr("a pointer to the arena taken off --sram"));
  }
}

TEST_F(CompileTest, WritesPackages) {
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c", "--package", "zephyr"});
  EXPECT_THAT(read("c/zephyr/module.yml"), HasSubstr("name: model\n"));
  EXPECT_TRUE(std::filesystem::exists(path("c/model.c")));
  fail(2, {"compile", "model.onnx", "--plan", "plan.json", "--out", "d", "--package", "apk"},
       {"--package"});
}

TEST_F(CompileTest, HasFlashWrittenWhereChannelsTakeTurns) {
  const std::string notation =
      R"({"n_bias_update":4,"manual_weight_idx":[4,6],"weight_update_ratio":[0.5,0.25]})";
  succeed({"plan", "import", "model.onnx", "--published", notation, "--out", "part.json"});
  succeed({"plan", "rotate", "part.json", "--model", "model.onnx", "--out", "turns.json"});
  const Arguments compile{"compile",   "model.onnx", "--plan", "turns.json",
                          "--classes", "4",          "--out",  "c"};
  const Json report = this->report(compile);
  EXPECT_GT(report["turn_bytes"], 0);
  EXPECT_LT(report["turn_bytes"], report["parameter_bytes"]);
  EXPECT_EQ(read_json("c/program.json")["turns"],
            (Json{{"convs", 2}, {"bytes", report["turn_bytes"]}}));
  EXPECT_THAT(read("c/model.h"), HasSubstr("int32_t model_next_turn("));
  EXPECT_THAT(read("c/README.md"), HasSubstr("## Channels that take turns"));
  EXPECT_EQ(std::system(("make -s -C " + path("c").string() + " CC=" + quick_tool("cc")).c_str()),
            0);
  std::filesystem::remove_all(path("c"));
  fail(2, compile + Arguments{"--package", "zephyr"},
       {"--package: the channels of turns.json take turns"});
  EXPECT_FALSE(std::filesystem::exists(path("c")));
}

TEST_F(CompileTest, MakesInputsOfPixels) {
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json",   "--classes",
                          "4",       "--out",      "c",      "--preprocess"};
  succeed(compile + Arguments{"auto"});
  EXPECT_THAT(read("c/model.h"), HasSubstr("int32_t model_rgb_row(int32_t row,"));
  EXPECT_EQ(std::system(("make -s -C " + path("c").string() + " CC=" + quick_tool("cc")).c_str()),
            0);
  std::filesystem::remove_all(path("c"));
  fail(2, compile + Arguments{"crop=5"}, {"crop=5 gives 5x5 pixels"});
  fail(2, compile + Arguments{"mean=1"}, {"mean has 1 values and std 0"});
  fail(66, compile + Arguments{"lut=nowhere"}, {"nowhere"});
}

TEST_F(CompileTest, NamesTheProgram) {
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c", "--name", "kitchen_2"});
  EXPECT_THAT(read("c/kitchen_2.h"), HasSubstr("float kitchen_2_train_step("));
  EXPECT_EQ(read_json("c/program.json")["name"], "kitchen_2");
  const Finished refused =
      run({"compile", "model.onnx", "--plan", "plan.json", "--out", "d", "--name", "esp"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--name: 'esp' cannot be the name"));
  EXPECT_FALSE(std::filesystem::exists(path("d")));
}

TEST_F(CompileTest, RefusesADeviceThatIsTooSmall) {
  write("small.json", R"({"schema": "espalier.device/1", "name": "small", "description": "tiny",
    "isa": "rv32imc", "sram_bytes": 6000, "flash_bytes": 1000, "clock_hz": 1000000})");
  const Json report = this->report({"compile", "model.onnx", "--plan", "plan.json"});
  const Finished refused = run({"compile", "model.onnx", "--plan", "plan.json", "--out", "c",
                                "--device", "small.json", "--stack", "1KiB"});
  EXPECT_EQ(refused.exit_code, 3);
  const int excess = report["sram_bytes"].get<int>() + 1024 - 6000;
  ASSERT_GT(excess, 0);
  EXPECT_THAT(refused.err,
              HasSubstr("small: 6000 bytes of SRAM are " + std::to_string(excess) + " too few"));
  EXPECT_THAT(refused.err, HasSubstr("the arena's peak is at step"));
  EXPECT_THAT(refused.err, HasSubstr("1000 bytes of flash are"));
  EXPECT_FALSE(std::filesystem::exists(path("c")));
  write("large.json", R"({"schema": "espalier.device/1", "name": "large", "description": "ample",
    "isa": "rv32imc", "sram_bytes": 262144, "flash_bytes": 1000000, "clock_hz": 1000000})");
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c", "--device", "large.json"});
  // One that does not run what the target makes.
  const Arguments compile{"compile",   "model.onnx", "--plan", "plan.json",
                          "--classes", "4",          "--out",  "new"};
  const auto refuses = [&](const char* device, const char* target) {
    fail(3, compile + Arguments{"--device", device, "--target", target},
         {std::string("--target ") + target + ": "});
  };
  refuses("nano33ble", "rv32imf");
  refuses("esp32-c3", "cortex-m4f");
  refuses("esp32-c3", "rv32imf");
  refuses("rp2040", "cortex-m4f");
  refuses("nano33ble", "cortex-m7");  // whose float unit has instructions that an M4 has not
  const auto with_isa = [&](const char* file, const std::string& isa) {
    write(file, R"({"schema": "espalier.device/1", "name": "part", "sram_bytes": 262144,
      "flash_bytes": 1000000, "clock_hz": 1000000, "isa": ")" +
                    isa + "\"}");
  };
  with_isa("scalar.json", "armv8.1-m.main+fp");
  with_isa("vectors.json", "armv8.1-m.main+mve.fp+fp.dp");
  refuses("scalar.json", "cortex-m55");
  for (const auto& [device, target] : {std::pair{"esp32-c3", "rv32im"},
                                       {"vectors.json", "cortex-m55"},
                                       {"nano33ble", "cortex-m4f"},
                                       {"stm32f746", "cortex-m7"},
                                       {"stm32f746", "cortex-m4f"},
                                       {"stm32h743", "cortex-m7"},
                                       {"rp2040", "host"},
                                       {"espalier-core", "rv32imf+pm4adda.b"}}) {
    this->report(
        {"compile", "model.onnx", "--plan", "plan.json", "--device", device, "--target", target});
  }
}

TEST_F(CompileTest, TrainsBeforeAMaxPool) {
  GraphBuilder b(1, {8, 8, 3});
  ir::TensorId x = b.conv(b.input(), 4, window(3, 1, 1));
  x = b.max_pool(x, window(2, 2, 0));
  x = b.conv(x, 4, window(3, 1, 1));
  const ir::Graph graph = b.finish(b.global_pool(x), 3);
  ASSERT_TRUE(export_onnx(graph, path("pool.onnx")).ok());
  succeed({"plan", "make", "pool.onnx", "--full", "--out", "full.json"});
  succeed({"compile", "pool.onnx", "--plan", "full.json", "--out", "c"});
  EXPECT_THAT(read("c/pool.c"), HasSubstr("esp_max_pool_gradient("));
}

// Two units of ShuffleNetV2, as PyTorch writes them: half of the channels pass, the others are
// convolved, and the halves are shuffled.
OnnxBuilder shuffle_network() {
  OnnxBuilder b;
  int made = 0;
  const auto conv = [&](const std::string& x, std::int64_t in, std::int64_t out,
                        std::int64_t kernel, std::int64_t groups) {
    const std::string name = "c" + std::to_string(made++);
    const std::int64_t each = kernel * kernel * in / groups;
    auto& node = b.node("Conv",
                        {x, b.weights(name + "_w", {out, in / groups, kernel, kernel},
                                      ramp<std::int8_t>(out * each, -60, 67), {0.01F})},
                        name);
    set_attribute(node, "group", groups);
    set_attribute(node, "pads", Dims(4, kernel / 2));
    return b.quantized(name, name, 0.03F, -20);
  };
  std::string x = b.quantized(b.input("input", {0, 3, 4, 4}), "input", 1.0F / 128, 0);
  x = conv(x, 3, 8, 3, 1);
  for (int unit = 0; unit < 2; ++unit) {
    const std::string name = "u" + std::to_string(unit);
    auto& split = b.node("Split", {x}, name + "_kept");
    set_attribute(split, "axis", std::int64_t{1});
    split.add_output(name + "_other");
    const std::string kept = b.quantized(name + "_kept", name + "_kept", 0.03F, -20);
    std::string y = b.quantized(name + "_other", name + "_other", 0.03F, -20);
    y = conv(conv(conv(y, 4, 4, 1, 1), 4, 4, 3, 4), 4, 4, 1, 1);
    set_attribute(b.node("Concat", {kept, y}, name + "_joined"), "axis", std::int64_t{1});
    b.node("Reshape",
           {b.quantized(name + "_joined", name + "_joined", 0.03F, -20),
            b.constant<std::int64_t>(name + "_to5", {5}, {0, 2, 4, 4, 4})},
           name + "_apart");
    set_attribute(b.node("Transpose", {name + "_apart"}, name + "_turned"), "perm",
                  Dims{0, 2, 1, 3, 4});
    b.node("Reshape",
           {name + "_turned", b.constant<std::int64_t>(name + "_to4", {4}, {0, -1, 4, 4})},
           name + "_shuffled");
    x = b.quantized(name + "_shuffled", name + "_shuffled", 0.03F, -20);
  }
  b.node("GlobalAveragePool", {x}, "pool");
  b.classifier(b.quantized("pool", "pool", 0.03F, -20), 8, 4);
  return b;
}

TEST_F(CompileTest, TrainsANetworkThatShuffles) {
  write("shuffle.onnx", shuffle_network().bytes());
  succeed({"inspect", "shuffle.onnx"});
  make_idx("train", 24);
  succeed({"plan", "make", "shuffle.onnx", "--full", "--out", "full.json"});
  for (const char* numerics : {"device", "integer"}) {
    const Json trained = report(
        {"train", "shuffle.onnx", "--plan", "full.json", "--train", "idx:train-images,train-labels",
         "--test", "idx:train-images,train-labels", "--epochs", "1", "--numerics", numerics});
    EXPECT_TRUE(trained["test_loss"].is_number());
    succeed({"compile", "shuffle.onnx", "--plan", "full.json", "--numerics", numerics, "--target",
             "rv32imf", "--kernels", "plain", "--out", "c", "--force"});
    EXPECT_THAT(read("c/shuffle.c"),
                AllOf(HasSubstr("esp_save_channels("), HasSubstr("esp_spread_gradients")));
  }
  succeed({"check", "c", "--steps", "1", "--no-nodes", "--host-cc", quick_tool("cc"), "--target-cc",
           quick_tool("riscv64-unknown-elf-gcc")});
}

TEST_F(CompileTest, ShowsItsWork) {
  const std::string ir =
      succeed({"compile", "model.onnx", "--plan", "plan.json", "--emit-ir", "-"}).out;
  EXPECT_THAT(ir, AllOf(HasSubstr("training_graph \"model\""), HasSubstr("backward:")));
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--dump-passes", "dump", "--trace",
           "trace.json", "--problem", "problem.csv"});
  EXPECT_THAT(read("dump/00-differentiate.txt"), HasSubstr("apply.weights"));
  EXPECT_THAT(read("dump/03-reorder.txt"), HasSubstr(") apply"));
  EXPECT_GT(read_json("trace.json")["traceEvents"].size(), 10U);
  EXPECT_THAT(read("problem.csv"), HasSubstr("lower,upper,size"));

  const int all = report({"compile", "model.onnx", "--plan", "plan.json"})["sram_bytes"];
  const int less = report({"compile", "model.onnx", "--plan", "plan.json", "--disable-pass",
                           "reorder", "--disable-pass", "in-place"})["sram_bytes"];
  EXPECT_GT(less, all);
  EXPECT_EQ(run({"compile", "model.onnx", "--plan", "plan.json", "--disable-pass", "magic",
                 "--emit-ir", "-"})
                .exit_code,
            2);
  EXPECT_EQ(run({"compile", "model.onnx", "--plan", "plan.json"}).exit_code, 2);
}

TEST_F(CompileTest, ClassesAndHead) {
  const int four = report({"compile", "model.onnx", "--plan", "plan.json"})["state_bytes"];
  const int ten =
      report({"compile", "model.onnx", "--plan", "plan.json", "--classes", "10"})["state_bytes"];
  EXPECT_EQ(ten - four, 6 * (40 + 1 + 1) * 4);
  const Finished refused = run({"compile", "model.onnx", "--plan", "plan.json", "--classes", "10",
                                "--head", "keep", "--out", "c"});
  EXPECT_EQ(refused.exit_code, 2);
}

TEST_F(CompileTest, PlanShowPutsBothModelsSideBySide) {
  const Json shown = report({"plan", "show", "plan.json", "--model", "model.onnx"});
  const Json compiled = report({"compile", "model.onnx", "--plan", "plan.json"});
  EXPECT_EQ(shown["planned"]["planned_bytes"], compiled["sram_bytes"]);
  EXPECT_GT(shown["planned"]["full_update_bytes"], shown["planned"]["pruned_bytes"]);
  EXPECT_GT(shown["planned"]["pruned_bytes"], shown["planned"]["planned_bytes"]);
  EXPECT_THAT(shown["analytic_bytes"].get<int>(), AllOf(Gt(0), Lt(1000000)));
}

TEST_F(CompileTest, SearchUnderPlannedMemoryKeepsItsPromise) {
  make_idx("train", 60);
  make_profile();
  const Json least = report({"compile", "model.onnx", "--plan", "plan.json"});
  const int budget = least["sram_bytes"].get<int>();
  const Json found = report({"search", "profile.json", "--model", "model.onnx", "--memory",
                             "planned", "--budget", std::to_string(budget), "--out", "found.json"});
  EXPECT_LE(found["memory_bytes"], budget);
  ASSERT_TRUE(found["bound"].is_number());
  EXPECT_LE(found["objective"].get<double>(), found["bound"].get<double>() + 1e-12);
  const Json compiled = report({"compile", "model.onnx", "--plan", "found.json"});
  EXPECT_EQ(compiled["sram_bytes"], found["memory_bytes"]);
  EXPECT_EQ(read_json("found.json")["memory_bytes"]["planned"], found["memory_bytes"]);
  EXPECT_EQ(run({"search", "profile.json", "--model", "model.onnx", "--memory", "planned",
                 "--solver", "exact", "--budget", "1MB"})
                .exit_code,
            2);
}

TEST_F(CompileTest, SearchBoundsCycles) {
  make_idx("train", 60);
  make_profile();
  const Arguments search{"search", "profile.json", "--model", "model.onnx", "--budget", "1MB"};
  const Arguments target{"--target", "rv32imf+pm4adda.b"};
  const auto bounded = [&](const std::string& cycles) {
    return report(search + target + Arguments{"--max-cycles", cycles});
  };
  const Json free = bounded("1000000000000");
  EXPECT_EQ(free["max_step_cycles"], 1000000000000);
  const auto most = free["step_cycles"].get<std::int64_t>();
  EXPECT_EQ(bounded(std::to_string(most))["objective"], free["objective"]);
  const Json less = bounded(std::to_string(most - 1));
  EXPECT_LT(less["step_cycles"], most);
  EXPECT_EQ(report(search)["step_cycles"], nullptr);
  fail(2, search + Arguments{"--max-cycles", "1000"}, {"name it with --target"});
  fail(2, search + target + Arguments{"--max-cycles", "1000", "--solver", "exact"}, {"additive"});
  const Json device =
      report({"search", "profile.json", "--model", "model.onnx", "--memory", "planned", "--device",
              "espalier-core", "--max-cycles", "1000000000000"});
  EXPECT_TRUE(device["step_cycles"].is_number());
}

TEST_F(CompileTest, TrainsInDeviceNumerics) {
  make_idx("train", 60);
  make_idx("test", 20);
  const Arguments train{"train",      "model.onnx",
                        "--plan",     "plan.json",
                        "--train",    "idx:train-images,train-labels",
                        "--test",     "idx:test-images,test-labels",
                        "--epochs",   "2",
                        "--numerics", "device"};
  fail(2, train + Arguments{"--accumulate", "121"}, {"--accumulate 121: 60 samples in 2 epochs"});
  const Json one = report(train);
  succeed({"compile", "model.onnx", "--plan", "plan.json", "--out", "c"});
  EXPECT_EQ(one["plan"]["sha256"], read_json("c/program.json")["plan_sha256"]);
  EXPECT_EQ(one["plan"]["updates"].size(), one["plan"]["weights"].get<std::size_t>());
  EXPECT_EQ(one["numerics"], "device");
  EXPECT_EQ(one["recipe"]["batch"], 1);
  EXPECT_FALSE(one.contains("gradients"));
  EXPECT_TRUE(one["test_accuracy"].is_number());
  // Whatever --jobs and the memory for the prefix.
  Json again = report(train + Arguments{"--jobs", "2", "--cache-limit", "1"});
  again["images_per_second"] = one["images_per_second"];
  EXPECT_LT(again["host_memory"]["prefix_bytes"].get<int>(),
            one["host_memory"]["prefix_bytes"].get<int>());
  again["host_memory"] = one["host_memory"];
  EXPECT_EQ(again, one);
  const Json rounded = report(train + Arguments{"--rounding", "nearest", "--accumulate", "4"});
  EXPECT_NE(rounded["test_loss"], one["test_loss"]);
  EXPECT_EQ(run(train + Arguments{"--no-qas"}).exit_code, 2);
  EXPECT_EQ(run({"train", "model.onnx", "--plan", "plan.json", "--train", "idx:a,b", "--test",
                 "idx:a,b", "--accumulate", "4"})
                .exit_code,
            2);
}

// What is searched in some numerics is measured and planned in them.
TEST_F(CompileTest, AnalysesAndSearchesInTheNumericsThatShip) {
  make_idx("train", 60);
  make_idx("test", 20);
  const Arguments analyze{"analyze",  "model.onnx", "--train", "idx:train-images,train-labels",
                          "--epochs", "1",          "--batch", "2",
                          "--ratios", "1"};
  std::set<std::string> baselines;
  for (const char* numerics : {"simulation", "device", "integer"}) {
    succeed(analyze + Arguments{"--numerics", numerics, "--out", "contributions.json"});
    const Json profile = read_json("contributions.json");
    EXPECT_EQ(profile.value("numerics", "simulation"), numerics);
    baselines.insert(profile["weight"].dump());
    const Json found = report({"search", "contributions.json", "--model", "model.onnx", "--memory",
                               "planned", "--budget", "1MB"});
    EXPECT_EQ(found["numerics"], numerics);
    const Json measured =
        report({"search", "contributions.json", "--model", "model.onnx", "--budget", "1MB",
                "--measure", "6", "--train", "idx:train-images,train-labels", "--store", "trials"});
    EXPECT_EQ(measured["numerics"], numerics);
  }
  EXPECT_EQ(baselines.size(), 3U);
  std::string inputs;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path("trials"))) {
    if (entry.is_regular_file()) inputs += *read_file(entry.path());
  }
  for (const char* numerics : {"simulation", "device", "integer"}) {
    EXPECT_NE(inputs.find('"' + std::string(numerics) + '"'), std::string::npos) << numerics;
  }
}

TEST_F(CompileTest, TrainsInIntegerNumerics) {
  make_idx("train", 60);
  make_idx("test", 20);
  const Arguments train{"train",      "model.onnx",
                        "--plan",     "plan.json",
                        "--train",    "idx:train-images,train-labels",
                        "--test",     "idx:test-images,test-labels",
                        "--epochs",   "2",
                        "--numerics", "integer"};
  const Json eight = report(train);
  EXPECT_EQ(eight["numerics"], "integer");
  EXPECT_EQ(eight["gradient_bits"], 8);
  EXPECT_TRUE(eight["test_accuracy"].is_number());
  ASSERT_FALSE(eight["gradients"].empty());
  for (const Json& conv : eight["gradients"]) {
    EXPECT_GT(conv["elements"], 0);
    EXPECT_LT(conv["saturated"], 1);
    EXPECT_LT(conv["zero"], 1);
  }
  const Json sixteen = report(train + Arguments{"--gradient-bits", "16", "--store", "trials"});
  EXPECT_EQ(sixteen["gradient_bits"], 16);
  EXPECT_NE(sixteen["test_loss"], eight["test_loss"]);
  // Trials of other bits are others.
  EXPECT_EQ(report(train + Arguments{"--store", "trials"})["test_loss"], eight["test_loss"]);
  // Exponents start from the data, when there is some.
  const Arguments compile{"compile", "model.onnx", "--plan", "plan.json", "--numerics",
                          "integer", "--out",      "c",      "--force"};
  const Arguments on_data{"--train", "idx:train-images,train-labels"};
  std::vector<std::string> constants;
  for (const Arguments& data : {Arguments{}, on_data, on_data}) {
    succeed(compile + data);
    const std::string name = read_json("c/program.json")["name"];
    constants.push_back(read("c/" + name + "_params.c"));
  }
  EXPECT_TRUE(constants[0] != constants[1]);
  EXPECT_TRUE(constants[1] == constants[2]);
  EXPECT_EQ(run(compile + on_data + Arguments{"--classes", "2"}).exit_code, 2);
  EXPECT_EQ(run(compile + Arguments{"--train", "idx:none,none"}).exit_code, 66);
  for (const char* bits : {"8", "16"}) {
    succeed({"compile", "model.onnx", "--plan", "plan.json", "--numerics", "integer",
             "--gradient-bits", bits, "--out", "c", "--json", "compile.json", "--force"});
    EXPECT_EQ(read_json("compile.json")["numerics"], "integer");
    EXPECT_EQ(read_json("c/program.json")["gradients"], std::string("i") + bits);
    EXPECT_EQ(read_json("c/program.json")["sram_bytes"],
              report(train + Arguments{"--gradient-bits", bits})["sram_bytes"]);
  }
}

// Where integer gradients start follows the data as it is preprocessed, with functions for pixels
// only where they are asked for.
TEST_F(CompileTest, PreprocessesTheDataThatGradientsStartFrom) {
  make_idx("train", 60);
  const Arguments compile{"compile",    "model.onnx", "--plan",  "plan.json", "--classes", "4",
                          "--numerics", "integer",    "--force", "--out",     "c"};
  const Arguments data{"--train", "idx:train-images,train-labels"};
  succeed(compile);
  const std::string random = read("c/model_params.c");
  succeed(compile + data + Arguments{"--train-preprocess", "mean=0.5,std=0.5"});
  EXPECT_TRUE(read("c/model_params.c") != random);
  EXPECT_THAT(read("c/model.h"), Not(HasSubstr("model_rgb_row(")));
  const Json recorded = read_json("c/program.json")["recorded"];
  succeed(compile + data + Arguments{"--preprocess", "mean=0.5,std=0.5"});
  EXPECT_THAT(read("c/model.h"), HasSubstr("model_rgb_row("));
  EXPECT_EQ(read_json("c/program.json")["recorded"], recorded);
  // Pixels of a camera may be others than those of the data.
  succeed(compile + data +
          Arguments{"--preprocess", "identity", "--train-preprocess", "mean=0.5,std=0.5"});
  EXPECT_EQ(read_json("c/program.json")["recorded"], recorded);
  std::filesystem::remove_all(path("c"));
  fail(66, compile + data + Arguments{"--train-preprocess", "lut=nowhere"}, {"nowhere"});
  fail(2, compile + data + Arguments{"--train-preprocess", "sharpen"}, {"sharpen"});
}

}  // namespace
}  // namespace espalier::testing
