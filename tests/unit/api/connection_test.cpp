#include "api/connection.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/api/fake_port.h"

using namespace wisp;
using namespace wisp::api;

namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

/// Every look at it takes a second.
class RushingClock final : public Clock {
 public:
  std::uint64_t now_ns() const override { return now_ns_ += kNsPerSecond; }

 private:
  mutable std::uint64_t now_ns_ = 0;
};

/// Two ends of a connection that keeps the borders between sends: each receive gets what one send gave.
struct Ends {
  Ends() {
    int raw[2];
    WISP_ASSERT(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw) == 0);
    client = Fd(raw[0]);
    server = Fd(raw[1]);
  }
  void send(const std::string& bytes) const {
    WISP_ASSERT(::send(client.raw(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  std::string received() const {
    char chunk[4096];
    const ssize_t length = ::recv(client.raw(), chunk, sizeof(chunk), MSG_DONTWAIT);
    return length > 0 ? std::string(chunk, static_cast<std::size_t>(length)) : std::string();
  }
  Fd client;
  Fd server;
};

struct Served {
  explicit Served(ConnectionLimits limits) : context{engine, router, clock, limits} {}
  test::FakePort port;
  ApiMetrics metrics;
  Router router{port, metrics};
  HttpEngine engine;
  RushingClock clock;
  ConnectionContext context;
};

}  // namespace

TEST_CASE("A request that drips in is refused when its one deadline is over, although each byte came at once") {
  Served served({.request_deadline_ms = 5'000, .linger_ms = 1'000});
  Ends ends;
  ends.send("PUT /logger HTTP/1.1\r\nContent-Length: 8\r\n\r\n");
  for (const char byte : std::string("{      }")) {
    ends.send(std::string(1, byte));
  }
  ::shutdown(ends.client.raw(), SHUT_WR);

  Connection(ends.server.ref(), served.context).serve();

  const std::string answer = ends.received();
  CHECK(answer.starts_with("HTTP/1.1 400"));
  CHECK(answer.find("not complete within 5000 ms") != std::string::npos);
  CHECK(served.port.command_count() == 0);
}

TEST_CASE("The same request is carried out when its bytes are all here before the deadline") {
  Served served({.request_deadline_ms = 60'000});
  Ends ends;
  ends.send("PUT /logger HTTP/1.1\r\nContent-Length: 8\r\n\r\n");
  for (const char byte : std::string("{      }")) {
    ends.send(std::string(1, byte));
  }
  ::shutdown(ends.client.raw(), SHUT_WR);

  Connection(ends.server.ref(), served.context).serve();

  CHECK(ends.received().starts_with("HTTP/1.1 204"));
  CHECK(served.port.command_count() == 1);
}

TEST_CASE("A pipelined rest has its own deadline, counted from the answer before it") {
  Served served({.request_deadline_ms = 8'000});
  Ends ends;
  ends.send("GET /version HTTP/1.1\r\n\r\nGET /ver");
  ends.send("sion HTTP/1.1\r\n\r\n");
  ::shutdown(ends.client.raw(), SHUT_WR);

  Connection(ends.server.ref(), served.context).serve();

  CHECK(ends.received().starts_with("HTTP/1.1 200"));
  CHECK(ends.received().starts_with("HTTP/1.1 200"));
}

TEST_CASE("A client that says nothing until the idle deadline loses its connection without a word") {
  Served served({.idle_deadline_ms = 1'000});
  Ends ends;

  Connection(ends.server.ref(), served.context).serve();

  CHECK(ends.received().empty());
  CHECK(served.port.command_count() == 0);
}

TEST_CASE("Requests that are there before the idle deadline are all answered") {
  Served served({.idle_deadline_ms = 1'000});
  Ends ends;
  ends.send("GET /version HTTP/1.1\r\n\r\n");
  ends.send("GET /version HTTP/1.1\r\n\r\n");

  Connection(ends.server.ref(), served.context).serve();

  CHECK(ends.received().starts_with("HTTP/1.1 200"));
  CHECK(ends.received().starts_with("HTTP/1.1 200"));
}
