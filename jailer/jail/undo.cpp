#include "jailer/jail/undo.h"

namespace wisp {

void UndoLog::run() {
  while (!entries_.empty()) {
    const std::function<void()> take_back = std::move(entries_.back());
    entries_.pop_back();
    take_back();
  }
}

}  // namespace wisp
