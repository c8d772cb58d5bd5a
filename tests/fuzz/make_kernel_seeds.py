#!/usr/bin/env python3
"""Writes the seed corpus of the kernel loader's fuzz target: small kernels of both formats, good and slightly bad.

Usage: make_kernel_seeds.py [FOLDER]      (default: corpus/kernel_loader beside this script)
"""
import pathlib
import struct
import sys

MIB = 1 << 20
EHDR, PHDR = 64, 56
LOAD, NOTE = 1, 4


def note(kind, owner, contents):
    pad = lambda data: data + b"\0" * (-len(data) % 4)
    return struct.pack("<III", len(owner), len(contents), kind) + pad(owner) + pad(contents)


def elf(segments, entry=MIB, machine=62, klass=2, order=1, kind=2):
    """segments: (type, address, contents, extra memory)"""
    head = b"\x7fELF" + bytes([klass, order, 1]) + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, EHDR, 0, 0, EHDR, PHDR, len(segments), 0, 0, 0)
    offset, table, body = EHDR + PHDR * len(segments), b"", b""
    for kind_, address, contents, extra in segments:
        table += struct.pack("<IIQQQQQQ", kind_, 5, offset + len(body), address, address, len(contents),
                             len(contents) + extra, 4)
        body += contents
    return head + table + body


def bz_image(version=0x020f, flags=1, start=MIB, preferred=2 * MIB, init_size=MIB, setup_sects=1, jump=0x6a):
    image = bytearray((setup_sects or 4) * 512 + 512 + 0x240)
    image[0x1f1] = setup_sects
    image[0x1fe:0x202] = bytes([0x55, 0xaa, 0xeb, jump])
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<I", image, 0x214, start)
    struct.pack_into("<H", image, 0x236, flags)
    struct.pack_into("<Q", image, 0x258, preferred)
    struct.pack_into("<I", image, 0x260, init_size)
    image[-0x40:] = b"\xf4" * 0x40
    return bytes(image)


PVH = note(18, b"Xen\0", struct.pack("<Q", MIB))
CODE = (LOAD, MIB, b"\xf4" * 16, 0x1000)
SEEDS = {
    "elf_linux64": elf([CODE]),
    "elf_pvh": elf([CODE, (NOTE, 0, PVH, 0)]),
    "elf_pvh_behind_other_notes": elf(
        [CODE, (NOTE, 0, note(1, b"GNU\0", b"1234") + note(18, b"Zen\0", b"12345678") + PVH, 0)]),
    "elf_pvh_4_bytes": elf([CODE, (NOTE, 0, note(18, b"Xen\0", struct.pack("<I", MIB)), 0)]),
    "elf_segments": elf(
        [CODE, (LOAD, 2 * MIB, b"data", 64), (LOAD, 3 * MIB, b"", 4096), (LOAD, 15 * MIB, b"x", MIB - 1)]),
    "elf_overlap": elf([CODE, (LOAD, MIB + 8, b"data", 0)]),
    "elf_low": elf([(LOAD, 0x8000, b"\xf4", 0)], entry=0x8000),
    "elf_high": elf([(LOAD, 1 << 40, b"\xf4", 0)], entry=1 << 40),
    "elf_32": elf([CODE], klass=1),
    "elf_big_endian": elf([CODE], order=2),
    "elf_arm": elf([CODE], machine=183),
    "elf_bad_note": elf([CODE, (NOTE, 0, struct.pack("<III", 0xfffffff0, 8, 18), 0)]),
    "elf_cut": elf([CODE])[:100],
    "bz": bz_image(),
    "bz_four_sectors": bz_image(setup_sects=0),
    "bz_long_header": bz_image(jump=0xff),
    "bz_short_header": bz_image(jump=0x10),
    "bz_old": bz_image(version=0x020b),
    "bz_32": bz_image(flags=0),
    "bz_low": bz_image(start=0x10000),
    "bz_greedy": bz_image(init_size=0xffffffff, preferred=(1 << 64) - 1),
    "text": b"this is not a kernel\n",
}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus/kernel_loader"
    folder.mkdir(parents=True, exist_ok=True)
    for name, contents in SEEDS.items():
        assert len(contents) < 4096, name
        (folder / name).write_bytes(contents)
    print(f"{len(SEEDS)} seeds in {folder}")


if __name__ == "__main__":
    main()
