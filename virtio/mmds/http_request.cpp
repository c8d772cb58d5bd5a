#include "virtio/mmds/http_request.h"

#include <algorithm>
#include <charconv>

namespace wisp::mmds {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kInvalidRequest = "Invalid request.";
constexpr std::string_view kTokenNames[] = {"X-metadata-token", "X-aws-ec2-metadata-token"};
constexpr std::string_view kTtlNames[] = {"X-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token-ttl-seconds"};

constexpr char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool same_text(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, [](char a, char b) { return lower(a) == lower(b); });
}

bool is_token_character(char letter) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (lower(letter) >= 'a' && lower(letter) <= 'z') || (letter >= '0' && letter <= '9') ||
         kMarks.find(letter) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_character);
}

/// Of a line without its end: everything below a blank except the tab, and DEL.
bool has_control_character(std::string_view line) {
  return std::ranges::any_of(line, [](char letter) {
    const auto byte = static_cast<unsigned char>(letter);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

/// Can `bytes`, without the end of the head, still become one? A bare CR or LF or another control character cannot.
bool may_become_head(std::string_view bytes) {
  for (std::size_t index = 0; index < bytes.size(); ++index) {
    const auto byte = static_cast<unsigned char>(bytes[index]);
    const bool ends_line = byte == '\r' && (index + 1 == bytes.size() || bytes[index + 1] == '\n');
    const bool ended_line = byte == '\n' && index > 0 && bytes[index - 1] == '\r';
    if (((byte < 0x20 && byte != '\t') || byte == 0x7f) && !ends_line && !ended_line) {
      return false;
    }
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

/// Cuts off and returns what stands before `mark`; all of it when there is no mark.
std::string_view cut(std::string_view& text, std::string_view mark) {
  const std::size_t end = text.find(mark);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + mark.size());
  return part;
}

HttpMethod method_of(std::string_view name) {
  return name == "GET"    ? HttpMethod::Get
         : name == "PUT"  ? HttpMethod::Put
         : name == "HEAD" ? HttpMethod::Head
                          : HttpMethod::Other;
}

/// "/x" of "/x" and of "http://host/x"; nothing of anything else.
std::string_view path_of(std::string_view uri) {
  constexpr std::string_view kScheme = "http://";
  if (uri.starts_with('/')) {
    return uri;
  }
  if (!same_text(uri.substr(0, kScheme.size()), kScheme)) {
    return {};
  }
  uri.remove_prefix(kScheme.size());
  return uri.substr(std::min(uri.find('/'), uri.size()));
}

std::string header_defect(std::string_view what, std::string_view key, std::string_view value) {
  return "Invalid header. Reason: " + std::string(what) + " Key:" + std::string(key) + "; Value:" + std::string(value);
}

/// Thousandths; a weight that is none counts as 1 (RFC 9110 section 12.4.2).
unsigned weight_of(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view parameter = trimmed(cut(parameters, ";"));
    if (parameter.size() < 3 || !same_text(parameter.substr(0, 2), "q=")) {
      continue;
    }
    parameter.remove_prefix(2);
    if (parameter[0] != '0') {
      return 1000;
    }
    std::string digits(parameter.substr(std::min<std::size_t>(2, parameter.size()), 3));
    digits.resize(3, '0');
    unsigned weight = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), weight);
    return weight;
  }
  return 1000;
}

/// The type with the larger weight, of two with the same the one that is named first. JSON has to be asked for; what
/// asks for nothing that the service has gets plain text.
Accept accept_of(std::string_view value) {
  Accept accept = Accept::PlainText;
  unsigned best = 0;
  while (!value.empty()) {
    std::string_view entry = cut(value, ",");
    const std::string_view type = trimmed(cut(entry, ";"));
    const bool is_json = same_text(type, "application/json") || same_text(type, "application/*");
    const bool is_text = same_text(type, "text/plain") || same_text(type, "text/*") || type == "*/*";
    const unsigned weight = weight_of(entry);
    if ((is_json || is_text) && weight > best) {
      best = weight;
      accept = is_json ? Accept::Json : Accept::PlainText;
    }
  }
  return accept;
}

/// Reads the head of one request; `defect` is empty when all is well.
class HeadReader {
 public:
  explicit HeadReader(HttpRequest& request) : request_(request) {}

  void request_line(std::string_view line) {
    const std::string_view method = cut(line, " ");
    const std::string_view uri = cut(line, " ");
    if (!is_token(method) || has_control_character(uri) || line.empty()) {
      defect = kInvalidRequest;
      return;
    }
    if (line != "HTTP/1.1" && line != "HTTP/1.0") {
      defect = "Invalid HTTP Version: Unsupported HTTP version.";
      return;
    }
    request_.method = method_of(method);
    request_.version = line == "HTTP/1.1" ? HttpVersion::V11 : HttpVersion::V10;
    request_.path = path_of(uri);
    request_.persistence = request_.version == HttpVersion::V11 ? Persistence::KeepAlive : Persistence::Close;
  }

  void header(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) || has_control_character(line)) {
      const bool printable = !has_control_character(line);
      defect = printable ? "Invalid header. Reason: Header is incorrectly formatted. Key: " + std::string(line)
                         : std::string(kInvalidRequest);
      return;
    }
    known_header(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  }

  std::string defect;
  std::size_t body_bytes = 0;

 private:
  void known_header(std::string_view name, std::string_view value) {
    if (same_text(name, "Content-Length")) {
      content_length(value);
    } else if (same_text(name, "Transfer-Encoding")) {
      defect = header_defect("Unsupported value.", "Transfer-Encoding", value);
    } else if (same_text(name, "Accept")) {
      request_.accept = accept_of(value);
    } else if (same_text(name, "Connection")) {
      connection(value);
    } else if (same_text(name, "X-Forwarded-For")) {
      request_.forwarded = true;
    } else {
      take_twin(kTokenNames, name, value, request_.token);
      take_twin(kTtlNames, name, value, request_.ttl_seconds);
    }
  }

  void content_length(std::string_view value) {
    std::uint32_t length = 0;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (has_length_ || problem != std::errc() || end != value.data() + value.size()) {
      defect = header_defect("Invalid value.", "Content-Length", value);
      return;
    }
    has_length_ = true;
    body_bytes = length;
  }

  void connection(std::string_view value) {
    while (!value.empty()) {
      const std::string_view option = trimmed(cut(value, ","));
      if (same_text(option, "close")) {
        request_.persistence = Persistence::Close;
        closes_ = true;
      } else if (same_text(option, "keep-alive") && !closes_) {
        request_.persistence = Persistence::KeepAlive;
      }
    }
  }

  /// The service's own name counts more than the cloud's; of the same name given twice the last one counts.
  static void take_twin(const std::string_view (&names)[2], std::string_view name, std::string_view value,
                        std::optional<NamedValue>& slot) {
    if (same_text(name, names[0])) {
      slot = {names[0], value};
    } else if (same_text(name, names[1]) && (!slot || slot->name == names[1])) {
      slot = {names[1], value};
    }
  }

  HttpRequest& request_;
  bool has_length_ = false;
  bool closes_ = false;
};

ReadRequest malformed(std::string text) {
  return {RequestState::Malformed, 0, {}, std::move(text)};
}

ReadRequest incomplete(std::string_view bytes, std::string_view reason) {
  return bytes.size() < kRequestBufferBytes ? ReadRequest{} : malformed(std::string(reason));
}

}  // namespace

ReadRequest read_request(std::string_view bytes) {
  // RFC 9112 section 2.2: an empty line before the request line is ignored.
  const std::size_t skipped = bytes.starts_with(kLineEnd) ? kLineEnd.size() : 0;
  std::string_view head = bytes.substr(skipped);
  const std::size_t head_end = head.find(kHeadEnd);
  if (head_end == std::string_view::npos) {
    return may_become_head(head) ? incomplete(bytes, kInvalidRequest) : malformed(std::string(kInvalidRequest));
  }
  head = head.substr(0, head_end);
  ReadRequest result;
  HeadReader reader(result.request);
  reader.request_line(cut(head, kLineEnd));
  while (!head.empty() && reader.defect.empty()) {
    reader.header(cut(head, kLineEnd));
  }
  if (!reader.defect.empty()) {
    return malformed(std::move(reader.defect));
  }
  const std::size_t total = skipped + head_end + kHeadEnd.size() + reader.body_bytes;
  if (total > kRequestBufferBytes) {
    return malformed("Request payload with size " + std::to_string(reader.body_bytes) +
                     " is larger than the limit of " + std::to_string(kRequestBufferBytes) + " allowed by server.");
  }
  if (total <= bytes.size()) {
    result.state = RequestState::Complete;
    result.length_bytes = total;
  }
  return result;
}

std::string canonical_path(std::string_view path) {
  std::string canonical;
  for (const char letter : path) {
    if (letter != '/' || canonical.empty() || canonical.back() != '/') {
      canonical += letter;
    }
  }
  if (canonical.ends_with('/')) {
    canonical.pop_back();
  }
  return canonical;
}

}  // namespace wisp::mmds
