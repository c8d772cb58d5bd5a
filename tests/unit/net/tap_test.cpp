// A real TAP in a user and network namespace of its own. What the host does not allow is skipped, with the reason.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/unit/net/net_rig.h"

using namespace wisp;
using namespace wisp::fakes;

namespace {

enum ExitCode : int { kPassed = 0, kNoNamespace = 100, kNoTun = 101 };

/// Runs `body` in a child process inside new namespaces; its value is the exit code, the line that failed.
template <typename Body>
int in_namespace(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      ::_exit(kNoNamespace);
    }
    const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq probe{};
    probe.ifr_flags = IFF_TAP | IFF_NO_PI;
    ::_exit(!tun.valid() || ::ioctl(tun.raw(), TUNSETIFF, &probe) != 0 ? kNoTun : body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

void judge(int code) {
  if (code == kNoNamespace) {
    WARN("SKIP: the host refuses user and network namespaces");
  } else if (code == kNoTun) {
    WARN("SKIP: /dev/net/tun cannot be used here");
  } else {
    CHECK(code == kPassed);
  }
}

#define EXPECT_OR(code, condition) \
  do {                             \
    if (!(condition)) {            \
      return code;                 \
    }                              \
  } while (false)

void put_name(ifreq& request, std::string_view name) {
  std::ranges::copy(name, request.ifr_name);
}

bool bring_up(const char* name) {
  const Fd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  put_name(request, name);
  request.ifr_flags = IFF_UP;
  return ::ioctl(control.raw(), SIOCSIFFLAGS, &request) == 0;
}

/// A packet socket on the host's side of the interface.
Fd host_side(const char* name) {
  Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(0x88b5)));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(0x88b5);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  return ::bind(socket.raw(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? std::move(socket) : Fd();
}

/// Broadcast, experimental type: nothing on the host answers it.
Bytes host_frame(std::size_t size, std::uint8_t seed) {
  Bytes frame = make_frame(size, seed);
  std::fill_n(frame.begin(), 6, std::byte{0xff});
  std::fill_n(frame.begin() + 6, 6, std::byte{0x02});
  frame[12] = std::byte{0x88};
  frame[13] = std::byte{0xb5};
  return frame;
}

int frames_cross() {
  auto tap = Tap::open("wisp0");
  EXPECT_OR(1, tap.ok());
  EXPECT_OR(2, (tap.value().known_offloads() & offload::kCsum) != 0);
  const auto loop = std::move(EventLoop::create()).value();
  NetConfig config;
  config.iface_id = "eth0";
  auto created = NetDevice::create(config, std::move(tap).value(), nullptr, *loop);
  EXPECT_OR(3, created.ok());
  NetDevice& device = *created.value();
  const GuestMemory memory = make_memory();
  const auto interrupt = std::move(InterruptLine::create()).value();
  FakeSignals signals;
  FakeQueue rx(memory, kRxPlace, 16);
  FakeQueue tx(memory, kTxPlace, 16);
  const GuestView guest(memory);
  device.attach(signals);
  Activation activation{&memory, interrupt.get(), kMerge, {}};
  activation.queues.push_back(live_queue(memory, rx, kMerge));
  activation.queues.push_back(live_queue(memory, tx, kMerge));
  EXPECT_OR(4, device.activate(std::move(activation)).ok());

  // The link is down: EIO, counted, completed.
  const Bytes out = host_frame(700, 1);
  guest.fill(kTxBuffers, 12, 0);
  guest.put_bytes(kTxBuffers + 12, out);
  tx.offer(ChainBuilder(tx, 0).readable(kTxBuffers, 712).build());
  (void)device.on_queue(1);
  EXPECT_OR(5, tx.take_all_used().size() == 1 && device.metrics().tap_write_fails.total() == 1);

  EXPECT_OR(6, bring_up("wisp0"));
  const Fd host = host_side("wisp0");
  EXPECT_OR(7, host.valid());
  tx.offer(ChainBuilder(tx, 0).readable(kTxBuffers, 100).readable(kTxBuffers + 100, 612).build());
  (void)device.on_queue(1);
  EXPECT_OR(8, device.metrics().tx_packets_count.total() == 1);
  Bytes got(2000);
  EXPECT_OR(9, ::recv(host.raw(), got.data(), got.size(), 0) == 700);
  got.resize(700);
  EXPECT_OR(10, got == out);

  // Towards the driver: over two buffers, with the rest through the bounce buffer, found by the loop. The host's own
  // chatter (router solicitations) may come before.
  for (std::uint16_t slot = 0; slot < 16; ++slot) {
    rx.offer(ChainBuilder(rx, slot).writable(kRxBuffers + slot * std::uint64_t{0x1000}, 512).build());
  }
  const Bytes in = host_frame(900, 2);
  EXPECT_OR(11, ::send(host.raw(), in.data(), in.size(), 0) == 900);
  for (int turn = 0; turn < 3; ++turn) {
    loop->run_once(0);
  }
  Bytes all;
  for (const Used& used : rx.take_all_used()) {
    const Bytes part = guest.bytes(kRxBuffers + used.id * std::uint64_t{0x1000}, used.length);
    if (used.length == 512 && guest.get(kRxBuffers + used.id * std::uint64_t{0x1000} + 10, 2) == 2) {
      all.assign(part.begin() + 12, part.end());
    } else if (all.size() == 500) {
      all.insert(all.end(), part.begin(), part.end());
    }
  }
  EXPECT_OR(12, all == in);
  return kPassed;
}

int wrong_interfaces() {
  auto first = Tap::open("wisp1");
  EXPECT_OR(1, first.ok());
  const auto busy = Tap::open("wisp1");
  EXPECT_OR(2, !busy.ok() && busy.error().text().find("Another process has it open") != std::string::npos);
  const auto loopback = Tap::open("lo");
  EXPECT_OR(3, !loopback.ok() && loopback.error().text().find("not a single-queue TAP") != std::string::npos);
  // A persistent multi-queue TAP.
  const Fd many(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  put_name(request, "wisp2");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  EXPECT_OR(4, ::ioctl(many.raw(), TUNSETIFF, &request) == 0);
  EXPECT_OR(5, !Tap::open("wisp2").ok());
  EXPECT_OR(6, !Tap::adopt(Fd(::dup(many.raw()))).ok());
  return kPassed;
}

int adopts() {
  Fd raw(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request{};
  put_name(request, "wisp3");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  EXPECT_OR(1, ::ioctl(raw.raw(), TUNSETIFF, &request) == 0);
  EXPECT_OR(2, ::ioctl(raw.raw(), TUNSETPERSIST, 1) == 0);
  {
    const auto adopted = Tap::adopt(std::move(raw));
    EXPECT_OR(3, adopted.ok() && adopted.value().name() == "wisp3");
    EXPECT_OR(4, (::fcntl(adopted.value().event_fd().raw(), F_GETFL) & O_NONBLOCK) != 0);
  }
  EXPECT_OR(5, Tap::open("wisp3").ok());  // a persistent one is used again
  return kPassed;
}

}  // namespace

TEST_CASE("tap: names that no interface can have are refused") {
  for (const std::string& name :
       {std::string(), std::string("sixteen-bytes-xx"), std::string("a/b"), std::string("a\0b", 3)}) {
    const auto tap = Tap::open(name);
    REQUIRE_FALSE(tap.ok());
    CHECK(tap.error().text().find("Invalid interface name") == 0);
  }
}

TEST_CASE("tap: a descriptor that is no TAP is not adopted") {
  CHECK_FALSE(Tap::adopt(Fd(::open("/dev/null", O_RDWR | O_CLOEXEC))).ok());
}

TEST_CASE("tap: frames cross a real interface in both directions, and a link that is down does no harm") {
  judge(in_namespace(frames_cross));
}

TEST_CASE("tap: an interface that is busy, another kind or multi-queue is refused with a text that says so") {
  judge(in_namespace(wrong_interfaces));
}

TEST_CASE("tap: a given descriptor is taken over; a persistent interface is used again") {
  judge(in_namespace(adopts));
}
