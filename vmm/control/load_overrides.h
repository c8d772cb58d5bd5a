// What a load puts in the place of the host resources that a machine was captured with.
//
//   GivenResources given = WISP_TRY(apply_overrides(config, load, pool));   // config now says what is used
//   configuration.set_drive(config.drives[0], given.take_drive(id));         // open already, or opened by path
//
// Everything that can be refused without opening a path is refused first: unknown ids, paths that may not be opened.
// Descriptors are strangers' and are checked for what they must be before they are used.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "virtio/block/disk_file.h"
#include "virtio/net/tap.h"
#include "virtio/vsock/listener.h"
#include "vmm/config/command.h"
#include "vmm/control/descriptor_pool.h"

namespace wisp {

/// The resources that came as descriptors, by the id of their device.
struct GivenResources {
  std::map<std::string, DiskFile> drives;
  std::map<std::string, Tap> taps;
  std::map<std::string, Fd> pmem_files;
  std::optional<VsockListener> vsock;
};

/// Takes the entry of `id` out of `given`.
template <typename T>
std::optional<T> take_given(std::map<std::string, T>& given, const std::string& id) {
  auto node = given.extract(id);
  return node.empty() ? std::nullopt : std::optional<T>(std::move(node.mapped()));
}

Result<GivenResources> apply_overrides(FullConfig& config, const SnapshotLoadConfig& load, DescriptorPool& pool);

/// The descriptor or the opened file of an output for lines.
Result<Fd> open_output(const HostResource& output, const std::string& object, DescriptorPool& pool);

/// The whole text of a file of at most `limit_bytes`.
Result<std::string> read_text(const HostResource& file, const std::string& object, std::size_t limit_bytes,
                              DescriptorPool& pool);

}  // namespace wisp
