// The program run with writes that fail (faulty_writes.c).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/support/file.hpp"
#include "run_program.hpp"

namespace espalier::testing {

/// The ways in which writes fail, each with the reason that a diagnostic gives; none for writes
/// that are only cut short, which is no error.
inline const std::map<std::string, std::string> kFaults{{"full", "No space left on device"},
                                                        {"readonly", "Read-only file system"},
                                                        {"once", "Input/output error"},
                                                        {"short", ""}};

/// What the library noted.
struct WriteLog {
  std::string fault;  ///< the first call that failed, empty if none did
  std::vector<std::string> renamed;
  std::set<std::string> claimed;   ///< locks that were never given back
  std::set<std::string> released;  ///< locks that were
};

inline WriteLog read_log(const std::filesystem::path& path) {
  WriteLog log;
  const Result<std::string> text = read_file(path);  // missing, when the program was not so far yet
  if (!text.ok()) return log;
  std::istringstream lines(*text);
  for (std::string what, rest; lines >> what && std::getline(lines, rest);) {
    rest.erase(0, 1);
    if (what == "fault") log.fault = rest;
    if (what == "renamed") log.renamed.push_back(rest);
    if (what == "claimed") log.claimed.insert(rest);
    if (what == "released" && log.claimed.erase(rest) != 0) log.released.insert(rest);
  }
  return log;
}

/// Options under which the program's writes fail from the n-th call on, counted from 1.
inline RunOptions with_faults(const std::string& kind, int n, const std::filesystem::path& log) {
  RunOptions options;
  options.environment = {"LD_PRELOAD=" ESPALIER_FAULTY_WRITES, "FAULT_KIND=" + kind,
                         "FAULT_AT=" + std::to_string(n), "FAULT_LOG=" + log.string(),
                         // Sanitizers want to be the first library.
                         "ASAN_OPTIONS=verify_asan_link_order=0"};
  return options;
}

}  // namespace espalier::testing
