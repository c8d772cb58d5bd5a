"""The monitor under wisp-jailer, which is how the kvm lane runs it wherever that is possible.

The jail sees the test's own temporary folder and the guests at the paths that they have outside, so a test names files as
it does without a jail. Everything else of the host is gone, the user is not root, and there is no capability.

WISP_TEST_UNJAILED=1 runs the lane without (a sanitizer's build, which is no static program, does so by itself).
"""
import atexit
import ctypes
import itertools
import os
import pathlib
import shutil
import struct
import tempfile

UID, GID = 64123, 64124
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PT_INTERP = 3
PATH_FLAGS = ("--log-path", "--metrics-path", "--config-file", "--metadata", "--seccomp-filter", "--trace",
              "--metrics-sock")

libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count(1)


def is_static(program):
    """No interpreter among the program headers: needs nothing in the jail but itself."""
    data = pathlib.Path(program).read_bytes()
    start, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, start + index * size)[0] != PT_INTERP for index in range(count))


def mount(source, target, kind, flags):
    if libc.mount(os.fsencode(source), os.fsencode(target), kind, flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}")


def bind(folder, root, flags=0):
    """`folder` at its own path below `root`."""
    place = pathlib.Path(f"{root}{folder}")
    place.mkdir(parents=True)
    mount(folder, place, None, MS_BIND | MS_REC)
    if flags:
        mount("none", place, None, MS_BIND | MS_REMOUNT | flags)


def open_temporary_files():
    """What tempfile makes is its owner's alone whatever the umask says; here the jailed user works with it too."""
    make_folder, make_file = tempfile.mkdtemp, tempfile._mkstemp_inner

    def open_folder(*arguments, **named):
        folder = make_folder(*arguments, **named)
        os.chmod(folder, 0o777)
        return folder

    def open_file(*arguments, **named):
        made = make_file(*arguments, **named)
        os.chmod(made[1], 0o666)
        return made

    tempfile.mkdtemp, tempfile._mkstemp_inner = open_folder, open_file


class Jails:
    """Where this process' jails are; made once."""
    _made = None
    options = ()  # more words for the jailer

    @classmethod
    def usable(cls, wisp):
        if cls._made is None:
            jailer = pathlib.Path(wisp).resolve().parent / "wisp-jailer"
            cls._made = (os.environ.get("WISP_TEST_UNJAILED") != "1" and os.geteuid() == 0 and jailer.exists()
                         and is_static(wisp) and cls._make(jailer))
        return cls._made

    @classmethod
    def _make(cls, jailer):
        if libc.unshare(CLONE_NEWNS) != 0:
            return False
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        os.umask(0)  # files of the test must be the jailed user's to write
        cls.jailer = jailer
        top = pathlib.Path(tempfile.mkdtemp(prefix="wj"))
        top.chmod(0o755)
        cls.base, shared = top / "b", top / "t"
        cls.base.mkdir(mode=0o755)
        mount("none", cls.base, b"tmpfs", 0)
        cls.base.chmod(0o755)
        shared.mkdir(mode=0o777)
        shared.chmod(0o777)
        tempfile.tempdir = str(shared)
        open_temporary_files()
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and (libc.umount2(os.fsencode(cls.base), MNT_DETACH),
                                                          shutil.rmtree(top, ignore_errors=True)))
        return True


class Jail:
    """One jail: `words` starts the monitor in it; `close` removes it when the monitor is gone."""

    def __init__(self, wisp, guests, arguments, directory):
        arguments = [str(word) for word in arguments]
        self._id = f"t{next(numbers)}"
        if "--id" in arguments:
            at = arguments.index("--id")
            self._id = arguments[at + 1]
            del arguments[at:at + 2]
        for at, word in enumerate(arguments[:-1]):
            if word in PATH_FLAGS and not arguments[at + 1].startswith("/"):
                arguments[at + 1] = str(directory / arguments[at + 1])
        self._home = Jails.base / pathlib.Path(wisp).name / self._id
        self.root = self._home / "root"
        for folder in (Jails.base / pathlib.Path(wisp).name, self._home, self.root):
            folder.mkdir(mode=0o755, exist_ok=True)
        previous = os.umask(0o022)
        self._mounts = [guests, tempfile.gettempdir()]
        bind(tempfile.gettempdir(), self.root)
        bind(guests, self.root, MS_RDONLY)
        os.umask(previous)
        self.words = [str(Jails.jailer), "--id", self._id, "--exec-file", str(wisp), "--uid", str(UID), "--gid", str(GID),
                      "--chroot-base-dir", str(Jails.base), *Jails.options, "--", *arguments]

    def close(self):
        for folder in self._mounts:
            libc.umount2(os.fsencode(f"{self.root}{folder}"), MNT_DETACH)
        shutil.rmtree(self._home, ignore_errors=True)
