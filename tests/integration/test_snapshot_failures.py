#!/usr/bin/env python3
"""Snapshots that cannot be taken or loaded: refusals, hostile files, page fault handlers that come and go.

Usage: test_snapshot_failures.py WISP GUEST_DIR [unittest arguments]
WISP_UFFD_HANDLER: the program uffd_handler; without it the tests that need one are skipped.
"""
import ctypes
import json
import os
import random
import resource
import shutil
import subprocess
import time
import unittest

import probe
from hugepages import HugePages
from monitor import drive, make_disk, receive_answer
from probe import Probe, run_tests, wait_until
from snapshots import Clone, Files, SnapshotTest, capture, counts, pause, resume
from state_file import forge, section_data

CLONE_NEWNS = 0x20000
MEMORY_MIB = 64
RESTORE_FAILED = "Load snapshot error: Failed to restore from snapshot: "


def mount_small(directory):
    """Mounts a file system of 64 KiB that only this process and its children see. False: not allowed here."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return False
    commands = (["mount", "--make-rprivate", "/"], ["mount", "-t", "tmpfs", "-o", "size=64k", "none", directory])
    return all(subprocess.run(words, capture_output=True).returncode == 0 for words in commands)


def handler_refusal():
    """Why machines cannot have a page fault handler here; None: they can (docs/userfault.md, "The host")."""
    if not os.environ.get("WISP_UFFD_HANDLER"):
        return "WISP_UFFD_HANDLER names no program"
    if os.geteuid() != 0 and not os.access("/dev/userfaultfd", os.R_OK | os.W_OK):
        return "userfaultfd is not allowed here"
    return None


HANDLER_REFUSAL = handler_refusal()


class Refusals(SnapshotTest):
    def test_nothing_is_written_while_running(self):
        with Probe("counter") as vm:
            self.assert_refused(vm.call("PUT", "/snapshot/create", self.files.body()), "unavailable while running")
            self.assertEqual(list(self.directory.iterdir()), [])
            self.count_on(vm, "")

    def test_without_a_machine_there_is_nothing_to_capture(self):
        with Clone() as vm:
            self.assertEqual(vm.call("PUT", "/snapshot/create", self.files.body()).status, 400)
            self.assertEqual(list(self.directory.iterdir()), [])

    def test_files_that_cannot_be_written_leave_the_old_ones_whole(self):
        (self.directory / "dir.state").mkdir()
        (self.directory / "dir.mem").mkdir()
        (self.directory / "link").symlink_to("target")
        with Probe("counter") as vm:
            capture(vm, self.files)
            old = self.files.state.read_bytes(), self.files.memory.read_bytes()
            state, memory = str(self.files.state), str(self.files.memory)
            link, directory = str(self.directory / "link"), str(self.directory / "dir.state")
            for pair in ((state, "/nowhere/m"), ("/nowhere/s", memory), (state, state), (directory, memory),
                         (state, directory), (link, memory), (state, link), (state, "/proc/version"), ("", memory)):
                with self.subTest(pair):
                    resume(vm)
                    pause(vm)
                    body = {"snapshot_path": pair[0], "mem_file_path": pair[1]}
                    self.assertEqual(vm.call("PUT", "/snapshot/create", body).status, 400)
                    self.assertEqual((self.files.state.read_bytes(), self.files.memory.read_bytes()) == old, True)
                    names = sorted(path.name for path in self.directory.iterdir())
                    self.assertEqual(names, ["dir.mem", "dir.state", "link", "snap.mem", "snap.state"])
            self.assertFalse((self.directory / "target").exists())
            resume(vm)
            self.count_on(vm, "", len(counts(vm.output())) + 5)

    def assert_create_fails(self, vm, state, memory, text):
        body = {"snapshot_path": str(state), "mem_file_path": str(memory)}
        self.assert_refused(vm.call("PUT", "/snapshot/create", body), text)

    def test_a_limit_on_the_size_of_files_leaves_the_old_ones_whole(self):
        # Not jailed: lowering another user's limit from outside needs a capability that a container may lack.
        with Probe("counter", jailed=False) as vm:
            before = capture(vm, self.files)
            old = self.files.state.read_bytes(), self.files.memory.read_bytes()
            resource.prlimit(vm.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
            self.assert_create_fails(vm, self.files.state, self.files.memory, "File too large")
            self.assertTrue((self.files.state.read_bytes(), self.files.memory.read_bytes()) == old)
            self.assertEqual(len(list(self.directory.iterdir())), 2)
        with Clone(jailed=False) as vm:
            self.assert_loaded(vm.load(self.files))
            self.count_on(vm, before)

    def test_a_full_file_system_leaves_the_old_ones_whole(self):
        small = self.directory / "small"
        small.mkdir()
        if not mount_small(small):
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        with Probe("counter") as vm:
            capture(vm, self.files)
            old = self.files.state.read_bytes(), self.files.memory.read_bytes()
            self.assert_create_fails(vm, self.files.state, small / "m", "No space left on device")
            self.assertEqual(list(small.iterdir()), [])
            (small / "filler").write_bytes(bytes(60 * 1024))
            self.assert_create_fails(vm, small / "s", self.files.memory, "No space left on device")
            self.assertEqual([path.name for path in small.iterdir()], ["filler"])
            self.assertTrue((self.files.state.read_bytes(), self.files.memory.read_bytes()) == old)
            self.assertEqual(len(list(self.directory.iterdir())), 3)

    def test_files_of_two_snapshots_are_no_pair(self):
        other = Files(self.directory, "other")
        with Probe("counter", memory_mib=MEMORY_MIB) as vm:
            capture(vm, self.files)
            twin = Files(self.directory, "twin")
            vm.put("/snapshot/create", twin.body())  # of the same pause: the same machine
            resume(vm)
            capture(vm, other, "Diff")
            merged = self.directory / "merged"
            merged.write_bytes(self.files.memory.read_bytes())
            subprocess.run([probe.WISP, "snapshot", "merge", merged, other.memory], check=True)
        for state, memory, fits in ((self.files.state, twin.memory, True), (twin.state, self.files.memory, True),
                                    (other.state, merged, True), (self.files.state, merged, False),
                                    (other.state, self.files.memory, False)):
            with self.subTest(state=state.name, memory=memory.name), Clone() as vm:
                pair = Files(self.directory)
                pair.state, pair.memory = state, memory
                answer = vm.load(pair, resume=False)
                if fits:
                    self.assert_loaded(answer)
                else:
                    self.assert_refused(answer, "they are of two snapshots")
                    self.assertEqual(vm.wait_exit(), 1)

    def test_killed_at_any_time_a_monitor_leaves_a_pair_or_what_is_seen_to_be_none(self):
        """Each round kills a monitor that writes over its own files; each file is whole afterwards."""
        dice, outcomes = random.Random(5), {"pair": 0, "no pair": 0}
        for round_number in range(12):
            with Probe("counter", memory_mib=MEMORY_MIB) as vm:
                capture(vm, self.files)
                client = vm.connect()
                body = json.dumps(self.files.body()).encode()
                for _ in range(50):
                    resume(vm), pause(vm)
                    client.sendall(b"PUT /snapshot/create HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    if dice.random() < 0.3:
                        time.sleep(dice.random() * 0.08)
                        break
                    self.assertEqual(receive_answer(client).status, 204)
                vm.process.kill()
                vm.process.wait()
                client.close()
            with Clone() as vm:
                answer = vm.load(self.files, resume=False)
                if answer.status != 204:
                    self.assert_refused(answer, "they are of two snapshots")
                outcomes["pair" if answer.status == 204 else "no pair"] += 1
        print(outcomes, end=" ")
        self.assertGreater(outcomes["pair"], 0)

    def test_a_load_after_configuration_is_refused_and_changes_nothing(self):
        with Probe("counter") as vm:
            capture(vm, self.files)
        with Clone() as vm:
            vm.configure(probe.GUESTS / "counter")
            text = "Loading a microVM snapshot not allowed after configuring boot-specific resources."
            self.assert_refused(vm.load(self.files), text)
            vm.start()
            self.assert_refused(vm.load(self.files), "not supported after starting the microVM")
            self.count_on(vm, "")


class HostileFiles(SnapshotTest):
    """What cannot be loaded is answered with 400, and the process ends with 1."""

    def setUp(self):
        super().setUp()
        make_disk(self.directory / "disk", 64)
        with Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk"), "/entropy": {},
                                   "/balloon": {"amount_mib": 0, "deflate_on_oom": False}}) as vm:
            capture(vm, self.files)
        self.good = self.files.state.read_bytes()
        self.bad = Files(self.directory, "bad")
        self.bad.memory = self.files.memory

    def load_fails(self, files, text="", **more):
        before = {path: path.stat().st_mtime_ns for path in self.directory.iterdir()}
        with Clone() as vm:
            answer = vm.load(files, **more)
            self.assert_refused(answer, RESTORE_FAILED + text if not text.startswith("*") else text[1:])
            self.assertEqual(vm.wait_exit(), 1)
            self.assertEqual(vm.output(), "")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.directory.iterdir()}, before)

    def test_files_that_are_missing_swapped_or_of_another_kind(self):
        self.load_fails(self.bad, "Failed to get snapshot state from file: ")
        missing = Files(self.directory)
        missing.memory = self.directory / "none"
        self.load_fails(missing, "Failed to load guest memory: ")
        self.bad.state = self.files.memory
        self.load_fails(self.bad, "Failed to get snapshot state from file: ")
        self.bad.state, self.bad.memory = self.files.state, self.files.state
        self.load_fails(self.bad, "Failed to load guest memory: ")
        for kind in (os.mkfifo, os.mkdir):
            path = self.directory / f"special-{kind.__name__}"
            kind(path)
            self.bad.state, self.bad.memory = path, self.files.memory
            self.load_fails(self.bad, "Failed to get snapshot state from file: ")
            self.bad.state, self.bad.memory = self.files.state, path
            self.load_fails(self.bad, "Failed to load guest memory: ")

    def test_a_memory_file_of_another_length(self):
        size = self.files.memory.stat().st_size
        self.bad.state, self.bad.memory = self.files.state, self.directory / "bad.mem"
        for length in (0, 1, size - 1, size - 4096, size + 1, size + 4096, 4 * size):
            with self.subTest(length=length):
                shutil.copy(self.files.memory, self.bad.memory)
                os.truncate(self.bad.memory, length)
                self.load_fails(self.bad, "Failed to load guest memory: ")

    def test_a_state_file_that_is_cut_or_longer(self):
        size = len(self.good)
        for length in (0, 1, 127, 128, 129, size // 2, size - 9, size - 1):
            with self.subTest(length=length):
                self.bad.state.write_bytes(self.good[:length])
                self.load_fails(self.bad)
        for more in (b"\0", self.good, bytes(10_000_000)):
            self.bad.state.write_bytes(self.good + more)
            self.load_fails(self.bad)

    def test_each_flipped_bit_is_found(self):
        dice = random.Random(11)
        for _ in range(40):
            data = bytearray(self.good)
            at, bit = dice.randrange(len(data)), dice.randrange(8)
            data[at] ^= 1 << bit
            with self.subTest(at=at, bit=bit):
                self.bad.state.write_bytes(data)
                self.load_fails(self.bad, "Failed to get snapshot state from file: ")

    def test_forged_contents_never_crash_the_monitor(self):
        """Checksums fit: each part must take care of itself. It loads, or it ends with 1 and a text."""
        dice = random.Random(13)
        places = section_data(self.good)
        loaded = refused = 0
        for number in range(80):
            data = bytearray(self.good)
            start, end = dice.choice([place for place in places if place[0] < place[1]])
            for _ in range(dice.choice((1, 1, 4))):
                data[dice.randrange(start, end)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            with self.subTest(number=number), Clone() as vm:
                self.bad.state.write_bytes(forge(data))
                answer = vm.load(self.bad)
                if answer.status == 204:
                    loaded += 1
                    self.still_answers(vm)
                else:
                    refused += 1
                    self.assert_refused(answer, RESTORE_FAILED)
                    self.assertEqual(vm.wait_exit(), 1)
        self.assertGreater(loaded, 0)
        self.assertGreater(refused, 0)

    def still_answers(self, vm):
        """The guest may be broken now, and end the machine in order; the monitor ends by no signal."""
        try:
            self.assertIn(vm.call("GET", "/").status, (200,))
        except (OSError, ConnectionError):
            self.assertGreaterEqual(vm.wait_exit(), 0, vm.output())

    def test_the_commands_say_what_is_wrong(self):
        for words, code in ((("snapshot", "describe", self.files.state), 0),
                            (("snapshot", "check", self.files.state), 0),
                            (("--describe-snapshot", self.files.state), 0),
                            (("snapshot", "describe", self.files.memory), 1), (("snapshot", "check", "/none"), 1),
                            (("snapshot", "merge", self.files.memory, self.files.state), 1), (("snapshot",), 153)):
            with self.subTest(words):
                done = subprocess.run([probe.WISP, *words], capture_output=True, text=True)
                self.assertEqual(done.returncode, code, done)
                self.assertTrue(done.stdout if code == 0 else done.stderr)


class PageFaultHandler(SnapshotTest):
    def start_handler(self, files=None):
        path = self.directory / "pages.sock"
        words = [os.environ["WISP_UFFD_HANDLER"], path, (files or self.files).memory]
        handler = subprocess.Popen(words, stdout=subprocess.PIPE)
        self.addCleanup(handler.stdout.close)
        self.addCleanup(handler.wait)
        self.addCleanup(handler.kill)
        wait_until(path.exists, "the handler listens")
        return handler, path

    @unittest.skipIf(HANDLER_REFUSAL, HANDLER_REFUSAL)
    def test_memory_comes_page_by_page_from_a_handler(self):
        with Probe("counter") as vm:
            wait_until(lambda: len(counts(vm.output())) > 20, "the guest counts")
            before = capture(vm, self.files)
        handler, path = self.start_handler()
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, backend="Uffd", backend_path=path))
            self.count_on(vm, before, 20)
            again = Files(self.directory, "again")
            before += capture(vm, again)
        self.assertEqual(handler.wait(30), 0)
        self.assertRegex(handler.stdout.read().decode(), r"served [1-9]\d* copied")
        with Clone() as vm:
            self.assert_loaded(vm.load(again))
            self.count_on(vm, before)

    @unittest.skipIf(HANDLER_REFUSAL, HANDLER_REFUSAL)
    def test_without_its_handler_the_machine_ends_and_nothing_is_made_up(self):
        with Probe("counter") as vm:
            wait_until(lambda: len(counts(vm.output())) > 20, "the guest counts")
            before = capture(vm, self.files)
        handler, path = self.start_handler()
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, backend="Uffd", backend_path=path))
            self.count_on(vm, before)
            handler.kill()
            self.assertEqual(vm.wait_exit(), 1)
            numbers = counts(before + vm.output())
            self.assertEqual(numbers, list(range(len(numbers))))
            self.assertIn("The userfault handler has hung up", (vm.directory / "log").read_text())

    @unittest.skipIf(HANDLER_REFUSAL, HANDLER_REFUSAL)
    def test_memory_of_huge_pages_is_captured_as_any_other_and_comes_back_by_a_handler_only(self):
        memory_mib = 64
        HugePages(self, 2 * memory_mib // 2)  # the machine and a clone beside it
        machine = {"vcpu_count": 1, "mem_size_mib": memory_mib, "huge_pages": "2M", "track_dirty_pages": True}
        diff, full = Files(self.directory, "diff"), Files(self.directory, "full")
        with Probe("counter", {"/machine-config": machine}) as vm:
            wait_until(lambda: len(counts(vm.output())) > 20, "the guest counts")
            capture(vm, self.files)
            resume(vm)
            self.count_on(vm, "", 40)
            before = capture(vm, diff, "Diff")
            vm.put("/snapshot/create", full.body())
            self.assertLess(diff.memory.stat().st_blocks * 512, 16 << 20, "a diff holds what changed")
            subprocess.run([probe.WISP, "snapshot", "merge", self.files.memory, diff.memory], check=True)
            self.assertTrue(self.files.memory.read_bytes() == full.memory.read_bytes(), "merged it is not the full one")
            with Clone() as clone:
                self.assert_refused(clone.load(full), "Cannot restore hugetlbfs backed snapshot by mapping the memory file. "
                                                      "Please use uffd.")
                self.assertEqual(clone.wait_exit(), 1)
            handler, path = self.start_handler()
            with Clone() as clone:
                self.assert_loaded(clone.load(full, backend="Uffd", backend_path=path, track_dirty_pages=True))
                self.count_on(clone, before, 20)
                self.assertGreater(clone.smaps_total("Private_Hugetlb:"), 0)
                again = Files(self.directory, "again")
                before += capture(clone, again)
            self.assertEqual(handler.wait(30), 0)
            self.assertRegex(handler.stdout.read().decode(), r"served [1-9]\d* copied")
        handler, path = self.start_handler(again)
        with Clone() as clone:
            self.assert_loaded(clone.load(again, backend="Uffd", backend_path=path))
            self.count_on(clone, before)

    def test_a_handler_that_is_not_there_is_a_failed_load(self):
        with Probe("counter") as vm:
            capture(vm, self.files)
        with Clone() as vm:
            answer = vm.load(self.files, backend="Uffd", backend_path="/nowhere/pages.sock")
            self.assert_refused(answer, "Failed to connect to UDS Unix stream: ")
            self.assertEqual(vm.wait_exit(), 1)


if __name__ == "__main__":
    run_tests()
