"""A host whose local packets are made by raw sockets, and a peer that catches what leaves it.

Each packet carries a number in its payload. `WATCH` is a table of the tests' own behind the raw hook, which writes the
DSCP field of packets that carry the mark bit and that connection tracking did not see, and drops those that have only
one of both; naming `ct state` makes the kernel track in that namespace, and join fragments in front of the raw hook.
"""

import errno
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from struct import pack, unpack_from

from frames import ETHERNET, frame
from netns import Namespace, veth_pair
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT, read_counters
from tortie.model.address import format_address
from tortie.model.packet import Packet

MAGIC = b"tortie-egress-"
HEADER_LENGTH = len(ETHERNET) + 2
ETHERTYPES = {0x0800: 4, 0x86DD: 6}
IPV6_HDRINCL = 36  # Source: linux/in6.h; Python does not name it
UNTRACKED_DSCP = 0x3F
NEVER_TRACKED = "130-136, 143"
"""ICMPv6 types that connection tracking itself leaves untracked. Source: net/netfilter/nf_conntrack_proto_icmpv6.c."""
WATCH = f"""
table inet watch {{
    chain output {{
        type filter hook output priority 0; policy accept;
        meta mark & {DEFAULT_MARK_BIT} == 0 goto unmarked
        ct state != untracked drop
        ip dscp set {UNTRACKED_DSCP}
        ip6 dscp set {UNTRACKED_DSCP}
    }}
    chain unmarked {{
        ct state != untracked accept
        icmpv6 type {{ {NEVER_TRACKED} }} accept
        drop
    }}
}}
"""


class Lab:
    """The host's raw sockets and the peer's capture."""

    def __init__(self, host: Namespace, peer: Namespace) -> None:
        self.host = host
        with host.entered():
            self.senders = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }
        self.senders[4].setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        self.senders[6].setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        for sender in self.senders.values():
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, host.interface.encode())
        with peer.entered():
            self.capture = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.capture.bind((peer.interface, 3))
        self.capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.capture.setblocking(False)

    def close(self) -> None:
        """Close the sockets."""
        for one in (*self.senders.values(), self.capture):
            one.close()

    def install(self, script: str) -> None:
        """Run an nft script on the host."""
        done = subprocess.run(self.host.command("nft", "-f", "-"), input=script, text=True, capture_output=True)
        assert done.returncode == 0, f"{done.stderr}\n{script}"

    def counts(self) -> dict[str, int]:
        """The table's counters."""
        return read_counters(self.host.run("nft", "-j", "list", "counters", "table", "inet", "tortie"))

    def send(self, packet: Packet, number: int) -> bool:
        """Whether the packet was offered to the output hook of the interface: routing refuses some addresses."""
        if packet.source == 0 or packet.destination == 0:
            return False  # "this host": the kernel fills in a source, and sends it to itself
        if packet.version == 6 and packet.destination >> 120 == 0xFF and packet.destination >> 112 & 0xF <= 1:
            return False  # multicast of node scope is dropped behind the hook
        raw = frame(packet, payload=MAGIC + pack("!I", number))[HEADER_LENGTH:]
        return self.send_raw(raw, packet.version, format_address(packet.version, packet.destination))

    def send_raw(self, raw: bytes, version: int, destination: str) -> bool:
        """Whether the bytes of an IP packet were offered to the output hook."""
        try:
            self.senders[version].sendto(raw, (destination, 0))
        except OSError as error:
            # The kernel tells the sender of a drop in the output hook by EPERM.
            return error.errno == errno.EPERM
        return True

    def arrived(self) -> dict[int, bool]:
        """Numbers of the packets that came, and whether the DSCP field says marked and untracked."""
        found: dict[int, bool] = {}
        while True:
            try:
                data, origin = self.capture.recvfrom(65535)
            except BlockingIOError:
                return found
            at = data.find(MAGIC)
            if at < 0 or origin[2] == socket.PACKET_OUTGOING or unpack_from("!H", data, 12)[0] not in ETHERTYPES:
                continue
            (number,) = unpack_from("!I", data, at + len(MAGIC))
            (word,) = unpack_from("!H", data, HEADER_LENGTH)
            traffic_class = word & 0xFF if ETHERTYPES[unpack_from("!H", data, 12)[0]] == 4 else word >> 4 & 0xFF
            assert number not in found, f"packet {number} came twice"
            found[number] = traffic_class >> 2 == UNTRACKED_DSCP


@contextmanager
def lab() -> Iterator[Lab]:
    """A host whose every packet goes to the peer, without neighbour look-ups and without traffic of its own."""
    with veth_pair(host_interface="eth0", peer_interface="eth1") as (host, peer):
        for end in (host, peer):
            # Frames then carry the sender's own address as destination, so that the peer's stack leaves them alone.
            end.run("ip", "link", "set", end.interface, "arp", "off")
        host.run("ip", "route", "add", "default", "dev", host.interface)
        host.run("ip", "-6", "route", "add", "default", "dev", host.interface)
        made = Lab(host, peer)
        try:
            yield made
        finally:
            made.close()
