#!/usr/bin/env python3
"""The jail seen from inside and from outside.

Usage: jail_test.py --jailer J --probe P --wisp W --guests G [GROUP ...]
"""
import argparse
import ctypes
import errno
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
from jail_rig import GID, SHAPES, UID, Jailer, alive, end, namespace, snapshot, status_of, wait_until  # noqa: E402
from jail_copy import Copy  # noqa: E402,F401
from jail_hostile import Misuse, Races  # noqa: E402,F401
import monitor  # noqa: E402

OPTIONS = None
EPERM, EACCES, ENOENT, EROFS = (str(number) for number in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS))
CLONE_NEWNET, MS_BIND = 0x40000000, 4096
libc = ctypes.CDLL(None, use_errno=True)


class Inside(unittest.TestCase):
    """What an attacker finds who has taken over the monitor."""

    @classmethod
    def setUpClass(cls):
        def weak_parent():  # everything that a careless parent could hand down
            os.umask(0)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])

        cls.jail = Jailer()
        with open("/etc/hostname", "rb") as extra:
            os.set_inheritable(extra.fileno(), True)
            done = subprocess.run(cls.jail.words("--", "extra", "words"), stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, preexec_fn=weak_parent, close_fds=False,
                                  env={"SECRET": "x", "PATH": "/bin"})
        assert done.returncode == 0, done.stderr
        cls.found = cls.jail.read_report()

    @classmethod
    def tearDownClass(cls):
        cls.jail.__exit__()

    def expect(self, **expected):
        self.assertEqual({key: self.found[key] for key in expected},
                         {key: str(value) for key, value in expected.items()})

    def test_user_and_group_are_the_jails_own_in_every_slot(self):
        self.expect(uids=f"{UID},{UID},{UID}", gids=f"{GID},{GID},{GID}", groups=0, setuid_0=EPERM)

    def test_no_capability_is_left_in_any_set_and_none_can_come_back(self):
        self.expect(caps=0, bounding=0, ambient=0, no_new_privs=1, securebits=0b11101011, bounding_set=EPERM)

    def test_the_process_cannot_be_dumped(self):
        self.expect(dumpable=0, core="0,0", read_program=EACCES)

    def test_nothing_is_inherited(self):
        self.expect(descriptors=0, environment=0, umask=0o77, signals_not_default=0, signals_blocked=0, leads_session=1)

    def test_the_limits_are_the_default_ones(self):
        self.expect(no_file="2048,2048", fsize="-1,-1", raise_files=EPERM)

    def test_the_monitor_gets_its_name_its_id_its_times_and_the_extra_words(self):
        self.expect(comm="probe", arg0="probe", arg1="--id", arg2="vm-1", arg3="--start-time-us",
                    arg5="--start-time-cpu-us",
                    arg7="--parent-cpu-time-us", arg8=0, arg9="extra", arg10="words")
        self.assertGreater(int(self.found["arg4"]), 0)

    def test_there_is_no_file_but_the_jails(self):
        self.expect(cwd="/", ls_up=self.found["ls_root"], open_proc=ENOENT, open_etc=ENOENT, tty=ENOENT)
        self.assertEqual(set(self.found["ls_root"].split(",")), {"", "dev", "run", "probe", "probe.pid"})

    def test_mounts_have_every_flag_they_can_have(self):
        self.expect(flags_root="nosuid,nodev,noexec,", flags_run="nosuid,nodev,noexec,", flags_dev="ro,nosuid,noexec,",
                    flags_program="ro,nosuid,nodev,")

    def test_the_program_and_roots_folders_cannot_be_changed(self):
        self.expect(write_program=EACCES, unlink_program=EPERM, rename_program=EPERM, chmod_root=EPERM,
                    rename_dev=EPERM,
                    make_in_dev=EROFS)

    def test_the_monitor_can_make_files_of_its_own_for_snapshots(self):
        self.expect(make_file=0, unlink_own_file=0)

    def test_code_that_the_monitor_wrote_cannot_be_run(self):
        self.expect(exec_from_run=EACCES, exec_from_root=EACCES)

    def test_the_ways_out_are_closed(self):
        self.expect(mknod=EPERM, mount=EPERM, remount=EPERM, chroot=EPERM, unshare_mounts=EPERM, sethostname=EPERM,
                    signal_init=EPERM, ptrace_parent=EPERM)

    def test_the_hosts_name_is_not_told(self):
        self.expect(hostname="vm-1")

    def test_devices_open_for_the_monitor(self):
        self.expect(open_kvm=0 if os.path.exists("/dev/kvm") else ENOENT,
                    open_tun=0 if os.path.exists("/dev/net/tun") else ENOENT)

    def test_owners_and_modes_on_the_host(self):
        seen = {}
        for name in ("", "dev", "dev/kvm", "run", "probe", "probe.pid"):
            status = (self.jail.root / name).lstat()
            seen[name] = (oct(stat.S_IMODE(status.st_mode)), status.st_uid, status.st_gid)
        self.assertEqual(seen, {"": ("0o1770", 0, GID), "dev": ("0o710", 0, GID), "dev/kvm": ("0o600", UID, GID),
                                "run": ("0o700", UID, GID), "probe": ("0o711", 0, 0), "probe.pid": ("0o644", 0, 0)})


class Family(unittest.TestCase):
    """Daemon and PID namespace, in all four combinations."""

    def check(self, flags, nested):
        with Jailer() as jail:
            jailer = subprocess.Popen(jail.words(*flags, "--", "stay"), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL)
            found = jail.read_report()
            pid = jail.pid()
            self.assertTrue(alive(pid))
            self.assertEqual(status_of(pid)["NSpid"].split(), [str(pid), "1"] if nested else [str(pid)])
            self.assertEqual(found["pid"], "1" if nested else str(pid))
            self.assertEqual(found["no_file"], "2048,2048")
            self.assertEqual(found["comm"], "probe")
            for kind in ("mnt", "ipc", "uts", "cgroup"):
                self.assertNotEqual(namespace(pid, kind), namespace("self", kind), kind)
            if flags:
                self.assertEqual(jailer.wait(20), 0)
                self.assertTrue(alive(pid), "the monitor outlives its jailer")
                self.assertEqual(found["arg6"], "0", "a forked process' CPU clock begins at zero")
                self.assertGreater(int(found["arg8"]), 0)
            else:
                self.assertEqual(jailer.pid, pid, "the jailer becomes the monitor")
            standard = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)}
            if "--daemonize" in flags:
                self.assertEqual(standard, {"/dev/null"})
            end(pid)
            jailer.wait(20)

    def test_plain(self):
        self.check([], nested=False)

    def test_daemon(self):
        self.check(["--daemonize"], nested=False)

    def test_pid_namespace(self):
        self.check(["--new-pid-ns"], nested=True)

    def test_daemon_in_a_pid_namespace(self):
        self.check(["--daemonize", "--new-pid-ns"], nested=True)

    def test_the_end_of_the_callers_session_does_not_end_the_monitor(self):
        with Jailer() as jail:
            subprocess.run(jail.words("--new-pid-ns", "--", "stay"), stdin=subprocess.DEVNULL, start_new_session=True,
                           stdout=subprocess.DEVNULL, check=True)
            jail.read_report()
            self.assertTrue(alive(jail.pid()))

    def test_closed_standard_streams_do_not_become_files_of_the_jailer(self):
        with Jailer() as jail:
            done = subprocess.run(jail.words("--", "stay"), preexec_fn=lambda: [os.close(fd) for fd in (0, 1, 2)] and
                                  signal.alarm(2))
            self.assertEqual(done.returncode, -signal.SIGALRM)
            self.assertEqual(jail.read_report()["descriptors"], "0")

    def test_an_existing_pid_file_refuses_the_start_and_leaves_no_process(self):
        for flags in SHAPES:
            with self.subTest(flags=flags), Jailer() as jail:
                jail.root.mkdir(parents=True)
                jail.pid_file.write_text("1")
                before = snapshot(jail.base)
                done = jail.start(*flags, "--", "stay")
                self.assertEqual(done.returncode, 1)
                self.assertIn("Failed to open file", done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertEqual(snapshot(jail.base), before)
                jail.pid_file.unlink()

    def test_a_late_failure_is_told_and_taken_back(self):
        for flags in SHAPES:
            with self.subTest(flags=flags), Jailer() as jail:
                before = snapshot(jail.top)
                words = jail.words(*flags, "--", "stay")
                # Without CAP_SETPCAP the bounding set cannot be emptied: the very last step that can still be undone.
                drop = lambda: libc.prctl(24, 8, 0, 0, 0)  # noqa: E731  PR_CAPBSET_DROP, CAP_SETPCAP
                done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=drop)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn("bounding set", done.stderr)
                self.assertEqual(snapshot(jail.top), before)
                self.assertEqual(jail.report(*flags)["caps"], "0", "the same command works afterwards")


class Host(unittest.TestCase):
    """Network namespace, cgroups, mounts and files that the orchestrator prepared."""

    def test_a_given_network_namespace_is_joined(self):
        holder = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: libc.unshare(CLONE_NEWNET))
        try:
            path = f"/proc/{holder.pid}/ns/net"
            wait_until(lambda: os.readlink(path) != namespace("self", "net"), "the namespace")
            with Jailer() as jail:
                found = jail.report("--new-pid-ns", "--", "stay", netns=path)
                self.assertEqual(namespace(jail.pid(), "net"), os.readlink(path))
                self.assertNotIn("eth0", found["links"])
        finally:
            end(holder.pid)

    def test_limits_that_are_given_are_set_hard_and_soft(self):
        with Jailer() as jail:
            found = jail.report("--resource-limit", "fsize=250000", "--resource-limit", "no-file=128", "--new-pid-ns")
            self.assertEqual((found["fsize"], found["no_file"]), ("250000,250000", "128,128"))

    def cgroup_v1(self, controller):
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            _, path, kind, options = line.split()[:4]
            if kind == "cgroup" and controller in options.split(","):
                return pathlib.Path(path)
        self.skipTest(f"no cgroup v1 hierarchy with {controller}")

    def test_cgroup_v1_values_are_set_and_the_monitor_is_in_the_group(self):
        cpu, cpuset = self.cgroup_v1("cpu"), self.cgroup_v1("cpuset")
        with Jailer() as jail:
            groups = [mount / "wisp-test/nested/vm-1" for mount in (cpu, cpuset)]
            try:
                jail.report("--cgroup", "cpu.shares=200", "--cgroup", "cpuset.mems=0",
                            "--parent-cgroup", "wisp-test/nested",
                            "--new-pid-ns", "--", "stay")
                self.assertEqual((groups[0] / "cpu.shares").read_text().strip(), "200")
                self.assertEqual((groups[1] / "cpuset.mems").read_text().strip(), "0")
                self.assertEqual((groups[1] / "cpuset.cpus").read_text(), (cpuset / "cpuset.cpus").read_text(),
                                 "inherited")
                for group in groups:
                    self.assertIn(str(jail.pid()), (group / "tasks").read_text().split())
            finally:
                end(jail.pid() if jail.pid_file.exists() else 0)
                remove_groups(groups, 3)

    def test_cgroup_v1_failures_remove_the_groups_and_move_the_jailer_back(self):
        cpu = self.cgroup_v1("cpu")
        with Jailer() as jail:
            for setting in ("cpu.shares=nonsense", "cpu.nosuchfile=1"):
                before = snapshot(jail.top)
                done = jail.start("--cgroup", "cpu.shares=300", "--cgroup", setting)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertFalse((cpu / "probe").exists())
                self.assertEqual(snapshot(jail.top), before)

    def cgroup_v2(self):
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if line.split()[2] == "cgroup2":
                return pathlib.Path(line.split()[1])
        self.skipTest("cgroup v2 is not mounted")

    def test_cgroup_v2_values_are_set_and_controllers_switched_on(self):
        mount = self.cgroup_v2()
        files = {"hugetlb": ("hugetlb.2MB.max", "4194304"), "pids": ("pids.max", "50")}
        offered = (mount / "cgroup.controllers").read_text().split()
        usable = next((name for name in files if name in offered), None)
        if usable is None:
            self.skipTest(f"cgroup v2 here has none of {list(files)}")
        file, value = files[usable]
        group = mount / "wisp-test/vm-1"
        before = (mount / "cgroup.subtree_control").read_text()
        with Jailer() as jail:
            try:
                jail.report("--cgroup", f"{file}={value}", "--cgroup-version", "2", "--parent-cgroup", "wisp-test",
                            "--daemonize", "--", "stay")
                self.assertEqual((group / file).read_text().strip(), value)
                self.assertIn(str(jail.pid()), (group / "cgroup.procs").read_text().split())
                self.assertIn(usable, (mount / "wisp-test/cgroup.subtree_control").read_text())
            finally:
                end(jail.pid() if jail.pid_file.exists() else 0)
                remove_groups([group], 2)
                if usable not in before:
                    (mount / "cgroup.subtree_control").write_text(f"-{usable}")

    def test_cgroup_v2_failure_switches_the_controllers_off_again(self):
        mount = self.cgroup_v2()
        if "hugetlb" not in (mount / "cgroup.controllers").read_text():
            self.skipTest("no hugetlb controller in cgroup v2")
        before = (mount / "cgroup.subtree_control").read_text()
        with Jailer() as jail:
            done = jail.start("--cgroup", "hugetlb.2MB.max=nonsense", "--cgroup-version", "2")
            self.assertEqual(done.returncode, 1)
            self.assertFalse((mount / "probe").exists())
            self.assertEqual((mount / "cgroup.subtree_control").read_text(), before)

    def test_cgroup_v2_without_settings_joins_an_existing_parent_and_makes_none(self):
        mount = self.cgroup_v2()
        with Jailer() as jail:
            jail.report("--cgroup-version", "2", "--new-pid-ns", "--", "stay")
            self.assertFalse((mount / "probe").exists())
        (mount / "probe").mkdir()
        try:
            with Jailer() as jail:
                jail.report("--cgroup-version", "2", "--new-pid-ns", "--", "stay")
                self.assertIn(str(jail.pid()), (mount / "probe/cgroup.procs").read_text().split())
        finally:
            (mount / "probe").rmdir()

    def test_files_linked_in_and_mounts_made_inside_before_the_start_are_there(self):
        with Jailer() as jail:
            jail.root.mkdir(parents=True)
            (jail.top / "kernel").write_text("k")
            os.link(jail.top / "kernel", jail.root / "kernel")
            (jail.top / "outside").mkdir()
            (jail.top / "outside/mark").write_text("m")
            (jail.top / "outside").chmod(0o755)
            (jail.top / "outside/mark").chmod(0o644)
            (jail.root / "inside").mkdir(mode=0o755)
            mounts = pathlib.Path("/proc/self/mounts").read_text()
            source, target = os.fsencode(jail.top / "outside"), os.fsencode(jail.root / "inside")
            self.assertEqual(libc.mount(source, target, None, MS_BIND, None), 0)
            try:
                found = jail.report()
            finally:
                libc.umount2(str(jail.root / "inside").encode(), 2)
            self.assertEqual(found["mounted_file"], "0")
            self.assertIn("kernel", found["ls_root"].split(","))
            self.assertEqual((jail.root / "kernel").stat().st_uid, 0, "the orchestrator's files keep their owner")
            self.assertEqual(pathlib.Path("/proc/self/mounts").read_text(), mounts,
                             "nothing is left mounted on the host")

    def test_a_disk_node_of_the_orchestrator_stays_usable(self):
        with Jailer() as jail:
            jail.root.mkdir(parents=True)
            os.mknod(jail.root / "disk", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            os.chown(jail.root / "disk", UID, GID)
            found = jail.report()
            self.assertEqual((found["disk_node"], found["flags_root"]), ("0", "nosuid,noexec,"))

    def test_only_the_chosen_devices_are_made(self):
        with Jailer() as jail:
            jail.report(devices="kvm")
            self.assertEqual(os.listdir(jail.root / "dev"), ["kvm"])
        with Jailer() as jail:
            jail.report(devices="none")
            self.assertEqual(os.listdir(jail.root / "dev"), [])

    def test_a_second_start_with_the_same_id_works_once_the_pid_file_is_gone(self):
        with Jailer() as jail:
            jail.report()
            first = (jail.root / "probe").stat().st_ino
            self.assertEqual(jail.start().returncode, 1)
            jail.pid_file.unlink()
            held = open(jail.root / "probe", "rb")  # keeps the inode number from being used again
            (jail.root / "run/report").unlink()
            jail.report()
            self.assertNotEqual((jail.root / "probe").stat().st_ino, first, "a new file, not the old one")
            held.close()

    def test_a_root_folder_of_the_jailed_user_becomes_roots(self):
        with Jailer() as jail:
            jail.root.mkdir(parents=True, mode=0o700)
            os.chown(jail.root, UID, GID)
            jail.report()
            self.assertEqual(jail.root.stat().st_uid, 0)

    def test_dry_run_prints_the_plan_and_changes_nothing(self):
        with Jailer() as jail:
            before = snapshot(jail.top)
            done = jail.start("--dry-run", "--daemonize", "--new-pid-ns")
            self.assertEqual(done.returncode, 0, done.stderr)
            for text in (str(jail.root), "/dev/kvm", f"user {UID}", "no capabilities"):
                self.assertIn(text, done.stdout)
            self.assertEqual(snapshot(jail.top), before)


def remove_groups(groups, depth):
    for group in groups:
        for _ in range(depth):
            if group.exists():
                wait_until(lambda: not (group / "cgroup.procs").read_text(), "empty group")
                group.rmdir()
            group = group.parent


class Monitor(unittest.TestCase):
    """The real monitor, jailed."""

    def test_the_jailed_monitor_answers_and_boots_a_guest(self):
        if not os.path.exists("/dev/kvm"):
            self.skipTest("no /dev/kvm")
        with Jailer(exec_file=OPTIONS.wisp, name="wisp") as jail:
            jail.root.mkdir(parents=True)
            (jail.root / "kernel").write_bytes((OPTIONS.guests / "counter").read_bytes())
            (jail.root / "kernel").chmod(0o644)
            done = jail.start("--daemonize", "--new-pid-ns", "--", "--level", "Debug", "--metrics-sock", "/run/metrics.sock",
                              "--trace", "/run/trace.json")
            self.assertEqual(done.returncode, 0, done.stderr)
            path = jail.root / "run/firecracker.socket"
            wait_until(path.exists, "API socket")
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(20)
            wait_until(lambda: connection.connect_ex(str(path)) == 0, "listening API")
            self.assertEqual(monitor.request(connection, "GET", "/").json()["id"], "vm-1")
            for where, body in (("/boot-source", {"kernel_image_path": "/kernel", "boot_args": "console=ttyS0"}),
                                ("/machine-config", {"vcpu_count": 1, "mem_size_mib": 64}),
                                ("/actions", {"action_type": "InstanceStart"})):
                answer = monitor.request(connection, "PUT", where, body)
                self.assertEqual(answer.status, 204, answer)
            self.assertEqual(monitor.request(connection, "GET", "/").json()["state"], "Running")
            status = status_of(jail.pid())
            self.assertEqual((status["NoNewPrivs"], status["CapBnd"], status["Name"]), ("1", "0" * 16, "wisp"))
            host = monitor.request(connection, "GET", "/capabilities").json()["host"]
            self.assertIsNone(host, "nobody asked before the start")
            connection.close()
            with socket.socket(socket.AF_UNIX) as scraper:
                scraper.settimeout(20)
                scraper.connect(str(jail.root / "run/metrics.sock"))
                self.assertTrue(monitor.request(scraper, "GET", "/metrics").body.endswith("# EOF\n"))
            trace = jail.root / "run/trace.json"
            wait_until(lambda: trace.read_text().endswith("]}\n"), "the trace")
            self.assertIn('"name":"jailer"', trace.read_text())

    def test_in_the_jail_the_capabilities_are_those_of_the_jail(self):
        with Jailer(exec_file=OPTIONS.wisp, name="wisp") as jail:
            done = jail.start("--daemonize", "--devices", "none")
            self.assertEqual(done.returncode, 0, done.stderr)
            path = jail.root / "run/firecracker.socket"
            wait_until(path.exists, "API socket")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                wait_until(lambda: connection.connect_ex(str(path)) == 0, "listening API")
                host = monitor.request(connection, "GET", "/capabilities").json()["host"]
            self.assertEqual((host["kvm"]["available"], host["kvm_max_vcpus"]), (False, 0))
            self.assertIn("/dev/kvm", host["kvm"]["obstacle"])
            self.assertFalse(host["userfaultfd"]["available"])


def main():
    global OPTIONS
    parser = argparse.ArgumentParser()
    for name in ("jailer", "probe", "wisp", "guests"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("groups", nargs="*")
    OPTIONS = parser.parse_args()
    if os.geteuid() != 0:
        print("SKIP: the jailer needs root")
        return 77
    Jailer.program, Jailer.probe = OPTIONS.jailer, OPTIONS.probe
    return 0 if unittest.main(argv=[sys.argv[0], "-v", *OPTIONS.groups], exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
