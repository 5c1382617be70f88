// Packages: manifests beside the sources of an emitted folder, which stay where they are.
#include "espalier/codegen/packages.hpp"

#include <fmt/format.h>

#include <map>
#include <stdexcept>

#include "emission.hpp"
#include "espalier/version.hpp"

namespace espalier::codegen {
namespace {

using Files = std::map<std::string, std::string>;

std::string sentence(const Emission& c) {
  return fmt::format("Inference and on-device training of {}, made by Espalier", c.name);
}

// A component of ESP-IDF: the folder goes to `components/`.
Files esp_idf(const Emission& c) {
  return {{"CMakeLists.txt", fmt::format("idf_component_register(SRCS \"{0}.c\" \"{0}_params.c\"\n"
                                         "                       INCLUDE_DIRS \".\")\n",
                                         c.name)},
          {"idf_component.yml",
           fmt::format("version: \"{}\"\ndescription: \"{}\"\n", kVersion, sentence(c))}};
}

// A library of the Arduino IDE, flat: the folder goes to `libraries/`.
Files arduino(const Emission& c) {
  return {{"library.properties",
           fmt::format("name={0}\nversion={1}\nauthor=Espalier\nmaintainer=Espalier\nsentence={2}\n"
                       "paragraph=No heap, no library; what was learned can be saved and loaded.\n"
                       "category=Data Processing\nurl=\narchitectures=*\nincludes={0}.h\n",
                       c.name, kVersion, sentence(c))},
          {"keywords.txt", fmt::format("{0}_reset\tKEYWORD2\n{0}_forward\tKEYWORD2\n"
                                       "{0}_train_step\tKEYWORD2\n{0}_save\tKEYWORD2\n"
                                       "{0}_load\tKEYWORD2\n",
                                       c.name)}};
}

// A module of Zephyr: the folder goes to ZEPHYR_EXTRA_MODULES. Symbols of Kconfig are one space for
// all modules and Zephyr itself, which has CONFIG_NET, CONFIG_SENSOR and many more.
Files zephyr(const Emission& c) {
  return {
      {"zephyr/module.yml",
       fmt::format("name: {}\nbuild:\n  cmake: zephyr\n  kconfig: zephyr/Kconfig\n", c.name)},
      {"zephyr/Kconfig", fmt::format("config ESPALIER_{}\n\tbool \"{}\"\n", c.macro, sentence(c))},
      {"zephyr/CMakeLists.txt",
       fmt::format("if(CONFIG_ESPALIER_{1})\n  zephyr_include_directories(..)\n  zephyr_library()\n"
                   "  zephyr_library_sources(../{0}.c ../{0}_params.c)\nendif()\n",
                   c.name, c.macro)}};
}

// The description that a CMSIS-Pack has at its root; the folder, zipped, is the pack.
Files cmsis_pack(const Emission& c) {
  return {{fmt::format("Espalier.{}.pdsc", c.name),
           fmt::format(R"(<?xml version="1.0" encoding="UTF-8"?>
<package schemaVersion="1.7.7" xmlns:xs="http://www.w3.org/2001/XMLSchema-instance"
         xs:noNamespaceSchemaLocation="PACK.xsd">
  <vendor>Espalier</vendor>
  <name>{0}</name>
  <description>{2}</description>
  <url></url>
  <releases>
    <release version="{1}">{2}.</release>
  </releases>
  <components>
    <component Cclass="Machine Learning" Cgroup="Training" Csub="{0}" Cversion="{1}">
      <description>{2}</description>
      <files>
        <file category="doc" name="README.md"/>
        <file category="header" name="{0}.h"/>
        <file category="source" name="{0}.c"/>
        <file category="source" name="{0}_params.c"/>
      </files>
    </component>
  </components>
</package>
)",
                       c.name, kVersion, sentence(c))}};
}

struct Package {
  const char* name;
  Files (*files)(const Emission&);
};
constexpr Package kPackages[] = {
    {"esp-idf", esp_idf}, {"arduino", arduino}, {"zephyr", zephyr}, {"cmsis-pack", cmsis_pack}};

}  // namespace

std::vector<std::string> package_names() {
  std::vector<std::string> names;
  for (const Package& package : kPackages) names.emplace_back(package.name);
  return names;
}

std::map<std::string, std::string> package_files(const Emission& c) {
  if (c.options.package.empty()) return {};
  for (const Package& package : kPackages) {
    if (c.options.package == package.name) return package.files(c);
  }
  throw std::logic_error("no package " + c.options.package);
}

}  // namespace espalier::codegen
