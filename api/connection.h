// One client's connection: read a request, answer it, until the client goes or breaks the rules.
//
// Time limits, so that no client can hold a place for ever by being slow:
// - between requests the client may be silent as long as it likes, unless idle_deadline_ms says otherwise;
// - from the first byte of a request to its last there is one deadline in total, not one per read;
// - an answer must be taken within a deadline; who does not read is dropped.
// Descriptors that a client sends along (SCM_RIGHTS) belong to the request that is complete first after them, and are
// closed with it; more than kMaxRequestDescriptors end the connection.
// When the client ends its side, requests that are here in full are still carried out and answered.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "api/descriptor_inbox.h"
#include "api/http_engine.h"
#include "api/request_reader.h"
#include "api/router.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

namespace wisp::api {

struct ConnectionLimits {
  std::size_t max_payload_bytes = kDefaultMaxPayloadBytes;
  std::uint64_t request_deadline_ms = 10'000;
  std::uint64_t write_deadline_ms = 10'000;
  /// How long a client may be silent between requests; 0: for ever.
  std::uint64_t idle_deadline_ms = 0;
  /// How long a refused client's further bytes are thrown away before the close, so that it can read why.
  std::uint64_t linger_ms = 500;
};

/// What all connections share.
struct ConnectionContext {
  HttpEngine& engine;
  Responder& responder;
  const Clock& clock;
  ConnectionLimits limits;
  /// Requests that were received whole and whose answers are not sent yet.
  std::atomic<int> unanswered_count = 0;
};

class Connection {
 public:
  Connection(FdRef socket, ConnectionContext& context)
      : socket_(socket), context_(context), reader_(context.limits.max_payload_bytes) {}

  /// Serves until the end; the caller closes the socket afterwards.
  void serve();

 private:
  enum class Progress { GoOn, End };
  enum class Received { Bytes, Ended, TooLate, TooManyDescriptors };

  Progress handle(const Outcome& outcome);
  Progress answer(const HttpRequest& request);
  Progress receive_more();
  Received receive();
  Progress send_all(std::string_view bytes);
  void refuse_and_linger(const std::string& text);
  void discard_until(std::uint64_t deadline_ns);
  bool wait_for(short events, std::uint64_t deadline_ns) const;
  std::uint64_t idle_deadline() const;
  std::uint64_t deadline_after(std::uint64_t duration_ms) const;

  FdRef socket_;
  ConnectionContext& context_;
  RequestReader reader_;
  DescriptorInbox inbox_;
  std::uint64_t request_deadline_ns_ = 0;
};

}  // namespace wisp::api
