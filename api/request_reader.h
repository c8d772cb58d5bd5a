// From a stream of bytes to whole HTTP requests, with limits and without tolerance.
//
// Nobody else looks at bytes from the socket: what passes here is one complete, well-formed message of bounded size, so
// the HTTP library behind sees no hostile input. Feed what was received, then ask for outcomes until one says NeedMore:
//
//   reader.feed(bytes);
//   for (Outcome outcome = reader.next(); outcome.kind != OutcomeKind::NeedMore; outcome = reader.next()) { ... }
//
// Rules, stricter than HTTP asks where two readings of one message would be possible:
// - line ends are CRLF, blanks stand exactly where the grammar has them, header names are tokens, everything is UTF-8;
// - a body is announced by Content-Length only (digits, one distinct value); Transfer-Encoding is refused;
// - methods are GET, PUT, PATCH, DELETE; versions HTTP/1.0 and HTTP/1.1; targets "/path" or
// "http://host[:port][/path]". After a fault nothing more can be read: where the next message would begin is unknown.
// One mistake is milder, because the message itself is sound: an unknown method or an odd target leaves the connection
// usable when nothing was sent behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vmm/base/result.h"

namespace wisp::api {

inline constexpr std::size_t kMaxRequestLineBytes = 4096;
inline constexpr std::size_t kMaxHeaderLineBytes = 4096;
inline constexpr std::size_t kMaxHeadBytes = 8192;
inline constexpr std::size_t kMaxHeaderCount = 128;
inline constexpr std::size_t kDefaultMaxPayloadBytes = 51200;

enum class Method { Get, Put, Patch, Delete };

struct HttpRequest {
  Method method = Method::Get;
  std::string path;  ///< begins with '/' or is empty (absolute form without a path); query and fragment are part of it
  std::string body;
};

enum class OutcomeKind {
  NeedMore,      ///< not a whole message yet
  SendContinue,  ///< the client waits for "100 Continue" before it sends the body
  Ready,         ///< `request` is whole
  Refused,       ///< a sound message that cannot be a request: answer 400 with `error`, go on
  Fault,         ///< answer 400 with `error` and close
};

struct Outcome {
  OutcomeKind kind = OutcomeKind::NeedMore;
  HttpRequest request;
  std::string error;
};

class RequestReader {
 public:
  explicit RequestReader(std::size_t max_payload_bytes = kDefaultMaxPayloadBytes)
      : max_payload_bytes_(max_payload_bytes) {}

  void feed(std::string_view bytes) { buffer_ += bytes; }
  Outcome next();
  /// Is there nothing of a message here? Then the client may take its time.
  bool is_idle() const { return buffer_.empty(); }

 private:
  enum class Stage { RequestLine, Headers, Body, Broken };
  /// Empty: go on with the next line; otherwise what is wrong.
  using LineFault = std::optional<std::string>;

  struct Head {
    HttpRequest request;
    bool is_http_1_0 = false;
    bool expects_continue = false;
    bool expects_continue_in_other_case = false;
    std::optional<std::uint64_t> content_length;
    std::size_t header_count = 0;
    std::string refusal;  // the milder mistakes
  };

  std::optional<Outcome> step();
  std::optional<Outcome> read_line();
  std::optional<Outcome> read_body();
  Outcome fault(std::string text);
  Outcome finish();

  LineFault take_line(std::string_view line);
  LineFault take_request_line(std::string_view line);
  void take_method(std::string_view token);
  LineFault take_target(std::string_view target);
  LineFault take_header(std::string_view line);
  LineFault take_known_header(std::string_view name, std::string_view value);
  LineFault take_content_length(std::string_view value);
  LineFault end_of_head() const;

  const std::size_t max_payload_bytes_;
  std::string buffer_;
  std::size_t consumed_ = 0;  // bytes of buffer_ that are parsed; they belong to the message at its front
  Stage stage_ = Stage::RequestLine;
  bool continue_sent_ = false;
  Head head_;
};

}  // namespace wisp::api
