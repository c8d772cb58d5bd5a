// wisp snapshot edit STATE CHANGE...: what the state file records of the host, changed in the file.
//
//   drive.ID=PATH   pmem.ID=PATH   net.ID=TAP   vsock=PATH       an empty value: nothing is recorded, a load must name
//   it
//
// All changes are made, or none: the file is read and verified whole, written anew beside itself with new checksums,
// and exchanged. The machine's state is copied byte for byte.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "vmm/config/command.h"

namespace wisp {

using DescribeConfig = std::function<std::string(const FullConfig&)>;

/// One "KIND.ID=VALUE". Fails, and changes nothing, when it is none or the machine has no such device.
Status apply_edit(FullConfig& config, const std::string& change);

Status edit_state_file(const std::string& path, std::span<char* const> changes, const DescribeConfig& describe);

}  // namespace wisp
