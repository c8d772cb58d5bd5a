"""What the tests of devices share: a monitor whose guest takes orders on its serial line, seen from outside."""
import fcntl
import json
import os
import pathlib
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from jailed import Jails  # noqa: E402
from monitor import Monitor  # noqa: E402

WISP = GUESTS = None


def run_tests(prepare=None):
    """Usage of every file of tests: WISP GUEST_DIR [unittest arguments]

    `prepare` makes what all tests of the file need and returns None, or says why that cannot be had here.
    """
    global WISP, GUESTS
    WISP, GUESTS = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    del sys.argv[1:3]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIP: /dev/kvm cannot be opened here, so no guest can run")
        sys.exit(77)
    Jails.usable(WISP)
    refusal = prepare() if prepare else None
    if refusal:
        print(f"SKIP: {refusal}")
        sys.exit(77)
    unittest.main(module="__main__", verbosity=2)


class Probe(Monitor):
    """A monitor with a guest of tests/guest that takes orders: `with Probe("rng_probe", {"/entropy": {}}) as vm:`.

    `devices` maps API paths to bodies; the machine is started and the guest up when the block is entered.
    """

    def __init__(self, guest, devices=None, boot_args="", arguments=(), jailed=True, launcher=(), pass_fds=(),
                 **machine):
        read_end, self._orders = os.pipe()
        super().__init__(WISP, arguments, stdin=read_end, jailed=jailed, launcher=launcher, pass_fds=pass_fds)
        os.close(read_end)
        self._seen = 0
        self._guest, self._devices, self._boot_args, self._machine = guest, devices or {}, boot_args, machine

    def __enter__(self):
        try:
            self.metrics_path = self.directory / "metrics"
            self.log_path = self.directory / "log"
            self.put("/metrics", {"metrics_path": str(self.metrics_path)})
            # Away from the serial output, whose lines it would cut.
            self.put("/logger", {"log_path": str(self.log_path), "level": "Warn"})
            boot_args = ("console=ttyS0 " + self._boot_args).strip()
            self.configure(GUESTS / self._guest, boot_args=boot_args, **self._machine)
            for path, body in self._devices.items():
                self.put(path, body)
            self.start()
            self.wait_for("GUEST-UP")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *ignored):
        os.close(self._orders)
        super().__exit__(*ignored)

    def send_order(self, order):
        os.write(self._orders, order.encode() + b"\n")

    def orders_under_way(self):
        """Bytes that the monitor has not read yet."""
        return struct.unpack("i", fcntl.ioctl(self._orders, termios.FIONREAD, bytes(4)))[0]

    def wait_next(self, text):
        """The output from the last `order` on, once it holds `text`."""
        deadline = time.monotonic() + 60
        while text not in (new := self.output()[self._seen:]):
            if self.process.poll() is not None and text not in self.output()[self._seen:]:
                raise AssertionError(f"exit {self.process.returncode} before {text!r}; output: {self.output()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {text!r}; output: {self.output()}")
            time.sleep(0.002)
        return new

    def order(self, order, until=None):
        """Gives an order and waits for "<word> done"; returns what the guest printed meanwhile."""
        self._seen = len(self.output())
        self.send_order(order)
        return self.wait_next(until or f"{order.split()[0]} done")

    def finish(self):
        self.send_order("quit")
        code = self.wait_exit()
        if code != 0 or "GUEST-DONE" not in self.output():
            raise AssertionError(f"exit {code}; output: {self.output()}")

    def metric(self, group, name):
        """The sum of a counter over the metrics written until now."""
        self.put("/actions", {"action_type": "FlushMetrics"})
        return self.last_metrics(group, name)

    def last_metrics(self, group, name):
        """The same of a machine that may have ended: a line is written at the end."""
        return sum(json.loads(line)[group][name] for line in self.metrics_path.read_text().splitlines())

    def resident_kib(self):
        return self.status_field("VmRSS")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def wait_until_idle(self):
        """Until the thread that asks KVM for its CPUID at the start, with a descriptor of its own, is gone."""
        def is_gone():
            names = self.thread_names()
            return names.count("wisp") == 1 and "wisp_cpuid" not in names  # before it has its name it has the first one's

        wait_until(is_gone, "the start-up thread is gone")

    def thread_names(self):
        names = []
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                names.append((task / "comm").read_text().strip())
            except OSError:
                pass  # ended meanwhile
        return names

    def loop_ticks(self):
        """Processor time of the monitor's first thread, which runs all devices, in ticks of 10 ms."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/stat").read_text()
        fields = fields.rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def wait_until(condition, what, patience_s=30):
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience_s} s: {what}")
        time.sleep(0.005)
