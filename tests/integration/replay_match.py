"""Placeholders and comparisons for replay_transcripts.py."""

import hashlib
import re

VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
REPEAT = re.compile(r"\{REPEAT:(.+?):(\d+)\}", re.DOTALL)
LENGTH = re.compile(r"\{LEN:(\d+):([0-9a-f]+)\}")


def expand(value, names):
    """Puts the values of placeholders into every string of a JSON value."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace("{" + name + "}", text)
        return REPEAT.sub(lambda found: found.group(1) * int(found.group(2)), value)
    if isinstance(value, list):
        return [expand(item, names) for item in value]
    if isinstance(value, dict):
        return {expand(key, names): expand(item, names) for key, item in value.items()}
    return value


def ours(value):
    """What the reference says about itself, as wisp has to say it."""
    if isinstance(value, dict):
        return {key: "wisp" if (key, item) == ("app_name", "Firecracker") else ours(item)
                for key, item in value.items()}
    if isinstance(value, list):
        return [ours(item) for item in value]
    return value


def sort_key(item):
    if isinstance(item, dict):
        for key in ("drive_id", "iface_id", "id"):
            if key in item:
                return str(item[key])
    return str(item)


def same(expected, got, ordered=True):
    """Equality of JSON values; 1, 1.0 and true are three different things."""
    if isinstance(expected, str) and isinstance(got, str):
        if expected == "{VERSION}":
            return VERSION.fullmatch(got) is not None
        found = LENGTH.fullmatch(expected)
        if found:
            digest = hashlib.sha256(got.encode("utf-8")).hexdigest()
            return len(got) == int(found.group(1)) and digest.startswith(found.group(2))
        return expected == got
    if type(expected) is not type(got):
        return False
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(same(expected[key], got[key], ordered) for key in expected)
    if isinstance(expected, list):
        if not ordered:
            expected, got = sorted(expected, key=sort_key), sorted(got, key=sort_key)
        return len(expected) == len(got) and all(same(a, b, ordered) for a, b in zip(expected, got))
    return expected == got
