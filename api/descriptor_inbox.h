// DescriptorInbox: takes bytes off a client's socket, and keeps the descriptors that came with them.
//
//   const ssize_t length = inbox.receive(socket, chunk);   // as recv() answers; never waits
//   if (inbox.is_over_limit()) { ... the client is refused ... }
//   router.answer(request, inbox.take());                  // whoever takes them closes them
//
// A client may send whatever it has open, with any byte of a request, in as many pieces as it likes. So there are never
// more than kMaxRequestDescriptors here: what is more is closed by the kernel (it does not fit) or by us, and noticed.
// Every one is close-on-exec from the moment it exists.
#pragma once

#include <sys/types.h>

#include <span>
#include <utility>
#include <vector>

#include "vmm/config/descriptor.h"

namespace wisp::api {

class DescriptorInbox {
 public:
  ssize_t receive(FdRef socket, std::span<char> bytes);
  bool is_over_limit() const { return over_limit_; }
  std::vector<Fd> take() { return std::exchange(held_, {}); }
  void clear() { held_.clear(); }

 private:
  std::vector<Fd> held_;
  bool over_limit_ = false;
};

}  // namespace wisp::api
