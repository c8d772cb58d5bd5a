// A controller that does nothing but remember: what the API asked for, and what it shall answer.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "vmm/config/command.h"

namespace wisp::test {

class FakePort final : public CommandPort {
 public:
  Result<Reply> execute(Command command) override {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
    return answer_;
  }

  void answer_with(Result<Reply> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  /// Which alternative of Command the last one was.
  std::size_t last_index() const {
    const std::lock_guard lock(mutex_);
    WISP_ASSERT(!commands_.empty());
    return commands_.back().index();
  }
  std::size_t command_count() const {
    const std::lock_guard lock(mutex_);
    return commands_.size();
  }
  /// The only command so far, which must be a T.
  template <typename T>
  const T& only() const {
    const std::lock_guard lock(mutex_);
    WISP_ASSERT(commands_.size() == 1 && std::holds_alternative<T>(commands_.front()));
    return *std::get_if<T>(&commands_.front());
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Command> commands_;
  Result<Reply> answer_ = Reply(Unit{});
};

}  // namespace wisp::test
