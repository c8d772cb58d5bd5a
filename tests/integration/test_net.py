#!/usr/bin/env python3
"""Network interfaces with a guest of our own, over a TAP in a network namespace of the test's own.

Usage: test_net.py WISP GUEST_DIR [unittest arguments]. WISP_NET_MIB: how much is sent each way, in each of the transfers;
unless set, as much as each of them carries in a second or two on a slow host. docs/testing.md has the run with 100.
"""
import hashlib
import os
import random
import socket
import struct
import threading
import time
import unittest

import network
from probe import Probe, run_tests

# With offloads a frame is 64 KiB, without them 1.5 KiB, and a frame costs the same.
LARGE_FRAMES_MIB = int(os.environ.get("WISP_NET_MIB", "32"))
SMALL_FRAMES_MIB = int(os.environ.get("WISP_NET_MIB", "4"))
GUEST_MAC = "06:00:ac:10:00:02"
TEST_TYPE = 0x88B5  # an EtherType for experiments


def interface(name="tap0", **options):
    return {"/network-interfaces/eth0": {"iface_id": "eth0", "host_dev_name": name, "guest_mac": GUEST_MAC,
                                         **options}}


class NetTest(unittest.TestCase):
    def setUp(self):
        network.make_tap("tap0")
        self.addCleanup(network.remove_tap, "tap0")

    def use_ipv6(self):
        refusal = network.add_ipv6("tap0", GUEST_MAC)
        if refusal:
            self.skipTest(refusal)

    def tcp_through_the_guest(self, size, host=network.HOST, guest=network.GUEST):
        """One TCP connection of the host with itself, over the guest's address; digests at both ends."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)
        port = listener.getsockname()[1]
        sender = socket.socket(family)
        sender.settimeout(120)
        sender.bind((host, 0))
        sender.connect((guest, port))
        receiver, peer = listener.accept()
        receiver.settimeout(120)
        self.assertEqual(peer[0], guest)
        block = random.Random(size).randbytes(1 << 20)
        sent, came = hashlib.sha256(), hashlib.sha256()

        def send():
            left = size
            while left:
                sender.sendall(block[:left])
                sent.update(block[:left])
                left -= min(left, len(block))
            sender.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        count = 0
        while data := receiver.recv(1 << 18):
            came.update(data)
            count += len(data)
        thread.join()
        for end in (sender, receiver, listener):
            end.close()
        self.assertEqual(count, size)
        self.assertEqual(sent.hexdigest(), came.hexdigest())


class Net(NetTest):
    def transfer(self, boot_args, size_mib, largest, **addresses):
        with Probe("net_probe", interface(), boot_args) as vm:
            vm.send_order("reflect")
            self.tcp_through_the_guest(size_mib << 20, **addresses)
            vm.send_order("stop")
            text = vm.wait_next("stop done")
            self.assertTrue(largest(int(text.partition("largest=")[2].split()[0])), text)
            vm.finish()

    def test_digests_agree_with_merged_buffers_and_offloads(self):
        self.transfer("merge=1 offload=1", LARGE_FRAMES_MIB, lambda largest: largest > 20000)

    def test_digests_agree_with_merged_buffers_without_offloads(self):
        self.transfer("merge=1", SMALL_FRAMES_MIB, lambda largest: largest <= 1526)

    def test_digests_agree_with_large_buffers_and_offloads(self):
        self.transfer("offload=1", LARGE_FRAMES_MIB, lambda largest: largest > 20000)

    def test_digests_agree_with_small_buffers_without_offloads(self):
        self.transfer("", SMALL_FRAMES_MIB, lambda largest: largest <= 1526)

    def test_digests_agree_over_ipv6_with_segments_left_to_the_host(self):
        self.use_ipv6()
        self.transfer("merge=1 offload=1", LARGE_FRAMES_MIB, lambda largest: largest > 20000,
                      host=network.HOST6, guest=network.GUEST6)

    def test_digests_agree_over_ipv6_without_offloads(self):
        self.use_ipv6()
        self.transfer("merge=1", SMALL_FRAMES_MIB, lambda largest: largest <= 1526,
                      host=network.HOST6, guest=network.GUEST6)

    def datagrams(self, family, host, guest):
        """One send of many datagrams, which must reach the guest as one frame and come back as datagrams."""
        with Probe("net_probe", interface(), "merge=1 offload=1") as vm:
            udp_segmentation = int(vm.output().partition("features=0x")[2].split()[0], 16) >> 54 & 1
            if not udp_segmentation:
                self.skipTest("this host's TAP has no segmentation of UDP")
            vm.send_order("reflect")
            a, b = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
            with a, b:
                b.bind((host, 0))
                b.settimeout(30)
                a.bind((host, 0))
                # A frame that came back says that the device is active: the driver's features hold for the TAP from then on.
                a.sendto(b"first", (guest, b.getsockname()[1]))
                self.assertEqual(b.recv(65536), b"first")
                segment, count = 1200, 20
                a.setsockopt(socket.SOL_UDP, 103, segment)  # UDP_SEGMENT
                data = random.Random(1).randbytes(segment * count)
                a.sendto(data, (guest, b.getsockname()[1]))
                came = b"".join(b.recv(65536) for _ in range(count))
            self.assertEqual(came, data)
            vm.send_order("stop")
            largest = int(vm.wait_next("stop done").partition("largest=")[2].split()[0])
            self.assertGreater(largest, segment * count, "the datagrams came one by one")
            vm.finish()

    def test_large_datagrams_pass_whole_where_the_host_has_the_offload(self):
        self.datagrams(socket.AF_INET, network.HOST, network.GUEST)

    def test_large_datagrams_pass_whole_over_ipv6_where_the_host_has_the_offload(self):
        self.use_ipv6()
        self.datagrams(socket.AF_INET6, network.HOST6, network.GUEST6)

    def test_metadata_is_fetched_by_a_tcp_of_our_own(self):
        devices = interface()
        devices["/mmds/config"] = {"network_interfaces": ["eth0"], "version": "V1"}
        devices["/mmds"] = {"hello": "from the host"}
        with Probe("net_probe", devices, "merge=1") as vm:
            for _ in range(3):  # one connection after the other from the same port
                self.assertIn("mmds: HTTP/1.1 200  / from the host", vm.order("mmds"))
            self.assertEqual(network.statistics("tap0")["received"], 0, "a frame for the service reached the TAP")
            self.assertEqual(vm.metric("mmds", "connections_created"), 3)
            vm.finish()


def listen_to_frames():
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TEST_TYPE))
    frames.bind(("tap0", TEST_TYPE))
    frames.settimeout(30)
    return frames


class Trouble(NetTest):
    def ping(self):
        """A datagram to the guest that comes back."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((network.HOST, 0))
            end.settimeout(0.5)
            for attempt in range(60):
                end.sendto(b"ping %d" % attempt, (network.GUEST, end.getsockname()[1]))
                try:
                    self.assertTrue(end.recv(100).startswith(b"ping"))
                    return
                except TimeoutError:
                    pass
        self.fail("nothing comes back from the guest")

    def test_receiving_starts_again_after_the_tap_was_full_cve_2020_16843_n_03(self):
        with Probe("net_probe", interface(), "merge=1") as vm:
            vm.order("starve")
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as flood:
                flood.bind(("tap0", TEST_TYPE))
                frame = b"\xff" * 12 + struct.pack(">H", TEST_TYPE) + bytes(1000)
                while network.statistics("tap0")["dropped"] == 0:
                    flood.send(frame)
            # Full, and the guest posts nothing: that costs the device loop nothing.
            time.sleep(0.2)
            before = vm.loop_ticks()
            time.sleep(1)
            self.assertLessEqual(vm.loop_ticks() - before, 5)
            vm.send_order("reflect")
            self.ping()
            vm.send_order("stop")
            vm.wait_next("stop done")
            vm.finish()

    def test_sending_and_receiving_go_on_after_the_link_was_down(self):
        with Probe("net_probe", interface(), "") as vm:
            network.set_link("tap0", up=False)
            vm.order("send 20")  # every buffer comes back
            self.assertGreaterEqual(vm.metric("net_eth0", "tap_write_fails"), 20)
            network.set_link("tap0", up=True)
            frames = listen_to_frames()
            vm.order("send 3")
            self.assertEqual([struct.unpack_from("<I", frames.recv(100), 14)[0] for _ in range(3)], [0, 1, 2])
            frames.close()
            vm.send_order("reflect")
            self.ping()
            vm.send_order("stop")
            vm.wait_next("stop done")
            vm.finish()

    def test_frames_that_have_to_wait_for_the_limit_are_counted_and_not_lost(self):
        limits = {"ops": {"size": 10, "refill_time": 50}}
        with Probe("net_probe", interface(tx_rate_limiter=limits), "") as vm:
            frames = listen_to_frames()
            vm.order("send 60")
            numbers = [struct.unpack_from("<I", frames.recv(100), 14)[0] for _ in range(60)]
            frames.close()
            self.assertEqual(numbers, list(range(60)))
            # 60 frames of which 10 may go at once: the others had to wait, in groups of any size from 1 to 10.
            throttled = vm.metric("net_eth0", "tx_rate_limiter_throttled")
            self.assertGreaterEqual(throttled, 5)
            self.assertLessEqual(throttled, 50)
            no_limit = {"ops": {"size": 0, "refill_time": 0}}
            vm.patch("/network-interfaces/eth0", {"iface_id": "eth0", "tx_rate_limiter": no_limit})
            vm.order("send 30")
            self.assertEqual(vm.metric("net_eth0", "tx_rate_limiter_throttled"), throttled)
            vm.finish()

    def test_pauses_lose_no_frame(self):
        with Probe("net_probe", interface(), "merge=1") as vm:
            vm.send_order("reflect")
            transfer = threading.Thread(target=self.tcp_through_the_guest, args=(1 << 20,))
            transfer.start()
            while transfer.is_alive():
                vm.patch("/vm", {"state": "Paused"})
                vm.patch("/vm", {"state": "Resumed"})
                time.sleep(0.02)
            transfer.join()
            vm.send_order("stop")
            vm.wait_next("stop done")
            vm.finish()


if __name__ == "__main__":
    run_tests(network.enter_own_network)
