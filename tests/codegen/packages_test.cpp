// Packages: each is built, or read, by what there is of its build system here.
#include "espalier/codegen/packages.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "emitted.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/support/file.hpp"
#include "espalier/support/folder.hpp"
#include "testing/random_graph.hpp"

namespace espalier::codegen {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Packages : public ::testing::Test {
 protected:
  std::map<std::string, std::string> emit_as(const std::string& package) const {
    EmitOptions options;
    options.name = "kitchen";
    options.package = package;
    return emit(program_, plan_, options);
  }
  fs::path write_as(const std::string& package) const {
    const Status written = write_folder(folder(), emit_as(package), true);
    EXPECT_TRUE(written.ok()) << written.error().message();
    return folder();
  }
  [[nodiscard]] fs::path folder() const { return temporary_.path() / "kitchen"; }
  std::string run(const std::string& command) const {
    std::string output;
    EXPECT_EQ(testing::run_command("cd " + temporary_.path().string() + " && " + command, output),
              0)
        << output;
    return output;
  }
  // A project whose functions do what those of a build system do with sources, and a program of it.
  void build(const std::string& functions, const std::string& add,
             const std::string& sources) const {
    fs::create_directory(temporary_.path() / "app");
    std::ofstream(temporary_.path() / "app/main.c")
        << "#include \"kitchen.h\"\nint main(void) { kitchen_reset(); return 0; }\n";
    std::ofstream(temporary_.path() / "app/CMakeLists.txt")
        << "cmake_minimum_required(VERSION 3.20)\nproject(app C)\n" + functions + add +
               "add_executable(app main.c)\ntarget_link_libraries(app " + sources + ")\n";
    run("cmake -G Ninja -S app -B build -DCMAKE_C_FLAGS=-O0 && cmake --build build && build/app");
  }

  ir::Graph graph_ = testing::small_network(1);
  plan::UpdatePlan plan_ = plan::head_only(graph_);
  compiler::Program program_ = *compiler::compile(graph_, plan_);
  testing::TemporaryFolder temporary_;
};

TEST_F(Packages, KeepTheFolderAsItIs) {
  std::set<std::string> plain;
  for (const auto& [name, text] : emit_as("")) plain.insert(name);
  for (const std::string& package : package_names()) {
    const auto files = emit_as(package);
    std::size_t found = 0;
    for (const auto& [name, text] : files) found += plain.count(name);
    EXPECT_EQ(found, plain.size()) << package;
    EXPECT_GT(files.size(), found) << package;
  }
}

TEST_F(Packages, EspIdfBuildsAsAComponent) {
  EXPECT_THAT(*read_file(write_as("esp-idf") / "idf_component.yml"),
              ::testing::MatchesRegex("version: \"[0-9.]+\"\ndescription: \"[^\"]+\"\n"));
  build(
      "function(idf_component_register)\n"
      "  cmake_parse_arguments(A \"\" \"\" \"SRCS;INCLUDE_DIRS\" ${ARGN})\n"
      "  add_library(kitchen STATIC ${A_SRCS})\n"
      "  target_include_directories(kitchen PUBLIC ${A_INCLUDE_DIRS})\n"
      "endfunction()\n",
      "add_subdirectory(../kitchen kitchen)\n", "kitchen");
}

TEST_F(Packages, ZephyrBuildsAsAModule) {
  const fs::path module = write_as("zephyr");
  const std::string yaml = *read_file(module / "zephyr/module.yml");
  std::smatch match;
  ASSERT_TRUE(std::regex_match(
      yaml, match, std::regex("name: kitchen\nbuild:\n  cmake: (\\S+)\n  kconfig: (\\S+)\n")));
  EXPECT_TRUE(fs::exists(module / match[1].str() / "CMakeLists.txt"));
  EXPECT_THAT(*read_file(module / match[2].str()), HasSubstr("config ESPALIER_KITCHEN\n\tbool"));
  build(
      "function(zephyr_include_directories)\n  include_directories(${ARGN})\n"
      "  add_library(headers INTERFACE)\n  target_include_directories(headers INTERFACE ${ARGN})\n"
      "endfunction()\n"
      "function(zephyr_library)\n  add_library(module STATIC)\nendfunction()\n"
      "function(zephyr_library_sources)\n  target_sources(module PRIVATE ${ARGN})\nendfunction()\n",
      "set(CONFIG_ESPALIER_KITCHEN y)\nadd_subdirectory(../kitchen/" + match[1].str() +
          " kitchen)\n",
      "module headers");
}

TEST_F(Packages, ArduinoTakesAllSourcesWithItsFlags) {
  const fs::path library = write_as("arduino");
  const std::string properties = *read_file(library / "library.properties");
  for (const char* field :
       {"name=kitchen\n", "version=", "author=", "maintainer=", "sentence=", "paragraph=",
        "category=Data Processing\n", "url=", "architectures=*\n", "includes=kitchen.h\n"}) {
    EXPECT_THAT(properties, HasSubstr(field));
  }
  // A flat library: every source of its folder, and none of a folder in it.
  std::ofstream(temporary_.path() / "sketch.cpp")
      << "#include <kitchen.h>\nint main() { kitchen_reset(); return 0; }\n";
  run("cc -c -Os -w -std=gnu11 -ffunction-sections -Ikitchen kitchen/*.c && "
      "c++ -Os -w -std=gnu++17 -Ikitchen sketch.cpp *.o -o sketch && ./sketch");
}

TEST_F(Packages, CmsisPackNamesFilesThatAreThere) {
  const fs::path pack = write_as("cmsis-pack");
  const std::string text = *read_file(pack / "Espalier.kitchen.pdsc");
  if (std::system("command -v xmllint >/dev/null 2>&1") == 0) {
    run("xmllint --noout kitchen/Espalier.kitchen.pdsc");
  }
  std::set<std::string> named;
  const std::regex file("<file category=\"\\w+\" name=\"([^\"]+)\"/>");
  for (auto it = std::sregex_iterator(text.begin(), text.end(), file); it != std::sregex_iterator();
       ++it) {
    named.insert((*it)[1]);
  }
  EXPECT_EQ(named,
            (std::set<std::string>{"README.md", "kitchen.h", "kitchen.c", "kitchen_params.c"}));
  for (const std::string& name : named) EXPECT_TRUE(fs::exists(pack / name)) << name;
}

}  // namespace
}  // namespace espalier::codegen
