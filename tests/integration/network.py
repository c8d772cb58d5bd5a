"""A network namespace of the test's own, with TAP interfaces in it: no packet leaves it."""
import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
IFF_UP, IFF_RUNNING = 0x1, 0x40
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS = 0x8916, 0x891C, 0x8914

HOST, GUEST = "10.77.0.1", "10.77.0.2"


def enter_own_network():
    """Moves this process (and what it starts) to a new network namespace. None, or why that cannot be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace of its own: {os.strerror(ctypes.get_errno())}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened"
    set_link("lo", up=True)
    return None


def set_link(name, up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = IFF_UP | IFF_RUNNING if up else 0
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags))


def make_tap(name, address=HOST):
    """A persistent TAP with an address of 24 bits of network, up."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tap, TUNSETPERSIST, 1)
    os.close(tap)
    # The host asks nothing by itself: a frame that the test did not send would be one more for the guest.
    ipv6 = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
    if os.path.exists(ipv6):
        with open(ipv6, "w") as switch:
            switch.write("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, text in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.0")):
            sockaddr = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))
            fcntl.ioctl(control, request, struct.pack("16s16s8x", name.encode(), sockaddr))
    set_link(name, up=True)


def remove_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH14x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tap, TUNSETPERSIST, 0)
    os.close(tap)


def statistics(name):
    """Frames that the interface has sent to the guest, dropped instead, and received from it."""
    with open("/proc/thread-self/net/dev") as file:
        line = next(line for line in file if line.split(":")[0].strip() == name)
    numbers = [int(word) for word in line.partition(":")[2].split()]
    return {"received": numbers[1], "sent": numbers[9], "dropped": numbers[11]}
