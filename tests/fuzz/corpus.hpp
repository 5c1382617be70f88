// The inputs that fuzzing starts from, made by generators of small models and files.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace espalier::fuzz {

/// By target.
using Corpus = std::map<std::string, std::vector<std::string>>;
Corpus corpus();

}  // namespace espalier::fuzz
