// A value or the reason why there is none. Expected failures travel as values; exceptions are kept
// for programming errors and exhausted memory.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace espalier {

/// What kind of failure an Error is. The number is the exit code of the command line.
enum class ErrorKind : int {
  kUsage = 2,          ///< the command line or a configuration asks for something impossible
  kInfeasible = 3,     ///< no plan satisfies the constraints
  kMismatch = 4,       ///< two results that must be equal are not
  kBadInput = 65,      ///< a file was read and its content is wrong
  kMissingInput = 66,  ///< a file could not be opened
  kInternal = 70,      ///< a bug in Espalier
  kCannotWrite = 73,   ///< an output could not be written
  kInterrupted = 130,  ///< stopped by the user, state saved
};

/// A failure with one or more diagnostics, each saying where, what and what to do next.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::vector<std::string> diagnostics;

  Error(ErrorKind error_kind, std::string diagnostic)
      : kind(error_kind), diagnostics{std::move(diagnostic)} {}
  Error(ErrorKind error_kind, std::vector<std::string> all)
      : kind(error_kind), diagnostics(std::move(all)) {}

  /// All diagnostics, one a line, without a trailing newline.
  [[nodiscard]] std::string message() const {
    std::string text;
    for (const std::string& line : diagnostics) {
      if (!text.empty()) text += '\n';
      text += line;
    }
    return text;
  }
};

/// Either a T or an Error.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::move(error)) {}  // NOLINT: implicit by design

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};
/// Success without a value, or an Error.
using Status = Result<Ok>;

}  // namespace espalier

#define ESPALIER_CONCAT_INNER(a, b) a##b
#define ESPALIER_CONCAT(a, b) ESPALIER_CONCAT_INNER(a, b)

/// `ESPALIER_TRY(auto x, f());` assigns the value of f() or returns its error from the caller.
#define ESPALIER_TRY(lhs, expr) ESPALIER_TRY_IMPL(ESPALIER_CONCAT(try_result_, __LINE__), lhs, expr)
#define ESPALIER_TRY_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                      \
  if (!tmp.ok()) return tmp.error();      \
  lhs = std::move(tmp).value()

/// `ESPALIER_CHECK_OK(f());` returns the error of a Status from the caller.
#define ESPALIER_CHECK_OK(expr)                \
  do {                                         \
    auto status_ = (expr);                     \
    if (!status_.ok()) return status_.error(); \
  } while (false)
