// VhostBackend: the connection to a vhost-user back end, the process that has the disk.
//
//   auto backend = WISP_TRY(VhostBackend::connect("/run/spdk.sock"));   // connected, features agreed on, config read
//   (void)WISP_TRY(backend->send(message));                             // never waits; an answer may be owed then
//   (void)WISP_TRY(backend->receive());                                 // when ref() is readable; never waits
//   backend->owed_count() == 0                                          // all that was sent is answered
//
// The back end may lie, stall or die. Answers come in the order of the messages and are checked byte for byte; what
// nobody asked for, descriptors that come with an answer, and an answer that does not come in time end the connection.
// That is final: there is no second one (docs/vhost-user.md). Nothing here grows with what the back end sends.
//
// Only connect(), adopt() and read_config() wait, and not longer than VhostTimeouts say.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "virtio/vhost/message.h"
#include "vmm/base/fd.h"

namespace wisp {

struct VhostTimeouts {
  std::uint64_t connect_ms = 1000;    ///< until the back end has room for a connection
  std::uint64_t negotiate_ms = 2000;  ///< all of the negotiation
  std::uint64_t answer_ms = 4000;     ///< from the last message sent to the last answer
  std::uint64_t config_ms = 500;      ///< a live update, which holds the loop meanwhile
};

/// Answers that may be owed at a time; a start, a stop and a question need fewer.
inline constexpr std::size_t kMaxOwedAnswers = 16;
using VhostConfigSpace = std::array<std::byte, vhost::kConfigBytes>;

class VhostBackend {
 public:
  /// Errors name the path, the cause and what to do.
  static Result<std::unique_ptr<VhostBackend>> connect(const std::string& path, const VhostTimeouts& timeouts = {});
  /// Over a connected stream socket.
  static Result<std::unique_ptr<VhostBackend>> adopt(Fd socket, const std::string& path,
                                                     const VhostTimeouts& timeouts = {});

  /// Bits of virtio 1.2 section 5.2.3 and 6 that the back end offers.
  std::uint64_t features() const { return features_; }
  const VhostConfigSpace& config() const { return config_; }
  const VhostTimeouts& timeouts() const { return timeouts_; }
  const std::string& path() const { return path_; }
  FdRef ref() const { return socket_.ref(); }

  /// An error from here or from receive() means that the connection has ended; its text says why. The descriptor stays
  /// until close(), so that who watches it can stop first.
  Status send(VhostMessage message);
  /// Takes the answers that are there.
  Status receive();
  std::size_t owed_count() const { return owed_count_; }
  /// The answer that comes next, for messages.
  const char* next_owed_name() const;
  /// Where the ring stopped, from the last GET_VRING_BASE.
  std::uint16_t vring_base() const { return base_; }
  /// Reads the configuration space anew. An error while connected() means that the back end refused.
  Result<VhostConfigSpace> read_config();

  bool connected() const { return socket_.valid() && !ended_; }
  void close() { socket_.reset(); }

 private:
  VhostBackend(Fd socket, std::string path, const VhostTimeouts& timeouts)
      : socket_(std::move(socket)), path_(std::move(path)), timeouts_(timeouts) {}

  Status negotiate();
  Result<std::uint64_t> ask(VhostRequest request);
  Result<VhostConfigSpace> ask_config(std::uint64_t deadline_ms);
  /// Waits until nothing is owed.
  Status await(std::uint64_t deadline_ms);
  Status take_reply();
  void owe(VhostRequest request);
  Error end_with(const std::string& cause);

  Fd socket_;
  std::string path_;
  VhostTimeouts timeouts_;
  bool ended_ = false;
  std::uint64_t negotiation_deadline_ms_ = 0;
  std::uint64_t features_ = 0;
  bool acknowledges_ = false;  // REPLY_ACK was agreed on
  VhostConfigSpace config_{};

  ReplyReader reader_;
  std::array<VhostRequest, kMaxOwedAnswers> owed_{};  // in order; the first is what reader_ expects
  std::size_t owed_count_ = 0;
  std::uint64_t value_ = 0;
  std::uint16_t base_ = 0;
  bool config_refused_ = false;
};

}  // namespace wisp
