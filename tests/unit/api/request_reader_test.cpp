#include "api/request_reader.h"

#include <catch2/catch.hpp>
#include <string>

using namespace wisp::api;

namespace {

Outcome outcome_of(const std::string& bytes) {
  RequestReader reader;
  reader.feed(bytes);
  return reader.next();
}

std::string head_with(const std::string& header_lines) {
  return "GET /version HTTP/1.1\r\n" + header_lines + "\r\n";
}

constexpr const char* kPut = "PUT /machine-config HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

}  // namespace

TEST_CASE("A whole request is ready with its method, path and body") {
  const auto [line, method] = GENERATE(table<std::string, Method>(
      {{"GET", Method::Get}, {"PUT", Method::Put}, {"PATCH", Method::Patch}, {"DELETE", Method::Delete}}));

  const Outcome outcome = outcome_of(line + " /a/b?c HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");

  REQUIRE(outcome.kind == OutcomeKind::Ready);
  CHECK(outcome.request.method == method);
  CHECK(outcome.request.path == "/a/b?c");
  CHECK(outcome.request.body == "xyz");
}

TEST_CASE("A request that comes byte by byte is ready after its last byte and not before") {
  const std::string bytes = kPut;
  RequestReader reader;

  for (const char byte : bytes.substr(0, bytes.size() - 1)) {
    reader.feed({&byte, 1});
    REQUIRE(reader.next().kind == OutcomeKind::NeedMore);
  }
  reader.feed(bytes.substr(bytes.size() - 1));

  CHECK(reader.next().kind == OutcomeKind::Ready);
  CHECK(reader.is_idle());
}

TEST_CASE("Requests in one write come out one after the other") {
  RequestReader reader;
  reader.feed(std::string(kPut) + head_with("") + "GET /machine-");

  CHECK(reader.next().request.path == "/machine-config");
  CHECK(reader.next().request.path == "/version");
  CHECK(reader.next().kind == OutcomeKind::NeedMore);
  CHECK_FALSE(reader.is_idle());
}

TEST_CASE("A good request before a malformed one is ready, then comes the fault, then nothing") {
  RequestReader reader;
  reader.feed(std::string(kPut) + "BAD\r\n\r\n" + kPut);

  CHECK(reader.next().kind == OutcomeKind::Ready);
  CHECK(reader.next().kind == OutcomeKind::Fault);
  reader.feed(kPut);
  CHECK(reader.next().kind == OutcomeKind::NeedMore);
}

TEST_CASE("A malformed head is a fault with a text") {
  const std::string head = GENERATE(as<std::string>{},                              //
                                    "\r\n\r\n",                                     // empty request line
                                    "GET /version\r\n\r\n",                         // no version
                                    "GET  /version HTTP/1.1\r\n\r\n",               // two blanks
                                    " GET /version HTTP/1.1\r\n\r\n",               // blank first
                                    "GET /version HTTP/1.1 \r\n\r\n",               // blank last
                                    "GET /version HTTP/2.0\r\n\r\n",                // version
                                    "GET /version http/1.1\r\n\r\n",                // version in lower case
                                    "GET\t/version HTTP/1.1\r\n\r\n",               // tab
                                    "G(T /version HTTP/1.1\r\n\r\n",                // not a token
                                    "GET /version HTTP/1.1\n\n",                    // bare line feed
                                    "GET /ver\rsion HTTP/1.1\r\n\r\n",              // bare carriage return
                                    "GET /\xff\xfe HTTP/1.1\r\n\r\n",               // not UTF-8
                                    "GET /version HTTP/1.1\r\nnonsense\r\n\r\n",    // no colon
                                    "GET /version HTTP/1.1\r\n: x\r\n\r\n",         // no name
                                    "GET /version HTTP/1.1\r\nHost : x\r\n\r\n",    // blank before the colon
                                    "GET /version HTTP/1.1\r\nX: a\r\n b\r\n\r\n",  // folded
                                    "GET /version HTTP/1.1\r\nX: \xff\r\n\r\n",     // not UTF-8
                                    "GET /version HTTP/1.1\r\nX: a\x01\r\n\r\n",    // control character
                                    "GET /version HTTP/1.1\r\nAccept-Encoding:\r\n\r\n",
                                    "GET /version HTTP/1.1\r\nAccept-Encoding: identity;q=0\r\n\r\n",
                                    "GET /version HTTP/1.1\r\nAccept-Encoding: gzip, *;q=0\r\n\r\n");
  CAPTURE(head);

  const Outcome outcome = outcome_of(head);

  CHECK(outcome.kind == OutcomeKind::Fault);
  CHECK_FALSE(outcome.error.empty());
}

TEST_CASE("A Content-Length that is not one plain number is a fault") {
  const std::string value = GENERATE("-1", "+2", "2.0", "0x2", "two", "", "2,2", "2 2", "2;q=1", "18446744073709551616",
                                     "99999999999999999999", "1\r\nContent-Length: 2");
  CAPTURE(value);

  CHECK(outcome_of("PUT /x HTTP/1.1\r\nContent-Length: " + value + "\r\n\r\n{}").kind == OutcomeKind::Fault);
}

TEST_CASE("The same Content-Length twice, leading zeros and odd case are understood") {
  const std::string header = GENERATE("Content-Length: 2\r\nContent-Length: 2", "Content-Length: 02",
                                      "content-LENGTH:2", "Content-Length: \t2 ");
  CAPTURE(header);

  CHECK(outcome_of("PUT /x HTTP/1.1\r\n" + header + "\r\n\r\n{}").request.body == "{}");
}

TEST_CASE("A Transfer-Encoding of any kind is a fault, with a length or without") {
  const std::string header = GENERATE("Transfer-Encoding: chunked", "Transfer-Encoding: identity",
                                      "transfer-encoding: gzip, chunked\r\nContent-Length: 2");
  CAPTURE(header);

  CHECK(outcome_of("PUT /x HTTP/1.1\r\n" + header + "\r\n\r\n{}").kind == OutcomeKind::Fault);
}

TEST_CASE("Limits: one less passes, one more is a fault") {
  SECTION("request line") {
    const std::string rest = " HTTP/1.1\r\n";
    const std::string longest(kMaxRequestLineBytes - 4 - 1 - rest.size(), 'a');
    CHECK(outcome_of("GET /" + longest + rest + "\r\n").kind == OutcomeKind::Ready);
    CHECK(outcome_of("GET /" + longest + "a" + rest + "\r\n").kind == OutcomeKind::Fault);
  }
  SECTION("header line") {
    const std::string longest(kMaxHeaderLineBytes - 5, 'a');
    CHECK(outcome_of(head_with("X: " + longest + "\r\n")).kind == OutcomeKind::Ready);
    CHECK(outcome_of(head_with("X: " + longest + "a\r\n")).kind == OutcomeKind::Fault);
  }
  SECTION("an endless line is a fault although its end never comes") {
    CHECK(outcome_of(std::string(kMaxRequestLineBytes, 'a')).kind == OutcomeKind::Fault);
  }
  SECTION("number of headers") {
    std::string lines;
    for (std::size_t count = 0; count < kMaxHeaderCount; ++count) {
      lines += "X: y\r\n";
    }
    CHECK(outcome_of(head_with(lines)).kind == OutcomeKind::Ready);
    CHECK(outcome_of(head_with(lines + "X: y\r\n")).kind == OutcomeKind::Fault);
  }
  SECTION("whole head") {
    const std::string line = "X: " + std::string(kMaxHeaderLineBytes - 5, 'a') + "\r\n";
    CHECK(outcome_of(head_with(line + line)).kind == OutcomeKind::Fault);
  }
  SECTION("body") {
    RequestReader reader(2);
    reader.feed(kPut);
    CHECK(reader.next().kind == OutcomeKind::Ready);
    reader.feed("PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n");
    const Outcome outcome = reader.next();
    CHECK(outcome.kind == OutcomeKind::Fault);
    CHECK(outcome.error == "Request payload with size 3 is larger than the limit of 2 allowed by server.");
  }
}

TEST_CASE("An unknown method is refused, and the connection can be used on when nothing came behind it") {
  const std::string method = GENERATE("POST", "OPTIONS", "Get", "GETT", "PRI");
  RequestReader reader;
  reader.feed(method + " / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");

  CHECK(reader.next().kind == OutcomeKind::Refused);
  reader.feed(kPut);
  CHECK(reader.next().kind == OutcomeKind::Ready);
}

TEST_CASE("An unknown method with bytes behind it is a fault") {
  CHECK(outcome_of("BAD / HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\n\r\n").kind == OutcomeKind::Fault);
}

TEST_CASE("Targets: a path, or http with a host; the path is what is routed") {
  const auto [target, path] = GENERATE(table<std::string, std::string>({{"/version", "/version"},
                                                                        {"//a", "//a"},
                                                                        {"http://localhost/version", "/version"},
                                                                        {"http://localhost:80/a/b", "/a/b"},
                                                                        {"http://localhost", ""}}));

  const Outcome outcome = outcome_of("GET " + target + " HTTP/1.1\r\n\r\n");

  REQUIRE(outcome.kind == OutcomeKind::Ready);
  CHECK(outcome.request.path == path);
}

TEST_CASE("Other targets are refused") {
  const std::string target = GENERATE("*", "version", "host:80", "https://localhost/version", "http://", "http:///x");
  CAPTURE(target);

  CHECK(outcome_of("GET " + target + " HTTP/1.1\r\n\r\n").kind == OutcomeKind::Refused);
}

TEST_CASE("Expect: 100-continue is answered once, before the body, and the request follows") {
  RequestReader reader;
  reader.feed("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");

  CHECK(reader.next().kind == OutcomeKind::SendContinue);
  CHECK(reader.next().kind == OutcomeKind::NeedMore);
  reader.feed("{}");
  CHECK(reader.next().kind == OutcomeKind::Ready);
}

TEST_CASE("No 100 answer without a body, for HTTP/1.0, for other expectations, or for a body over the limit") {
  const auto [head, kind] = GENERATE(table<std::string, OutcomeKind>({
      {"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", OutcomeKind::Ready},
      {"PUT /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", OutcomeKind::Ready},
      {"PUT /x HTTP/1.1\r\nExpect: magic\r\nContent-Length: 2\r\n\r\n{}", OutcomeKind::Ready},
      {"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 51201\r\n\r\n", OutcomeKind::Fault},
  }));
  CAPTURE(head);

  CHECK(outcome_of(head).kind == kind);
}
