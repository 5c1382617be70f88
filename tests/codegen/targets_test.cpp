// Rows of targets against what repeats them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/codegen/target.hpp"
#include "espalier/support/file.hpp"

namespace espalier::codegen {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// What the script that compiles programs for the simulated system calls the compiler with, files of
// flags expanded.
std::vector<std::string> flags_of_script(const std::string& options) {
  const std::string command = "ESPALIER_RISCV_GCC=echo " ESPALIER_HW "/sw/build.sh " + options;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 512> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) text += part.data();
  EXPECT_EQ(pclose(pipe), 0);
  std::vector<std::string> flags;
  for (const std::string& word : words(text)) {
    if (!word.starts_with("@")) {
      flags.push_back(word);
      continue;
    }
    const Result<std::string> file = read_file(word.substr(1));
    EXPECT_TRUE(file.ok()) << word;
    if (!file.ok()) continue;
    for (std::string& flag : words(*file)) flags.push_back(std::move(flag));
  }
  return flags;
}

TEST(Targets, ScriptOfTheCoreCompilesAsTheRowsSay) {
  for (const auto& [options, name] :
       {std::pair("a.elf a.c", "rv32imf"), {"-i a.elf a.c", "rv32im"}}) {
    std::vector<std::string> row = compile_flags(target_named(name));
    std::erase(row, "-std=c99");  // there are programs of tests in other dialects
    std::vector<std::string> script = flags_of_script(options);
    ASSERT_GE(script.size(), row.size());
    const std::vector<std::string> rest(script.begin() + static_cast<std::ptrdiff_t>(row.size()),
                                        script.end());
    script.resize(row.size());
    EXPECT_EQ(script, row);
    for (const std::string& word : rest) {
      for (const char* kind : {"-O", "-f", "-m", "--specs"}) EXPECT_FALSE(word.starts_with(kind));
    }
  }
}

// docs/formats.md names every row where it says what `target` may be.
TEST(Targets, AreInTheDescriptionOfDocuments) {
  const std::string formats = *read_file(ESPALIER_DOCS "/formats.md");
  const std::size_t row = formats.find("a row of `src/codegen/targets.cpp`");
  ASSERT_NE(row, std::string::npos);
  const std::string line = formats.substr(row, formats.find('\n', row) - row);
  for (const Target& target : targets()) {
    EXPECT_THAT(line, ::testing::HasSubstr("`" + target.name + "`"));
  }
}

}  // namespace
}  // namespace espalier::codegen
