// HTTP requests of the guest, as far as the metadata service needs them (RFC 9112).
//
// read_request() looks at the bytes received so far and says: incomplete (wait), complete (how many bytes it took, so
// that the next pipelined request can start behind it), or malformed, with the text of the refusal; a connection with a
// malformed request is closed, since nobody knows where the next one would begin. Everything in a request points into
// the bytes it was read from.
//
// Strict where leniency has opened holes elsewhere: lines end in CRLF, no control characters, no folded headers, no
// blanks before the colon, one Content-Length in digits at most, no transfer encodings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wisp::mmds {

/// A request with its body must be shorter than this.
inline constexpr std::size_t kRequestBufferBytes = 2500;

enum class HttpMethod : std::uint8_t { Get, Put, Head, Other };
enum class HttpVersion : std::uint8_t { V10, V11 };
enum class Accept : std::uint8_t { PlainText, Json };
enum class Persistence : std::uint8_t { KeepAlive, Close };

/// A header that has two names, the service's own and the cloud's.
struct NamedValue {
  std::string_view name;
  std::string_view value;
};

struct HttpRequest {
  HttpMethod method = HttpMethod::Other;
  HttpVersion version = HttpVersion::V11;
  std::string_view path;  ///< without scheme and host; empty when there is none
  Accept accept = Accept::PlainText;
  Persistence persistence = Persistence::KeepAlive;
  bool forwarded = false;                 ///< X-Forwarded-For is present
  std::optional<NamedValue> token;        ///< X-metadata-token or its twin
  std::optional<NamedValue> ttl_seconds;  ///< X-metadata-token-ttl-seconds or its twin
};

enum class RequestState : std::uint8_t { Incomplete, Complete, Malformed };

struct ReadRequest {
  RequestState state = RequestState::Incomplete;
  std::size_t length_bytes = 0;  ///< of a complete request with its body
  HttpRequest request;
  std::string defect;  ///< of a malformed one
};

/// `bytes` is at most kRequestBufferBytes long; a buffer that is full and still incomplete is malformed.
ReadRequest read_request(std::string_view bytes);

/// Repeated slashes become one and a slash at the end is dropped: "//a///b/" is "/a/b", "/" is "".
std::string canonical_path(std::string_view path);

}  // namespace wisp::mmds
