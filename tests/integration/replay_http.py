"""A small HTTP client that shows what a server really sent, for replay_transcripts.py."""

import json
import re
import select
import socket
import time

ANSWER_TIMEOUT_S = 15.0
SILENCE_S = 0.5
QUIET_S = 0.15
CHUNK_BYTES = 65536


class Closed(Exception):
    """The server ended the connection before a whole answer came."""


class Silent(Exception):
    """No whole answer came in time."""


class Gone(Exception):
    """No connection can be made."""


class Answer:
    """One response: status, headers with lower-case names, body, and departures from the ordinary form."""

    def __init__(self, status_line, headers, body):
        self.status_line = status_line
        self.headers = headers
        self.body = body
        found = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", status_line)
        self.status = int(found.group(1)) if found else None

    def oddities(self):
        odd = []
        if not self.status_line.startswith("HTTP/1.1 "):
            odd.append("status line: " + self.status_line)
        if self.headers.get("connection", "keep-alive").lower() != "keep-alive" and self.status != 503:
            odd.append("connection: " + self.headers["connection"])
        if self.body and self.status != 503:
            if self.headers.get("content-type") != "application/json":
                odd.append("content-type: %s" % self.headers.get("content-type"))
        if self.status in (100, 204):
            odd += [name for name in ("content-length", "content-type") if name in self.headers]
        return odd

    def error_kind(self):
        """fault, http, or None: the two shapes of an error body."""
        try:
            # The reference puts a raw line break into a string, so control characters must pass.
            value = json.loads(self.body.decode("utf-8"), strict=False)
        except (ValueError, UnicodeDecodeError):
            return None
        if not isinstance(value, dict) or len(value) != 1:
            return None
        key, text = next(iter(value.items()))
        if not isinstance(text, str) or not text:
            return None
        return {"fault_message": "fault", "error": "http"}.get(key)

    def __str__(self):
        return "%s %s" % (self.status, self.body[:300].decode("utf-8", "replace"))


class Connection:
    """One connection to the API socket; it is opened again when the server ended it after an answer."""

    def __init__(self, path, is_alive):
        self.path = path
        self.is_alive = is_alive
        self.socket = None
        self.buffer = b""

    def open(self):
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            attempt = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                attempt.connect(self.path)
                self.socket, self.buffer = attempt, b""
                return
            except OSError:
                attempt.close()
            if not self.is_alive() or time.monotonic() > deadline:
                raise Gone()
            time.sleep(0.005)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def half_close(self):
        self.ready()
        self.socket.shutdown(socket.SHUT_WR)

    def ready(self):
        """A usable connection: a new one when there is none or when the server ended the old one."""
        if self.socket is not None and not self.buffer and self.wait_readable(0):
            try:
                received = self.socket.recv(CHUNK_BYTES)
            except OSError:
                received = b""
            if received:
                self.buffer = received
            else:
                self.close()
        if self.socket is None:
            self.open()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the answer, or its absence, tells what happened

    def wait_readable(self, timeout_s):
        return bool(select.select([self.socket], [], [], max(0.0, timeout_s))[0])

    def receive(self, deadline):
        if not self.wait_readable(deadline - time.monotonic()):
            raise Silent()
        try:
            data = self.socket.recv(CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            self.close()
            raise Closed()
        self.buffer += data

    def read_answer(self, timeout_s=ANSWER_TIMEOUT_S):
        deadline = time.monotonic() + timeout_s
        while b"\r\n\r\n" not in self.buffer:
            self.receive(deadline)
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            self.buffer = b""
            self.receive(deadline)
            rest += self.buffer
        self.buffer = rest[length:]
        return Answer(lines[0], headers, rest[:length])

    def more_comes(self):
        """Does another byte come within the quiet time? The end of the connection is not a byte."""
        if self.buffer:
            return True
        if self.socket is None or not self.wait_readable(QUIET_S):
            return False
        try:
            self.buffer = self.socket.recv(CHUNK_BYTES)
        except OSError:
            self.buffer = b""
        if not self.buffer:
            self.close()
        return bool(self.buffer)


def request_bytes(method, path, body):
    """The request as the transcripts were recorded: body is bytes or None."""
    head = "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n" % (method, path)
    if body is not None:
        head += "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return head.encode("utf-8") + b"\r\n" + (body or b"")
