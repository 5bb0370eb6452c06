"""The packets of a test: what each is, which way it goes, and what is wrong with how it is written."""

from dataclasses import dataclass, replace
from typing import cast

from tortie.apps.packets import ECHO_REQUEST, EPHEMERAL, EXTENSIONS, FLAGS, HOP_LIMIT
from tortie.apps.policytest.document import PacketSpec, PolicyTest, Spec
from tortie.apps.policytest.world import World
from tortie.model.address import format_address, parse_address
from tortie.model.conntrack import is_icmp_error
from tortie.model.essential import NEIGHBOUR_HOP_LIMIT
from tortie.model.packet import ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6, PORTED, SYN, TCP, Fragment, Packet
from tortie.model.passage import Way
from tortie.resources.fields import Scope, join
from tortie.resources.problems import Problems

_NEIGHBOURS = range(133, 138)
_ICMP_FIELDS = ("icmpType", "icmpCode", "icmpId")
_FIRST_ONLY = ("sport", "dport", "tcpFlags", *_ICMP_FIELDS)
"""What only the first fragment of a packet shows."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A packet that can be tried. `named`: the number of the earlier packet whose flow it is of.

    `on_wire` is what arrives or leaves; `first`, of a later fragment, the first one where that is known.
    """

    spec: PacketSpec
    on_wire: Packet
    way: Way
    named: int | None
    first: Packet | None = None

    @property
    def packet(self) -> Packet:
        """What is judged: a later fragment counts as what its first one shows."""
        return self.on_wire if self.first is None else self.on_wire.completed_by(self.first)


def read_packets(test: PolicyTest, world: World, problems: Problems) -> list[Probe]:
    """The packets in order; those that mean nothing are left out, with a problem."""
    reader = _Reader(test, world, problems)
    for number in range(len(test.packets)):
        reader.read(number)
    return [probe for probe in reader.probes if probe is not None]


class _Reader:
    def __init__(self, test: PolicyTest, world: World, problems: Problems) -> None:
        self._test, self._world, self._problems = test, world, problems
        self.probes: list[Probe | None] = []

    def read(self, number: int) -> None:
        scope = Scope(self._test.packet_nodes[number], join("packets", number), self._problems)
        spec = self._test.packets[number]
        named = self._named(spec.fields, number, scope)
        earlier = self.probes[named] if named is not None and named < len(self.probes) else None
        packet = _packet(spec.fields, earlier.packet if earlier else None, scope)
        way = self._way(spec.fields, packet, scope) if packet is not None else None
        if packet is None or way is None:
            self.probes.append(None)
            return
        first = _first(packet, earlier.packet) if earlier is not None and "follows" in spec.fields else None
        if packet.fragment is not Fragment.WHOLE:
            packet = replace(packet, fragment_id=number + 1 if first is None else first.fragment_id)
        self.probes.append(Probe(spec, packet, way, named, first))

    def _named(self, fields: Spec, number: int, scope: Scope) -> int | None:
        """The number of the earlier packet; one that is not earlier is a problem."""
        if "replyTo" in fields and "follows" in fields:
            scope.report("TT1973", ("follows",), "replyTo and follows in one packet", remedy="write one of them")
        key = "replyTo" if "replyTo" in fields else "follows"
        named = cast(int | None, fields.get(key))
        if named is not None and named >= number:
            expected = f"0 to {number - 1}" if number else "an earlier packet, and this is the first"
            remedy = f"name an earlier packet, or remove {key}"
            scope.report(
                "TT1973", (key,), "a packet that is not before it", found=str(named), expected=expected, remedy=remedy
            )
        return named

    def _way(self, fields: Spec, packet: Packet, scope: Scope) -> Way | None:
        """Where it arrives and leaves; interfaces that are not written follow from the routes."""
        direction = fields["direction"]
        for key, meaningless in (("out", "ingress"), ("in", "egress")):
            if key in fields and direction == meaningless:
                remedy = "remove it, or write direction: forward"
                scope.report("TT1971", (key,), f"{key} means nothing with direction {direction}", remedy=remedy)
        if direction == "forward" and not self._world.forwards:
            remedy = "remove forwarding: false, or the packet"
            scope.report("TT1971", ("direction",), "a packet to pass on, and the host does not forward", remedy=remedy)
        arrives = self._interface(fields, "in", packet.version, packet.source, scope) if direction != "egress" else None
        leaves = (
            self._interface(fields, "out", packet.version, packet.destination, scope)
            if direction != "ingress"
            else None
        )
        needed = {"ingress": (arrives,), "egress": (leaves,), "forward": (arrives, leaves)}[str(direction)]
        return None if None in needed else Way(arrives, leaves)

    def _interface(self, fields: Spec, key: str, version: int, address: int, scope: Scope) -> str | None:
        known = self._world.interfaces
        if key in fields:
            name = str(fields[key])
            if name in known or name in self._world.host.workloads:
                return name
            expected, remedy = f"one of {', '.join(known)}", "correct it, or add the interface to host.interfaces"
            message = "an interface that the host does not have"
            scope.report("TT1972", (key,), message, found=name, expected=expected, remedy=remedy)
            return None
        found = self._world.interface_to(version, address)
        others = [name for name in known if name != "lo"]
        if found is None and len(others) == 1:
            return others[0]
        if found is None:
            text = f"no route to {format_address(version, address)}"
            message, remedy = "nobody can tell the interface", f"add {key}: with its name, or a route"
            scope.report("TT1972", (key,), message, found=text, remedy=remedy)
        return found


def _packet(fields: Spec, earlier: Packet | None, scope: Scope) -> Packet | None:
    """The packet; what it does not say it takes from the earlier one of its flow, with the ends swapped in a reply."""
    is_reply = "replyTo" in fields
    ends = _ends(earlier, is_reply=is_reply)
    protocol = cast(int | None, fields.get("proto", earlier.protocol if earlier else None))
    addresses = [
        parse_address(str(fields[key])) if key in fields else ends[index][0] if ends else None
        for index, key in enumerate(("src", "dst"))
    ]
    source, destination = addresses
    for key, value in (("proto", protocol), ("src", source), ("dst", destination)):
        if value is None:
            scope.report("TT1102", (key,), "required field is missing", remedy="add it")
    if protocol is None or source is None or destination is None or not _fits(fields, protocol, source, scope):
        return None
    if source[0] != destination[0]:
        found, remedy = f"IPv{source[0]} and IPv{destination[0]}", "give two addresses of one family"
        scope.report("TT1971", ("dst",), "ends of two IP versions", found=found, remedy=remedy)
        return None
    made = Packet(version=source[0], protocol=protocol, source=source[1], destination=destination[1])
    changes: dict[str, object] = {}
    if fields.get("fragment") == Fragment.LATER.value:
        return replace(made, fragment=Fragment.LATER)
    if protocol in PORTED:
        ports = [ends[0][1], ends[1][1]] if ends and earlier and earlier.protocol == protocol else [EPHEMERAL, None]
        changes["source_port"] = fields.get("sport", ports[0])
        changes["destination_port"] = fields.get("dport", ports[1])
        if changes["destination_port"] is None:
            scope.report("TT1102", ("dport",), "required field is missing", remedy="add the destination port")
            return None
    return _detailed(made, changes, fields, earlier)


def _detailed(made: Packet, changes: dict[str, object], fields: Spec, earlier: Packet | None) -> Packet:
    """The packet with its ports, and what only its protocol has."""
    is_of_flow = "replyTo" in fields or "follows" in fields
    if made.protocol == TCP:
        changes["tcp_flags"] = flags_of(str(fields["tcpFlags"])) if "tcpFlags" in fields else SYN
    if made.protocol in (ICMP, ICMPV6):
        kind = cast(int, fields.get("icmpType", _usual_type(made.protocol, earlier, is_reply="replyTo" in fields)))
        changes["icmp_type"], changes["icmp_code"] = kind, fields.get("icmpCode", 0)
        changes["icmp_id"] = fields.get("icmpId", 0)
        changes["hop_limit"] = NEIGHBOUR_HOP_LIMIT if made.protocol == ICMPV6 and kind in _NEIGHBOURS else HOP_LIMIT
    changes["is_sctp_init"] = not is_of_flow
    changes["fragment"] = Fragment(fields.get("fragment", Fragment.WHOLE.value))
    packet = replace(made, **changes)  # type: ignore[arg-type]
    return replace(packet, inner=earlier) if earlier is not None and is_icmp_error(packet) else packet


def _first(packet: Packet, earlier: Packet) -> Packet | None:
    """The first fragment of the packet of which this is a later one; None where nobody saw it."""
    ends = [(one.version, one.protocol, one.source, one.destination) for one in (packet, earlier)]
    is_known = packet.fragment is Fragment.LATER and earlier.fragment is Fragment.FIRST and ends[0] == ends[1]
    return earlier if is_known else None


def _usual_type(protocol: int, earlier: Packet | None, *, is_reply: bool) -> int:
    """An echo request, or the reply to what was asked."""
    if is_reply and earlier is not None and earlier.protocol == protocol:
        requests = ICMP_REQUESTS[protocol]
        if earlier.icmp_type in requests:
            return ICMP_REPLIES[protocol][requests.index(earlier.icmp_type)]
    return ECHO_REQUEST[protocol] if earlier is None or earlier.icmp_type is None else earlier.icmp_type


def flags_of(letters: str) -> int:
    """The bits of the letters."""
    found = 0
    for letter in letters.upper():
        found |= FLAGS[letter]
    return found


_End = tuple[tuple[int, int], int | None]


def _ends(earlier: Packet | None, *, is_reply: bool) -> tuple[_End, _End] | None:
    """Address and port of source and destination, as the earlier packet has them or the other way round."""
    if earlier is None:
        return None
    source = (earlier.version, earlier.source), earlier.source_port
    destination = (earlier.version, earlier.destination), earlier.destination_port
    return (destination, source) if is_reply else (source, destination)


def _fits(fields: Spec, protocol: int, source: tuple[int, int], scope: Scope) -> bool:
    """Whether the packet has only fields that its protocol has; a problem for each other one."""
    if source[0] == 6 and protocol in (0, *EXTENSIONS):
        remedy = "give the protocol that comes after it"
        scope.report("TT1971", ("proto",), "an extension header of IPv6", found=str(protocol), remedy=remedy)
        return False
    foreign: list[str] = []
    if protocol not in PORTED:
        foreign += ["sport", "dport"]
    if protocol != TCP:
        foreign.append("tcpFlags")
    if protocol not in (ICMP, ICMPV6):
        foreign += _ICMP_FIELDS
    is_later = fields.get("fragment") == Fragment.LATER.value
    hidden = [key for key in _FIRST_ONLY if key in fields and key not in foreign] if is_later else []
    wrong = [key for key in foreign if key in fields]
    for key in wrong:
        scope.report("TT1971", (key,), f"protocol {protocol} has no {key}", remedy="remove it, or correct proto")
    for key in hidden:
        remedy = "remove it, and let the packet follow the first fragment"
        scope.report("TT1971", (key,), f"a later fragment shows no {key}", remedy=remedy)
    return not wrong and not hidden
