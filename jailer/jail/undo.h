// UndoLog: what the jailer has changed on the host so far, and how to take it back.
//
//   UndoLog undo;
//   undo.add([&parent] { ... });   // right after the change succeeded
//   ...
//   undo.run();     // a later step failed: newest first, then the log is empty
//
// A start that fails leaves the host as it found it, so that the same command can be tried again.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace wisp {

class UndoLog {
 public:
  void add(std::function<void()> take_back) { entries_.push_back(std::move(take_back)); }
  /// Takes everything back, newest first. A step that cannot be taken back does not keep the others from it.
  void run();
  /// What was changed belongs to somebody else by now.
  void forget() { entries_.clear(); }
  bool empty() const { return entries_.empty(); }

 private:
  std::vector<std::function<void()>> entries_;
};

}  // namespace wisp
