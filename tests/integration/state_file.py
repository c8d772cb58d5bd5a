"""State files of snapshots as an attacker writes them: checksums that fit (docs/snapshot-format.md)."""
import struct


def crc64_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0xC96C5795D7870F42 if byte & 1 else 0)
        table.append(byte)
    return table


CRC64 = crc64_table()


def crc64(data):
    crc = 2**64 - 1
    for byte in data:
        crc = (crc >> 8) ^ CRC64[(crc ^ byte) & 0xFF]
    return crc ^ (2**64 - 1)


def forge(data):
    """The state file with checksums that fit what it says now (docs/snapshot-format.md)."""
    data = bytearray(data)
    at = struct.unpack_from("<Q", data, 64)[0]
    while at < len(data):
        name_len, data_len = struct.unpack_from("<HI", data, at)
        end = at + 6 + name_len + data_len
        struct.pack_into("<Q", data, end, crc64(data[at:end]))
        at = end + 8
    struct.pack_into("<Q", data, 88, crc64(data[128:]))
    struct.pack_into("<Q", data, 120, crc64(data[:120]))
    return bytes(data)


def section_data(data):
    """Where the sections' data lie: (start, end)."""
    places, at = [], struct.unpack_from("<Q", data, 64)[0]
    while at < len(data):
        name_len, data_len = struct.unpack_from("<HI", data, at)
        places.append((at + 6 + name_len, at + 6 + name_len + data_len))
        at = places[-1][1] + 8
    return places
