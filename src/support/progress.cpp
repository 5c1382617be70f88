#include "espalier/support/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace espalier {
namespace {

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

// The terminal has one line that is drawn again and again, whoever draws it.
struct Terminal {
  std::mutex mutex;
  bool line_shown = false;
};
Terminal& terminal() {
  static Terminal one;
  return one;
}

constexpr const char* kClear = "\r\x1b[K";

// Before that a share of nothing says nothing.
constexpr double kSecondsBeforeEstimate = 1;

// Terminals that would print the escapes.
bool understands_escapes() {
  const char* term = std::getenv("TERM");
  return term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

}  // namespace

ProgressOptions default_progress() {
  return {.enabled = ::isatty(STDERR_FILENO) == 1 && understands_escapes()};
}

void Progress::clear_line() {
  const std::lock_guard lock(terminal().mutex);
  if (!terminal().line_shown) return;
  std::fputs(kClear, stderr);
  std::fflush(stderr);
  terminal().line_shown = false;
}

Progress::Progress(ProgressOptions options, std::string what, double total)
    : options_(options),
      what_(std::move(what)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      last_draw_(start_) {}

Progress::~Progress() {
  const std::lock_guard lock(mutex_);
  if (drawn_) draw(true);
}

void Progress::advance(double amount) {
  const std::lock_guard lock(mutex_);
  done_ += amount;
  if (!options_.enabled) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_draw_ < std::chrono::milliseconds(200)) return;
  last_draw_ = now;
  draw(false);
}

void Progress::note(std::string text) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(text);
}

void Progress::draw(bool final_line) {
  const std::lock_guard lock(terminal().mutex);
  // What was cleared to make room for results is not drawn below them.
  if (final_line && !terminal().line_shown) return;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const double share = total_ > 0 ? std::min(1.0, done_ / total_) : 1.0;
  std::string time;
  if (final_line) {
    time = fmt::format("  {} in all", clock_text(elapsed.count()));
  } else if (share > 0 && share < 1 && elapsed.count() >= kSecondsBeforeEstimate) {
    time = fmt::format("  {} left", clock_text(elapsed.count() * (1 - share) / share));
  }
  const std::string line = fmt::format("{}{} {:3.0f} %{}{}{}{}", kClear, what_, share * 100, time,
                                       note_.empty() ? "" : "  ", note_, final_line ? "\n" : "");
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  terminal().line_shown = !final_line;
  drawn_ = true;
}

}  // namespace espalier
