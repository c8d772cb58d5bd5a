#!/usr/bin/env python3
"""Unpacks the ELF kernel from a bzImage: extract_vmlinux.py <bzImage> <output>.

The setup header says where the compressed payload is (Linux boot protocol 2.08 and later); its first bytes say how it was
compressed. A monitor boots the ELF faster than the bzImage, which has to unpack itself inside the guest.
"""
import struct
import subprocess
import sys

DECOMPRESSORS = (
    (b"\x1f\x8b", ["gzip", "-dc"]),
    (b"\xfd7zXZ\x00", ["xz", "-dc", "--single-stream"]),
    (b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"]),
    (b"\x02\x21\x4c\x18", ["lz4", "-dc"]),
)


def payload(image):
    if image[0x202:0x206] != b"HdrS":
        sys.exit("not a bzImage: no HdrS signature at 0x202")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start : start + length]


def main():
    source, target = sys.argv[1:3]
    with open(source, "rb") as file:
        packed = payload(file.read())
    for magic, command in DECOMPRESSORS:
        if packed.startswith(magic):
            # The kernel's build appends the unpacked size to the payload, so the tool may warn about the last four bytes.
            done = subprocess.run(command, input=packed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
            if not done.stdout.startswith(b"\x7fELF"):
                sys.exit(f"{command[0]} does not unpack the kernel in {source}")
            with open(target, "wb") as file:
                file.write(done.stdout)
            return
    sys.exit(f"unknown compression of {source}: {packed[:8].hex()}")


main()
