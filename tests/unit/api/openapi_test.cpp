// The published description and the table of routes name the same requests.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <string>

#include "api/routes.h"

using namespace wisp::api;

namespace {

std::string openapi_document() {
  std::ifstream file(WISP_OPENAPI_DOCUMENT);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string documented_path(const Route& route) {
  std::string path = "/" + std::string(route.first);
  if (route.rule == SecondToken::Id) {
    path += route.first == "drives" ? "/{drive_id}" : route.first == "pmem" ? "/{id}" : "/{iface_id}";
  } else if (!route.second.empty()) {
    path += "/" + std::string(route.second);
  }
  return path;
}

std::string documented_method(Method method) {
  constexpr const char* kNames[] = {"get", "put", "patch", "delete"};
  return kNames[static_cast<std::size_t>(method)];
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

/// The lines of one path, up to the next one.
std::string section_of(const std::string& document, const std::string& path) {
  const std::string begin = "\n  " + path + ":\n";
  const std::size_t at = document.find(begin);
  if (at == std::string::npos) {
    return {};
  }
  const std::size_t inside = at + begin.size();
  return document.substr(inside, document.find("\n  /", inside) - inside);
}

}  // namespace

TEST_CASE("Every route is in the OpenAPI document, and nothing else is") {
  const std::string document = openapi_document();
  REQUIRE_FALSE(document.empty());

  for (const Route& route : routes()) {
    CAPTURE(documented_path(route), documented_method(route.method));
    CHECK(("\n" + section_of(document, documented_path(route)))
              .find("\n    " + documented_method(route.method) + ":\n") != std::string::npos);
  }
  CHECK(count(document, "operationId:") == routes().size());
}
