#include "jailer/jail/plan.h"

#include <catch2/catch.hpp>

#include "jailer/jail/host_view.h"

namespace wisp {
namespace {

std::vector<char*> as_words(std::vector<std::string>& texts) {
  std::vector<char*> words;
  for (std::string& text : texts) {
    words.push_back(text.data());
  }
  return words;
}

Result<JailPlan> plan_with(std::vector<std::string> more) {
  std::vector<std::string> texts = {"--id", "vm-1", "--exec-file", "/bin/wisp", "--uid", "5", "--gid", "6"};
  texts.insert(texts.end(), more.begin(), more.end());
  return plan_jail(as_words(texts));
}

}  // namespace

TEST_CASE("plan: the required arguments alone give the documented defaults") {
  const auto plan = plan_with({});
  REQUIRE(plan.ok());
  CHECK(plan.value().id == "vm-1");
  CHECK(plan.value().uid == 5);
  CHECK(plan.value().gid == 6);
  CHECK(plan.value().chroot_base == "/srv/jailer");
  CHECK(plan.value().cgroup_version == CgroupVersion::V1);
  CHECK(plan.value().limits.max_open_files == 2048);
  CHECK_FALSE(plan.value().limits.max_file_bytes.has_value());
  CHECK_FALSE(plan.value().netns.has_value());
  CHECK(plan.value().daemonize == Daemonize::No);
  CHECK(plan.value().pid_namespace == PidNamespace::Hosts);
}

TEST_CASE("plan: repeated cgroups and limits are all kept, in their order") {
  const auto plan = plan_with({"--cgroup", "cpu.shares=2", "--resource-limit", "fsize=9", "--cgroup",
                               "io.max=8:0 rbps=1", "--resource-limit", "no-file=10", "--parent-cgroup", "a/b"});
  REQUIRE(plan.ok());
  REQUIRE(plan.value().cgroups.size() == 2);
  CHECK(plan.value().cgroups[0].controller == "cpu");
  CHECK(plan.value().cgroups[0].file == "cpu.shares");
  CHECK(plan.value().cgroups[1].value == "8:0 rbps=1");
  CHECK(plan.value().limits.max_file_bytes == 9);
  CHECK(plan.value().limits.max_open_files == 10);
  CHECK(plan.value().parent_cgroup == "a/b");
}

TEST_CASE("plan: what follows the dashes goes to the monitor unread") {
  const auto plan = plan_with({"--", "--no-api", "--id", "--"});
  REQUIRE(plan.ok());
  CHECK(plan.value().monitor_arguments == std::vector<std::string>{"--no-api", "--id", "--"});
}

TEST_CASE("plan: the highest user id is one below the kernel's \"leave it alone\"") {
  std::vector<std::string> highest = {"--id", "a", "--exec-file", "x", "--uid", "4294967294", "--gid", "0"};
  std::vector<std::string> beyond = {"--id", "a", "--exec-file", "x", "--uid", "4294967295", "--gid", "0"};
  CHECK(plan_jail(as_words(highest)).ok());
  const auto refused = plan_jail(as_words(beyond));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text().find("Invalid uid: '4294967295'") == 0);
}

TEST_CASE("plan: a missing required argument is named") {
  std::vector<std::string> texts = {"--id", "a", "--exec-file", "x", "--uid", "1"};
  const auto refused = plan_jail(as_words(texts));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().text() == "Failed to parse arguments: Argument 'gid' required, but not found.");
}

TEST_CASE("plan: cgroup files with a path or without a controller are refused") {
  CHECK_FALSE(parse_cgroup_setting("../cpu.shares=1").ok());
  CHECK_FALSE(parse_cgroup_setting("cpu/x.y=1").ok());
  CHECK_FALSE(parse_cgroup_setting("cpu=1").ok());
  CHECK_FALSE(parse_cgroup_setting(".x=1").ok());
  CHECK_FALSE(parse_cgroup_setting("cpu..x=1").ok());
  CHECK_FALSE(parse_cgroup_setting("cpu.shares").ok());
  CHECK_FALSE(parse_cgroup_setting("cpu.shares=").ok());
}

TEST_CASE("plan: parent cgroups stay below the mount") {
  CHECK(check_parent_cgroup("a").ok());
  CHECK(check_parent_cgroup("a/b.c/d..e").ok());
  CHECK_FALSE(check_parent_cgroup("").ok());
  CHECK_FALSE(check_parent_cgroup("/a").ok());
  CHECK_FALSE(check_parent_cgroup("a/..").ok());
  CHECK_FALSE(check_parent_cgroup("./a").ok());
}

TEST_CASE("plan: limits take whole decimal numbers only, and a refused one changes nothing") {
  ResourceLimits limits;
  CHECK_FALSE(parse_resource_limit("fsize=-1", limits).ok());
  CHECK_FALSE(parse_resource_limit("fsize=1k", limits).ok());
  CHECK_FALSE(parse_resource_limit("no-file=18446744073709551616", limits).ok());
  CHECK_FALSE(parse_resource_limit("core=1", limits).ok());
  CHECK(limits.max_open_files == 2048);
  CHECK_FALSE(limits.max_file_bytes.has_value());
}

TEST_CASE("plan: devices are a list of known names, or none") {
  const auto none = parse_devices("none");
  REQUIRE(none.ok());
  CHECK_FALSE(none.value().kvm);
  const auto some = parse_devices("kvm,disk");
  REQUIRE(some.ok());
  CHECK(some.value().kvm);
  CHECK_FALSE(some.value().tun);
  CHECK(some.value().disk_nodes == DiskNodes::Allowed);
  CHECK_FALSE(parse_devices("kvm,").ok());
  CHECK_FALSE(parse_devices("none,kvm").ok());
}

TEST_CASE("plan: the dry run's text names files, owners, cgroups and the command") {
  auto plan = plan_with({"--new-pid-ns", "--", "--no-api"});
  REQUIRE(plan.ok());
  HostView host;
  host.program.path = "/bin/wisp";
  host.program.name = "wisp";
  host.jail_path = "/srv/jailer/wisp/vm-1/root";
  host.devices = {{"net", "tun", 10, 200}};
  const std::string text = describe(plan.value(), host);
  CHECK(text.find("/srv/jailer/wisp/vm-1/root (root:6 1770)") != std::string::npos);
  CHECK(text.find("/dev/net/tun 10:200 (5:6 0600)") != std::string::npos);
  CHECK(text.find("uts, cgroup, pid") != std::string::npos);
  CHECK(text.find("/wisp --id vm-1") != std::string::npos);
  CHECK(text.find("--no-api") != std::string::npos);
}

TEST_CASE("host: a misc minor is found whatever its padding, and only by its whole name") {
  const std::string misc = "126 userfaultfd\n 57 kvm\n232 kvm-clock\n  x broken\n";
  CHECK(misc_minor(misc, "userfaultfd") == 126U);
  CHECK(misc_minor(misc, "kvm") == 57U);
  CHECK_FALSE(misc_minor(misc, "tun").has_value());
  CHECK_FALSE(misc_minor(misc, "broken").has_value());
  CHECK_FALSE(misc_minor("", "kvm").has_value());
}

TEST_CASE("cgroup: mounts and controllers are read, escapes undone, other file systems left out") {
  const auto mounts = parse_cgroup_mounts(
      "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu\\040x cgroup rw,cpu,cpuacct 0 0\n"
      "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nbroken line\n");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].version == CgroupVersion::V1);
  CHECK(mounts[0].path == "/sys/fs/cgroup/cpu x");
  CHECK(mounts[0].controllers == std::vector<std::string>{"rw", "cpu", "cpuacct"});
  CHECK(mounts[1].version == CgroupVersion::V2);
}

TEST_CASE("cgroup: our own group is found by controller, the empty one being version 2") {
  const std::string text = "4:cpu,cpuacct:/a/b\n1:name=systemd:/s\n0::/u:x\n";
  CHECK(own_group(text, "cpuacct") == "/a/b");
  CHECK(own_group(text, "") == "/u:x");
  CHECK_FALSE(own_group(text, "memory").has_value());
}

TEST_CASE("undo: the newest change is taken back first, once") {
  UndoLog undo;
  std::string order;
  undo.add([&] { order += "a"; });
  undo.add([&] { order += "b"; });
  undo.run();
  undo.run();
  CHECK(order == "ba");
}

}  // namespace wisp
