#!/usr/bin/env python3
"""Drives of vhost-user back ends: right ones, ones that die and ones that lie, with a guest of our own.

Usage: test_vhost_user.py WISP GUEST_DIR [unittest arguments]
"""
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import probe
from monitor import Monitor, make_disk
from probe import Probe, run_tests, wait_until
from test_devices import block_sum
from vhost_backend import (FEATURES, FLUSH, F_PROTOCOL, F_RO, F_VERSION_1, GET_CONFIG, GET_FEATURES, GET_VRING_BASE,
                           IN, NEED_REPLY, OUT, P_REPLY_ACK, REPLY, SET_MEM_TABLE, VERSION, Backend)

NEEDS_RESET = 0x40
LIVE = 0x0F


def drive(path, **options):
    return {"drive_id": "d", "socket": str(path), "is_root_device": False, "cache_type": "Writeback", **options}


class Lane(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.data = make_disk(self.directory / "disk", 64)
        self.path = self.directory / "s"

    def backend(self, kind=Backend, **options):
        backend = kind(self.path, self.data, **options)
        backend.__enter__()
        self.addCleanup(backend.__exit__)
        return backend

    def probe(self, guest="drive_probe", devices=None, **machine):
        return Probe(guest, {"/drives/d": drive(self.path), **(devices or {})}, **machine)

    def status(self, vm):
        return int(re.search(r"status=(\d+)", vm.order("status")).group(1))

    def check_broken(self, vm, why):
        """The drive is out of service, and nothing else is."""
        wait_until(lambda: self.status(vm) & NEEDS_RESET, "DEVICE_NEEDS_RESET")
        self.assertRegex(vm.log_path.read_text(), rf"drive 'd' is out of service.*{why}")
        self.assertEqual(vm.log_path.read_text().count("is out of service"), 1)
        self.assertGreater(vm.metric("vhost_user_block_d", "activate_fails"), 0)
        answer = vm.call("PATCH", "/drives/d", {"drive_id": "d"})
        self.assertEqual(answer.status, 400)
        self.assertIn("is gone. Start the microVM anew", answer.body)
        descriptors = vm.descriptors()
        for _ in range(3):
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            vm.order("restart")
            wait_until(lambda: self.status(vm) & NEEDS_RESET, "DEVICE_NEEDS_RESET after a new start")
        self.assertLessEqual(vm.descriptors(), descriptors)
        ticks = vm.loop_ticks()
        time.sleep(0.5)
        self.assertLessEqual(vm.loop_ticks() - ticks, 2, "the loop spins")
        self.assertEqual(vm.call("GET", "/").json()["state"], "Running")
        vm.finish()


class Right(Lane):
    def test_reads_writes_and_flushes_reach_the_back_end(self):
        for options in ({}, {"protocol": 1 << 9}):  # with and without REPLY_ACK
            with self.subTest(**options):
                self.path = self.directory / f"s{len(options)}"
                backend = self.backend(**options)
                with self.probe() as vm:
                    self.assertIn("capacity=64", vm.order("size"))
                    self.assertIn(f"sum={block_sum(self.data[512:1024])}", vm.order("read 1"))
                    vm.order("write 3 170")
                    self.assertEqual(backend.disk[3 * 512:4 * 512], b"\xaa" * 512)
                    self.assertIn("flushed=0", vm.order("flush"))
                    self.assertEqual(backend.requests, [IN, OUT, FLUSH])
                    self.assertEqual(backend.negotiated, FEATURES)
                    self.assertIn("used_interrupt=1", vm.order("status"))
                    vm.order("reads 50")
                    vm.finish()

    def test_the_configuration_shows_the_socket_and_nothing_of_a_file(self):
        self.backend()
        with self.probe() as vm:
            self.assertEqual(vm.call("GET", "/vm/config").json()["drives"], [
                {"drive_id": "d", "partuuid": None, "is_root_device": False, "cache_type": "Writeback",
                 "is_read_only": None, "path_on_host": None, "rate_limiter": None, "io_engine": None,
                 "socket": str(self.path)}])
            self.assertIn("[DevPreview]", vm.log_path.read_text())
            for name in ("activate_fails", "cfg_fails"):
                self.assertEqual(vm.metric("vhost_user_block_d", name), 0)
            for name in ("init_time_us", "activate_time_us"):  # the back end's last answer comes when it comes
                wait_until(lambda name=name: vm.metric("vhost_user_block_d", name) > 0, name)
            vm.finish()

    def test_memory_is_shared_by_guest_addresses_in_files_that_cannot_be_cut(self):
        backend = self.backend()
        with self.probe(memory_mib=64) as vm:
            wait_until(lambda: backend.maps, "the memory table")  # the guest may be up before the driver is
            self.assertEqual([(guest, user, size) for guest, user, size, _, _ in backend.regions], [(0, 0, 64 << 20)])
            _, file = backend.maps[0]
            for size in (4096, 65 << 20):
                with self.assertRaises(PermissionError):
                    os.ftruncate(file, size)
            vm.finish()

    def test_a_root_disk_that_cannot_be_written_is_mounted_read_only(self):
        for features, option in ((FEATURES, b"rw"), (FEATURES | F_RO, b"ro")):
            with self.subTest(option=option):
                self.path = self.directory / option.decode()
                backend = self.backend(features=features)
                with self.probe(devices={"/drives/d": drive(self.path, is_root_device=True)}) as vm:
                    vm.order("reads 1")
                    view, _ = backend.maps[0]
                    self.assertGreater(view.find(b"root=/dev/vda " + option), 0)
                    vm.finish()

    def test_a_reset_device_works_again(self):
        backend = self.backend()
        with self.probe() as vm:
            for _ in range(5):
                vm.order("restart")
                vm.order("reads 5")
            self.assertEqual(self.status(vm), LIVE)
            self.assertEqual(backend.log.count(GET_VRING_BASE), 5)
            vm.finish()

    def test_paused_the_back_end_stands_still_and_resumed_it_goes_on_where_it_was(self):
        backend = self.backend()
        with self.probe() as vm:
            vm.send_order("spin")
            wait_until(lambda: len(backend.requests) > 20, "reads")
            for _ in range(10):
                vm.patch("/vm", {"state": "Paused"})
                self.assertFalse(backend.serving)
                count = len(backend.requests)
                time.sleep(0.02)
                self.assertEqual(len(backend.requests), count)
                vm.patch("/vm", {"state": "Resumed"})
                wait_until(lambda: len(backend.requests) > count + 5, "reads after a pause")
            vm.send_order("stop")
            reads = int(re.search(r"reads=(\d+) kinds=1", vm.wait_next("stop done")).group(1))
            self.assertEqual(reads, len(backend.requests))
            vm.finish()

    def test_a_patch_with_the_id_alone_shows_the_guest_another_size(self):
        backend = self.backend()
        with self.probe() as vm:
            self.assertIn("capacity=64 generation=0 changed=0", vm.order("size"))
            backend.disk.extend(bytes(64 * 512))
            vm.patch("/drives/d", {"drive_id": "d"})
            self.assertIn("capacity=128 generation=1 changed=1", vm.order("size"))
            vm.order("write 127 85")
            self.assertEqual(backend.disk[-512:], b"\x55" * 512)
            self.assertGreater(vm.metric("vhost_user_block_d", "config_change_time_us"), 0)
            for member in ({"path_on_host": str(self.directory / "disk")},
                           {"rate_limiter": {"ops": {"size": 1, "refill_time": 1}}}):
                answer = vm.call("PATCH", "/drives/d", {"drive_id": "d", **member})
                self.assertEqual(answer.status, 400)
                self.assertIn("Block: Running method expected different backend. Please verify the request arguments.",
                              answer.body)
            vm.finish()

    def test_no_snapshot_can_be_taken(self):
        self.backend()
        with self.probe() as vm:
            vm.patch("/vm", {"state": "Paused"})
            answer = vm.call("PUT", "/snapshot/create", {"snapshot_path": str(self.directory / "state"),
                                                         "mem_file_path": str(self.directory / "mem")})
            self.assertEqual(answer.status, 400)
            self.assertIn("Create snapshot error: Cannot save the microVM state: Operation not allowed: Devices without "
                          "snapshot support are present: vhost-user-block(id: d)", answer.body)
            self.assertFalse((self.directory / "mem").exists())
            vm.patch("/vm", {"state": "Resumed"})
            vm.order("reads 3")
            vm.finish()

    def test_beside_a_file_drive_in_a_configuration_file_and_with_dirty_pages_tracked(self):
        backend = self.backend()
        config = self.directory / "config.json"
        text = ('{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [%s, %s],'
                ' "machine-config": {"vcpu_count": 1, "mem_size_mib": 64, "track_dirty_pages": true}}')
        socket_drive = ('{"drive_id": "d", "is_root_device": false, "socket": "%s", "is_read_only": null, '
                        '"path_on_host": null, "io_engine": null, "rate_limiter": null}' % self.path)
        file_drive = '{"drive_id": "e", "is_root_device": false, "path_on_host": "%s"}' % (self.directory / "disk")
        config.write_text(text % (probe.GUESTS / "drive_probe", socket_drive, file_drive))
        read_end, orders = os.pipe()
        with Monitor(probe.WISP, ["--config-file", config], stdin=read_end) as vm:
            os.close(read_end)
            vm.wait_for("GUEST-UP")
            os.write(orders, b"reads 7\nquit\n")
            self.assertEqual(vm.wait_exit(), 0)
        os.close(orders)
        self.assertEqual(len(backend.requests), 7)


class Memory(Lane):
    def test_the_balloon_gives_shared_memory_back_to_the_host(self):
        self.backend()
        devices = {"/balloon": {"amount_mib": 0, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                                "free_page_hinting": True, "free_page_reporting": True}}
        with self.probe("balloon_probe", devices, memory_mib=128) as vm:
            vm.order("touch 32")
            resident = vm.resident_kib()
            vm.patch("/balloon", {"amount_mib": 32})
            vm.order("inflate 32")
            self.assertGreater((resident - vm.resident_kib()) / 1024, 32 * 0.9)
            vm.order("zero 32")
            vm.patch("/balloon", {"amount_mib": 0})
            vm.order("deflate 32")
            vm.order("touch 32")
            self.assertGreater(vm.resident_kib(), resident - 4096)
            vm.finish()

    def test_plugged_memory_is_shared_and_unplugged_memory_goes_back(self):
        self.backend()
        devices = {"/hotplug/memory": {"total_size_mib": 256, "block_size_mib": 2, "slot_size_mib": 128},
                   "/entropy": {}}
        with self.probe("mem_probe", devices) as vm:
            vm.patch("/hotplug/memory", {"requested_size_mib": 64})
            self.assertIn("answer=0", vm.order("plug 0 4"))
            resident = vm.resident_kib()
            self.assertIn("held 1", vm.order("fill 0"))
            self.assertGreater(vm.resident_kib(), resident + 1500)
            self.assertIn("answer=0", vm.order("unplug 0 4"))
            self.assertLess(vm.resident_kib(), resident + 512)
            self.assertIn("answer=0", vm.order("plug 0 4"))
            self.assertIn("word 0", vm.order("look 0"))
            vm.finish()


class Dying(Lane):
    def test_in_the_middle_of_requests(self):
        backend = self.backend()
        with self.probe() as vm:
            vm._seen = len(vm.output())
            vm.send_order("until_broken")
            wait_until(lambda: len(backend.requests) > 20, "reads")
            backend.die()
            vm.wait_next("until_broken done")
            self.check_broken(vm, "has closed the connection")

    def test_while_paused(self):
        backend = self.backend()
        with self.probe() as vm:
            vm.patch("/vm", {"state": "Paused"})
            backend.die()
            wait_until(lambda: "out of service" in vm.log_path.read_text(), "the log line")
            vm.patch("/vm", {"state": "Resumed"})
            self.check_broken(vm, "has closed the connection")


class RefusedStart(Lane):
    """Whatever the back end does, InstanceStart is refused with the reason and the machine stays configurable."""

    def check(self, expected, kind=None, **options):
        if kind is not None:
            self.backend(kind, **options)
        with Monitor(probe.WISP) as vm:
            vm.configure(probe.GUESTS / "idle", drives=[drive(self.path)])
            answer = vm.call("PUT", "/actions", {"action_type": "InstanceStart"})
            self.assertEqual(answer.status, 400, answer)
            self.assertIn("Could not attach device: drive 'd': ", answer.body)
            self.assertIn(expected, answer.body)
            self.assertIn(str(self.path), answer.body)
            vm.put("/drives/d", {"drive_id": "d", "is_root_device": False,
                                 "path_on_host": str(self.directory / "disk")})
            vm.start()
            self.assertEqual(vm.call("GET", "/").json()["state"], "Running")

    def wrong_answer(self, to, **header):
        class Liar(Backend):
            def send(self, request, payload, flags=VERSION | REPLY):
                if request == to:
                    request, flags = header.get("request", request), header.get("flags", flags)
                    payload = header.get("payload", payload)
                super().send(request, payload, flags)
        return Liar

    def test_nobody_listens(self):
        self.check("No such file or directory (os error 2). Start the back end that listens there first")

    def test_it_closes_at_once(self):
        class Closing(Backend):
            def serve(self):
                pass
        self.check("has closed the connection", Closing)

    def test_it_never_answers(self):
        class Silent(Backend):
            def answer(self, request, payload):
                return None
        self.check("did not answer GET_FEATURES in time", Silent)

    def test_it_answers_in_pieces_without_end(self):
        class Dribbling(Backend):
            def send(self, request, payload, flags=VERSION | REPLY):
                self.connection.sendall(struct.pack("<II", request, flags))
        self.check("did not answer GET_FEATURES in time", Dribbling)

    def test_an_old_device(self):
        self.check("does not offer VIRTIO_F_VERSION_1", Backend, features=F_PROTOCOL)

    def test_no_protocol_features(self):
        self.check("VHOST_USER_F_PROTOCOL_FEATURES", Backend, features=F_VERSION_1)

    def test_no_configuration_space(self):
        self.check("does not offer the protocol feature CONFIG", Backend, protocol=P_REPLY_ACK)

    def test_the_configuration_is_refused(self):
        self.check("refused to give its configuration", self.wrong_answer(GET_CONFIG, payload=b""))

    def test_a_huge_configuration(self):
        huge = struct.pack("<III", 0, 4096, 0) + bytes(4096)
        self.check("GET_CONFIG has a size that it cannot have", self.wrong_answer(GET_CONFIG, payload=huge))

    def test_another_piece_of_the_configuration(self):
        other = struct.pack("<III", 4, 60, 0) + bytes(60)
        self.check("GET_CONFIG is about something else", self.wrong_answer(GET_CONFIG, payload=other))

    def test_a_short_answer(self):
        self.check("GET_FEATURES has a size that it cannot have", self.wrong_answer(GET_FEATURES, payload=bytes(4)))

    def test_the_answer_to_something_else(self):
        self.check("GET_FEATURES answers something else", self.wrong_answer(GET_FEATURES, request=2))

    def test_not_an_answer(self):
        self.check("is not marked as an answer", self.wrong_answer(GET_FEATURES, flags=VERSION | NEED_REPLY))

    def test_another_version(self):
        self.check("has another protocol version", self.wrong_answer(GET_FEATURES, flags=2 | REPLY))

    def test_descriptors_that_nobody_wants(self):
        class Generous(Backend):
            def send(self, request, payload, flags=VERSION | REPLY):
                socket.send_fds(self.connection, [struct.pack("<III", request, flags, len(payload)) + payload], [0] * 50)
        self.check("sent descriptors where none belong", Generous)

    def test_a_path_that_is_too_long_is_refused_when_it_is_put(self):
        with Monitor(probe.WISP) as vm:
            for path, reason in (("", "the path is empty"), ("/" + "x" * 107, "at most 107")):
                answer = vm.call("PUT", "/drives/d", drive(path))
                self.assertEqual(answer.status, 400)
                self.assertIn(reason, answer.body)
            vm.put("/drives/d", drive("/" + "x" * 106))
            for member in ({"path_on_host": "/x"}, {"is_read_only": False}, {"io_engine": "Sync"},
                           {"rate_limiter": {}}):
                answer = vm.call("PUT", "/drives/e", {**drive("/s"), "drive_id": "e", **member})
                self.assertEqual(answer.status, 400)
                self.assertIn("Drive config error: Unable to create the virtio block device: Invalid block config.",
                              answer.body)


class Lying(Lane):
    """Right until the guest is up, then not."""

    def running(self, kind):
        class Liar(kind):
            lies = False
        return self.backend(Liar)

    def test_memory_is_refused_when_the_driver_starts_anew(self):
        class Refusing(Backend):
            def answer(self, request, payload):
                return struct.pack("<Q", 1) if self.lies and request == SET_MEM_TABLE else super().answer(request, payload)
        backend = self.running(Refusing)
        with self.probe() as vm:
            backend.lies = True
            vm.order("restart")
            self.check_broken(vm, "its answer to SET_MEM_TABLE is a refusal")

    def test_a_message_that_nobody_asked_for(self):
        backend = self.running(Backend)
        with self.probe() as vm:
            vm.order("reads 1")
            backend.send(1, bytes(8))
            self.check_broken(vm, "sent a message that nobody asked for")

    def test_a_ring_position_that_cannot_be(self):
        class Lost(Backend):
            def answer(self, request, payload):
                return struct.pack("<II", 0, 1 << 16) if request == GET_VRING_BASE else super().answer(request, payload)
        self.running(Lost)
        with self.probe() as vm:
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            self.check_broken(vm, "its answer to GET_VRING_BASE is about something else")

    def test_a_pause_ends_though_the_back_end_does_not_stop(self):
        class Stubborn(Backend):
            def answer(self, request, payload):
                return None if request == GET_VRING_BASE else super().answer(request, payload)
        self.running(Stubborn)
        with self.probe() as vm:
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            self.check_broken(vm, "did not answer GET_VRING_BASE within 4000 ms")

    def test_a_patch_ends_though_the_back_end_does_not_answer(self):
        class Mute(Backend):
            def answer(self, request, payload):
                return None if self.lies and request == GET_CONFIG else super().answer(request, payload)
        backend = self.running(Mute)
        with self.probe() as vm:
            backend.lies = True
            answer = vm.call("PATCH", "/drives/d", {"drive_id": "d"})
            self.assertEqual(answer.status, 400)
            self.assertIn("did not answer GET_CONFIG in time", answer.body)
            self.assertEqual(vm.metric("vhost_user_block_d", "cfg_fails"), 1)
            self.check_broken(vm, "did not answer GET_CONFIG in time")

    def test_a_flood_of_interrupts_with_the_flags_of_the_descriptors_changed(self):
        backend = self.running(Backend)
        with self.probe() as vm:
            vm.order("reads 1")
            os.set_blocking(backend.call, True)
            os.set_blocking(backend.kick, True)
            stop = threading.Event()

            def flood():
                while not stop.is_set():
                    os.write(backend.call, struct.pack("<Q", 1))

            thread = threading.Thread(target=flood)
            thread.start()
            for _ in range(20):
                vm.order("reads 5")
                self.assertEqual(vm.call("GET", "/").status, 200)
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            stop.set()
            thread.join()
            vm.order("reads 5")
            vm.finish()

    def test_a_back_end_that_never_reads_its_kicks(self):
        class Deaf(Backend):
            def serve(self):
                while True:
                    if self.connection in self._wait([self.connection], 0.001 if self.serving else None):
                        self.take_message()
                    else:
                        self.process_ring()  # looks by itself, every millisecond
        self.running(Deaf)
        with self.probe() as vm:
            vm.order("reads 400")  # more kicks than the channel holds
            vm.patch("/vm", {"state": "Paused"})
            vm.patch("/vm", {"state": "Resumed"})
            vm.order("reads 5")
            vm.finish()


@unittest.skipUnless(shutil.which("qemu-storage-daemon"), "qemu-storage-daemon is not installed")
class StorageDaemon(Lane):
    """The back end of somebody else."""

    def test_it_serves_a_raw_file_through_pauses_and_resets(self):
        daemon = subprocess.Popen(["qemu-storage-daemon", "--blockdev",
                                   f"driver=file,node-name=f,filename={self.directory}/disk", "--export",
                                   f"type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path={self.path},"
                                   "writable=on"])
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        wait_until(self.path.exists, "the daemon's socket")
        with self.probe() as vm:
            self.assertIn("capacity=64", vm.order("size"))
            self.assertIn(f"sum={block_sum(self.data[512:1024])}", vm.order("read 1"))
            for number in range(5):
                vm.patch("/vm", {"state": "Paused"})
                vm.patch("/vm", {"state": "Resumed"})
                vm.order(f"write 2 {number}")
                vm.order("restart")
                self.assertIn("flushed=0", vm.order("flush"))
                self.assertEqual((self.directory / "disk").read_bytes()[1024:1536], bytes([number]) * 512)
            vm.patch("/drives/d", {"drive_id": "d"})
            self.assertIn("changed=1", vm.order("size"))
            daemon.kill()
            self.check_broken(vm, "has closed the connection")


if __name__ == "__main__":
    run_tests()
