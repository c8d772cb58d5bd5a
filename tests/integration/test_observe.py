#!/usr/bin/env python3
"""What a monitor tells about itself: capabilities, metrics for scrapers, traces.

Usage: test_observe.py WISP GUEST_DIR [unittest arguments]
"""
import json
import os
import unittest

import probe
from monitor import Monitor, drive, make_disk
from probe import run_tests, wait_until
from snapshots import Files, capture


class Capabilities(unittest.TestCase):
    def test_the_host_is_looked_at_before_the_start_and_remembered(self):
        with Monitor(probe.WISP, ["--log-path", "log"]) as vm:
            before = vm.call("GET", "/capabilities").json()
            self.assertEqual(before["api_version"], vm.call("GET", "/version").json()["firecracker_version"])
            self.assertEqual(before["wisp_version"], vm.call("GET", "/").json()["vmm_version"])
            host = before["host"]
            self.assertTrue(host["kvm"]["available"], host["kvm"])
            self.assertGreaterEqual(host["kvm_max_vcpus"], 1)
            self.assertTrue(host["seccomp"], "the release build filters")
            for thing in [host["kvm"], host["userfaultfd"], *host["block_engines"], *host["huge_pages"],
                          *host["cpu_templates"]]:
                self.assertEqual(thing["available"], thing["obstacle"] is None, thing)
            vm.configure(probe.GUESTS / "idle")
            vm.start()
            self.assertEqual(vm.call("GET", "/capabilities").json(), before)

    def test_a_machine_that_runs_and_was_not_asked_before_tells_of_the_build_alone(self):
        with Monitor(probe.WISP, ["--log-path", "log"]) as vm:
            vm.configure(probe.GUESTS / "idle")
            vm.start()
            answer = vm.call("GET", "/capabilities").json()
            self.assertIsNone(answer["host"])
            self.assertEqual(answer["transports"], ["mmio"])
            vm.patch("/vm", {"state": "Paused"})
            self.assertEqual(vm.call("GET", "/capabilities").json(), answer)

    def test_what_is_said_of_engines_and_templates_is_what_a_start_finds(self):
        with Monitor(probe.WISP, ["--log-path", "log"]) as vm:
            host = vm.call("GET", "/capabilities").json()["host"]
        for template in host["cpu_templates"]:
            with self.subTest(template["name"]), Monitor(probe.WISP, ["--log-path", "log"]) as vm:
                vm.configure(probe.GUESTS / "idle")
                vm.patch("/machine-config", {"cpu_template": template["name"]})
                started = vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
                # A template may still ask for an MSR that this KVM lacks; one that is said to be unfit never starts.
                if not template["available"]:
                    self.assertEqual(started.status, 400)
                    self.assertIn(template["obstacle"], started.body)
        for engine in host["block_engines"]:
            with self.subTest(engine["name"]), Monitor(probe.WISP, ["--log-path", "log"]) as vm:
                make_disk(vm.directory / "disk", 8)
                vm.configure(probe.GUESTS / "idle",
                             drives=[drive("d", vm.directory / "disk", io_engine=engine["name"])])
                started = vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
                self.assertEqual(started.status == 204, engine["available"], started)

    def test_limits_are_those_that_requests_meet(self):
        with Monitor(probe.WISP, ["--log-path", "log"]) as vm:
            limits = {each["name"]: each["value"] for each in vm.call("GET", "/capabilities").json()["limits"]}
            body = {"vcpu_count": limits["vcpus"], "mem_size_mib": 64}
            vm.put("/machine-config", body)
            body["vcpu_count"] += 1
            self.assertEqual(vm.call("PUT", "/machine-config", body).status, 400)
            self.assertEqual(limits["devices"], 17)
            self.assertIn("state", json.loads(vm.call("GET", "/").body))


class Fifos(unittest.TestCase):
    """Log, metrics and serial output to FIFOs, as orchestrators set them up, in the jail."""

    def open_fifo(self, vm, name):
        path = vm.directory / name
        os.mkfifo(path)
        os.chmod(path, 0o666)  # the monitor is another user
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        return str(path), reader

    def read(self, reader):
        text = b""
        while True:
            try:
                more = os.read(reader, 1 << 16)
            except BlockingIOError:
                more = b""
            if not more:
                return text.decode()
            text += more

    def test_readers_get_everything_and_one_that_stops_reading_stalls_nothing(self):
        with Monitor(probe.WISP) as vm:
            (log, log_reader), (metrics, metrics_reader), (serial, serial_reader) = (
                self.open_fifo(vm, name) for name in ("log.fifo", "metrics.fifo", "serial.fifo"))
            vm.put("/logger", {"log_path": log, "level": "Debug"})
            vm.put("/metrics", {"metrics_path": metrics})
            vm.put("/serial", {"serial_out_path": serial})
            vm.configure(probe.GUESTS / "counter")
            vm.start()
            output = []
            wait_until(lambda: output.append(self.read(serial_reader)) or "count 20\n" in "".join(output), "the guest")
            vm.put("/actions", {"action_type": "FlushMetrics"})
            lines = self.read(metrics_reader).splitlines()
            self.assertGreaterEqual(len(lines), 1)
            self.assertEqual(json.loads(lines[-1])["logger"]["missed_metrics_count"], 0)
            self.assertIn('Put request on "/actions"', self.read(log_reader))
            # Nobody reads any more: a pipe holds 64 KiB, some ten lines.
            answers = [vm.call("PUT", "/actions", {"action_type": "FlushMetrics"}) for _ in range(40)]
            self.assertEqual((answers[0].status, answers[-1].status), (204, 400))
            self.assertIn("read the FIFO", answers[-1].body)
            for _ in range(400):
                self.assertEqual(vm.call("GET", "/no/such/path/" + "x" * 200).status, 400)
            self.read(log_reader)
            before = self.read(metrics_reader)
            self.assertFalse(before.endswith("\n"), "the pipe took a part of the last line")
            vm.put("/actions", {"action_type": "FlushMetrics"})
            *whole, torn, last = (before + self.read(metrics_reader)).splitlines()
            self.assertTrue(all(json.loads(line) for line in whole))
            self.assertRaises(json.JSONDecodeError, json.loads, torn)
            counted = json.loads(last)["logger"]
            self.assertGreater(counted["missed_log_count"], 0)
            self.assertGreater(counted["missed_metrics_count"], 0)
            self.read(serial_reader)
            wait_until(lambda: len(self.read(serial_reader)) > 0, "the guest goes on")


def read_trace(path):
    """The name and the duration in nanoseconds of the whole and of each phase."""
    wait_until(lambda: path.exists() and path.read_text().endswith("]}\n"), "the trace")
    # Decimal points as they stand: a sum of floats would not be exact.
    events = json.loads(path.read_text(), parse_float=lambda text: int(text.replace(".", "")))["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert {event["tid"] for event in complete[1:]} == {2} and complete[0]["tid"] == 1
    return complete[0], complete[1:]


class Trace(unittest.TestCase):
    BOOT = ["options", "process", "API socket", "configuration", "start checks", "memory", "loader", "KVM VM", "devices",
            "vCPUs", "confinement", "guest entry"]
    LOAD = ["options", "process", "API socket", "configuration", "state read", "checks", "memory map", "KVM VM", "devices",
            "vCPU state", "device state", "confinement", "guest entry"]

    def monitor(self, *arguments):
        # Not jailed: these are the phases of a start without a jailer, which would give --start-time-us.
        return Monitor(probe.WISP, ["--log-path", "log", "--trace", "trace.json", *arguments], jailed=False)

    def check(self, path, names):
        whole, phases = read_trace(path)
        self.assertEqual([phase["name"] for phase in phases], names)
        self.assertEqual(sum(phase["dur"] for phase in phases), whole["dur"])
        at = whole["ts"]
        for phase in phases:
            self.assertEqual(phase["ts"], at, phase)
            at += phase["dur"]

    def test_a_boot_by_requests_and_by_file(self):
        with self.monitor() as vm:
            vm.configure(probe.GUESTS / "idle")
            vm.start()
            self.check(vm.directory / "trace.json", self.BOOT)
        config = {"boot-source": {"kernel_image_path": str(probe.GUESTS / "idle")}, "drives": [],
                  "machine-config": {"vcpu_count": 2, "mem_size_mib": 64}}
        with Monitor(probe.WISP, api=False) as place:
            (place.directory / "config").write_text(json.dumps(config))
            with self.monitor("--config-file", place.directory / "config") as vm:
                self.check(vm.directory / "trace.json", self.BOOT)

    def test_a_refused_start_goes_back_to_the_configuration(self):
        with self.monitor() as vm:
            self.assertEqual(vm.call("PUT", "/actions", {"action_type": "InstanceStart"}).status, 400)
            vm.configure(probe.GUESTS / "idle")
            vm.start()
            self.check(vm.directory / "trace.json", self.BOOT[:5] + self.BOOT[3:])

    def test_a_load_that_resumes_and_one_that_does_not(self):
        with self.monitor() as vm:
            files = Files(vm.directory)
            vm.configure(probe.GUESTS / "counter")
            vm.start()
            vm.wait_for("count 3")
            capture(vm, files)
            body = {"snapshot_path": str(files.state),
                    "mem_backend": {"backend_type": "File", "backend_path": str(files.memory)}}
            for resume, names in ((True, self.LOAD), (False, self.LOAD[:-1])):
                with self.monitor() as clone:
                    clone.put("/snapshot/load", {**body, "resume_vm": resume})
                    self.check(clone.directory / "trace.json", names)

    def test_what_never_ran_is_written_at_the_end(self):
        with self.monitor("--start-time-us", "1") as vm:
            vm.call("GET", "/")
            vm.signal(1)
            vm.wait_exit()
            self.check(vm.directory / "trace.json", ["jailer", *self.BOOT[:4]])

    def test_a_path_that_cannot_be_written_is_refused_at_once(self):
        with Monitor(probe.WISP, ["--trace", "/missing/trace"]) as vm:
            self.assertNotEqual(vm.wait_exit(), 0)
            self.assertIn("/missing/trace", vm.output())


if __name__ == "__main__":
    run_tests()
