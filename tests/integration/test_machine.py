#!/usr/bin/env python3
"""The kvm lane: our own guests under the real program. Usage: test_machine.py WISP GUEST_DIR [unittest arguments]"""
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from hugepages import HugePages  # noqa: E402
from jailed import Jails  # noqa: E402
from monitor import Monitor, drive, make_disk, request  # noqa: E402

WISP = GUESTS = None


def guest(name):
    return GUESTS / name


class Boot(unittest.TestCase):
    def boot_and_expect(self, name, texts, exit_code=0, **options):
        with Monitor(WISP) as vm:
            vm.configure(guest(name), **options)
            vm.start()
            code = vm.wait_exit()
            output = vm.output()
            for text in texts:
                self.assertIn(text, output)
            self.assertEqual(code, exit_code, output)
            return output

    def test_pvh_guest_sees_its_memory_map(self):
        self.boot_and_expect("memory", ["range 100000 "], memory_mib=64)

    def test_linux64_guest_sees_its_memory_map(self):
        self.boot_and_expect("memory_linux64", ["range 100000 "], memory_mib=64)

    def test_memory_above_four_gib_is_there(self):
        self.boot_and_expect("memory", ["ram 100000000 ok"], memory_mib=4096 + 64)

    def test_memory_of_huge_pages_takes_them_from_the_pool_and_gives_them_back(self):
        needed = 32
        pool = HugePages(self, needed)
        free = pool.pages("free_hugepages")
        with Monitor(WISP) as vm:
            vm.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": needed * 2, "huge_pages": "2M"})
            vm.put("/boot-source", {"kernel_image_path": str(guest("counter")), "boot_args": "console=ttyS0"})
            vm.start()
            vm.wait_for("count 3")
            vm.patch("/vm", {"state": "Paused"})
            touched = vm.smaps_total("Private_Hugetlb:") // HugePages.SIZE_KIB
            self.assertGreater(touched, 0)
            self.assertLess(touched, needed, "memory that the guest has not touched is taken, too")
            # All of it is promised, whether it was touched or not.
            self.assertGreaterEqual(pool.pages("resv_hugepages"), needed - touched)
            vm.patch("/vm", {"state": "Resumed"})
            seen = vm.output().count("count")
            vm.wait_for(f"count {seen + 3}")
        self.assertGreaterEqual(pool.pages("free_hugepages"), free)

    def test_all_processors_start(self):
        for count in (1, 2, 4):
            with self.subTest(vcpus=count):
                self.boot_and_expect("smp", [f"cpus: {count}"], vcpus=count)

    def test_thirty_two_processors_start(self):
        self.boot_and_expect("smp", ["cpus: 32"], vcpus=32)

    def test_triple_fault_ends_with_one(self):
        self.boot_and_expect("fault", ["GUEST-UP"], exit_code=1)

    def test_initrd_and_command_line_reach_the_guest(self):
        output = self.boot_and_expect("memory", [], boot_args="console=ttyS0 word=1")
        self.assertIn("GUEST-UP", output)

    def test_boot_timer_writes_the_log_line(self):
        with Monitor(WISP, ["--boot-timer"]) as vm:
            vm.configure(guest("timer"))
            vm.start()
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            self.assertIn("Guest-boot-time", vm.log())

    def test_without_boot_timer_the_marker_is_ignored(self):
        with Monitor(WISP) as vm:
            vm.configure(guest("timer"))
            vm.start()
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            self.assertIn("GUEST-UP", vm.output())
            self.assertIn("Running wisp", vm.log())
            self.assertNotIn("Guest-boot-time", vm.log())


class Block(unittest.TestCase):
    def run_probe(self, name, engines, cache="Writeback", read_only=False):
        with Monitor(WISP) as vm:
            drives, contents = [], []
            for index, engine in enumerate(engines):
                path = vm.directory / f"disk{index}"
                contents.append(make_disk(path, 64, seed=index + 1))
                drives.append(drive(f"d{index}", path, io_engine=engine, cache_type=cache, is_read_only=read_only))
            vm.configure(guest(name), drives=drives)
            vm.start()
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            output = vm.output()
            after = [(vm.directory / f"disk{index}").read_bytes() for index in range(len(engines))]
            return output, contents, after

    def check_written(self, before, after):
        first = before[:512]
        self.assertEqual(after[:-512], before[:-512], "only the last sector may change")
        self.assertEqual(after[-512:], bytes(byte ^ 0xFF for byte in first))

    def test_sync_and_async_drives_read_write_and_flush(self):
        for name in ("blk_probe", "blk_probe_linux64"):
            with self.subTest(guest=name):
                output, before, after = self.run_probe(name, ["Sync", "Async"])
                self.assertIn("acpi: ok cpus=1 virtio=2", output)
                for index in range(2):
                    self.assertIn(f"blk{index}: read ok", output)
                    self.assertIn(f"blk{index}: write ok", output)
                    self.assertIn(f"blk{index}: flush ok", output)
                    self.check_written(before[index], after[index])

    def test_unsafe_cache_offers_no_flush(self):
        output, _, _ = self.run_probe("blk_probe", ["Sync"], cache="Unsafe")
        self.assertIn("blk0: flush not offered", output)

    def test_read_only_drive_refuses_writes(self):
        output, before, after = self.run_probe("blk_probe", ["Sync", "Async"], read_only=True)
        self.assertIn("blk0: write refused", output)
        self.assertIn("blk1: write refused", output)
        self.assertEqual(before, after)

    def test_seventeen_drives_work(self):
        output, _, _ = self.run_probe("blk_probe", ["Sync"] * 17)
        self.assertIn("blk16: write ok", output)

    def test_eighteen_drives_are_refused_at_start_and_the_rest_still_starts(self):
        with Monitor(WISP) as vm:
            path = vm.directory / "disk"
            make_disk(path, 8)
            vm.configure(guest("idle"), drives=[drive(f"d{index}", path) for index in range(18)])
            answer = vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
            self.assertEqual(answer.status, 400)
            self.assertIn("17", answer.json()["fault_message"])
            self.assertEqual(vm.call("GET", "/").json()["state"], "Not started")


class Hostile(unittest.TestCase):
    def attack(self, name, vcpus, engine, boot_args):
        with Monitor(WISP, ["--level", "Warn"]) as vm:
            drives = []
            for index in range(2):
                path = vm.directory / f"disk{index}"
                make_disk(path, 64, seed=index + 1)
                drives.append(drive(f"d{index}", path, io_engine=engine))
            vm.configure(guest(name), boot_args=boot_args, vcpus=vcpus, drives=drives)
            vm.start()
            vm.wait_for("GUEST-UP")
            descriptors = len(os.listdir(f"/proc/{vm.process.pid}/fd"))
            resident_kib = vm.status_field("VmRSS")
            answered = 0
            while vm.process.poll() is None:
                try:
                    self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
                    self.assertLessEqual(len(os.listdir(f"/proc/{vm.process.pid}/fd")), descriptors + 2)
                    # Guest memory that the guest touches counts too: the machine has 64 MiB.
                    self.assertLess(vm.status_field("VmRSS"), resident_kib + 64 * 1024)
                    answered += 1
                except (OSError, AssertionError):
                    if vm.process.poll() is None:
                        vm.process.wait(5)  # the machine ended between two looks; anything else fails here
                time.sleep(0.05)
            self.assertGreater(answered, 0)
            self.assertEqual(vm.process.returncode, 0, vm.output())
            # Limited call sites: the log does not grow with the number of attacks.
            self.assertLess(vm.output_path.stat().st_size, 256 * 1024)
            return vm.output()

    def test_every_attack_leaves_monitor_and_other_drive_working(self):
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine):
                output = self.attack("hostile", 1, engine, "console=ttyS0 attack=all")
                self.assertRegex(output, r"attacks: \d\d")

    def test_second_processor_rewrites_requests_while_they_are_read(self):
        for engine in ("Sync", "Async"):
            with self.subTest(engine=engine):
                self.assertIn("double-fetch: survived", self.attack("double_fetch", 2, engine, "console=ttyS0"))


class Lifecycle(unittest.TestCase):
    def test_pause_stops_the_guest_and_resume_goes_on(self):
        with Monitor(WISP, ["--level", "Off"]) as vm:
            vm.configure(guest("counter"))
            vm.start()
            vm.wait_for("count 3")
            vm.patch("/vm", {"state": "Paused"})
            self.assertEqual(vm.call("GET", "/").json()["state"], "Paused")
            # What the guest wrote before the pause may still be on its way to the file.
            settled = None
            while settled != (settled := vm.output()):
                time.sleep(0.2)
            last = settled.rpartition("count ")[2].split()[0]
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            vm.wait_for(f"count {int(last) + 2}")
            self.assertEqual(vm.call("GET", "/").json()["state"], "Running")

    def test_a_hundred_pauses_in_a_row_lose_nothing(self):
        with Monitor(WISP, ["--level", "Warn"]) as vm:
            path = vm.directory / "disk"
            make_disk(path, 64)
            vm.configure(guest("counter"), vcpus=2, drives=[drive("d", path, io_engine="Async")])
            vm.start()
            for _ in range(100):
                vm.patch("/vm", {"state": "Paused"})
                vm.patch("/vm", {"state": "Resumed"})
            vm.wait_for("count 20")
            numbers = [int(line.split()[1]) for line in vm.output().splitlines()[:-1] if line.startswith("count ")]
            self.assertEqual(numbers, list(range(len(numbers))))

    def test_ctrl_alt_del_reaches_the_guest_and_ends_with_zero(self):
        with Monitor(WISP) as vm:
            vm.configure(guest("kbd"))
            vm.start()
            vm.wait_for("GUEST-UP")
            vm.put("/actions", {"action_type": "SendCtrlAltDel"})
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            self.assertIn("ctrl-alt-del", vm.output())

    def test_idle_machine_uses_no_processor_time(self):
        with Monitor(WISP) as vm:
            vm.configure(guest("idle"))
            vm.start()
            vm.wait_for("GUEST-UP")
            time.sleep(0.5)
            before = vm.wakeups()
            time.sleep(5)
            self.assertLessEqual(vm.wakeups() - before, 4)

    def test_failed_start_can_be_corrected(self):
        with Monitor(WISP) as vm:
            text = vm.directory / "kernel"
            text.write_text("not a kernel " * 100)
            vm.configure(text)
            answer = vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
            self.assertEqual(answer.status, 400)
            self.assertTrue(answer.json()["fault_message"].startswith("Start microvm error: "))
            vm.put("/boot-source", {"kernel_image_path": str(guest("memory")), "boot_args": "console=ttyS0"})
            vm.start()
            self.assertEqual(vm.wait_exit(), 0, vm.output())

    def test_twenty_failed_starts_leave_no_descriptors_behind(self):
        with Monitor(WISP) as vm:
            text = vm.directory / "kernel"
            text.write_text("not a kernel " * 100)
            vm.configure(text)
            counts = []
            for _ in range(20):
                self.assertEqual(vm.call("PUT", "/actions", {"action_type": "InstanceStart"}).status, 400)
                counts.append(len(os.listdir(f"/proc/{vm.process.pid}/fd")))
            self.assertEqual(counts[0], counts[-1])


class Serial(unittest.TestCase):
    def test_input_from_a_fifo_is_echoed(self):
        read_end, write_end = os.pipe()
        with Monitor(WISP, ["--level", "Off"], stdin=read_end) as vm:
            os.close(read_end)
            vm.configure(guest("echo"))
            vm.start()
            vm.wait_for("GUEST-UP")
            text = "hello " * 50  # more than the receive FIFO holds
            os.write(write_end, text.encode() + b"q")
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            self.assertIn(text + "q", vm.output())
        os.close(write_end)

    def test_output_goes_to_the_configured_file(self):
        with Monitor(WISP, ["--level", "Off"]) as vm:
            vm.put("/serial", {"serial_out_path": str(vm.directory / "serial")})
            vm.configure(guest("timer"))
            vm.start()
            self.assertEqual(vm.wait_exit(), 0)
            self.assertIn("GUEST-UP", (vm.directory / "serial").read_text())
            self.assertNotIn("GUEST-UP", vm.output())

    def test_nobody_reads_the_output_and_the_guest_goes_on(self):
        read_end, write_end = os.pipe()
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
        with Monitor(WISP, ["--level", "Off"]) as helper:
            directory = helper.directory
            process = subprocess.Popen([str(WISP), "--api-sock", str(directory / "s"), "--level", "Off"], stdout=write_end,
                                       stdin=subprocess.DEVNULL)
            os.close(write_end)
            try:
                helper.socket_path = str(directory / "s")
                metrics = directory / "metrics"
                helper.put("/metrics", {"metrics_path": str(metrics)})
                helper.configure(guest("counter"))
                helper.start()
                # The pipe holds 4 KiB; the guest writes more, and bytes are dropped and counted instead of stalling it.
                lost, deadline = 0, time.monotonic() + 60
                while lost == 0 and time.monotonic() < deadline:
                    helper.put("/actions", {"action_type": "FlushMetrics"})
                    lost = sum(json.loads(line)["uart"]["missed_write_count"]
                               for line in metrics.read_text().splitlines())
                self.assertGreater(lost, 0)
                self.assertEqual(helper.call("GET", "/").json()["state"], "Running")
            finally:
                process.kill()
                process.wait()
                os.close(read_end)


class Process(unittest.TestCase):
    def test_signals_end_with_the_documented_codes(self):
        for number, code in ((signal.SIGHUP, 156), (signal.SIGXCPU, 154), (signal.SIGSEGV, 150), (signal.SIGBUS, 149),
                             (signal.SIGILL, 157), (signal.SIGSYS, 148), (signal.SIGTERM, -15), (signal.SIGINT, -2)):
            with self.subTest(signal=number), Monitor(WISP) as vm:
                metrics = vm.directory / "metrics"
                vm.put("/metrics", {"metrics_path": str(metrics)})
                vm.signal(number)
                self.assertEqual(vm.wait_exit(), code, vm.output())
                if code > 0 and number != signal.SIGSYS:
                    name = signal.Signals(number).name.lower()
                    self.assertIn(f'"{name}":1', metrics.read_text())

    def test_metrics_have_a_line_at_start_and_one_at_the_end(self):
        with Monitor(WISP) as vm:
            metrics = vm.directory / "metrics"
            vm.put("/metrics", {"metrics_path": str(metrics)})
            path = vm.directory / "disk"
            make_disk(path, 64)
            vm.configure(guest("blk_probe"), drives=[drive("rootfs", path)])
            vm.start()
            self.assertEqual(vm.wait_exit(), 0, vm.output())
            lines = metrics.read_text().splitlines()
            self.assertEqual(len(lines), 2)
            total = sum(json.loads(line)["block_rootfs"]["read_count"] for line in lines)
            self.assertGreater(total, 0)

    def test_ten_connections_and_one_slow_sender_do_not_delay_another(self):
        with Monitor(WISP) as vm:
            idle = [vm.connect() for _ in range(8)]
            slow = vm.connect()
            slow.sendall(b"GET /ver")
            last = vm.connect()
            self.assertEqual(request(last, "GET", "/version").status, 200)
            for connection in [*idle, slow, last]:
                connection.close()

    def test_configuration_file_equals_the_calls(self):
        with Monitor(WISP) as vm:
            path = vm.directory / "disk"
            make_disk(path, 64)
            vm.configure(guest("idle"), drives=[drive("d", path)], vcpus=2)
            config = vm.call("GET", "/vm/config").json()
            file = vm.directory / "vm.json"
            file.write_text(json.dumps(config))
            with Monitor(WISP, ["--config-file", file]) as other:
                other.wait_for("GUEST-UP")
                self.assertEqual(other.call("GET", "/vm/config").json(), config)
                self.assertEqual(other.call("GET", "/").json()["state"], "Running")


if __name__ == "__main__":
    WISP, GUESTS = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    Jails.usable(WISP)  # before the first temporary file
    del sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIP: /dev/kvm cannot be opened here, so no guest can run")
        sys.exit(77)
    unittest.main(verbosity=2)
