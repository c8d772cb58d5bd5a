#include "vmm/control/config_state.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace wisp {
namespace {

// Each kind of value has a put() and a get() that mirror each other.

template <typename E>
void put_enum(StateWriter& out, E value) {
  out.u8(static_cast<std::uint8_t>(value));
}

template <typename E>
E get_enum(StateReader& in, E last, Status& status) {
  const std::uint8_t value = in.u8();
  if (status.ok()) {
    status = in.check(value <= static_cast<std::uint8_t>(last), "a choice that does not exist");
  }
  return static_cast<E>(status.ok() ? value : 0);
}

template <typename T, typename Put>
void put_optional(StateWriter& out, const std::optional<T>& value, Put&& put) {
  out.boolean(value.has_value());
  if (value) {
    put(out, *value);
  }
}

template <typename T, typename Get>
std::optional<T> get_optional(StateReader& in, Get&& get) {
  return in.boolean() ? std::optional<T>(get(in)) : std::nullopt;
}

void put_text(StateWriter& out, const std::string& text) {
  out.text(text);
}

std::string get_text(StateReader& in) {
  return in.text(kMaxSavedTextBytes);
}

/// Ids become names in metrics and texts: what the API would not take as one is not taken here.
std::string get_id(StateReader& in, Status& status) {
  std::string id = get_text(in);
  const auto is_odd = [](char letter) {
    return static_cast<unsigned char>(letter) < 0x80 && letter != '_' &&
           std::isalnum(static_cast<unsigned char>(letter)) == 0;
  };
  if (status.ok()) {
    status = in.check(!id.empty() && std::ranges::none_of(id, is_odd), "an id with other characters than ids have");
  }
  return id;
}

void put_bucket(StateWriter& out, const TokenBucketConfig& bucket) {
  out.u64(bucket.size);
  out.u64(bucket.refill_time_ms);
  put_optional(out, bucket.one_time_burst, [](StateWriter& to, std::uint64_t burst) { to.u64(burst); });
}

TokenBucketConfig get_bucket(StateReader& in) {
  TokenBucketConfig bucket;
  bucket.size = in.u64();
  bucket.refill_time_ms = in.u64();
  bucket.one_time_burst = get_optional<std::uint64_t>(in, [](StateReader& from) { return from.u64(); });
  return bucket;
}

void put_limits(StateWriter& out, const RateLimiterConfig& limits) {
  put_optional(out, limits.bandwidth, put_bucket);
  put_optional(out, limits.ops, put_bucket);
}

RateLimiterConfig get_limits(StateReader& in) {
  RateLimiterConfig limits;
  limits.bandwidth = get_optional<TokenBucketConfig>(in, get_bucket);
  limits.ops = get_optional<TokenBucketConfig>(in, get_bucket);
  return limits;
}

void put_machine(StateWriter& out, const MachineConfig& machine) {
  out.u8(machine.vcpu_count);
  out.u64(machine.memory_mib);
  out.boolean(machine.smt);
  out.boolean(machine.track_dirty_pages);
  put_enum(out, machine.huge_pages);
  put_optional(out, machine.cpu_template, put_enum<CpuTemplate>);
}

MachineConfig get_machine(StateReader& in, Status& status) {
  MachineConfig machine;
  machine.vcpu_count = in.u8();
  machine.memory_mib = in.u64();
  machine.smt = in.boolean();
  machine.track_dirty_pages = in.boolean();
  machine.huge_pages = get_enum(in, HugePages::Pages2M, status);
  machine.cpu_template =
      get_optional<CpuTemplate>(in, [&](StateReader& from) { return get_enum(from, CpuTemplate::T2A, status); });
  return machine;
}

void put_boot_source(StateWriter& out, const BootSource& boot) {
  out.text(boot.kernel_image_path);
  put_optional(out, boot.initrd_path, put_text);
  put_optional(out, boot.boot_args, put_text);
}

BootSource get_boot_source(StateReader& in) {
  BootSource boot;
  boot.kernel_image_path = get_text(in);
  boot.initrd_path = get_optional<std::string>(in, get_text);
  boot.boot_args = get_optional<std::string>(in, get_text);
  return boot;
}

void put_drive(StateWriter& out, const DriveConfig& drive) {
  out.text(drive.drive_id);
  out.text(drive.path_on_host);
  out.boolean(drive.is_root_device);
  out.boolean(drive.is_read_only);
  put_optional(out, drive.partuuid, put_text);
  put_enum(out, drive.cache_type);
  put_enum(out, drive.io_engine);
  put_limits(out, drive.limits);
}

DriveConfig get_drive(StateReader& in, Status& status) {
  DriveConfig drive;
  drive.drive_id = get_id(in, status);
  drive.path_on_host = get_text(in);
  drive.is_root_device = in.boolean();
  drive.is_read_only = in.boolean();
  drive.partuuid = get_optional<std::string>(in, get_text);
  drive.cache_type = get_enum(in, CacheType::Writeback, status);
  drive.io_engine = get_enum(in, IoEngine::Async, status);
  drive.limits = get_limits(in);
  return drive;
}

void put_net(StateWriter& out, const NetConfig& net) {
  out.text(net.iface_id);
  out.text(net.host_dev_name);
  put_optional(out, net.guest_mac,
               [](StateWriter& to, const MacAddress& mac) { to.raw(std::as_bytes(std::span(mac))); });
  put_optional(out, net.mtu, [](StateWriter& to, std::uint16_t mtu) { to.u16(mtu); });
  put_limits(out, net.rx_limits);
  put_limits(out, net.tx_limits);
}

NetConfig get_net(StateReader& in, Status& status) {
  NetConfig net;
  net.iface_id = get_id(in, status);
  net.host_dev_name = get_text(in);
  net.guest_mac = get_optional<MacAddress>(in, [](StateReader& from) {
    MacAddress mac{};
    from.raw(std::as_writable_bytes(std::span(mac)));
    return mac;
  });
  net.mtu = get_optional<std::uint16_t>(in, [](StateReader& from) { return from.u16(); });
  net.rx_limits = get_limits(in);
  net.tx_limits = get_limits(in);
  return net;
}

void put_pmem(StateWriter& out, const PmemConfig& pmem) {
  out.text(pmem.id);
  out.text(pmem.path_on_host);
  out.boolean(pmem.root_device);
  out.boolean(pmem.read_only);
  put_limits(out, pmem.limits);
  out.boolean(pmem.limits_given);
}

PmemConfig get_pmem(StateReader& in, Status& status) {
  PmemConfig pmem;
  pmem.id = get_id(in, status);
  pmem.path_on_host = get_text(in);
  pmem.root_device = in.boolean();
  pmem.read_only = in.boolean();
  pmem.limits = get_limits(in);
  pmem.limits_given = in.boolean();
  return pmem;
}

void put_vsock(StateWriter& out, const VsockConfig& vsock) {
  out.u32(vsock.guest_cid);
  out.text(vsock.uds_path);
}

VsockConfig get_vsock(StateReader& in) {
  VsockConfig vsock;
  vsock.guest_cid = in.u32();
  vsock.uds_path = get_text(in);
  return vsock;
}

void put_balloon(StateWriter& out, const BalloonConfig& balloon) {
  out.u32(balloon.amount_mib);
  out.boolean(balloon.deflate_on_oom);
  out.u16(balloon.stats_polling_interval_s);
  out.boolean(balloon.free_page_hinting);
  out.boolean(balloon.free_page_reporting);
}

BalloonConfig get_balloon(StateReader& in) {
  BalloonConfig balloon;
  balloon.amount_mib = in.u32();
  balloon.deflate_on_oom = in.boolean();
  balloon.stats_polling_interval_s = in.u16();
  balloon.free_page_hinting = in.boolean();
  balloon.free_page_reporting = in.boolean();
  return balloon;
}

void put_memory_hotplug(StateWriter& out, const MemoryHotplugConfig& memory) {
  out.u32(memory.total_size_mib);
  out.u32(memory.block_size_mib);
  out.u32(memory.slot_size_mib);
}

MemoryHotplugConfig get_memory_hotplug(StateReader& in) {
  MemoryHotplugConfig memory;
  memory.total_size_mib = in.u32();
  memory.block_size_mib = in.u32();
  memory.slot_size_mib = in.u32();
  return memory;
}

void put_mmds(StateWriter& out, const MmdsConfig& mmds) {
  put_enum(out, mmds.version);
  out.u8(static_cast<std::uint8_t>(mmds.network_interfaces.size()));
  for (const std::string& id : mmds.network_interfaces) {
    out.text(id);
  }
  put_optional(out, mmds.ipv4_address,
               [](StateWriter& to, const Ipv4Address& address) { to.raw(std::as_bytes(std::span(address))); });
  out.boolean(mmds.imds_compat);
}

MmdsConfig get_mmds(StateReader& in, Status& status) {
  MmdsConfig mmds;
  mmds.version = get_enum(in, MmdsVersion::V2, status);
  const std::uint8_t count = in.u8();
  for (std::uint8_t index = 0; index < count && in.check(true, "").ok(); ++index) {
    mmds.network_interfaces.push_back(get_text(in));
  }
  mmds.ipv4_address = get_optional<Ipv4Address>(in, [](StateReader& from) {
    Ipv4Address address{};
    from.raw(std::as_writable_bytes(std::span(address)));
    return address;
  });
  mmds.imds_compat = in.boolean();
  return mmds;
}

template <typename T>
void put_list(StateWriter& out, const std::vector<T>& values, void (*put)(StateWriter&, const T&)) {
  out.u8(static_cast<std::uint8_t>(values.size()));
  for (const T& value : values) {
    put(out, value);
  }
}

template <typename T>
std::vector<T> get_list(StateReader& in, Status& status, T (*get)(StateReader&, Status&)) {
  const std::uint8_t count = in.u8();
  if (status.ok()) {
    status = in.check(count <= kMaxSavedDevices, "more devices of a kind than there can be");
  }
  std::vector<T> values;
  for (std::uint8_t index = 0; index < count && status.ok(); ++index) {
    values.push_back(get(in, status));
    if (status.ok()) {
      status = in.check(true, "");
    }
  }
  return values;
}

/// A second device of the same id would take the first one's place, and whatever a load has put there.
template <typename T>
Status check_ids(StateReader& in, const std::vector<T>& values, std::string T::*id) {
  for (auto each = values.begin(); each != values.end(); ++each) {
    const bool is_there_before =
        std::any_of(values.begin(), each, [&](const T& other) { return other.*id == (*each).*id; });
    (void)WISP_TRY(in.check(!is_there_before, "two devices of a kind with the same id"));
  }
  return {};
}

}  // namespace

void save_config(const FullConfig& config, StateWriter& out) {
  put_machine(out, config.machine);
  put_optional(out, config.boot_source, put_boot_source);
  put_list(out, config.drives, put_drive);
  put_list(out, config.network_interfaces, put_net);
  put_list(out, config.pmem, put_pmem);
  put_optional(out, config.vsock, put_vsock);
  put_optional(out, config.balloon, put_balloon);
  put_optional(out, config.entropy,
               [](StateWriter& to, const EntropyConfig& entropy) { put_limits(to, entropy.limits); });
  put_optional(out, config.memory_hotplug, put_memory_hotplug);
  put_optional(out, config.mmds, put_mmds);
}

Result<FullConfig> restore_config(StateReader& in) {
  FullConfig config;
  Status status;
  config.machine = get_machine(in, status);
  config.boot_source = get_optional<BootSource>(in, get_boot_source);
  config.drives = get_list(in, status, get_drive);
  config.network_interfaces = get_list(in, status, get_net);
  config.pmem = get_list(in, status, get_pmem);
  config.vsock = get_optional<VsockConfig>(in, get_vsock);
  config.balloon = get_optional<BalloonConfig>(in, get_balloon);
  config.entropy = get_optional<EntropyConfig>(in, [](StateReader& from) { return EntropyConfig{get_limits(from)}; });
  config.memory_hotplug = get_optional<MemoryHotplugConfig>(in, get_memory_hotplug);
  config.mmds = get_optional<MmdsConfig>(in, [&](StateReader& from) { return get_mmds(from, status); });
  (void)WISP_TRY(std::move(status));
  (void)WISP_TRY(in.finish());
  (void)WISP_TRY(check_ids(in, config.drives, &DriveConfig::drive_id));
  (void)WISP_TRY(check_ids(in, config.network_interfaces, &NetConfig::iface_id));
  (void)WISP_TRY(check_ids(in, config.pmem, &PmemConfig::id));
  return config;
}

}  // namespace wisp
