#include "api/metrics_page.h"

#include <catch2/catch.hpp>

#include "api/codec_reply.h"
#include "api/http_engine.h"

using namespace wisp;
using namespace wisp::api;

TEST_CASE("GET /metrics is answered with the page and its content type, everything else is refused") {
  MetricsRegistry registry;
  MetricsPage page(registry, "vm-1");
  const std::string response = HttpEngine().respond({Method::Get, "/metrics", ""}, page);
  CHECK(response.starts_with("HTTP/1.1 200"));
  CHECK(response.find("Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n") !=
        std::string::npos);
  CHECK(response.ends_with("# EOF\n"));
  CHECK(page.answer({Method::Get, "/", ""}).status == kStatusBadRequest);
  CHECK(page.answer({Method::Get, "/metricsx", ""}).status == kStatusBadRequest);
  CHECK(page.answer({Method::Put, "/metrics", "{}"}).status == kStatusBadRequest);
  CHECK(page.answer({Method::Put, "/actions", R"({"action_type": "InstanceStart"})"}).status == kStatusBadRequest);
}

TEST_CASE("a metrics socket that cannot be made is refused under its own name") {
  MetricsRegistry registry;
  const auto refusal_of = [&](const std::string& path) {
    auto server = ApiServer::create(metrics_socket_options(path), std::make_unique<MetricsPage>(registry, "vm-1"));
    REQUIRE_FALSE(server.ok());
    return server.error().text();
  };
  CHECK(refusal_of("").find("--metrics-sock") != std::string::npos);
  CHECK(refusal_of("/missing/folder/s").find("metrics socket") != std::string::npos);
  CHECK(refusal_of(std::string(200, 'x')).find("metrics socket") != std::string::npos);
}

TEST_CASE("capabilities are one document; a host that nobody looked at is null, an obstacle is told") {
  Capabilities capabilities;
  capabilities.snapshot_version = "1.0.0";
  capabilities.transports = {"mmio"};
  capabilities.features = {{"pci", false}};
  capabilities.limits = {{"vcpus", 32, "processors"}};
  const std::string build = R"({"api_version":"1.17.0","wisp_version":"0.1.0","snapshot_version":"1.0.0",)"
                            R"("transports":["mmio"],"devices":[],"features":{"pci":false},)"
                            R"("limits":[{"name":"vcpus","value":32,"unit":"processors"}],"host":null})";
  CHECK(reply_body(Reply(capabilities)) == build);
  capabilities.host.emplace().userfaultfd.obstacle = "the \"reason\"";
  const std::string body = reply_body(Reply(capabilities));
  CHECK(body.find(R"("kvm":{"name":"kvm","available":true,"obstacle":null})") != std::string::npos);
  CHECK(body.find(R"("available":false,"obstacle":"the \"reason\"")") != std::string::npos);
}
