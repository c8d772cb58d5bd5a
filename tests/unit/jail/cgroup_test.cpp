// Over a folder that looks like a cgroup hierarchy: files that are there keep what was written, as the kernel's do.
#include "jailer/jail/cgroup.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace wisp {
namespace {

namespace fs = std::filesystem;

class FakeHierarchy {
 public:
  FakeHierarchy() {
    std::string name = (fs::temp_directory_path() / "wisp-cgroup-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    top_ = name;
  }
  ~FakeHierarchy() { fs::remove_all(top_); }
  FakeHierarchy(const FakeHierarchy&) = delete;
  FakeHierarchy& operator=(const FakeHierarchy&) = delete;

  /// A group with the files that the kernel would put there.
  void make_group(const std::string& name, const std::vector<std::pair<std::string, std::string>>& files) const {
    fs::create_directories(top_ / name);
    for (const auto& [file, text] : files) {
      std::ofstream(top_ / name / file) << text;
    }
  }
  std::string read(const std::string& file) const {
    std::ostringstream text;
    text << std::ifstream(top_ / file).rdbuf();
    return text.str();
  }
  bool has(const std::string& name) const { return fs::exists(top_ / name); }

  CgroupView view(CgroupVersion version, std::vector<std::string> group, std::vector<CgroupSetting> settings) const {
    CgroupView view;
    view.version = version;
    CgroupPlace place;
    place.mount = Folder{Fd(::open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), top_.string()};
    place.group = std::move(group);
    place.settings = std::move(settings);
    place.origin = "/home";
    view.places.push_back(std::move(place));
    return view;
  }

 private:
  fs::path top_;
};

const CgroupSetting kCpuMax{"cpu", "cpu.max", "50000 100000"};
const CgroupSetting kCpus{"cpuset", "cpuset.cpus", "1"};

}  // namespace

TEST_CASE("cgroup v2: controllers are switched on in every group above, the value written, the process moved") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cgroup.subtree_control", ""}});
  fake.make_group("fc", {{"cgroup.subtree_control", "memory"}});
  fake.make_group("fc/vm", {{"cpu.max", "max"}, {"cgroup.procs", ""}});
  UndoLog undo;
  REQUIRE(join_cgroups(fake.view(CgroupVersion::V2, {"fc", "vm"}, {kCpuMax}), undo).ok());
  CHECK(fake.read("cgroup.subtree_control") == "+cpu");
  CHECK(fake.read("fc/cgroup.subtree_control").starts_with("+cpu"));
  CHECK(fake.read("fc/vm/cpu.max") == "50000 100000");
  CHECK(fake.read("fc/vm/cgroup.procs") == "0");
}

TEST_CASE("cgroup v2: a controller that is on already is neither switched on nor off again") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cgroup.subtree_control", "memory cpu"}});
  fake.make_group("vm", {{"cpu.max", ""}, {"cgroup.procs", ""}});
  UndoLog undo;
  REQUIRE(join_cgroups(fake.view(CgroupVersion::V2, {"vm"}, {kCpuMax}), undo).ok());
  undo.run();
  CHECK(fake.read("cgroup.subtree_control") == "memory cpu");
}

TEST_CASE("cgroup v2: what was switched on is switched off and the process moved home when the start fails") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cgroup.subtree_control", ""}});
  fake.make_group("home", {{"cgroup.procs", ""}});
  fake.make_group("vm", {{"cpu.max", ""}, {"cgroup.procs", ""}});
  UndoLog undo;
  REQUIRE(join_cgroups(fake.view(CgroupVersion::V2, {"vm"}, {kCpuMax}), undo).ok());
  undo.run();
  CHECK(fake.read("cgroup.subtree_control") == "-cpu");
  CHECK(fake.read("home/cgroup.procs") == "0");
  CHECK(fake.has("vm"));  // it was there before us
}

TEST_CASE("cgroup: a group that was made is removed again when its file does not exist") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cgroup.subtree_control", "cpu"}});
  UndoLog undo;
  const Status joined = join_cgroups(fake.view(CgroupVersion::V2, {"fc"}, {kCpuMax}), undo);
  REQUIRE_FALSE(joined.ok());
  CHECK(joined.error().text().starts_with("cpu configurations not found in "));
  CHECK(fake.has("fc"));
  undo.run();
  CHECK_FALSE(fake.has("fc"));
}

TEST_CASE("cgroup v1: an empty cpuset inherits from the group above before its own value is written") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cpuset.cpus", "0-3\n"}, {"cpuset.mems", "0\n"}});
  fake.make_group("fc", {{"cpuset.cpus", "\n"}, {"cpuset.mems", ""}});
  fake.make_group("fc/vm", {{"cpuset.cpus", ""}, {"cpuset.mems", "1\n"}, {"tasks", ""}});
  UndoLog undo;
  REQUIRE(join_cgroups(fake.view(CgroupVersion::V1, {"fc", "vm"}, {kCpus}), undo).ok());
  CHECK(fake.read("fc/cpuset.cpus") == "0-3");
  CHECK(fake.read("fc/cpuset.mems") == "0");
  CHECK(fake.read("fc/vm/cpuset.cpus").starts_with("1"));
  CHECK(fake.read("fc/vm/cpuset.mems") == "1\n");
  CHECK(fake.read("fc/vm/tasks") == "0");
}

TEST_CASE("cgroup v1: nothing to inherit is an error that names the file") {
  const FakeHierarchy fake;
  fake.make_group("", {{"cpuset.cpus", ""}, {"cpuset.mems", ""}});
  fake.make_group("vm", {{"cpuset.cpus", ""}, {"cpuset.mems", ""}, {"tasks", ""}});
  UndoLog undo;
  const Status joined = join_cgroups(fake.view(CgroupVersion::V1, {"vm"}, {kCpus}), undo);
  REQUIRE_FALSE(joined.ok());
  CHECK(joined.error().text().starts_with("Failed to inherit cgroups configurations from file cpuset.cpus in path "));
}

TEST_CASE("cgroup: symlinks below the mount are not followed") {
  const FakeHierarchy fake;
  const FakeHierarchy other;
  other.make_group("vm", {{"cpu.max", ""}, {"cgroup.procs", ""}});
  fake.make_group("", {{"cgroup.subtree_control", "cpu"}});
  fs::create_directory_symlink(other.view(CgroupVersion::V2, {}, {}).places[0].path() + "/vm",
                               fake.view(CgroupVersion::V2, {}, {}).places[0].path() + "/vm");
  UndoLog undo;
  CHECK_FALSE(join_cgroups(fake.view(CgroupVersion::V2, {"vm"}, {kCpuMax}), undo).ok());
  CHECK(other.read("vm/cgroup.procs").empty());
}

TEST_CASE("cgroup: mounts are told apart by version, with their controllers and with blanks in their names") {
  const auto mounts = parse_cgroup_mounts(
      "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu\\040set cgroup rw,nosuid,cpuset 0 0\n"
      "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nbroken line\n");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].version == CgroupVersion::V1);
  CHECK(mounts[0].path == "/sys/fs/cgroup/cpu set");
  CHECK(std::find(mounts[0].controllers.begin(), mounts[0].controllers.end(), "cpuset") != mounts[0].controllers.end());
  CHECK(mounts[1].version == CgroupVersion::V2);
}

TEST_CASE("cgroup: our own group is found by controller and for version 2") {
  const std::string text = "4:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c:d\nx\n";
  CHECK(own_group(text, "cpuacct") == "/a");
  CHECK(own_group(text, "") == "/c:d");
  CHECK_FALSE(own_group(text, "cpuset").has_value());
}

}  // namespace wisp
