#include "vmm/base/confinement.h"

namespace wisp {
namespace {

ConfineThread confine_function = nullptr;
thread_local ThreadKind thread_kind = ThreadKind::Setup;

}  // namespace

void set_confinement(ConfineThread confine) {
  confine_function = confine;
}

void confine_this_thread(ThreadKind kind) {
  thread_kind = kind;
  if (confine_function != nullptr) {
    confine_function(kind);
  }
}

void name_thread_kind(ThreadKind kind) {
  thread_kind = kind;
}

ThreadKind this_thread_kind() {
  return thread_kind;
}

}  // namespace wisp
