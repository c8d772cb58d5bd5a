// Cgroups: finds the hierarchies that a plan's settings belong to, makes the jail's group, and moves us into it.
//
//   CgroupView view = WISP_TRY(survey_cgroups(plan, "wisp"));   // looks only
//   (void)WISP_TRY(join_cgroups(view, undo));                   // makes MOUNT/PARENT/ID, writes values, moves us
//
// Version 1: one group per hierarchy that a setting names; cpuset groups need cpus and mems before they take a process,
// so what is empty is inherited from the group above. Version 2: one group; its controllers are switched on in every
// group above it. Version 2 without settings: the parent group is joined if it exists. A failed start moves us back,
// switches off what it switched on and removes the groups that it made.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jailer/jail/beneath.h"
#include "jailer/jail/plan.h"

namespace wisp {

/// One hierarchy and what is wanted of it.
struct CgroupPlace {
  Folder mount;
  std::vector<std::string> group;  ///< the parts of the path below the mount
  std::vector<CgroupSetting> settings;
  std::optional<std::string> origin;  ///< our group at the start, below the mount

  std::string path() const;
};

struct CgroupView {
  CgroupVersion version = CgroupVersion::V1;
  std::vector<CgroupPlace> places;
};

Result<CgroupView> survey_cgroups(const JailPlan& plan, const std::string& program_name);
Status join_cgroups(const CgroupView& view, UndoLog& undo);

/// One line of /proc/mounts that is a cgroup hierarchy.
struct CgroupMount {
  CgroupVersion version;
  std::string path;
  std::vector<std::string> controllers;  ///< version 1: the mount's options
};
std::vector<CgroupMount> parse_cgroup_mounts(const std::string& proc_mounts);
/// Our group in a hierarchy, from the text of /proc/self/cgroup; an empty controller means version 2.
std::optional<std::string> own_group(const std::string& proc_self_cgroup, const std::string& controller);

}  // namespace wisp
