#!/usr/bin/env python3
"""Holds docs/api/openapi.yaml against the code: the routes of api/routes.cpp and the fields that api/codec_*.cpp read and
write, both ways. Needs PyYAML (in .cache/python by scripts/setup); without it the test is skipped.

Usage: openapi.py SOURCE_ROOT
"""
import pathlib
import re
import sys

try:
    import yaml
except ImportError:
    print("SKIP: PyYAML is not installed: run scripts/setup --group clients")
    sys.exit(77)

# Objects inside of bodies, by the function that reads them.
NESTED_READERS = {
    "decode_limiter": "RateLimiter", "decode_bucket": "TokenBucket", "decode_leaf": "CpuidLeafModifier",
    "decode_register": "CpuidRegisterModifier", "decode_msr": "MsrModifier", "decode_backend": "MemoryBackend",
    "decode_network_override": "NetworkOverride", "decode_file_override": "FileOverride",
}
# Answers and parts of answers, by the function that writes them.
WRITERS = {
    "write_machine": "MachineConfig", "write_balloon": "Balloon", "write_drive": "Drive", "write_net": "NetworkInterface",
    "write_pmem": "Pmem", "write_vsock": "Vsock", "write_mmds_config": "MmdsConfig", "write_bucket": "TokenBucket",
    "write_limiter_as_given": "RateLimiter", "write_boot_source": "BootSource", "write_entropy": "Entropy",
    "write_memory_hotplug": "MemoryHotplug", "write_memory_hotplug_status": "MemoryHotplugStatus",
    "write_hinting_status": "BalloonHintingStatus", "write_capabilities": "Capabilities", "write_limit": "Limit",
    "write_availability": "Availability", "write_host": "HostCapabilities", "write_balloon_statistics": "BalloonStatistics",
}
BODY_WRITERS = {"InstanceInfo": "InstanceInfo", "FullConfig": "FullConfig"}
# The store takes any JSON value, so no codec reads it.
FREE_BODIES = {"MmdsContents"}
DOCUMENTED_STATUSES = {"GET": {"200", "400", "503"}, "PUT": {"204", "400", "503"}, "PATCH": {"204", "400", "503"},
                       "DELETE": {"204", "400", "503"}}


def functions(text):
    """Name -> body of every function that begins at a line's start."""
    found = {}
    for match in re.finditer(r"^[A-Za-z][^\n;{}]*?\b(\w+)\(([^;{}]*?)\) (?:const )?\{\n(.*?)^\}", text, re.M | re.S):
        name, parameters, body = match.groups()
        key = name if name != "body_of" else "body_of " + re.search(r"const (\w+)&", parameters).group(1)
        found[key] = body
    return found


class Codecs:
    def __init__(self, root):
        self.functions = {}
        for file in sorted((root / "api").glob("codec_*.cpp")):
            # Names of helpers repeat between files, so each function keeps its file.
            for name, body in functions(file.read_text()).items():
                self.functions[file.name, name] = body
        self.routes = (root / "api" / "routes.cpp").read_text()

    def find(self, name, file=None):
        if (file, name) in self.functions:
            return file, self.functions[file, name]
        for (other, each), body in self.functions.items():
            if each == name:
                return other, body
        return file, None

    def fields_read(self, name, file=None):
        """(all, required, whether unknown ones are refused) of a decoder, with the helpers that it hands `fields` to."""
        file, body = self.find(name, file)
        if body is None:
            raise SystemExit(f"there is no {name} in api/codec_*.cpp")
        known = set(re.findall(r'fields\.(?:optional|defaulted|required|reject_unless_null|member|non_null_member)\(\s*"(\w+)"',
                               body))
        required = set(re.findall(r'fields\.required\(\s*"(\w+)"', body))
        required |= {each for each in re.findall(r'fields\.fail\("missing field `(\w+)`"', body)}
        # A path, or a descriptor in its place; the last argument renames the descriptor's field.
        for path, other in re.findall(r'read_resource\(\s*fields, "(\w+)"[^;"]*(?:"(\w+)")?', body):
            known |= {path, other or "descriptor"}
        for helper, argument in re.findall(r"\b(\w+)\(\s*fields(?:,\s*(\"\w+\"))?", body):
            _, helper_body = self.find(helper, file)
            if helper_body is None:
                continue
            if argument:
                known.add(argument.strip('"'))
                if "fields.required(name" in helper_body:
                    required.add(argument.strip('"'))
            more, more_required, _ = self.fields_read(helper, file)
            known |= more
            required |= more_required
        return known, required, "UnknownFields::Refused" in body

    def fields_written(self, name):
        _, body = self.find(name)
        if body is None:
            raise SystemExit(f"there is no {name} in api/codec_*.cpp")
        keys = set(re.findall(r'\.key\("([\w-]+)"\)', body))
        if "kStatNames" in body:
            file, _ = self.find(name)
            names = re.search(r"kStatNames = \{(.*?)\};", (self.root / "api" / file).read_text(), re.S)
            keys |= set(re.findall(r'"(\w+)"', names.group(1)))
        return keys

    def decoder_of(self, parse):
        """The decode_* function that a route's parse column leads to."""
        direct = re.search(r"decode_\w+", parse)
        if direct:
            return direct.group(0)
        body = functions(self.routes).get(parse.strip(), "")
        inside = [each for each in re.findall(r"decode_\w+", body) if each != "decode_body"]
        return inside[0] if inside else None


def routes(codecs):
    """(METHOD, path with {} for an id) -> the text of the parse column."""
    table = codecs.routes[codecs.routes.index("kRoutes[] = {"):]
    rows = {}
    for match in re.finditer(r'\{Method::(\w+), ([\w:]+), "([^"]*)", "([^"]*)",\s*(.*?)\},\n', table, re.S):
        method, rule, first, second, rest = match.groups()
        path = "/" + first + ("/" + second if second else "") + ("/{}" if rule.endswith("Id") else "")
        parse = re.match(r"[\w]+(?:<.*?>)?", rest, re.S).group(0)
        rows[method.upper(), path] = parse
    return rows


def properties(schemas, name):
    schema = schemas[name]
    return set(schema.get("properties", {})), set(schema.get("required", [])), schema.get("additionalProperties") is False


def check_paths(document, rows):
    described = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)): operation
                 for path, operations in document["paths"].items() for method, operation in operations.items()}
    for method, path in sorted(set(rows) - set(described)):
        yield f"{method} {path} is a route but not in the document"
    for method, path in sorted(set(described) - set(rows)):
        yield f"{method} {path} is in the document but no route"
    for (method, path), operation in sorted(described.items()):
        missing = DOCUMENTED_STATUSES[method] - set(operation["responses"])
        if missing:
            yield f"{method} {path} does not tell of {sorted(missing)}"


def check_bodies(document, rows, codecs):
    schemas = document["components"]["schemas"]
    readers = dict(NESTED_READERS)
    for (method, path), parse in rows.items():
        matching = [each for each in document["paths"] if re.sub(r"\{\w+\}", "{}", each) == path]
        operation = document["paths"][matching[0]].get(method.lower(), {}) if matching else {}
        decoder = codecs.decoder_of(parse)
        body = operation.get("requestBody")
        name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2] if body else None
        if decoder and not name:
            yield f"{method} {path} reads a body that the document does not describe"
        elif name and not decoder and name not in FREE_BODIES:
            yield f"{method} {path} has a body in the document that no codec reads"
        elif decoder:
            readers[decoder] = name
    for decoder, name in sorted(readers.items()):
        read, required, closed = codecs.fields_read(decoder)
        described, described_required, described_closed = properties(schemas, name)
        # The document may require more: a drive's file, say, which the monitor asks for and not the codec.
        if read != described:
            yield f"{name}: {decoder} knows {sorted(read - described)} more and {sorted(described - read)} less"
        if not required <= described_required:
            yield f"{name}: {decoder} also requires {sorted(required - described_required)}"
        if closed != described_closed:
            yield f"{name}: unknown fields are {'refused' if closed else 'ignored'} by {decoder}, not so in the document"


def check_overrides(document, codecs):
    """What there is once is overridden by {"<path's name>": ...} or {"descriptor": ...}."""
    schemas = document["components"]["schemas"]
    _, body = codecs.find("decode_snapshot_load")
    for name, path in re.findall(r'read_override\(fields, "(\w+)", "(\w+)"', body):
        reference = schemas["SnapshotLoad"]["properties"][name]["allOf"][0]["$ref"].rpartition("/")[2]
        if properties(schemas, reference)[0] != {path, "descriptor"}:
            yield f"{reference}: read_override knows {path} and descriptor"


def check_answers(document, codecs):
    schemas = document["components"]["schemas"]
    pairs = [(writer, name) for writer, name in WRITERS.items()]
    pairs += [("body_of " + kind, name) for kind, name in BODY_WRITERS.items()]
    for writer, name in pairs:
        missing = codecs.fields_written(writer) - properties(schemas, name)[0]
        if missing:
            yield f"{name}: {writer} writes {sorted(missing)} as well"


def main():
    root = pathlib.Path(sys.argv[1])
    codecs = Codecs(root)
    codecs.root = root
    document = yaml.safe_load((root / "docs/api/openapi.yaml").read_text())
    rows = routes(codecs)
    count = codecs.routes[codecs.routes.index("kRoutes[] = {"):].count("{Method::")
    problems = [] if len(rows) == count else [f"{len(rows)} of {count} rows of kRoutes were understood"]
    problems += [*check_paths(document, rows), *check_bodies(document, rows, codecs), *check_overrides(document, codecs),
                 *check_answers(document, codecs)]
    print("\n".join(problems) or f"openapi.yaml agrees with {len(rows)} routes")
    sys.exit(1 if problems else 0)


main()
