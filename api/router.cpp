#include "api/router.h"

#include <utility>

#include "api/codec_drive.h"
#include "api/codec_reply.h"
#include "api/fields.h"
#include "api/json_writer.h"
#include "vmm/base/log.h"

namespace wisp::api {
namespace {

/// Longer bodies are logged cut: they are for the eye, not for a replay.
constexpr std::size_t kMaxLoggedBodyBytes = 1024;

struct MethodNames {
  const char* upper;
  const char* title;
};

constexpr MethodNames names_of(Method method) {
  switch (method) {
    case Method::Get: return {"GET", "Get"};
    case Method::Put: return {"PUT", "Put"};
    case Method::Patch: return {"PATCH", "Patch"};
    case Method::Delete: break;
  }
  return {"DELETE", "Delete"};
}

/// Metadata is the tenant's secret, and a CPU template is long.
bool may_show_body(const HttpRequest& request) {
  const std::string_view first = split_path(request.path).first;
  return !request.body.empty() && first != "mmds" && first != "cpu-config";
}

void log_request(const HttpRequest& request) {
  const char* method = names_of(request.method).title;
  if (!may_show_body(request)) {
    WISP_LOG(Info, "The API server received a %s request on \"%s\".", method, request.path.c_str());
    return;
  }
  const std::string shown = request.body.substr(0, kMaxLoggedBodyBytes);
  WISP_LOG(Info, "The API server received a %s request on \"%s\" with body \"%s\"%s.", method, request.path.c_str(),
           shown.c_str(), shown.size() < request.body.size() ? " (cut)" : "");
}

Error refusal(std::string text) {
  return {ErrorCode::InvalidArgument, std::move(text)};
}

Status check_body_presence(const HttpRequest& request) {
  const bool has_body = !request.body.empty();
  switch (request.method) {
    case Method::Get: return has_body ? Status(refusal("GET request cannot have a body.")) : Status();
    case Method::Put: return has_body ? Status() : Status(refusal("Empty PUT request."));
    case Method::Delete: return has_body ? Status(refusal("Empty Delete request.")) : Status();
    case Method::Patch: break;
  }
  // The two hinting orders are the only ones that say everything by their path.
  const PathTokens path = split_path(request.path);
  const bool may_be_empty = path.first == "balloon" && path.second == "hinting";
  return has_body || may_be_empty ? Status() : Status(refusal("Empty PATCH request."));
}

Error unknown_route(Method method, const PathTokens& path) {
  if (path.first == "snapshot" && path.second.empty() && method == Method::Put) {
    return refusal("Missing snapshot operation type.");
  }
  return refusal("Invalid request method and/or path: " + std::string(names_of(method).upper) + " " +
                 std::string(path.first) + ".");
}

int status_of(const Error& error) {
  return error.code() == ErrorCode::ContentTooLarge ? kStatusContentTooLarge : kStatusBadRequest;
}

Answer fault_answer(const Error& error) {
  const std::string text = error.text().empty() ? "The request was refused without a reason." : error.text();
  JsonWriter json;
  json.open_object().key("fault_message").string(text).close_object();
  const int status = status_of(error);
  WISP_LOG(Error, "Received Error. Status code: %s. Message: %s",
           status == kStatusBadRequest ? "400 Bad Request" : "413 Payload too large", text.c_str());
  return {status, json.take(), false};
}

void count(Counter* counter) {
  if (counter != nullptr) {
    counter->add();
  }
}

}  // namespace

Answer http_fault(const std::string& text) {
  JsonWriter json;
  json.open_object().key("error").string(text).close_object();
  WISP_LOG(Error, "Received Error. Status code: 400 Bad Request. Message: %s", text.c_str());
  return {kStatusBadRequest, json.take(), false};
}

Result<ParsedRequest> Router::parse(const HttpRequest& request, const Route*& route) {
  const PathTokens path = split_path(request.path);
  WISP_TRY(check_body_presence(request));
  route = find_route(request.method, path);
  if (route == nullptr) {
    return unknown_route(request.method, path);
  }
  if (route->rule == SecondToken::Id) {
    WISP_TRY(check_resource_id(path.second));
  }
  count(route->count(metrics_));
  return route->parse({path.second, request.body});
}

Result<std::string> Router::execute(ParsedRequest parsed) {
  if (std::holds_alternative<VersionQuestion>(parsed.what)) {
    return version_body();
  }
  return reply_body(WISP_TRY(port_.execute(std::move(std::get<Command>(parsed.what)))));
}

Status Router::hand_over(std::vector<Fd> descriptors, ParsedRequest& parsed) {
  if (descriptors.empty()) {
    return {};
  }
  auto* command = std::get_if<Command>(&parsed.what);
  auto* load = command != nullptr ? std::get_if<LoadSnapshot>(command) : nullptr;
  if (load == nullptr) {
    return refusal("The request came with " + std::to_string(descriptors.size()) +
                   " file descriptor(s), and only PUT /snapshot/load takes any. Send it without them.");
  }
  load->descriptors = std::make_shared<std::vector<Fd>>(std::move(descriptors));
  return {};
}

Answer Router::answer(const HttpRequest& request, std::vector<Fd> descriptors) {
  log_request(request);
  const Route* route = nullptr;
  Result<ParsedRequest> parsed = parse(request, route);
  const Status taken = parsed.ok() ? hand_over(std::move(descriptors), parsed.value()) : Status();
  if (!parsed.ok() || !taken.ok()) {
    count(route != nullptr ? route->fails(metrics_) : nullptr);
    return fault_answer(parsed.ok() ? taken.error() : parsed.error());
  }
  const char* deprecation = parsed.value().deprecation;
  if (deprecation != nullptr) {
    WISP_LOG(Warn, "%s", deprecation);
    metrics_.deprecated_http_api_calls.add();
  }
  Result<std::string> body = execute(std::move(parsed).value());
  Answer answer;
  if (body.ok()) {
    const bool has_body = !body.value().empty();
    answer = {has_body ? kStatusOk : kStatusNoContent, std::move(body).value(), false};
    WISP_LOG(Info, "The request was executed successfully. Status code: %s.", has_body ? "200 OK" : "204 No Content");
  } else {
    count(route->fails(metrics_));
    answer = fault_answer(body.error());
  }
  answer.is_deprecated = deprecation != nullptr;
  return answer;
}

}  // namespace wisp::api
