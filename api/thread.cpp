#include "api/thread.h"

#include <utility>

#include "vmm/base/confinement.h"
#include "vmm/base/log.h"

namespace wisp::api {
namespace {

void* run(void* argument) {
  const std::unique_ptr<std::function<void()>> work(static_cast<std::function<void()>*>(argument));
  pthread_setname_np(pthread_self(), kThreadName);
  log::set_thread_name("api");
  name_thread_kind(ThreadKind::Api);
  (*work)();
  return nullptr;
}

}  // namespace

Result<Thread> Thread::start(std::function<void()> work) {
  auto argument = std::make_unique<std::function<void()>>(std::move(work));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStackBytes);
  Thread thread;
  const int error = pthread_create(&thread.handle_, &attributes, run, argument.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return Error::host(error, "cannot start a thread of the API server", "Raise the limit on processes (ulimit -u).");
  }
  static_cast<void>(argument.release());  // the new thread owns it
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

}  // namespace wisp::api
