// The devices that came after the disks: network, vsock, balloon, entropy, persistent memory, hot-plug, metadata.
#include <algorithm>

#include "virtio/mem/config_check.h"
#include "vmm/control/configuration.h"

namespace wisp {
namespace {

/// The metadata address must be link-local and not in its first or last block of 256 (RFC 3927 section 2.1).
bool is_link_local(const Ipv4Address& address) {
  return address[0] == 169 && address[1] == 254 && address[2] >= 1 && address[2] <= 254;
}

void merge(RateLimiterConfig& limits, const RateLimiterPatch& patch) {
  if (patch.bandwidth) {
    limits.bandwidth = patch.bandwidth;
  }
  if (patch.ops) {
    limits.ops = patch.ops;
  }
}

}  // namespace

Status Configuration::set_network_interface(NetConfig config, std::optional<Tap> given) {
  const auto has_id = [&](const NetworkInterface& each) { return each.config.iface_id == config.iface_id; };
  const auto same = std::ranges::find_if(network_interfaces_, has_id);
  const bool mac_taken =
      config.guest_mac && std::ranges::any_of(network_interfaces_, [&](const NetworkInterface& each) {
        return !has_id(each) && each.config.guest_mac == config.guest_mac;
      });
  if (mac_taken) {
    return Error(ErrorCode::AlreadyExists, "The MAC address is already in use by another interface. Give interface '" +
                                               config.iface_id + "' another guest_mac");
  }
  if (config.mtu && *config.mtu < kMinMtuBytes) {
    return Error(ErrorCode::InvalidArgument, "Could not create the network device: MTU " + std::to_string(*config.mtu) +
                                                 " is out of range [" + std::to_string(kMinMtuBytes) + ", 65535]");
  }
  // An interface that keeps its TAP keeps the open one: the kernel would refuse to open it a second time.
  const bool keeps_tap = same != network_interfaces_.end() && same->config.host_dev_name == config.host_dev_name;
  std::optional<Tap> tap;
  if (!keeps_tap) {
    Result<Tap> opened = given ? Result<Tap>(std::move(*given)) : Tap::open(config.host_dev_name);
    if (!opened.ok()) {
      return std::move(opened).error().with_prefix("Could not create the network device: Open tap device failed: ");
    }
    tap = std::move(opened).value();
  }
  if (same != network_interfaces_.end()) {
    tap = keeps_tap ? std::move(same->tap) : std::move(tap);
    network_interfaces_.erase(same);
  }
  network_interfaces_.push_back({std::move(config), std::move(tap)});
  return {};
}

Status Configuration::set_pmem(PmemConfig config, std::optional<Fd> given) {
  const auto has_id = [&](const PmemConfig& each) { return each.id == config.id; };
  if (config.root_device) {
    if (std::ranges::any_of(drives_, [](const Drive& each) { return each.config.is_root_device; })) {
      return Error(ErrorCode::AlreadyExists,
                   "Attempt to add pmem as a root device while the root device defined as a block device");
    }
    if (std::ranges::any_of(pmem_, [&](const PmemConfig& each) { return each.root_device && !has_id(each); })) {
      return Error(ErrorCode::AlreadyExists, "A root pmem device already exist");
    }
  }
  if (given) {
    pmem_files_.insert_or_assign(config.id, std::move(*given));
  }
  const auto same = std::ranges::find_if(pmem_, has_id);
  if (same != pmem_.end()) {
    *same = std::move(config);
  } else {
    pmem_.push_back(std::move(config));
  }
  return {};
}

Status Configuration::set_vsock(VsockConfig config, std::optional<VsockListener> given) {
  if (vsock_ && vsock_->config.uds_path == config.uds_path) {
    vsock_->config = std::move(config);  // the socket that is bound already
    return {};
  }
  Result<VsockListener> listener =
      given ? Result<VsockListener>(std::move(*given)) : VsockListener::bind(config.uds_path);
  if (!listener.ok()) {
    return std::move(listener).error().with_prefix("Cannot create backend for vsock device: ");
  }
  if (vsock_) {
    vsock_->listener->unlink_socket();
  }
  vsock_ = Vsock{std::move(config), std::move(listener).value()};
  return {};
}

Status Configuration::set_balloon(const BalloonConfig& config) {
  if (config.amount_mib > machine_.memory_mib || config.amount_mib > kMaxBalloonMib) {
    return Error(ErrorCode::InvalidArgument, "Amount of pages requested is too large. (amount_mib was " +
                                                 std::to_string(config.amount_mib) + ", the guest has " +
                                                 std::to_string(machine_.memory_mib) + " MiB.)");
  }
  balloon_ = config;
  return {};
}

Status Configuration::set_memory_hotplug(const MemoryHotplugConfig& config) {
  (void)WISP_TRY(check_memory_hotplug(config));
  memory_hotplug_ = config;
  return {};
}

Status Configuration::set_mmds(MmdsConfig config) {
  if (config.network_interfaces.empty()) {
    return Error(ErrorCode::InvalidArgument,
                 "The list of network interface IDs that allow forwarding MMDS requests is empty.");
  }
  if (config.ipv4_address && !is_link_local(*config.ipv4_address)) {
    return Error(ErrorCode::InvalidArgument,
                 "The MMDS IPv4 address is not link local. Give one from 169.254.1.0 to 169.254.254.255");
  }
  for (const std::string& id : config.network_interfaces) {
    const bool known = std::ranges::any_of(network_interfaces_,
                                           [&](const NetworkInterface& each) { return each.config.iface_id == id; });
    if (!known) {
      return Error(
          ErrorCode::NotFound,
          "The list of network interface IDs provided contains at least one ID that does not correspond to any "
          "existing network interface. (PUT /network-interfaces/ID comes first.)");
    }
  }
  mmds_ = std::move(config);
  return {};
}

void Configuration::release_files() {
  for (Drive& drive : drives_) {
    drive.disk.reset();
  }
  for (NetworkInterface& interface : network_interfaces_) {
    interface.tap.reset();
  }
  if (vsock_) {
    vsock_->listener.reset();
  }
  pmem_files_.clear();
  serial_sink_.reset();
  if (boot_) {
    boot_->kernel.reset();
    boot_->initrd.reset();
  }
}

void Configuration::note(const DrivePatch& patch) {
  for (Drive& drive : drives_) {
    if (drive.config.drive_id == patch.drive_id) {
      drive.config.path_on_host = patch.path_on_host.value_or(drive.config.path_on_host);
      merge(drive.config.limits, patch.limits.value_or(RateLimiterPatch{}));
    }
  }
}

void Configuration::note(const NetPatch& patch) {
  for (NetworkInterface& interface : network_interfaces_) {
    if (interface.config.iface_id == patch.iface_id) {
      merge(interface.config.rx_limits, patch.rx_limits);
      merge(interface.config.tx_limits, patch.tx_limits);
    }
  }
}

FullConfig Configuration::full() const {
  FullConfig full;
  full.machine = machine_;
  if (boot_) {
    full.boot_source = boot_->source;
  }
  for (const Drive& drive : drives_) {
    full.drives.push_back(drive.config);
  }
  for (const NetworkInterface& interface : network_interfaces_) {
    full.network_interfaces.push_back(interface.config);
  }
  full.pmem = pmem_;
  if (vsock_) {
    full.vsock = vsock_->config;
  }
  full.balloon = balloon_;
  full.entropy = entropy_;
  full.memory_hotplug = memory_hotplug_;
  full.mmds = mmds_;
  return full;
}

}  // namespace wisp
