// A thread with a small stack of fixed size and a name that `ps` shows; joined by its destructor.
//
//   constexpr ThreadStyle kStyle{.name = "wisp_api", .log_name = "api", .kind = ThreadKind::Api, .stack_bytes = 64 *
//   1024}; Thread thread = WISP_TRY(Thread::start(kStyle, [this] { serve(); }));
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <memory>

#include "vmm/base/confinement.h"
#include "vmm/base/result.h"

namespace wisp {

struct ThreadStyle {
  const char* name;         ///< at most 15 bytes (pthread_setname_np(3))
  const char* log_name;     ///< in the lines that the thread logs
  ThreadKind kind;          ///< what it says it is; the work confines it
  std::size_t stack_bytes;  ///< pages that are not touched cost nothing
};

class Thread {
 public:
  static Result<Thread> start(const ThreadStyle& style, std::function<void()> work);

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

}  // namespace wisp
