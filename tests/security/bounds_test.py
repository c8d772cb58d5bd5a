#!/usr/bin/env python3
"""The bounds of docs/confinement.md, each measured while a guest of ours attacks every kind of device of a jailed monitor and
a client floods the API and the vsock socket.

Usage: bounds_test.py WISP GUEST_DIR [unittest arguments]
"""
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import network  # noqa: E402
import probe  # noqa: E402
from jailed import Jails  # noqa: E402
from test_hostile_devices import Attack  # noqa: E402

VICTIMS = ("net", "vsock", "rng", "balloon", "pmem", "mem")
OWN_KIB = 5 * 1024
MAX_FILES = 150
MAX_FILE_BYTES = 4 << 20
MAX_THREADS = 2 + 1 + 10  # main and accept thread, the vCPU, clients of the API
MAX_LOG_BYTES = 256 * 1024
CLIENTS = 30
STREAMS = 300


def threads_of(vm):
    """Without those that the kernel keeps for KVM."""
    return sum(not name.startswith(("kvm-", "vhost-")) for name in vm.thread_names())


def own_kib(pid):
    """Resident memory that is not the guest's: that is kept out of core files (VmFlags dd) or is a file's."""
    total = resident = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line.startswith("Rss:"):
            resident = int(line.split()[1])
        elif line.startswith("VmFlags:") and " dd" not in line and " sh" not in line:
            total += resident
    return total


class Watch:
    """The largest of everything until `stop`."""

    def __init__(self, vm):
        self.vm, self.files, self.threads, self.memory = vm, 0, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self):
        while not self._stop.wait(0.005):
            try:
                self.files = max(self.files, self.vm.descriptors())
                self.memory = max(self.memory, own_kib(self.vm.process.pid))
                self.threads = max(self.threads, threads_of(self.vm))
            except OSError:
                return

    def stop(self):
        self._stop.set()
        self._thread.join()


def flood_sockets(vm):
    """Connections that say nothing, more than there is room for."""
    ends = []
    for path, count in ((vm.socket_path, CLIENTS), (str(vm.working_directory / "v.sock"), STREAMS)):
        for _ in range(count):
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(0.2)
            try:
                end.connect(path)
            except OSError:
                end.close()
                break
            ends.append(end)
    return ends


class Bounds(unittest.TestCase):
    def setUp(self):
        if not Jails.usable(probe.WISP):
            self.skipTest("no jail can be made here")
        Jails.options = ("--resource-limit", f"no-file={MAX_FILES}", "--resource-limit", f"fsize={MAX_FILE_BYTES}")
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")

    def attack(self, victim, folder):
        with Attack("hostile_devices", victim, folder) as vm:
            limits = pathlib.Path(f"/proc/{vm.process.pid}/limits").read_text()
            self.assertRegex(limits, rf"Max open files +{MAX_FILES} +{MAX_FILES} ")
            self.assertRegex(limits, rf"Max file size +{MAX_FILE_BYTES} +{MAX_FILE_BYTES} ")
            watch = Watch(vm)
            ends = flood_sockets(vm)
            try:
                vm.wait_for("hostile: quiet", 120)
            finally:
                watch.stop()
                for end in ends:
                    end.close()
            probe.wait_until(lambda: vm.descriptors() < MAX_FILES - STREAMS // 10, "streams closed")
            vm._connection.close()  # refused among the many
            vm._connection = None
            self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
            found = {"memory": watch.memory, "files": watch.files, "threads": watch.threads,
                     "log": vm.log_path.stat().st_size, "output": vm.output_path.stat().st_size}
            sizes = [path.lstat().st_size for top in (vm.directory, folder, vm.working_directory)
                     for path in top.rglob("*") if path.is_file() and path.name != "wisp"
                     and not str(path).startswith(f"{vm.working_directory}/tmp")
                     and not str(path).startswith(f"{vm.working_directory}{probe.GUESTS}")]
            return {**found, "largest file": max(sizes)}

    def test_nothing_exceeds_its_bound_whatever_device_is_attacked(self):
        for victim in VICTIMS:
            with self.subTest(victim=victim), tempfile.TemporaryDirectory() as folder:
                found = self.attack(victim, pathlib.Path(folder))
                print(victim, found, file=sys.stderr)
                self.assertGreater(found["memory"], 0)
                self.assertLessEqual(found["memory"], OWN_KIB)
                self.assertLessEqual(found["files"], MAX_FILES)
                self.assertLessEqual(found["threads"], MAX_THREADS)
                self.assertLessEqual(found["log"], MAX_LOG_BYTES)
                self.assertLessEqual(found["largest file"], MAX_FILE_BYTES)


if __name__ == "__main__":
    probe.run_tests(prepare=network.enter_own_network)
