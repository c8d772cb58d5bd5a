#include "virtio/mmds/metadata_service.h"

#include <charconv>
#include <utility>

#include "virtio/mmds/metadata_endpoint.h"

namespace wisp {
namespace {

using mmds::Accept;
using mmds::HttpMethod;
using mmds::HttpRequest;
using mmds::HttpVersion;
using mmds::Persistence;

constexpr std::string_view kTokenPath = "/latest/api/token";
constexpr std::string_view kNoToken =
    "No MMDS token provided. Use `X-metadata-token` or `X-aws-ec2-metadata-token` header to specify the session token.";
constexpr std::string_view kBadToken = "MMDS token not valid.";
constexpr std::string_view kNoTtl =
    "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or `X-aws-ec2-metadata-token-ttl-seconds` "
    "header to specify the token's lifetime.";
constexpr std::string_view kForwarded = "Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For";
constexpr std::string_view kUnsupportedValue = "Cannot retrieve value. The value has an unsupported type.";

enum class HttpStatus : unsigned {
  Ok = 200,
  BadRequest = 400,
  Unauthorized = 401,
  NotFound = 404,
  MethodNotAllowed = 405,
  NotImplemented = 501,
};

std::string not_found(std::string_view path) {
  return "Resource not found: " + std::string(path) + ".";
}

/// The head. `extra_headers` are whole lines.
std::string head_of(const HttpRequest& request, HttpStatus status, Accept type, std::size_t length,
                    std::string_view extra_headers) {
  std::string head = request.version == HttpVersion::V10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  // No reason phrase: clients of this interface are used to that.
  head += std::to_string(static_cast<unsigned>(status));
  head += " \r\nServer: Firecracker API\r\nConnection: ";
  head += request.persistence == Persistence::KeepAlive ? "keep-alive\r\n" : "close\r\n";
  head += extra_headers;
  head += type == Accept::Json ? "Content-Type: application/json\r\n" : "Content-Type: text/plain\r\n";
  head += "Content-Length: " + std::to_string(length) + "\r\n\r\n";
  return head;
}

MetadataAnswer plain(const HttpRequest& request, HttpStatus status, std::string_view text,
                     std::string_view extra_headers = {}) {
  MetadataAnswer answer;
  answer.head = head_of(request, status, Accept::PlainText, text.size(), extra_headers);
  answer.persistence = request.persistence;
  // RFC 9110 section 9.3.2: an answer to HEAD ends behind its head.
  if (request.method != HttpMethod::Head) {
    answer.head += text;
  }
  return answer;
}

}  // namespace

MetadataService::MetadataService(const MmdsConfig& config, MetadataStore& store, mmds::TokenAuthority tokens,
                                 EventLoop& loop, const Clock& clock, MmdsMetrics& metrics)
    : version_(config.version),
      address_(config.ipv4_address.value_or(kDefaultMmdsAddress)),
      imds_compat_(config.imds_compat),
      store_(store),
      tokens_(std::move(tokens)),
      loop_(loop),
      clock_(clock),
      metrics_(metrics) {}

Result<std::unique_ptr<MetadataService>> MetadataService::create(const MmdsConfig& config, MetadataStore& store,
                                                                 std::string instance_id, EventLoop& loop,
                                                                 const Clock& clock, MmdsMetrics& metrics) {
  auto tokens = WISP_TRY(mmds::TokenAuthority::create(std::move(instance_id), clock));
  return std::unique_ptr<MetadataService>(new MetadataService(config, store, std::move(tokens), loop, clock, metrics));
}

Result<std::unique_ptr<FrameDetour>> MetadataService::attach() {
  return std::unique_ptr<FrameDetour>(WISP_TRY(MetadataEndpoint::create(*this, loop_, clock_)));
}

MetadataAnswer MetadataService::refuse(const std::string& defect) {
  HttpRequest request;
  request.persistence = Persistence::Close;
  return plain(request, HttpStatus::BadRequest, defect);
}

MetadataAnswer MetadataService::answer(const HttpRequest& request) {
  if (request.path.empty()) {
    return plain(request, HttpStatus::BadRequest, "Invalid URI.");
  }
  switch (request.method) {
    case HttpMethod::Get: return answer_get(request);
    case HttpMethod::Put: return answer_put(request);
    case HttpMethod::Head:
    case HttpMethod::Other: break;
  }
  return plain(request, HttpStatus::MethodNotAllowed, "Not allowed HTTP method.", "Allow: GET, PUT\r\n");
}

MetadataAnswer MetadataService::answer_get(const HttpRequest& request) {
  const bool valid = request.token && tokens_.accepts(request.token->value);
  if (!valid) {
    (request.token ? metrics_.rx_invalid_token : metrics_.rx_no_token).add();
    if (version_ == MmdsVersion::V2) {
      return plain(request, HttpStatus::Unauthorized, request.token ? kBadToken : kNoToken);
    }
  }
  const bool as_json = request.accept == Accept::Json && !imds_compat_;
  Lookup found =
      store_.lookup(mmds::canonical_path(request.path), as_json ? MetadataFormat::Json : MetadataFormat::Imds);
  switch (found.outcome) {
    case LookupOutcome::NotFound: return plain(request, HttpStatus::NotFound, not_found(request.path));
    case LookupOutcome::Unsupported: return plain(request, HttpStatus::NotImplemented, kUnsupportedValue);
    case LookupOutcome::Found: break;
  }
  std::string head = head_of(request, HttpStatus::Ok, request.accept, found.body.text.size(), {});
  return {std::move(head), std::move(found.body), request.persistence};
}

MetadataAnswer MetadataService::answer_put(const HttpRequest& request) {
  if (request.forwarded) {
    return plain(request, HttpStatus::BadRequest, kForwarded);
  }
  if (mmds::canonical_path(request.path) != kTokenPath) {
    return plain(request, HttpStatus::NotFound, not_found(request.path));
  }
  if (!request.ttl_seconds) {
    return plain(request, HttpStatus::BadRequest, kNoTtl);
  }
  return answer_token(request);
}

MetadataAnswer MetadataService::answer_token(const HttpRequest& request) {
  const auto [name, value] = *request.ttl_seconds;
  std::uint32_t ttl_seconds = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), ttl_seconds);
  if (problem != std::errc() || end != value.data() + value.size()) {
    return plain(request, HttpStatus::BadRequest,
                 "Invalid header. Reason: Invalid value. Key:" + std::string(name) + "; Value:" + std::string(value));
  }
  if (ttl_seconds < mmds::kMinTokenTtlSeconds || ttl_seconds > mmds::kMaxTokenTtlSeconds) {
    return plain(request, HttpStatus::BadRequest,
                 "Invalid time to live value provided for token: " + std::to_string(ttl_seconds) +
                     ". Please provide a value between 1 and 21600.");
  }
  const std::string echo = std::string(name) + ": " + std::to_string(ttl_seconds) + "\r\n";
  return plain(request, HttpStatus::Ok, tokens_.issue(ttl_seconds), echo);
}

}  // namespace wisp
