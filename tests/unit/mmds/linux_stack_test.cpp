// The service against the TCP of the Linux kernel: a TAP interface in a network namespace of its own, whose other end
// is the endpoint in this process. Skipped, with the reason, where the host gives no such namespace.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "virtio/mmds/metadata_endpoint.h"

namespace wisp::mmds::test {
namespace {

constexpr int kSkipped = 77;
constexpr int kParallel = 20;
constexpr int kRequestsEach = 5;
constexpr int kPatienceSeconds = 60;

[[noreturn]] void leave(int code, const char* what) {
  std::fprintf(stderr, "%s: %s (%s)\n", code == kSkipped ? "SKIP" : "failed", what, std::strerror(errno));
  ::_exit(code);
}

void must(bool condition, int code, const char* what) {
  if (!condition) {
    leave(code, what);
  }
}

void write_file(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  must(fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), kSkipped, path);
  ::close(fd);
}

/// A namespace with one TAP interface that has the address 169.254.1.7/16; the descriptor is the wire.
int make_wire() {
  const std::string user = "0 " + std::to_string(::getuid()) + " 1";
  const std::string group = "0 " + std::to_string(::getgid()) + " 1";
  must(::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, kSkipped, "no user and network namespace");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", user);
  write_file("/proc/self/gid_map", group);
  const int tap = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  must(tap >= 0, kSkipped, "/dev/net/tun cannot be opened");
  ifreq request{};
  std::strcpy(request.ifr_name, "t0");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  must(::ioctl(tap, TUNSETIFF, &request) == 0, kSkipped, "no TAP interface");
  const int control = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0xa9fe0107U);
  std::memcpy(&request.ifr_addr, &address, sizeof(address));
  must(::ioctl(control, SIOCSIFADDR, &request) == 0, kSkipped, "the interface takes no address");
  address.sin_addr.s_addr = htonl(0xffff0000U);
  std::memcpy(&request.ifr_netmask, &address, sizeof(address));
  must(::ioctl(control, SIOCSIFNETMASK, &request) == 0, kSkipped, "the interface takes no netmask");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  must(::ioctl(control, SIOCSIFFLAGS, &request) == 0, kSkipped, "the interface does not come up");
  ::close(control);
  return tap;
}

/// The part of a network device: frames between the wire and the endpoint. Every tenth frame to the guest is lost.
class Wire final : public EventHandler {
 public:
  Wire(int tap, FrameDetour& detour) : tap_(tap), detour_(detour) {
    detour_.set_wake([this] { deliver(); });
  }
  void on_event(std::uint32_t /*events*/) override {
    std::vector<std::byte> frame(2048);
    ssize_t length = 0;
    while ((length = ::read(tap_, frame.data(), frame.size())) > 0) {
      const auto bytes = std::span(frame).first(static_cast<std::size_t>(length));
      if (detour_.takes(bytes.first(std::min(bytes.size(), kDetourHeadBytes)))) {
        detour_.receive(bytes);
      }
      deliver();
    }
  }

 private:
  void deliver() {
    std::array<std::byte, kMaxDetourFrameBytes> frame;
    while (const std::size_t length = detour_.next_reply(frame)) {
      if (++count_ % 10 != 0) {
        must(::write(tap_, frame.data(), length) == static_cast<ssize_t>(length), 1, "write to the wire");
      }
    }
  }
  int tap_;
  FrameDetour& detour_;
  unsigned count_ = 0;
};

/// Sends `request` on a connected socket and reads one answer; returns its body.
std::string exchange(int socket, const std::string& request) {
  must(::send(socket, request.data(), request.size(), 0) == static_cast<ssize_t>(request.size()), 1, "send");
  std::string answer;
  std::vector<char> buffer(65536);
  while (true) {
    const std::size_t end = answer.find("\r\n\r\n");
    if (end != std::string::npos) {
      const std::size_t field = answer.find("Content-Length: ");
      const std::size_t length = std::stoul(answer.substr(field + 16));
      if (answer.size() == end + 4 + length) {
        return answer.substr(end + 4);
      }
    }
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    must(got > 0, 1, "recv");
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

int connect_to_service() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{kPatienceSeconds, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  address.sin_addr.s_addr = htonl(0xa9fea9feU);
  must(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, 1, "connect");
  return socket;
}

void run_client(const std::string& document) {
  const int socket = connect_to_service();
  const std::string token =
      exchange(socket, "PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\n\r\n");
  const std::string request = "GET /big HTTP/1.1\r\nX-metadata-token: " + token + "\r\n\r\n";
  for (int count = 0; count < kRequestsEach; ++count) {
    must(exchange(socket, request) == document, 1, "the document is not what was put");
  }
  ::close(socket);
}

int run_in_namespace() {
  const int tap = make_wire();
  std::string document;
  while (document.size() < 50'000) {
    document += std::to_string(document.size()) + ",";
  }
  MetadataStore store(kDefaultMetadataLimitBytes);
  must(store.put(R"({"big":")" + document + "\"}").ok(), 1, "put");
  MonotonicClock clock;
  MmdsMetrics metrics;
  auto loop = std::move(EventLoop::create()).value();
  auto service =
      std::move(MetadataService::create({MmdsVersion::V2, {"t0"}, {}, false}, store, "vm", *loop, clock, metrics))
          .value();
  auto endpoint = std::move(MetadataEndpoint::create(*service, *loop, clock)).value();
  Wire wire(tap, *endpoint);
  must(loop->watch(FdRef(tap), Interest::Readable, wire).ok(), 1, "watch");
  std::thread device([&] { loop->run(); });
  std::vector<std::thread> clients;
  for (int count = 0; count < kParallel; ++count) {
    clients.emplace_back([&] { run_client(document); });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  loop->stop();
  device.join();
  must(metrics.connections_created.total() >= kParallel, 1, "connections were not counted");
  must(metrics.rx_accepted_err.total() == 0, 1, "frames of the kernel were refused");
  loop->unwatch(FdRef(tap), wire);
  return 0;
}

}  // namespace

TEST_CASE("20 connections of the Linux TCP read 50 KB each, many times, over a wire that loses frames") {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::_exit(run_in_namespace());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kSkipped) {
    WARN("SKIP: this host gives no network namespace with a TAP interface; the reason stands above");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace wisp::mmds::test
