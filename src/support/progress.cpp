#include "espalier/support/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace espalier {
namespace {

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

ProgressOptions default_progress() { return {.enabled = ::isatty(STDERR_FILENO) == 1}; }

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
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
  const double share = total_ > 0 ? std::min(1.0, done_ / total_) : 1.0;
  const double left = share > 0 ? elapsed.count() * (1 - share) / share : 0;
  const std::string time = final_line ? fmt::format("{} in all", clock_text(elapsed.count()))
                                      : fmt::format("{} left", clock_text(left));
  const std::string line = fmt::format("\r\x1b[K{} {:3.0f} %  {}{}{}{}", what_, share * 100, time,
                                       note_.empty() ? "" : "  ", note_, final_line ? "\n" : "");
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace espalier
