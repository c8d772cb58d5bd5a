#include "virtio/vhost/message.h"

#include <algorithm>

namespace wisp {
namespace {

struct RequestRow {
  VhostRequest request;
  const char* name;
};

constexpr std::array<RequestRow, 14> kRequests = {{
    {VhostRequest::GetFeatures, "GET_FEATURES"},
    {VhostRequest::SetFeatures, "SET_FEATURES"},
    {VhostRequest::SetOwner, "SET_OWNER"},
    {VhostRequest::SetMemTable, "SET_MEM_TABLE"},
    {VhostRequest::SetVringNum, "SET_VRING_NUM"},
    {VhostRequest::SetVringAddr, "SET_VRING_ADDR"},
    {VhostRequest::SetVringBase, "SET_VRING_BASE"},
    {VhostRequest::GetVringBase, "GET_VRING_BASE"},
    {VhostRequest::SetVringKick, "SET_VRING_KICK"},
    {VhostRequest::SetVringCall, "SET_VRING_CALL"},
    {VhostRequest::GetProtocolFeatures, "GET_PROTOCOL_FEATURES"},
    {VhostRequest::SetProtocolFeatures, "SET_PROTOCOL_FEATURES"},
    {VhostRequest::SetVringEnable, "SET_VRING_ENABLE"},
    {VhostRequest::GetConfig, "GET_CONFIG"},
}};

/// A split ring's index has 16 bits.
constexpr std::uint32_t kLargestBase = 0xffff;

}  // namespace

const char* vhost_request_name(VhostRequest request) {
  const auto* row = std::ranges::find(kRequests, request, &RequestRow::request);
  return row == kRequests.end() ? "an unknown request" : row->name;
}

const char* reply_state_name(ReplyState state) {
  switch (state) {
    case ReplyState::Incomplete: return "is cut short";
    case ReplyState::Complete: return "is whole";
    case ReplyState::WrongVersion: return "has another protocol version";
    case ReplyState::NotAReply: return "is not marked as an answer";
    case ReplyState::WrongRequest: return "answers something else";
    case ReplyState::WrongSize: return "has a size that it cannot have";
    case ReplyState::WrongFields: return "is about something else";
    case ReplyState::Refused: return "is a refusal";
  }
  return "";
}

VhostMessage vhost_message(VhostRequest request, std::span<const std::byte> payload) {
  VhostMessage message;
  const VhostHeader header{static_cast<std::uint32_t>(request), vhost::kVersion,
                           static_cast<std::uint32_t>(payload.size())};
  WISP_ASSERT(payload.size() <= kMaxMessageBytes - sizeof(header));
  message.request = request;
  std::memcpy(message.bytes.data(), &header, sizeof(header));
  std::ranges::copy(payload, message.bytes.begin() + sizeof(header));
  message.size_bytes = sizeof(header) + payload.size();
  return message;
}

void VhostMessage::need_reply() {
  const Le32 flags = vhost::kVersion | vhost::kNeedReply;
  std::memcpy(bytes.data() + offsetof(VhostHeader, flags), &flags, sizeof(flags));
}

void ReplyReader::expect(VhostRequest request) {
  request_ = request;
  state_ = ReplyState::Incomplete;
  received_ = 0;
  payload_.fill(std::byte{0});
}

std::span<std::byte> ReplyReader::room() {
  if (received_ < sizeof(header_)) {
    return std::as_writable_bytes(std::span(&header_, 1)).subspan(received_);
  }
  const std::size_t taken = received_ - sizeof(header_);
  return std::span(payload_).subspan(taken, payload_size() - taken);
}

void ReplyReader::advance(std::size_t count) {
  WISP_ASSERT(state_ == ReplyState::Incomplete && count <= room().size());
  const bool header_was_whole = received_ >= sizeof(header_);
  received_ += count;
  if (received_ < sizeof(header_)) {
    return;
  }
  if (!header_was_whole) {
    state_ = check_header();
  }
  if (state_ == ReplyState::Incomplete && received_ == sizeof(header_) + payload_size()) {
    state_ = check_payload();
  }
}

ReplyState ReplyReader::check_header() const {
  const std::uint32_t flags = header_.flags;
  if ((flags & vhost::kVersionMask) != vhost::kVersion) {
    return ReplyState::WrongVersion;
  }
  if ((flags & vhost::kReply) == 0) {
    return ReplyState::NotAReply;
  }
  if (header_.request != static_cast<std::uint32_t>(request_)) {
    return ReplyState::WrongRequest;
  }
  // Sizes are exact, but for a configuration space that is shorter than ours. Without payload it is a refusal.
  static_assert(sizeof(VringState) == sizeof(Le64));
  const bool fits =
      request_ == VhostRequest::GetConfig
          ? payload_size() == 0 || (payload_size() >= sizeof(ConfigHeader) && payload_size() <= sizeof(ConfigPayload))
          : payload_size() == sizeof(Le64);
  return fits ? ReplyState::Incomplete : ReplyState::WrongSize;
}

ReplyState ReplyReader::check_payload() {
  switch (request_) {
    case VhostRequest::GetFeatures:
    case VhostRequest::GetProtocolFeatures: return ReplyState::Complete;
    case VhostRequest::GetVringBase: {
      const auto state = payload<VringState>();
      return state.index == 0 && state.value <= kLargestBase ? ReplyState::Complete : ReplyState::WrongFields;
    }
    case VhostRequest::GetConfig: return check_config();
    default: return value() == 0 ? ReplyState::Complete : ReplyState::Refused;
  }
}

ReplyState ReplyReader::check_config() {
  if (payload_size() <= sizeof(ConfigHeader)) {
    return ReplyState::Refused;
  }
  const auto header = payload<ConfigHeader>();
  const bool same = header.offset == 0 && header.size == payload_size() - sizeof(ConfigHeader);
  return same ? ReplyState::Complete : ReplyState::WrongFields;
}

}  // namespace wisp
