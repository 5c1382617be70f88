#include "trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "espalier/support/file.hpp"

namespace espalier::device {

// A node is a comment and a block in one of the functions of the step, each with a line of its own.
Result<Trace> trace_of(const std::string& text, const Folder& folder) {
  Trace trace;
  trace.source =
      "void espalier_wrote(int node, const void* arena, const void* state);\n"
      "void espalier_stepped(float step);\n";
  std::istringstream lines(text);
  std::string comment;
  bool in_step = false;
  bool in_node = false;
  for (std::string line; std::getline(lines, line);) {
    trace.source += line + '\n';
    if (line.starts_with("static void run_")) in_step = true;
    if (line == "}") in_step = false;
    if (!in_step) continue;
    if (line.starts_with("  /* ") && line.ends_with(" */")) {
      comment = line.substr(5, line.size() - 8);
    } else if (line == "  {" || line == "  if (!head_alone) {") {
      in_node = true;
    } else if (line == "  }" && in_node) {
      trace.source +=
          fmt::format("  espalier_wrote({}, sram.arena, &sram.state);\n", trace.nodes.size());
      trace.nodes.push_back(comment);
      in_node = false;
    }
  }
  if (trace.nodes.empty()) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds no nodes of a training step; compile the folder again",
                             (folder.path / (folder.name + ".c")).string())};
  }
  return trace;
}

Result<Trace> write_trace(const Folder& folder, const std::filesystem::path& work, bool steps) {
  const auto source = [&](const char* suffix) { return folder.name + suffix; };
  ESPALIER_TRY(const std::string text, read_file(folder.path / source(".c")));
  ESPALIER_TRY(Trace trace, trace_of(text, folder));
  // The source takes the headers beside it.
  ESPALIER_TRY(const std::string constants, read_file(folder.path / source("_params.h")));
  ESPALIER_TRY(std::string kernels, read_file(folder.path / source("_kernels.h")));
  constexpr std::string_view kRounding =
      "esp_round_step(float step, float bound, const esp_sgd* sgd, uint32_t key) {\n";
  const std::size_t at = kernels.find(kRounding);
  if (at == std::string::npos) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: holds no esp_round_step; compile the folder again",
                             (folder.path / source("_kernels.h")).string())};
  }
  if (steps) kernels.insert(at + kRounding.size(), "  espalier_stepped(step);\n");
  ESPALIER_CHECK_OK(write_file_atomic(work / source(".c"), trace.source));
  ESPALIER_CHECK_OK(write_file_atomic(work / source("_params.h"), constants));
  ESPALIER_CHECK_OK(write_file_atomic(work / source("_kernels.h"), kernels));
  return trace;
}

Result<std::vector<std::string>> write_counted(const Folder& folder,
                                               const std::filesystem::path& work) {
  const std::string source = folder.name + ".c";
  ESPALIER_TRY(std::string text, read_file(folder.path / source));
  const std::string include = fmt::format("#include \"{}_params.h\"\n", folder.name);
  const std::size_t at = text.find(include);
  if (at == std::string::npos) {
    return Error{ErrorKind::kBadInput,
                 fmt::format("{}: does not include its constants; compile the folder again",
                             (folder.path / source).string())};
  }
  // A call is a statement. A macro does not expand its own name.
  std::vector<std::string> kernels;
  std::string macros =
      "void espalier_enter(void);\n"
      "void espalier_left(int kernel);\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos || begin == 0 || line.compare(begin, 4, "esp_") != 0) continue;
    const std::size_t end = line.find_first_of("( ", begin);
    if (end == std::string::npos || line[end] != '(') continue;
    const std::string name = line.substr(begin, end - begin);
    if (std::find(kernels.begin(), kernels.end(), name) != kernels.end()) continue;
    macros +=
        fmt::format("#define {0}(...) (espalier_enter(), {0}(__VA_ARGS__), espalier_left({1}))\n",
                    name, kernels.size());
    kernels.push_back(name);
  }
  text.insert(at + include.size(), macros);
  ESPALIER_CHECK_OK(write_file_atomic(work / source, text));
  for (const char* suffix : {"_params.h", "_kernels.h"}) {
    ESPALIER_TRY(const std::string header, read_file(folder.path / (folder.name + suffix)));
    ESPALIER_CHECK_OK(write_file_atomic(work / (folder.name + suffix), header));
  }
  return kernels;
}

int traced_steps(const Folder& folder, int steps) {
  return std::min<int>(steps, static_cast<int>(std::max<std::int64_t>(1, folder.accumulate)));
}

std::string first_node(const Trace& trace, const Run& host, const Run& other,
                       std::string_view machine) {
  int step = -1;
  for (std::size_t i = 0; i < host.trace.size(); ++i) {
    const auto& [node, hash] = host.trace[i];
    if (node == 0) ++step;
    if (i < other.trace.size() && other.trace[i] == host.trace[i]) continue;
    const std::string_view name = node < trace.nodes.size() ? trace.nodes[node] : "unknown";
    return fmt::format("step {}: node {} ({}) writes other values on {} than on the host", step,
                       node, name, machine);
  }
  if (other.trace.size() > host.trace.size()) {
    return fmt::format("more nodes run on {} than on the host", machine);
  }
  return "";
}

}  // namespace espalier::device
