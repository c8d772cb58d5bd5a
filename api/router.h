// One request in, one answer out: routing, decoding, execution, and the form of refusals.
//
// Every refusal is a 400 with {"fault_message": "..."}; there is no 404, 405 or 500. The rules come in this order: a
// body where none may be (GET, DELETE) or none where one must be (PUT, PATCH), then the path, then the id in it, then
// the body, then what the controller says.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "api/metrics.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "vmm/config/command.h"

namespace wisp::api {

/// What to send; without a body it is a 204.
struct Answer {
  int status = 204;
  std::string body;
  bool is_deprecated = false;
  const char* content_type = "application/json";
};

inline constexpr int kStatusOk = 200;
inline constexpr int kStatusNoContent = 204;
inline constexpr int kStatusBadRequest = 400;
inline constexpr int kStatusContentTooLarge = 413;

/// The body of a message that is no request at all: {"error": "..."}.
Answer http_fault(const std::string& text);

/// What a server asks for the answer to a request.
class Responder {
 public:
  virtual ~Responder() = default;
  /// Called from the connections' threads. `descriptors` came with the request; what the answer has no use for is
  /// closed.
  virtual Answer answer(const HttpRequest& request, std::vector<Fd> descriptors) = 0;
  Answer answer(const HttpRequest& request) { return answer(request, {}); }
};

class Router final : public Responder {
 public:
  Router(CommandPort& port, ApiMetrics& metrics) : port_(port), metrics_(metrics) {}

  /// Callable from any thread.
  using Responder::answer;
  Answer answer(const HttpRequest& request, std::vector<Fd> descriptors) override;

 private:
  Result<ParsedRequest> parse(const HttpRequest& request, const Route*& route);
  static Status hand_over(std::vector<Fd> descriptors, ParsedRequest& parsed);
  Result<std::string> execute(ParsedRequest parsed);

  CommandPort& port_;
  ApiMetrics& metrics_;
};

}  // namespace wisp::api
