// Any text as the program.json of a folder that `espalier compile` wrote.
#include <string>

#include "compiled_folder.hpp"
#include "espalier/codegen/emit.hpp"
#include "espalier/compiler/compile.hpp"
#include "espalier/plan/update_plan.hpp"
#include "fuzz/files.hpp"
#include "fuzz/program.hpp"
#include "fuzz/targets.hpp"
#include "ir/small_graph.hpp"

const std::map<std::string, std::string>& espalier::fuzz::program_files() {
  static const ir::Graph kGraph = testing::graph_of_every_op();
  static const std::map<std::string, std::string> kFiles = [] {
    const plan::UpdatePlan plan = plan::full(kGraph);
    return codegen::emit(*compiler::compile(kGraph, plan, {}), plan, {});
  }();
  return kFiles;
}

void espalier::fuzz::program(const std::uint8_t* data, std::size_t size) {
  static const bool kWritten = [] {
    for (const auto& [name, text] : program_files()) (void)file("program/" + name, text);
    return true;
  }();
  (void)kWritten;
  (void)file("program/program.json", data, size);
  (void)device::read_folder(path("program"));
}
