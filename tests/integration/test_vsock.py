#!/usr/bin/env python3
"""Vsock with a guest of our own that echoes. Usage: test_vsock.py WISP GUEST_DIR [unittest arguments]"""
import hashlib
import random
import re
import socket
import threading
import time
import unittest

from probe import Probe, run_tests, wait_until

SIZE = 1 << 20


def vsock():
    return {"/vsock": {"guest_cid": 3, "uds_path": "./v.sock"}}


class VsockProbe(Probe):
    def __init__(self, **machine):
        super().__init__("vsock_probe", vsock(), **machine)

    def path(self, port=None):
        return str(self.working_directory / "v.sock") + (f"_{port}" if port is not None else "")

    def connect_to_guest(self, port=52):
        """A connection from a host program; what `CONNECT` is answered with has been read."""
        end = socket.socket(socket.AF_UNIX)
        end.settimeout(60)
        end.connect(self.path())
        end.sendall(b"CONNECT %d\n" % port)
        answer = b""
        while not answer.endswith(b"\n"):
            byte = end.recv(1)
            if not byte:
                raise AssertionError(f"closed after {answer!r}; output: {self.output()}")
            answer += byte
        assert answer.startswith(b"OK "), answer
        return end

    def listen(self, port):
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(60)
        listener.bind(self.path(port))
        listener.listen(512)
        return listener

    def report(self):
        found = re.search(r"open=(\d+) answered=(\d+) refused=(\d+) late=(\d+)", self.order("report"))
        return dict(zip(("open", "answered", "refused", "late"), map(int, found.groups())))


class Vsock(unittest.TestCase):
    def check_echo(self, end, size=SIZE, seed=1):
        """Sends `size` bytes, ends the sending side, and compares the digest of what comes back until the end."""
        data = random.Random(seed).randbytes(size)

        def send():
            end.sendall(data)
            end.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        came = hashlib.sha256()
        count = 0
        while block := end.recv(65536):
            came.update(block)
            count += len(block)
        thread.join()
        end.close()
        self.assertEqual(count, size)
        self.assertEqual(came.hexdigest(), hashlib.sha256(data).hexdigest())

    def test_digest_of_a_mebibyte_each_way_when_the_host_connects(self):
        with VsockProbe() as vm:
            self.check_echo(vm.connect_to_guest())
            wait_until(lambda: vm.report()["open"] == 0, "the connection is gone")
            vm.finish()

    def test_digest_of_a_mebibyte_each_way_when_the_guest_connects(self):
        with VsockProbe() as vm, vm.listen(1234) as listener:
            vm.order("connect 1234 1")
            end, _ = listener.accept()
            end.settimeout(60)
            self.check_echo(end)
            wait_until(lambda: vm.report()["open"] == 0, "the connection is gone")
            vm.finish()

    def test_two_hundred_connections_at_once_are_not_mixed_up(self):
        with VsockProbe() as vm:
            descriptors = vm.descriptors()
            ends = [vm.connect_to_guest(port) for port in range(1000, 1200)]
            for number, end in enumerate(ends):
                end.sendall(b"%d " % number * 20)
            for number, end in enumerate(ends):
                expected, came = b"%d " % number * 20, b""
                while len(came) < len(expected):
                    came += end.recv(4096)
                self.assertEqual(came, expected)
            self.assertEqual(vm.report()["open"], 200)
            for end in ends:
                end.close()
            wait_until(lambda: vm.report()["open"] == 0, "all connections are gone")
            wait_until(lambda: vm.descriptors() <= descriptors, "all descriptors are closed")
            vm.finish()

    def test_guest_connects_a_hundred_times_and_where_nobody_listens(self):
        with VsockProbe() as vm, vm.listen(1234) as listener:
            vm.order("connect 1234 100")
            ends = [listener.accept()[0] for _ in range(100)]
            wait_until(lambda: vm.report()["answered"] == 100, "all are answered")
            for end in ends:
                end.close()
            wait_until(lambda: vm.report()["open"] == 0, "all connections are gone")
            vm.order("connect 4321 3")
            wait_until(lambda: vm.report()["open"] == 0, "refused by reset")
            vm.finish()

    def test_half_closed_by_the_guest_the_other_direction_goes_on(self):
        with VsockProbe() as vm, vm.listen(1234) as listener:
            vm.order("connect 1234 1")
            end, _ = listener.accept()
            end.settimeout(60)
            end.sendall(b"before")
            self.assertEqual(end.recv(100), b"before")
            vm.order("shut")
            self.assertEqual(end.recv(100), b"", "the guest has said that it sends no more")
            end.sendall(b"x" * 1000)
            wait_until(lambda: vm.report()["late"] == 1000, "the guest still receives")
            end.close()
            wait_until(lambda: vm.report()["open"] == 0, "the connection is gone")
            vm.finish()

    def test_slow_host_reader_holds_up_itself_only_and_loses_nothing(self):
        with VsockProbe() as vm:
            slow = vm.connect_to_guest()
            resident = vm.resident_kib()
            data = random.Random(2).randbytes(SIZE)
            thread = threading.Thread(target=slow.sendall, args=(data,))
            thread.start()
            time.sleep(0.5)
            self.assertTrue(thread.is_alive(), "back-pressure reaches the sender")
            self.assertLess(vm.resident_kib(), resident + 2048)
            before = vm.loop_ticks()
            time.sleep(0.5)
            self.assertLessEqual(vm.loop_ticks() - before, 5, "nothing spins while nobody reads")
            came = b""
            while len(came) < len(data):
                came += slow.recv(65536)
            thread.join()
            self.assertEqual(came, data)
            slow.close()
            vm.finish()

    def test_reset_storm_leaves_nothing_behind_v_08(self):
        with VsockProbe() as vm:
            self.check_echo(vm.connect_to_guest(), 4096)
            resident, descriptors = vm.resident_kib(), vm.descriptors()
            vm.order("storm 100")
            self.assertEqual(vm.report()["open"], 0)
            self.assertLess(vm.resident_kib(), resident + 512)
            self.assertLessEqual(vm.descriptors(), descriptors)
            self.check_echo(vm.connect_to_guest(), 65536)
            vm.finish()

    def test_host_program_that_comes_and_goes_leaves_nothing_behind_v_09(self):
        with VsockProbe() as vm:
            self.check_echo(vm.connect_to_guest(), 4096)
            descriptors = vm.descriptors()
            for number in range(100):
                end = socket.socket(socket.AF_UNIX)
                end.connect(vm.path())
                end.sendall((b"", b"CONN", b"CONNECT 52\n", b"CONNECT 52\ndata", b"nonsense\n")[number % 5])
                end.close()
            wait_until(lambda: vm.report()["open"] == 0 and vm.descriptors() <= descriptors, "all are gone")
            before = vm.loop_ticks()
            time.sleep(0.5)
            self.assertLessEqual(vm.loop_ticks() - before, 5, "a peer that is gone keeps nobody busy")
            self.check_echo(vm.connect_to_guest(), 4096)
            vm.finish()

    def test_pauses_lose_no_byte(self):
        with VsockProbe() as vm:
            end = vm.connect_to_guest()
            transfer = threading.Thread(target=self.check_echo, args=(end, SIZE, 3))
            transfer.start()
            while transfer.is_alive():
                vm.patch("/vm", {"state": "Paused"})
                vm.patch("/vm", {"state": "Resumed"})
                time.sleep(0.02)
            transfer.join()
            wait_until(lambda: vm.report()["open"] == 0, "the end came through")
            vm.finish()


if __name__ == "__main__":
    run_tests()
