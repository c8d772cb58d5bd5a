"""Replays one recorded sequence against one fresh wisp process, for replay_transcripts.py."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import replay_http as http
from replay_match import expand, ours, same

MIB = 1024 * 1024
EXIT_TIMEOUT_S = 15.0
POLL_S = 0.005
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[(?P<id>[^:\]]*):[^:\]]*"
    r"(?P<level>:(?:ERROR|WARN|INFO|DEBUG|TRACE))?(?P<origin>:[^:\]]+:\d+)?\] .*")


class Mismatch(Exception):
    """What was expected and what came."""

    def __init__(self, expected, got):
        super().__init__("expected %s, got %s" % (expected, got))


def write_zeros(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


def exit_text(code):
    return "signal %d" % -code if code < 0 else code


class Sequence:
    """One run: directory, process, connections.

    `unsupported` tells whether an answer said "not supported yet" where something else was expected.
    """

    def __init__(self, wisp, record, shared_names):
        self.wisp = wisp
        self.record = record
        self.dir = tempfile.mkdtemp(prefix="wisp-replay-")
        self.names = dict(shared_names, DIR=self.dir, SOCK=os.path.join(self.dir, "s"))
        self.names.update({"TAP%d" % n: "wt%d%s" % (n, os.path.basename(self.dir)[-6:]) for n in range(3)})
        self.process = None
        self.connections = {}
        self.unsupported = False

    # Life of the process

    def prepare(self):
        for name, size in (("disk.img", MIB), ("disk2.img", MIB), ("pmem.img", 2 * MIB), ("pmem2.img", 2 * MIB)):
            write_zeros(self.path_in_dir(name), size)
        with open(self.path_in_dir("initrd"), "wb") as file:
            file.write(b"\x07" * 4096)
        for name, content in self.record.get("files", {}).items():
            content = expand(content, self.names)
            with open(self.path_in_dir(name), "w", encoding="utf-8") as file:
                file.write(content if isinstance(content, str) else json.dumps(content))

    def path_in_dir(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        output = open(self.path_in_dir("stdout"), "ab")
        with output:
            self.process = subprocess.Popen([self.wisp] + expand(self.record["args"], self.names), cwd=self.dir,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.process is not None and self.is_alive():
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def wait_exit(self):
        try:
            return self.process.wait(EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None

    def run(self):
        """None when everything was as recorded, otherwise a text that says what was not."""
        try:
            self.prepare()
            self.start()
            for number, step in enumerate(self.record["steps"]):
                try:
                    self.step(expand({k: v for k, v in step.items() if k != "expect"}, self.names),
                              ours(expand(step.get("expect") or {}, self.names)))
                except Mismatch as mismatch:
                    return "step %d (%s): %s" % (number + 1, self.title(step), mismatch)
            try:
                self.check_end(self.record["end"])
            except Mismatch as mismatch:
                return "end: %s" % mismatch
            return None
        finally:
            for connection in self.connections.values():
                connection.close()
            self.kill()
            shutil.rmtree(self.dir, ignore_errors=True)

    @staticmethod
    def title(step):
        if "do" in step:
            return step["do"]
        return "%s %s %.160r" % (step["method"], step["path"][:80], step.get("body", step.get("text", "")))

    def check_end(self, end):
        if not end["alive"]:
            self.check_exit(end.get("exit"))
            return
        if not self.is_alive():
            raise Mismatch("a living process", "exit %s" % exit_text(self.process.returncode))
        if end.get("answers"):
            for connection in self.connections.values():
                connection.close()
            answer = self.exchange(self.connection("end"), http.request_bytes("GET", "/", None))
            if not isinstance(answer, http.Answer) or answer.status != 200:
                raise Mismatch("GET / to be answered with 200", answer)

    def check_exit(self, expected):
        code = self.wait_exit()
        if code is None:
            raise Mismatch("exit %s" % expected, "a living process")
        if expected == "signal 6":
            if code == 0:
                raise Mismatch("a failure", "exit 0")
        elif exit_text(code) != expected:
            raise Mismatch("exit %s" % expected, "exit %s; output: %s" % (exit_text(code), self.output_tail()))

    def output_tail(self):
        with open(self.path_in_dir("stdout"), encoding="utf-8", errors="replace") as file:
            return file.read()[-400:]

    # Steps

    def step(self, step, expect):
        kind = step.get("do")
        getattr(self, "do_request" if kind is None else "do_" + kind)(step, expect)

    def connection(self, name):
        if name not in self.connections:
            self.connections[name] = http.Connection(self.names["SOCK"], self.is_alive)
        return self.connections[name]

    def exchange(self, connection, data, timeout_s=http.ANSWER_TIMEOUT_S):
        """An Answer, or one of the words closed, silent, gone."""
        try:
            connection.ready()
            connection.send(data)
            return connection.read_answer(timeout_s)
        except http.Gone:
            return "gone"
        except http.Closed:
            return "closed" if self.is_alive() else "gone"
        except http.Silent:
            connection.close()
            return "silent"

    def do_request(self, step, expect):
        timeout_s = http.SILENCE_S if expect.get("silent") else http.ANSWER_TIMEOUT_S
        data = http.request_bytes(step["method"], step["path"], self.body_of(step))
        got = self.exchange(self.connection(step.get("conn", "")), data, timeout_s)
        for word in ("gone", "closed", "silent"):
            if expect.get(word):
                if got != word:
                    raise Mismatch(word, got)
                return
        self.check_answer(expect, got, ordered=not step.get("unordered"))

    @staticmethod
    def body_of(step):
        if "text" in step:
            body = step["text"].encode("latin-1" if step.get("latin1") else "utf-8")
        elif "body" in step:
            body = json.dumps(step["body"], ensure_ascii=False).encode("utf-8")
        else:
            return None
        return body.ljust(step.get("pad_to", 0))

    def check_answer(self, expect, got, ordered=True):
        if isinstance(got, http.Answer) and b"not supported yet" in got.body and expect.get("status") != got.status:
            self.unsupported = True
        if not expect:
            return
        if not isinstance(got, http.Answer):
            raise Mismatch("status %s" % expect.get("status"), got)
        if got.status != expect.get("status", got.status):
            raise Mismatch("status %s" % expect["status"], got)
        if expect.get("err") and got.error_kind() != expect["err"]:
            raise Mismatch("an error body of shape %s" % expect["err"], got)
        if "json" in expect:
            try:
                value = json.loads(got.body)
            except ValueError:
                raise Mismatch("JSON", got) from None
            if not same(expect["json"], value, ordered):
                raise Mismatch(json.dumps(expect["json"]), json.dumps(value))
        if (got.headers.get("deprecation") == "true") != bool(expect.get("deprecation")):
            raise Mismatch("Deprecation %s" % bool(expect.get("deprecation")), got.headers)
        if got.oddities() and not expect.get("odd"):
            raise Mismatch("the ordinary form", got.oddities())

    def do_raw(self, step, expect):
        connection = self.connection(step.get("conn", ""))
        answers = expect.get("answers", [])
        try:
            connection.ready()
            for part in step["send"]:
                if isinstance(part, str):
                    connection.send(part.encode("latin-1"))
                else:
                    time.sleep(part / 1000)
        except http.Gone:
            raise Mismatch("a connection", "gone") from None
        if expect.get("silent"):
            if connection.more_comes():
                raise Mismatch("silence", connection.buffer[:200])
            return
        for answer in answers:
            try:
                self.check_answer(answer, connection.read_answer())
            except (http.Closed, http.Silent) as end:
                raise Mismatch("an answer with status %s" % answer.get("status"), type(end).__name__.lower()) from None
        if step.get("quiet") and connection.more_comes() != bool(expect.get("extra")):
            raise Mismatch("nothing more", connection.buffer[:200])

    def do_open(self, step, _expect):
        self.connection(step.get("conn", "")).ready()

    def do_close(self, step, _expect):
        self.connection(step.get("conn", "")).close()

    def do_half_close(self, step, _expect):
        self.connection(step.get("conn", "")).half_close()

    @staticmethod
    def do_sleep(step, _expect):
        time.sleep(step["ms"] / 1000)

    def do_signal(self, step, _expect):
        self.connection("").ready()  # up and running, with its signal handlers in place
        self.process.send_signal(getattr(signal, step["name"]))

    def do_wait_exit(self, _step, expect):
        self.check_exit(expect.get("exit"))

    def do_wait_text(self, step, expect):
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        wanted = step["text"].encode("utf-8")
        seen = False
        while not seen and time.monotonic() < deadline:
            try:
                with open(step["path"], "rb") as file:
                    seen = wanted in file.read()
            except FileNotFoundError:
                pass
            if not seen:
                time.sleep(POLL_S)
        if seen != expect.get("seen", True):
            raise Mismatch("text %r in %s" % (step["text"], step["path"]), self.output_tail())

    @staticmethod
    def do_file(step, expect):
        kinds = ((stat.S_ISSOCK, "socket"), (stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "fifo"),
                 (stat.S_ISREG, "file"))
        try:
            found = os.stat(step["path"])
            kind = next(name for test, name in kinds if test(found.st_mode))
            size = found.st_size
        except FileNotFoundError:
            kind, size = "missing", 0
        if kind != expect["kind"]:
            raise Mismatch(expect["kind"], kind)
        if "size" in expect and size != expect["size"]:
            raise Mismatch("%d bytes" % expect["size"], size)
        if "nonempty" in expect and (size > 0) != expect["nonempty"]:
            raise Mismatch("nonempty %s" % expect["nonempty"], "%d bytes" % size)

    @staticmethod
    def do_log(step, expect):
        try:
            with open(step["path"], encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            lines = []
        found = [LOG_LINE.fullmatch(line) for line in lines]
        good = [match for match in found if match]
        got = {"any": bool(lines), "format": bool(lines) and len(good) == len(lines),
               "id": sorted({match["id"] for match in good}),
               "levels_shown": any(match["level"] for match in good),
               "origin_shown": any(match["origin"] for match in good)}
        for key, value in expect.items():
            if key in got and got[key] != value:
                raise Mismatch("%s %s" % (key, value), "%s in %s" % (got[key], lines[:3]))

    @staticmethod
    def do_metrics(step, expect):
        try:
            with open(step["path"], encoding="utf-8") as file:
                lines = [json.loads(line) for line in file.read().splitlines()]
        except (FileNotFoundError, ValueError) as error:
            raise Mismatch("metrics", error) from None
        if not lines:
            raise Mismatch("a line of metrics", "none")
        if "lines" in expect and len(lines) != expect["lines"]:
            raise Mismatch("%d lines" % expect["lines"], len(lines))
        if "top" in expect and sorted(lines[-1]) != sorted(expect["top"]):
            missing = sorted(set(expect["top"]) - set(lines[-1]))
            extra = sorted(set(lines[-1]) - set(expect["top"]))
            raise Mismatch("the fields", "missing %s, extra %s" % (missing, extra))
        for key in ("id", "properties"):
            if key in expect and lines[-1].get(key) != expect[key]:
                raise Mismatch("%s %s" % (key, expect[key]), lines[-1].get(key))

    def do_stdout(self, step, expect):
        with open(self.path_in_dir("stdout"), encoding="utf-8", errors="replace") as file:
            text = file.read()
        if bool(re.search(step["re"], text)) != expect.get("match", True):
            raise Mismatch("output matching %r: %s" % (step["re"], expect.get("match", True)), text[-300:])

    def do_restart(self, step, _expect):
        self.kill()
        for connection in self.connections.values():
            connection.close()
        for name in step.get("remove", ["s"]):
            try:
                os.unlink(self.path_in_dir(name))
            except FileNotFoundError:
                pass
        self.start()

    @staticmethod
    def do_damage(step, _expect):
        if "cut" in step:
            os.truncate(step["path"], step["cut"])
            return
        with open(step["path"], "r+b") as file:
            file.seek(step["at"])
            byte = file.read(1)
            file.seek(step["at"])
            file.write(bytes([byte[0] ^ 0xFF]))

    @staticmethod
    def do_write(step, _expect):
        with open(step["path"], "w", encoding="utf-8") as file:
            file.write(step["text"])

    @staticmethod
    def do_remove(step, _expect):
        os.unlink(step["path"])

    @staticmethod
    def do_copy(step, _expect):
        shutil.copyfile(step["path"], step["to"])

    @staticmethod
    def do_fifo(step, _expect):
        os.mkfifo(step["path"])
