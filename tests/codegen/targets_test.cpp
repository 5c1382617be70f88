// Rows of targets against what repeats them.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string>

#include "espalier/codegen/target.hpp"
#include "espalier/support/file.hpp"

namespace espalier::codegen {
namespace {

// The script that compiles programs for the simulated system, among them the kernels of the tests,
// uses the flags of emitted programs and no others of their kind.
TEST(Targets, ScriptOfTheCoreCompilesAsTheRowsSay) {
  std::set<std::string> rows;
  for (const Target& target : targets()) {
    if (target.machine != "core") continue;
    for (const std::string& flag : compile_flags(target)) rows.insert(flag);
  }
  rows.erase("-std=c99");  // there are programs of tests in other dialects
  std::string text = *read_file(std::string(ESPALIER_HW) + "/sw/build.sh");
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '(' || c == ')'; }, ' ');
  std::set<std::string> script;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    for (const char* kind : {"-O", "-f", "-m", "--specs"}) {
      if (word.starts_with(kind)) script.insert(word);
    }
  }
  EXPECT_EQ(script, rows);
}

}  // namespace
}  // namespace espalier::codegen
