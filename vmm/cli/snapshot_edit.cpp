#include "vmm/cli/snapshot_edit.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "snapshot/image/state_file.h"
#include "snapshot/image/state_file_writer.h"
#include "vmm/control/config_state.h"

namespace wisp {
namespace {

constexpr std::string_view kConfigSection = "config";

template <typename Entry>
std::string* find(std::vector<Entry>& entries, std::string Entry::*id, std::string Entry::*path,
                  std::string_view wanted) {
  const auto found = std::ranges::find_if(entries, [&](const Entry& entry) { return entry.*id == wanted; });
  return found == entries.end() ? nullptr : &((*found).*path);
}

/// What "KIND.ID" means; nullptr when the machine has no such thing.
std::string* find_recorded(FullConfig& config, std::string_view what) {
  const std::size_t dot = what.find('.');
  const std::string_view kind = what.substr(0, dot);
  const std::string_view id = dot == std::string_view::npos ? std::string_view() : what.substr(dot + 1);
  if (kind == "drive") {
    return find(config.drives, &DriveConfig::drive_id, &DriveConfig::path_on_host, id);
  }
  if (kind == "pmem") {
    return find(config.pmem, &PmemConfig::id, &PmemConfig::path_on_host, id);
  }
  if (kind == "net") {
    return find(config.network_interfaces, &NetConfig::iface_id, &NetConfig::host_dev_name, id);
  }
  return what == "vsock" && config.vsock ? &config.vsock->uds_path : nullptr;
}

}  // namespace

Status apply_edit(FullConfig& config, const std::string& change) {
  const std::size_t equals = change.find('=');
  if (equals == std::string::npos) {
    return Error(ErrorCode::InvalidArgument,
                 "'" + change + "' is no change. Give drive.ID=PATH, pmem.ID=PATH, net.ID=TAP or vsock=PATH");
  }
  const std::string value = change.substr(equals + 1);
  if (value.size() > kMaxSavedTextBytes) {
    return Error(ErrorCode::LimitExceeded, "'" + change.substr(0, equals) + "': the value has more than " +
                                               std::to_string(kMaxSavedTextBytes) + " bytes");
  }
  std::string* const recorded = find_recorded(config, change.substr(0, equals));
  if (recorded == nullptr) {
    return Error(ErrorCode::NotFound, "the snapshot's machine has no '" + change.substr(0, equals) +
                                          "'. Look at it with: wisp snapshot describe");
  }
  *recorded = value.empty() ? kNoPath : value;
  return {};
}

Status edit_state_file(const std::string& path, std::span<char* const> changes, const DescribeConfig& describe) {
  const StateFile state = WISP_TRY(StateFile::open(path));
  const auto section = state.section(kConfigSection);
  if (!section) {
    return Error(ErrorCode::Corrupt, "the snapshot has no section 'config'");
  }
  StateReader in(kConfigSection, *section);
  FullConfig config = WISP_TRY(restore_config(in));
  for (const char* const change : changes) {
    (void)WISP_TRY(apply_edit(config, change));
  }
  StateFileWriter out;
  for (const StateFile::Section& each : state.sections()) {
    std::vector<std::byte> bytes(each.bytes.begin(), each.bytes.end());
    if (each.name == kConfigSection) {
      StateWriter edited;
      save_config(config, edited);
      bytes = std::move(edited).take();
    }
    out.add_section(std::string(each.name), std::move(bytes));
  }
  AtomicFile file = WISP_TRY(AtomicFile::create(kStateFile, path));
  (void)WISP_TRY(file.keep_owner());
  return out.publish(describe(config), file);
}

}  // namespace wisp
