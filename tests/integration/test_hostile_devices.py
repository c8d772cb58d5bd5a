#!/usr/bin/env python3
"""Every kind of device under attack by a guest of our own (tests/guest/hostile). Names say which rows of the bug record
(docs/testing.md) a test covers.

Usage: test_hostile_devices.py WISP GUEST_DIR [unittest arguments]
"""
import pathlib
import socket
import tempfile
import threading
import time
import unittest

import network
from monitor import drive, make_disk
from probe import Probe, run_tests

QUEUES = {"net": ("rx", "tx"), "vsock": ("rx", "tx", "event"), "rng": ("requests",),
          "balloon": ("inflate", "deflate", "statistics", "hinting", "reporting"), "pmem": ("requests",),
          "mem": ("requests",)}
MAX_LOG_BYTES = 256 * 1024


class Attack(Probe):
    """A machine with one device of each kind, whose guest attacks `victim`."""

    def __init__(self, guest, victim, files, **machine):
        make_disk(files / "disk", 64)
        (files / "pmem").write_bytes(bytes(2 << 20))
        super().__init__(guest, {
            "/drives/witness": drive("witness", files / "disk"),
            "/network-interfaces/eth0": {"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": "06:00:00:00:00:01"},
            "/mmds/config": {"network_interfaces": ["eth0"], "version": "V2"},
            "/vsock": {"guest_cid": 3, "uds_path": "./v.sock"},
            "/entropy": {},
            "/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 60,
                         "free_page_hinting": True, "free_page_reporting": True},
            "/pmem/p": {"id": "p", "path_on_host": str(files / "pmem")},
            "/hotplug/memory": {"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128},
        }, f"victim={victim}", **machine)

    def start(self):
        super().start()
        self.wait_for("hostile: waits for memory")
        self.patch("/hotplug/memory", {"requested_size_mib": 2})


class HostileDevices(unittest.TestCase):
    """One run of the guest for each kind of device; the tests look at what was survived."""
    survived = {}
    failed = {}

    def disturb(self, vm, number):
        """What an operator may do meanwhile. The device may not be active just then: refused, but answered."""
        limiter = {"ops": {"size": 1000 + number % 2, "refill_time": 1}}
        for path, body in (("/balloon", {"amount_mib": number % 2}),
                           ("/hotplug/memory", {"requested_size_mib": 2}),
                           ("/network-interfaces/eth0", {"iface_id": "eth0", "rx_rate_limiter": limiter}),
                           ("/pmem/p", {"id": "p", "rate_limiter": limiter})):
            self.assertIn(vm.call("PATCH", path, body).status, (204, 400))
        for state in ("Paused", "Resumed"):
            vm.patch("/vm", {"state": state})

    def look(self, vm, descriptors):
        """The API answers, and nothing has grown."""
        self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
        self.assertLessEqual(vm.descriptors(), descriptors + 2)
        # The guest's memory counts too: 64 MiB of its own, 2 MiB of the file.
        self.assertLess(vm.resident_kib(), (64 + 2 + 8) * 1024)
        self.assertLess(vm.log_path.stat().st_size, MAX_LOG_BYTES)

    def watch(self, vm, stop, flood):
        descriptors = vm.descriptors()
        answered = 0
        while "hostile: quiet" not in vm.output():
            try:
                self.look(vm, descriptors)
                self.disturb(vm, answered)
            except (OSError, AssertionError):
                if vm.wait_exit(2) is not None:
                    self.fail(f"the machine has ended: {vm.output()[-2000:]}")
                raise
            answered += 1
            time.sleep(0.05)
        self.assertGreater(answered, 0)
        stop.set()
        flood.join()
        # Every device was left with a broken queue: nobody wakes up, nothing is burnt.
        time.sleep(0.2)
        before, ticks = vm.wakeups(), vm.loop_ticks()
        time.sleep(0.6)
        self.assertLessEqual(vm.wakeups() - before, 6)
        self.assertLessEqual(vm.loop_ticks() - ticks, 1)
        self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
        self.assertLessEqual(vm.descriptors(), descriptors)

    def flood(self, stop):
        """Frames for the guest, as long as it attacks."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("tap0", 0x88B5))
            while not stop.wait(0.001):
                sender.send(b"\xff" * 12 + b"\x88\xb5" + bytes(500))

    def run_of(self, victim):
        if victim in self.failed:
            self.fail(f"the attacks on {victim} did not end well: see the first test that failed")
        if victim not in self.survived:
            self.failed[victim] = True
            network.make_tap("tap0")
            stop = threading.Event()
            flood = threading.Thread(target=self.flood, args=(stop,))
            with tempfile.TemporaryDirectory() as directory:
                flood.start()
                try:
                    with Attack("hostile_devices", victim, pathlib.Path(directory)) as vm:
                        self.watch(vm, stop, flood)
                        output = vm.output()
                        file = (pathlib.Path(directory) / "pmem").read_bytes()
                        self.assertEqual(file[:8], b"kept" * 2 if victim == "balloon" else bytes(8))
                        self.assertFalse(any(file[8:]))
                finally:
                    stop.set()
                    flood.join()
                    network.remove_tap("tap0")
            self.survived[victim] = output
            del self.failed[victim]
        return self.survived[victim]

    def check(self, victims, attacks, queues=None):
        for victim in victims:
            with self.subTest(victim=victim):
                output = self.run_of(victim)
                for queue in queues or QUEUES[victim]:
                    for attack in attacks:
                        self.assertIn(f"attack {victim}.{queue}.{attack}: survived", output)

    def check_all(self, *attacks):
        self.check(QUEUES, attacks)

    # Descriptors and rings: rows of section 1.1.
    def test_available_index_jumps_runs_away_or_goes_back_t_15_t_16(self):
        self.check_all("index_jump", "index_back", "index_runaway")

    def test_head_out_of_range(self):
        self.check_all("head_range", "head_far")

    def test_next_out_of_range_t_12(self):
        self.check_all("next_range", "next_far")

    def test_loops_t_13(self):
        self.check_all("self_loop", "long_loop", "full_loop")

    def test_one_head_made_available_many_times_t_17_t_18(self):
        self.check_all("head_many_times")

    def test_indirect_tables_t_25_to_t_28(self):
        self.check_all("indirect_nested", "indirect_loop", "indirect_range", "indirect_odd", "indirect_empty",
                       "indirect_huge", "indirect_outside", "indirect_chained")

    def test_buffers_outside_memory_and_across_its_end_t_19_to_t_22(self):
        self.check_all("buffer_outside", "buffer_wraps", "buffer_crosses_end", "buffer_huge", "buffer_in_hotplug")

    def test_empty_buffers_t_23(self):
        self.check_all("buffer_empty", "buffers_empty")

    def test_lengths_that_add_up_beyond_32_bits_t_24(self):
        self.check_all("buffers_add_up")

    def test_buffers_and_tables_in_device_registers_t_14(self):
        self.check_all("buffer_in_device", "indirect_in_device")

    def test_malformed_chains_come_back_t_32(self):
        self.check_all("direction_flipped", "direction_mixed", "flags_unknown")

    def test_buffer_that_is_the_ring(self):
        self.check_all("buffer_is_ring")

    # Registers.
    def test_register_accesses_of_any_width_and_place_t_01_to_t_04_t_09(self):
        self.check(QUEUES, ("register_reads", "register_writes", "window_edges", "config_writes"), ("all",))

    def test_queue_sizes_and_places_that_make_no_sense_t_05(self):
        for victim, queues in QUEUES.items():
            self.check([victim], ("queue_nonsense",), ("all", *queues[1:]))

    def test_live_queue_cannot_be_changed_t_06(self):
        self.check(QUEUES, ("live_changes",), ("all",))

    def test_status_and_features_t_07_t_08(self):
        self.check(QUEUES, ("status_jumps", "features_refused"), ("all",))

    def test_resets_with_requests_in_flight_t_10(self):
        self.check(QUEUES, ("reset_storm",), ("all",))

    def test_notifications_without_end_t_31(self):
        self.check(QUEUES, ("kick_storm",), ("all",))

    # Single devices: rows of section 1.2.
    def test_net_runts_n_01_n_02(self):
        self.check(["net"], ("tx_empty_header", "tx_half_header", "tx_runt"), ("tx",))
        self.check(["net"], ("rx_small", "rx_header_only"), ("rx",))

    def test_net_oversized_frames_n_04(self):
        self.check(["net"], ("tx_too_long", "tx_huge", "tx_service_long"), ("tx",))

    def test_net_offload_headers_n_05_n_06(self):
        self.check(["net"], ("tx_checksum_outside", "tx_checksum_at_end", "tx_gso_not_negotiated", "tx_gso_unknown",
                             "tx_gso_no_size"), ("tx",))

    def test_metadata_service_headers_n_10_n_11(self):
        self.check(["net"], ("tx_service_tcp_options", "tx_service_ip_length"), ("tx",))

    def test_vsock_lengths_v_03_v_04(self):
        self.check(["vsock"], ("short", "length_beyond", "length_huge", "length_64k"), ("tx",))
        self.check(["vsock"], ("rx_short",), ("rx",))

    def test_vsock_ports_without_end_v_05(self):
        self.check(["vsock"], ("many_ports",), ("tx",))

    def test_vsock_bad_packets_v_08(self):
        self.check(["vsock"], ("foreign_source", "foreign_target", "unknown_type", "unknown_operation",
                               "request_nobody"), ("tx",))

    def test_entropy_huge_requests_r_01(self):
        self.check(["rng"], ("many_large", "one_large"), ("requests",))

    def test_balloon_frames_l_01_l_02(self):
        self.check(["balloon"], ("frames_outside", "frames_of_pmem", "frames_own_rings", "frames_odd"), ("inflate",))

    def test_balloon_lists_without_end_l_03(self):
        self.check(["balloon"], ("frames_without_end", "frames_outside"), ("deflate",))
        self.check(["balloon"], ("statistics_odd", "statistics_long"), ("statistics",))

    def test_balloon_hints_and_reports_l_04(self):
        self.check(["balloon"], ("hint_unknown", "hint_range_without_run"), ("hinting",))
        self.check(["balloon"], ("report_odd_range",), ("reporting",))

    def test_pmem_requests(self):
        self.check(["pmem"], ("unknown", "long", "no_result", "large_result"), ("requests",))

    def test_memory_hotplug_requests_m_01_m_04(self):
        self.check(["mem"], ("outside", "below", "wraps", "no_blocks", "too_many", "not_aligned", "unknown", "short",
                             "short_answer"), ("requests",))

    def test_second_processor_rewrites_descriptors_while_they_are_read_t_29_t_30(self):
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")
        with tempfile.TemporaryDirectory() as directory:
            with Attack("double_fetch_devices", "all", pathlib.Path(directory), vcpus=2) as vm:
                self.assertEqual(vm.wait_exit(), 0, vm.output())
                output = vm.output()
        self.assertIn("double-fetch: survived", output)
        for victim, queues in QUEUES.items():
            for queue in queues:
                if queue != "event":
                    self.assertIn(f"double-fetch {victim}.{queue}: ", output)


if __name__ == "__main__":
    run_tests(network.enter_own_network)
