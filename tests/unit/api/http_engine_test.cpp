#include "api/http_engine.h"

#include <catch2/catch.hpp>
#include <csignal>
#include <string>

#include "tests/unit/api/fake_port.h"

using namespace wisp;
using namespace wisp::api;

namespace {

std::string respond(const HttpRequest& request, Result<Reply> reply) {
  test::FakePort port;
  port.answer_with(std::move(reply));
  ApiMetrics metrics;
  Router router(port, metrics);
  return HttpEngine().respond(request, router);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("A success with a body carries JSON, its length and keep-alive") {
  const std::string response = respond({Method::Get, "/", ""}, Reply(InstanceInfo{"x", VmState::Running}));

  CHECK(response.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(response, "\r\nContent-Type: application/json\r\n"));
  CHECK(has(response, "\r\nContent-Length: 68\r\n"));
  CHECK(has(response, "\r\nConnection: keep-alive\r\n"));
  CHECK(has(response, "\r\nServer: Firecracker API\r\n"));
  CHECK_FALSE(has(response, "Keep-Alive:"));
  CHECK_FALSE(has(response, "Deprecation"));
  CHECK(response.ends_with(R"("app_name":"wisp"})"));
}

TEST_CASE("A success without a body has neither type nor length") {
  const std::string response = respond({Method::Put, "/logger", "{}"}, Reply(Unit{}));

  CHECK(response.starts_with("HTTP/1.1 204 No Content\r\n"));
  CHECK_FALSE(has(response, "Content-"));
  CHECK(response.ends_with("\r\n\r\n"));
}

TEST_CASE("A refusal of something deprecated carries the Deprecation header") {
  const std::string response =
      respond({Method::Patch, "/machine-config", R"({"cpu_template":"None"})"}, Error(ErrorCode::WrongState, "no"));

  CHECK(response.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(has(response, "\r\nDeprecation: true\r\n"));
  CHECK(response.ends_with(R"({"fault_message":"no"})"));
}

TEST_CASE("Paths that mean something to an HTTP library mean nothing here") {
  const std::string path = GENERATE("/version?a=b?c=d", "/version#x", "/%76ersion", "/version?");
  CAPTURE(path);

  const std::string response = respond({Method::Get, path, ""}, Reply(Unit{}));

  CHECK(response.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(has(response, "fault_message"));
}

TEST_CASE("An answer before a close has no Connection header") {
  const std::string response = HttpEngine().respond(http_fault("why"), AfterAnswer::Close);

  CHECK(response.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK_FALSE(has(response, "Connection:"));
  CHECK(response.ends_with(R"({"error":"why"})"));
}

TEST_CASE("The answer for a connection too many has the length that it says") {
  const std::string& response = too_many_connections_response();

  CHECK(has(response, "\r\nContent-Length: 40\r\n"));
  CHECK(response.substr(response.find("\r\n\r\n") + 4).size() == 40);
}

TEST_CASE("Making the engine leaves the handling of SIGPIPE as it was") {
  struct sigaction before {};
  before.sa_handler = SIG_DFL;
  sigaction(SIGPIPE, &before, nullptr);

  const HttpEngine engine;

  struct sigaction after {};
  sigaction(SIGPIPE, nullptr, &after);
  CHECK(after.sa_handler == SIG_DFL);
}
