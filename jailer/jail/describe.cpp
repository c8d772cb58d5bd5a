// The text of --dry-run: the steps in their order, with what each would touch.
#include "jailer/jail/host_view.h"
#include "jailer/jail/tree.h"

namespace wisp {
namespace {

std::string owner(const JailPlan& plan) {
  return std::to_string(plan.uid) + ":" + std::to_string(plan.gid);
}

std::string describe_files(const JailPlan& plan, const HostView& host) {
  std::string text = "jail          " + host.jail_path + " (root:" + std::to_string(plan.gid) + " 1770)\n";
  text += "program       " + host.program.path + ", copied to /" + host.program.name + " (root:root 0711)\n";
  for (const DeviceNode& node : host.devices) {
    text += "device        " + node.path() + " " + std::to_string(node.major) + ":" + std::to_string(node.minor) +
            " (" + owner(plan) + " 0600)\n";
  }
  text += "run folder    /run (" + owner(plan) + " 0700)\n";
  return text + "pid file      /" + pid_file_of(host.program.name) + " (root:root 0644)\n";
}

std::string describe_cgroups(const HostView& host) {
  std::string text;
  for (const CgroupPlace& place : host.cgroups.places) {
    text += "cgroup        " + place.path() + "\n";
    for (const CgroupSetting& setting : place.settings) {
      text += "              " + setting.file + " = " + setting.value + "\n";
    }
  }
  return text.empty() ? "cgroup        the jailer's own\n" : text;
}

std::string describe_limits(const ResourceLimits& limits) {
  return "limits        open files " + std::to_string(limits.max_open_files) + ", file size " +
         (limits.max_file_bytes ? std::to_string(*limits.max_file_bytes) + " bytes" : "as the jailer's") +
         ", core dump 0\n";
}

std::string describe_command(const JailPlan& plan, const HostView& host) {
  std::string text = "command       /" + host.program.name + " --id " + plan.id +
                     " --start-time-us T --start-time-cpu-us T --parent-cpu-time-us T";
  for (const std::string& word : plan.monitor_arguments) {
    text += " " + word;
  }
  return text + "\n";
}

}  // namespace

std::string describe(const JailPlan& plan, const HostView& host) {
  std::string text = "wisp-jailer would start the jail '" + plan.id + "':\n";
  text += describe_files(plan, host);
  text += "network       " + (plan.netns ? "namespace " + *plan.netns : std::string("the jailer's own")) + "\n";
  text += describe_cgroups(host);
  text += std::string("namespaces    new: mount, ipc, uts, cgroup") +
          (plan.pid_namespace == PidNamespace::New ? ", pid" : "") + "\n";
  text += describe_limits(plan.limits);
  text += "identity      user " + std::to_string(plan.uid) + ", group " + std::to_string(plan.gid) +
          ", no other groups, no capabilities, no new privileges\n";
  text += std::string("daemon        ") + (plan.daemonize == Daemonize::Yes ? "yes" : "no") + "\n";
  text += describe_command(plan, host);
  if (!host.is_root) {
    text += "A real start needs root.\n";
  }
  return text;
}

}  // namespace wisp
