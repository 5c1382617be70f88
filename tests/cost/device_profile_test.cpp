#include "espalier/cost/device_profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

namespace espalier::cost {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kDevices = std::filesystem::path(ESPALIER_PROFILES) / "devices";

TEST(DeviceProfile, ShippedProfilesLoadUnderTheirOwnNames) {
  int profiles = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kDevices)) {
    if (entry.path().extension() != ".json") continue;
    const Result<DeviceProfile> device = load_device(entry.path());
    ASSERT_TRUE(device.ok()) << device.error().message();
    EXPECT_EQ(device->name, entry.path().stem().string());
    EXPECT_FALSE(device->description.empty());
    EXPECT_EQ(device_from_json(to_json(*device)).value(), *device);
    ++profiles;
  }
  EXPECT_GE(profiles, 3);
}

TEST(DeviceProfile, FiguresOfTheShippedParts) {
  const DeviceProfile stm32 = load_device(kDevices / "stm32f746.json").value();
  EXPECT_EQ(stm32.sram, Bytes{320 * 1024});
  EXPECT_EQ(stm32.flash, Bytes{1024 * 1024});
  EXPECT_EQ(stm32.clock_hz, 216'000'000);
  const DeviceProfile esp32 = load_device(kDevices / "esp32-c3.json").value();
  EXPECT_EQ(esp32.isa, "rv32imc");
  EXPECT_EQ(esp32.sram, Bytes{384 * 1024});
  EXPECT_EQ(esp32.sram_base, 0x3FC80000U);
  const DeviceProfile core = load_device(kDevices / "espalier-core.json").value();
  EXPECT_EQ(core.sram, Bytes{256 * 1024});
  EXPECT_EQ(core.sram_base, 0x20000000U);
  EXPECT_EQ(core.flash_base, 0x08000000U);
}

// What counts as SRAM is the longest stretch of regions without a gap.
TEST(DeviceProfile, SramIsTheLongestStretchOfRegions) {
  for (const DeviceProfile& device : shipped_devices()) {
    if (device.sram_regions.empty()) continue;
    SCOPED_TRACE(device.name);
    EXPECT_FALSE(device.source.empty());
    std::vector<MemoryRegion> regions = device.sram_regions;
    std::ranges::sort(regions, {}, &MemoryRegion::base);
    std::int64_t longest = 0;
    std::uint32_t longest_base = 0;
    std::int64_t stretch = 0;
    std::uint32_t base = 0;
    for (std::size_t i = 0; i < regions.size(); ++i) {
      const bool follows = i > 0 && regions[i - 1].base + regions[i - 1].bytes.count ==
                                        static_cast<std::int64_t>(regions[i].base);
      if (!follows) {
        stretch = 0;
        base = regions[i].base;
      }
      stretch += regions[i].bytes.count;
      if (stretch > longest) {
        longest = stretch;
        longest_base = base;
      }
    }
    EXPECT_EQ(device.sram.count, longest);
    EXPECT_EQ(device.sram_base, longest_base);
  }
}

TEST(DeviceProfile, ProgramAndFolderHoldTheSameProfiles) {
  for (const DeviceProfile& device : shipped_devices()) {
    EXPECT_EQ(device, load_device(kDevices / (device.name + ".json")).value());
  }
  const auto files = std::filesystem::directory_iterator(kDevices);
  EXPECT_EQ(shipped_devices().size(), std::distance(begin(files), end(files)));
  EXPECT_EQ(espalier_core().name, "espalier-core");
}

TEST(DeviceProfile, ExtensionsOfItsInstructionSet) {
  const auto has = [](const char* isa, const char* extension) {
    DeviceProfile device;
    device.isa = isa;
    return device.has_extension(extension);
  };
  EXPECT_TRUE(has("rv32imf", "f"));
  EXPECT_TRUE(has("rv32imafdc", "m"));
  EXPECT_TRUE(has("rv32id", "f"));
  EXPECT_TRUE(has("rv32gc", "f"));
  EXPECT_TRUE(has("rv32imf+pm4adda.b", "pm4adda.b"));
  EXPECT_TRUE(has("rv32imf_zicsr+pm4adda.b", "pm4adda.b"));
  EXPECT_FALSE(has("rv32imf+pm4adda.b", "pm4adda"));
  EXPECT_TRUE(has("rv32imf+pm4adda.b+lwdota.b", "pm4adda.b"));
  EXPECT_TRUE(has("rv32imf+pm4adda.b+lwdota.b", "lwdota.b"));
  EXPECT_FALSE(has("rv32imf+pm4adda.b", "lwdota.b"));
  EXPECT_FALSE(has("rv32imc", "f"));
  EXPECT_FALSE(has("rv32im_zfinx", "f"));
  EXPECT_FALSE(has("rv32im+fast", "f"));
  EXPECT_FALSE(has("rv32gc", "v"));
  EXPECT_FALSE(has("rv64imf", "f"));
  EXPECT_FALSE(has("armv7e-m+fp", "m"));
}

TEST(DeviceProfile, AreFoundByNameOrFile) {
  for (const DeviceProfile& shipped : shipped_devices()) {
    EXPECT_EQ(*find_device(shipped.name), shipped);
    EXPECT_EQ(*find_device((kDevices / (shipped.name + ".json")).string()), shipped);
  }
  const Result<DeviceProfile> unknown = find_device("stm32");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(unknown.error().message(),
              HasSubstr("name one of esp32-c3, esp32-s3, espalier-core"));
  EXPECT_THAT(find_device("stm32f747").error().message(), HasSubstr("did you mean 'stm32f746'?"));
  EXPECT_EQ(find_device("nowhere.json").error().kind, ErrorKind::kMissingInput);
}

struct Damage {
  std::string name;
  std::function<void(Json&)> apply;
  std::string complaint;
};

class DamagedProfile : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedProfile, IsRejected) {
  Json document = to_json(load_device(kDevices / "espalier-core.json").value());
  GetParam().apply(document);
  const Result<DeviceProfile> device = device_from_json(document, "d.json");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().kind, ErrorKind::kBadInput);
  EXPECT_THAT(device.error().message(), HasSubstr("d.json: " + GetParam().complaint));
}

const Damage kDamages[] = {
    {"NotAnObject", [](Json& j) { j = 3; }, "'name' must be"},
    {"Schema", [](Json& j) { j["schema"] = "x"; }, "'schema' must be"},
    {"NoName", [](Json& j) { j.erase("name"); }, "'name' must be"},
    {"NameOfAnotherFolder", [](Json& j) { j["name"] = "../../part"; },
     "'name' must hold neither /"},
    {"NameOfTwoLines", [](Json& j) { j["name"] = "a\nb"; }, "'name' must hold neither /"},
    {"EmptyName", [](Json& j) { j["name"] = ""; }, "'name' must be"},
    {"IsaNumber", [](Json& j) { j["isa"] = 32; }, "'isa' must be"},
    {"NoSram", [](Json& j) { j.erase("sram_bytes"); }, "'sram_bytes' must be"},
    {"SramZero", [](Json& j) { j["sram_bytes"] = 0; }, "'sram_bytes' must be"},
    {"FlashNegative", [](Json& j) { j["flash_bytes"] = -1; }, "'flash_bytes' must be"},
    {"FlashText", [](Json& j) { j["flash_bytes"] = "1 MiB"; }, "'flash_bytes' must be"},
    {"ClockFraction", [](Json& j) { j["clock_hz"] = 1.5; }, "'clock_hz' must be"},
    {"BaseNumber", [](Json& j) { j["sram_base"] = 536870912; }, "'sram_base' must be"},
    {"BaseDecimal", [](Json& j) { j["sram_base"] = "536870912"; }, "'sram_base' must be"},
    {"BaseEmpty", [](Json& j) { j["sram_base"] = "0x"; }, "'sram_base' must be"},
    {"TargetEmpty", [](Json& j) { j["target"] = ""; }, "'target' must be"},
    {"SourceNumber", [](Json& j) { j["source"] = 1; }, "'source' must be"},
    {"RegionsEmpty", [](Json& j) { j["sram_regions"] = Json::array(); }, "'sram_regions' must be"},
    {"RegionBase",
     [](Json& j) {
       j["sram_regions"] = {{{"name", "A"}, {"bytes", 4}}};
     },
     "sram_regions[0]: 'base' must be"},
    {"RegionBytes",
     [](Json& j) {
       j["sram_regions"] = {{{"name", "A"}, {"base", "0x0"}, {"bytes", 0}}};
     },
     "sram_regions[0]: 'bytes' must be"},
    {"BaseTooLarge", [](Json& j) { j["flash_base"] = "0x100000000"; }, "'flash_base' must be"},
};

INSTANTIATE_TEST_SUITE_P(EachDamage, DamagedProfile, ::testing::ValuesIn(kDamages),
                         [](const auto& param) { return param.param.name; });

TEST(DeviceProfile, ReportsEverythingInOneRun) {
  const Result<DeviceProfile> device = device_from_json(Json::object());
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().diagnostics.size(), 6U);
}

}  // namespace
}  // namespace espalier::cost
