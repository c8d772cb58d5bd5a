#!/usr/bin/env python3
"""Entropy, balloon, persistent memory, memory hot-plug and live drive updates with guests of our own.

Usage: test_devices.py WISP GUEST_DIR [unittest arguments]
"""
import pathlib
import re
import socket
import struct
import tempfile
import threading
import time
import unittest

import network
from monitor import drive, make_disk
from probe import Probe, run_tests, wait_until

MIB = 1 << 20
PATTERN = 0x5CA1AB1E0DDBA11
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


class Entropy(unittest.TestCase):
    def test_bytes_come_as_many_as_are_reported_and_differ(self):
        with Probe("rng_probe", {"/entropy": {}}) as vm:
            text = vm.order("fill 64 20")
            sums = re.findall(r"got 64 sum=(\d+)", text)
            self.assertEqual(len(sums), 20)
            self.assertEqual(len(set(sums)), 20, "the same bytes twice")
            self.assertIn("got 65536 ", vm.order("fill 65536 1"))
            vm.finish()

    def test_a_huge_request_gets_64_kib_and_costs_the_host_nothing_r_01(self):
        with Probe("rng_probe", {"/entropy": {}}) as vm:
            vm.order("fill 262144 1")  # touches the guest's buffer
            resident = vm.resident_kib()
            self.assertEqual(re.findall(r"got (\d+)", vm.order("fill 262144 20")), ["65536"] * 20)
            self.assertLess(vm.resident_kib(), resident + 256)
            vm.finish()

    def test_requests_beyond_the_limit_wait_and_are_counted(self):
        limiter = {"rate_limiter": {"ops": {"size": 5, "refill_time": 1000}}}
        with Probe("rng_probe", {"/entropy": limiter}) as vm:
            vm.order("fill 16 5")
            self.assertEqual(vm.metric("entropy", "entropy_rate_limiter_throttled"), 0)
            vm.order("fill 16 10")
            throttled = vm.metric("entropy", "entropy_rate_limiter_throttled")
            # 10 requests one after the other at 200 ms each; how many find a token ready depends on the guest's speed.
            self.assertGreaterEqual(throttled, 1)
            self.assertLessEqual(throttled, 10)
            vm.finish()


class Balloon(unittest.TestCase):
    FULL = {"/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                         "free_page_hinting": True, "free_page_reporting": True}}

    def probe(self):
        return Probe("balloon_probe", self.FULL, memory_mib=128)

    def check_freed(self, vm, before_kib, mib):
        freed = (before_kib - vm.resident_kib()) / 1024
        self.assertGreater(freed, mib * 0.9)
        self.assertLess(freed, mib + 4)

    def test_inflate_returns_memory_and_deflate_makes_it_usable_l_02(self):
        with self.probe() as vm:
            vm.patch("/balloon", {"amount_mib": 32})
            self.assertIn("target=8192 actual=0", vm.order("touch 32"))
            touched = vm.resident_kib()
            self.assertIn("actual=8192", vm.order("inflate 32"))
            self.check_freed(vm, touched, 32)
            self.assertEqual(vm.call("GET", "/balloon/statistics").json()["actual_mib"], 32)
            vm.order("zero 32")
            vm.patch("/balloon", {"amount_mib": 0})
            self.assertIn("target=0 actual=0", vm.order("deflate 32"))
            vm.order("touch 32")
            self.assertGreater(vm.resident_kib(), touched - 4096)
            self.assertEqual(vm.metric("balloon", "event_fails"), 0)
            vm.finish()

    def test_reported_range_returns_memory(self):
        with self.probe() as vm:
            vm.order("touch 16")
            touched = vm.resident_kib()
            vm.order("report 16")
            self.check_freed(vm, touched, 16)
            vm.order("zero 16")
            vm.finish()

    def test_hinting_run_from_start_to_done_and_stop(self):
        with self.probe() as vm:
            vm.order("touch 16")
            touched = vm.resident_kib()
            vm.patch("/balloon/hinting/start", {"acknowledge_on_stop": True})
            command = vm.call("GET", "/balloon/hinting/status").json()["host_cmd"]
            self.assertIn(f"command={command} after=1", vm.order("hint 16"))
            self.check_freed(vm, touched, 16)
            vm.patch("/balloon/hinting/start", {"acknowledge_on_stop": False})
            self.assertIn(f"command={command + 1} after={command + 1}", vm.order("hint 1"))
            self.assertEqual(vm.call("GET", "/balloon/hinting/status").json()["guest_cmd"], 0)
            vm.patch("/balloon/hinting/stop", {})
            # Outside a run nothing that the guest says frees memory.
            vm.order("touch 16")
            touched = vm.resident_kib()
            vm.order("hint 16")
            self.assertGreater(vm.resident_kib(), touched - 4096)
            vm.finish()

    def test_statistics_are_asked_for_in_the_interval_and_shown(self):
        with self.probe() as vm:
            vm.order("statistics")
            wait_until(lambda: vm.call("GET", "/balloon/statistics").json().get("free_memory") == 12345, "the values")
            self.assertEqual(vm.call("GET", "/balloon/statistics").json()["total_memory"], 67890)
            self.assertIn("asked=1", vm.order("statistics"))  # returned after the interval: the next ones are wanted
            vm.patch("/balloon/statistics", {"stats_polling_interval_s": 2})
            vm.finish()


class Pmem(unittest.TestCase):
    def probe(self, vm_files, **extra):
        return Probe("pmem_probe", vm_files, **extra)

    def test_writes_reach_the_file_and_flushes_answer(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(range(8)) * (2 * MIB // 8))
            file.flush()
            body = {"id": "data", "path_on_host": file.name}
            with self.probe({"/pmem/data": body}) as vm:
                self.assertIn("pmem0: size=2", vm.output())
                self.assertIn("pmem: 706050403020100", vm.order("read 0 8192"))
                self.assertIn(f"pmem: {8192 ^ PATTERN:x}", vm.order("write 0 8192"))
                self.assertIn("flush 0", vm.order("flush 0"))
                file.seek(8192)
                self.assertEqual(int.from_bytes(file.read(8), "little"), 8192 ^ PATTERN)
                self.assertEqual(file.read(8), bytes(range(8)))
                self.assertEqual(vm.metric("pmem_data", "event_fails"), 0)
                vm.finish()

    def test_read_only_memory_is_read_only_whatever_the_driver_does_p_01(self):
        with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as other:
            contents = bytes(range(8)) * (2 * MIB // 8)
            for each in (file, other):
                each.write(contents)
                each.flush()
            devices = {"/pmem/fixed": {"id": "fixed", "path_on_host": file.name, "read_only": True},
                       "/pmem/data": {"id": "data", "path_on_host": other.name}}
            with self.probe(devices) as vm:
                self.assertIn("pmem: 706050403020100", vm.order("write 0 4096"))  # what is read after the write
                self.assertIn("flush 0", vm.order("flush 0"))
                self.assertIn("pmem: 706050403020100", vm.order("read 0 4096"), "not kept in private memory either")
                self.assertIn(f"pmem: {4096 ^ PATTERN:x}", vm.order("write 1 4096"), "the other device works")
                file.seek(0)
                self.assertEqual(file.read(), contents)
                self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
                vm.finish()

    def test_flushes_beyond_the_limit_wait_and_are_counted(self):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(2 * MIB)
            limiter = {"ops": {"size": 4, "refill_time": 600}}
            body = {"id": "data", "path_on_host": file.name, "rate_limiter": limiter}
            with self.probe({"/pmem/data": body}) as vm:
                vm.order("flushes 0 10")
                throttled = vm.metric("pmem_data", "rate_limiter_throttled_events")
                self.assertGreaterEqual(throttled, 1)
                self.assertLessEqual(throttled, 10)
                vm.patch("/pmem/data", {"id": "data", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
                vm.order("flushes 0 20")
                self.assertEqual(vm.metric("pmem_data", "rate_limiter_throttled_events"), throttled)
                vm.finish()


class MemoryHotplug(unittest.TestCase):
    BODY = {"/hotplug/memory": {"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128}, "/entropy": {}}

    def probe(self):
        return Probe("mem_probe", self.BODY)

    def test_memory_is_plugged_used_and_given_back_m_03(self):
        with self.probe() as vm:
            self.assertIn("answer=3", vm.order("plug 0 1"), "nothing was requested: nothing is usable")
            vm.patch("/hotplug/memory", {"requested_size_mib": 64})
            self.assertIn("answer=0 plugged=64 requested=64 usable=128", vm.order("plug 0 32"))
            self.assertEqual(vm.call("GET", "/hotplug/memory").json()["plugged_size_mib"], 64)
            self.assertIn("answer=1", vm.order("plug 40 1"), "more than was requested")
            resident = vm.resident_kib()
            for block in range(8):
                self.assertIn("held 1", vm.order(f"fill {block}"))
            self.assertGreater(vm.resident_kib(), resident + 12 * 1024)
            self.assertIn("answer=0 plugged=0", vm.order("unplug 0 32"))
            self.assertLess(vm.resident_kib(), resident + 1024, "the host has its memory back")
            self.assertIn("answer=3", vm.order("unplug 0 1"), "what is not plugged cannot be unplugged")
            self.assertIn("answer=0 plugged=4", vm.order("plug 0 2"))
            self.assertIn("word 0", vm.order("look 0"), "fresh memory holds nothing of before")
            vm.patch("/hotplug/memory", {"requested_size_mib": 0})
            self.assertIn("answer=0 plugged=0", vm.order("unplug_all"))
            vm.finish()

    def test_an_access_to_unplugged_memory_harms_nobody_m_03(self):
        with self.probe() as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 4})
            self.assertIn("answer=0", vm.order("plug 0 2"))
            vm.order("fill 1")
            self.assertIn("answer=0", vm.order("unplug 0 2"))
            resident = vm.resident_kib()
            vm.order("look 0")
            vm.order("fill 1")  # no memory there: what it reads back is not what it wrote
            self.assertNotIn("held 1", vm.order("fill 100"))
            self.assertLess(vm.resident_kib(), resident + 512)
            self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
            vm.finish()

    def test_rings_in_memory_that_is_unplugged_harm_nobody(self):
        """Peer behaviour, devices: it keeps raw pointers and crashes."""
        with self.probe() as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 128})
            # Alone in its slot, so that the slot goes; and beside another block, so that it stays.
            self.assertIn("answer=0", vm.order("plug 3 1"))
            for _ in range(2):
                text = vm.order("rings 3")
                self.assertRegex(text, r"rings before=64 after=[02] again=64")
                vm.order("plug 0 2")
            self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
            vm.finish()

    def test_a_request_for_more_than_the_region_is_refused_m_04(self):
        with self.probe() as vm:
            for size in (257, 2 ** 44, -1):
                self.assertEqual(vm.call("PATCH", "/hotplug/memory", {"requested_size_mib": size}).status, 400)
            vm.finish()


class DriveUpdates(unittest.TestCase):
    def probe(self, directory, **options):
        first = make_disk(directory / "first", 64, seed=1)
        second = make_disk(directory / "second", 128, seed=50)
        return first, second, Probe("drive_probe", {"/drives/d": drive("d", directory / "first", **options)})

    def test_swapped_while_the_guest_reads_every_read_is_of_one_file(self):
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine), tempfile.TemporaryDirectory() as directory:
                directory = pathlib.Path(directory)
                first, second, probe = self.probe(directory, io_engine=engine)
                with probe as vm:
                    self.assertIn(f"sum={block_sum(first[:512])}", vm.order("read 0"))
                    self.assertIn("capacity=64", vm.order("size"))
                    vm.send_order("spin")
                    time.sleep(0.1)
                    descriptors = vm.descriptors()
                    for path in ("second", "first") * 10 + ("second",):
                        vm.patch("/drives/d", {"drive_id": "d", "path_on_host": str(directory / path)})
                        time.sleep(0.01)
                    self.assertLessEqual(vm.descriptors(), descriptors)
                    vm.send_order("stop")
                    kinds = int(re.search(r"kinds=(\d+)", vm.wait_next("stop done")).group(1))
                    self.assertGreaterEqual(kinds, 2)
                    self.assertLessEqual(kinds, 22)
                    self.assertIn(f"sum={block_sum(second[:512])}", vm.order("read 0"))
                    self.assertIn("capacity=128", text := vm.order("size"))
                    self.assertIn("changed=1", text)
                    self.assertNotIn("generation=0 ", text)
                    self.assertIn(f"sum={block_sum(second[-512:])}", vm.order("read 127"))
                    answer = vm.call("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": str(directory / "none")})
                    self.assertEqual(answer.status, 400)
                    self.assertIn(f"sum={block_sum(second[:512])}", vm.order("read 0"), "a refusal changes nothing")
                    vm.finish()

    def test_requests_beyond_the_limit_wait_and_are_counted(self):
        with tempfile.TemporaryDirectory() as directory:
            limiter = {"ops": {"size": 5, "refill_time": 1000}}
            _, _, probe = self.probe(pathlib.Path(directory), rate_limiter=limiter)
            with probe as vm:
                vm.order("reads 5")
                self.assertEqual(vm.metric("block_d", "rate_limiter_throttled_events"), 0)
                vm.order("reads 10")
                throttled = vm.metric("block_d", "rate_limiter_throttled_events")
                self.assertGreaterEqual(throttled, 1)
                self.assertLessEqual(throttled, 10)
                self.assertEqual(vm.metric("block_d", "read_count"), 15)
                vm.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
                vm.order("reads 25")
                self.assertEqual(vm.metric("block_d", "rate_limiter_throttled_events"), throttled)
                vm.finish()


class Pause(unittest.TestCase):
    """Every kind of device in use while the machine is paused and resumed: nothing is lost, nothing happens twice."""

    def setUp(self):
        if REFUSAL:
            self.skipTest(REFUSAL)
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.files = pathlib.Path(directory.name)
        make_disk(self.files / "disk", 64)
        (self.files / "pmem").write_bytes(bytes(2 * MIB))

    def machine(self, engine, limit=None, balloon=Balloon.FULL, more=None):
        """`limit` is put on everything that can be limited."""
        limited = {"rate_limiter": limit} if limit else {}
        card = {"rx_rate_limiter": limit, "tx_rate_limiter": limit} if limit else {}
        return Probe("traffic", {
            "/drives/d": drive("d", self.files / "disk", io_engine=engine, **limited),
            "/network-interfaces/eth0": {"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": "06:00:00:00:00:01", **card},
            **(more or {}),
            "/vsock": {"guest_cid": 3, "uds_path": "./v.sock"},
            "/entropy": limited,
            **balloon,
            "/pmem/p": {"id": "p", "path_on_host": str(self.files / "pmem"), **limited},
            "/hotplug/memory": {"total_size_mib": 128, "block_size_mib": 2, "slot_size_mib": 128},
        })

    def start_echo(self, vm):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(vm.working_directory / "v.sock_1234"))
        listener.listen()

        def echo():
            end, _ = listener.accept()
            with listener, end:
                while data := end.recv(4096):
                    end.sendall(data)

        thread = threading.Thread(target=echo)
        thread.start()
        self.addCleanup(thread.join)

    def check_pauses(self, engine):
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
        frames.bind(("tap0", 0x88B5))
        frames.settimeout(10)
        with frames, self.machine(engine) as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 2})
            self.start_echo(vm)
            vm.order("go")
            for number in range(40):
                vm.patch("/vm", {"state": "Paused"})
                if number % 10 == 0:  # a paused machine does nothing at all
                    counted = vm.metric("entropy", "entropy_event_count")
                    time.sleep(0.05)
                    self.assertEqual(vm.metric("entropy", "entropy_event_count"), counted)
                vm.patch("/vm", {"state": "Resumed"})
                time.sleep(0.02)
            vm.send_order("stop")
            rounds = int(re.search(r"rounds=(\d+)", vm.wait_next("stop done")).group(1))
            self.assertGreater(rounds, 5)
            numbers = [struct.unpack_from("<I", frames.recv(100), 14)[0] for _ in range(rounds)]
            self.assertEqual(numbers, list(range(rounds)))
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            expected = {"entropy_event_count": ("entropy", rounds), "read_count": ("block_d", rounds + 1),
                        "tx_packets_count": ("net_eth0", rounds), "plug_count": ("memory_hotplug", rounds),
                        "unplug_count": ("memory_hotplug", rounds), "inflate_count": ("balloon", rounds),
                        "deflate_count": ("balloon", rounds)}
            for name, (group, count) in expected.items():
                with self.subTest(group=group, name=name):
                    self.assertEqual(vm.last_metrics(group, name), count)

    def check_idle(self, engine):
        """Every device was in use, every bucket was drawn on, one was empty. Then the guest rests, and no thread wakes up."""
        bucket = {"size": 10, "refill_time": 100}
        limit = {"ops": bucket, "bandwidth": {"size": 1 << 20, "refill_time": 100}}
        # Statistics are asked for in an interval, by order of the client: one longer than the test.
        balloon = {"/balloon": {**Balloon.FULL["/balloon"], "stats_polling_interval_s": 600}}
        service = {"/mmds/config": {"network_interfaces": ["eth0"], "version": "V2"}, "/mmds": {"a": "b"}}
        with self.machine(engine, limit, balloon, service) as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 2})
            self.start_echo(vm)
            vm.order("go")
            throttled = {"block_d": "rate_limiter_throttled_events", "net_eth0": "tx_rate_limiter_throttled",
                         "entropy": "entropy_rate_limiter_throttled", "pmem_p": "rate_limiter_throttled_events"}
            wait_until(lambda: any(vm.metric(group, name) for group, name in throttled.items()), "a limit is reached")
            time.sleep(0.5)
            vm.order("rest")
            time.sleep(1)  # more than a bucket's refill time
            before = vm.wakeups()
            time.sleep(5)
            self.assertLessEqual(vm.wakeups() - before, 4)

    def test_no_thread_wakes_up_with_a_synchronous_drive_and_every_device_limited(self):
        self.check_idle("Sync")

    def test_no_thread_wakes_up_with_an_asynchronous_drive_and_every_device_limited(self):
        self.check_idle("Async")

    def test_synchronous_drive_and_everything_else(self):
        self.check_pauses("Sync")

    def test_asynchronous_drive_and_everything_else(self):
        self.check_pauses("Async")


if __name__ == "__main__":
    run_tests()
