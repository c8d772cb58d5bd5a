#include "api/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "tests/unit/api/fake_port.h"

using namespace wisp;
using wisp::test::FakePort;

namespace {

class TempDir {
 public:
  TempDir() { WISP_ASSERT(::mkdtemp(path_) != nullptr); }
  ~TempDir() {
    ::unlink(socket().c_str());
    ::rmdir(path_);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string socket() const { return std::string(path_) + "/s"; }

 private:
  char path_[32] = "/tmp/wisp-api-XXXXXX";
};

class Client {
 public:
  explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    WISP_ASSERT(::connect(socket_.raw(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  }
  Client& send(const std::string& bytes) {
    static_cast<void>(::send(socket_.raw(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    return *this;
  }
  void end_sending() { ::shutdown(socket_.raw(), SHUT_WR); }
  /// One answer: head and as much body as it says.
  std::string answer() {
    while (seen_.find("\r\n\r\n") == std::string::npos && receive()) {
    }
    const std::size_t head = seen_.find("\r\n\r\n");
    const std::size_t field = seen_.find("Content-Length: ");
    const std::size_t length = field < head ? std::stoul(seen_.substr(field + 16)) : 0;
    while (head != std::string::npos && seen_.size() < head + 4 + length && receive()) {
    }
    std::string answer = seen_.substr(0, head == std::string::npos ? head : head + 4 + length);
    seen_.erase(0, answer.size());
    return answer;
  }
  /// Everything up to the end of the connection.
  std::string rest() {
    while (receive()) {
    }
    return std::exchange(seen_, {});
  }
  int raw() const { return socket_.raw(); }

 private:
  bool receive() {
    char chunk[4096];
    const ssize_t length = ::recv(socket_.raw(), chunk, sizeof(chunk), 0);
    if (length > 0) {
      seen_.append(chunk, static_cast<std::size_t>(length));
    }
    return length > 0;
  }
  Fd socket_;
  std::string seen_;
};

const std::string get_version = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";

struct Running {
  explicit Running(api::ConnectionLimits limits = {}, std::size_t max_payload_bytes = api::kDefaultMaxPayloadBytes)
      : server(ApiServer::create({dir.socket(), max_payload_bytes, limits}, port).value()) {
    WISP_ASSERT(server->start().ok());
  }
  TempDir dir;
  FakePort port;
  std::unique_ptr<ApiServer> server;
};

bool is_ok(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 200");
}
bool is_refused(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 400");
}

/// A place comes free when the server has noticed that a client went, which nobody can see from outside.
std::string answer_when_admitted(const std::string& path) {
  while (true) {
    std::string answer = Client(path).send(get_version).answer();
    if (!answer.starts_with("HTTP/1.1 503")) {
      return answer;
    }
  }
}

}  // namespace

TEST_CASE("A socket path that exists, is empty, too long or in no folder is refused") {
  FakePort port;
  const TempDir dir;
  const auto first = ApiServer::create({.socket_path = dir.socket()}, port);
  REQUIRE(first.ok());

  CHECK(ApiServer::create({.socket_path = dir.socket()}, port).error().text() ==
        "Failed to open the API socket at: " + dir.socket() + ". Check that it is not already used.");
  CHECK_FALSE(ApiServer::create({.socket_path = ""}, port).ok());
  CHECK_FALSE(ApiServer::create({.socket_path = std::string(108, 'a')}, port).ok());
  CHECK_FALSE(ApiServer::create({.socket_path = dir.socket() + "/no/s"}, port).ok());
}

TEST_CASE("The mode of the socket follows the umask, and the file stays after the end") {
  const mode_t before = ::umask(077);
  TempDir dir;
  FakePort port;
  auto server = ApiServer::create({.socket_path = dir.socket()}, port);
  ::umask(before);
  REQUIRE(server.ok());
  std::move(server).value().reset();

  struct stat found {};
  REQUIRE(::stat(dir.socket().c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0700);
}

TEST_CASE("Requests on one connection are answered in order, also when they come in one write") {
  Running api;
  Client client(api.dir.socket());

  client.send(get_version + "PUT /logger HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" + "GET /nope HTTP/1.1\r\n\r\n");

  CHECK(is_ok(client.answer()));
  CHECK(client.answer().starts_with("HTTP/1.1 204"));
  CHECK(is_refused(client.answer()));
  CHECK(is_ok(client.send(get_version).answer()));
  CHECK(api.port.command_count() == 1);
}

TEST_CASE("A good request before a malformed one is carried out, both are answered, and the connection ends") {
  Running api;
  Client client(api.dir.socket());

  client.send("PUT /logger HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}GET /version HTTP/1.1\r\nnonsense\r\n\r\n" +
              get_version);

  CHECK(client.answer().starts_with("HTTP/1.1 204"));
  const std::string fault = client.answer();
  CHECK(is_refused(fault));
  CHECK(fault.find(R"({"error":"Invalid header.)") != std::string::npos);
  CHECK(client.rest().empty());
  CHECK(api.port.command_count() == 1);
}

TEST_CASE("An unknown method leaves the connection usable") {
  Running api;
  Client client(api.dir.socket());

  CHECK(is_refused(client.send("POST / HTTP/1.1\r\n\r\n").answer()));
  CHECK(is_ok(client.send(get_version).answer()));
}

TEST_CASE("A client that waits for 100 Continue gets it before it sends the body") {
  Running api;
  Client client(api.dir.socket());

  client.send("PUT /logger HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(client.answer().starts_with("HTTP/1.1 100"));
  CHECK(client.send("{}").answer().starts_with("HTTP/1.1 204"));
}

TEST_CASE("A body over the limit is refused while it is still being sent, and the client can read why") {
  Running api({}, 100);
  Client client(api.dir.socket());

  client.send("PUT /logger HTTP/1.1\r\nContent-Length: 101\r\n\r\n" + std::string(101, ' '));

  const std::string answer = client.answer();
  CHECK(is_refused(answer));
  CHECK(answer.find("larger than the limit of 100") != std::string::npos);
  CHECK(client.rest().empty());
  CHECK(api.port.command_count() == 0);
}

TEST_CASE("Nine idle connections delay nobody, the eleventh client is told that there is no room") {
  Running api;
  std::vector<std::unique_ptr<Client>> idle;
  for (int count = 0; count < 9; ++count) {
    idle.push_back(std::make_unique<Client>(api.dir.socket()));
    REQUIRE(is_ok(idle.back()->send(get_version).answer()));
  }
  Client tenth(api.dir.socket());
  REQUIRE(is_ok(tenth.send(get_version).answer()));

  Client eleventh(api.dir.socket());
  const std::string answer = eleventh.rest();
  CHECK(answer.starts_with("HTTP/1.1 503"));
  CHECK(answer.find("Connection: close") != std::string::npos);
  CHECK(is_ok(tenth.send(get_version).answer()));

  idle.pop_back();
  CHECK(is_ok(answer_when_admitted(api.dir.socket())));
}

TEST_CASE("A request sent in two halves is answered; another client is served in between") {
  Running api;
  Client slow(api.dir.socket());
  Client quick(api.dir.socket());
  const std::string bytes = "PUT /logger HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

  slow.send(bytes.substr(0, 20));
  CHECK(is_ok(quick.send(get_version).answer()));
  slow.send(bytes.substr(20));

  CHECK(slow.answer().starts_with("HTTP/1.1 204"));
}

TEST_CASE("A request that is not complete within the deadline is refused and the connection ends") {
  Running api({.request_deadline_ms = 20, .linger_ms = 20});
  const std::string beginning =
      GENERATE("G", "GET /version HTTP/1.1\r\n", "PUT /logger HTTP/1.1\r\nContent-Length: 2\r\n\r\n{");
  Client client(api.dir.socket());

  client.send(beginning);

  CHECK(is_refused(client.answer()));
  CHECK(client.rest().empty());
  CHECK(is_ok(Client(api.dir.socket()).send(get_version).answer()));
  CHECK(api.port.command_count() == 0);
}

TEST_CASE("An idle connection has no deadline") {
  Running api({.request_deadline_ms = 1, .linger_ms = 1});
  Client idle(api.dir.socket());
  REQUIRE(is_ok(idle.send(get_version).answer()));
  // Somebody else runs into the deadline meanwhile, so that it has passed for certain.
  Client slow(api.dir.socket());
  REQUIRE(is_refused(slow.send("G").answer()));

  CHECK(is_ok(idle.send(get_version).answer()));
}

TEST_CASE("A client that ends its side after a whole request still gets its answer") {
  Running api;
  Client client(api.dir.socket());

  client.send(get_version + get_version);
  client.end_sending();

  CHECK(is_ok(client.answer()));
  CHECK(is_ok(client.answer()));
  CHECK(client.rest().empty());
}

TEST_CASE("A client that hangs up inside a request does no harm") {
  Running api;
  { Client(api.dir.socket()).send("PUT /logger HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"); }

  CHECK(is_ok(Client(api.dir.socket()).send(get_version).answer()));
  CHECK(api.port.command_count() == 0);
}

TEST_CASE("A client that reads no answers is dropped after the write deadline and delays nobody") {
  Running api({.write_deadline_ms = 20});
  Client deaf(api.dir.socket());
  std::string many;
  for (int count = 0; count < 20'000; ++count) {
    many += "GET / HTTP/1.1\r\n\r\n";
  }

  auto sending = std::async(std::launch::async, [&] { deaf.send(many); });

  CHECK(is_ok(Client(api.dir.socket()).send(get_version).answer()));
  sending.wait();  // ends only because the server ended the connection
  CHECK(api.port.command_count() < 20'000);
}

TEST_CASE("Stopping ends idle connections and connections inside a request") {
  Running api;
  Client idle(api.dir.socket());
  REQUIRE(is_ok(idle.send(get_version).answer()));
  Client inside(api.dir.socket());
  inside.send("GET /");

  api.server->stop();

  CHECK(idle.rest().empty());
  CHECK(inside.rest().empty());
}

TEST_CASE("Descriptors with a request that takes none are closed, and the client is told") {
  Running api;
  Client client(api.dir.socket());
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec data{const_cast<char*>(get_version.data()), get_version.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
  REQUIRE(::sendmsg(client.raw(), &message, 0) > 0);
  ::close(ends[1]);

  CHECK(client.answer().starts_with("HTTP/1.1 400"));
  // Were the writing end still open anywhere, this read would wait instead of seeing the end.
  char byte = 0;
  CHECK(::read(ends[0], &byte, 1) == 0);
  ::close(ends[0]);
}
