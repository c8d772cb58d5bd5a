#!/usr/bin/env python3
"""What single devices carry across a capture, and what a guest is told of it.

Usage: test_snapshot_devices.py WISP GUEST_DIR [unittest arguments]
"""
import random
import re
import time

from monitor import drive, make_disk
from probe import Probe, run_tests, wait_until
from snapshots import Clone, Files, SnapshotTest, capture, pause, resume

MEMORY_MIB = 64
VM_GEN_ID_LINE, VM_CLOCK_LINE = 22, 23


class Generation(SnapshotTest):
    """The guest's own view: bytes of the VM generation ID, VMClock's counters, interrupts of one line."""

    def look(self, vm):
        found = re.search(r"id=(\S+) marker=(\S+) counter=(\S+) interrupts=(\d+)", vm.order("look"))
        identifier, marker, counter, interrupts = found.groups()
        return identifier, int(marker, 16), int(counter, 16), int(interrupts)

    def check(self, line):
        with Probe("generation", boot_args=f"line={line}", memory_mib=MEMORY_MIB) as vm:
            before = self.look(vm)
            self.assertNotEqual(before[0], "0x0.0x0")
            self.assertEqual(before[3], 0)
            capture(vm, self.files)
            resume(vm)
            self.assertEqual(self.look(vm), before, "the original is no other machine")
            vm.finish()
        seen = [before[0]]
        for _ in range(2):
            with Clone() as clone:
                self.assert_loaded(clone.load(self.files))
                wait_until(lambda vm=clone: self.look(vm)[3] == 1, "the notification")
                identifier, marker, counter, _ = self.look(clone)
                self.assertNotIn(identifier, seen)
                self.assertEqual((marker, counter), (before[1] + 1, before[2] + 1))
                seen.append(identifier)
                pause(clone), resume(clone)
                self.assertEqual(self.look(clone)[3], 1, "told once")
                second = Files(self.directory, f"second{len(seen)}")
                capture(clone, second)
            with Clone() as grandchild:
                self.assert_loaded(grandchild.load(second))
                wait_until(lambda vm=grandchild: self.look(vm)[3] == 2, "the second notification")
                identifier, marker, _, _ = self.look(grandchild)
                self.assertNotIn(identifier, seen)
                self.assertEqual(marker, before[1] + 2)
                grandchild.finish()

    def test_the_identifier_is_another_in_each_clone_and_its_line_is_raised_once(self):
        self.check(VM_GEN_ID_LINE)

    def test_the_line_of_the_clock_device_is_raised_once(self):
        self.check(VM_CLOCK_LINE)


class Clock(SnapshotTest):
    """The paravirtual clock of a clone: it goes on from the capture, or jumps to now when the load asks for it."""

    GAP_S, SLACK_S = 6, 2.5

    def look(self, vm):
        """The guest's clock and the host's, in seconds."""
        return int(re.search(r"ns=(\S+)", vm.order("look")).group(1), 16) / 1e9, time.monotonic()

    def test_it_goes_on_from_the_capture_or_jumps_to_now(self):
        with Probe("clock", memory_mib=MEMORY_MIB) as vm:
            guest, host = self.look(vm)
            guest_later, host_later = self.look(vm)
            self.assertAlmostEqual(guest_later - guest, host_later - host, delta=self.SLACK_S)
            capture(vm, self.files)
        time.sleep(self.GAP_S)
        for jumps in (False, True):
            with self.subTest(jumps=jumps), Clone() as clone:
                answer = clone.load(self.files, clock_realtime=jumps)
                if jumps and "not present in the snapshot state" in answer.body:
                    self.skipTest("this KVM keeps no wall-clock time with its clock (no KVM_CLOCK_REALTIME)")
                self.assert_loaded(answer)
                guest_now, host_now = self.look(clone)
                passed, passed_there = host_now - host_later, guest_now - guest_later
                if jumps:
                    self.assertAlmostEqual(passed_there, passed, delta=self.SLACK_S)
                else:
                    self.assertGreaterEqual(passed_there, 0, "time went back")
                    self.assertLess(passed_there, passed - self.GAP_S + self.SLACK_S)
                clone.finish()


class Balloon(SnapshotTest):
    DEVICES = {"/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                            "free_page_hinting": True, "free_page_reporting": True}}

    def test_what_was_given_back_stays_given_back_in_the_clone(self):
        with Probe("balloon_probe", self.DEVICES, memory_mib=256) as vm:
            vm.patch("/balloon", {"amount_mib": 128})
            vm.order("touch 128")
            vm.order("inflate 128")
            capture(vm, self.files)
        self.assertLess(self.files.memory.stat().st_blocks * 512, 16 << 20, "given back memory is in the file")
        with Clone() as clone:
            self.assert_loaded(clone.load(self.files))
            self.assertIn("target=32768 actual=32768", clone.order("look"))
            self.assertEqual(clone.call("GET", "/balloon").json()["amount_mib"], 128)
            self.assertLess(clone.resident_kib(), 48 << 10)
            clone.order("zero 128")  # looks at every 64th page
            clone.patch("/balloon", {"amount_mib": 0})
            self.assertIn("target=0 actual=0", clone.order("deflate 128"))
            clone.order("touch 128")
            self.assertGreater(clone.resident_kib(), 128 << 10)
            clone.finish()

    def test_the_timer_of_the_statistics_goes_on(self):
        with Probe("balloon_probe", self.DEVICES, memory_mib=128) as vm:
            vm.order("statistics")
            wait_until(lambda: vm.call("GET", "/balloon/statistics").json().get("free_memory") == 12345, "the values")
            capture(vm, self.files)
        with Clone() as clone:
            self.assert_loaded(clone.load(self.files))
            self.assertEqual(clone.call("GET", "/balloon").json()["stats_polling_interval_s"], 1)
            # The buffer that the guest gave before the capture comes back when the interval has passed.
            self.assertIn("asked=1", clone.order("statistics"))
            self.assertEqual(clone.call("GET", "/balloon/statistics").json()["total_memory"], 67890)
            clone.finish()


class Serial(SnapshotTest):
    def test_input_that_the_guest_has_not_read_yet_is_read_in_the_clone(self):
        make_disk(self.directory / "disk", 64)
        with Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk")}, memory_mib=MEMORY_MIB) as vm:
            vm.send_order("reads 5000")  # it looks at its serial line again when it has done this
            wait_until(lambda: vm.orders_under_way() == 0, "the order")
            vm.send_order("read 3")
            wait_until(lambda: vm.orders_under_way() == 0, "the next one")
            self.assertNotIn("reads done", capture(vm, self.files))
        with Clone() as clone:
            self.assert_loaded(clone.load(self.files))
            clone.wait_next("read done")  # nobody has typed anything here
            clone.finish()


class Resets(SnapshotTest):
    def test_a_reset_that_is_half_done_comes_to_its_end(self):
        dice = random.Random(7)
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine):
                data = make_disk(self.directory / "disk", 64)
                vm = Probe("drive_probe", {"/drives/d": drive("d", self.directory / "disk", io_engine=engine)},
                           memory_mib=16).__enter__()
                try:
                    vm.send_order("resets")
                    for _ in range(15):
                        time.sleep(dice.random() * 0.01)
                        capture(vm, self.files)
                        vm.__exit__()
                        vm = Clone()
                        self.assert_loaded(vm.load(self.files))
                    vm._seen = 0
                    vm.send_order("read 0")
                    vm.wait_next("resets done")
                    self.assertGreater(int(re.search(r"resets=(\d+)", vm.output()).group(1)), 15)
                    vm.wait_next("read done")
                    vm.finish()
                finally:
                    vm.__exit__()
                self.assertEqual((self.directory / "disk").read_bytes(), data)


if __name__ == "__main__":
    run_tests()
