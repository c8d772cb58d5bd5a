#include "api/request_reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "api/unicode.h"
#include "vmm/base/checked.h"

namespace wisp::api {
namespace {

/// A buffer that once held a large body gives its memory back.
constexpr std::size_t kKeptBufferBytes = 8192;

constexpr std::pair<std::string_view, Method> kMethods[] = {
    {"GET", Method::Get}, {"PUT", Method::Put}, {"PATCH", Method::Patch}, {"DELETE", Method::Delete}};

constexpr std::string_view kAbsoluteForm = "http://";

bool is_control(char byte) {
  return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f;
}

/// RFC 9110 section 5.6.2: what header names and methods consist of.
bool is_token_character(char byte) {
  const bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
  const bool is_digit = byte >= '0' && byte <= '9';
  return is_letter || is_digit || std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

std::string invalid_value(std::string_view name, std::string_view value) {
  return "Invalid header. Reason: Invalid value. Key:" + std::string(name) + "; Value:" + std::string(value);
}

/// Answers come uncompressed; a client that forbids that cannot be served.
bool forbids_identity(std::string_view value) {
  bool forbids_all = false;
  bool names_identity = false;
  while (true) {
    const std::size_t comma = value.find(',');
    const std::string_view coding = trim(value.substr(0, comma));
    if (coding == "identity;q=0") {
      return true;
    }
    forbids_all = forbids_all || coding == "*;q=0";
    names_identity = names_identity || coding.starts_with("identity");
    if (comma == std::string_view::npos) {
      return forbids_all && !names_identity;
    }
    value.remove_prefix(comma + 1);
  }
}

}  // namespace

Outcome RequestReader::next() {
  while (true) {
    if (std::optional<Outcome> outcome = step()) {
      return std::move(*outcome);
    }
  }
}

std::optional<Outcome> RequestReader::step() {
  switch (stage_) {
    case Stage::Broken: return Outcome{};
    case Stage::Body: return read_body();
    case Stage::RequestLine:
    case Stage::Headers: break;
  }
  return read_line();
}

Outcome RequestReader::fault(std::string text) {
  stage_ = Stage::Broken;
  buffer_ = {};
  consumed_ = 0;
  return {OutcomeKind::Fault, {}, std::move(text)};
}

std::optional<Outcome> RequestReader::read_line() {
  const std::string_view rest = std::string_view(buffer_).substr(consumed_);
  const std::size_t max_line_bytes = stage_ == Stage::RequestLine ? kMaxRequestLineBytes : kMaxHeaderLineBytes;
  const std::size_t line_feed = rest.substr(0, max_line_bytes).find('\n');
  if (line_feed == std::string_view::npos) {
    if (rest.size() >= max_line_bytes) {
      return fault(stage_ == Stage::RequestLine
                       ? "Invalid request. The request line is longer than " + std::to_string(max_line_bytes) +
                             " bytes."
                       : "Invalid header. Reason: Invalid content length. The header line is longer than " +
                             std::to_string(max_line_bytes) + " bytes.");
    }
    return Outcome{};
  }
  if (line_feed == 0 || rest[line_feed - 1] != '\r') {
    return fault("Invalid request. Lines must end with CR LF.");
  }
  if (consumed_ + line_feed + 1 > kMaxHeadBytes) {
    return fault("Invalid request. The head is longer than " + std::to_string(kMaxHeadBytes) + " bytes.");
  }
  // Taking the line moves the stage on; the line's text stays good, because nothing is removed from the buffer here.
  consumed_ += line_feed + 1;
  if (LineFault wrong = take_line(rest.substr(0, line_feed - 1))) {
    return fault(std::move(*wrong));
  }
  return std::nullopt;
}

RequestReader::LineFault RequestReader::take_line(std::string_view line) {
  if (stage_ == Stage::RequestLine) {
    stage_ = Stage::Headers;
    return take_request_line(line);
  }
  if (line.empty()) {
    stage_ = Stage::Body;
    return end_of_head();
  }
  return take_header(line);
}

RequestReader::LineFault RequestReader::take_request_line(std::string_view line) {
  const std::size_t first_blank = line.find(' ');
  const std::size_t last_blank = line.rfind(' ');
  const bool has_three_parts = first_blank != std::string_view::npos && last_blank > first_blank;
  if (!has_three_parts || std::count(line.begin(), line.end(), ' ') != 2 ||
      std::any_of(line.begin(), line.end(), is_control)) {
    return "Invalid request.";
  }
  const std::string_view version = line.substr(last_blank + 1);
  if (version != "HTTP/1.0" && version != "HTTP/1.1") {
    return "Invalid HTTP Version: Unsupported HTTP version.";
  }
  head_.is_http_1_0 = version == "HTTP/1.0";
  const std::string_view method = line.substr(0, first_blank);
  if (!is_token(method)) {
    return "Invalid request.";
  }
  take_method(method);
  return take_target(line.substr(first_blank + 1, last_blank - first_blank - 1));
}

void RequestReader::take_method(std::string_view token) {
  for (const auto& [name, method] : kMethods) {
    if (name == token) {
      head_.request.method = method;
      return;
    }
  }
  head_.refusal = "Invalid HTTP Method: Unsupported HTTP method.";
}

RequestReader::LineFault RequestReader::take_target(std::string_view target) {
  if (target.empty()) {
    return "Invalid URI: Empty URI not allowed.";
  }
  if (!is_utf8(target)) {
    return "Invalid URI: Cannot parse URI as UTF-8.";
  }
  if (target.starts_with(kAbsoluteForm)) {
    target.remove_prefix(kAbsoluteForm.size());
    const std::size_t path = target.find('/');
    if (path != 0 && !target.empty()) {
      head_.request.path = path == std::string_view::npos ? "" : target.substr(path);
      return {};
    }
  } else if (target.front() == '/') {
    head_.request.path = target;
    return {};
  }
  if (head_.refusal.empty()) {
    head_.refusal = "Invalid URI: the target must be /path or http://host/path.";
  }
  return {};
}

RequestReader::LineFault RequestReader::take_header(std::string_view line) {
  if (++head_.header_count > kMaxHeaderCount) {
    return "Invalid header. Reason: more than " + std::to_string(kMaxHeaderCount) + " header lines.";
  }
  if (!is_utf8(line)) {
    return "Invalid header. Reason: Header contains invalid characters.";
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return "Invalid header. Reason: Header is incorrectly formatted. Key: " + std::string(line.substr(0, colon));
  }
  const std::string_view value = trim(line.substr(colon + 1));
  if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; })) {
    return "Invalid header. Reason: Header contains invalid characters. Key: " + std::string(line.substr(0, colon));
  }
  return take_known_header(line.substr(0, colon), value);
}

RequestReader::LineFault RequestReader::take_known_header(std::string_view name, std::string_view value) {
  const std::string key = lower(name);
  if (key == "content-length") {
    return take_content_length(value);
  }
  if (key == "transfer-encoding") {
    return "Invalid header. Reason: Unsupported value. Key:Transfer-Encoding; send the body with Content-Length.";
  }
  if (key == "expect") {
    head_.expects_continue = head_.expects_continue || value == "100-continue";
    head_.expects_continue_in_other_case = head_.expects_continue_in_other_case || lower(value) == "100-continue";
  }
  if (key == "accept-encoding") {
    if (value.empty()) {
      return "Invalid request.";
    }
    if (forbids_identity(value)) {
      return invalid_value("Accept-Encoding", value);
    }
  }
  return {};
}

RequestReader::LineFault RequestReader::take_content_length(std::string_view value) {
  std::uint64_t length = 0;
  for (const char digit : value) {
    const auto shifted = checked_mul<std::uint64_t>(length, 10);
    if (digit < '0' || digit > '9' || !shifted || !checked_add<std::uint64_t>(*shifted, 9)) {
      return invalid_value("Content-Length", value);
    }
    length = *shifted + static_cast<std::uint64_t>(digit - '0');
  }
  if (value.empty() || head_.content_length.value_or(length) != length) {
    return invalid_value("Content-Length", value);
  }
  head_.content_length = length;
  return {};
}

RequestReader::LineFault RequestReader::end_of_head() const {
  const std::uint64_t length = head_.content_length.value_or(0);
  if (length > max_payload_bytes_) {
    return "Request payload with size " + std::to_string(length) + " is larger than the limit of " +
           std::to_string(max_payload_bytes_) + " allowed by server.";
  }
  return {};
}

std::optional<Outcome> RequestReader::read_body() {
  const auto length = static_cast<std::size_t>(head_.content_length.value_or(0));
  const bool is_whole = buffer_.size() - consumed_ >= length;
  // RFC 9110 section 10.1.1: HTTP/1.0 knows no 100 answer, and it may be left out when the body is here already. The
  // plain spelling is answered always, because clients count on it.
  const bool wants_continue = head_.expects_continue || (head_.expects_continue_in_other_case && !is_whole);
  if (wants_continue && !continue_sent_ && !head_.is_http_1_0 && length > 0 && head_.refusal.empty()) {
    continue_sent_ = true;
    return Outcome{OutcomeKind::SendContinue, {}, {}};
  }
  if (!is_whole) {
    return Outcome{};
  }
  return finish();
}

Outcome RequestReader::finish() {
  const auto length = static_cast<std::size_t>(head_.content_length.value_or(0));
  Head head = std::exchange(head_, Head{});
  head.request.body = buffer_.substr(consumed_, length);
  buffer_.erase(0, consumed_ + length);
  if (buffer_.empty() && buffer_.capacity() > kKeptBufferBytes) {
    buffer_ = {};
  }
  consumed_ = 0;
  continue_sent_ = false;
  stage_ = Stage::RequestLine;
  if (head.refusal.empty()) {
    return {OutcomeKind::Ready, std::move(head.request), {}};
  }
  if (!buffer_.empty()) {
    // What follows a message that we do not understand may not be meant as a request.
    return fault(std::move(head.refusal));
  }
  return {OutcomeKind::Refused, {}, std::move(head.refusal)};
}

}  // namespace wisp::api
