#include "jailer/jail/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace wisp {
namespace {

Error refuse(std::string text) {
  return Error(ErrorCode::InvalidArgument, std::move(text));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) {
      parts.push_back(text.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return parts;
}

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// /proc/mounts writes a blank, a tab, a newline and a backslash as three octal digits.
std::string unescape_mount(const std::string& text) {
  std::string plain;
  for (std::size_t index = 0; index < text.size(); ++index) {
    if (text[index] == '\\' && index + 3 < text.size()) {
      plain += static_cast<char>((text[index + 1] - '0') * 64 + (text[index + 2] - '0') * 8 + (text[index + 3] - '0'));
      index += 3;
    } else {
      plain += text[index];
    }
  }
  return plain;
}

Result<std::string> read_proc(const char* path) {
  Fd fd(::open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, std::string("Failed to open file ") + path, "Mount /proc");
  }
  return read_small(fd.ref(), path);
}

Result<std::string> read_in(const Folder& folder, const std::string& file) {
  const std::string path = folder.path + "/" + file;
  Fd fd = open_beneath(folder.fd.ref(), file.c_str(), O_RDONLY);
  if (!fd.valid()) {
    return Error::host(errno, "Failed to open file " + path);
  }
  std::string text = WISP_TRY(read_small(fd.ref(), path));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  return text;
}

Status write_in(const Folder& folder, const std::string& file, const std::string& text) {
  const std::string path = folder.path + "/" + file;
  Fd fd = open_beneath(folder.fd.ref(), file.c_str(), O_WRONLY);
  if (!fd.valid()) {
    return Error::host(errno, "Failed to open file " + path);
  }
  return write_once(fd.ref(), text, path);
}

Result<Folder> open_mount(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) {
    return Error::host(errno, "Failed to open the cgroup mount " + path);
  }
  return Folder{std::move(fd), path};
}

Result<CgroupPlace> make_place(const CgroupMount& mount, const std::string& own_groups, const std::string& controller) {
  CgroupPlace place;
  place.mount = WISP_TRY(open_mount(mount.path));
  place.origin = own_group(own_groups, controller);
  return place;
}

struct Sources {
  std::vector<CgroupMount> mounts;
  std::string own_groups;
  std::vector<std::string> parent;
};

Status survey_v1(const JailPlan& plan, const Sources& sources, CgroupView& view) {
  for (const CgroupSetting& setting : plan.cgroups) {
    const auto mount = std::find_if(sources.mounts.begin(), sources.mounts.end(), [&](const CgroupMount& each) {
      return each.version == CgroupVersion::V1 && contains(each.controllers, setting.controller);
    });
    if (mount == sources.mounts.end()) {
      return refuse("Controller " + setting.controller +
                    " is unavailable: no cgroup v1 hierarchy has it. Mount it, or give --cgroup-version 2");
    }
    auto place = std::find_if(view.places.begin(), view.places.end(),
                              [&](const CgroupPlace& each) { return each.mount.path == mount->path; });
    if (place == view.places.end()) {
      view.places.push_back(WISP_TRY(make_place(*mount, sources.own_groups, setting.controller)));
      place = std::prev(view.places.end());
      place->group = sources.parent;
      place->group.push_back(plan.id);
    }
    place->settings.push_back(setting);
  }
  return {};
}

Status survey_v2(const JailPlan& plan, const Sources& sources, CgroupView& view) {
  const auto mount = std::find_if(sources.mounts.begin(), sources.mounts.end(),
                                  [](const CgroupMount& each) { return each.version == CgroupVersion::V2; });
  if (mount == sources.mounts.end()) {
    return refuse("Hierarchy not found: cgroup v2 is not mounted. Mount it, or give --cgroup-version 1");
  }
  CgroupPlace place = WISP_TRY(make_place(*mount, sources.own_groups, ""));
  place.group = sources.parent;
  if (plan.cgroups.empty()) {
    std::string relative;
    for (const std::string& part : sources.parent) {
      relative += (relative.empty() ? "" : "/") + part;
    }
    if (open_beneath(place.mount.fd.ref(), relative.c_str(), O_PATH | O_DIRECTORY).valid()) {
      view.places.push_back(std::move(place));
    }
    return {};
  }
  const auto available = split(WISP_TRY(read_in(place.mount, "cgroup.controllers")), ' ');
  for (const CgroupSetting& setting : plan.cgroups) {
    if (!contains(available, setting.controller)) {
      return refuse("Controller " + setting.controller + " is unavailable: " + place.mount.path +
                    "/cgroup.controllers does not list it. Free it from cgroup v1, or give --cgroup-version 1");
    }
  }
  place.group.push_back(plan.id);
  place.settings = plan.cgroups;
  view.places.push_back(std::move(place));
  return {};
}

/// A cpuset group takes no process while its cpus or mems are empty (v1), so the group above gives its own.
Status inherit_cpuset(const Folder& above, const Folder& group) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    if (WISP_TRY(read_in(group, file)).empty()) {
      const std::string value = WISP_TRY(read_in(above, file));
      const Status written = value.empty() ? Status(refuse("nothing to inherit")) : write_in(group, file, value);
      if (!written.ok()) {
        return refuse(std::string("Failed to inherit cgroups configurations from file ") + file + " in path " +
                      above.path + ": " + written.error().text());
      }
    }
  }
  return {};
}

/// Switches controllers on for the groups below `folder` (v2).
Status enable_controllers(const Folder& folder, const std::vector<CgroupSetting>& settings, UndoLog& undo) {
  constexpr const char* kFile = "cgroup.subtree_control";
  for (const CgroupSetting& setting : settings) {
    if (contains(split(WISP_TRY(read_in(folder, kFile)), ' '), setting.controller)) {
      continue;
    }
    if (Status written = write_in(folder, kFile, "+" + setting.controller); !written.ok()) {
      return refuse("Failed to enable the controller " + setting.controller + ": " + written.error().text() +
                    ". A group that has processes of its own cannot share a controller; give another --parent-cgroup");
    }
    // The folder's descriptor does not live as long as the log; the log keeps its own.
    auto kept = std::make_shared<Folder>(Folder{Fd(::fcntl(folder.fd.raw(), F_DUPFD_CLOEXEC, 3)), folder.path});
    undo.add([kept, controller = setting.controller] { (void)write_in(*kept, kFile, "-" + controller); });
  }
  return {};
}

Status write_settings(const Folder& group, const std::vector<CgroupSetting>& settings) {
  for (const CgroupSetting& setting : settings) {
    const auto there = WISP_TRY(look_at(group, setting.file));
    if (!there) {
      return refuse(setting.controller + " configurations not found in " + group.path + "/" + setting.file +
                    ". Give --cgroup a file that this kernel has");
    }
    (void)WISP_TRY(write_in(group, setting.file, setting.value));
  }
  return {};
}

const char* members_file(CgroupVersion version) {
  return version == CgroupVersion::V1 ? "tasks" : "cgroup.procs";
}

/// Moves us into `group`; undone by moving back to where we came from.
Status move_into(const CgroupPlace& place, const Folder& group, CgroupVersion version, UndoLog& undo) {
  const char* file = members_file(version);
  if (place.origin) {
    const std::string below = place.origin->substr(std::min<std::size_t>(1, place.origin->size()));
    auto home = std::make_shared<Fd>(
        open_beneath(place.mount.fd.ref(), (below.empty() ? file : below + "/" + file).c_str(), O_WRONLY));
    undo.add([home] { (void)!::write(home->raw(), "0", 1); });
  }
  if (Status moved = write_in(group, file, "0"); !moved.ok()) {  // "0" is the writer
    return refuse("Failed to move process to cgroup (" + group.path + "): " + moved.error().text() +
                  ". If it has groups with controllers below it, it takes no process; give another --parent-cgroup");
  }
  return {};
}

/// Opens a group below `above`, making it when it is not there.
Result<Folder> ensure_group(const Folder& above, const std::string& name, UndoLog& undo) {
  const std::string path = above.path + "/" + name;
  if (::mkdirat(above.fd.raw(), name.c_str(), 0755) == 0) {
    auto parent = std::make_shared<Fd>(::fcntl(above.fd.raw(), F_DUPFD_CLOEXEC, 3));
    undo.add([parent, name] { ::unlinkat(parent->raw(), name.c_str(), AT_REMOVEDIR); });
  } else if (errno != EEXIST) {
    return Error::host(errno, "Failed to create directory " + path);
  }
  Fd fd = open_beneath(above.fd.ref(), name.c_str(), O_RDONLY | O_DIRECTORY);
  if (!fd.valid()) {
    return Error::host(errno, "Failed to open the cgroup " + path);
  }
  return Folder{std::move(fd), path};
}

Status join_place(const CgroupPlace& place, CgroupVersion version, UndoLog& undo) {
  const bool cpuset = std::any_of(place.settings.begin(), place.settings.end(),
                                  [](const CgroupSetting& each) { return each.controller == "cpuset"; });
  Folder group{Fd(::fcntl(place.mount.fd.raw(), F_DUPFD_CLOEXEC, 3)), place.mount.path};
  for (const std::string& part : place.group) {
    if (version == CgroupVersion::V2) {
      (void)WISP_TRY(enable_controllers(group, place.settings, undo));
    }
    Folder below = WISP_TRY(ensure_group(group, part, undo));
    if (version == CgroupVersion::V1 && cpuset) {
      (void)WISP_TRY(inherit_cpuset(group, below));
    }
    group = std::move(below);
  }
  (void)WISP_TRY(write_settings(group, place.settings));
  return move_into(place, group, version, undo);
}

}  // namespace

std::string CgroupPlace::path() const {
  std::string text = mount.path;
  for (const std::string& part : group) {
    text += "/" + part;
  }
  return text;
}

std::vector<CgroupMount> parse_cgroup_mounts(const std::string& proc_mounts) {
  std::vector<CgroupMount> mounts;
  for (const std::string& line : split(proc_mounts, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() >= 4 && (words[2] == "cgroup" || words[2] == "cgroup2")) {
      const auto version = words[2] == "cgroup" ? CgroupVersion::V1 : CgroupVersion::V2;
      mounts.push_back({version, unescape_mount(words[1]), split(words[3], ',')});
    }
  }
  return mounts;
}

std::optional<std::string> own_group(const std::string& proc_self_cgroup, const std::string& controller) {
  for (const std::string& line : split(proc_self_cgroup, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : contains(split(names, ','), controller)) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

Result<CgroupView> survey_cgroups(const JailPlan& plan, const std::string& program_name) {
  CgroupView view;
  view.version = plan.cgroup_version;
  if (plan.cgroup_version == CgroupVersion::V1 && plan.cgroups.empty()) {
    return view;
  }
  Sources sources;
  sources.mounts = parse_cgroup_mounts(WISP_TRY(read_proc("/proc/mounts")));
  sources.own_groups = WISP_TRY(read_proc("/proc/self/cgroup"));
  sources.parent = split(plan.parent_cgroup.value_or(program_name), '/');
  (void)WISP_TRY(plan.cgroup_version == CgroupVersion::V1 ? survey_v1(plan, sources, view)
                                                          : survey_v2(plan, sources, view));
  return view;
}

Status join_cgroups(const CgroupView& view, UndoLog& undo) {
  for (const CgroupPlace& place : view.places) {
    (void)WISP_TRY(join_place(place, view.version, undo));
  }
  return {};
}

}  // namespace wisp
