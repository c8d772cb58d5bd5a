#!/usr/bin/env python3
"""The bill of materials of a release, as SPDX 2.3 JSON: what is linked into the programs, found in what the build did.

Usage: sbom.py --version V --build FOLDER --header VERSION SHA256 PROGRAM... > sbom.spdx.json

Archives come from the linker's maps (FOLDER/PROGRAM.map), headers from ninja's record; dpkg tells which package each
belongs to. A package that is not in the table below ends this with an error, so that nothing is linked unseen.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

LINKED, HEADERS, TOOL = "STATIC_LINK", "CONTAINS", "BUILD_TOOL_OF"
# Debian package -> (how it takes part, licence)
KNOWN = {
    "libc6-dev": (LINKED, "LGPL-2.1-or-later"),
    "libgcc-12-dev": (LINKED, "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libstdc++-12-dev": (LINKED, "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "liburing-dev": (LINKED, "LGPL-2.1-or-later OR MIT"),
    "libsodium-dev": (LINKED, "ISC"),
    "nlohmann-json3-dev": (HEADERS, "MIT"),
    "linux-libc-dev": (HEADERS, "GPL-2.0-only WITH Linux-syscall-note"),
    "libseccomp-dev": (TOOL, "LGPL-2.1-only"),
    "g++-12": (TOOL, "GPL-3.0-or-later"),
}


def output(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, check=True, **options).stdout


def archives(build, programs):
    files = set()
    for program in programs:
        for line in (build / f"{program}.map").read_text().splitlines():
            match = re.match(r"LOAD (/\S+)$", line)
            if match:
                files.add(os.path.realpath(match.group(1)))
    return files


def headers(build):
    """Those outside the project that the objects were made of."""
    return {os.path.realpath(line.strip()) for line in output("ninja", "-C", str(build), "-t", "deps").splitlines()
            if line.startswith("    /usr/")}


def owners(files):
    """The packages that the files belong to."""
    found = set()
    for line in output("dpkg-query", "-S", *sorted(files)).splitlines():
        for name in line.split(": ")[0].split(", "):
            found.add(name.split(":")[0])
    return found


def identity(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def debian_package(name):
    version, source = output("dpkg-query", "-W", "-f", "${Version}\t${Source}", name).split("\t")
    return {
        "SPDXID": identity(name), "name": name, "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": KNOWN[name][1], "licenseDeclared": KNOWN[name][1],
        "copyrightText": "NOASSERTION", "supplier": "Organization: Debian",
        "sourceInfo": f"Debian source package {source.split(' ')[0] or name}",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{name.replace('+', '%2B')}@{version.replace('+', '%2B')}?arch=amd64"}],
    }


def header_package(version, sha256):
    return {
        "SPDXID": identity("cpp-httplib"), "name": "cpp-httplib", "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": "MIT", "licenseDeclared": "MIT", "copyrightText": "NOASSERTION",
        "supplier": "Organization: Debian", "sourceInfo": "httplib.h of Debian's source package cpp-httplib",
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:github/yhirose/cpp-httplib@v{version}"}],
    }


def own_package(version, verification_code):
    return {
        "SPDXID": "SPDXRef-wisp", "name": "wisp", "versionInfo": version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": verification_code},
        "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "licenseInfoFromFiles": ["Apache-2.0"],
        "copyrightText": "NOASSERTION", "primaryPackagePurpose": "APPLICATION",
    }


def program_file(build, name):
    data = (build / name).read_bytes()
    return {
        "SPDXID": identity("file-" + name), "fileName": f"./usr/bin/{name}", "fileTypes": ["BINARY"],
        "checksums": [{"algorithm": "SHA1", "checksumValue": hashlib.sha1(data).hexdigest()},
                      {"algorithm": "SHA256", "checksumValue": hashlib.sha256(data).hexdigest()}],
        "licenseConcluded": "Apache-2.0", "licenseInfoInFiles": ["Apache-2.0"], "copyrightText": "NOASSERTION",
    }


def relation(first, kind, second):
    return {"spdxElementId": first, "relationshipType": kind, "relatedSpdxElement": second}


def relations(names):
    rows = [relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-wisp")]
    for name in names:
        kind = HEADERS if name == "cpp-httplib" else KNOWN[name][0]
        rows.append(relation(identity(name), TOOL, "SPDXRef-wisp") if kind == TOOL
                    else relation("SPDXRef-wisp", kind, identity(name)))
    return rows


def document(version, files, packages, names):
    sums = sorted(file["checksums"][0]["checksumValue"] for file in files)
    code = hashlib.sha1("".join(sums).encode()).hexdigest()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"wisp-{version}",
        "documentNamespace": f"https://wisp.invalid/spdx/wisp-{version}-{code}",
        "creationInfo": {"created": created, "creators": ["Tool: wisp-scripts-release"]},
        "packages": [own_package(version, code), *packages], "files": files,
        "relationships": [*relations(names), *(relation("SPDXRef-wisp", "CONTAINS", file["SPDXID"]) for file in files)],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--header", required=True, nargs=2)
    parser.add_argument("programs", nargs="+")
    options = parser.parse_args()
    linked = owners(archives(options.build, options.programs))
    unknown = {name for name in linked if KNOWN.get(name, (None,))[0] != LINKED}
    names = linked | owners(headers(options.build)) | {"g++-12"}
    unknown |= {name for name in names if name not in KNOWN}
    if unknown or "libc6-dev" not in linked:
        sys.exit(f"packages that scripts/lib/sbom.py does not know the licence of, or does not expect: {sorted(unknown)}")
    packages = [debian_package(name) for name in sorted(names)] + [header_package(*options.header)]
    files = [program_file(options.build, name) for name in options.programs]
    print(json.dumps(document(options.version, files, packages, [*sorted(names), "cpp-httplib"]), indent=1))


if __name__ == "__main__":
    main()
