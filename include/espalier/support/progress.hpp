// A progress line on stderr: what, how far, time left. Silent when stderr is not a terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace espalier {

/// How a command shows progress; filled from --quiet and --no-progress.
struct ProgressOptions {
  bool enabled = false;  ///< show the line; set by default_progress()
};

/// Where no line is shown, what is done is logged so often.
inline constexpr std::chrono::seconds kBetweenLogLines{20};

/// Enabled exactly when stderr is a terminal that understands escapes (TERM is set and not "dumb").
ProgressOptions default_progress();

/// One running task with a known total of work units. Thread-safe.
class Progress {
 public:
  Progress(ProgressOptions options, std::string what, double total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Adds work done, in the unit of `total`.
  void advance(double amount);

  /// Takes the line off the terminal, if one is shown; call it before printing anything else. The
  /// next advance() draws it again.
  static void clear_line();

  /// Replaces the short text behind the bar, such as the last loss.
  void note(std::string text);

 private:
  void draw(bool final_line);

  std::mutex mutex_;
  ProgressOptions options_;
  std::string what_;
  std::string note_;
  double total_;
  double done_ = 0;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_draw_;
  bool drawn_ = false;
};

}  // namespace espalier
