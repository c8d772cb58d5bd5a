#!/usr/bin/env python3
"""Replays recorded API sequences against fresh wisp processes and compares every answer.

Each sequence ends as one of
  pass    everything was as recorded
  fail    something was not
  waits   it needs a route, field or flag that wisp answers with "not supported yet"
  quirk   the recorded answer looks like a mistake of the reference; not run

Exit status: 0 when nothing fails beyond known_differences.txt, 1 otherwise, 77 when the transcripts or /dev/kvm are
missing (a skip for ctest).
"""

import argparse
import base64
import collections
import concurrent.futures
import ctypes
import json
import os
import re
import shutil
import sys
import tempfile
import threading

from replay_sequence import MIB, Sequence, write_zeros

SKIP = 77
HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
DEFAULT_TRANSCRIPTS = os.path.join(os.path.dirname(REPOSITORY), "shared", "reference", "api-transcripts.json")
KNOWN_DIFFERENCES = os.path.join(HERE, "known_differences.txt")

# What wisp does not have yet. A sequence that names one of these and does not pass waits.
MISSING_FLAGS = {"--enable-pci"}
CLONE_NEWNET = 0x40000000


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wisp", required=True, help="the program under test")
    parser.add_argument("--transcripts", default=DEFAULT_TRANSCRIPTS, help="default: %(default)s")
    parser.add_argument("--filter", default="", help="only sequences whose id matches this regular expression")
    parser.add_argument("--jobs", type=int, default=2, help="sequences at a time (default %(default)s)")
    parser.add_argument("--without-kvm", action="store_true", help="only sequences that start no guest")
    parser.add_argument("-v", "--verbose", action="store_true", help="also list what waits, and why")
    return parser.parse_args()


def skip(reason):
    print("SKIP: " + reason)
    sys.exit(SKIP)


def enter_own_network():
    """TAP devices come and go in a network namespace that ends with this process."""
    return os.path.exists("/dev/net/tun") and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0


def known_differences():
    """id -> reason; a line is the id, a blank, and why the difference is right."""
    known = {}
    try:
        with open(KNOWN_DIFFERENCES, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    name, _, reason = line.strip().partition(" ")
                    known[name] = reason.strip()
    except FileNotFoundError:
        pass
    return known


def write_guests(folder, guests):
    """Builds the guest files of the transcripts; returns their placeholders."""
    names = {}
    for name, parts in guests.items():
        if "base64" in parts:
            content = base64.b64decode(parts["base64"])
        else:
            content = base64.b64decode(parts["head_base64"]).ljust(parts["zeros_up_to"], b"\0")
            content += base64.b64decode(parts["then_base64"])
        names[name] = os.path.join(folder, name.lower())
        with open(names[name], "wb") as file:
            file.write(content)
    return names


def make_fixture(wisp, name, steps, names):
    """Snapshot files made by the program under test, for the sequences that load them."""
    steps = [dict(step, expect={"status": 204}) if "method" in step else step for step in steps]
    record = {"id": "fixture/" + name, "args": ["--api-sock", "{SOCK}", "--level", "Off"], "steps": steps, "end": {"alive": True}}
    difference = Sequence(wisp, record, names).run()
    if difference is not None:
        sys.exit("the fixture %s cannot be made: %s" % (name, difference))


def make_shared_files(folder, transcripts, arguments):
    names = write_guests(folder, transcripts["guests"])
    names["FIX"] = folder
    for name in transcripts["fixtures"]:
        names[name] = os.path.join(folder, name.lower() + ".state")
        names[name + "_MEM"] = os.path.join(folder, name.lower() + ".mem")
    write_zeros(os.path.join(folder, "disk.img"), 2 * MIB)
    write_zeros(os.path.join(folder, "pmem.img"), 2 * MIB)
    for name, steps in transcripts["fixtures"].items():
        if not arguments.without_kvm and (name != "SNAPX" or arguments.with_tun):
            make_fixture(arguments.wisp, name, steps, names)
    return names


def mentions_missing(record):
    """Why a sequence cannot pass yet as far as its text shows, or None."""
    flags = MISSING_FLAGS.intersection(record["args"])
    if flags:
        return "flag " + min(flags)
    return None


def classify(wisp, record, names):
    """(class, reason) of one sequence."""
    if record.get("quirk"):
        return "quirk", ""
    run = Sequence(wisp, record, names)
    difference = run.run()
    if difference is None:
        return "pass", ""
    missing = "an answer says not supported yet" if run.unsupported else mentions_missing(record)
    if missing:
        return "waits", "%s; %s" % (missing, difference)
    return "fail", difference


def replay(arguments, records, names):
    """id -> (class, reason), with a progress line when somebody watches."""
    results = {}
    lock = threading.Lock()

    def work(record):
        result = classify(arguments.wisp, record, names)
        with lock:
            results[record["id"]] = result
            if sys.stderr.isatty():
                sys.stderr.write("\r%d/%d" % (len(results), len(records)))

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for finished in [pool.submit(work, record) for record in records]:
            finished.result()
    if sys.stderr.isatty():
        sys.stderr.write("\r")
    return results


def report(results, known, verbose):
    """Prints the outcome; the number of failures that nobody knows of."""
    unknown = 0
    for name, (kind, reason) in results.items():
        if kind == "waits" and verbose:
            print("waits %s: %s" % (name, reason))
        if kind == "fail":
            is_known = name in known
            unknown += not is_known
            print("%s %s: %s" % ("known" if is_known else "FAIL", name, known[name] if is_known else reason))
        if kind == "pass" and name in known:
            print("note: %s passes; take it out of known_differences.txt" % name)
    counts = collections.Counter(kind for kind, _ in results.values())
    print("%d sequences: %s" % (len(results), ", ".join(
        "%d %s" % (counts[kind], kind) for kind in ("pass", "fail", "waits", "quirk"))))
    return unknown


def main():
    arguments = parse_arguments()
    if not os.path.exists(arguments.transcripts):
        skip("no transcripts at %s (name them with --transcripts)" % arguments.transcripts)
    if not arguments.without_kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("/dev/kvm is missing or may not be used")
    arguments.wisp = os.path.abspath(arguments.wisp)
    if not os.access(arguments.wisp, os.X_OK):
        sys.exit("%s is not a program" % arguments.wisp)
    with open(arguments.transcripts, encoding="utf-8") as file:
        transcripts = json.load(file)
    records = [record for record in transcripts["sequences"] if re.search(arguments.filter, record["id"]) and not (
        arguments.without_kvm and "kvm" in record.get("needs", []))]
    if not records:
        sys.exit("no sequence matches %r" % arguments.filter)
    arguments.with_tun = enter_own_network()
    if not arguments.with_tun:
        records = [record for record in records if "tun" not in record.get("needs", [])]
        print("SKIP: sequences with TAP devices: a network namespace of our own cannot be made here")
    folder = tempfile.mkdtemp(prefix="wf")
    try:
        results = replay(arguments, records, make_shared_files(folder, transcripts, arguments))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if report(results, known_differences(), arguments.verbose) else 0)


if __name__ == "__main__":
    main()
