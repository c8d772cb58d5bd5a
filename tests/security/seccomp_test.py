#!/usr/bin/env python3
"""What a broken monitor cannot ask of the kernel: forbidden acts from inside each thread kind, each refused for the
right reason; the filters and the hardening of the real monitor, seen from /proc.

Usage: seccomp_test.py WISP PROBE GUESTS [unittest arguments]
"""
import contextlib
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from jailed import Jails  # noqa: E402
from monitor import Monitor  # noqa: E402

WISP, PROBE, GUESTS = (pathlib.Path(sys.argv.pop(1)).resolve() for _ in range(3))
KINDS = ("setup", "vmm", "api", "vcpu", "guard")
BAD_SYSCALL = 148
Jails.usable(WISP)  # temporary files of the tests lie where a jailed monitor sees them

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_PRIVATE, MAP_ANONYMOUS = 2, 0x20
KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_RUN = 0xAE01, 0xAE41, 0xAE80
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
TIOCSTI = 0x5412
O_CLOEXEC = 0o2000000

# act: call and arguments; where it is refused; how (kill: by the kernel at once, trap: with an explanation)
KILLED = {
    "start a program": ("execve", 0, 0, 0),
    "start a program by descriptor": ("execveat", 0, 0, 0, 0, 0),
    "fork": ("fork",),
    "fork by clone": ("clone", signal.SIGCHLD, 0, 0, 0, 0),
    "trace another process": ("ptrace", 16, 1, 0, 0),
    "read another process's memory": ("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "write another process's memory": ("process_vm_writev", 1, 0, 0, 0, 0, 0),
    "take another process's descriptor": ("pidfd_getfd", 0, 0, 0),
    "signal another process": ("kill", 1, 0),
    "mount": ("mount", 0, 0, 0, 0, 0),
    "pivot_root": ("pivot_root", 0, 0),
    "new namespaces": ("unshare", 0x10000000),
    "join a namespace": ("setns", 0, 0),
    "load kernel code": ("finit_module", 0, 0, 0),
    "kernel program": ("bpf", 0, 0, 0),
    "replace the kernel": ("kexec_load", 0, 0, 0, 0),
    "keyring": ("keyctl", 0, 0, 0, 0, 0),
    "add a key": ("add_key", 0, 0, 0, 0, 0),
    "performance events": ("perf_event_open", 0, 0, 0, 0, 0),
    "file by handle": ("open_by_handle_at", 0, 0, 0),
    "device node": ("mknodat", 0, 0, 0o020600, 0x103),
    "change identity": ("setresuid", 0, 0, 0),
    "gain capabilities": ("capset", 0, 0),
    "new executable memory": ("mmap", 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    "memory becomes executable": ("mprotect", 0, 4096, PROT_READ | PROT_EXEC),
}
TRAPPED = {
    "internet socket": ("socket", 2, 1 | O_CLOEXEC, 0),
    "netlink socket": ("socket", 16, 3 | O_CLOEXEC, 0),
    "packet socket": ("socket", 17, 3 | O_CLOEXEC, 0),
    "terminal injection": ("ioctl", 0, TIOCSTI, 0),
    "old open call": ("open", 0, 0, 0),
    "file kept over exec": ("openat", -100, 0, 0, 0),
    "read limits": ("prlimit64", 0, 7, 0, 0),
    "become dumpable": ("prctl", 4, 1, 0, 0, 0),
    "SIGSYS handler": ("rt_sigaction", signal.SIGSYS, 0, 0, 8),
    "SIGKILL to a thread": ("tgkill", 1, 1, signal.SIGKILL),
    "inspect the filesystem": ("statfs", 0, 0),
    "list a folder": ("getdents64", 0, 0, 0),
    "shared memory": ("shmget", 0, 4096, 0o1600),
    "new directory": ("mkdir", 0, 0o700),
}
# only some kinds may: everybody else is trapped
ALLOWED_ONLY_IN = {
    "create a VM": (("ioctl", -1, KVM_CREATE_VM, 0), ("setup",)),
    "create a vCPU": (("ioctl", -1, KVM_CREATE_VCPU, 0), ("setup",)),
    "run a guest": (("ioctl", -1, KVM_RUN, 0), ("setup", "vcpu")),
    "map guest memory": (("ioctl", -1, KVM_SET_USER_MEMORY_REGION, 0), ("setup", "vmm")),
    "open a file": (("openat", -100, 0, O_CLOEXEC, 0), ("setup", "vmm")),
    "connect": (("connect", -1, 0, 0), ("setup", "vmm")),
    "bind": (("bind", -1, 0, 0), ("setup",)),
    "io_uring": (("io_uring_setup", 1, 0), ("setup", "vmm")),
    "another filter": (("seccomp", 1, 0, 0), ("setup",)),
    "userfaultfd": (("userfaultfd", O_CLOEXEC), ("setup",)),
    "accept a client": (("accept4", -1, 0, 0, O_CLOEXEC), ("setup", "vmm", "api")),
}


def probe(kind, act):
    return subprocess.run([PROBE, kind, *map(str, act)], capture_output=True, text=True, timeout=30)


class Acts(unittest.TestCase):
    def assert_trapped(self, kind, act):
        result = probe(kind, act)
        self.assertEqual(result.returncode, BAD_SYSCALL, result.stderr)
        self.assertIn(f"a thread of kind '{kind}' made the forbidden system call", result.stderr)
        self.assertIn(f"({act[0]}, arguments", result.stderr)
        self.assertNotIn("went through", result.stderr)

    def test_what_no_version_could_do_is_killed_in_every_kind(self):
        for name, act in KILLED.items():
            for kind in KINDS:
                with self.subTest(name, kind=kind):
                    result = probe(kind, act)
                    self.assertEqual(result.returncode, -signal.SIGSYS, result.stderr)
                    self.assertEqual(result.stderr, "")

    def test_everything_else_is_trapped_and_explained_in_every_kind(self):
        for name, act in TRAPPED.items():
            for kind in KINDS:
                with self.subTest(name, kind=kind):
                    self.assert_trapped(kind, act)

    def test_what_one_kind_needs_is_refused_in_the_others(self):
        for name, (act, kinds) in ALLOWED_ONLY_IN.items():
            for kind in KINDS:
                with self.subTest(name, kind=kind):
                    if kind in kinds:
                        result = probe(kind, act)
                        self.assertEqual((result.returncode, "went through" in result.stderr), (0, True), result.stderr)
                    else:
                        self.assert_trapped(kind, act)

    def test_the_loop_has_last_words_whoever_was_refused(self):
        for kind in KINDS:
            self.assertIn("last words", probe(kind, ("ioctl", 0, TIOCSTI, 0)).stderr, kind)

    def test_threads_come_from_clone_because_clone3_does_not_exist(self):
        result = probe("setup", ("clone3", 0, 0))
        self.assertEqual((result.returncode, result.stderr), (0, "went through: -1\n"))


class Hardening(unittest.TestCase):
    def test_forbidden_acts_fail_for_the_documented_reason_without_any_filter(self):
        with tempfile.TemporaryDirectory() as folder:
            output = subprocess.run([PROBE, "hardening"], capture_output=True, text=True, cwd=folder, timeout=30).stdout
        found = {name: int(value) for name, value in map(str.split, output.splitlines())}
        self.assertEqual((found["no_new_privs"], found["dumpable"], found["core_limit"]), (1, 0, 0))
        self.assertEqual(found["make_file"], 0)
        if found["missing"] > 0:
            self.skipTest("this kernel lacks Landlock, mseal or PR_SET_MDWE")
        for name in ("execute", "make_char_device", "make_block_device", "make_folder", "make_symlink",
                     "make_executable"):
            self.assertEqual(found[name], errno.EACCES, name)
        for name in ("unmap_code", "write_code"):
            self.assertEqual(found[name], errno.EPERM, name)
        if found["landlock_abi"] >= 4:
            self.assertEqual(found["connect_tcp"], errno.EACCES)
        if found["landlock_abi"] >= 6:
            self.assertEqual(found["signal_parent"], errno.EPERM)


    def test_only_files_below_the_allowed_folder_can_be_opened_by_any_later_thread(self):
        with tempfile.TemporaryDirectory() as folder:
            inside = pathlib.Path(folder) / "inside"
            inside.mkdir()
            (inside / "file").write_text("x")
            (inside / "link").symlink_to("/etc/passwd")
            output = subprocess.run([PROBE, "paths", inside], capture_output=True, text=True, timeout=30).stdout
        found = {name: int(value) for name, value in map(str.split, output.splitlines())}
        if found.get("refused"):
            self.skipTest("this kernel lacks Landlock; --allow-path is refused")
        for name in ("inside", "make_inside", "remove_inside", "thread_inside"):
            self.assertEqual(found[name], 0, name)
        for name in ("passwd", "by_dots", "by_link", "make_outside", "truncate_outside", "thread_passwd",
                     "inside_after_closing"):
            self.assertEqual(found[name], errno.EACCES, name)
        self.assertEqual(found["closed"], 1)


def task_fields(pid):
    """For every thread: its name and the fields of its status."""
    found = []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir()):
        lines = (task / "status").read_text().splitlines()
        found.append({key: value.strip() for key, _, value in (line.partition(":") for line in lines)})
    return found


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "no /dev/kvm")
class RealMonitor(unittest.TestCase):
    def start(self, arguments=()):
        vm = Monitor(WISP, arguments)
        self.addCleanup(vm.__exit__)
        return vm

    def test_threads_are_filtered_before_the_start_and_more_so_after_it(self):
        vm = self.start()
        vm.configure(GUESTS / "idle", vcpus=2)
        before = task_fields(vm.process.pid)
        self.assertEqual({task["Seccomp"] for task in before}, {"2"})
        vm.start()
        after = {task["Name"]: task for task in task_fields(vm.process.pid)}
        self.assertEqual({task["Seccomp"] for task in after.values()}, {"2"})
        self.assertEqual({task["NoNewPrivs"] for task in after.values()}, {"1"})
        if "Seccomp_filters" in after["wisp_api"]:
            # By number: a thread that is being started still has the name of the one that starts it.
            main = next(task for task in task_fields(vm.process.pid) if task["Pid"] == str(vm.process.pid))
            self.assertEqual(main["Seccomp_filters"], "2")
            self.assertEqual(after["fc_vcpu 0"]["Seccomp_filters"], "2")
            self.assertEqual(after["wisp_api"]["Seccomp_filters"], "1")

    def test_no_seccomp_removes_the_filters_and_nothing_else(self):
        vm = self.start(["--no-seccomp"])
        vm.configure(GUESTS / "idle")
        vm.start()
        for task in task_fields(vm.process.pid):
            self.assertEqual((task["Seccomp"], task["NoNewPrivs"]), ("0", "1"))

    def test_no_core_is_ever_written(self):
        vm = self.start()
        vm.configure(GUESTS / "idle")
        limits = pathlib.Path(f"/proc/{vm.process.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size +0 +0 ")

    def test_a_machine_that_works_counts_no_fault(self):
        vm = self.start()
        metrics = vm.directory / "metrics"
        vm.put("/metrics", {"metrics_path": str(metrics)})
        vm.configure(GUESTS / "idle")
        vm.start()
        self.assertEqual(vm.call("PUT", "/actions", {"action_type": "FlushMetrics"}).status, 204)
        for line in metrics.read_text().splitlines():
            self.assertEqual(json.loads(line)["seccomp"]["num_faults"], 0)


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "no /dev/kvm")
class Paths(unittest.TestCase):
    """The real monitor with --allow-path: live updates and snapshots work below the folder and nowhere else."""

    def setUp(self):
        top = tempfile.TemporaryDirectory(prefix="wisp-paths-")
        self.addCleanup(top.cleanup)
        self.inside, self.outside = pathlib.Path(top.name) / "inside", pathlib.Path(top.name) / "outside"
        for folder in (self.inside, self.outside):
            folder.mkdir()
            for name in ("disk", "other"):
                (folder / name).write_bytes(bytes(65536))
        (self.inside / "kernel").write_bytes((GUESTS / "idle").read_bytes())

    def start(self, *arguments, api=True):
        vm = Monitor(WISP, ["--allow-path", self.inside, *arguments], api=api)
        self.addCleanup(vm.__exit__)
        if api:
            vm.connect().close()
        if "needs Landlock" in vm.output():
            self.skipTest(vm.output())
        return vm

    def refused(self, vm, method, path, body):
        answer = vm.call(method, path, body)
        self.assertEqual(answer.status, 400, answer)
        self.assertIn("Permission denied", answer.body)

    def test_every_request_that_names_a_file_works_inside_and_is_refused_outside(self):
        vm = self.start()
        drive = {"drive_id": "d", "is_root_device": False}
        snapshot = {"snapshot_type": "Full"}
        for folder, call in ((self.outside, self.refused), (self.inside, self.accepted)):
            call(vm, "PUT", "/logger", {"log_path": str(folder / "log")})
            call(vm, "PUT", "/metrics", {"metrics_path": str(folder / "metrics")})
            call(vm, "PUT", "/drives/d", {**drive, "path_on_host": str(folder / "disk")})
        self.refused(vm, "PUT", "/boot-source", {"kernel_image_path": str(GUESTS / "idle")})
        vm.put("/pmem/p", {"id": "p", "path_on_host": str(self.inside / "other"), "read_only": True})
        vm.put("/vsock", {"guest_cid": 3, "uds_path": str(self.inside / "vsock")})
        vm.configure(self.inside / "kernel")
        vm.start()
        for folder, call in ((self.outside, self.refused), (self.inside, self.accepted)):
            call(vm, "PATCH", "/drives/d", {"drive_id": "d", "path_on_host": str(folder / "other")})
        vm.patch("/vm", {"state": "Paused"})
        for folder, call in ((self.outside, self.refused), (self.inside, self.accepted)):
            call(vm, "PUT", "/snapshot/create", {**snapshot, "snapshot_path": str(folder / "state"),
                                                 "mem_file_path": str(folder / "memory")})
        self.assertEqual(sorted(each.name for each in self.outside.iterdir()), ["disk", "other"])
        vm.process.kill()
        vm.process.wait()
        (self.inside / "vsock").unlink()
        load = {"snapshot_path": str(self.inside / "state"), "resume_vm": True,
                "mem_backend": {"backend_type": "File", "backend_path": str(self.inside / "memory")}}
        self.accepted(self.start(), "PUT", "/snapshot/load", load)

    def accepted(self, vm, method, path, body):
        answer = vm.call(method, path, body)
        self.assertEqual(answer.status, 204, answer)

    def test_the_vsock_socket_is_made_inside_only(self):
        vm = self.start()
        self.refused(vm, "PUT", "/vsock", {"guest_cid": 3, "uds_path": str(self.outside / "vsock")})
        self.assertFalse((self.outside / "vsock").exists())

    def test_files_of_the_command_line_may_lie_anywhere(self):
        config = self.outside / "config.json"
        config.write_text(json.dumps({"boot-source": {"kernel_image_path": str(self.inside / "kernel")}, "drives": [],
                                      "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}))
        (self.outside / "metrics").touch()
        vm = self.start("--config-file", config, "--metrics-path", self.outside / "metrics")
        self.assertEqual(vm.call("GET", "/").json()["state"], "Running")

    def test_a_folder_that_does_not_exist_is_refused_at_the_start(self):
        with Monitor(WISP, ["--allow-path", self.inside / "none"]) as vm:
            self.assertEqual(vm.wait_exit(), 1)
            self.assertIn("cannot allow the folder", vm.output())

    def test_without_an_api_a_machine_runs_with_the_file_system_closed(self):
        config = self.inside / "config.json"
        config.write_text(json.dumps({"boot-source": {"kernel_image_path": str(GUESTS / "counter"),
                                                      "boot_args": "console=ttyS0"}, "drives": [],
                                      "machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}))
        with Monitor(WISP, ["--no-api", "--config-file", config], api=False) as vm:
            vm.wait_for("0")
            self.assertIsNone(vm.process.poll())


ALLOW_ALL = {"default_action": "allow", "filter_action": "trap", "filter": []}
TRAP_KVM_RUN = {"default_action": "allow", "filter_action": "trap", "filter": [
    {"syscall": "ioctl", "args": [{"index": 1, "type": "dword", "op": "eq", "val": KVM_RUN}]}]}
TRAP_EVENTFD = {"default_action": "allow", "filter_action": "trap", "filter": [{"syscall": "eventfd2"}]}


@unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "no /dev/kvm")
class Custom(unittest.TestCase):
    """Filters of the operator's, from a file."""

    def start(self, **categories):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        source, compiled = (pathlib.Path(folder.name) / name for name in ("filters.json", "filters"))
        source.write_text(json.dumps({name: categories.get(name, ALLOW_ALL)
                                      for name in ("vmm", "api", "vcpu", *categories)}))
        subprocess.run([WISP, "seccomp", "compile", source, compiled], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([WISP, "seccomp", "check", compiled], check=True, stdout=subprocess.DEVNULL)
        vm = Monitor(WISP, ["--seccomp-filter", compiled])
        self.addCleanup(vm.__exit__)
        vm.configure(GUESTS / "idle")
        return vm

    def test_each_thread_has_the_filter_of_its_category(self):
        vm = self.start()
        before = {task["Name"]: task["Seccomp"] for task in task_fields(vm.process.pid)}
        self.assertEqual((before[WISP.name[:15]], before["wisp_api"]), ("0", "2"), "as in the reference")
        vm.start()
        # KVM's own thread in the kernel began while the main thread was not filtered yet.
        ours = [task for task in task_fields(vm.process.pid) if not task["Name"].startswith("kvm-")]
        self.assertEqual({task["Seccomp"] for task in ours}, {"2"})

    def test_a_setup_category_confines_the_main_thread_from_the_beginning(self):
        vm = self.start(setup=ALLOW_ALL)
        self.assertEqual({task["Seccomp"] for task in task_fields(vm.process.pid)}, {"2"})

    def test_a_call_that_they_refuse_ends_the_process_with_its_reason(self):
        vm = self.start(vcpu=TRAP_KVM_RUN)
        with contextlib.suppress(ConnectionError):  # the process may end before it answers
            vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
        self.assertEqual(vm.wait_exit(), BAD_SYSCALL)
        self.assertIn("a thread of kind 'vcpu' made the forbidden system call 16 (ioctl", vm.output())

    def test_the_setup_category_refuses_too(self):
        vm = self.start(setup=TRAP_EVENTFD)
        with self.assertRaises((ConnectionError, OSError)):
            vm.start()
        self.assertEqual(vm.wait_exit(), BAD_SYSCALL)
        self.assertIn("a thread of kind 'setup' made the forbidden system call", vm.output())

    def test_a_file_that_is_not_compiled_or_damaged_is_refused_before_the_socket_is_made(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "filters"
            for contents, text in ((b"{}", "is not compiled"), (b"", "ends early"), (b"\x03" * 99, "is not usable"),
                                   (bytes(100_001), "exceeds limit of 100000")):
                path.write_bytes(contents)
                with Monitor(WISP, ["--seccomp-filter", path]) as vm:
                    self.assertEqual(vm.wait_exit(), 1)
                    self.assertIn(text, vm.output())
                    self.assertFalse(os.path.exists(vm.socket_path))


if __name__ == "__main__":
    unittest.main()
