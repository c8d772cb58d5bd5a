// HostView: what the plan names on the host, opened once and checked, before anything is changed.
//
//   HostView host = WISP_TRY(survey_host(plan));
//
// Rules: whatever the operator named (program, base folder, network namespace) is opened here and from then on used
// through its descriptor, so that nobody can exchange it between the check and the use. What exists of the jail already
// is checked too, so that a start that cannot work is refused while the host is untouched; the steps that change
// something check again, through their own descriptors.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jailer/jail/beneath.h"
#include "jailer/jail/cgroup.h"
#include "jailer/jail/plan.h"
#include "jailer/jail/program.h"

namespace wisp {

/// A character device that the monitor gets, below /dev of the jail.
struct DeviceNode {
  std::string folder;  ///< "" for /dev itself, "net" for /dev/net
  std::string name;
  unsigned major;
  unsigned minor;

  std::string path() const { return "/dev/" + (folder.empty() ? name : folder + "/" + name); }
};

struct HostView {
  Program program;
  Folder base;
  Fd netns;        ///< invalid without --netns
  Fd own_mounts;   ///< the mount namespace that we came from, to return to when a late step fails
  Fd null_device;  ///< for a daemon's standard streams
  std::vector<DeviceNode> devices;
  CgroupView cgroups;
  std::string jail_path;  ///< BASE/NAME/ID/root
  bool is_root = false;
};

Result<HostView> survey_host(const JailPlan& plan);
/// What a start would do, one line per step.
std::string describe(const JailPlan& plan, const HostView& host);

/// The minor number of a misc device in the text of /proc/misc; its columns are padded with blanks.
std::optional<unsigned> misc_minor(const std::string& proc_misc, const std::string& name);
/// The name of the file that records the host's pid of the monitor.
inline std::string pid_file_of(const std::string& program_name) {
  return program_name + ".pid";
}

}  // namespace wisp
