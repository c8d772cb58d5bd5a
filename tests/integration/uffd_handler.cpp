// uffd_handler SOCKET MEMORY_FILE: a page fault handler that serves a snapshot's memory file.
//
// Listens on SOCKET, prints "listening", takes one monitor, prints "serving N regions", and then answers, in one
// thread:
//   a fault     the pages around it from the file (UFFDIO_COPY), or zeros when they were removed since
//   a removal   remembered; a page that was removed is zero from then on
// Ends when the monitor hangs up, with "served C copied, Z zeroed, R removed" on standard output.
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kMaxMessageBytes = 64 * 1024;

struct Region {
  std::uint64_t host = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t file_offset = 0;
  std::uint64_t page_bytes = 0;
  std::vector<bool> removed;  // by page
};

struct Totals {
  unsigned long copied = 0;
  unsigned long zeroed = 0;
  unsigned long removals = 0;
};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

// ---------------------------------------------------------------------------------------------------------------------
// The hand-over.

int listen_on(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof(address.sun_path)) {
    errno = ENAMETOOLONG;
    give_up(path);
  }
  std::strcpy(address.sun_path, path);
  (void)::unlink(path);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || ::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener, 1) != 0) {
    give_up(path);
  }
  return listener;
}

/// The text of the one message, and the one descriptor that came with it.
std::string receive(int connection, int& userfault) {
  std::string text(kMaxMessageBytes, '\0');
  alignas(cmsghdr) std::array<char, CMSG_SPACE(4 * sizeof(int))> control{};
  iovec body{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &body;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* const header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int))) {
    std::fprintf(stderr, "the message has no descriptor, or more than one\n");
    std::exit(1);
  }
  std::memcpy(&userfault, CMSG_DATA(header), sizeof(userfault));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

std::uint64_t number_after(const std::string& text, const char* name, std::size_t& from) {
  const std::string key = std::string("\"") + name + "\":";
  const std::size_t at = text.find(key, from);
  if (at == std::string::npos) {
    std::fprintf(stderr, "the message lacks %s: %s\n", name, text.c_str());
    std::exit(1);
  }
  from = at + key.size();
  return std::strtoull(text.c_str() + from, nullptr, 10);
}

std::vector<Region> regions_of(const std::string& text) {
  std::vector<Region> regions;
  std::size_t at = 0;
  while (text.find('{', at) != std::string::npos) {
    Region region;
    region.host = number_after(text, "base_host_virt_addr", at);
    region.size_bytes = number_after(text, "size", at);
    region.file_offset = number_after(text, "offset", at);
    region.page_bytes = number_after(text, "page_size", at);
    region.removed.resize(region.size_bytes / region.page_bytes);
    regions.push_back(std::move(region));
  }
  return regions;
}

// ---------------------------------------------------------------------------------------------------------------------
// Serving.

class Pager {
 public:
  Pager(int userfault, std::vector<Region> regions, const std::byte* file)
      : userfault_(userfault), regions_(std::move(regions)), file_(file) {
    std::uint64_t largest = 0;
    for (const Region& region : regions_) {
      largest = region.page_bytes > largest ? region.page_bytes : largest;
    }
    zeros_.resize(largest);
  }

  /// Everything that is there now. Faults wait in waiting_ until no event is left: a page must not be copied while the
  /// kernel has a removal to tell (it answers EAGAIN), and the removal may be of that very page.
  void take_messages() {
    uffd_msg message{};
    while (::read(userfault_, &message, sizeof(message)) == sizeof(message)) {
      if (message.event == UFFD_EVENT_REMOVE) {
        remove(message.arg.remove.start, message.arg.remove.end);
      } else if (message.event == UFFD_EVENT_PAGEFAULT) {
        waiting_.push_back(message.arg.pagefault.address);
      }
    }
    std::vector<std::uint64_t> retry;
    for (const std::uint64_t address : waiting_) {
      if (!resolve(address)) {
        retry.push_back(address);
      }
    }
    waiting_ = std::move(retry);
  }

  bool has_waiting() const { return !waiting_.empty(); }
  const Totals& totals() const { return totals_; }

 private:
  Region& region_of(std::uint64_t address) {
    for (Region& region : regions_) {
      if (address >= region.host && address - region.host < region.size_bytes) {
        return region;
      }
    }
    std::fprintf(stderr, "a message about %llx, which is in no region\n", static_cast<unsigned long long>(address));
    std::exit(1);
  }

  void remove(std::uint64_t start, std::uint64_t end) {
    ++totals_.removals;
    Region& region = region_of(start);
    for (std::uint64_t address = start; address < end; address += region.page_bytes) {
      region.removed[(address - region.host) / region.page_bytes] = true;
    }
  }

  /// False: not now, the kernel has an event to tell first.
  bool resolve(std::uint64_t address) {
    Region& region = region_of(address);
    const std::uint64_t page = (address - region.host) / region.page_bytes;
    const std::uint64_t offset = page * region.page_bytes;
    const bool is_removed = region.removed[page];
    uffdio_copy copy{};
    copy.dst = region.host + offset;
    // Copied zeros: UFFDIO_ZEROPAGE does not know 2 MiB pages.
    copy.src = reinterpret_cast<std::uintptr_t>(is_removed ? zeros_.data() : file_ + region.file_offset + offset);
    copy.len = region.page_bytes;
    if (::ioctl(userfault_, UFFDIO_COPY, &copy) == 0) {
      ++(is_removed ? totals_.zeroed : totals_.copied);
      return true;
    }
    if (errno == EEXIST) {  // two threads wanted it; the first answer may have come before the second fault slept
      uffdio_range range{copy.dst, copy.len};
      (void)::ioctl(userfault_, UFFDIO_WAKE, &range);
      return true;
    }
    if (errno == EAGAIN) {
      return false;
    }
    if (errno == ESRCH || errno == ENOENT) {  // the monitor ends
      return true;
    }
    give_up("UFFDIO_COPY");
  }

  int userfault_;
  std::vector<Region> regions_;
  const std::byte* file_;
  std::vector<std::byte> zeros_;
  std::vector<std::uint64_t> waiting_;
  Totals totals_;
};

const std::byte* map_file(const char* path, const std::vector<Region>& regions) {
  std::uint64_t needed = 0;
  for (const Region& region : regions) {
    needed = region.file_offset + region.size_bytes > needed ? region.file_offset + region.size_bytes : needed;
  }
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    give_up(path);
  }
  if (static_cast<std::uint64_t>(status.st_size) < needed) {
    std::fprintf(stderr, "%s is smaller than the memory\n", path);
    std::exit(1);
  }
  void* const host = ::mmap(nullptr, needed, PROT_READ, MAP_PRIVATE, fd, 0);
  if (host == MAP_FAILED) {
    give_up(path);
  }
  return static_cast<const std::byte*>(host);
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) {
    std::fprintf(stderr, "usage: uffd_handler SOCKET MEMORY_FILE\n");
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int listener = listen_on(words[1]);
  std::puts("listening");
  const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (connection < 0) {
    give_up("accept");
  }
  int userfault = -1;
  std::vector<Region> regions = regions_of(receive(connection, userfault));
  std::printf("serving %zu regions\n", regions.size());
  const std::byte* const file = map_file(words[2], regions);
  Pager pager(userfault, std::move(regions), file);
  std::array<pollfd, 2> wanted = {pollfd{.fd = userfault, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = connection, .events = POLLRDHUP, .revents = 0}};
  while (wanted[1].revents == 0) {
    // A fault that could not be answered yet is tried again after the event that stood in its way, or soon.
    (void)::poll(wanted.data(), wanted.size(), pager.has_waiting() ? 1 : -1);
    pager.take_messages();
  }
  const Totals& totals = pager.totals();
  std::printf("served %lu copied, %lu zeroed, %lu removed\n", totals.copied, totals.zeroed, totals.removals);
  return 0;
}
