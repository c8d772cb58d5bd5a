// The usual end of a command: nothing to say, or the error with the prefix of its subject.
#pragma once

#include <utility>

#include "vmm/config/command.h"

namespace wisp {

inline Result<Reply> reply_or_prefix(Status status, const char* prefix) {
  if (!status.ok()) {
    return std::move(status).error().with_prefix(prefix);
  }
  return Reply(Unit{});
}

template <typename T>
Result<Reply> answer_or_prefix(Result<T> result, const char* prefix) {
  if (!result.ok()) {
    return std::move(result).error().with_prefix(prefix);
  }
  return Reply(std::move(result).value());
}

}  // namespace wisp
