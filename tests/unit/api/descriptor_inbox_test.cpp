#include "api/descriptor_inbox.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

#include "api/router.h"
#include "tests/unit/api/fake_port.h"

namespace wisp::api {
namespace {

struct Pair {
  Pair() {
    std::array<int, 2> raw{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw.data()) == 0);
    client = Fd(raw[0]);
    server = Fd(raw[1]);
  }

  void send(const char* text, std::size_t count) const {
    const std::vector<int> raw(count, STDIN_FILENO);
    std::vector<std::byte> control(CMSG_SPACE(count * sizeof(int)));
    iovec body{const_cast<char*>(text), std::strlen(text)};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = count > 0 ? control.size() : 0;
    if (cmsghdr* const header = CMSG_FIRSTHDR(&message); header != nullptr) {
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(count * sizeof(int));
      std::memcpy(CMSG_DATA(header), raw.data(), count * sizeof(int));
    }
    REQUIRE(::sendmsg(client.raw(), &message, 0) == static_cast<ssize_t>(body.iov_len));
  }

  ssize_t receive(DescriptorInbox& inbox) const {
    std::array<char, 64> chunk{};
    return inbox.receive(server.ref(), chunk);
  }

  Fd client;
  Fd server;
};

/// The number that the next descriptor would get: grows with every one that is left open.
int next_number() {
  return Fd(::dup(STDIN_FILENO)).raw();
}

TEST_CASE("Descriptors of several pieces of a request are kept together, close-on-exec, until they are taken") {
  const Pair pair;
  const int before = next_number();
  DescriptorInbox inbox;
  pair.send("PUT", 2);
  pair.send(" /", 0);
  pair.send("x", 1);
  CHECK(pair.receive(inbox) == 3);
  CHECK(pair.receive(inbox) == 3);
  CHECK_FALSE(inbox.is_over_limit());
  {
    const std::vector<Fd> taken = inbox.take();
    REQUIRE(taken.size() == 3);
    for (const Fd& each : taken) {
      CHECK(::fcntl(each.raw(), F_GETFD) == FD_CLOEXEC);
    }
  }
  CHECK(inbox.take().empty());
  CHECK(next_number() == before);
}

TEST_CASE("As many descriptors as the limit says pass, and one more does not") {
  const std::size_t count = GENERATE(as<std::size_t>{}, 32, 33, 200);
  CAPTURE(count);
  const Pair pair;
  const int before = next_number();
  DescriptorInbox inbox;
  pair.send("x", count);
  CHECK(pair.receive(inbox) == 1);
  CHECK(inbox.is_over_limit() == (count > kMaxRequestDescriptors));
  inbox.clear();
  CHECK(next_number() == before);
}

TEST_CASE("Pieces that are too many together are noticed, too") {
  const Pair pair;
  DescriptorInbox inbox;
  pair.send("x", kMaxRequestDescriptors);
  CHECK(pair.receive(inbox) == 1);
  CHECK_FALSE(inbox.is_over_limit());
  pair.send("y", 1);
  CHECK(pair.receive(inbox) == 1);
  CHECK(inbox.is_over_limit());
}

TEST_CASE("With nothing there the call does not wait, and at the end it says so") {
  Pair pair;
  DescriptorInbox inbox;
  CHECK(pair.receive(inbox) == -1);
  CHECK(errno == EAGAIN);
  pair.client.reset();
  CHECK(pair.receive(inbox) == 0);
}

TEST_CASE("Only a load takes descriptors; any other request is refused and reaches nobody") {
  test::FakePort port;
  ApiMetrics metrics;
  Router router(port, metrics);
  const auto one = [] {
    std::vector<Fd> list;
    list.emplace_back(::dup(STDIN_FILENO));
    return list;
  };
  const int before = next_number();
  CHECK(router.answer({Method::Get, "/", ""}, one()).status == kStatusBadRequest);
  CHECK(router.answer({Method::Get, "/version", ""}, one()).status == kStatusBadRequest);
  CHECK(router.answer({Method::Put, "/actions", R"({"action_type":"FlushMetrics"})"}, one()).status ==
        kStatusBadRequest);
  CHECK(router.answer({Method::Put, "/snapshot/load", "{"}, one()).status == kStatusBadRequest);
  CHECK(port.command_count() == 0);
  CHECK(next_number() == before);
  const char* load = R"({"snapshot_descriptor":0,"mem_file_path":"/m"})";
  CHECK(router.answer({Method::Put, "/snapshot/load", load}, one()).status == kStatusNoContent);
  CHECK(port.only<LoadSnapshot>().descriptors->size() == 1);
}

}  // namespace
}  // namespace wisp::api
