"""A wisp process under test: started in a fresh directory, driven over its API, watched on its serial line."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from jailed import Jail, Jails

PATIENCE_S = 60


def guests_beside(wisp):
    return wisp.parent / "guests"


class Answer:
    def __init__(self, status, body):
        self.status, self.body = status, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body!r}"


def receive_answer(connection):
    """Reads one HTTP answer from a connected socket."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError(f"the server hung up after {data!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return Answer(int(head.split()[1]), body.decode())


def request(connection, method, path, body=None, descriptors=()):
    """Sends one request, with open files if there are any, and reads its answer."""
    payload = b"" if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if payload:
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    message = head.encode() + b"\r\n" + payload
    sent = socket.send_fds(connection, [message], list(descriptors)) if descriptors else 0
    connection.sendall(message[sent:])
    return receive_answer(connection)


class Monitor:
    """`with Monitor(wisp) as vm:` — the process is killed and its directory removed at the end.

    Jailed wherever that is possible (jailed.py); a test that cannot be says so with jailed=False and its reason.
    """

    def __init__(self, wisp, arguments=(), stdin=subprocess.DEVNULL, api=True, jailed=True, launcher=(),
                 pass_fds=()):
        wisp = pathlib.Path(wisp).resolve()
        # A jailer hands no descriptor on, and what it starts is the monitor and no launcher.
        jailed = jailed and not launcher and not pass_fds
        if jailed:
            Jails.usable(wisp)  # decides where temporary files are
        self._temporary = tempfile.TemporaryDirectory(prefix="wisp-test-")
        self.directory = pathlib.Path(self._temporary.name)
        self.socket_path = str(self.directory / "api.sock")
        self.output_path = self.directory / "stdout"
        self.log_path = self.directory / "log"
        arguments = [str(argument) for argument in arguments]
        # The log would cut the guest's lines on the standard output, so it has a file of its own where nothing else is asked.
        if "--log-path" not in arguments and "--config-file" not in arguments:
            arguments += ["--log-path", str(self.log_path)]
        words = [*(["--api-sock", self.socket_path] if api else []), *arguments]
        # scripts/seccomp-audit: another policy for every monitor, and who was refused what.
        self._faults = os.environ.get("WISP_TEST_FAULTS")
        if self._faults and "--seccomp-filter" not in words and "--no-seccomp" not in words:
            words += ["--seccomp-filter", shutil.copy(os.environ["WISP_TEST_SECCOMP_FILTER"], self.directory)]
        self._jail = None
        if jailed and Jails.usable(wisp):
            self._jail = Jail(wisp, guests_beside(wisp), words, self.directory)
            words = self._jail.words
        else:
            words = [*map(str, launcher), str(wisp), *words]
        # Where the monitor's relative paths begin.
        self.working_directory = self._jail.root if self._jail else self.directory
        self._output = open(self.output_path, "wb")
        self.process = subprocess.Popen(words, stdin=stdin, stdout=self._output, stderr=subprocess.STDOUT,
                                        cwd=self.directory, pass_fds=pass_fds)
        self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if self._faults and "forbidden system call" in self.output():
            with open(self._faults, "a", encoding="utf-8") as file:
                file.write(self.output())
        self._output.close()
        if self._jail:
            self._jail.close()
        if self._connection:
            self._connection.close()
        self._temporary.cleanup()

    def connect(self):
        """A new connection; waits until the socket is there."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(PATIENCE_S)
            try:
                connection.connect(self.socket_path)
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError("no API socket; output: " + self.output()) from None
                time.sleep(0.002)

    def call(self, method, path, body=None, descriptors=()):
        if self._connection is None:
            self._connection = self.connect()
        return request(self._connection, method, path, body, descriptors)

    def put(self, path, body):
        """A PUT that must succeed."""
        answer = self.call("PUT", path, body)
        if answer.status != 204:
            raise AssertionError(f"PUT {path}: {answer}")

    def patch(self, path, body):
        answer = self.call("PATCH", path, body)
        if answer.status != 204:
            raise AssertionError(f"PATCH {path}: {answer}")

    def configure(self, kernel, boot_args="console=ttyS0", vcpus=1, memory_mib=64, drives=()):
        self.put("/machine-config", {"vcpu_count": vcpus, "mem_size_mib": memory_mib})
        self.put("/boot-source", {"kernel_image_path": str(kernel), "boot_args": boot_args})
        for drive in drives:
            self.put("/drives/" + drive["drive_id"], drive)

    def start(self):
        self.put("/actions", {"action_type": "InstanceStart"})

    def output(self):
        return self.output_path.read_text(errors="replace")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for(self, text, patience_s=PATIENCE_S):
        """Waits until the output holds `text`; fails when the process ends first."""
        deadline = time.monotonic() + patience_s
        while text not in self.output():
            if self.process.poll() is not None and text not in self.output():
                raise AssertionError(f"exit {self.process.returncode} before {text!r}; output: {self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} within {patience_s} s; output: {self.output()}")
            time.sleep(0.005)

    def wait_exit(self, patience_s=PATIENCE_S):
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError("the process did not end; output: " + self.output()) from None

    def signal(self, number):
        os.kill(self.process.pid, number)

    def status_field(self, name):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(name)

    def wakeups(self):
        """How often the threads of the monitor have gone to sleep, and so how often they were woken."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def smaps_total(self, field):
        """KiB of one field over all mappings."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/smaps").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(field))


def make_disk(path, sectors, seed=1):
    """A file of `sectors` sectors with known, different contents; returns its bytes."""
    data = b"".join(bytes((seed * 7 + sector * 13 + offset) % 251 for offset in range(512)) for sector in range(sectors))
    pathlib.Path(path).write_bytes(data)
    return data


def drive(name, path, **options):
    return {"drive_id": name, "path_on_host": str(path), "is_root_device": False, **options}


SIGNALS = signal
