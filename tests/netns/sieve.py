"""A sieve: thousands of numbered packets through the policy of many interfaces at once, and what came out of it.

    tun0 ──▶ ┌────────────────── host ──────────────────┐
    tun1 ──▶ │ hooks of the driver ─▶ catcher: notes the │
    ...      │ packet's number in a set, and drops it    │
    tunN ──▶ └───────────────────────────────────────────┘

Packets are written to tun devices, or sent by raw sockets that are bound to one. What gets through all hooks meets a
catcher behind them, which notes the number that the packet carries in its header (IPv4's identification, IPv6's flow
label), in one of two sets: tracked or not. The catcher drops it, so that no connection is ever confirmed, no process
answers, and every packet is a first one; or it lets them go on, out of a tun device that nobody reads.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from struct import pack

from frames import ETHERNET, ETHERTYPE, frame
from netns import Namespace, namespace
from tortie.model.address import format_address
from tortie.model.packet import UDPLITE, Packet

MOST = 65_535
"""Packets of one burst: IPv4's identification tells as many apart."""
_TUNSETIFF, _IFF_TUN, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0001, 0x0002, 0x1000
_IPV6_HDRINCL = 36  # Source: linux/in6.h; Python does not name it
_HEADER_BYTES = len(ETHERNET) + 2
_SETS = {(4, True): "tracked4", (4, False): "untracked4", (6, True): "tracked6", (6, False): "untracked6"}
_NUMBER = {4: "ip id", 6: "ip6 flowlabel"}
NEVER_TRACKED = (*range(130, 137), 143, *range(151, 154))
"""ICMPv6 types that connection tracking leaves alone. Source: net/netfilter/nf_conntrack_proto_icmpv6.c."""
_NOTES = "\n".join(
    (
        "ct state untracked add @untracked4 { ip id } drop",
        "ct state untracked add @untracked6 { ip6 flowlabel } drop",
        "add @tracked4 { ip id } drop",
        "add @tracked6 { ip6 flowlabel } drop",
    )
)
_CATCHER = (
    "table inet catcher {\n"
    + "".join(
        f"set {name} {{ typeof {_NUMBER[version]}; size {MOST + 1}; flags dynamic; }}\n"
        for (version, _), name in _SETS.items()
    )
    + f"chain note {{\n{_NOTES}\n}}\n"
    + "chain input { type filter hook input priority 300; iifname != lo goto note; }\n"
    + "chain postrouting { type filter hook postrouting priority 300; oifname != lo goto note; }\n}\n"
)


PAYLOAD_BYTES = 24
"""What every packet carries behind its header, but for ICMP errors."""
# Connection tracking reads these protocols' headers, and calls a packet with a malformed one invalid: UDP-Lite with a
# coverage of all and a checksum, GRE of version 0.
_PAYLOADS = {UDPLITE: pack("!HHHH16x", 1, 2, 0, 1), 47: bytes(24)}


class Path(Enum):
    """Which way packets take through the host."""

    TO_HOST = "to the host"
    THROUGH = "through the host"
    FROM_HOST = "from the host"


class Sieve:
    """A host with tun devices `tun0` and so on; a packet that comes through it from one leaves by the next one.

    `has_frames`: they carry Ethernet frames, so that XDP can read them.
    """

    def __init__(
        self, host: Namespace, path: Path, interfaces: int, *, lets_on: bool = False, has_frames: bool = False
    ) -> None:
        self.host, self.path, self.lets_on, self.has_frames = host, path, lets_on, has_frames
        self.interfaces = [f"tun{number}" for number in range(interfaces)]
        with host.entered():
            self._tuns = [_tun(name, has_frames=has_frames) for name in self.interfaces]
            self._senders = {(version, name): _sender(version, name) for version in (4, 6) for name in self.interfaces}
        host.run("sh", "-c", "\n".join(self._setup()))
        host.run("nft", "-f", "-", input=_CATCHER.replace("} drop", "} accept") if lets_on else _CATCHER)

    def _setup(self) -> Iterator[str]:
        yield "set -e"
        yield "cd /proc/sys/net"
        # A wrong checksum is another matter; SCTP's are not computed here.
        yield "echo 0 > netfilter/nf_conntrack_checksum"
        for name in self.interfaces:
            yield f"echo 1 > ipv6/conf/{name}/addr_gen_mode"  # no link-local address, and no traffic of its own
            if self.has_frames:
                yield f"ip link set {name} address {ETHERNET[:6].hex(':')} arp off"
            yield f"ip link set {name} up"
        for conf in ("all", *self.interfaces):
            yield f"echo 1 > ipv4/conf/{conf}/accept_local; echo 0 > ipv4/conf/{conf}/rp_filter"
        if self.path is Path.TO_HOST:
            yield "ip route add local 0.0.0.0/0 dev lo; ip -6 route add local ::/0 dev lo table local"
            return
        if self.path is Path.THROUGH:
            yield "echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding"
        for number, name in enumerate(self.interfaces):
            for ip in ("ip -4", "ip -6"):
                yield f"{ip} route add default dev {name} metric {number + 1}"
                yield f"{ip} route add default dev {self.after(name)} table {1000 + number}"
                yield f"{ip} rule add iif {name} lookup {1000 + number}"

    def after(self, interface: str) -> str:
        """Where packets leave that come in there."""
        return self.interfaces[(self.interfaces.index(interface) + 1) % len(self.interfaces)]

    def close(self) -> None:
        """Close devices and sockets."""
        for descriptor in self._tuns:
            os.close(descriptor)
        for one in self._senders.values():
            one.close()

    def send(self, interface: int, packet: Packet, raw: bytes) -> None:
        """Have the packet arrive at, or leave, that interface."""
        if self.path is not Path.FROM_HOST:
            os.write(self._tuns[interface], framed(packet, raw) if self.has_frames else raw)
            return
        try:
            destination = format_address(packet.version, packet.destination)
            self._senders[packet.version, self.interfaces[interface]].sendto(raw, (destination, 0))
        except OSError as error:
            # The kernel tells the sender of a drop in the output hook by EPERM.
            if error.errno != errno.EPERM:
                raise

    def caught(self) -> dict[tuple[int, int], bool]:
        """(version, number) of each packet that came through, and whether it is tracked; forgotten by asking."""
        found: dict[tuple[int, int], bool] = {}
        for (version, is_tracked), name in _SETS.items():
            listing = json.loads(self.host.run("nft", "-j", "list", "set", "inet", "catcher", name))
            (members,) = (entry["set"].get("elem", ()) for entry in listing["nftables"] if "set" in entry)
            for number in members:
                assert (version, number) not in found, "a number came twice"
                found[version, number] = is_tracked
        self.host.run("nft", "-f", "-", input="".join(f"flush set inet catcher {name}\n" for name in _SETS.values()))
        return found


def framed(packet: Packet, raw: bytes) -> bytes:
    """Those bytes in an Ethernet frame to the host."""
    return ETHERNET + pack("!H", ETHERTYPE[packet.version]) + raw


def numbered(packet: Packet, number: int) -> bytes:
    """The packet's bytes from its IP header on, carrying the number."""
    payload = _PAYLOADS.get(packet.protocol, bytes(range(PAYLOAD_BYTES))) if packet.inner is None else b""
    raw = frame(packet, payload=payload)[_HEADER_BYTES:]
    return pack("!I", 6 << 28 | number) + raw[4:] if packet.version == 6 else raw


def is_offered(packet: Packet, path: Path) -> bool:
    """Whether the kernel lets policy see the packet: it drops some addresses before, and routes others elsewhere."""
    if path is Path.THROUGH and packet.hop_limit < 2:
        return False
    ends = packet.source, packet.destination
    if packet.version == 4:
        # martians: this network, loopback, multicast and broadcast
        return all(0 < end >> 24 < 224 and end >> 24 != 127 for end in ends)
    # multicast, unspecified and loopback, IPv4-mapped, link-local
    return not any(end >> 120 == 0xFF or end >> 32 in (0, 0xFFFF) or end >> 118 == 0x3FA for end in ends)


def _tun(name: str, *, has_frames: bool) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(
        descriptor, _TUNSETIFF, pack("16sH22x", name.encode(), (_IFF_TAP if has_frames else _IFF_TUN) | _IFF_NO_PI)
    )
    return descriptor


def _sender(version: int, interface: str) -> socket.socket:
    made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    if version == 6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    return made


@contextmanager
def sieve(path: Path, interfaces: int, *, lets_on: bool = False, has_frames: bool = False) -> Iterator[Sieve]:
    """A host of its own for packets of that path. `lets_on`: the catcher lets packets go on, and connections grow."""
    with namespace("sieve") as host:
        made = Sieve(host, path, interfaces, lets_on=lets_on, has_frames=has_frames)
        try:
            yield made
        finally:
            made.close()
