"""An attacker on the wire: frames byte by byte from a peer that nobody is, and what of them comes past the programs.

    with siege("tc", is_untracked=True) as attack:
        attack.send(attack.udp(OPEN), attack.udp(CLOSED))
        assert attack.reached() == [attack.udp(OPEN)]
        attack.judged(attack.udp(OPEN, version=6), ...)      # the same, expected from the bytes alone

Counts, never time: a last frame that is let in says that everything before it has been judged.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bpf.untracked import FirstFragments
from dissect import dissect
from frames import ETHERTYPE, SERVICE_VLAN, VLAN, frame
from lockdown import LocalHost, allow, endpoint, foreign_xdp, local_host, packet_socket, policy
from tortie.model.address import parse_address
from tortie.model.conntrack import ConnectionTable, Relation
from tortie.model.packet import PORTED, SYN, TCP, UDP, Fragment, Packet
from tortie.model.verdict import Reason

OPEN, CLOSED = 7001, 7002
GHOST, GHOST6 = "10.99.0.66", "fd99::66"
"""Addresses that only the test answers for."""
GHOST_MAC = "02:00:00:00:00:66"
TAGS = (VLAN.to_bytes(2, "big"), SERVICE_VLAN.to_bytes(2, "big"))
MARKER = 6999
"""The source port of the frames that say "so far"."""
OPEN_RULES = [allow("TCP", OPEN), allow("UDP", OPEN)]
ANSWER_RULES = [allow("TCP", OPEN, source_ports=True), allow("UDP", OPEN, source_ports=True)]


KINDS = tuple((door, is_untracked) for door in ("xdp", "tc") for is_untracked in (False, True))
"""The doors, and the classes of policy behind them."""


def kind_name(kind: tuple[str, bool]) -> str:
    """For people who read the names of tests."""
    return f"{kind[0]} {'untracked' if kind[1] else 'tracked'}"


@dataclass
class Siege:
    """A host with one open port, and the attacker's end of the wire. Frames are without their Ethernet addresses."""

    site: LocalHost
    line: socket.socket
    """Sends to the host, and hears what it says."""
    inside: Sequence[socket.socket]
    """What Linux is given behind the programs, IPv4 and IPv6."""
    is_untracked: bool
    ends: bytes
    """The Ethernet addresses of what the attacker sends."""
    servers: dict[int, socket.socket] = field(default_factory=dict)
    _counted: Counter[str] = field(default_factory=Counter)
    _markers: int = 0
    _reached: list[bytes] = field(default_factory=list)

    # ---- frames

    def packet(self, version: int, protocol: int, **fields: Any) -> Packet:
        """A packet from the ghost to the host."""
        ends = (GHOST, self.site.host.address) if version == 4 else (GHOST6, self.site.host.address6)
        source, destination = (parse_address(end)[1] for end in ends)
        return Packet(
            **{"version": version, "protocol": protocol, "source": source, "destination": destination} | fields
        )

    def udp(self, port: int, version: int = 4, *, payload: bytes = b"attack", **more: Any) -> bytes:
        """A datagram to that port. `more`: of `frames.frame`; `fields`: of the packet."""
        fields = {"source_port": 40000, "destination_port": port, **more.pop("fields", {})}
        return frame(self.packet(version, UDP, **fields), payload=payload, **more)[12:]

    def tcp(self, port: int, version: int = 4, **more: Any) -> bytes:
        """A SYN to that port."""
        fields = {"source_port": 40000, "destination_port": port, "tcp_flags": SYN, **more.pop("fields", {})}
        return frame(self.packet(version, TCP, **fields), **more)[12:]

    def raw(self, version: int, protocol: int, payload: bytes, **fields: Any) -> bytes:
        """A packet of another protocol."""
        return frame(self.packet(version, protocol, **fields), payload=payload)[12:]

    # ---- what comes of them

    def send(self, *frames: bytes) -> None:
        """Put frames on the wire, one after another."""
        for one in frames:
            self.line.send(self.ends + one)

    def settle(self) -> None:
        """Wait until everything that was sent has been judged."""
        self._markers += 1
        content = b"so far %d" % self._markers
        self.send(self.udp(OPEN, payload=content, fields={"source_port": MARKER}))
        for server in self.inside:
            server.settimeout(10)
        while True:
            seen = self._next(self.inside[0])
            if seen.endswith(content):
                break
            self._reached.append(seen)
        for server in self.inside:
            server.setblocking(False)
            try:
                while True:
                    self._reached.append(self._next(server))
            except BlockingIOError:
                pass

    def _next(self, server: socket.socket) -> bytes:
        """The ghost's next frame that came past the programs, from its ethertype on."""
        while True:
            data, (_, _, kind, _, mac) = server.recvfrom(70_000)
            if mac.hex(":") == GHOST_MAC and kind != socket.PACKET_OUTGOING:
                return bytes(data[12:])

    def reached(self) -> list[bytes]:
        """The frames since the last call that Linux was given, without their tags; IPv4 in front of IPv6."""
        self.settle()
        found, self._reached = self._reached, []
        return found

    def counted(self) -> dict[str, int]:
        """What arriving packets met since the last call; without markers, what IPv6 needs, and what is no IP."""
        self.settle()
        now = Counter(self.site.counted())
        found = now - self._counted
        self._counted = now
        names = {name.removeprefix("ingress "): count for name, count in found.items() if name.startswith("ingress ")}
        return {name: count for name, count in names.items() if name not in ("essential_icmpv6", "not_ip")}

    def dropped(self) -> dict[str, int]:
        """The same of what was not let in."""
        return {name: count for name, count in self.counted().items() if not name.startswith(("open", "established"))}

    def judged(self, *frames: bytes) -> list[bytes]:
        """The frames that passed: only those whose bytes show the open port may, and every other one has its reason."""
        memory, table = FirstFragments(), ConnectionTable()
        passing, reasons = list[bytes](), Counter[str]()
        self.reached()
        self.counted()
        for one in frames:
            packet = dissect(bytes(12) + one)
            if isinstance(packet, Packet):
                packet = memory.seen(packet)
                is_stray = table.relation(packet) is Relation.INVALID
                if packet.destination_port == OPEN and (self.is_untracked or not is_stray):
                    passing += untagged(one)
                elif packet.fragment is Fragment.LATER and packet.protocol in PORTED:
                    reasons[Reason.FRAGMENT.value] += 1
                else:
                    reasons[Reason.INVALID.value if is_stray else "policy"] += 1
            else:
                reasons[packet.value] += 1
        passing.sort(key=lambda one: one[:2] != ETHERTYPE[4].to_bytes(2, "big"))
        self.send(*frames)
        came, dropped = self.reached(), Counter(self.dropped())
        dropped["policy"] = dropped.pop("default/-1", 0) + dropped.pop("host-ens4/-1", 0)
        assert passing == came, f"{len(came)} of {len(frames)} passed, expected {len(passing)}"
        assert +reasons == +dropped, f"{+dropped} instead of {+reasons}"
        return came

    def heard(self, port: int) -> list[bytes]:
        """Datagrams that a server of the host was given since the last call, without markers."""
        self.settle()
        found = []
        server = self.servers[port]
        server.setblocking(False)
        try:
            while True:
                data, sender = server.recvfrom(70_000)
                if sender[1] != MARKER:
                    found.append(data)
        except BlockingIOError:
            return found

    def answers(self, port: int) -> int:
        """How many TCP segments from that port the host has sent to the ghost, of those that were not read yet."""
        self.settle()
        self.line.setblocking(False)
        found = 0
        try:
            while True:
                data = self.line.recv(2000)
                if data[12:14] == b"\x08\x00" and data[23] == TCP and data[34:36] == port.to_bytes(2, "big"):
                    found += 1
                if data[12:14] == b"\x86\xdd" and data[20] == TCP and data[54:56] == port.to_bytes(2, "big"):
                    found += 1
        except BlockingIOError:
            self.line.settimeout(2)
            return found


@contextmanager
def siege(door: str, *, is_untracked: bool) -> Iterator[Siege]:
    """A host behind that door (xdp, tc), on which one TCP and one UDP port is open in that class of policy."""
    with ExitStack() as stack:
        site = stack.enter_context(local_host())
        if door == "tc":
            stack.enter_context(foreign_xdp(site.host))
        for ghost in (GHOST, GHOST6):
            site.host.run("ip", "neigh", "add", ghost, "lladdr", GHOST_MAC, "dev", site.host.interface)
        line = stack.enter_context(packet_socket(site.peer, hears=True))
        site.program(endpoint(), policy("open", OPEN_RULES, ANSWER_RULES, untracked=is_untracked))
        (status,) = site.driver.status()
        assert status.acceleration.value.startswith(door), status
        with site.host.entered():
            inside = [
                stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)))
                for kind in ETHERTYPE.values()
            ]
            servers = {port: stack.enter_context(udp_server(port)) for port in (OPEN, CLOSED)}
            for port in (OPEN, CLOSED):
                stack.enter_context(socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True))
        for one in inside:
            one.bind((site.host.interface, one.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        ends = bytes.fromhex((site.host.mac + GHOST_MAC).replace(":", ""))
        made = Siege(site, line, inside, is_untracked, ends, servers)
        made.counted()
        yield made


def untagged(one: bytes) -> list[bytes]:
    """The frame without its VLAN tags; none where Linux, which has no VLAN device here, is not given what is in it."""
    while one[:2] in TAGS:
        is_priority = not int.from_bytes(one[2:4], "big") & 0xFFF
        one = one[4:]
        if one[:2] in TAGS and not is_priority:
            return []
    return [one]


def udp_server(port: int) -> socket.socket:
    """A socket of both families in this thread's namespace."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("", port))
    return made
