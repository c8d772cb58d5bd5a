#!/usr/bin/env python3
"""Snapshots: captured, restored, cloned, merged, refused, with guests of our own.

Usage: test_snapshot.py WISP GUEST_DIR [unittest arguments]
WISP_UFFD_HANDLER: the program uffd_handler; without it the test of page fault handlers is skipped.
"""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

import network
import probe
from monitor import Monitor, drive, make_disk
from probe import Probe, run_tests, wait_until

MIB = 1 << 20
MEMORY_MIB = 64
RESTORE_FAILED = "Load snapshot error: Failed to restore from snapshot: "
REFUSAL = None


def setUpModule():
    global REFUSAL
    REFUSAL = network.enter_own_network()


def counts(text):
    """The numbers that the guest counter printed; a last line that is not complete does not count."""
    return [int(number) for number in re.findall(r"^count (\d+)\n", text, re.M)]


def block_sum(data):
    plain, weighted = 1, 0
    for byte in data:
        plain = plain + byte & 0xFFFFFFFF
        weighted = weighted + plain & 0xFFFFFFFF
    return (weighted << 16 & 0xFFFFFFFF) ^ plain


def crc64_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0xC96C5795D7870F42 if byte & 1 else 0)
        table.append(byte)
    return table


CRC64 = crc64_table()


def crc64(data):
    crc = 2**64 - 1
    for byte in data:
        crc = (crc >> 8) ^ CRC64[(crc ^ byte) & 0xFF]
    return crc ^ (2**64 - 1)


def forge(data):
    """The state file with checksums that fit what it says now (docs/snapshot-format.md)."""
    data = bytearray(data)
    at = struct.unpack_from("<Q", data, 64)[0]
    while at < len(data):
        name_len, data_len = struct.unpack_from("<HI", data, at)
        end = at + 6 + name_len + data_len
        struct.pack_into("<Q", data, end, crc64(data[at:end]))
        at = end + 8
    struct.pack_into("<Q", data, 88, crc64(data[128:]))
    struct.pack_into("<Q", data, 120, crc64(data[:120]))
    return bytes(data)


def section_data(data):
    """Where the sections' data lie: (start, end)."""
    places, at = [], struct.unpack_from("<Q", data, 64)[0]
    while at < len(data):
        name_len, data_len = struct.unpack_from("<HI", data, at)
        places.append((at + 6 + name_len, at + 6 + name_len + data_len))
        at = places[-1][1] + 8
    return places


class Clone(Probe):
    """A monitor without a machine: `load` gives it one. Its guest takes orders on, like a Probe's."""

    def __init__(self):
        # The log away from the serial output from the first line on, and relative to the monitor's own directory.
        super().__init__("", arguments=("--log-path", "log", "--level", "Warn", "--metrics-path", "metrics"))
        self.metrics_path = self.directory / "metrics"

    def __enter__(self):
        return self

    def load(self, files, resume=True, backend="File", backend_path=None, **more):
        body = {"snapshot_path": str(files.state), "resume_vm": resume, **more,
                "mem_backend": {"backend_type": backend, "backend_path": str(backend_path or files.memory)}}
        return self.call("PUT", "/snapshot/load", body)


class Files:
    """The two files of a snapshot in a directory."""

    def __init__(self, directory, name="snap"):
        self.state, self.memory = pathlib.Path(directory) / f"{name}.state", pathlib.Path(directory) / f"{name}.mem"

    def body(self, kind="Full"):
        return {"snapshot_type": kind, "snapshot_path": str(self.state), "mem_file_path": str(self.memory)}


def pause(vm):
    vm.patch("/vm", {"state": "Paused"})


def resume(vm):
    vm.patch("/vm", {"state": "Resumed"})


def state_of(vm):
    return vm.call("GET", "/").json()["state"]


def capture(vm, files, kind="Full"):
    pause(vm)
    vm.put("/snapshot/create", files.body(kind))
    return vm.output()


class SnapshotTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="wisp-snap-")
        self.addCleanup(temporary.cleanup)
        self.directory = pathlib.Path(temporary.name)
        self.files = Files(self.directory)

    def assert_loaded(self, answer):
        self.assertEqual(answer.status, 204, answer)

    def assert_refused(self, answer, text):
        self.assertEqual(answer.status, 400, answer)
        self.assertIn(text, answer.body)

    def count_on(self, vm, before, more=5):
        """What was printed before and what vm prints since are all numbers from 0 on, each once."""
        wait_until(lambda: len(counts(before + vm.output())) > len(counts(before)) + more, "more numbers")
        numbers = counts(before + vm.output())
        self.assertEqual(numbers, list(range(len(numbers))))
        return len(numbers)


class Counting(SnapshotTest):
    def test_clones_and_the_original_go_on_where_it_was_captured(self):
        for vcpus in (1, 2):
            with self.subTest(vcpus=vcpus), Probe("counter", vcpus=vcpus) as vm:
                wait_until(lambda: len(counts(vm.output())) > 20, "the guest counts")
                before = capture(vm, self.files)
                with Clone() as one, Clone() as two:
                    self.assert_loaded(one.load(self.files))
                    self.assert_loaded(two.load(self.files))
                    self.count_on(one, before)
                    pause(one)
                    reached = self.count_on(two, before)
                    stood = one.output()
                    self.assertEqual(vm.output(), before, "the original is paused")
                    resume(vm)
                    self.count_on(vm, "", len(counts(before)) + 5)
                    self.count_on(two, before, reached)
                    self.assertEqual(one.output(), stood)
                    resume(one)
                    self.count_on(one, before, len(counts(stood)) + 5)

    def test_captured_again_and_again_nothing_is_lost_or_repeated(self):
        with Probe("counter") as vm:
            wait_until(lambda: len(counts(vm.output())) > 5, "the guest counts")
            before = capture(vm, self.files)
        for generation in range(12):
            with Clone() as vm:
                self.assert_loaded(vm.load(self.files, track_dirty_pages=generation % 2 == 0))
                self.count_on(vm, before, 3)
                self.files = Files(self.directory, f"g{generation}")
                before += capture(vm, self.files)
        numbers = counts(before)
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_loaded_paused_it_waits_and_pause_and_resume_may_be_repeated(self):
        with Probe("counter") as vm:
            before = capture(vm, self.files)
        with Clone() as vm:
            self.assertEqual(state_of(vm), "Not started")
            self.assert_loaded(vm.load(self.files, resume=False))
            self.assertEqual(state_of(vm), "Paused")
            pause(vm)
            self.assertEqual((state_of(vm), vm.output()), ("Paused", ""))
            resume(vm)
            resume(vm)
            self.assertEqual(state_of(vm), "Running")
            self.count_on(vm, before)
            pause(vm)
            pause(vm)
            stood = vm.output()
            self.assertEqual(state_of(vm), "Paused")
            self.assertEqual(vm.output(), stood)
            resume(vm)
            self.count_on(vm, before, len(counts(stood)) + 5)

    def test_latencies_are_in_the_metrics(self):
        with Probe("counter") as vm:
            capture(vm, self.files)
            vm.put("/snapshot/create", Files(self.directory, "diff").body("Diff"))
            for name in ("full_create_snapshot", "diff_create_snapshot", "pause_vm"):
                self.assertGreater(vm.metric("latencies_us", name), 0, name)
                self.assertGreater(vm.metric("latencies_us", "vmm_" + name), 0, name)
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, resume=False))
            resume(vm)
            for name in ("load_snapshot", "resume_vm"):
                self.assertGreater(vm.metric("latencies_us", name), 0, name)
                self.assertGreater(vm.metric("latencies_us", "vmm_" + name), 0, name)


class EveryDevice(SnapshotTest):
    """A machine with one device of each kind, whose drive the guest uses."""

    def devices(self, home, tap=None):
        make_disk(home / "disk", 64)
        (home / "pmem").write_bytes(bytes(2 * MIB))
        devices = {
            "/drives/d": drive("d", home / "disk"),
            "/entropy": {},
            "/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1},
            "/vsock": {"guest_cid": 3, "uds_path": str(home / "v.sock")},
            "/hotplug/memory": {"total_size_mib": 256},
            "/pmem/p": {"id": "p", "path_on_host": str(home / "pmem")},
        }
        if tap:
            devices["/network-interfaces/n"] = {"iface_id": "n", "host_dev_name": tap}
        return devices

    def overrides(self, place, tap=None):
        return {"drive_overrides": [{"id": "d", "path_on_host": str(place / "disk")}],
                "pmem_overrides": [{"id": "p", "path_on_host": str(place / "pmem")}],
                "vsock_override": {"uds_path": str(place / "v.sock")},
                "network_overrides": [{"iface_id": "n", "host_dev_name": tap}] if tap else []}

    def copy(self, home, name):
        place = self.directory / name
        place.mkdir()
        for file in ("disk", "pmem"):
            shutil.copy(home / file, place / file)
        return place

    def test_clones_live_where_none_of_the_original_paths_exist(self):
        home = self.directory / "home"
        home.mkdir()
        taps = [None] * 3 if REFUSAL else ["snap0", "snap1", "snap2"]
        for number, tap in enumerate(filter(None, taps)):
            network.make_tap(tap, f"10.78.{number}.1")
            self.addCleanup(network.remove_tap, tap)
        with Probe("drive_probe", self.devices(home, taps[0]), memory_mib=MEMORY_MIB) as vm:
            vm.order("write 3 77")
            capture(vm, self.files)
            wanted = vm.call("GET", "/vm/config").json()
            places = [self.copy(home, f"clone{number}") for number in range(2)]
        shutil.rmtree(home)
        with Clone() as one, Clone() as two:
            for vm, place, tap in ((one, places[0], taps[1]), (two, places[1], taps[2])):
                self.assert_loaded(vm.load(self.files, **self.overrides(place, tap)))
                self.assertTrue((place / "v.sock").is_socket())
                self.assertIn(f"sum={block_sum(bytes([77]) * 512)}", vm.order("read 3"))
                self.check_config(vm, wanted, place, tap)
                vm.order(f"write 5 {len(str(place))}")
            one.order("write 6 11")
            two.order("write 6 22")
            self.assertIn(f"sum={block_sum(bytes([11]) * 512)}", one.order("read 6"))
            self.assertIn(f"sum={block_sum(bytes([22]) * 512)}", two.order("read 6"))
            for vm, place, byte in ((one, places[0], 11), (two, places[1], 22)):
                self.assertEqual((place / "disk").read_bytes()[6 * 512:7 * 512], bytes([byte]) * 512)
                self.assertEqual(vm.call("GET", "/balloon").json()["amount_mib"], 0)
                self.assertEqual(vm.call("GET", "/hotplug/memory").json()["total_size_mib"], 256)
                vm.finish()

    def check_config(self, vm, wanted, place, tap):
        got, wanted = vm.call("GET", "/vm/config").json(), json.loads(json.dumps(wanted))
        wanted["drives"][0]["path_on_host"] = str(place / "disk")
        wanted["pmem"][0]["path_on_host"] = str(place / "pmem")
        wanted["vsock"]["uds_path"] = str(place / "v.sock")
        if tap:
            wanted["network-interfaces"][0]["host_dev_name"] = tap
        for name in ("logger", "metrics"):  # of the process, not of the machine
            got.pop(name, None), wanted.pop(name, None)
        self.assertEqual(got, wanted)

    def test_what_a_clone_writes_to_its_copy_does_not_reach_the_original(self):
        with Probe("drive_probe", self.devices(self.directory)) as vm:
            capture(vm, self.files)
            original = (self.directory / "disk").read_bytes()
            place = self.copy(self.directory, "clone")
            with Clone() as clone:
                self.assert_loaded(clone.load(self.files, **self.overrides(place)))
                clone.order("write 0 99")
                clone.finish()
            self.assertEqual((self.directory / "disk").read_bytes(), original)
            self.assertEqual((place / "disk").read_bytes(), bytes([99]) * 512 + original[512:])
            resume(vm)
            self.assertIn(f"sum={block_sum(original[:512])}", vm.order("read 0"))
            vm.finish()

    def test_a_guest_in_the_middle_of_reading_goes_on(self):
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine):
                data = make_disk(self.directory / "disk", 64)
                with Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk", io_engine=engine)}) as vm:
                    vm.send_order("spin")
                    time.sleep(0.02)
                    capture(vm, self.files)
                for _ in range(8):
                    with Clone() as vm:
                        self.assert_loaded(vm.load(self.files))
                        time.sleep(0.01)
                        self.assertIn(" kinds=1\n", vm.order("stop"))
                        self.assertIn(f"sum={block_sum(data[-512:])}", vm.order("read 63"))
                        pause(vm)
                        resume(vm)
                        vm.send_order("spin")
                        time.sleep(0.01)
                        capture(vm, self.files)

    def test_overrides_of_devices_that_are_not_there_are_refused(self):
        with Probe("counter") as vm:
            capture(vm, self.files)
        attempts = (("drive_overrides", [{"id": "x", "path_on_host": "/x"}], "Unknown Drive. (id 'x')"),
                    ("pmem_overrides", [{"id": "x", "path_on_host": "/x"}], "Unknown Pmem Device. (id 'x')"),
                    ("network_overrides", [{"iface_id": "x", "host_dev_name": "y"}], "Unknown Network Device."),
                    ("vsock_override", {"uds_path": "/x"}, "Unknown Vsock Device."))
        for name, body, text in attempts:
            with self.subTest(name), Clone() as vm:
                self.assert_refused(vm.load(self.files, **{name: body}), text)
                self.assertEqual(vm.wait_exit(), 1)

    def test_plugged_memory_and_its_contents_come_back(self):
        devices = {"/hotplug/memory": {"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128}, "/entropy": {}}
        with Probe("mem_probe", devices) as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 128})
            self.assertIn("plugged=128", vm.order("plug 0 64"))
            self.assertIn("held 1", vm.order("fill 5"))
            word = re.search(r"word (\w+)", vm.order("look 5")).group(1)
            capture(vm, self.files)
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, track_dirty_pages=True))
            self.assertEqual(vm.call("GET", "/hotplug/memory").json()["plugged_size_mib"], 128)
            self.assertIn(f"word {word}", vm.order("look 5"))
            self.assertIn("held 1", vm.order("fill 6"))
            self.assertIn("plugged=126", vm.order("unplug 63 1"))
            pause(vm)
            full, diff = Files(self.directory, "full"), Files(self.directory, "diff")
            vm.put("/snapshot/create", diff.body("Diff"))
            vm.put("/snapshot/create", full.body())
            subprocess.run([probe.WISP, "snapshot", "merge", self.files.memory, diff.memory], check=True)
            self.assertEqual(self.files.memory.read_bytes(), full.memory.read_bytes())


class Diffs(SnapshotTest):
    """In one pause: the diff since the last full snapshot, and a full one. Merged, they are the same."""

    def disturb(self, vm, dice):
        """Guest and device write: sums and rings by the one, sectors into the guest's buffer by the other."""
        for _ in range(dice.randrange(1, 5)):
            vm.order(f"write {dice.randrange(64)} {dice.randrange(256)}")
            vm.order(f"read {dice.randrange(64)}")

    def merge(self, base, diff):
        subprocess.run([probe.WISP, "snapshot", "merge", base.memory, diff.memory], check=True)
        return base.memory.read_bytes()

    def follow(self, vm, base, tracked, dice):
        """Three times: more writes, then the diff merged by the command and by the monitor against a full file."""
        for step in range(3):
            resume(vm)
            self.disturb(vm, dice)
            pause(vm)
            onto = Files(self.directory, "onto")
            shutil.copy(base.memory, onto.memory)
            full, diff = Files(self.directory, f"full{step}"), Files(self.directory, f"diff{step}")
            vm.put("/snapshot/create", diff.body("Diff"))
            vm.put("/snapshot/create", full.body())
            wanted = full.memory.read_bytes()
            self.assertEqual(diff.memory.stat().st_size, len(wanted))
            if tracked:
                self.assertLess(diff.memory.stat().st_blocks * 512, MIB, "a diff holds what changed")
            self.assertTrue(self.merge(onto, diff) == wanted, "diff merged onto its base is not the full snapshot")
            base = full
        return base

    def test_merged_onto_its_base_a_diff_is_the_full_snapshot(self):
        for tracked in (True, False):
            with self.subTest(tracked=tracked):
                dice = random.Random(7)
                make_disk(self.directory / "disk", 64)
                devices = {"/drives/d": drive("d", self.directory / "disk"),
                           "/machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB,
                                               "track_dirty_pages": tracked}}
                with Probe("drive_probe", devices) as vm:
                    base = Files(self.directory, "base")
                    capture(vm, base)
                    last = self.follow(vm, base, tracked, dice)
                with Clone() as vm:
                    self.assert_loaded(vm.load(last, resume=False, track_dirty_pages=tracked))
                    self.follow(vm, Files(self.directory, "full2"), tracked, dice)

    def test_written_over_the_base_a_diff_makes_it_the_full_snapshot(self):
        make_disk(self.directory / "disk", 64)
        devices = {"/drives/d": drive("d", self.directory / "disk"),
                   "/machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB, "track_dirty_pages": True}}
        with Probe("drive_probe", devices) as vm:
            capture(vm, self.files)
            resume(vm)
            self.disturb(vm, random.Random(3))
            capture(vm, self.files, "Diff")
            full = Files(self.directory, "full")
            vm.put("/snapshot/create", full.body())
            self.assertTrue(self.files.memory.read_bytes() == full.memory.read_bytes())
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files))
            self.assertIn("sum=", vm.order("read 1"))
            vm.finish()


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
        for words, code in ((("snapshot", "describe", self.files.state), 0), (("snapshot", "check", self.files.state), 0),
                            (("--describe-snapshot", self.files.state), 0),
                            (("snapshot", "describe", self.files.memory), 1), (("snapshot", "check", "/none"), 1),
                            (("snapshot", "merge", self.files.memory, self.files.state), 1), (("snapshot",), 153)):
            with self.subTest(words):
                done = subprocess.run([probe.WISP, *words], capture_output=True, text=True)
                self.assertEqual(done.returncode, code, done)
                self.assertTrue(done.stdout if code == 0 else done.stderr)


class PageFaultHandler(SnapshotTest):
    @unittest.skipUnless(os.environ.get("WISP_UFFD_HANDLER"), "WISP_UFFD_HANDLER names no program")
    def test_memory_comes_page_by_page_from_a_handler(self):
        with Probe("counter") as vm:
            wait_until(lambda: len(counts(vm.output())) > 20, "the guest counts")
            before = capture(vm, self.files)
        path = self.directory / "pages.sock"
        handler = subprocess.Popen([os.environ["WISP_UFFD_HANDLER"], path, self.files.memory], stdout=subprocess.PIPE)
        self.addCleanup(handler.stdout.close)
        self.addCleanup(handler.wait)
        self.addCleanup(handler.kill)
        wait_until(path.exists, "the handler listens")
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

    def test_a_handler_that_is_not_there_is_a_failed_load(self):
        with Probe("counter") as vm:
            capture(vm, self.files)
        with Clone() as vm:
            answer = vm.load(self.files, backend="Uffd", backend_path="/nowhere/pages.sock")
            self.assert_refused(answer, "Failed to connect to UDS Unix stream: ")
            self.assertEqual(vm.wait_exit(), 1)


if __name__ == "__main__":
    run_tests()
