// A thread with a small stack of fixed size and a name that `ps` shows; joined by its destructor.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <memory>

#include "vmm/base/result.h"

namespace wisp::api {

/// Enough for parsing a body of the greatest nesting and for one log line; pages that are not touched cost nothing.
inline constexpr std::size_t kThreadStackBytes = std::size_t{256} * 1024;
inline constexpr const char* kThreadName = "wisp_api";

class Thread {
 public:
  static Result<Thread> start(std::function<void()> work);

  Thread() = default;
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() { join(); }

  void join();

 private:
  bool is_running_ = false;
  pthread_t handle_{};
};

}  // namespace wisp::api
