#include "vmm/control/load_overrides.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "vmm/base/uninterrupted.h"

namespace wisp {
namespace {

constexpr std::size_t kReadStepBytes = std::size_t{64} * 1024;

/// What the two kinds of access to a list of devices need to know of its entries.
template <typename Entry>
struct Kind {
  std::string Entry::*id;
  std::string Entry::*path;
  const char* unknown;  ///< the text for an id that the snapshot does not have
  const char* name;
  const char* overrides;  ///< the member of the request
};
constexpr Kind<NetConfig> kNet = {&NetConfig::iface_id, &NetConfig::host_dev_name, "Unknown Network Device.",
                                  "network interface", "network_overrides"};
constexpr Kind<DriveConfig> kDrive = {&DriveConfig::drive_id, &DriveConfig::path_on_host, "Unknown Drive.", "drive",
                                      "drive_overrides"};
constexpr Kind<PmemConfig> kPmem = {&PmemConfig::id, &PmemConfig::path_on_host, "Unknown Pmem Device.", "pmem",
                                    "pmem_overrides"};

/// A device for which nothing was given uses the path in the snapshot, if it is one and may be used.
Status check_recorded(const std::string& object, const std::string& path, const char* overrides, RecordedPaths rule) {
  if (path == kNoPath) {
    return Error(ErrorCode::NotFound, object + " was given as a descriptor when it was captured, so there is no path " +
                                          "to open. Name one, or a descriptor, in " + overrides);
  }
  if (rule == RecordedPaths::Refuse) {
    return Error(ErrorCode::InvalidArgument, object + " is not in " + overrides + ", and recorded_paths is Refuse: '" +
                                                 path + "' of the snapshot is not opened. Name what to use there");
  }
  return {};
}

template <typename Entry>
Status check_overrides(const std::vector<Entry>& entries, const std::vector<ResourceOverride>& overrides,
                       const Kind<Entry>& kind, RecordedPaths rule) {
  for (std::size_t index = 0; index < overrides.size(); ++index) {
    const std::string& id = overrides[index].id;
    if (std::ranges::none_of(entries, [&](const Entry& entry) { return entry.*kind.id == id; })) {
      return Error(ErrorCode::NotFound, std::string(kind.unknown) + " (id '" + id + "')");
    }
    const auto same = [&](const ResourceOverride& other) { return other.id == id; };
    if (std::ranges::count_if(overrides, same) > 1) {
      return Error(ErrorCode::InvalidArgument,
                   std::string(kind.name) + " '" + id + "' stands twice in " + kind.overrides + ". Name it once");
    }
  }
  for (const Entry& entry : entries) {
    const auto is_given = [&](const ResourceOverride& each) { return each.id == entry.*kind.id; };
    if (std::ranges::none_of(overrides, is_given)) {
      (void)WISP_TRY(
          check_recorded(std::string(kind.name) + " '" + entry.*kind.id + "'", entry.*kind.path, kind.overrides, rule));
    }
  }
  return {};
}

/// The path goes into the entry; a descriptor is taken and given to `use`.
template <typename Entry, typename Use>
Status apply(std::vector<Entry>& entries, const std::vector<ResourceOverride>& overrides, const Kind<Entry>& kind,
             DescriptorPool& pool, Use&& use) {
  for (const ResourceOverride& wanted : overrides) {
    Entry& entry = *std::ranges::find_if(entries, [&](const Entry& each) { return each.*kind.id == wanted.id; });
    if (!wanted.resource.descriptor) {
      entry.*kind.path = wanted.resource.path.value_or("");
      continue;
    }
    const std::string object = std::string(kind.name) + " '" + wanted.id + "'";
    Fd descriptor = WISP_TRY(pool.take(*wanted.resource.descriptor, object));
    entry.*kind.path = kNoPath;
    Status used = use(entry, std::move(descriptor), name_of(*wanted.resource.descriptor));
    if (!used.ok()) {
      return std::move(used).error().with_prefix(object + ": ");
    }
  }
  return {};
}

Status apply_vsock(VsockConfig& vsock, const HostResource& resource, GivenResources& given, DescriptorPool& pool) {
  if (!resource.descriptor) {
    vsock.uds_path = resource.path.value_or("");
    return {};
  }
  Fd socket = WISP_TRY(pool.take(*resource.descriptor, "the vsock device"));
  given.vsock = WISP_TRY(VsockListener::adopt(std::move(socket)));
  if (resource.path) {
    given.vsock->set_path(*resource.path);
  }
  vsock.uds_path = given.vsock->path().empty() ? kNoPath : given.vsock->path();
  return {};
}

Status check_all(const FullConfig& config, const SnapshotLoadConfig& load) {
  const RecordedPaths rule = load.recorded_paths;
  (void)WISP_TRY(check_overrides(config.network_interfaces, load.network_overrides, kNet, rule));
  (void)WISP_TRY(check_overrides(config.drives, load.drive_overrides, kDrive, rule));
  (void)WISP_TRY(check_overrides(config.pmem, load.pmem_overrides, kPmem, rule));
  if (load.vsock_override && !config.vsock) {
    return Error(ErrorCode::NotFound, "Unknown Vsock Device.");
  }
  if (config.vsock && !load.vsock_override) {
    (void)WISP_TRY(check_recorded("the vsock device", config.vsock->uds_path, "vsock_override", rule));
  }
  if (load.metadata_override && !config.mmds) {
    return Error(ErrorCode::NotFound,
                 "Unknown Metadata Store. (The snapshot's machine has none; leave metadata_override out.)");
  }
  return {};
}

}  // namespace

Result<GivenResources> apply_overrides(FullConfig& config, const SnapshotLoadConfig& load, DescriptorPool& pool) {
  (void)WISP_TRY(check_all(config, load));
  GivenResources given;
  const auto use_tap = [&](NetConfig& net, Fd fd, const std::string& /*name*/) -> Status {
    Tap tap = WISP_TRY(Tap::adopt(std::move(fd)));
    net.host_dev_name = tap.name();
    given.taps.emplace(net.iface_id, std::move(tap));
    return {};
  };
  const auto use_disk = [&](DriveConfig& drive, Fd fd, const std::string& name) -> Status {
    const Access access = drive.is_read_only ? Access::ReadOnly : Access::ReadWrite;
    given.drives.emplace(drive.drive_id, WISP_TRY(DiskFile::adopt_descriptor(std::move(fd), name, access)));
    return {};
  };
  const auto use_pmem = [&](PmemConfig& pmem, Fd fd, const std::string& /*name*/) -> Status {
    given.pmem_files.emplace(pmem.id, std::move(fd));
    return {};
  };
  (void)WISP_TRY(apply(config.network_interfaces, load.network_overrides, kNet, pool, use_tap));
  (void)WISP_TRY(apply(config.drives, load.drive_overrides, kDrive, pool, use_disk));
  (void)WISP_TRY(apply(config.pmem, load.pmem_overrides, kPmem, pool, use_pmem));
  if (load.vsock_override) {
    (void)WISP_TRY(apply_vsock(*config.vsock, *load.vsock_override, given, pool));
  }
  config.machine.track_dirty_pages = load.track_dirty_pages;
  config.machine.huge_pages = load.huge_pages.value_or(config.machine.huge_pages);
  return given;
}

Result<Fd> open_output(const HostResource& output, const std::string& object, DescriptorPool& pool) {
  if (!output.descriptor) {
    return open_line_sink(object, output.path.value_or(""));
  }
  Fd descriptor = WISP_TRY(pool.take(*output.descriptor, "the " + object));
  return adopt_line_sink(std::move(descriptor), object, name_of(*output.descriptor));
}

Result<std::string> read_text(const HostResource& file, const std::string& object, std::size_t limit_bytes,
                              DescriptorPool& pool) {
  Fd fd;
  const std::string name = file.descriptor ? name_of(*file.descriptor) : file.path.value_or("");
  if (file.descriptor) {
    fd = WISP_TRY(pool.take(*file.descriptor, "the " + object));
    (void)WISP_TRY(check_data_descriptor(fd.ref(), object, name, Access::ReadOnly, FileKind::Regular));
  } else {
    fd = WISP_TRY(open_data_file(object, name, Access::ReadOnly, FileKind::Regular));
  }
  // Memory follows what is there: the limit is the operator's and may be larger than any host.
  std::string text;
  std::size_t filled = 0;
  while (filled <= limit_bytes) {
    text.resize(filled + std::min(kReadStepBytes, limit_bytes - filled) + 1);
    const ssize_t got = uninterrupted(
        [&] { return ::pread(fd.raw(), text.data() + filled, text.size() - filled, static_cast<off_t>(filled)); });
    if (got < 0) {
      return Error::host(errno, "cannot read the " + object + " '" + name + "'");
    }
    if (got == 0) {
      text.resize(filled);
      return text;
    }
    filled += static_cast<std::size_t>(got);
  }
  return Error(ErrorCode::LimitExceeded, "the " + object + " '" + name + "' has more than " +
                                             std::to_string(limit_bytes) + " bytes. Raise --mmds-size-limit");
}

}  // namespace wisp
