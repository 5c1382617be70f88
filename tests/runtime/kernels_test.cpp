// The lists of kernels against the sources: names, parameters, overlays.
#include "espalier/runtime/kernels.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <set>
#include <stdexcept>

namespace espalier::runtime {
namespace {

struct Row {
  std::string_view name;
  std::string_view parameters;
};
constexpr Row kRows[] = {
#define ESPALIER_KERNEL(name, parameters) {#name, #parameters},
#include "runtime/kernels.def"
#undef ESPALIER_KERNEL
};
constexpr std::string_view kBlocked[] = {
#define ESPALIER_BLOCKED_KERNEL(name) "esp_" #name,
#include "runtime/blocked/kernels.def"
#undef ESPALIER_BLOCKED_KERNEL
};

std::string without_spaces(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) result += c;
  }
  return result;
}

// Files of kernels in a folder, "" for the plain ones.
std::set<std::string> files(std::string_view folder) {
  std::set<std::string> found;
  for (const auto& [name, text] : runtime_sources()) {
    if (!name.ends_with(".c")) continue;
    const std::size_t slash = name.find('/');
    const bool plain = slash == std::string_view::npos;
    if (plain ? !folder.empty() : name.substr(0, slash) != folder) continue;
    const std::string_view file = plain ? name : name.substr(slash + 1);
    found.emplace(file.substr(0, file.size() - 2));
  }
  return found;
}

TEST(Kernels, ListNamesEveryFile) {
  std::set<std::string> listed;
  for (const Row& row : kRows) listed.emplace(row.name);
  EXPECT_EQ(listed, files(""));
  EXPECT_EQ(std::set<std::string>(std::begin(kBlocked), std::end(kBlocked)), files("blocked"));
}

// Every form of a kernel has the parameters of the list; C would link another one.
TEST(Kernels, EveryFormHasTheParametersOfTheList) {
  for (const Row& row : kRows) {
    const std::string declared =
        without_spaces(std::string(row.name) + std::string(row.parameters));
    for (const std::string folder : {"", "blocked/"}) {
      const auto source = runtime_sources().find(folder + std::string(row.name) + ".c");
      if (source == runtime_sources().end()) continue;
      EXPECT_NE(without_spaces(source->second).find("void" + declared + "{"), std::string::npos)
          << source->first << ": " << declared;
    }
  }
}

TEST(Kernels, NamesFollowTheList) {
  EXPECT_EQ(kernel_name(Kernel::esp_add_forward), "esp_add_forward");
  EXPECT_EQ(kernel_name(Kernel::esp_weight_gradient), "esp_weight_gradient");
}

TEST(Overlays, ReplaceThePlainForm) {
  const auto& sources = runtime_sources();
  const std::array<std::string, 2> overlays{"blocked", "missing"};
  EXPECT_EQ(source_of("esp_conv_forward.c", {}), sources.at("esp_conv_forward.c"));
  EXPECT_EQ(source_of("esp_conv_forward.c", overlays), sources.at("blocked/esp_conv_forward.c"));
  EXPECT_EQ(source_of("esp_add_forward.c", overlays), sources.at("esp_add_forward.c"));
  EXPECT_THROW(source_of("esp_nothing.c", overlays), std::logic_error);
}

}  // namespace
}  // namespace espalier::runtime
