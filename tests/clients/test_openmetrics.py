#!/usr/bin/env python3
"""The metrics socket, read by the parser of prometheus_client; the names in Grafana's dashboard; slow scrapers.

Usage: test_openmetrics.py WISP GUEST_DIR DASHBOARD [unittest arguments]
"""
import json
import pathlib
import re
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    print("SKIP: prometheus_client is not installed: run scripts/setup --group clients")
    sys.exit(77)
import monitor  # noqa: E402
import network  # noqa: E402
import probe  # noqa: E402
from monitor import drive, make_disk  # noqa: E402
from probe import Probe, run_tests, wait_until  # noqa: E402

DASHBOARD = pathlib.Path(sys.argv.pop(3)).resolve()
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MAX_SCRAPERS = 4


class Scraped(Probe):
    def __init__(self, guest, devices=None, **more):
        super().__init__(guest, devices, arguments=("--metrics-sock", "metrics.sock", "--id", "scraped-1"), **more)

    def dial(self):
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(30)
        end.connect(str(self.directory / "metrics.sock"))
        return end

    def page(self):
        with self.dial() as end:
            return monitor.request(end, "GET", "/metrics").body

    def families(self):
        found = {}
        for family in text_string_to_metric_families(self.page()):
            assert family.name not in found, family.name
            found[family.name] = family
        return found


def value(families, name, **labels):
    family = name
    for suffix in ("_total", "_bucket", "_count", "_sum", "_info"):
        family = family.removesuffix(suffix)
    for sample in families[family].samples:
        if sample.name == name and sample.labels == labels:
            return sample.value
    raise AssertionError(f"no {name}{labels} in {families[family].samples}")


class OpenMetrics(unittest.TestCase):
    def every_device(self, vm_directory):
        return {
            "/network-interfaces/eth0": {"iface_id": "eth0", "host_dev_name": "tap0"},
            "/vsock": {"guest_cid": 3, "uds_path": "v.sock"}, "/entropy": {},
            "/balloon": {"amount_mib": 0, "deflate_on_oom": True}, "/hotplug/memory": {"total_size_mib": 128},
            "/pmem/p": {"id": "p", "path_on_host": str(vm_directory / "pmem")},
            "/drives/a": drive("a", vm_directory / "a"), "/drives/b_2": drive("b_2", vm_directory / "b"),
        }

    def start(self):
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")
        vm = Scraped("drive_probe")
        make_disk(vm.directory / "a", 16)
        make_disk(vm.directory / "b", 16)
        (vm.directory / "pmem").write_bytes(bytes(2 << 20))
        vm._devices = self.every_device(vm.directory)
        return vm

    def test_the_page_parses_and_tells_what_the_guest_did(self):
        with self.start() as vm:
            before = vm.families()
            self.assertEqual(value(before, "wisp_info", version=vm.call("GET", "/").json()["vmm_version"],
                                   api_version=vm.call("GET", "/version").json()["firecracker_version"],
                                   instance_id="scraped-1"), 1)
            vm.order("reads 7")
            after = vm.families()
            self.assertEqual(value(after, "wisp_block_read_total", id="a") -
                             value(before, "wisp_block_read_total", id="a"), 7)
            self.assertEqual(value(after, "wisp_block_read_bytes_total", id="a") -
                             value(before, "wisp_block_read_bytes_total", id="a"), 7 * 512)
            self.assertEqual(value(after, "wisp_block_read_total", id="b_2"), 0)
            family = after["wisp_block_read_duration_seconds"]
            self.assertEqual((family.type, family.unit), ("histogram", "seconds"))
            count = value(after, "wisp_block_read_duration_seconds_count", id="a")
            self.assertEqual(count, value(after, "wisp_block_read_total", id="a"))
            self.assertEqual(count, value(after, "wisp_block_read_duration_seconds_bucket", id="a", le="+Inf"))
            self.assertGreater(value(after, "wisp_block_read_duration_seconds_sum", id="a"), 0)
            self.assertEqual(after["wisp_block_read_bytes"].unit, "bytes")
            vm.finish()

    def test_the_metrics_file_and_scrapers_do_not_disturb_each_other(self):
        with self.start() as vm:
            vm.order("reads 5")
            vm.page()
            line = vm.metric("block_a", "read_count")
            self.assertEqual(line, value(vm.families(), "wisp_block_read_total", id="a"))
            names = json.loads(vm.metrics_path.read_text().splitlines()[-1])
            fields = sum(len(group) for name, group in names.items()
                         if isinstance(group, dict) and name not in ("net", "block", "pmem"))
            two_drives = len(names["block"])
            self.assertEqual(len(vm.families()), fields - two_drives + 1, "each field is a family, and wisp_info")
            vm.finish()

    def test_every_name_of_the_dashboard_is_on_the_page(self):
        with self.start() as vm:
            page = vm.page()
            vm.finish()
        names = {name for name in re.findall(r"\bwisp_\w+", DASHBOARD.read_text())}
        self.assertGreater(len(names), 30)
        missing = [name for name in sorted(names) if not re.search(rf"^{name}[{{ ]", page, re.M)]
        self.assertEqual(missing, [])

    def test_the_type_is_the_one_of_the_specification_and_the_rest_is_refused(self):
        with self.start() as vm, vm.dial() as end:
            end.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n")
            answer = b""
            while not answer.endswith(b"# EOF\n"):
                answer += end.recv(65536)
            self.assertIn(b"Content-Type: " + CONTENT_TYPE.encode(), answer)
            for method, path in (("GET", "/"), ("PUT", "/actions"), ("GET", "/machine-config"), ("PUT", "/metrics")):
                body = {"action_type": "InstanceStart"} if method == "PUT" else None
                self.assertEqual(monitor.request(end, method, path, body).status, 400, path)
            self.assertEqual(monitor.request(end, "GET", "/metrics").status, 200)
            vm.finish()

    def test_scrapers_that_do_not_read_or_say_nothing_delay_neither_the_machine_nor_the_next_one(self):
        with self.start() as vm:
            idle = [vm.dial() for _ in range(MAX_SCRAPERS - 1)]
            deaf = vm.dial()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.setblocking(False)
            try:
                for _ in range(100):
                    deaf.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            except BlockingIOError:
                pass
            with vm.dial() as fifth:
                self.assertEqual(monitor.receive_answer(fifth).status, 503)
            for _ in range(20):
                vm.order("reads 1")
                self.assertEqual(vm.call("GET", "/").status, 200)

            def served():
                try:
                    return vm.page().endswith("# EOF\n")
                except (ConnectionError, BrokenPipeError):
                    return False

            started = time.monotonic()
            wait_until(served, "their places are free again", patience_s=30)
            self.assertLess(time.monotonic() - started, 30)
            for end in [*idle, deaf]:
                end.close()
            vm.finish()


if __name__ == "__main__":
    run_tests(network.enter_own_network)
