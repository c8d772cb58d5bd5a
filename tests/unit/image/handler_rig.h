// A page fault handler in the test's own process, and what a test does with a userfaultfd itself.
#pragma once

#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "vmm/base/fd.h"
#include "vmm/events/event_fd.h"

namespace wisp::handler_rig {

inline constexpr std::uint64_t kPage = 4096;

/// What the memory file of the tests holds: never zero, and another byte at the same place of each page.
inline std::byte file_byte(std::uint64_t offset) {
  return static_cast<std::byte>(1 + (offset / kPage * 7 + offset) % 251);
}

inline Fd bind_socket(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof(address.sun_path));
  std::ranges::copy(path, address.sun_path);
  Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(socket.raw(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return socket;
}

/// Blocks until there is something to read, and leaves it there.
inline void wait_for_message(FdRef userfault) {
  pollfd look{.fd = userfault.raw(), .events = POLLIN, .revents = 0};
  (void)::poll(&look, 1, -1);
}

inline uffd_msg take_message(FdRef userfault) {
  uffd_msg message{};
  wait_for_message(userfault);
  (void)!::read(userfault.raw(), &message, sizeof(message));
  return message;
}

/// Resolves a fault with a page that is full of `value`.
inline void bring_page(FdRef userfault, std::uint64_t host, std::byte value) {
  const std::vector<std::byte> page(kPage, value);
  uffdio_copy copy{};
  copy.dst = host;
  copy.src = reinterpret_cast<std::uintptr_t>(page.data());
  copy.len = kPage;
  CHECK(::ioctl(userfault.raw(), UFFDIO_COPY, &copy) == 0);
}

enum class Conduct {
  Serve,        ///< as it should
  HoldStill,    ///< takes the message and then does nothing
  CloseAtOnce,  ///< hangs up without a look at the message
};

class TestHandler {
 public:
  TestHandler(std::string path, Conduct conduct)
      : path_(std::move(path)),
        conduct_(conduct),
        listener_(bind_socket(path_, SOCK_STREAM)),
        end_(std::move(EventFd::create()).value()),
        handed_over_(std::move(EventFd::create()).value()) {
    REQUIRE(::listen(listener_.raw(), 4) == 0);
    thread_ = std::thread([this] { run(); });
  }
  TestHandler(const TestHandler&) = delete;
  TestHandler& operator=(const TestHandler&) = delete;
  ~TestHandler() { end(); }

  const std::string& path() const { return path_; }
  /// From then on the thread has set everything that the message tells.
  void wait_for_hand_over() {
    wait_for_message(handed_over_.ref());
    (void)handed_over_.drain();  // a race detector sees the order by what is read, not by what is polled
    handed_over_.signal();
  }
  const std::string& text() const { return text_; }
  std::size_t descriptor_count() const { return userfaults_.size(); }
  std::size_t unread_bytes() const {
    int count = 0;
    (void)::ioctl(connection_.raw(), FIONREAD, &count);
    return static_cast<std::size_t>(count);
  }
  std::size_t served_count() const { return served_count_; }
  std::uint64_t removed_bytes() const { return removed_bytes_; }
  void say(const std::string& text) {
    CHECK(::send(connection_.raw(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
  /// The end of a handler process: its copies of all descriptors are closed.
  void hang_up() {
    end();
    userfaults_.clear();
    connection_.reset();
  }

 private:
  struct Region {
    std::uint64_t host;
    std::uint64_t size_bytes;
    std::uint64_t offset;
    std::uint64_t page_bytes;
  };

  void end() {
    if (thread_.joinable()) {
      end_.signal();
      thread_.join();
    }
  }

  bool wait_for(FdRef fd) {
    std::array<pollfd, 2> wanted = {pollfd{.fd = end_.ref().raw(), .events = POLLIN, .revents = 0},
                                    pollfd{.fd = fd.raw(), .events = POLLIN, .revents = 0}};
    (void)::poll(wanted.data(), wanted.size(), -1);
    return wanted[0].revents == 0;
  }

  void run() {
    if (!wait_for(listener_.ref())) {
      return;
    }
    connection_ = Fd(::accept4(listener_.raw(), nullptr, nullptr, SOCK_CLOEXEC));
    if (conduct_ == Conduct::CloseAtOnce) {
      connection_.reset();
      return;
    }
    if (!wait_for(connection_.ref())) {
      return;
    }
    receive();
    handed_over_.signal();
    while (conduct_ == Conduct::Serve && wait_for(userfaults_.front().ref())) {
      serve();
    }
  }

  void receive() {
    std::array<char, 64 * 1024> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
    iovec body{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(connection_.raw(), &message, MSG_CMSG_CLOEXEC);
    text_.assign(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      for (std::size_t at = 0; at + CMSG_LEN(0) + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
        int raw = -1;
        std::memcpy(&raw, CMSG_DATA(header) + at, sizeof(raw));
        userfaults_.emplace_back(raw);
      }
    }
    parse_regions();
  }

  void parse_regions() {
    std::size_t at = 0;
    const auto next = [this, &at](const char* name) {
      at = text_.find(std::string("\"") + name + "\":", at) + std::strlen(name) + 3;
      return std::strtoull(text_.c_str() + at, nullptr, 10);
    };
    while (text_.find('{', at) != std::string::npos) {
      Region region{};
      region.host = next("base_host_virt_addr");
      region.size_bytes = next("size");
      region.offset = next("offset");
      region.page_bytes = next("page_size");
      regions_.push_back(region);
    }
  }

  void serve() {
    uffd_msg message{};
    if (::read(userfaults_.front().raw(), &message, sizeof(message)) != sizeof(message)) {
      return;
    }
    if (message.event == UFFD_EVENT_REMOVE) {
      removed_bytes_ += message.arg.remove.end - message.arg.remove.start;
      for (std::uint64_t host = message.arg.remove.start; host < message.arg.remove.end; host += kPage) {
        removed_.insert(host);
      }
      return;
    }
    for (const Region& region : regions_) {
      const std::uint64_t address = message.arg.pagefault.address;
      if (address >= region.host && address - region.host < region.size_bytes) {
        bring(region, (address - region.host) / region.page_bytes * region.page_bytes);
      }
    }
  }

  void bring(const Region& region, std::uint64_t offset) {
    std::vector<std::byte> page(region.page_bytes);
    for (std::uint64_t index = 0; index < region.page_bytes && !removed_.contains(region.host + offset); ++index) {
      page[index] = file_byte(region.offset + offset + index);
    }
    uffdio_copy copy{};
    copy.dst = region.host + offset;
    copy.src = reinterpret_cast<std::uintptr_t>(page.data());
    copy.len = region.page_bytes;
    ++served_count_;
    // Again as long as a discard has told its removal and is not done yet.
    while (::ioctl(userfaults_.front().raw(), UFFDIO_COPY, &copy) != 0 && errno == EAGAIN) {
    }
  }

  std::string path_;
  Conduct conduct_;
  Fd listener_;
  EventFd end_;
  EventFd handed_over_;
  Fd connection_;
  std::string text_;
  std::vector<Fd> userfaults_;
  std::vector<Region> regions_;
  std::set<std::uint64_t> removed_;
  std::atomic<std::size_t> served_count_ = 0;
  std::atomic<std::uint64_t> removed_bytes_ = 0;
  std::thread thread_;
};

}  // namespace wisp::handler_rig
