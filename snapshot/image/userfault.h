// UserfaultMemory: guest memory whose pages another process delivers, one by one, when they are first touched.
//
//   UserfaultMemory source = WISP_TRY(UserfaultMemory::create(regions, PageBacking::Normal, "/run/handler.sock"));
//   GuestMemory memory = source.take_memory();                       // nothing has been read yet
//   auto watch = WISP_TRY(HandlerWatch::create(loop, source.handler_socket(), handler_gone));
//   auto guard = WISP_TRY(HandlerGuard::create(source, ...));        // handler_guard.h
//
// The handler listens on a Unix stream socket. It is sent one message: a JSON array that says where each region lies in
// this process and where its bytes lie in the memory file, and with it one descriptor, the userfaultfd. Nothing else
// ever goes over the socket, in either direction; it stays open so that each side sees when the other one ends.
//
// What keeps a failing handler from becoming wrong memory:
//   - A userfaultfd that nobody holds is a disaster: the kernel then answers every fault, waiting ones included, with a
//     page of zeros. So this object keeps its own copy of the descriptor open, and MUST live until no vCPU and no
//     request touches the memory any more. As long as it does, a page that the handler owes is waited for.
//   - Waiting has no end of its own. A thread that touches an absent page waits in the kernel, and so does whoever
//     discards pages (balloon, virtio-mem) until the handler has read the event that tells it so. The event loop does
//     both, therefore a HandlerWatch, which runs on the loop, is not enough; a HandlerGuard, a thread of its own that
//     touches no guest memory, sees a handler that is gone or stalls even when the loop is stuck behind it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "vmm/base/fd.h"
#include "vmm/events/event_loop.h"
#include "vmm/memory/guest_memory.h"

namespace wisp {

/// Whether this process could restore memory through userfaultfd: one is made and closed.
Status try_userfault();

class UserfaultMemory {
 public:
  /// How long a handler may take to accept the connection and the message.
  static constexpr int kHandOffLimitMs = 5000;

  /// Maps empty memory, registers it and hands it over. `regions` need not be checked before; their `file` is not
  /// looked at. When this fails, no handler has been told anything.
  static Result<UserfaultMemory> create(std::span<const RegionPlan> regions, PageBacking backing,
                                        const std::string& handler_socket_path);
  /// The same with a stream socket that somebody else has connected with the handler.
  static Result<UserfaultMemory> create(std::span<const RegionPlan> regions, PageBacking backing, Fd handler_socket);

  UserfaultMemory(UserfaultMemory&&) noexcept = default;
  UserfaultMemory& operator=(UserfaultMemory&&) noexcept = default;

  /// The memory, once (asserted).
  GuestMemory take_memory();
  /// Our end of the connection. It is never read; the handler is gone when it hangs up.
  FdRef handler_socket() const { return socket_.ref(); }
  /// Our copy of the descriptor. Reading it would take messages away from the handler; polling it is harmless.
  FdRef userfault() const { return userfault_.ref(); }

 private:
  UserfaultMemory(GuestMemory memory, Fd userfault, Fd socket)
      : userfault_(std::move(userfault)), socket_(std::move(socket)), memory_(std::move(memory)) {}
  static Result<UserfaultMemory> create_with(std::span<const RegionPlan> regions, PageBacking backing,
                                             const std::function<Result<Fd>()>& connect);
  static Result<std::string> register_regions(const GuestMemory& memory, FdRef userfault, PageBacking backing);

  Fd userfault_;
  Fd socket_;
  std::optional<GuestMemory> memory_;
};

/// Calls back once, on the loop's thread, when the handler is gone. It wakes up for nothing else.
class HandlerWatch final : public EventHandler {
 public:
  /// The socket's owner outlives the watch.
  static Result<std::unique_ptr<HandlerWatch>> create(EventLoop& loop, FdRef handler_socket,
                                                      std::function<void()> gone);
  HandlerWatch(EventLoop& loop, FdRef handler_socket, std::function<void()> gone)
      : loop_(loop), socket_(handler_socket), gone_(std::move(gone)) {}
  ~HandlerWatch() override { loop_.unwatch(socket_, *this); }

  void on_event(std::uint32_t events) override;

 private:
  EventLoop& loop_;
  FdRef socket_;
  std::function<void()> gone_;
};

}  // namespace wisp
