// Emitted C that carries what the host engine computes in its first steps.
#pragma once

#include <map>
#include <string>

#include "espalier/codegen/emit.hpp"

namespace espalier::engine {

/// As codegen::emit(), after running the first few steps, past the first update where that is near,
/// on the host engine: `check` holds the C against them.
std::map<std::string, std::string> emit_recorded(const compiler::Program& program,
                                                 const plan::UpdatePlan& plan,
                                                 codegen::EmitOptions options);

}  // namespace espalier::engine
