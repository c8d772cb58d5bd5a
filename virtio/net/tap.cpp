#include "virtio/net/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "virtio/core/lend_vectors.h"
#include "virtio/net/packet.h"

namespace wisp {
namespace {

constexpr const char* kTunPath = "/dev/net/tun";
/// Documentation/admin-guide/devices.txt of Linux: 10 misc, 200 net/tun.
const dev_t kTunDevice = makedev(10, 200);

static_assert(offload::kCsum == TUN_F_CSUM && offload::kTso4 == TUN_F_TSO4 && offload::kTso6 == TUN_F_TSO6);
static_assert(offload::kUfo == TUN_F_UFO);

/// All but checksums need checksums.
constexpr std::array<std::uint32_t, 5> kOffloadsToTry = {
    offload::kCsum,
    offload::kCsum | offload::kTso4,
    offload::kCsum | offload::kTso6,
    offload::kCsum | offload::kUfo,
    offload::kCsum | offload::kUso,
};

bool is_interface_name(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

const char* remedy_for_open(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO: return "Load the kernel module (modprobe tun), or put the device node into the jail";
    case EACCES:
    case EPERM: return "Give the monitor's user read and write access to it";
    default: return "";
  }
}

const char* remedy_for_attach(int sys_errno) {
  switch (sys_errno) {
    case EPERM: return "Give the TAP to the monitor's user (ip tuntap add NAME mode tap user UID)";
    case EBUSY: return "Another process has it open; each machine needs a TAP of its own";
    case EINVAL:
      return "An interface of that name exists that is not a single-queue TAP; make one with: ip tuntap add NAME mode "
             "tap";
    default: return "";
  }
}

}  // namespace

Tap::Tap(Fd fd, std::string name)
    : fd_(std::move(fd)), name_(std::move(name)), vectors_(std::make_unique<iovec[]>(kMaxVectors)) {}

Result<Tap> Tap::open(const std::string& name) {
  static_assert(kMaxVectors == IOV_MAX);
  if (!is_interface_name(name)) {
    return Error(ErrorCode::InvalidArgument, "Invalid interface name: 1 to 15 bytes, without '/'");
  }
  Fd fd(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, std::string("cannot open ") + kTunPath, remedy_for_open(errno));
  }
  ifreq request{};
  std::copy(name.begin(), name.end(), request.ifr_name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.raw(), TUNSETIFF, &request) != 0) {
    return Error::host(errno, "cannot open the TAP interface " + name, remedy_for_attach(errno));
  }
  return prepare(std::move(fd), name);
}

Result<Tap> Tap::adopt(Fd fd) {
  // First what it is: the number of the request below means something else to other devices.
  struct stat status {};
  if (::fstat(fd.raw(), &status) != 0 || !S_ISCHR(status.st_mode) || status.st_rdev != kTunDevice) {
    return Error(ErrorCode::InvalidArgument,
                 "the given descriptor is not an attached TAP. Open /dev/net/tun and attach it with TUNSETIFF");
  }
  ifreq request{};
  if (::ioctl(fd.raw(), TUNGETIFF, &request) != 0) {
    return Error::host(errno, "the given descriptor is not an attached TAP",
                       "Open /dev/net/tun and attach it with TUNSETIFF");
  }
  const std::string name(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
  constexpr int kWanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if ((request.ifr_flags & (kWanted | IFF_MULTI_QUEUE)) != kWanted) {
    return Error(ErrorCode::InvalidArgument,
                 "the given descriptor of " + name +
                     " is of another kind: it must be attached with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR, without "
                     "IFF_MULTI_QUEUE");
  }
  const int flags = ::fcntl(fd.raw(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.raw(), F_SETFL, (flags & O_ACCMODE) | O_NONBLOCK) != 0 ||
      ::fcntl(fd.raw(), F_SETFD, FD_CLOEXEC) != 0) {
    return Error::host(errno, "cannot set up the given descriptor of " + name);
  }
  return prepare(std::move(fd), name);
}

Result<Tap> Tap::duplicate() const {
  return Tap::prepare(WISP_TRY(wisp::duplicate(fd_.ref(), "TAP " + name_)), name_);
}

Result<Tap> Tap::prepare(Fd fd, std::string name) {
  Tap tap(std::move(fd), std::move(name));
  int header_bytes = kVnetHeaderBytes;
  if (::ioctl(tap.fd_.raw(), TUNSETVNETHDRSZ, &header_bytes) != 0) {
    return Error::host(errno, "cannot set the header size of the TAP interface " + tap.name_);
  }
  for (const std::uint32_t offloads : kOffloadsToTry) {
    if (tap.set_offloads(offloads).ok()) {
      tap.known_offloads_ |= offloads;
    }
  }
  (void)WISP_TRY(tap.set_offloads(0));
  return tap;
}

Status Tap::set_offloads(std::uint32_t offloads) {
  if (::ioctl(fd_.raw(), TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) != 0) {
    return Error::host(errno, "cannot set the offloads of the TAP interface " + name_);
  }
  return {};
}

template <typename Cursor>
std::size_t Tap::lend(Cursor cursor, std::size_t& count, std::size_t limit) {
  const std::span<iovec> room(vectors_.get() + count, limit - count);
  const LentVectors lent = lend_vectors(cursor, room, [](const auto& slice) { return slice.lend_iovec({}); });
  count += lent.count;
  return lent.bytes;
}

TapRead Tap::read_frame(std::span<std::byte> header, std::span<const ChainWriter> targets, std::span<std::byte> rest) {
  std::size_t count = 0;
  vectors_[count++] = {header.data(), header.size()};
  std::size_t lent_bytes = 0;
  for (const ChainWriter& target : targets) {
    lent_bytes += lend(target, count, kMaxVectors - 1);
    if (count == kMaxVectors - 1) {
      break;  // what the last targets would have taken goes to `rest`
    }
  }
  if (lent_bytes < rest.size()) {
    vectors_[count++] = {rest.data() + lent_bytes, rest.size() - lent_bytes};
  }
  const ssize_t result = ::readv(fd_.raw(), vectors_.get(), static_cast<int>(count));
  if (result < 0) {
    return {0, 0, errno};
  }
  const auto bytes = static_cast<std::size_t>(result);
  return {bytes, std::min(lent_bytes, bytes - std::min(bytes, header.size())), 0};
}

TapWrite Tap::write_frame(std::span<const std::byte> head, ChainReader tail) {
  std::size_t count = 0;
  vectors_[count++] = {const_cast<std::byte*>(head.data()), head.size()};
  lend(tail, count, kMaxVectors);
  const ssize_t result = ::writev(fd_.raw(), vectors_.get(), static_cast<int>(count));
  return result < 0 ? TapWrite{0, errno} : TapWrite{static_cast<std::size_t>(result), 0};
}

}  // namespace wisp
