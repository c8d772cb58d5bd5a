#!/usr/bin/env python3
"""Snapshots: captured, restored, cloned and merged, with guests of our own.

Usage: test_snapshot.py WISP GUEST_DIR [unittest arguments]
"""
import json
import random
import re
import shutil
import socket
import subprocess
import time

import network
import probe
from monitor import drive, make_disk
from probe import Probe, run_tests, wait_until
from snapshots import Clone, Files, SnapshotTest, capture, counts, pause, resume, state_of

MIB = 1 << 20
MEMORY_MIB = 64
GENERATIONS = 25
REFUSAL = None


def setUpModule():
    global REFUSAL
    REFUSAL = network.enter_own_network()


def block_sum(data):
    plain, weighted = 1, 0
    for byte in data:
        plain = plain + byte & 0xFFFFFFFF
        weighted = weighted + plain & 0xFFFFFFFF
    return (weighted << 16 & 0xFFFFFFFF) ^ plain


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

    def test_a_write_is_done_once_wherever_the_machine_was_captured(self):
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine):
                self.write_through_generations(engine, random.Random(5))

    def write_through_generations(self, engine, dice):
        """Each machine gets an order and is captured while it does it; the next one goes on with it."""
        data = bytearray(make_disk(self.directory / "disk", 64))
        vm = Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk", io_engine=engine)})
        vm.__enter__()
        try:
            for generation in range(GENERATIONS):
                sector, byte = dice.randrange(64), dice.randrange(256)
                seen = len(vm.output())
                vm.send_order(f"write {sector} {byte}")
                wait_until(lambda: vm.orders_under_way() == 0, "the monitor takes the order")
                time.sleep(dice.random() * 0.003)
                files = Files(self.directory, f"generation{generation % 2}")
                printed = capture(vm, files)[seen:]
                vm.__exit__()
                vm = Clone()
                self.assert_loaded(vm.load(files, track_dirty_pages=generation % 3 == 0))
                wait_until(lambda: "write done" in printed + vm.output(), "the order is carried out")
                data[sector * 512:sector * 512 + 512] = bytes([byte]) * 512
                self.assertEqual((self.directory / "disk").read_bytes(), data)
        finally:
            vm.__exit__()

    def test_requests_that_wait_for_a_rate_limiter_are_served_after_the_load(self):
        make_disk(self.directory / "disk", 64)
        limiter = {"ops": {"size": 5, "refill_time": 300}}
        with Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk", rate_limiter=limiter)}) as vm:
            vm.send_order("reads 12")
            wait_until(lambda: vm.metric("block", "rate_limiter_throttled_events") > 0, "the drive is throttled")
            capture(vm, self.files)
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files))
            vm.wait_next("reads done")
            vm.finish()

    def test_a_guest_serves_vsock_on_the_new_path_and_on_the_old(self):
        with Probe("vsock_probe", {"/vsock": {"guest_cid": 3, "uds_path": str(self.directory / "old")}}) as vm:
            self.echo(self.directory / "old", b"before")
            capture(vm, self.files)
            with Clone() as clone:
                new = self.directory / "new"
                self.assert_loaded(clone.load(self.files, vsock_override={"uds_path": str(new)}))
                self.echo(new, b"clone")
                resume(vm)
                self.echo(self.directory / "old", b"original")
                self.echo(new, b"clone again")
                clone.finish()
            vm.finish()

    def test_the_original_keeps_its_vsock_connection_which_the_clone_does_not_have(self):
        with Probe("vsock_probe", {"/vsock": {"guest_cid": 3, "uds_path": str(self.directory / "old")}}) as vm:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(str(self.directory / "old"))
                client.sendall(b"CONNECT 52\n")
                stream = client.makefile("rb")
                self.assertRegex(stream.readline(), rb"^OK \d+\n$")
                capture(vm, self.files)
                client.sendall(b"while it is paused")
                with Clone() as clone:
                    self.assert_loaded(clone.load(self.files, vsock_override={"uds_path": str(self.directory / "new")}))
                    self.echo(self.directory / "new", b"another")
                    clone.finish()
                resume(vm)
                self.assertEqual(stream.read(18), b"while it is paused")
            vm.finish()

    def echo(self, path, data):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(path))
            client.sendall(b"CONNECT 52\n")
            stream = client.makefile("rb")
            self.assertRegex(stream.readline(), rb"^OK \d+\n$")
            client.sendall(data)
            self.assertEqual(stream.read(len(data)), data)

    def test_clones_get_entropy_of_their_own(self):
        with Probe("rng_probe", {"/entropy": {}}) as vm:
            vm.order("fill 64 1")
            capture(vm, self.files)
        sums = []
        for _ in range(2):
            with Clone() as vm:
                self.assert_loaded(vm.load(self.files))
                sums += re.findall(r"got 64 sum=(\d+)", vm.order("fill 64 3"))
        self.assertEqual((len(sums), len(set(sums))), (6, 6))

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
        devices = {"/hotplug/memory": {"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128},
                   "/entropy": {}}
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


if __name__ == "__main__":
    run_tests()
