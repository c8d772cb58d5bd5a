// The tables of the API: which method and path means what.
//
// A path is split at '/'. The first token chooses the route, what follows is looked at only where a route asks for it
// and otherwise ignored; "/machine-config/x/y" is "/machine-config". Adding an endpoint is adding a row to
// kRoutes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "api/metrics.h"
#include "api/request_reader.h"
#include "vmm/base/result.h"
#include "vmm/config/command.h"

namespace wisp::api {

struct PathTokens {
  std::string_view first;
  std::string_view second;
  std::string_view rest = {};  ///< the second and the third, with the slash between them
};
PathTokens split_path(std::string_view path);

/// What a request turned out to be: a command for the controller, or the one question that the API answers itself.
struct VersionQuestion {};
struct ParsedRequest {
  std::variant<Command, VersionQuestion> what;
  const char* deprecation = nullptr;  ///< the log text when something deprecated was used
};

struct RequestView {
  std::string_view second;  ///< the second path token
  std::string_view body;
};

enum class SecondToken {
  Ignored,
  Exactly,  ///< must be Route::second
  Rest,     ///< the second and third token must be Route::second
  Id,       ///< a resource id
};

struct Route {
  using Parse = Result<ParsedRequest> (*)(const RequestView&);
  Method method;
  SecondToken rule;
  std::string_view first;
  std::string_view second;
  Parse parse;
  Counter* (*count)(ApiMetrics&);
  Counter* (*fails)(ApiMetrics&);
};

std::span<const Route> routes();

inline const Route* find_route(Method method, const PathTokens& path) {
  for (const Route& route : routes()) {
    const bool matches = route.method == method && route.first == path.first &&
                         (route.rule != SecondToken::Exactly || route.second == path.second) &&
                         (route.rule != SecondToken::Rest || route.second == path.rest);
    if (matches) {
      return &route;
    }
  }
  return nullptr;
}

}  // namespace wisp::api
