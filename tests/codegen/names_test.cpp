// Names of programs: usable whatever the model is called, and apart from all other names in sight.
#include "espalier/codegen/names.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <regex>
#include <set>

#include "emitted.hpp"
#include "espalier/codegen/emit.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/support/folder.hpp"
#include "testing/random_graph.hpp"

namespace espalier::codegen {
namespace {

using testing::run_command;
using testing::TemporaryFolder;

TEST(Identifier, KeepsWhatItCan) {
  EXPECT_EQ(identifier("mcunet-5fps"), "mcunet_5fps");
  EXPECT_EQ(identifier("MbV2 w0.35"), "mbv2_w0_35");
  EXPECT_EQ(identifier("3net"), "net_3net");
  EXPECT_EQ(identifier("_a--b__"), "a_b");
}

TEST(Identifier, TellsApartWhatItCannotKeep) {
  const std::vector<std::string> names{"",
                                       "-",
                                       "--",
                                       "猫",
                                       "犬",
                                       "модель",
                                       "сеть",
                                       "modèle",
                                       "modéle",
                                       "猫1",
                                       "犬1",
                                       std::string(300, 'a'),
                                       std::string(301, 'a'),
                                       "\xff",
                                       "\xfe"};
  std::set<std::string> seen;
  for (const std::string& name : names) {
    EXPECT_TRUE(seen.insert(identifier(name)).second) << identifier(name);
    EXPECT_EQ(identifier(name), identifier(name));
  }
  EXPECT_THAT(identifier("modèle"), ::testing::MatchesRegex("mod_le_[0-9a-f]+"));
}

// Any bytes give a name that check_name() takes as it stands.
TEST(Identifier, IsOneForAnyBytes) {
  Rng rng{6, 0};
  for (int i = 0; i < 5000; ++i) {
    std::string name(rng.below(70), ' ');
    const bool text = rng.below(2) == 0;
    for (char& c : name) c = text ? "esp_run9A-"[rng.below(10)] : static_cast<char>(rng.below(256));
    const std::string made = identifier(name);
    ASSERT_THAT(made, ::testing::MatchesRegex("[a-z][a-z0-9_]*")) << name;
    ASSERT_EQ(made.find("__"), std::string::npos) << made;
    ASSERT_NE(made.back(), '_') << made;
    ASSERT_LE(made.size(), 48U);
    ASSERT_EQ(identifier(made), made);
    ASSERT_TRUE(check_name(made).ok()) << made;
  }
}

TEST(CheckName, SaysWhatWouldDo) {
  EXPECT_TRUE(check_name("mcunet_5fps").ok());
  for (const auto& [name, usable] : {std::pair{"esp", "net_esp"},
                                     {"A", "a"},
                                     {"a__b", "a_b"},
                                     {"3d", "net_3d"},
                                     {"string", "net_string"}}) {
    const Status refused = check_name(name);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
    EXPECT_EQ(refused.error().diagnostics.size(), 1U);
    EXPECT_THAT(refused.error().message(),
                ::testing::HasSubstr(fmt::format("'{}' would do", usable)));
  }
}

std::map<std::string, std::string> emitted(const ir::Graph& graph, const plan::UpdatePlan& plan,
                                           const EmitOptions& options) {
  compiler::CompileOptions compile;
  compile.accumulate = 2;  // every function there is
  return emit(*compiler::compile(graph, plan, compile), plan, options);
}
std::map<std::string, std::string> emitted(const ir::Graph& graph, const EmitOptions& options) {
  return emitted(graph, plan::full(graph), options);
}

// Names at file scope: of functions and macros, called or defined, and of types; more than there
// are, since words in comments count where they look like one.
std::set<std::string> identifiers(const std::map<std::string, std::string>& files) {
  static const std::regex kCalled(R"(\b([A-Za-z_]\w*)\()");
  static const std::regex kMacro(R"(#define (\w+))");
  static const std::regex kType(R"(\} (\w+);|struct (\w+))");
  std::set<std::string> found;
  for (const auto& [name, text] : files) {
    if (!name.ends_with(".c") && !name.ends_with(".h")) continue;
    for (const std::regex& pattern : {kCalled, kMacro, kType}) {
      for (auto at = std::sregex_iterator(text.begin(), text.end(), pattern);
           at != std::sregex_iterator(); ++at) {
        found.insert((*at)[1].matched ? (*at)[1].str() : (*at)[2].str());
      }
    }
  }
  return found;
}

// A program's own identifiers begin with its name. Whatever first words of other identifiers in the
// emitted text are taken as a model's name, none of its identifiers is one of those.
TEST(Names, CollideWithNothingThatIsEmitted) {
  for (const bool blocked : {false, true}) {
    EmitOptions options;
    if (blocked) options.target.overlays = {"blocked"};
    options.name = "zzz";
    const std::set<std::string> all = identifiers(emitted(testing::small_network(1), options));
    std::set<std::string> own;    // what follows the name
    std::set<std::string> macro;  // likewise
    std::set<std::string> names;
    for (const std::string& word : all) {
      if (word.rfind("zzz", 0) == 0) own.insert(word.substr(3));
      if (word.rfind("ZZZ", 0) == 0) macro.insert(word.substr(3));
      if (word.rfind("zzz", 0) == 0 || word.rfind("ZZZ", 0) == 0) continue;
      for (std::size_t at = 0; at != std::string::npos;) {
        at = word.find('_', at + 1);
        names.insert(word.substr(0, at));
      }
    }
    ASSERT_GT(own.size(), 12U);
    ASSERT_GT(macro.size(), 12U);
    ASSERT_GT(names.size(), 50U);
    for (const std::string& name : names) {
      const std::string lower = identifier(name);
      std::string upper = lower;
      std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
      for (const std::string& suffix : own)
        EXPECT_EQ(all.count(lower + suffix), 0U) << lower + suffix;
      for (const std::string& suffix : macro)
        EXPECT_EQ(all.count(upper + suffix), 0U) << upper + suffix;
    }
  }
}

// `#include <string.h>` must not find the program's header: whatever the compiler's own headers
// include by a plain name is none of a program.
TEST(Names, HideNoHeaderOfTheCompiler) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "all.c")
      << "#include <string.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
         "#include <math.h>\n#include <assert.h>\n#include <limits.h>\n#include <wchar.h>\n";
  for (const std::string compiler : {"cc", "riscv64-unknown-elf-gcc --specs=picolibc.specs"}) {
    std::string output;
    if (run_command(compiler + " -M " + (folder.path() / "all.c").string(), output) != 0) continue;
    std::istringstream words(output);
    int headers = 0;
    for (std::string word; words >> word;) {
      const std::filesystem::path path(word);
      const std::string folder_name = path.parent_path().filename().string();
      if (path.extension() != ".h" || folder_name != "include") continue;
      const std::string name = path.stem().string();
      if (!std::all_of(name.begin(), name.end(), [](char c) { return std::islower(c) != 0; }))
        continue;
      EXPECT_NE(identifier(name), name) << path;
      ++headers;
    }
    EXPECT_GT(headers, 5) << compiler;
  }
}

// Builds with every warning an error, as C and, the header, as C++.
TEST(Names, NastyOnesBuild) {
  const ir::Graph graph = testing::small_network(1);
  const TemporaryFolder folder;
  std::string headers;
  std::string sources;
  int number = 0;
  for (const char* model : {
           "esp",      "esp_conv", "espalier_runtime",
           "sram",     "run",      "take",
           "string",   "stdint",   "main",
           "int",      "class",    "samples",
           "head",     "linux",    "errno",
           "猫",       "-",        "9",
           "plan",
#ifdef ESPALIER_SLOW_TESTS
           "espalier", "flash",    "template",
           "driver",   "i8",       "label",
           "unix",     "con",      "program",
           "params",   "state",
#endif
       }) {
    ir::Graph named = graph;
    named.name = model;
    const std::filesystem::path path = folder.path() / std::to_string(number++);
    ASSERT_TRUE(write_folder(path, emitted(named, plan::head_only(named), {}), false).ok());
    const std::string name = identifier(model);
    sources += fmt::format(" -I{0} {0}/{1}.c {0}/{1}_params.c", path.string(), name);
    headers += fmt::format("#include \"{}/{}.h\"\n", path.string(), name);
  }
  std::string output;
  EXPECT_EQ(run_command("cc -std=c99 -O0 -Wall -Wextra -Werror -pedantic -fsyntax-only" + sources,
                        output),
            0)
      << output;
  std::ofstream(folder.path() / "all.cpp") << "#include <cstdio>\n#include <string>\n" << headers;
  EXPECT_EQ(run_command("c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only " +
                            (folder.path() / "all.cpp").string(),
                        output),
            0)
      << output;
}

// Comments name the model's ops in the model's words.
TEST(Names, WordsOfTheModelStayInTheirComments) {
  ir::Graph graph = testing::small_network(1);
  const char* words[] = {"*/ int x; /*",   "a?\?/\nb",
                         "line\\\n#error", "\xe2\x80\xae right to left",
                         "\xff\x00",       "/features/0/*conv"};
  std::size_t at = 0;
  for (ir::Op& op : graph.ops) op.name = words[at++ % std::size(words)];
  graph.name = "a`b|\n# c";
  const auto files = emitted(graph, {});
  const TemporaryFolder folder;
  ASSERT_TRUE(write_folder(folder.path() / "c", files, false).ok());
  const std::string name = identifier(graph.name);
  std::string output;
  EXPECT_EQ(run_command(fmt::format("cd {}/c && cc -std=c99 -Wall -Wextra -Werror -pedantic "
                                    "-fsyntax-only {}.c",
                                    folder.path().string(), name),
                        output),
            0)
      << output;
  EXPECT_THAT(files.at("README.md"), ::testing::HasSubstr("of `a_b__# c` in plain C99"));
}

}  // namespace
}  // namespace espalier::codegen
