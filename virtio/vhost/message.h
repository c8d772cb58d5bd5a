// The wire of vhost-user (the "Vhost-user Protocol" page of QEMU's interoperability manual): messages over a Unix
// stream socket, here from the front end's side, for one split ring and up to eight regions of memory.
//
//   le32 request, le32 flags, le32 payload size, payload; descriptors travel as ancillary data
//
//   VhostMessage message = vhost_message(VhostRequest::SetVringNum, VringState{0, 256});   // to send
//   ReplyReader reader;                                                                   // to receive
//   reader.expect(VhostRequest::GetFeatures);
//   while (reader.state() == ReplyState::Incomplete) { reader.advance(read into reader.room()); }
//
// A back end is not trusted: the reader takes exactly the bytes of the one answer that was asked for, never more than
// kMaxReplyPayloadBytes, and says what is wrong with it. It is a pure state machine, without a descriptor.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "vmm/base/assert.h"
#include "vmm/base/endian.h"

namespace wisp {

enum class VhostRequest : std::uint32_t {
  GetFeatures = 1,
  SetFeatures = 2,
  SetOwner = 3,
  SetMemTable = 5,
  SetVringNum = 8,
  SetVringAddr = 9,
  SetVringBase = 10,
  GetVringBase = 11,
  SetVringKick = 12,
  SetVringCall = 13,
  GetProtocolFeatures = 15,
  SetProtocolFeatures = 16,
  SetVringEnable = 18,
  GetConfig = 24,
};
const char* vhost_request_name(VhostRequest request);

namespace vhost {

/// Feature bit between the two ends only; never shown to the guest.
inline constexpr std::uint64_t kProtocolFeatures = std::uint64_t{1} << 30U;
inline constexpr std::uint64_t kReplyAck = std::uint64_t{1} << 3U;
inline constexpr std::uint64_t kConfig = std::uint64_t{1} << 9U;

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kVersionMask = 3;
inline constexpr std::uint32_t kReply = 1U << 2U;
inline constexpr std::uint32_t kNeedReply = 1U << 3U;

/// What every back end takes without the protocol feature CONFIGURE_MEM_SLOTS.
inline constexpr std::size_t kMaxRegions = 8;
/// virtio_blk_config up to the fields of write zeroes (virtio 1.2 section 5.2.4).
inline constexpr std::size_t kConfigBytes = 60;

}  // namespace vhost

struct VhostHeader {
  Le32 request;
  Le32 flags;
  Le32 size;
};
static_assert(sizeof(VhostHeader) == 12);

struct VringState {
  Le32 index;
  Le32 value;
};
struct VringAddresses {
  Le32 index;
  Le32 flags;
  Le64 descriptors;
  Le64 used;
  Le64 available;
  Le64 log;
};
static_assert(sizeof(VringAddresses) == 40);

struct VhostRegion {
  Le64 guest_address;
  Le64 size;
  Le64 user_address;
  Le64 file_offset;
};
struct MemTable {
  Le32 count;
  Le32 padding;
  std::array<VhostRegion, vhost::kMaxRegions> regions;
};
struct ConfigHeader {
  Le32 offset;
  Le32 size;
  Le32 flags;
};
struct ConfigPayload {
  ConfigHeader header;
  std::array<std::byte, vhost::kConfigBytes> bytes;
};
static_assert(sizeof(ConfigPayload) == 72);

inline constexpr std::size_t kMaxMessageBytes = sizeof(VhostHeader) + sizeof(MemTable);
inline constexpr std::size_t kMaxReplyPayloadBytes = sizeof(ConfigPayload);

/// A message that is to be sent, with the descriptors that go with it (lent).
struct VhostMessage {
  VhostRequest request = VhostRequest::SetOwner;
  std::array<std::byte, kMaxMessageBytes> bytes{};
  std::size_t size_bytes = 0;
  std::array<int, vhost::kMaxRegions> descriptors{};
  std::size_t descriptor_count = 0;

  std::span<const std::byte> wire() const { return {bytes.data(), size_bytes}; }
  /// Asks for an answer to a message that has none of its own (protocol feature REPLY_ACK).
  void need_reply();
  void attach(int descriptor) {
    WISP_ASSERT(descriptor_count < descriptors.size());
    descriptors[descriptor_count++] = descriptor;
  }
};

VhostMessage vhost_message(VhostRequest request, std::span<const std::byte> payload = {});
template <typename Payload>
VhostMessage vhost_message(VhostRequest request, const Payload& payload) {
  return vhost_message(request, std::as_bytes(std::span(&payload, 1)));
}

/// Messages that are questions; the others are answered only when they ask for it.
constexpr bool has_own_reply(VhostRequest request) {
  return request == VhostRequest::GetFeatures || request == VhostRequest::GetProtocolFeatures ||
         request == VhostRequest::GetVringBase || request == VhostRequest::GetConfig;
}

enum class ReplyState : std::uint8_t {
  Incomplete,
  Complete,
  WrongVersion,
  NotAReply,
  WrongRequest,
  WrongSize,    ///< a payload of another size than this answer has
  WrongFields,  ///< an answer about another ring, or another piece of the configuration space
  Refused,      ///< the back end could not do what was asked; the connection goes on
};
const char* reply_state_name(ReplyState state);

class ReplyReader {
 public:
  /// The next bytes are the answer to `request`. Everything before is forgotten.
  void expect(VhostRequest request);
  VhostRequest expected() const { return request_; }
  ReplyState state() const { return state_; }
  /// Where the next bytes go; never empty while Incomplete.
  std::span<std::byte> room();
  void advance(std::size_t count);

  /// Of a Complete answer to GetFeatures and GetProtocolFeatures.
  std::uint64_t value() const { return payload<Le64>(); }
  /// Of GetVringBase: where the ring stopped.
  std::uint16_t base() const { return static_cast<std::uint16_t>(payload<VringState>().value); }
  /// Of GetConfig: what the back end gave; the rest is zeros.
  std::array<std::byte, vhost::kConfigBytes> config() const { return payload<ConfigPayload>().bytes; }

 private:
  template <typename T>
  T payload() const {
    T copy;
    std::memcpy(&copy, payload_.data(), sizeof(copy));
    return copy;
  }
  ReplyState check_header() const;
  ReplyState check_payload();
  ReplyState check_config();
  std::size_t payload_size() const { return header_.size; }

  VhostRequest request_ = VhostRequest::GetFeatures;
  ReplyState state_ = ReplyState::Incomplete;
  std::size_t received_ = 0;
  VhostHeader header_{};
  std::array<std::byte, kMaxReplyPayloadBytes> payload_{};
};

}  // namespace wisp
