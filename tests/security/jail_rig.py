"""What every jail test needs: a fresh base folder, a start, the probe's report, and a picture of a folder tree."""
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

UID, GID = 64123, 64124
PATIENCE_S = 20
# The flags that make the processes between the jailer and the monitor.
SHAPES = ([], ["--new-pid-ns"], ["--daemonize"], ["--daemonize", "--new-pid-ns"])


def snapshot(folder):
    """Every file below `folder` with its owner, mode and contents."""
    picture = {}
    for path in [pathlib.Path(folder), *sorted(pathlib.Path(folder).rglob("*"))]:
        status = path.lstat()
        contents = b""
        if stat.S_ISREG(status.st_mode):
            contents = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            contents = os.readlink(path).encode()
        picture[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, contents)
    return picture


class Jailer:
    """`with Jailer(options) as jail:` — everything it started is ended and removed."""
    program = probe = None  # set by the command line

    def __init__(self, exec_file=None, name="probe", jail_id="vm-1"):
        self._temporary = tempfile.TemporaryDirectory(prefix="wisp-jail-")
        self.top = pathlib.Path(self._temporary.name)
        self.base = self.top / "base"
        self.base.mkdir(mode=0o755)
        self.exec_file = self.top / name
        shutil.copy(exec_file or self.probe, self.exec_file)
        self.id = jail_id
        self.root = self.base / name / jail_id / "root"
        self.pid_file = self.root / f"{name}.pid"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid_file.is_file() and not self.pid_file.is_symlink():
            pid = int(self.pid_file.read_text() or 0)
            if self.lives_in(pid):
                end(pid)
        self._temporary.cleanup()

    def lives_in(self, pid):
        """Is `pid` a process of this jail? (The number may be another process' by now.)"""
        try:
            return str(self.root) in pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            return False

    def words(self, *arguments, **changed):
        """The command line; a changed value of None leaves the argument out."""
        values = {"id": self.id, "exec-file": self.exec_file, "uid": UID, "gid": GID, "chroot-base-dir": self.base}
        values.update({key.replace("_", "-"): value for key, value in changed.items()})
        line = [str(self.program)]
        for key, value in values.items():
            if value is not None:
                line += [f"--{key}", str(value)]
        return line + [str(word) for word in arguments]

    def start(self, *arguments, **changed):
        # Files, not pipes: a monitor that goes on running holds its standard streams, and a pipe would never end.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(self.words(*arguments, **changed), stdin=subprocess.DEVNULL, stdout=output,
                                  stderr=errors, timeout=PATIENCE_S)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), errors.read())

    def report(self, *arguments, **changed):
        """What the probe found; the start must succeed."""
        done = self.start(*arguments, **changed)
        if done.returncode != 0:
            raise AssertionError(f"exit {done.returncode}: {done.stderr}")
        return self.read_report()

    def read_report(self):
        path = self.root / "run" / "report"
        wait_until(path.exists, "the probe's report")
        return dict(line.partition(" ")[::2] for line in path.read_text().splitlines())

    def pid(self):
        return int(self.pid_file.read_text())


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {PATIENCE_S} s")
        time.sleep(0.002)


def socket_to(path):
    """A connection to an API socket that may not be there yet."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    wait_until(lambda: connection.connect_ex(str(path)) == 0, f"listening socket {path}")
    return connection


def end(pid):
    if pid > 1:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            wait_until(lambda: not alive(pid), f"end of {pid}")


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")
