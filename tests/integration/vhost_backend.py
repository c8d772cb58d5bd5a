"""A vhost-user-blk back end in a thread, written from the protocol's page and virtio 1.2: right, or wrong on demand.

    with Backend(path, disk_bytes) as backend:      # listens; serves one connection
        ... PUT /drives with "socket": path ...

What goes wrong is said by overriding a method: `answer(request, payload)` makes the answers, `on_message(...)` sees all.
"""
import array
import mmap
import os
import select
import socket
import struct
import threading

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES = 12, 13, 15, 16
SET_VRING_ENABLE, GET_CONFIG = 18, 24
VERSION, REPLY, NEED_REPLY = 1, 4, 8

F_RO, F_FLUSH, F_PROTOCOL, F_VERSION_1 = 1 << 5, 1 << 9, 1 << 30, 1 << 32
P_REPLY_ACK, P_CONFIG = 1 << 3, 1 << 9
FEATURES = F_VERSION_1 | F_PROTOCOL | F_FLUSH
SECTOR = 512
NEXT, WRITE = 1, 2
IN, OUT, FLUSH = 0, 1, 4


class Gone(Exception):
    pass


class Backend:
    def __init__(self, path, disk, features=FEATURES, protocol=P_REPLY_ACK | P_CONFIG):
        self.path, self.disk = str(path), bytearray(disk)
        self.features, self.protocol = features, protocol
        self.requests, self.log, self.errors = [], [], []
        self.flushes = 0
        self.regions, self.maps = [], []
        self.ring = None
        self.serving = False
        self.kick = self.call = None
        self.negotiated = None
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.die()
        self._thread.join()
        os.close(self._stop_write)
        os.close(self._stop_read)
        self.drop_memory()
        if self.errors:
            raise AssertionError(self.errors)

    def die(self):
        """Like a killed process: the connection closes, nothing is served any more."""
        os.write(self._stop_write, b"x")

    def drop_memory(self):
        for view, file in self.maps:
            view.close()
            os.close(file)
        self.maps = []

    # ------------------------------------------------------------------------------------------------ protocol

    def _run(self):
        try:
            if self._wait([self.listener]):
                self.connection, _ = self.listener.accept()
                with self.connection:
                    self.serve()
        except (Gone, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001: shown by the test that owns the back end
            self.errors.append(repr(error))
        finally:
            self.serving = False
            self.listener.close()
            for descriptor in (self.kick, self.call):
                if descriptor is not None:
                    os.close(descriptor)

    def _wait(self, files, timeout_s=None):
        ready, _, _ = select.select([*files, self._stop_read], [], [], timeout_s)
        if self._stop_read in ready:
            raise Gone
        return ready

    def serve(self):
        while True:
            watched = [self.connection] + ([self.kick] if self.serving else [])
            ready = self._wait(watched)
            if self.connection in ready:
                self.take_message()
            elif ready:
                os.read(self.kick, 8)
                self.process_ring()

    def take_message(self):
        data, ancillary, _, _ = self.connection.recvmsg(12, socket.CMSG_SPACE(8 * 4))
        if not data:
            raise Gone
        request, flags, size = struct.unpack("<III", data)
        payload = self.connection.recv(size) if size else b""
        descriptors = array.array("i")
        for _, _, content in ancillary:
            descriptors.frombytes(content[:len(content) // 4 * 4])
        self.log.append(request)
        self.on_message(request, flags, payload, list(descriptors))

    def on_message(self, request, flags, payload, descriptors):
        self.apply(request, payload, descriptors)
        answer = self.answer(request, payload)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.send(request, answer)

    def send(self, request, payload, flags=VERSION | REPLY):
        self.connection.sendall(struct.pack("<III", request, flags, len(payload)) + payload)

    def config(self):
        return struct.pack("<Q", len(self.disk) // SECTOR).ljust(60, b"\0")

    def answer(self, request, payload):
        if request == GET_FEATURES:
            return struct.pack("<Q", self.features)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", self.protocol)
        if request == GET_CONFIG:
            _, size, flags = struct.unpack_from("<III", payload)
            return struct.pack("<III", 0, size, flags) + self.config()[:size]
        if request == GET_VRING_BASE:
            return struct.pack("<II", 0, self.next_available)
        return None

    def apply(self, request, payload, descriptors):
        if request == SET_FEATURES:
            self.negotiated, = struct.unpack("<Q", payload)
        elif request == SET_MEM_TABLE:
            self.map_memory(payload, descriptors)
        elif request == SET_VRING_NUM:
            self.ring_size = struct.unpack("<II", payload)[1]
        elif request == SET_VRING_ADDR:
            _, _, self.descriptors_at, self.used_at, self.available_at, _ = struct.unpack("<IIQQQQ", payload)
        elif request == SET_VRING_BASE:
            self.next_available = struct.unpack("<II", payload)[1]
        elif request in (SET_VRING_KICK, SET_VRING_CALL):
            name = "kick" if request == SET_VRING_KICK else "call"
            if getattr(self, name) is not None:
                os.close(getattr(self, name))
            setattr(self, name, descriptors[0])
        elif request == SET_VRING_ENABLE:
            self.serving = True
        elif request == GET_VRING_BASE:
            self.serving = False

    def map_memory(self, payload, descriptors):
        self.drop_memory()
        count, _ = struct.unpack_from("<II", payload)
        assert count == len(descriptors), (count, descriptors)
        self.regions = []
        for index, file in enumerate(descriptors):
            guest, size, user, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * index)
            view = mmap.mmap(file, offset + size)
            self.maps.append((view, file))
            self.regions.append((guest, user, size, offset, view))

    # ---------------------------------------------------------------------------------------------------- ring

    def place(self, address, length, user=False):
        for guest, host, size, offset, view in self.regions:
            start = host if user else guest
            if start <= address and address + length <= start + size:
                return view, address - start + offset
        raise AssertionError(f"{address:#x} is outside memory")

    def read_memory(self, address, length, user=False):
        view, at = self.place(address, length, user)
        return view[at:at + length]

    def write_memory(self, address, data, user=False):
        view, at = self.place(address, len(data), user)
        view[at:at + len(data)] = data

    def process_ring(self):
        done = 0
        while True:
            index, = struct.unpack("<H", self.read_memory(self.available_at + 2, 2, user=True))
            if index == self.next_available:
                break
            slot = self.available_at + 4 + 2 * (self.next_available % self.ring_size)
            head, = struct.unpack("<H", self.read_memory(slot, 2, user=True))
            written = self.carry_out(self.chain(head))
            used, = struct.unpack("<H", self.read_memory(self.used_at + 2, 2, user=True))
            self.write_memory(self.used_at + 4 + 8 * (used % self.ring_size), struct.pack("<II", head, written), True)
            self.write_memory(self.used_at + 2, struct.pack("<H", used + 1 & 0xFFFF), True)
            self.next_available = self.next_available + 1 & 0xFFFF
            done += 1
        if done:
            os.write(self.call, struct.pack("<Q", 1))

    def chain(self, index):
        buffers = []
        while True:
            entry = self.read_memory(self.descriptors_at + 16 * index, 16, user=True)
            address, length, flags, following = struct.unpack("<QIHH", entry)
            buffers.append((address, length, bool(flags & WRITE)))
            if not flags & NEXT:
                return buffers
            index = following

    def carry_out(self, buffers):
        kind, _, sector = struct.unpack("<IIQ", self.read_memory(buffers[0][0], 16))
        at, written = sector * SECTOR, 1
        for address, length, _ in buffers[1:-1]:
            if kind == IN:
                self.write_memory(address, bytes(self.disk[at:at + length]))
                written += length
            elif kind == OUT:
                self.disk[at:at + length] = self.read_memory(address, length)
            at += length
        self.flushes += kind == FLUSH
        self.requests.append(kind)
        self.write_memory(buffers[-1][0], b"\0")
        return written
