"""Bad command lines and hostile folders: every refusal is one line, exits 1, and leaves every file as it was."""
import ctypes
import fcntl
import functools
import os
import pathlib
import shutil
import stat
import subprocess
import threading
import unittest

from jail_rig import GID, UID, Jailer, snapshot

RACE_STARTS = 200
LOCK_STARTS = 60


libc = ctypes.CDLL(None)
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(one, other):
    """Exchanges two names atomically; False when one is missing."""
    return libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


class Misuse(unittest.TestCase):
    def refuse(self, jail, text, *arguments, **changed):
        before = snapshot(jail.top)
        done = jail.start(*arguments, **changed)
        self.assertEqual(done.returncode, 1, (arguments, changed, done.stdout, done.stderr))
        self.assertIn(text, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(snapshot(jail.top), before, (arguments, changed))

    def test_bad_values_are_refused_and_nothing_is_left_behind(self):
        with Jailer() as jail:
            for key, text, values in (
                    ("id", "Invalid instance ID", ["", "a/b", "..", "a b", "ä", "x" * 65, "a\n"]),
                    ("uid", "Invalid uid", ["", "-1", "4294967295", "4294967296", "1x", "0x10", "root", " 1", "+1"]),
                    ("gid", "Invalid gid", ["", "-1", "4294967295", "18446744073709551616", "kvm"]),
                    ("cgroup_version", "invalid cgroup version", ["0", "3", "v2", ""]),
                    ("parent_cgroup", "Parent cgroup path is invalid", ["/abs", "..", "a/../b", "./a", ""]),
                    ("cgroup", "Invalid format for cgroups", ["cpu.shares", "cpu.shares=", "=1", ""]),
                    ("cgroup", "Cgroup invalid file", 
                     ["../cpu.shares=1", "cpu/shares.x=1", "cpushares=1", ".x=1", "cpu.=1"]),
                    ("cgroup", "is unavailable", ["nosuch.file=1"]),
                    ("resource_limit", "Invalid format for resources", ["fsize", "fsize=", "=1"]),
                    ("resource_limit", "Invalid resource argument", ["nofile=1", "core=1"]),
                    ("resource_limit", "Invalid limit value", ["fsize=-1", "no-file=x", "fsize=18446744073709551616"]),
                    ("resource_limit", "Failed to set limit", ["no-file=18446744073709551614"]),
                    ("devices", "Invalid device", ["", "kvm,,tun", "sda"]),
                    ("netns", "Failed to join network namespace", 
                     ["/nonexistent", "/etc/passwd", "/proc/self/ns/mnt", "/tmp"]),
                    ("exec_file", "", ["/nonexistent", "/tmp", "/etc/passwd", "/dev/null", "/proc/self/exe/x"]),
                    ("chroot_base_dir", "", ["/nonexistent", "/etc/passwd", "/dev/null"])):
                for value in values:
                    with self.subTest(key=key, value=value):
                        self.refuse(jail, text, **{key: value})

    def test_missing_unknown_and_repeated_arguments_are_refused(self):
        with Jailer() as jail:
            for missing in ("id", "exec_file", "uid", "gid"):
                self.refuse(jail, "required, but not found", **{missing: None})
            self.refuse(jail, "wasn't expected", "--nonsense")
            self.refuse(jail, "wasn't expected", "--id=vm-2")
            self.refuse(jail, "more than once", "--uid", "1")
            self.refuse(jail, "requires a value", "--netns")

    def test_a_fifo_as_program_or_namespace_does_not_hang(self):
        with Jailer() as jail:
            fifo = jail.top / "fifo"
            os.mkfifo(fifo, 0o755)
            self.refuse(jail, "is not a file", exec_file=fifo)
            self.refuse(jail, "not a namespace", netns=fifo)

    def test_programs_that_cannot_be_run_are_refused_before_anything_is_made(self):
        with Jailer() as jail:
            cases = {"script": (b"#!/bin/sh\n", 0o755, "not an x86-64 ELF"), "empty": (b"", 0o755, "not an x86-64 ELF"),
                     "plain": (jail.exec_file.read_bytes(), 0o644, "not executable"),
                     "dev": (jail.exec_file.read_bytes(), 0o755, "is taken inside a jail"),
                     "dynamic": (pathlib.Path("/bin/true").read_bytes(), 0o755, "dynamically linked")}
            for name, (contents, mode, text) in cases.items():
                path = jail.top / name
                path.write_bytes(contents)
                path.chmod(mode)
                self.refuse(jail, text, exec_file=path)

    def test_links_in_place_of_the_jails_folders_and_files_are_refused(self):
        for place in ("probe", "probe/vm-1", "probe/vm-1/root", "probe/vm-1/root/dev", "probe/vm-1/root/dev/net",
                      "probe/vm-1/root/run", "probe/vm-1/root/probe", "probe/vm-1/root/probe.pid",
                      "probe/vm-1/root/dev/kvm"):
            with self.subTest(place=place), Jailer() as jail:
                (jail.top / "victim").mkdir(mode=0o755)
                link = jail.base / place
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(jail.top / "victim")
                self.refuse(jail, "Failed to")

    def test_a_hard_link_in_place_of_the_program_is_refused(self):
        with Jailer() as jail:
            jail.root.mkdir(parents=True)
            (jail.top / "victim").write_text("precious")
            os.link(jail.top / "victim", jail.root / "probe")
            self.refuse(jail, "Detected hard link at")

    def test_folders_that_others_own_or_may_write_are_refused(self):
        for place, owner, mode in (("probe", UID + 7, 0o755), ("probe/vm-1", UID + 7, 0o755),
                                   ("probe/vm-1/root", UID + 7, 0o755),
                                   ("probe", 0, 0o777), ("probe/vm-1", 0, 0o777), ("probe/vm-1/root", 0, 0o777),
                                   ("probe", UID, 0o755), ("probe/vm-1/root/dev", UID + 7, 0o755)):
            with self.subTest(place=place, owner=owner, mode=oct(mode)), Jailer() as jail:
                folder = jail.base / place
                folder.mkdir(parents=True)
                os.chown(folder, owner, GID)
                folder.chmod(mode)
                self.refuse(jail, "Failed to use the folder")

    def test_another_device_in_place_of_a_node_is_refused(self):
        with Jailer() as jail:
            (jail.root / "dev").mkdir(parents=True)
            os.mknod(jail.root / "dev/kvm", stat.S_IFCHR | 0o600, os.makedev(1, 1))
            self.refuse(jail, "something else stands at")

    def test_without_root_the_start_is_refused_and_the_plan_can_be_read(self):
        with Jailer() as jail:
            jail.top.chmod(0o755)
            jailer = jail.top / "wisp-jailer"
            shutil.copy(jail.program, jailer)
            jail.program = jailer
            words = jail.words()
            done = subprocess.run(words, capture_output=True, text=True, user=UID, group=GID, extra_groups=[])
            self.assertEqual((done.returncode, "must be started by root" in done.stderr), (1, True), done.stderr)
            done = subprocess.run([*words, "--dry-run"], capture_output=True,
                                  text=True, user=UID, group=GID, extra_groups=[])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("A real start needs root", done.stdout)


class Races(unittest.TestCase):
    """Somebody who owns the jail exchanges its names for links while the jailer works; nothing outside may change."""

    def attack(self, place, jailed_owner):
        with Jailer() as jail:
            victim = jail.top / "victim"
            victim.mkdir(mode=0o755)
            for name in ("probe", "probe.pid", "kvm", "mark"):
                (victim / name).write_text("precious")
            jail.root.mkdir(parents=True)
            for folder in ([jail.root.parent, jail.root] if jailed_owner else []):
                os.chown(folder, UID, GID)
            name, stop, quiet = jail.base / place, threading.Event(), threading.Lock()
            before = snapshot(victim)

            link = jail.top / "link"
            link.symlink_to(victim)

            def swap():  # the name is a link half of the time, changed in one step each time
                while not stop.is_set():
                    with quiet:
                        if exchange(link, name):
                            exchange(link, name)

            attacker = threading.Thread(target=swap)
            attacker.start()
            outcomes = []
            try:
                for _ in range(RACE_STARTS):
                    outcomes.append(jail.start("--devices", "kvm").returncode)
                    with quiet:  # the test's own cleaning must not follow the link either
                        jail.pid_file.unlink(missing_ok=True)
            finally:
                stop.set()
                attacker.join()
            self.assertEqual(snapshot(victim), before)
            self.assertTrue(set(outcomes) <= {0, 1}, set(outcomes))
            print(f"[{outcomes.count(0)} started, {outcomes.count(1)} refused]", end=" ", flush=True)

    def test_the_program_folder(self):
        self.attack("probe", False)

    def test_the_id_folder(self):
        self.attack("probe/vm-1", False)

    def test_the_root_folder(self):
        self.attack("probe/vm-1/root", True)

    def test_the_device_folder(self):
        self.attack("probe/vm-1/root/dev", True)

    def test_the_run_folder(self):
        self.attack("probe/vm-1/root/run", True)

    def test_the_program(self):
        self.attack("probe/vm-1/root/probe", True)

    def test_the_pid_file(self):
        self.attack("probe/vm-1/root/probe.pid", True)

    def test_a_start_that_finds_the_jail_locked_leaves_the_folders_to_the_other(self):
        refused = 0
        for _ in range(LOCK_STARTS):
            with Jailer() as jail:
                lock, stop = [], threading.Event()

                def take():  # between the making of the folder and the jailer's lock, when it is lucky
                    while not stop.is_set() and not lock:
                        try:
                            lock.append(os.open(jail.root, os.O_RDONLY | os.O_DIRECTORY))
                            fcntl.flock(lock[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
                        except OSError:
                            continue

                other = threading.Thread(target=take)
                other.start()
                done = jail.start()
                stop.set()
                other.join()
                if "Failed to lock the jail" in done.stderr:
                    refused += 1
                    self.assertTrue(jail.root.is_dir(), "the folder that the other start has locked is still there")
                for descriptor in lock:
                    os.close(descriptor)
        print(f"[{refused} of {LOCK_STARTS} found it locked]", end=" ", flush=True)

    def test_two_starts_with_one_id_make_one_monitor(self):
        for _ in range(20):
            with Jailer() as jail:
                outcomes = []
                begin = functools.partial(jail.start, "--new-pid-ns", "--", "stay")
                starts = [threading.Thread(target=lambda: outcomes.append(begin().returncode))
                          for _ in range(4)]
                for each in starts:
                    each.start()
                for each in starts:
                    each.join()
                self.assertEqual(sorted(outcomes), [0, 1, 1, 1])
