#!/usr/bin/env python3
"""A machine that works with its drive and its network is captured at 200 random points, and goes on somewhere else.

Usage: test_snapshot_points.py WISP GUEST_DIR [unittest arguments]
WISP_SEED: the seed of an earlier run, which prints it.

What is compared, with an undisturbed run of as many rounds (tests/guest/journey.c):
- drive: the guest sees each chain come back once with the right length, and reads what it wrote last; the host sees the
  same file contents at the end, and, over all monitors, exactly as many reads and writes as the guest has made;
- network: the guest sends numbered frames, and the host sees all of them, in order, once. The host sends each back, and
  the guest sees all of them, in order, once. The TAP interface stays open over all captures (it is handed on as a
  descriptor), so there is no moment in which the host's kernel would drop a frame, and none may be missing.
"""
import fcntl
import os
import random
import socket
import struct
import threading
import time

import network
import probe
from monitor import drive
from probe import Probe, run_tests
from snapshots import Clone, Files, SnapshotTest, capture, pause, resume

SEED = int(os.environ.get("WISP_SEED", time.time_ns() % 1000000))
FRAME_TYPE = 0x88B6
SECTORS = 64
LANES = 4
MEMORY_MIB = 16
TAP = "points0"
LONGEST_RUN_S = 0.012


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = network.IFF_TAP | network.IFF_NO_PI | network.IFF_VNET_HDR
    fcntl.ioctl(tap, network.TUNSETIFF, struct.pack("16sH14x", name.encode(), flags))
    return tap


class Echo:
    """Sends each test frame back, in the order of arrival, and keeps their numbers."""

    def __init__(self, tap):
        self.numbers = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(FRAME_TYPE))
        self._socket.bind((tap, FRAME_TYPE))
        self._socket.settimeout(0.1)
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._ended:
            try:
                frame = self._socket.recv(2048)
            except TimeoutError:
                continue
            self.numbers.append(struct.unpack_from("<I", frame, 14)[0])
            self._socket.send(frame)

    def close(self):
        self._ended = True
        self._thread.join()
        self._socket.close()


class Points(SnapshotTest):
    def setUp(self):
        super().setUp()
        self.disk = self.directory / "disk"
        network.make_tap(TAP)
        self.addCleanup(network.remove_tap, TAP)
        self.counts = {"read_count": 0, "write_count": 0, "tx_packets_count": 0, "rx_packets_count": 0}

    def devices(self, engine, limiter):
        self.disk.write_bytes(bytes(SECTORS * 512))
        limits = {"rate_limiter": limiter} if limiter else {}
        return {"/drives/d": drive("d", self.disk, io_engine=engine, **limits),
                "/machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB, "track_dirty_pages": True},
                "/network-interfaces/n": {"iface_id": "n", "host_dev_name": TAP,
                                          **({"tx_rate_limiter": limiter} if limiter else {})}}

    def load_body(self, files):
        return {"snapshot_path": str(files.state), "mem_backend": {"backend_type": "File",
                                                                   "backend_path": str(files.memory)},
                "network_overrides": [{"iface_id": "n", "descriptor": 0}], "track_dirty_pages": True}

    def count(self, vm):
        """To be called once, while nothing can happen any more or before the process is killed."""
        for name in ("read_count", "write_count"):
            self.counts[name] += vm.metric("block", name)
        for name in ("tx_packets_count", "rx_packets_count"):
            self.counts[name] += vm.last_metrics("net", name)

    def next_clone(self, vm, files, tap):
        """The machine of `vm`, which is captured, in a new process."""
        self.count(vm)
        vm.__exit__()
        clone = Clone()
        self.addCleanup(lambda: clone.process.poll() is None and clone.__exit__())
        self.assert_loaded(clone.call("PUT", "/snapshot/load", self.load_body(files), [tap]))
        return clone

    def journey(self, points, dice, engine, limiter=None):
        """Where the guest came to in a run that is disturbed at so many points, and what host and guest saw."""
        with Probe("journey", self.devices(engine, limiter), memory_mib=MEMORY_MIB) as first:
            capture(first, self.files)  # before any traffic: from here on the test holds the TAP open
        tap = open_tap(TAP)
        echo = Echo(TAP)
        try:
            vm = Clone()
            self.addCleanup(lambda: vm.process.poll() is None and vm.__exit__())
            self.assert_loaded(vm.call("PUT", "/snapshot/load", self.load_body(self.files), [tap]))
            resume(vm)
            vm.order("go")
            for point in range(points):
                time.sleep(dice.random() * LONGEST_RUN_S)
                vm = self.disturb(vm, dice, tap)
                self.assertIsNone(vm.process.poll(), f"point {point}: {vm.output()}")
            vm._seen = len(vm.output())
            vm.send_order("stop")
            return self.finish(vm, echo)
        finally:
            echo.close()
            os.close(tap)

    def disturb(self, vm, dice, tap):
        kind = dice.choice(("move", "move", "move", "stay", "diff", "pause"))
        pause(vm)
        if kind != "pause":
            vm.put("/snapshot/create", self.files.body("Diff" if kind == "diff" else "Full"))
        if kind in ("move", "diff"):
            vm = self.next_clone(vm, self.files, tap)
        resume(vm)
        return vm

    def finish(self, vm, echo):
        line = self.last_line(vm)
        for name in ("read_count", "write_count"):
            self.counts[name] += vm.last_metrics("block", name)
        for name in ("tx_packets_count", "rx_packets_count"):
            self.counts[name] += vm.last_metrics("net", name)
        vm.__exit__()
        values = dict(word.split("=") for word in line.split()[1:])
        return line, int(values["rounds"]), list(echo.numbers), self.disk.read_bytes()

    def last_line(self, vm):
        """What the guest printed at its end, which is now."""
        self.assertEqual(vm.wait_exit(), 0, vm.output())
        self.assertIn("GUEST-DONE", vm.output())
        return next(text for text in vm.output().splitlines() if text.startswith("journey: rounds="))

    def undisturbed(self, rounds, engine):
        echo = Echo(TAP)
        try:
            devices = self.devices(engine, None)
            with Probe("journey", devices, boot_args=f"rounds={rounds}", memory_mib=MEMORY_MIB) as vm:
                vm.order("go")
                line = self.last_line(vm)
            return line, rounds, list(echo.numbers), self.disk.read_bytes()
        finally:
            echo.close()

    def check(self, points, engine, limiter=None):
        print(f"seed {SEED}", end=" ", flush=True)
        dice = random.Random(f"{SEED} {engine} {limiter}")
        disturbed = self.journey(points, dice, engine, limiter)
        rounds = disturbed[1]
        self.assertGreater(rounds, points // 4, "the guest has hardly run")
        self.assertEqual(self.counts, {"read_count": rounds * LANES, "write_count": rounds * LANES,
                                       "tx_packets_count": rounds, "rx_packets_count": rounds})
        self.assertEqual(disturbed[2], list(range(rounds)), "frames of the guest")
        plain = self.undisturbed(rounds, engine)
        self.assertEqual(disturbed[0], plain[0], "what the guest saw")
        self.assertEqual(disturbed[2], plain[2], "what the host saw of the network")
        self.assertEqual(disturbed[3], plain[3], "what the host saw of the drive")
        print(f"{rounds} rounds", end=" ", flush=True)

    def test_eighty_points_with_a_drive_of_the_sync_engine(self):
        self.check(80, "Sync")

    def test_eighty_points_with_a_drive_of_the_async_engine(self):
        self.check(80, "Async")

    def test_forty_points_with_rate_limiters_that_hold_requests_back(self):
        self.check(40, "Sync", {"ops": {"size": 20, "refill_time": 50}})


if __name__ == "__main__":
    run_tests(network.enter_own_network)
