// What people see on a terminal, and what they are told when they mistype.
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "workspace.hpp"

namespace espalier::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// All the program sends to a terminal of this TERM.
std::string typed(const std::filesystem::path& folder, const Arguments& arguments,
                  const char* term) {
  std::vector<std::string> words{ESPALIER_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    setenv("TERM", term, 1);
    if (chdir(folder.c_str()) == 0) execv(argv[0], argv.data());
    _exit(127);
  }
  std::string text;
  char buffer[4096];
  // At the end of the program Linux reports an error, not the end of a file.
  for (ssize_t n = 0; (n = read(terminal, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  close(terminal);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << text;
  return text;
}

// The lines that stand on the screen in the end. The program moves by \r, \n and "clear to the
// end".
std::vector<std::string> screen(const std::string& text) {
  std::vector<std::string> lines{""};
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string& line = lines.back();
    if (text[i] == '\r') {
      column = 0;
    } else if (text[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (text.compare(i, 3, "\x1b[K") == 0) {
      line.resize(std::min(line.size(), column));
      i += 2;
    } else {
      if (line.size() <= column) line.resize(column + 1, ' ');
      line[column++] = text[i];
    }
  }
  return lines;
}

// A progress line as it is drawn: its share in per cent and what follows.
const std::regex kProgress("\r\x1b\\[K[^\r\n%]* ([0-9 ]{3}) %([^\r\n]*)");

class TerminalTest : public Workspace {
 protected:
  TerminalTest() {
    make_model();
    make_idx("train", 60);
    make_plan("plan.json", {"--last", "3"});
  }

  static Arguments train(int epochs) {
    const std::string data = "idx:train-images,train-labels";
    return {"train", "model.onnx", "--plan", "plan.json", "--train",
            data,    "--test",     data,     "--epochs",  std::to_string(epochs),
            "--lr",  "0.001",      "--jobs", "1"};
  }

  // Epochs of a training that is long enough to show progress, on whatever machine, and what it
  // shows.
  std::pair<int, std::string> long_training() {
    for (int epochs = 100;; epochs *= 2) {
      const std::string text = typed(path("."), train(epochs), "xterm");
      if (std::regex_search(text, kProgress) || epochs > 1000000) return {epochs, text};
    }
  }
};

TEST_F(TerminalTest, ProgressIsShownWhereItIsUnderstood) {
  const auto [epochs, text] = long_training();
  ASSERT_TRUE(std::regex_search(text, kProgress)) << text;
  // The line makes room for results.
  bool result = false;
  for (const std::string& line : screen(text)) {
    EXPECT_EQ(line.rfind("espalier: "), line.starts_with("espalier: ") ? 0 : std::string::npos)
        << line;
    if (line.find("test accuracy") == std::string::npos) continue;
    EXPECT_TRUE(line.starts_with("test accuracy")) << line;
    result = true;
  }
  EXPECT_TRUE(result) << text;
  // In the first half as much time is left as has passed, and that is a second or none is told.
  for (auto it = std::sregex_iterator(text.begin(), text.end(), kProgress);
       it != std::sregex_iterator(); ++it) {
    if (std::stoi((*it)[1]) < 50) {
      EXPECT_THAT((*it)[2].str(), Not(HasSubstr("0:00 left")));
    }
  }
  // No escapes where they are not understood (Progress's own test has other terminals), or not
  // wanted.
  const std::string plain = typed(path("."), train(epochs), "dumb");
  EXPECT_THAT(plain, HasSubstr("test accuracy"));
  EXPECT_EQ(plain.find('\x1b'), std::string::npos) << plain;
  Arguments silent = train(epochs);
  silent.emplace_back("--no-progress");
  EXPECT_EQ(typed(path("."), silent, "xterm").find('\x1b'), std::string::npos);
}

TEST_F(TerminalTest, WhatIsMistypedIsGuessed) {
  const std::vector<std::pair<std::string, std::string>> commands{
      {"serach", "search"}, {"anaylze", "analyze"}, {"trian", "train"}, {"compil", "compile"},
      {"chekc", "check"},   {"inspct", "inspect"},  {"plans", "plan"},  {"device", "devices"}};
  for (const auto& [typed, meant] : commands) {
    fail(2, {typed}, {"unexpected '" + typed + "'; did you mean '" + meant + "'?"});
  }
  fail(2, {"plan", "shwo"}, {"unexpected 'shwo'; did you mean 'show'?"});
  fail(2, {"xyzzy"}, {"unexpected 'xyzzy'; see espalier --help"});
  fail(2, {"--quiet", "inspect", "model.onnx"},
       {"unexpected '--quiet' in front of 'inspect': options go behind the command; see"});
}

// Every option of every command, with two neighbours exchanged.
TEST_F(TerminalTest, EveryMistypedOptionIsGuessed) {
  for (const Arguments& command : {Arguments{"inspect"},
                                   {"analyze"},
                                   {"search"},
                                   {"plan", "make"},
                                   {"plan", "import"},
                                   {"plan", "rotate"},
                                   {"plan", "show"},
                                   {"train"},
                                   {"compile"},
                                   {"check"},
                                   {"fit"},
                                   {"devices"},
                                   {"sweep"},
                                   {"evaluate"}}) {
    const std::string help = run_here(command + Arguments{"--help"}).out;
    const std::regex option("\n  (?:-[a-z],\\s*)?(--[a-z-]+)");
    int options = 0;
    for (auto it = std::sregex_iterator(help.begin(), help.end(), option);
         it != std::sregex_iterator(); ++it, ++options) {
      const std::string meant = (*it)[1];
      std::string typed = meant;
      std::swap(typed[typed.size() - 2], typed[typed.size() - 1]);
      if (typed == meant) typed.pop_back();
      // `--seesd` is as near to --seed as to --seeds.
      if (meant.back() == 's' &&
          help.find(meant.substr(0, meant.size() - 1) + " ") != std::string::npos) {
        continue;
      }
      SCOPED_TRACE(::testing::PrintToString(command + Arguments{typed}));
      const Finished finished = run_here(command + Arguments{typed});
      EXPECT_EQ(finished.exit_code, 2);
      EXPECT_THAT(finished.err,
                  HasSubstr("unexpected '" + typed + "'; did you mean '" + meant + "'?"));
    }
    EXPECT_GE(options, 9);
  }
}

}  // namespace
}  // namespace espalier::testing
