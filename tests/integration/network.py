"""A network namespace of the test's own, with TAP interfaces in it: no packet leaves it."""
import ctypes
import fcntl
import os
import socket
import struct

import jailed

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETPERSIST, TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
IFF_UP, IFF_RUNNING = 0x1, 0x40
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS = 0x8916, 0x891C, 0x8914

TAP_OWNER = jailed.UID  # root may open it anyway
HOST, GUEST = "10.77.0.1", "10.77.0.2"
HOST6, GUEST6 = "fd77::1", "fd77::2"
RTM_NEWNEIGH, NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE = 28, 1, 4, 0x400
NUD_PERMANENT, NDA_DST, NDA_LLADDR = 0x80, 1, 2


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
    fcntl.ioctl(tap, TUNSETOWNER, TAP_OWNER)
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


def _set_ipv6(name, switch, value):
    with open(f"/proc/sys/net/ipv6/conf/{name}/{switch}", "w") as file:
        file.write(value)


def add_ipv6(name, guest_mac):
    """Gives the TAP HOST6, and the host a fixed neighbour GUEST6: no frame but the test's own is sent.

    None, or why that cannot be had here.
    """
    if not os.path.exists(f"/proc/sys/net/ipv6/conf/{name}"):
        return "the host's kernel has no IPv6"
    for switch, value in (("accept_dad", "0"), ("router_solicitations", "0"), ("disable_ipv6", "0")):
        _set_ipv6(name, switch, value)
    index = socket.if_nametoindex(name)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, HOST6), 64, index))
    mac = bytes.fromhex(guest_mac.replace(":", ""))
    body = struct.pack("BxxxiHBB", socket.AF_INET6, index, NUD_PERMANENT, 0, 0)
    body += struct.pack("HH16s", 20, NDA_DST, socket.inet_pton(socket.AF_INET6, GUEST6))
    body += struct.pack("HH6sxx", 10, NDA_LLADDR, mac)
    header = struct.pack("IHHII", 16 + len(body), RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendall(header + body)
        error = -struct.unpack_from("i", kernel.recv(4096), 16)[0]
    if error:
        raise OSError(error, f"no neighbour {GUEST6} on {name}: {os.strerror(error)}")
    return None


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
