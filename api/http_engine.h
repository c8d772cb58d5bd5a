// The HTTP library, behind a door: a whole request and its answer in, the bytes of the response out.
//
// The library works on memory only. It never listens, never resolves names and never sees the bytes that came in: what
// it parses is a head written anew from a request that RequestReader took apart before, so its limits and habits (query
// strings, ranges, percent decoding, form bodies) cannot be reached from outside.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/request_reader.h"
#include "api/router.h"

namespace wisp::api {

inline constexpr const char* kServerName = "Firecracker API";

enum class AfterAnswer { KeepOpen, Close };

class HttpEngine {
 public:
  HttpEngine();
  ~HttpEngine();

  /// The response to `request`, answered by `responder`. Callable from any thread.
  std::string respond(const HttpRequest& request, Responder& responder, std::vector<Fd> descriptors = {});
  /// The response that says `answer` to a message which is no request.
  std::string respond(const Answer& answer, AfterAnswer after);

 private:
  class Library;
  std::unique_ptr<Library> library_;
};

/// "HTTP/1.1 100 Continue" with the headers that all answers have.
const std::string& continue_response();
/// The one answer for a connection too many; it is fixed, so that it costs nothing.
const std::string& too_many_connections_response();

}  // namespace wisp::api
