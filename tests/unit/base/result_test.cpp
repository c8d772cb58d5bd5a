#include "vmm/base/result.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <memory>

namespace wisp {
namespace {

Result<std::unique_ptr<int>> make(int value) {
  if (value < 0) {
    return Error(ErrorCode::InvalidArgument, "negative");
  }
  return std::make_unique<int>(value);
}

Result<int> twice(int value) {
  const auto number = WISP_TRY(make(value));
  return *number * 2;
}

Status check(int value) {
  (void)WISP_TRY(twice(value));
  return {};
}

TEST_CASE("A value passes through WISP_TRY, move-only values included") {
  const Result<int> result = twice(21);
  REQUIRE(result.ok());
  CHECK(result.value() == 42);
  CHECK(static_cast<bool>(result));
  CHECK(check(1).ok());
}

TEST_CASE("An error passes through WISP_TRY with its code and text") {
  const Status result = check(-1);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code() == ErrorCode::InvalidArgument);
  CHECK(result.error().text() == "negative");
  CHECK(result.error().sys_errno() == 0);
}

TEST_CASE("A host error names what was tried, the reason, its number and the remedy") {
  const Error with_remedy = Error::host(ENOENT, "cannot open '/x'", "Create it");
  CHECK(with_remedy.text() == "cannot open '/x': No such file or directory (os error 2). Create it");
  CHECK(with_remedy.code() == ErrorCode::HostFault);
  CHECK(with_remedy.sys_errno() == ENOENT);
  CHECK(Error::host(ENOENT, "cannot open '/x'").text() == "cannot open '/x': No such file or directory (os error 2)");
}

TEST_CASE("A prefix goes before the text and changes nothing else") {
  const Error error = Error::host(EIO, "read failed").with_prefix("Drive 'a': ");
  CHECK(error.text().rfind("Drive 'a': read failed", 0) == 0);
  CHECK(error.sys_errno() == EIO);
}

}  // namespace
}  // namespace wisp
