#!/usr/bin/env python3
"""`wisp run` as a person meets it: a terminal, keys, ends. Usage: test_run.py WISP GUEST_DIR [unittest arguments]"""
import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from monitor import make_disk, request  # noqa: E402

WISP = GUESTS = None
PATIENCE_S = 60
CTRL_A = b"\x01"


def run_words(guest, *more):
    return [str(WISP), "run", "--kernel", str(GUESTS / guest), "--memory", "64M", *map(str, more)]


class Terminal:
    """`wisp run` as the foreground process of a terminal of its own; the test has the other side."""

    def __init__(self, words):
        self.master, slave = pty.openpty()
        self.slave_name = os.ttyname(slave)
        self.slave = slave
        self.before = self.settings()
        self.seen = b""

        def become_foreground():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave,
                                        preexec_fn=become_foreground)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def type(self, keys):
        os.write(self.master, keys)

    def read_some(self, patience_s):
        if select.select([self.master], [], [], patience_s)[0]:
            self.seen += os.read(self.master, 65536)

    def wait_for(self, text):
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r}; seen: {self.seen!r}")
            self.read_some(0.2)

    def wait_exit(self):
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not end; seen: {self.seen!r}")
            self.read_some(0.02)
        self.read_some(0.05)
        return self.process.returncode

    def settings(self):
        """Flags as numbers; what an unset VMIN looks like in Python depends on the mode."""
        return termios.tcgetattr(self.slave)[:6]

    def local_flags(self):
        return self.settings()[3]


class OnATerminal(unittest.TestCase):
    def assert_given_back(self, terminal):
        self.assertEqual(terminal.settings(), terminal.before)

    def test_keys_reach_the_guest_and_its_end_gives_the_terminal_back(self):
        with Terminal(run_words("echo")) as terminal:
            terminal.wait_for(b"GUEST-UP")
            self.assertIn(b"Ctrl-A x ends it", terminal.seen)
            self.assertEqual(terminal.local_flags() & (termios.ICANON | termios.ECHO | termios.ISIG), 0)
            terminal.type(b"hello\r\x03\x13world")
            terminal.wait_for(b"hello\r\x03\x13world")
            terminal.type(b"q")
            self.assertEqual(terminal.wait_exit(), 0, terminal.seen)
            self.assertIn(b"echo: done", terminal.seen)
            self.assert_given_back(terminal)

    def test_ctrl_a_x_ends_a_guest_that_does_not_listen(self):
        with Terminal(run_words("idle")) as terminal:
            terminal.wait_for(b"GUEST-UP")
            terminal.type(b"z" * 4000)  # nobody reads them
            terminal.type(CTRL_A + b"x")
            self.assertEqual(terminal.wait_exit(), 0)
            self.assert_given_back(terminal)

    def test_ctrl_a_h_shows_the_keys_and_ctrl_a_twice_types_it(self):
        with Terminal(run_words("echo")) as terminal:
            terminal.wait_for(b"GUEST-UP")
            terminal.type(CTRL_A + b"h")
            terminal.wait_for(b"Ctrl-A Ctrl-A types Ctrl-A")
            terminal.type(b"<" + CTRL_A + CTRL_A + b">")
            terminal.wait_for(b"<" + CTRL_A + b">")

    def test_signals_give_the_terminal_back(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1,
                       signal.SIGSEGV):
            with self.subTest(signal=number), Terminal(run_words("idle")) as terminal:
                terminal.wait_for(b"GUEST-UP")
                self.assertNotEqual(terminal.settings(), terminal.before)
                terminal.process.send_signal(number)
                self.assertNotEqual(terminal.wait_exit(), 0)
                self.assert_given_back(terminal)

    def test_a_crashing_guest_gives_the_terminal_back_and_one(self):
        with Terminal(run_words("fault")) as terminal:
            self.assertEqual(terminal.wait_exit(), 1)
            self.assertIn(b"--log-path", terminal.seen)
            self.assert_given_back(terminal)

    def test_a_start_that_fails_gives_the_terminal_back(self):
        with Terminal(run_words("no-such-guest")) as terminal:
            self.assertEqual(terminal.wait_exit(), 1)
            self.assertIn(b"no-such-guest", terminal.seen)
            self.assertIn(b"wisp doctor", terminal.seen)
            self.assert_given_back(terminal)

    def test_without_run_the_terminal_is_given_back_too(self):
        with tempfile.TemporaryDirectory(prefix="wisp-run-") as folder:
            file = pathlib.Path(folder) / "vm.json"
            file.write_bytes(subprocess.check_output(run_words("echo", "--print-config")))
            with Terminal([str(WISP), "--no-api", "--config-file", str(file), "--level", "Off"]) as terminal:
                terminal.wait_for(b"GUEST-UP")
                terminal.type(CTRL_A + b"xq")
                self.assertEqual(terminal.wait_exit(), 0, terminal.seen)
                self.assertIn(CTRL_A + b"xq", terminal.seen)
                self.assert_given_back(terminal)

    def test_the_log_does_not_mix_with_the_console(self):
        with Terminal(run_words("memory")) as terminal:
            self.assertEqual(terminal.wait_exit(), 0)
            self.assertNotIn(b"[anonymous-instance:", terminal.seen)


class AsAPipe(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="wisp-run-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def run_wisp(self, guest, *more, **options):
        return subprocess.run(run_words(guest, *more), capture_output=True, timeout=PATIENCE_S, **options)

    def test_input_and_output_are_the_console_as_they_are(self):
        done = self.run_wisp("echo", input=b"one " + CTRL_A + b"x two q")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(b"one " + CTRL_A + b"x two q", done.stdout)
        self.assertNotIn(b"Ctrl-A", done.stderr)

    def test_a_drive_is_written_and_a_read_only_one_is_not(self):
        for suffix, expected in (("", b"write ok"), (":ro", b"write refused")):
            with self.subTest(suffix=suffix):
                path = self.folder / "root"
                before = make_disk(path, 64)
                done = self.run_wisp("blk_probe", "--rootfs", f"{path}{suffix}", "--entropy", "off",
                                     stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 0, done)
                self.assertIn(expected, done.stdout)
                self.assertEqual(path.read_bytes() == before, suffix == ":ro")

    def test_processors(self):
        done = self.run_wisp("smp", "--cpus", "2", stdin=subprocess.DEVNULL)
        self.assertIn(b"cpus: 2", done.stdout)

    def test_the_log_goes_to_its_file(self):
        log = self.folder / "log"
        done = self.run_wisp("memory", "--log-path", log, "--id", "vm-7", stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0)
        self.assertIn("[vm-7:", log.read_text())
        self.assertNotIn(b"vm-7", done.stdout + done.stderr)

    def test_the_printed_configuration_is_a_configuration_file_that_runs(self):
        disk = self.folder / "disk"
        make_disk(disk, 64)
        printed = self.run_wisp("blk_probe", "--rootfs", disk, "--tap", "tap9:06:00:00:00:00:01", "--vsock", "3:/tmp/v",
                                "--cmdline", 'a "b\\', "--print-config").stdout
        config = json.loads(printed)
        self.assertEqual(config["boot-source"]["boot_args"], 'console=ttyS0 reboot=k panic=1 a "b\\')
        self.assertEqual(config["network-interfaces"][0]["guest_mac"], "06:00:00:00:00:01")
        self.assertEqual(config["vsock"]["guest_cid"], 3)
        file = self.folder / "vm.json"
        file.write_bytes(self.run_wisp("blk_probe", "--rootfs", disk, "--entropy", "off", "--print-config").stdout)
        done = subprocess.run([str(WISP), "--no-api", "--config-file", str(file), "--level", "Off"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(b"write ok", done.stdout)

    def test_the_api_answers_when_it_is_asked_for_and_is_absent_otherwise(self):
        path = self.folder / "s"
        process = subprocess.Popen(run_words("idle", "--api-sock", path), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE)
        try:
            self.assertIn(b"GUEST-UP", process.stdout.readline())
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                self.assertEqual(request(connection, "GET", "/").json()["state"], "Running")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_the_filters_are_in_force(self):
        process = subprocess.Popen(run_words("idle"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            self.assertIn(b"GUEST-UP", process.stdout.readline())
            for status in pathlib.Path(f"/proc/{process.pid}/task").glob("*/status"):
                self.assertIn("Seccomp:\t2", status.read_text())
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_wrong_words_are_refused_with_153_and_a_remedy(self):
        for words, text in ((["--cpus", "0"], b"from 1 to 32"), (["--nope"], b"--nope"), (["--entropy", "x"], b"on or off")):
            with self.subTest(words=words):
                done = self.run_wisp("echo", *words, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 153)
                self.assertIn(text, done.stderr)
                self.assertEqual(done.stdout, b"")

    def test_a_missing_tap_or_image_is_named(self):
        for words, text in ((["--tap", "a-name-that-is-too-long"], b"Invalid interface name"), (["--rootfs", "/no/image"], b"/no/image"),
                            (["--initrd", "/no/initrd"], b"/no/initrd")):
            with self.subTest(words=words):
                done = self.run_wisp("echo", *words, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, done.stderr)


class Doctor(unittest.TestCase):
    def test_a_host_that_runs_these_tests_has_no_failure(self):
        done = subprocess.run([str(WISP), "doctor", "--json"], capture_output=True, timeout=PATIENCE_S)
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(report["failures"], 0)
        levels = [check["level"] for check in report["checks"]]
        self.assertEqual([levels.count("ok"), levels.count("warning")], [report["ok"], report["warnings"]])
        for check in report["checks"]:
            self.assertEqual(check["level"] != "ok", check["remedy"] != "", check)


def main():
    global WISP, GUESTS
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIP: /dev/kvm cannot be used here")
        sys.exit(77)
    WISP, GUESTS = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)


if __name__ == "__main__":
    main()
