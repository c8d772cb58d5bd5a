#include "vmm/events/thread.h"

#include <string>
#include <utility>

#include "vmm/base/log.h"

namespace wisp {
namespace {

struct Task {
  ThreadStyle style;
  std::function<void()> work;
};

void* run(void* argument) {
  const std::unique_ptr<Task> task(static_cast<Task*>(argument));
  pthread_setname_np(pthread_self(), task->style.name);
  log::set_thread_name(task->style.log_name);
  name_thread_kind(task->style.kind);
  task->work();
  return nullptr;
}

}  // namespace

Result<Thread> Thread::start(const ThreadStyle& style, std::function<void()> work) {
  auto task = std::make_unique<Task>(Task{style, std::move(work)});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, style.stack_bytes);
  Thread thread;
  const int error = pthread_create(&thread.handle_, &attributes, run, task.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return Error::host(error, std::string("cannot start a thread of the kind ") + style.name,
                       "Raise the limit on processes (RLIMIT_NPROC, pids cgroup)");
  }
  static_cast<void>(task.release());  // the new thread owns it
  thread.is_running_ = true;
  return thread;
}

Thread::Thread(Thread&& other) noexcept
    : is_running_(std::exchange(other.is_running_, false)), handle_(other.handle_) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  join();
  is_running_ = std::exchange(other.is_running_, false);
  handle_ = other.handle_;
  return *this;
}

void Thread::join() {
  if (is_running_) {
    pthread_join(handle_, nullptr);
    is_running_ = false;
  }
}

}  // namespace wisp
