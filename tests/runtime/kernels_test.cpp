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
#define ESPALIER_BLOCKED_INTEGER_KERNEL(name) "esp_" #name,
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

// Folders of overlays, as `source_of` takes them.
std::set<std::string> overlays() {
  std::set<std::string> found;
  for (const auto& [name, text] : runtime_sources()) {
    const std::size_t slash = name.find('/');
    if (slash != std::string_view::npos) found.emplace(name.substr(0, slash));
  }
  return found;
}

TEST(Kernels, ListNamesEveryFile) {
  std::set<std::string> listed;
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    const std::string file = source_file(static_cast<Kernel>(i));
    listed.emplace(file.substr(0, file.size() - 2));
  }
  EXPECT_EQ(listed, files(""));
  EXPECT_EQ(std::set<std::string>(std::begin(kBlocked), std::end(kBlocked)), files("blocked"));
  EXPECT_TRUE(overlays().contains("blocked"));
  for (const std::string& overlay : overlays()) {
    for (const std::string& file : files(overlay)) {
      EXPECT_TRUE(listed.contains(file)) << overlay << " replaces no kernel by " << file;
    }
  }
}

// As a source begins; of integer kernels that of 16 bits, whose type is no other's.
std::string declaration(const Row& row) {
  std::string name(row.name);
  std::string parameters(row.parameters);
  if (name.ends_with("_q8")) return {};
  if (name.ends_with("_q16")) {
    name = "ESP_Q(" + name.substr(0, name.size() - 4) + ")";
    constexpr std::string_view kType = "esp_any_int16";
    for (std::size_t at = 0; (at = parameters.find(kType, at)) != std::string::npos;) {
      parameters.replace(at, kType.size(), "esp_q");
    }
  }
  return without_spaces(name + parameters);
}

// Every form of a kernel has the parameters of the list; C would link another one.
TEST(Kernels, EveryFormHasTheParametersOfTheList) {
  std::set<std::string> folders{""};
  for (const std::string& overlay : overlays()) folders.insert(overlay + "/");
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    const Row& row = kRows[i];
    const std::string declared = declaration(row);
    if (declared.empty()) continue;
    const std::string file = source_file(static_cast<Kernel>(i));
    for (const std::string& folder : folders) {
      const auto source = runtime_sources().find(folder + file);
      if (source == runtime_sources().end()) continue;
      EXPECT_NE(without_spaces(source->second).find("void" + declared + "{"), std::string::npos)
          << source->first << ": " << declared;
    }
  }
}

TEST(Kernels, NamesFollowTheList) {
  EXPECT_EQ(kernel_name(Kernel::esp_add_forward), "esp_add_forward");
  EXPECT_EQ(kernel_name(Kernel::esp_weight_gradient), "esp_weight_gradient");
  EXPECT_EQ(kernel_name(Kernel::esp_weight_gradient_q16), "esp_weight_gradient_q16");
  EXPECT_EQ(source_file(Kernel::esp_weight_gradient_q16), "esp_weight_gradient_q.c");
  EXPECT_EQ(source_file(Kernel::esp_weight_gradient), "esp_weight_gradient.c");
}

TEST(Overlays, ReplaceThePlainForm) {
  const auto& sources = runtime_sources();
  const std::array<std::string, 2> overlays{"blocked", "missing"};
  EXPECT_EQ(source_of("esp_conv_forward.c", {}), sources.at("esp_conv_forward.c"));
  EXPECT_EQ(source_of("esp_conv_forward.c", overlays), sources.at("blocked/esp_conv_forward.c"));
  EXPECT_EQ(source_of("esp_head_forward.c", overlays), sources.at("esp_head_forward.c"));
  EXPECT_THROW(source_of("esp_nothing.c", overlays), std::logic_error);
}

}  // namespace
}  // namespace espalier::runtime
