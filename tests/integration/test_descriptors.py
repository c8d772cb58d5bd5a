#!/usr/bin/env python3
"""Snapshots loaded by descriptor: open files that come with the request or at exec take the place of paths.

Usage: test_descriptors.py WISP GUEST_DIR [unittest arguments]
"""
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import network
import probe
from monitor import drive, make_disk, receive_answer, request
from probe import Probe, run_tests, wait_until
from snapshots import Clone, SnapshotTest, capture, resume

MIB = 1 << 20
MAX_DESCRIPTORS = 32
REFUSAL = None


def setUpModule():
    global REFUSAL
    REFUSAL = network.enter_own_network()


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = network.IFF_TAP | network.IFF_NO_PI | network.IFF_VNET_HDR
    fcntl.ioctl(tap, network.TUNSETIFF, struct.pack("16sH14x", name.encode(), flags))
    return tap


class Machine(SnapshotTest):
    """One device of each kind that has something of the host behind it."""

    def setUp(self):
        super().setUp()
        self.home = self.directory / "home"
        self.home.mkdir()
        self.original = make_disk(self.home / "disk", 64)
        (self.home / "pmem").write_bytes(bytes(2 * MIB))

    def capture_machine(self, tap=None, metadata=None):
        devices = {"/drives/d": drive("d", self.home / "disk"),
                   "/pmem/p": {"id": "p", "path_on_host": str(self.home / "pmem")},
                   "/vsock": {"guest_cid": 3, "uds_path": str(self.home / "v.sock")}}
        if tap:
            devices["/network-interfaces/n"] = {"iface_id": "n", "host_dev_name": tap}
        if metadata:
            devices["/mmds/config"] = {"network_interfaces": ["n"], "version": "V1"}
            devices["/mmds"] = metadata
        with Probe("drive_probe", devices) as vm:
            vm.order("write 3 77")
            capture(vm, self.files)

    def hold(self, descriptor):
        """Closed at the end of the test; returns its number."""
        if isinstance(descriptor, int):
            self.addCleanup(os.close, descriptor)
            return descriptor
        self.addCleanup(descriptor.close)
        return descriptor.fileno()

    def open(self, path, flags=os.O_RDWR):
        return self.hold(os.open(path, flags | os.O_CLOEXEC))

    def listener(self, path=None, kind=socket.SOCK_STREAM):
        made = socket.socket(socket.AF_UNIX, kind)
        if path:
            made.bind(str(path))
            made.listen(5)
        return self.hold(made)

    def call_load(self, vm, body, descriptors=()):
        return vm.call("PUT", "/snapshot/load", body, descriptors)

    def body(self, names, resume=True):
        """A load that names no path of any file."""
        body = {"snapshot_descriptor": names["state"], "resume_vm": resume, "recorded_paths": "Refuse",
                "mem_backend": {"backend_type": "File", "descriptor": names["memory"]},
                "drive_overrides": [{"id": "d", "descriptor": names["disk"]}],
                "pmem_overrides": [{"id": "p", "descriptor": names["pmem"]}],
                "vsock_override": {"descriptor": names["vsock"]}}
        if "tap" in names:
            body["network_overrides"] = [{"iface_id": "n", "descriptor": names["tap"]}]
        return body

    def everything(self, tap=None):
        """Open files for every part of a clone, by what they are."""
        files = {"state": self.open(self.files.state, os.O_RDONLY), "memory": self.open(self.files.memory, os.O_RDONLY),
                 "disk": self.open(self.home / "disk"), "pmem": self.open(self.home / "pmem"),
                 "vsock": self.listener(self.directory / "clone.sock")}
        if tap:
            files["tap"] = self.hold(open_tap(tap))
        return files


class WithoutPaths(Machine):
    def hidden(self):
        """Runs what follows in a mount namespace where the directory of all files is empty."""
        script = 'mount -t tmpfs none "$0" && exec "$@"'
        return ("unshare", "--mount", "sh", "-c", script, str(self.directory))

    def check_clone(self, vm):
        listing = subprocess.run(["ls", "-A", f"/proc/{vm.process.pid}/root/{self.directory}"], capture_output=True)
        self.assertEqual(listing.stdout, b"", "the clone can see the files")
        wait_until(lambda: vm.call("GET", "/").json()["state"] == "Running", "running")
        self.assertIn("sum=", vm.order("read 3"))
        vm.order("write 6 11")
        self.assertEqual((self.home / "disk").read_bytes()[6 * 512:7 * 512], bytes([11]) * 512)
        self.assertEqual((self.home / "disk").read_bytes()[3 * 512:4 * 512], bytes([77]) * 512)
        config = vm.call("GET", "/vm/config").json()
        self.assertEqual(config["drives"][0]["path_on_host"], "<descriptor>")
        self.assertEqual(config["vsock"]["uds_path"], str(self.directory / "clone.sock"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.directory / "clone.sock"))
        vm.finish()

    def test_everything_comes_with_the_request(self):
        tap = None if REFUSAL else "fd0"
        if tap:
            network.make_tap(tap, "10.79.0.1")
            self.addCleanup(network.remove_tap, tap)
        self.capture_machine(tap)
        files = self.everything(tap)
        names = {name: index for index, name in enumerate(files)}
        with Clone(launcher=self.hidden()) as vm:
            self.assert_loaded(self.call_load(vm, self.body(names), files.values()))
            self.check_clone(vm)

    def test_everything_is_inherited(self):
        self.capture_machine()
        files = self.everything()
        names = {name: name for name in files}
        words = [word for name, number in files.items() for word in ("--inherit-fd", f"{name}={number}")]
        with Clone(("--log-path", "log", *words), launcher=self.hidden(), pass_fds=tuple(files.values())) as vm:
            self.assert_loaded(self.call_load(vm, self.body(names)))
            self.check_clone(vm)

    def test_two_clones_share_one_open_memory_file(self):
        self.capture_machine()
        clones = []
        for name in ("one", "two"):
            shutil.copy(self.home / "disk", self.home / name)
            files = self.everything_again(name)
            names = {key: index for index, key in enumerate(files)}
            vm = Clone()
            self.addCleanup(vm.__exit__)
            self.assert_loaded(self.call_load(vm, self.body(names), files.values()))
            clones.append(vm)
        for number, vm in enumerate(clones):
            vm.order(f"write 9 {number + 1}")
        for number, name in enumerate(("one", "two")):
            self.assertEqual((self.home / name).read_bytes()[9 * 512], number + 1)

    def everything_again(self, name):
        return {"state": self.open(self.files.state, os.O_RDONLY), "memory": self.open(self.files.memory, os.O_RDONLY),
                "disk": self.open(self.home / name), "pmem": self.open(self.home / "pmem"),
                "vsock": self.listener(self.directory / f"{name}.sock")}

    def test_a_snapshot_of_such_a_clone_records_no_path_that_could_be_opened(self):
        self.capture_machine()
        files = self.everything()
        names = {name: index for index, name in enumerate(files)}
        with Clone() as vm:
            self.assert_loaded(self.call_load(vm, self.body(names), files.values()))
            capture(vm, self.files)
        with Clone() as vm:
            self.assert_refused(vm.load(self.files), "drive 'd' was given as a descriptor when it was captured")
            self.assertEqual(vm.wait_exit(), 1)


class Outputs(Machine):
    def test_log_metrics_and_serial_output_go_to_open_files(self):
        self.capture_machine()
        paths = {name: self.directory / name for name in ("serial", "log", "metrics")}
        fds = [self.open(path, os.O_WRONLY | os.O_CREAT) for path in paths.values()]
        os.unlink(self.home / "v.sock")
        with Clone(arguments=()) as vm:
            self.assert_loaded(vm.call("PUT", "/snapshot/load", {
                "snapshot_path": str(self.files.state), "resume_vm": True,
                "mem_backend": {"backend_type": "File", "backend_path": str(self.files.memory)},
                "serial_override": {"descriptor": 0}, "logger_override": {"descriptor": 1},
                "metrics_override": {"descriptor": 2}}, fds))
            vm.put("/actions", {"action_type": "FlushMetrics"})
            self.assertGreaterEqual(len(paths["metrics"].read_text().splitlines()), 2)
            self.assertIn("FlushMetrics", paths["log"].read_text())
            self.assertNotIn("FlushMetrics", vm.output())
            self.assertTrue(paths["serial"].exists())

    def test_the_metadata_is_there_before_the_guest_runs(self):
        if REFUSAL:
            self.skipTest(REFUSAL)
        network.make_tap("fd1", "10.79.1.1")
        self.addCleanup(network.remove_tap, "fd1")
        devices = {"/network-interfaces/eth0": {"iface_id": "eth0", "host_dev_name": "fd1"},
                   "/mmds/config": {"network_interfaces": ["eth0"], "version": "V1"}, "/mmds": {"hello": "old"}}
        with Probe("net_probe", devices) as vm:
            capture(vm, self.files)
        contents = self.directory / "metadata.json"
        contents.write_text(json.dumps({"hello": "new"}))
        for override, fds in (({"path": str(contents)}, []), ({"descriptor": 0}, [self.open(contents, os.O_RDONLY)])):
            with self.subTest(override=override), Clone() as vm:
                self.assert_loaded(vm.call("PUT", "/snapshot/load", {
                    "snapshot_path": str(self.files.state), "resume_vm": True, "metadata_override": override,
                    "mem_backend": {"backend_type": "File", "backend_path": str(self.files.memory)}}, fds))
                self.assertEqual(vm.call("GET", "/mmds").json(), {"hello": "new"})
                self.assertIn("mmds: HTTP/1.1 200  / new", vm.order("mmds"))


class Refusals(Machine):
    def test_descriptors_that_are_not_what_they_must_be(self):
        self.capture_machine()
        os.mkfifo(self.directory / "fifo")
        (self.directory / "empty").touch()
        null, fifo = self.open("/dev/null"), self.open(self.directory / "fifo", os.O_RDWR | os.O_NONBLOCK)
        plain, unbound = self.open(self.home / "disk"), self.listener()
        datagrams = self.listener(None, socket.SOCK_DGRAM)
        wrong = {
            ("drive_overrides", "d"): [
                (null, "is a character device. Give a regular file or a block device"), (fifo, "is a FIFO"),
                (unbound, "is a socket"), (self.open(self.directory, os.O_RDONLY), "is a directory"),
                (self.open(self.home / "disk", os.O_RDONLY), "Open it with O_RDWR"),
                (self.open(self.home / "disk", os.O_WRONLY), "Open it with O_RDWR"),
                (self.open(self.home / "disk", os.O_PATH), "Open it with O_RDWR"),
                (self.open(self.home / "disk", os.O_RDWR | os.O_APPEND), "O_APPEND")],
            ("pmem_overrides", "p"): [
                (null, "is a character device. Give a regular file"), (self.open(self.directory / "empty"), "is empty"),
                (self.open(self.home / "pmem", os.O_RDONLY), "Open it with O_RDWR")],
            ("vsock_override", None): [
                (plain, "not a listening Unix stream socket"), (unbound, "not a listening Unix stream socket"),
                (datagrams, "not a listening Unix stream socket"), (fifo, "not a listening Unix stream socket")],
            ("mem_backend", None): [
                (plain, "Failed to load guest memory"), (null, "is a character device"),
                (self.open(self.files.memory, os.O_WRONLY), "Open it with O_RDONLY")],
            ("snapshot_descriptor", None): [(plain, "Magic value"), (fifo, "is a FIFO"), (null, "a character device")],
            ("serial_override", None): [
                (unbound, "is a socket. Give a regular file, a FIFO or a terminal"),
                (self.open(self.home / "disk", os.O_RDONLY), "is not open for writing")],
        }
        for (member, identifier), cases in wrong.items():
            for descriptor, text in cases:
                with self.subTest(member=member, text=text):
                    files = self.everything_fresh()
                    names = {name: index for index, name in enumerate(files)}
                    body = {**self.body(names), "serial_override": {"descriptor": 7}}
                    fds = [*files.values(), self.open("/dev/null"), self.open("/dev/null"), self.open("/dev/null"),
                           descriptor]
                    bad = len(fds) - 1
                    body[member] = {"drive_overrides": [{"id": "d", "descriptor": bad}],
                                    "pmem_overrides": [{"id": "p", "descriptor": bad}],
                                    "mem_backend": {"backend_type": "File", "descriptor": bad},
                                    "snapshot_descriptor": bad}.get(member, {"descriptor": bad})
                    with Clone() as vm:
                        self.assert_refused(self.call_load(vm, body, fds), text)
                        self.assertEqual(vm.wait_exit(), 1)

    def everything_fresh(self):
        files = self.everything()
        (self.directory / "clone.sock").unlink()
        return files

    def test_a_handler_that_is_no_connected_socket(self):
        self.capture_machine()
        for descriptor, text in ((self.open("/dev/null"), "not a connected Unix stream socket"),
                                 (self.listener(self.directory / "l"), "not a connected Unix stream socket"),
                                 (self.listener(), "cannot send the userfaultfd")):
            os.path.exists(self.home / "v.sock") and os.unlink(self.home / "v.sock")
            with self.subTest(text=text), Clone() as vm:
                self.assert_refused(vm.call("PUT", "/snapshot/load", {
                    "snapshot_path": str(self.files.state),
                    "mem_backend": {"backend_type": "Uffd", "descriptor": 0}}, [descriptor]), text)
                self.assertEqual(vm.wait_exit(), 1)

    def test_names_that_mean_no_descriptor(self):
        self.capture_machine()
        state = self.open(self.files.state, os.O_RDONLY)
        for name, count, text in ((1, 1, "descriptor 1 is not there, 1 came with the request"),
                                  (0, 0, "descriptor 0 is not there, 0 came with the request"),
                                  (4294967295, 1, "descriptor 4294967295 is not there"),
                                  ("disk", 1, "there is no inherited descriptor 'disk'")):
            with self.subTest(name=name), Clone() as vm:
                body = {"snapshot_descriptor": name, "mem_file_path": str(self.files.memory)}
                self.assert_refused(self.call_load(vm, body, [state] * count), text)
                self.assertEqual(vm.wait_exit(), 1)
        with Clone() as vm:  # one descriptor for two things
            body = {"snapshot_descriptor": 0, "mem_backend": {"backend_type": "File", "descriptor": 0}}
            os.unlink(self.home / "v.sock")
            self.assert_refused(self.call_load(vm, body, [state]), "descriptor 0 is named twice")

    def test_bodies_that_say_too_much_or_too_little_change_nothing(self):
        memory = {"backend_type": "File", "backend_path": "/m"}
        for body, text in (
                ({"snapshot_descriptor": -1, "mem_backend": memory}, "expected u32"),
                ({"snapshot_descriptor": 4294967296, "mem_backend": memory}, "expected u32"),
                ({"snapshot_descriptor": [], "mem_backend": memory}, "expected u32"),
                ({"snapshot_descriptor": 0, "snapshot_path": "/s", "mem_backend": memory}, "exclusively is required"),
                ({"mem_backend": memory}, "missing field `snapshot_path`"),
                ({"snapshot_path": "/s", "mem_backend": {"backend_type": "File"}}, "missing field `backend_path`"),
                ({"snapshot_path": "/s", "mem_backend": {**memory, "descriptor": 0}}, "exclusively is required"),
                ({"snapshot_path": "/s", "mem_backend": memory, "recorded_paths": "Maybe"}, "unknown variant `Maybe`"),
                ({"snapshot_path": "/s", "mem_backend": memory, "drive_overrides": [{"id": "d"}]}, "path_on_host"),
                ({"snapshot_path": "/s", "mem_backend": memory, "serial_override": {}}, "serial_out_path"),
                ({"snapshot_path": "/s", "mem_backend": memory, "logger_override": {"log_path": "x", "y": 1}}, "`y`")):
            with self.subTest(body=body), Clone() as vm:
                self.assert_refused(vm.call("PUT", "/snapshot/load", body), text)
                self.assertEqual(vm.call("GET", "/").json()["state"], "Not started")

    def test_with_recorded_paths_refused_nothing_of_the_snapshot_is_opened(self):
        self.capture_machine()
        os.unlink(self.home / "v.sock")
        full = {"drive_overrides": [{"id": "d", "path_on_host": str(self.home / "disk")}],
                "pmem_overrides": [{"id": "p", "path_on_host": str(self.home / "pmem")}],
                "vsock_override": {"uds_path": str(self.home / "new.sock")}}
        for missing, text in (("drive_overrides", "drive 'd' is not in drive_overrides"),
                              ("pmem_overrides", "pmem 'p' is not in pmem_overrides"),
                              ("vsock_override", "the vsock device is not in vsock_override")):
            body = {name: value for name, value in full.items() if name != missing}
            with self.subTest(missing=missing), Clone() as vm:
                self.assert_refused(vm.load(self.files, recorded_paths="Refuse", **body), text)
                self.assertEqual(vm.wait_exit(), 1)
                self.assertFalse((self.home / "new.sock").exists(), "something was opened")
                self.assertFalse((self.home / "v.sock").exists(), "something was opened")
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, recorded_paths="Refuse", **full))
            vm.finish()

    def test_arguments_that_name_no_open_descriptor(self):
        for word, text in (("disk=77", "names no open descriptor"), ("disk", "is not NAME=N"), ("=4", "is not NAME=N"),
                           ("disk=", "is not NAME=N"), ("disk=2", "is not NAME=N"), ("disk=-3", "is not NAME=N"),
                           ("disk=4x", "is not NAME=N"), ("x" * 65 + "=4", "is not NAME=N")):
            with self.subTest(word=word), Clone(("--inherit-fd", word)) as vm:
                self.assertNotEqual(vm.wait_exit(), 0)
                self.assertIn(text, vm.output())
        # What the monitor opens itself never passes for one that was inherited.
        with Clone(("--inherit-fd", "disk=3", "--trace", "trace", "--metrics-path", "metrics")) as vm:
            self.assertEqual(vm.wait_exit(), 1)
            self.assertIn("disk=3 names no open descriptor", vm.output())
        with Clone(("--inherit-fd", "a=0x4", "--inherit-fd", "a=5")) as vm:
            self.assertNotEqual(vm.wait_exit(), 0)


class Edit(Machine):
    def edit(self, *changes):
        return subprocess.run([probe.WISP, "snapshot", "edit", self.files.state, *changes], capture_output=True, text=True)

    def test_edited_paths_are_opened_and_nothing_else_changes(self):
        self.capture_machine()
        before = self.files.state.read_bytes()
        self.files.state.chmod(0o640)
        stat = self.files.state.stat()
        moved = self.directory / "moved"
        moved.mkdir()
        for name in ("disk", "pmem"):
            shutil.move(self.home / name, moved / name)
        done = self.edit(f"drive.d={moved}/disk", f"pmem.p={moved}/pmem", f"vsock={moved}/v.sock")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual([getattr(self.files.state.stat(), name) for name in ("st_mode", "st_uid", "st_gid")],
                         [getattr(stat, name) for name in ("st_mode", "st_uid", "st_gid")])
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files))
            self.assertEqual(vm.call("GET", "/vm/config").json()["drives"][0]["path_on_host"], f"{moved}/disk")
            self.assertIn("sum=", vm.order("read 3"))
            vm.finish()
        home = self.home
        self.assertEqual(self.edit(f"drive.d={home}/disk", f"pmem.p={home}/pmem", f"vsock={home}/v.sock").returncode, 0)
        self.assertEqual(self.files.state.read_bytes(), before, "there and back again")

    def test_a_path_that_is_taken_away_must_be_named_by_the_load(self):
        self.capture_machine()
        self.assertEqual(self.edit("drive.d=").returncode, 0)
        os.unlink(self.home / "v.sock")
        with Clone() as vm:
            self.assert_refused(vm.load(self.files), "drive 'd' was given as a descriptor when it was captured")
        with Clone() as vm:
            self.assert_loaded(vm.load(self.files, drive_overrides=[
                {"id": "d", "path_on_host": str(self.home / "disk")}]))
            vm.finish()

    def test_a_change_that_cannot_be_made_leaves_the_file_as_it_was(self):
        self.capture_machine()
        before = self.files.state.read_bytes()
        for changes, text in ((["drive.x=/y"], "has no 'drive.x'"), (["drive=/y"], "has no 'drive'"),
                              (["net.d=tap0"], "has no 'net.d'"), (["vsock.x=/y"], "has no 'vsock.x'"),
                              (["drive.d"], "is no change"), (["drive.d=/y", "no"], "is no change"),
                              (["drive.d=" + "x" * 4097], "more than 4096 bytes")):
            done = self.edit(*changes)
            self.assertEqual(done.returncode, 1, changes)
            self.assertIn(text, done.stderr)
            self.assertEqual(self.files.state.read_bytes(), before)
        self.files.state.write_bytes(before[:-1] + b"x")
        self.assertEqual(self.edit("drive.d=/y").returncode, 1)


class Leaks(Machine):
    """Whatever clients send along, the monitor holds no more than while it reads the request."""

    def count(self, vm):
        """Descriptors while one client is connected: what ended clients left is cleared when the next one comes."""
        with vm.connect() as client:
            self.assertEqual(request(client, "GET", "/").status, 200)
            return vm.descriptors()

    def count_at_rest(self, vm):
        vm.wait_until_idle()
        return self.count(vm)

    def settled(self, vm, wanted):
        wait_until(lambda: self.count(vm) == wanted, f"{wanted} descriptors")

    def test_requests_that_take_none_are_refused_and_keep_none(self):
        null = self.open("/dev/null")
        with Clone() as vm:
            self.assertEqual(vm.call("GET", "/").status, 200)
            before = self.count_at_rest(vm)
            for method, path, body in (("GET", "/", None), ("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64}),
                                       ("PUT", "/drives/d", drive("d", "/x")), ("PATCH", "/vm", {"state": "Paused"}),
                                       ("PUT", "/actions", {"action_type": "InstanceStart"}),
                                       ("PUT", "/snapshot/create", {"snapshot_path": "a", "mem_file_path": "b"})):
                answer = vm.call(method, path, body, [null] * 3)
                self.assert_refused(answer, "only PUT /snapshot/load takes any")
            for method, path, body in (("PUT", "/snapshot/load", b"{"), ("PUT", "/no/such", {}),
                                       ("PUT", "/snapshot/load", {"snapshot_path": 1})):
                self.assertEqual(vm.call(method, path, body, [null] * MAX_DESCRIPTORS).status, 400)
            self.assertEqual(vm.call("GET", "/").status, 200)
            self.settled(vm, before)
            self.assertEqual(vm.call("GET", "/machine-config").json()["mem_size_mib"], 128)

    def test_hostile_clients_fill_nothing(self):
        null = self.open("/dev/null")
        with Clone() as vm:
            before = self.count_at_rest(vm)
            for count in (MAX_DESCRIPTORS + 1, 200):
                with vm.connect() as client:
                    socket.send_fds(client, [b"G"], [null] * count)
                    answer = receive_answer(client)
                    self.assertEqual(answer.status, 400)
                    self.assertIn("more file descriptors than the 32 that fit", answer.body)
            with vm.connect() as client:  # in pieces
                for byte in b"GET / HTTP/1.1\r\n":
                    try:
                        socket.send_fds(client, [bytes([byte])], [null] * 3)
                    except OSError:
                        break
                self.assertEqual(receive_answer(client).status, 400)
            self.settled(vm, before)
            for _ in range(200):  # half a request, and gone
                with vm.connect() as client:
                    socket.send_fds(client, [b"PUT /snapshot/load HTTP/1.1\r\n"], [null] * MAX_DESCRIPTORS)
            self.settled(vm, before)
            clients = [vm.connect() for _ in range(9)]  # all places but one: held until the deadline, no more
            for client in clients:
                socket.send_fds(client, [b"P"], [null] * MAX_DESCRIPTORS)
            wait_until(lambda: vm.descriptors() >= before + 8, "nine clients")
            self.assertLessEqual(self.count(vm), before + 9 * (MAX_DESCRIPTORS + 1))
            for client in clients:
                client.close()
            self.settled(vm, before)

    def test_descriptors_behind_a_faulty_request_go_with_its_connection(self):
        null = self.open("/dev/null")
        with Clone() as vm:
            before = self.count_at_rest(vm)
            for bytes_ in (b"\0\0\0\r\n\r\n", b"BREW / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n", b"\r\n\r\n"):
                with vm.connect() as client:
                    socket.send_fds(client, [bytes_], [null] * 5)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
            self.settled(vm, before)

    def test_what_a_load_does_not_name_is_closed(self):
        self.capture_machine()
        null = self.open("/dev/null")
        os.unlink(self.home / "v.sock")
        counts = []
        for extra in (0, 20):
            with Clone() as vm:
                state, memory = (self.open(path, os.O_RDONLY) for path in (self.files.state, self.files.memory))
                self.assert_loaded(vm.call("PUT", "/snapshot/load", {
                    "snapshot_descriptor": 0, "mem_backend": {"backend_type": "File", "descriptor": 1},
                    "vsock_override": {"uds_path": str(self.directory / f"v{extra}")}},
                    [state, memory, *([null] * extra)]))
                counts.append(vm.descriptors())
                resume(vm)
                vm.finish()
        self.assertEqual(counts[0], counts[1])


if __name__ == "__main__":
    run_tests()
