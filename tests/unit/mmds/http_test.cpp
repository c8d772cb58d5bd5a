#include "tests/unit/mmds/mmds_rig.h"

namespace wisp::mmds::test {
namespace {

constexpr const char* kStore =
    R"({"latest":{"meta-data":{"ami-id":"ami-1","tags":{"a":"b"},"n":5,"l":["x","y"],"t":true,"z":null}},"s":"text"})";

/// One connection for each exchange, so that a closed one does not matter to the next.
struct Exchange {
  explicit Exchange(MmdsVersion version = MmdsVersion::V1, bool imds_compat = false) : rig(version, imds_compat) {
    REQUIRE(rig.store.put(kStore).ok());
  }
  std::string operator()(const std::string& request) {
    Client client(rig, port++);
    client.connect();
    const std::string answer = client.ask(request);
    closed = client.finished;
    return answer;
  }
  Rig rig;
  std::uint16_t port = 10'000;
  bool closed = false;
};

std::string answer_of(const std::string& status, const std::string& type, const std::string& body,
                      const std::string& extra = {}, const std::string& connection = "keep-alive") {
  return "HTTP/1.1 " + status + " \r\nServer: Firecracker API\r\nConnection: " + connection + "\r\n" + extra +
         "Content-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string put(const std::string& path, const std::string& headers) {
  return "PUT " + path + " HTTP/1.1\r\n" + headers + "\r\n";
}

const std::string kTokenPath = "/latest/api/token";
const std::string kNoToken =
    "No MMDS token provided. Use `X-metadata-token` or `X-aws-ec2-metadata-token` header to specify the session token.";

}  // namespace

TEST_CASE("GET answers in the format that is asked for") {
  Exchange exchange;
  const auto [path, accept, status, type, body] =
      GENERATE(table<std::string, std::string, std::string, std::string, std::string>({
          {"/s", "", "200", "text/plain", "text"},
          {"/s", "Accept: */*\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: text/plain\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: application/json\r\n", "200", "application/json", R"("text")"},
          {"/s", "ACCEPT:application/JSON\r\n", "200", "application/json", R"("text")"},
          {"/s", "Accept: text/html, application/json;q=0.9, */*;q=0.8\r\n", "200", "application/json", R"("text")"},
          {"/s", "Accept: application/json;q=0.1, text/plain\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: text/plain, application/json\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: application/json;q=0\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: image/png\r\n", "200", "text/plain", "text"},
          {"/s", "Accept: \r\n", "200", "text/plain", "text"},
          {"/", "", "200", "text/plain", "latest/\ns"},
          {"//latest///meta-data//", "", "200", "text/plain", "ami-id\nl\nn\nt\ntags/\nz"},
          {"/latest/meta-data/tags", "Accept: application/json\r\n", "200", "application/json", R"({"a":"b"})"},
          {"/latest/meta-data/l/1", "", "200", "text/plain", "y"},
          {"/latest/meta-data/n", "Accept: application/json\r\n", "200", "application/json", "5"},
          {"/latest/meta-data/z", "Accept: application/json\r\n", "200", "application/json", "null"},
          {"/latest/meta-data/n", "", "501", "text/plain", "Cannot retrieve value. The value has an unsupported type."},
          {"/latest/meta-data/l", "", "501", "text/plain", "Cannot retrieve value. The value has an unsupported type."},
          {"/latest/meta-data/t", "", "501", "text/plain", "Cannot retrieve value. The value has an unsupported type."},
          {"/latest/meta-data/z", "", "501", "text/plain", "Cannot retrieve value. The value has an unsupported type."},
          {"/x", "", "404", "text/plain", "Resource not found: /x."},
          {"/x", "Accept: application/json\r\n", "404", "text/plain", "Resource not found: /x."},
          {"/x//y/", "", "404", "text/plain", "Resource not found: /x//y/."},
          {"/%73", "", "404", "text/plain", "Resource not found: /%73."},
          {"/%00%0d%0a", "", "404", "text/plain", "Resource not found: /%00%0d%0a."},
          {"/s?x=1", "", "404", "text/plain", "Resource not found: /s?x=1."},
          {"http://169.254.169.254/s", "", "200", "text/plain", "text"},
          {"http://169.254.169.254", "", "400", "text/plain", "Invalid URI."},
          {"s", "", "400", "text/plain", "Invalid URI."},
          {"", "", "400", "text/plain", "Invalid URI."},
          {"*", "", "400", "text/plain", "Invalid URI."},
      }));
  CHECK(exchange(get(path, accept)) == answer_of(status, type, body));
  CHECK_FALSE(exchange.closed);
}

TEST_CASE("imds_compat gives IMDS text and still names the type that was asked for") {
  Exchange exchange(MmdsVersion::V1, true);
  CHECK(exchange(get("/s", "Accept: application/json\r\n")) == answer_of("200", "application/json", "text"));
  CHECK(exchange(get("/latest/meta-data/tags", "Accept: application/json\r\n")) ==
        answer_of("200", "application/json", "a"));
}

TEST_CASE("version 2 answers GET only with a token, version 1 always") {
  Exchange second(MmdsVersion::V2);
  CHECK(second(get("/s")) == answer_of("401", "text/plain", kNoToken));
  CHECK(second(get("/s", "X-metadata-token: nonsense\r\n")) == answer_of("401", "text/plain", "MMDS token not valid."));
  CHECK(second.rig.metrics.rx_no_token.total() == 1);
  CHECK(second.rig.metrics.rx_invalid_token.total() == 1);
  const std::string name =
      GENERATE(as<std::string>{}, "X-metadata-token", "x-METADATA-token", "X-aws-ec2-metadata-token");
  const std::string token = body_of(second(put(kTokenPath, "X-metadata-token-ttl-seconds: 60\r\n")));
  CHECK(second(get("/s", name + ": " + token + "\r\n")) == answer_of("200", "text/plain", "text"));
  second.rig.clock.now += 60 * kNsPerSecond;
  CHECK(second(get("/s", name + ": " + token + "\r\n")) == answer_of("401", "text/plain", "MMDS token not valid."));

  Exchange first;
  CHECK(first(get("/s", name + ": nonsense\r\n")) == answer_of("200", "text/plain", "text"));
  CHECK(first.rig.metrics.rx_invalid_token.total() == 1);
  CHECK(body_of(first(put(kTokenPath, "X-metadata-token-ttl-seconds: 60\r\n"))).size() == kTokenLength);
}

TEST_CASE("PUT makes a token, and echoes its lifetime under the name that was used") {
  Exchange exchange(MmdsVersion::V2);
  const std::string name =
      GENERATE(as<std::string>{}, "X-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token-ttl-seconds");
  const std::string ttl = GENERATE(as<std::string>{}, "1", "21600", "007");
  const std::string answer = exchange(put("//latest/api//token/", name + ": " + ttl + "\r\n"));
  const std::string token = body_of(answer);
  CHECK(token.size() <= 70);
  CHECK(answer == answer_of("200", "text/plain", token, name + ": " + std::to_string(std::stoi(ttl)) + "\r\n"));
}

TEST_CASE("PUT is refused with the reason") {
  Exchange exchange(MmdsVersion::V2);
  const std::string ttl = "X-metadata-token-ttl-seconds: ";
  const std::string forwarded = "Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For";
  const std::string range = ". Please provide a value between 1 and 21600.";
  const std::string value = "Invalid header. Reason: Invalid value. Key:X-metadata-token-ttl-seconds; Value:";
  const auto [path, headers, status, body] = GENERATE_COPY(table<std::string, std::string, std::string, std::string>({
      {kTokenPath, "", "400",
       "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
       "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime."},
      {kTokenPath, ttl + "0\r\n", "400", "Invalid time to live value provided for token: 0" + range},
      {kTokenPath, ttl + "21601\r\n", "400", "Invalid time to live value provided for token: 21601" + range},
      {kTokenPath, ttl + "4294967295\r\n", "400", "Invalid time to live value provided for token: 4294967295" + range},
      {kTokenPath, ttl + "4294967296\r\n", "400", value + "4294967296"},
      {kTokenPath, ttl + "-1\r\n", "400", value + "-1"},
      {kTokenPath, ttl + "60x\r\n", "400", value + "60x"},
      {kTokenPath, ttl + "\r\n", "400", value},
      {kTokenPath, ttl + "60\r\nX-Forwarded-For: a\r\n", "400", forwarded},
      {kTokenPath, "x-forwarded-for: a\r\n" + ttl + "60\r\n", "400", forwarded},
      {kTokenPath, "X-FORWARDED-FOR:\r\n" + ttl + "60\r\n", "400", forwarded},
      {"/x", "x-forwarded-for: a\r\n", "400", forwarded},
      {"/x", ttl + "60\r\n", "404", "Resource not found: /x."},
      {"/", ttl + "60\r\n", "404", "Resource not found: /."},
      {"", ttl + "60\r\n", "400", "Invalid URI."},
  }));
  CHECK(exchange(put(path, headers)) == answer_of(status, "text/plain", body));
  CHECK(exchange.rig.store.json() == std::string(R"({"latest":{"meta-data":{"ami-id":"ami-1","l":["x","y"],"n":5,)") +
                                         R"("t":true,"tags":{"a":"b"},"z":null}},"s":"text"})");
}

TEST_CASE("other methods are not allowed, and HEAD gets no body") {
  Exchange exchange;
  const std::string method = GENERATE(as<std::string>{}, "POST", "PATCH", "DELETE", "OPTIONS", "get", "BREW");
  const std::string refusal = answer_of("405", "text/plain", "Not allowed HTTP method.", "Allow: GET, PUT\r\n");
  CHECK(exchange(method + " /s HTTP/1.1\r\n\r\n") == refusal);
  CHECK(exchange("HEAD /s HTTP/1.1\r\n\r\n") == refusal.substr(0, refusal.find("\r\n\r\n") + 4));
}

TEST_CASE("HTTP/1.0 closes unless asked otherwise, and is answered as such") {
  Exchange exchange;
  const std::string answer = exchange("GET /s HTTP/1.0\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.0 200 \r\n"));
  CHECK(answer.find("Connection: close\r\n") != std::string::npos);
  CHECK(exchange.closed);
  CHECK(exchange("GET /s HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").find("Connection: keep-alive") !=
        std::string::npos);
  CHECK_FALSE(exchange.closed);
  exchange("GET /s HTTP/1.1\r\nconnection: foo, CLOSE\r\n\r\n");
  CHECK(exchange.closed);
}

TEST_CASE("a body with a length is skipped, also the one of GET") {
  Exchange exchange;
  const std::string both =
      exchange("GET /s HTTP/1.1\r\nContent-Length: 5\r\n\r\nHello" + get("/latest/meta-data/ami-id"));
  CHECK(both == answer_of("200", "text/plain", "text") + answer_of("200", "text/plain", "ami-1"));
  CHECK(exchange("\r\n" + get("/s")) == answer_of("200", "text/plain", "text"));
}

TEST_CASE("a malformed request is answered with 400, and the connection is closed") {
  Exchange exchange;
  const std::string length = "Invalid header. Reason: Invalid value. Key:Content-Length; Value:";
  const std::string form = "Invalid header. Reason: Header is incorrectly formatted. Key: ";
  const auto [request, text] = GENERATE_COPY(table<std::string, std::string>({
      {"GET /s\r\n\r\n", "Invalid request."},
      {"GET\r\n\r\n", "Invalid request."},
      {"\r\n\r\n\r\n\r\n", "Invalid request."},
      {" GET /s HTTP/1.1\r\n\r\n", "Invalid request."},
      {"G@T /s HTTP/1.1\r\n\r\n", "Invalid request."},
      {"GET /s HTTP/2.0\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."},
      {"GET /s x HTTP/1.1\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."},
      {"GET /s http/1.1\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."},
      {"GET /s HTTP/1.1\n\n", "Invalid request."},
      {std::string("GET /s\0 HTTP/1.1", 16), "Invalid request."},
      {std::string("GET /\x01s HTTP/1.1\r\n\r\n", 20), "Invalid request."},
      {std::string("GET /s HTTP/1.1\r\na: \0b\r\n\r\n", 26), "Invalid request."},
      {"GET /s HTTP/1.1\r\nno colon\r\n\r\n", form + "no colon"},
      {"GET /s HTTP/1.1\r\n: x\r\n\r\n", form + ": x"},
      {"GET /s HTTP/1.1\r\nbad name: x\r\n\r\n", form + "bad name: x"},
      {"GET /s HTTP/1.1\r\nname : x\r\n\r\n", form + "name : x"},
      {"GET /s HTTP/1.1\r\na: b\r\n folded\r\n\r\n", form + " folded"},
      {"GET /s HTTP/1.1\r\nContent-Length: -1\r\n\r\n", length + "-1"},
      {"GET /s HTTP/1.1\r\ncontent-length: +5\r\n\r\n", length + "+5"},
      {"GET /s HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", length + "99999999999"},
      {"GET /s HTTP/1.1\r\nContent-Length: 5x\r\n\r\n", length + "5x"},
      {"GET /s HTTP/1.1\r\nContent-Length:\r\n\r\n", length},
      {"GET /s HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", length + "5"},
      {"GET /s HTTP/1.1\r\nContent-Length: 4294967295\r\n\r\n",
       "Request payload with size 4294967295 is larger than the limit of 2500 allowed by server."},
      {"PUT /s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "Invalid header. Reason: Unsupported value. Key:Transfer-Encoding; Value:chunked"},
  }));
  CHECK(exchange(request) == answer_of("400", "text/plain", text, {}, "close"));
  CHECK(exchange.closed);
}

TEST_CASE("a request that does not fit the buffer is refused; one byte less is fine") {
  Exchange exchange;
  Client client(exchange.rig, 9);
  client.connect();
  const std::string start = "GET /s HTTP/1.1\r\nX-Long: ";
  SECTION("no end of the head") {
    client.send(start + std::string(1400 - start.size(), 'x'));
    CHECK(client.read().empty());
    client.send(std::string(1099, 'x'));
    CHECK(client.read().empty());
    client.send("xx");
    CHECK(client.read() == answer_of("400", "text/plain", "Invalid request.", {}, "close"));
    CHECK(client.finished);
  }
  SECTION("a long path that fits") {
    const std::string path = "/" + std::string(2000, 'p');
    const std::string request = get(path);
    client.send(request.substr(0, 1000));
    CHECK(client.read().empty());
    client.send(request.substr(1000));
    CHECK(client.read() == answer_of("404", "text/plain", "Resource not found: " + path + "."));
  }
}

TEST_CASE("the requests behind a malformed one are not answered") {
  Exchange exchange;
  CHECK(exchange("bad\r\n\r\n" + get("/s")) == answer_of("400", "text/plain", "Invalid request.", {}, "close"));
}

TEST_CASE("a request that is cut off by the end of the connection is not answered") {
  Exchange exchange;
  Client client(exchange.rig, 9);
  client.connect();
  exchange.rig.give(client.segment(kAck | kFin, "GET /s HT"));
  client.next += 10;
  CHECK(client.read().empty());
  CHECK(client.finished);
  CHECK(exchange.rig.endpoint->connection_count() == 0);
}

TEST_CASE("the guest sees a change of the store with its next request") {
  Exchange exchange;
  CHECK(body_of(exchange(get("/s"))) == "text");
  REQUIRE(exchange.rig.store.merge(R"({"s":"new"})").ok());
  CHECK(body_of(exchange(get("/s"))) == "new");
  REQUIRE(exchange.rig.store.merge("null").ok());
  CHECK(exchange(get("/s")).starts_with("HTTP/1.1 404"));
}

}  // namespace wisp::mmds::test
