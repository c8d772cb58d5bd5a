// Result<T> and Error: how a function that can fail says so.
//
// No project function throws. A function that can fail returns `Result<T>`; the caller either handles the error or
// hands it on with WISP_TRY:
//
//   Result<Fd> open_kernel(const std::string& path) {
//     Fd fd = WISP_TRY(open_regular_file(path, Access::ReadOnly));
//     ...
//     return fd;
//   }
//
// An `Error` is for the operator: its text names the object, the cause and, where there is one, the remedy. Guest
// mistakes never become an `Error`; they are enum values on the data path, which allocate nothing.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "vmm/base/assert.h"

namespace wisp {

/// What kind of failure it was; decides the reaction (HTTP status, exit code), never the text.
enum class ErrorCode {
  InvalidArgument,  ///< the operator asked for something that makes no sense
  NotFound,         ///< the named object does not exist
  AlreadyExists,    ///< the name or role is taken
  WrongState,       ///< right request, wrong phase of the machine's life
  Unsupported,      ///< understood, but this build or host cannot do it
  LimitExceeded,    ///< a named limit was hit
  ContentTooLarge,  ///< what was sent does not fit where it is to be kept
  HostFault,        ///< a system call failed
  Corrupt,          ///< a file's contents are damaged or not of the expected format
  Internal,         ///< the monitor's own state is not what it should be
};

/// A failure, with a text for the operator: object, cause, remedy.
class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string text) : code_(code), text_(std::move(text)) {}

  /// A failed system call. `what` says what was tried on which object ("cannot open the kernel /x"), `remedy` what to
  /// do about it (may be empty). The text becomes "what: reason (os error N). remedy".
  static Error host(int sys_errno, std::string_view what, std::string_view remedy = {});

  ErrorCode code() const { return code_; }
  /// The errno of a HostFault, otherwise 0.
  int sys_errno() const { return sys_errno_; }
  const std::string& text() const { return text_; }

  /// The same error with `prefix` put before its text; used once, at the boundary that knows the context.
  Error with_prefix(std::string_view prefix) && {
    text_.insert(0, prefix);
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  int sys_errno_ = 0;
  std::string text_;
};

/// Either a value or an error; never neither, never both.
template <typename T>
class [[nodiscard]] Result {
 public:
  using Value = T;
  // Both implicit: a function says `return value;` or `return Error(...);`.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    WISP_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    WISP_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    WISP_ASSERT(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const Error& error() const& {
    WISP_ASSERT(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    WISP_ASSERT(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

/// The value of a Result that carries nothing.
struct Unit {};

/// A result without a value: `return {};` is success.
template <>
class [[nodiscard]] Result<void> : public Result<Unit> {
 public:
  Result() : Result<Unit>(Unit{}) {}
  Result(Error error) : Result<Unit>(std::move(error)) {}
  Result(Unit) : Result<Unit>(Unit{}) {}
};

using Status = Result<void>;

}  // namespace wisp

/// Evaluates to the value of a Result, or returns its error from the calling function.
#define WISP_TRY(expression)                     \
  __extension__({                                \
    auto wisp_try_result = (expression);         \
    if (!wisp_try_result.ok()) {                 \
      return std::move(wisp_try_result).error(); \
    }                                            \
    std::move(wisp_try_result).value();          \
  })
