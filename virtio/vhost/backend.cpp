#include "virtio/vhost/backend.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "virtio/core/ring_layout.h"
#include "vmm/base/clock.h"
#include "vmm/base/uninterrupted.h"
#include "vmm/base/unix_address.h"

namespace wisp {
namespace {

constexpr std::uint64_t kUsPerMs = 1000;
constexpr std::uint64_t kMsPerSecond = 1000;
constexpr const char* kClosed = "has closed the connection";

std::uint64_t now_ms() {
  return monotonic_us() / kUsPerMs;
}

std::string name_of_backend(const std::string& path) {
  return "the vhost-user back end at '" + path + "'";
}

/// connect() waits for a place in the listener's queue for as long as a send may take.
Status limit_connect(FdRef socket, std::uint64_t limit_ms) {
  const timeval limit{.tv_sec = static_cast<time_t>(limit_ms / kMsPerSecond),
                      .tv_usec = static_cast<suseconds_t>(limit_ms % kMsPerSecond * kUsPerMs)};
  if (::setsockopt(socket.raw(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
    return Error::host(errno, "cannot limit how long a connection may take");
  }
  return {};
}

Result<Fd> connect_to(const std::string& path, std::uint64_t limit_ms) {
  const Result<sockaddr_un> address = unix_address(path);
  if (!address.ok()) {
    return Error(address.error()).with_prefix("cannot connect to " + name_of_backend(path) + ": ");
  }
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Error::host(errno, "cannot create a socket", "Raise the limit on open files (RLIMIT_NOFILE)");
  }
  (void)WISP_TRY(limit_connect(socket.ref(), limit_ms));
  const auto* const where = reinterpret_cast<const sockaddr*>(&address.value());
  if (uninterrupted([&] { return ::connect(socket.raw(), where, sizeof(sockaddr_un)); }) != 0) {
    return Error::host(errno, "cannot connect to " + name_of_backend(path),
                       "Start the back end that listens there first, and let this process reach its socket");
  }
  return socket;
}

/// Sends a message whole or fails; a back end that does not read is one that does not work.
bool send_whole(FdRef socket, const VhostMessage& message) {
  const auto wire = message.wire();
  iovec body{const_cast<std::byte*>(wire.data()), wire.size()};  // the kernel only reads it
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * vhost::kMaxRegions)> control{};
  msghdr parts{};
  parts.msg_iov = &body;
  parts.msg_iovlen = 1;
  if (message.descriptor_count > 0) {
    const std::size_t bytes = sizeof(int) * message.descriptor_count;
    parts.msg_control = control.data();
    parts.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* const header = CMSG_FIRSTHDR(&parts);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(header), message.descriptors.data(), bytes);
  }
  const ssize_t sent = ::sendmsg(socket.raw(), &parts, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 && static_cast<std::size_t>(sent) != wire.size()) {
    errno = EAGAIN;
  }
  return sent == static_cast<ssize_t>(wire.size());
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------
// The beginning.

Result<std::unique_ptr<VhostBackend>> VhostBackend::connect(const std::string& path, const VhostTimeouts& timeouts) {
  return adopt(WISP_TRY(connect_to(path, timeouts.connect_ms)), path, timeouts);
}

Result<std::unique_ptr<VhostBackend>> VhostBackend::adopt(Fd socket, const std::string& path,
                                                          const VhostTimeouts& timeouts) {
  std::unique_ptr<VhostBackend> backend(new VhostBackend(std::move(socket), path, timeouts));
  (void)WISP_TRY(backend->negotiate());
  return backend;
}

Status VhostBackend::negotiate() {
  negotiation_deadline_ms_ = now_ms() + timeouts_.negotiate_ms;
  (void)WISP_TRY(send(vhost_message(VhostRequest::SetOwner)));
  features_ = WISP_TRY(ask(VhostRequest::GetFeatures));
  if ((features_ & feature::kVersion1) == 0 || (features_ & vhost::kProtocolFeatures) == 0) {
    return Error(ErrorCode::Unsupported, name_of_backend(path_) +
                                             " does not offer VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES. "
                                             "Use a newer back end");
  }
  const std::uint64_t offered = WISP_TRY(ask(VhostRequest::GetProtocolFeatures));
  if ((offered & vhost::kConfig) == 0) {
    return Error(ErrorCode::Unsupported, name_of_backend(path_) +
                                             " does not offer the protocol feature CONFIG, without which a disk has no "
                                             "size. Is it a vhost-user-blk back end?");
  }
  const Le64 wanted = offered & (vhost::kConfig | vhost::kReplyAck);
  (void)WISP_TRY(send(vhost_message(VhostRequest::SetProtocolFeatures, wanted)));
  acknowledges_ = (offered & vhost::kReplyAck) != 0;
  config_ = WISP_TRY(ask_config(negotiation_deadline_ms_));
  return {};
}

Result<std::uint64_t> VhostBackend::ask(VhostRequest request) {
  (void)WISP_TRY(send(vhost_message(request)));
  (void)WISP_TRY(await(negotiation_deadline_ms_));
  return value_;
}

Result<VhostConfigSpace> VhostBackend::ask_config(std::uint64_t deadline_ms) {
  ConfigPayload payload{};
  payload.header.size = static_cast<std::uint32_t>(vhost::kConfigBytes);
  config_refused_ = false;
  (void)WISP_TRY(send(vhost_message(VhostRequest::GetConfig, payload)));
  (void)WISP_TRY(await(deadline_ms));
  if (config_refused_) {
    return Error(ErrorCode::HostFault,
                 name_of_backend(path_) + " refused to give its configuration (GET_CONFIG). See its own log");
  }
  return config_;
}

Result<VhostConfigSpace> VhostBackend::read_config() {
  return ask_config(now_ms() + timeouts_.config_ms);
}

// ---------------------------------------------------------------------------------------------------------------------
// Messages.

Error VhostBackend::end_with(const std::string& cause) {
  ended_ = true;
  owed_count_ = 0;
  return {ErrorCode::HostFault, name_of_backend(path_) + " " + cause};
}

Status VhostBackend::send(VhostMessage message) {
  if (!connected()) {
    return end_with("is gone. Start the microVM anew to connect again");
  }
  const bool is_question = has_own_reply(message.request);
  if (!is_question && acknowledges_) {
    message.need_reply();
  }
  if (owed_count_ == kMaxOwedAnswers) {
    return end_with(std::string("does not answer ") + next_owed_name());
  }
  if (!send_whole(socket_.ref(), message)) {
    return errno == EPIPE || errno == ECONNRESET
               ? end_with(kClosed)
               : end_with("does not take messages (" + std::string(vhost_request_name(message.request)) + ")");
  }
  if (is_question || acknowledges_) {
    owe(message.request);
  }
  return {};
}

void VhostBackend::owe(VhostRequest request) {
  owed_[owed_count_++] = request;
  if (owed_count_ == 1) {
    reader_.expect(request);
  }
}

const char* VhostBackend::next_owed_name() const {
  return owed_count_ == 0 ? "nothing" : vhost_request_name(owed_.front());
}

Status VhostBackend::receive() {
  // Each turn takes bytes of an answer that is owed, so there are few of them.
  do {
    std::byte unasked{};
    const auto room = owed_count_ > 0 ? reader_.room() : std::span(&unasked, 1);
    iovec body{room.data(), room.size()};
    msghdr parts{};
    parts.msg_iov = &body;
    parts.msg_iovlen = 1;
    // Without room for ancillary data the kernel drops descriptors by itself, and says so.
    const ssize_t count = ::recvmsg(socket_.raw(), &parts, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      return {};
    }
    if (count <= 0) {
      return end_with(kClosed);
    }
    if ((parts.msg_flags & MSG_CTRUNC) != 0) {
      return end_with("sent descriptors where none belong");
    }
    if (owed_count_ == 0) {
      return end_with("sent a message that nobody asked for");
    }
    reader_.advance(static_cast<std::size_t>(count));
    if (reader_.state() != ReplyState::Incomplete) {
      (void)WISP_TRY(take_reply());
    }
  } while (owed_count_ > 0);
  return {};
}

Status VhostBackend::take_reply() {
  const VhostRequest request = reader_.expected();
  const ReplyState state = reader_.state();
  const bool refused_config = request == VhostRequest::GetConfig && state == ReplyState::Refused;
  if (state != ReplyState::Complete && !refused_config) {
    return end_with(std::string("broke the protocol: its answer to ") + vhost_request_name(request) + " " +
                    reply_state_name(state));
  }
  switch (request) {
    case VhostRequest::GetFeatures:
    case VhostRequest::GetProtocolFeatures: value_ = reader_.value(); break;
    case VhostRequest::GetVringBase: base_ = reader_.base(); break;
    case VhostRequest::GetConfig:
      config_refused_ = refused_config;
      config_ = refused_config ? config_ : reader_.config();
      break;
    default: break;
  }
  std::shift_left(owed_.begin(), owed_.begin() + static_cast<std::ptrdiff_t>(owed_count_), 1);
  if (--owed_count_ > 0) {
    reader_.expect(owed_.front());
  }
  return {};
}

Status VhostBackend::await(std::uint64_t deadline_ms) {
  while (owed_count_ > 0) {
    const std::uint64_t now = now_ms();
    if (now >= deadline_ms) {
      return end_with(std::string("did not answer ") + next_owed_name() + " in time");
    }
    pollfd wait{socket_.raw(), POLLIN, 0};
    const std::uint64_t left_ms = std::min<std::uint64_t>(deadline_ms - now, std::numeric_limits<int>::max());
    (void)::poll(&wait, 1, static_cast<int>(left_ms));
    (void)WISP_TRY(receive());
  }
  return {};
}

}  // namespace wisp
