"""Generators for every value that a driver meets: endpoints with policies and sets, and packets aimed at their edges.

Everything draws from a `random.Random`: give a seeded one for speed (over 30,000 packets a second), or let Hypothesis
control it (`cases`, `packets`) to have failures shrunk. Policies are such as the API accepts (reference resources.md
section 5) and as lowering produces. Packets that make up connections: `conversations.py`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import NamedTuple, assert_never

from hypothesis import strategies as st

from tortie.model.address import WIDTH, Net
from tortie.model.conntrack import Timeouts, TrackingSettings
from tortie.model.desired import EndpointState, HostAddresses, MissingProfile, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, PortSet, SelectorSet, ServiceSet, SetSource
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import ICMP, ICMPV6, PORTED, TCP, UDP, UDPLITE, Direction, Fragment, Packet, Side
from tortie.model.policy import DEFAULT_ALLOW, Policy, PolicyKey, Profile, Stage, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

EXTENSION_HEADERS = frozenset({0, 43, 44, 51, 60, 135, 139, 140})
"""Protocol numbers that are extension headers in IPv6, so that no IPv6 packet has them as its protocol."""

ADDRESSES = {
    4: (0x0A000000, 0x0A000100, 0x0AFFFF00, 0xC0A80000, 0xAC100000, 0, 0xFFFFFFFF),
    6: (0xFD00 << 112, 0xFD00 << 112 | 1 << 64, 0x20010DB8 << 96, 0xFE80 << 112, 0, 2**128 - 1),
}
"""Nets start at few places, so that they overlap and nest."""
LENGTHS = {4: (0, 1, 8, 16, 23, 24, 28, 30, 31, 32, 32, 32), 6: (0, 1, 16, 32, 48, 64, 64, 96, 126, 127, 128, 128)}
PORTS = (1, 22, 53, 80, 443, 1023, 1024, 6379, 8080, 32767, 32768, 65534, 65535)
PORT_NAMES = ("http", "redis", "dns")
PROTOCOLS = (*PORTED, TCP, UDP, TCP, ICMP, ICMPV6, UDPLITE, 2, 47, 50, 89, 255)
ICMP_TYPES = (0, 3, 8, 11, 128, 129, 130, 132, 133, 134, 135, 136, 137, 143, 254)
ACTIONS = (Action.ALLOW,) * 8 + (Action.DENY,) * 7 + (Action.PASS,) * 3 + (Action.LOG,) * 2


def chance(rng: Random, percent: int) -> bool:
    """True that many times of a hundred; Hypothesis shrinks it to False."""
    return rng.randrange(100) >= 100 - percent


def random_address(rng: Random, version: int) -> int:
    """An address near one of the places where nets start, or anywhere."""
    if chance(rng, 15):
        return rng.getrandbits(WIDTH[version])
    base = rng.choice(ADDRESSES[version])
    return (base + rng.randrange(300) * rng.choice((1, 1, 1, 256))) & ((1 << WIDTH[version]) - 1)


def random_net(rng: Random, version: int, *, shortest: int = 0) -> Net:
    """A net with zero host bits, at least `shortest` long."""
    length = max(shortest, rng.choice(LENGTHS[version]) if chance(rng, 85) else rng.randrange(WIDTH[version] + 1))
    shift = WIDTH[version] - length
    return Net(version, random_address(rng, version) >> shift << shift, length)


def random_nets(rng: Random, version: int, most: int, *, shortest: int = 0) -> tuple[Net, ...]:
    """One to `most` different nets of one family."""
    return tuple(dict.fromkeys(random_net(rng, version, shortest=shortest) for _ in range(1 + rng.randrange(most))))


def random_port(rng: Random) -> int:
    """A port that may stand in a rule (1 to 65535)."""
    return rng.choice(PORTS) if chance(rng, 70) else 1 + rng.randrange(65535)


def random_range(rng: Random) -> PortRange:
    """A single port, a short range, or a long one."""
    first = random_port(rng)
    if chance(rng, 50):
        return PortRange(first, first)
    other = min(65535, first + rng.randrange(20)) if chance(rng, 50) else random_port(rng)
    return PortRange(min(first, other), max(first, other))


class Sets:
    """The pool of IP sets that the rules of one case refer to; equal sources share one, some stay empty."""

    def __init__(self, rng: Random, members: int) -> None:
        self.rng, self.most = rng, members
        self.sets: dict[str, IPSet] = {}

    def source(self, source: SetSource) -> SetSource:
        """The source, after its members were made up."""
        if source.set_id not in self.sets:
            self.sets[source.set_id] = self._members(source)
        return source

    def _members(self, source: SetSource) -> IPSet:
        rng = self.rng
        count = 0 if chance(rng, 12) else rng.randrange(self.most + 1)
        if isinstance(source, NamedPortSet) or (isinstance(source, ServiceSet) and source.with_ports):
            fixed = source.protocol if isinstance(source, NamedPortSet) else None
            return PortSet(_port_member(rng, fixed) for _ in range(count))
        return AddressSet(random_net(rng, rng.choice((4, 6))) for _ in range(count))


def _port_member(rng: Random, protocol: int | None) -> PortMember:
    version = rng.choice((4, 6))
    return PortMember(version, random_address(rng, version), protocol or rng.choice(PORTED), random_port(rng))


def _entity(
    rng: Random, sets: Sets, *, side: Side, direction: Direction, net_version: int, protocol: int | None
) -> Iterator[Match]:
    """The matches on one end of the packet. Source: resources.md section 6."""
    has_service = chance(rng, 5) and (side is Side.SOURCE) == (direction is Direction.INGRESS)
    if has_service:
        yield SetMatch(side, sets.source(ServiceSet("web", f"s{rng.randrange(3)}", side is Side.DESTINATION)))
    else:
        if chance(rng, 30):
            yield NetMatch(side, random_nets(rng, net_version, 4))
        if chance(rng, 10):
            yield NetMatch(side, random_nets(rng, net_version, 3, shortest=1), negated=True)
        if chance(rng, 25):
            yield SetMatch(side, sets.source(SelectorSet(parse_selector(f'set == "s{rng.randrange(12)}"'))))
        if chance(rng, 8):
            yield SetMatch(
                side, sets.source(SelectorSet(parse_selector(f'set == "s{rng.randrange(12)}"'))), negated=True
            )
    if has_service and side is Side.DESTINATION:
        return
    if chance(rng, 35 if side is Side.DESTINATION else 15) and (
        ports := _ports(rng, sets, side, protocol, negated=False)
    ):
        yield ports
    if chance(rng, 8) and (ports := _ports(rng, sets, side, protocol, negated=True)):
        yield ports


def _ports(rng: Random, sets: Sets, side: Side, protocol: int | None, *, negated: bool) -> PortMatch | None:
    """Ports as the protocol allows: numbers need TCP, UDP or SCTP; names go without a protocol too."""
    if protocol is not None and protocol not in PORTED:
        return None
    ranges = tuple(random_range(rng) for _ in range(1 + rng.randrange(4))) if protocol and chance(rng, 85) else ()
    named: tuple[NamedPortSet, ...] = ()
    if not ranges or chance(rng, 20):
        selector = ALL if chance(rng, 60) else parse_selector(f'set == "s{rng.randrange(12)}"')
        named = (NamedPortSet(selector, protocol, rng.choice(PORT_NAMES)),)
        sets.source(named[0])
    return PortMatch(side, ranges, named, negated)


def random_rule(rng: Random, sets: Sets, direction: Direction) -> Rule:
    """A rule that the API accepts."""
    version = rng.choice((4, 6)) if chance(rng, 25) else None
    protocol = (rng.choice(PROTOCOLS) if chance(rng, 85) else 1 + rng.randrange(255)) if chance(rng, 80) else None
    by_name = chance(rng, 70)
    if protocol == ICMP and (by_name or version is not None):
        version = 4
    if protocol == ICMPV6 and (by_name or version is not None):
        version = 6
    excluded = rng.choice(PROTOCOLS) if chance(rng, 8) else None
    if (excluded == ICMP and version == 6) or (excluded == ICMPV6 and version == 4):
        excluded = None
    matches: list[Match] = []
    if version is not None:
        matches.append(VersionMatch(version))
    if protocol is not None:
        matches.append(ProtocolMatch(protocol))
    if excluded is not None:
        matches.append(ProtocolMatch(excluded, negated=True))
    if protocol in (ICMP, ICMPV6) and chance(rng, 60):
        matches.append(_icmp(rng, negated=False))
    if chance(rng, 25 if protocol in (ICMP, ICMPV6) else 4):
        matches.append(_icmp(rng, negated=True))
    net_version = version or rng.choice((4, 6))
    for side in Side:
        matches.extend(_entity(rng, sets, side=side, direction=direction, net_version=net_version, protocol=protocol))
    return Rule(rng.choice(ACTIONS), tuple(matches))


def _icmp(rng: Random, *, negated: bool) -> IcmpMatch:
    kind = rng.choice(ICMP_TYPES) if chance(rng, 80) else rng.randrange(255)
    return IcmpMatch(kind, rng.randrange(4) if chance(rng, 40) else None, negated)


def random_failsafes(rng: Random) -> Failsafes:
    """The defaults, none, or a few with protocols and nets of their own."""
    kind = rng.randrange(3)
    if kind == 0:
        return Failsafes()
    if kind == 1:
        return Failsafes((), ())
    inbound, outbound = (tuple(dict.fromkeys(_failsafe(rng) for _ in range(rng.randrange(5)))) for _ in range(2))
    return Failsafes(inbound, outbound)


def _failsafe(rng: Random) -> FailsafePort:
    net = random_net(rng, rng.choice((4, 6))) if chance(rng, 50) else None
    return FailsafePort(rng.choice(PORTED), random_port(rng), net)


@dataclass(frozen=True, eq=False)
class Case:
    """One endpoint with what its rules refer to and what holds for its host; unpacks as (endpoint, sets, failsafes)."""

    endpoint: EndpointState
    sets: Mapping[str, IPSet]
    failsafes: Failsafes
    addresses: HostAddresses = field(default_factory=HostAddresses)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    def __iter__(self) -> Iterator[EndpointState | Mapping[str, IPSet] | Failsafes]:
        return iter((self.endpoint, self.sets, self.failsafes))

    @cached_property
    def aims(self) -> "Mapping[Direction | None, tuple[Aim, ...]]":
        """What packets about each rule look like: of one direction, or of both (None)."""
        found = {direction: tuple(_aim(rule, self.sets) for rule in self.rules(direction)) for direction in Direction}
        both = found[Direction.INGRESS] + found[Direction.EGRESS]
        return {None: both or (Aim(),)} | {direction: one or both or (Aim(),) for direction, one in found.items()}

    @cached_property
    def failsafe_aims(self) -> "tuple[Aim, ...]":
        """What packets about each failsafe entry look like."""
        inbound = tuple(_aim_at_failsafe(entry, Side.SOURCE) for entry in self.failsafes.inbound)
        return inbound + tuple(_aim_at_failsafe(entry, Side.DESTINATION) for entry in self.failsafes.outbound)

    def rules(self, direction: Direction) -> Iterator[Rule]:
        """The rules of that direction that are enforced, in order of the classes, then those of profiles."""
        for stage in (Stage.UNTRACKED, Stage.PRE_DNAT, Stage.NORMAL):
            for group in self.endpoint.stage(stage, direction):
                for policy in group.policies:
                    yield from policy.rules(direction)
        for profile in self.endpoint.profiles:
            if isinstance(profile, Profile):
                yield from profile.ingress if direction is Direction.INGRESS else profile.egress


def random_case(rng: Random, size: int) -> Case:
    """An endpoint with up to about `size` untracked rules a direction, over several tiers and policies."""
    sets = Sets(rng, members=12)
    tiers: dict[tuple[Stage, Direction], tuple[TierPolicies, ...]] = {}
    groups: list[tuple[Tier, list[Policy]]] = []
    left = 1 + rng.randrange(size)
    number = 0
    while left > 0 and number < 24:
        if not groups or chance(rng, 35):
            order = float(len(groups))
            groups.append((Tier(f"tier-{len(groups)}", order, rng.choice(tuple(TierAction))), []))
        tier, policies = groups[-1]
        count = min(left, 1024, 1 + rng.randrange(max(1, size // 2)))
        policies.append(random_policy(rng, sets, tier=tier.name, number=number, count=count))
        left, number = left - count, number + 1
    for direction in Direction:
        ordered = [(tier, tuple(p for p in policies if direction in p.governs)) for tier, policies in groups]
        if found := tuple(TierPolicies(tier, kept) for tier, kept in ordered if kept):
            tiers[Stage.UNTRACKED, direction] = found
    interface = Interface(name="eth0", index=2)
    endpoint = EndpointState(interface=interface, endpoint="host-eth0", tiers=tiers)
    return Case(endpoint, sets.sets, random_failsafes(rng))


def random_policy(rng: Random, sets: Sets, *, tier: str, number: int, count: int) -> Policy:
    """An untracked policy of up to `count` rules a direction."""
    governs = rng.choice((frozenset(Direction), frozenset({Direction.INGRESS}), frozenset({Direction.EGRESS})))
    rules = {
        direction: tuple(random_rule(rng, sets, direction) for _ in range(count)) if direction in governs else ()
        for direction in Direction
    }
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", f"policy-{number}"),
        tier=tier,
        order=float(number),
        selector=ALL,
        ingress=rules[Direction.INGRESS],
        egress=rules[Direction.EGRESS],
        governs=governs,
        do_not_track=True,
        apply_on_forward=True,
    )


NORMAL_ACTIONS = (TierAction.PASS, TierAction.PASS, TierAction.DENY)
"""Most tiers let go of what nothing in them decided: else hardly a packet would meet the second one."""


def random_normal_case(rng: Random, size: int = 8, *, pool: Sets | None = None) -> Case:
    """An endpoint with tracked policy of about `size` rules a direction: tiers, profiles, a host around it.

    A third of them have untracked policy too, a third pre-DNAT policy, and some policies have a forward half. Endpoints
    of one host share their `pool` of sets.
    """
    sets = pool or Sets(rng, members=12)
    has_early = chance(rng, 35)
    groups: list[tuple[Tier, list[Policy]]] = []
    left, number = rng.randrange(2 * size), 0
    while left > 0 and number < 24:
        if not groups or chance(rng, 40):
            groups.append((Tier(f"tier-{len(groups)}", float(len(groups)), rng.choice(NORMAL_ACTIONS)), []))
        tier, policies = groups[-1]
        count = min(left, rng.randrange(2 + size // 2))
        drawn = random_policy(rng, sets, tier=tier.name, number=number, count=count)
        is_untracked = number % 3 == 0 and chance(rng, 33)
        if has_early and not is_untracked and Direction.INGRESS in drawn.governs and chance(rng, 50):
            policies.append(_pre_dnat(drawn))
        else:
            policies.append(replace(drawn, do_not_track=is_untracked, apply_on_forward=is_untracked or chance(rng, 30)))
        left, number = left - max(1, count), number + 1
    tiers: dict[tuple[Stage, Direction], tuple[TierPolicies, ...]] = {}
    for stage in Stage:
        for direction in Direction:
            found = (
                TierPolicies(tier, tuple(p for p in policies if stage in p.stages and direction in p.governs))
                for tier, policies in groups
            )
            if kept := tuple(group for group in found if group.policies):
                tiers[stage, direction] = kept
    forwards = frozenset(version for version in (4, 6) if chance(rng, 40))
    endpoint = EndpointState(
        interface=Interface(name="eth0", index=2, forwards=forwards),
        endpoint="host-eth0",
        tiers=tiers,
        profiles=tuple(_profile(rng, sets, number) for number in range(rng.randrange(4))),
    )
    case = Case(endpoint, sets.sets, random_failsafes(rng))
    return replace(case, addresses=_host_addresses(rng, case), tracking=_tracking(rng))


def with_simple_rules(rng: Random, case: Case, direction: Direction) -> Case:
    """The case with rules before its first untracked ones of the direction, which it has, that look at a protocol and
    ports of one side, near those of failsafes: such get shortcuts."""
    ports = [entry.port for entry in (*case.failsafes.inbound, *case.failsafes.outbound)] or [80, 443]

    side = rng.choice(tuple(Side))

    def simple() -> Rule:
        first = max(1, min(65535, rng.choice(ports) + rng.randrange(-3, 4)))
        starts = (first, *(rng.randrange(1, 65536) for _ in range(rng.choice((0, 1, 1, 20)))))
        ranges = tuple(PortRange(at, min(65535, at + rng.choice((0, 0, 5)))) for at in starts)
        action = rng.choice((Action.ALLOW, Action.ALLOW, Action.DENY))
        own = rng.choice(tuple(Side)) if chance(rng, 10) else side
        return Rule(action, (ProtocolMatch(rng.choice(PORTED)), PortMatch(own, ranges)))

    key = (Stage.UNTRACKED, direction)
    first, *others = case.endpoint.tiers[key]
    policy = first.policies[0]
    listed = "ingress" if direction is Direction.INGRESS else "egress"
    rules = (*(simple() for _ in range(rng.randrange(1, 6))), *policy.rules(direction))
    changed = replace(first, policies=(replace(policy, **{listed: rules}), *first.policies[1:]))
    endpoint = replace(case.endpoint, tiers={**case.endpoint.tiers, key: (changed, *others)})
    return replace(case, endpoint=endpoint)


def _pre_dnat(policy: Policy) -> Policy:
    """The policy in that class, which has one direction."""
    ingress = frozenset({Direction.INGRESS})
    return replace(policy, do_not_track=False, pre_dnat=True, egress=(), governs=ingress)


def _profile(rng: Random, sets: Sets, number: int) -> Profile | MissingProfile:
    kind = rng.randrange(8)
    if kind == 0:
        return MissingProfile(f"gone-{number}")
    if kind < 3:
        everything = (Rule(Action.ALLOW),)
        return Profile(DEFAULT_ALLOW, {}, everything, everything)
    ingress, egress = (
        tuple(random_rule(rng, sets, direction) for _ in range(rng.randrange(4))) for direction in Direction
    )
    return Profile(f"profile-{number}", {}, ingress, egress)


def _host_addresses(rng: Random, case: Case) -> HostAddresses:
    """Addresses that rules name as the near end, and others."""
    unicast = set()
    for version in (4, 6):
        for _ in range(1 + rng.randrange(4)):
            packet = random_packet(rng, case, version=version, direction=Direction.INGRESS)
            unicast |= {(version, packet.destination), (version, random_address(rng, version))}
    broadcast = {random_address(rng, 4) | 0xFF for _ in range(rng.randrange(2))}
    return HostAddresses(frozenset(unicast), frozenset(broadcast))


def _tracking(rng: Random) -> TrackingSettings:
    """Timeouts that differ from one another, a table with room, and at times no check for INVALID."""
    timeouts = Timeouts(tcp_syn_sent_s=5, tcp_established_s=300, tcp_fins_seen_s=8, tcp_reset_seen_s=6, udp_s=20)
    return TrackingSettings(
        timeouts=timeouts if chance(rng, 30) else Timeouts(), size=4096, drops_invalid=not chance(rng, 15)
    )


Corner = tuple[int, int]
"""First and last address of a net: where to look for addresses."""


@dataclass(slots=True)
class End:
    """What a rule asks of one end of a packet. `near` is what negated matches name: drawn from at times, too."""

    corners: dict[int, tuple[Corner, ...]] = field(default_factory=dict)
    near_corners: dict[int, tuple[Corner, ...]] = field(default_factory=dict)
    ports: tuple[PortRange, ...] = ()
    near_ports: tuple[PortRange, ...] = ()
    members: dict[int, tuple[PortMember, ...]] = field(default_factory=dict)


@dataclass
class Aim:
    """What a rule asks for: a packet is drawn from it, then moved over an edge. Empty: anything."""

    version: int | None = None
    protocol: int | None = None
    near_protocol: int | None = None
    icmp: tuple[tuple[int, int | None], ...] = ()
    near_icmp: tuple[tuple[int, int | None], ...] = ()
    source: End = field(default_factory=End)
    destination: End = field(default_factory=End)

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """Families in which the rule can be met, as far as its addresses tell."""
        if self.version is not None:
            return (self.version,)
        ends = [
            set(end.corners or end.members) for end in (self.source, self.destination) if end.corners or end.members
        ]
        return tuple(sorted(set[int]((4, 6)).intersection(*ends))) or (4, 6)

    def end(self, side: Side) -> End:
        """What is asked of that side."""
        return self.source if side is Side.SOURCE else self.destination


def _aim(rule: Rule, sets: Mapping[str, IPSet]) -> Aim:
    aim = Aim()
    for match in rule.matches:
        match match:
            case VersionMatch(version=version):
                aim.version = version
            case ProtocolMatch(protocol=protocol, negated=False):
                aim.protocol = protocol
            case ProtocolMatch(protocol=protocol):
                aim.near_protocol = protocol
            case IcmpMatch(negated=False):
                aim.icmp += ((match.type, match.code),)
            case IcmpMatch():
                aim.near_icmp += ((match.type, match.code),)
            case NetMatch():
                _add_nets(aim.end(match.side), match.nets, negated=match.negated)
            case SetMatch():
                _add_set(aim.end(match.side), sets.get(match.source.set_id), negated=match.negated)
            case PortMatch():
                end = aim.end(match.side)
                if match.negated:
                    end.near_ports += match.ranges
                else:
                    end.ports += match.ranges
                for source in match.named:
                    _add_set(end, sets.get(source.set_id), negated=match.negated)
            case _:
                assert_never(match)
    return aim


def _aim_at_failsafe(entry: FailsafePort, remote: Side) -> Aim:
    """A packet to the port; its reply leg is drawn by swapping the ends."""
    aim = Aim(protocol=entry.protocol)
    aim.destination.ports = (PortRange(entry.port, entry.port),)
    if entry.net:
        _add_nets(aim.end(remote), (entry.net,), negated=False)
    return aim


def _add_nets(end: End, nets: Iterable[Net], *, negated: bool) -> None:
    corners = end.near_corners if negated else end.corners
    for net in nets:
        corner = (net.address, net.address | (1 << WIDTH[net.version] - net.length) - 1)
        corners[net.version] = (*corners.get(net.version, ()), corner)


def _add_set(end: End, members: IPSet | None, *, negated: bool) -> None:
    """A thousand members tell what a set is like."""
    if isinstance(members, AddressSet):
        _add_nets(end, sorted(members.members)[:1000], negated=negated)
    elif members is not None:
        for member in sorted(members.members)[:1000]:
            end.members[member.version] = (*end.members.get(member.version, ()), member)


def random_packet(rng: Random, case: Case, *, version: int | None = None, direction: Direction | None = None) -> Packet:
    """A packet aimed at one of the case's rules, on it or just beside it; of that IP version if one is given.

    With a direction, the rules of that direction are aimed at.
    """
    dice = rng.random
    aims = case.aims[direction]
    aim = aims[int(dice() * len(aims))]
    kind = dice()
    if kind < 0.04:
        aim = Aim()
    elif kind < 0.12 and case.failsafe_aims:
        aim = case.failsafe_aims[int(dice() * len(case.failsafe_aims))]
    if version is None:
        version = aim.versions[int(dice() * len(aim.versions))]
        version = 10 - version if dice() < 0.03 else version
    protocol = _protocol(rng, aim)
    ends = []
    for end in (aim.source, aim.destination):
        near = dice() < 0.2
        corners = (near and end.near_corners.get(version)) or end.corners.get(version) or ()
        address = _address(rng, version, corners)
        port = _port(rng, (near and end.near_ports) or end.ports)
        members = end.members.get(version)
        if members and dice() < 0.85:
            address, protocol, port = _member(rng, members, protocol, port)
        ends.append((address, port))
    if dice() < 0.1:
        ends.reverse()
    if version == 6 and protocol in EXTENSION_HEADERS:
        protocol = UDP
    (source, source_port), (destination, destination_port) = ends
    return _packet(rng, version, protocol, source, destination, source_port, destination_port, aim)


def _protocol(rng: Random, aim: Aim) -> int:
    """The protocol the rule asks for, one that its other matches suggest, or any."""
    where = rng.random()
    if where < 0.05:
        return PROTOCOLS[int(rng.random() * len(PROTOCOLS))] if where < 0.04 else rng.randrange(256)
    if aim.protocol is not None:
        return aim.protocol
    if aim.near_protocol is not None and where < 0.3:
        return aim.near_protocol
    if (aim.icmp or aim.near_icmp) and where < 0.6:
        return ICMP if where < 0.3 else ICMPV6
    return PROTOCOLS[int(rng.random() * len(PROTOCOLS))]


def _packet(
    rng: Random, version: int, protocol: int, source: int, destination: int, sport: int, dport: int, aim: Aim
) -> Packet:
    """The packet with those fields, some of them fragments; fields that it would not show are None."""
    dice = rng.random()
    fragment = Fragment.WHOLE if dice < 0.86 else Fragment.LATER if dice < 0.94 else Fragment.FIRST
    has_ports = protocol in PORTED and fragment is not Fragment.LATER
    kind = code = None
    hop_limit = 64
    if protocol in (ICMP, ICMPV6) and fragment is not Fragment.LATER:
        kind, code = _icmp_fields(rng, aim)
        hop_limit = (255, 255, 255, 64, 254, 1)[int(rng.random() * 6)]
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=destination,
        source_port=sport if has_ports else None,
        destination_port=dport if has_ports else None,
        icmp_type=kind,
        icmp_code=code,
        fragment=fragment,
        fragment_id=0 if fragment is Fragment.WHOLE else rng.getrandbits(16 if version == 4 else 32),
        hop_limit=hop_limit,
    )


def _address(rng: Random, version: int, corners: tuple[Corner, ...]) -> int:
    """An address at an edge of one of the corners, inside it, just outside, or somewhere else."""
    if not corners:
        return random_address(rng, version)
    first, last = corners[int(rng.random() * len(corners))]
    where = rng.random()
    if where < 0.3:
        return first
    if where < 0.55:
        return last
    if where < 0.85:
        return first + rng.getrandbits((last - first).bit_length()) % (last - first + 1) if last > first else first
    if where < 0.96:
        return (first - 1 if where < 0.9 else last + 1) & ((1 << WIDTH[version]) - 1)
    return random_address(rng, version)


def _port(rng: Random, ranges: tuple[PortRange, ...]) -> int:
    """A port at an edge of one of the ranges, inside, just outside, or any (0 too, which no rule can name)."""
    where = rng.random()
    if not ranges or where > 0.96:
        return PORTS[int(rng.random() * len(PORTS))] if where < 0.6 else int(rng.random() * 65536)
    first, last = ranges[int(rng.random() * len(ranges))]
    if where < 0.28:
        return first
    if where < 0.5:
        return last
    if where < 0.7:
        return first + int(rng.random() * (last - first + 1))
    return (first - 1 if where < 0.83 else last + 1) & 0xFFFF


def _member(rng: Random, members: tuple[PortMember, ...], protocol: int, port: int) -> tuple[int, int, int]:
    """Address, protocol and port of a member; at times one of them is off, or the packet's own."""
    member = members[int(rng.random() * len(members))]
    off = rng.random()
    return (
        member.address ^ 1 if off < 0.05 else member.address,
        protocol if off > 0.92 else member.protocol,
        port if off < 0.12 else member.port ^ 1 if off < 0.15 else member.port,
    )


def _icmp_fields(rng: Random, aim: Aim) -> tuple[int, int]:
    """A type and code that the rule names, one beside it, or any."""
    where = rng.random()
    named = (where < 0.25 and aim.near_icmp) or aim.icmp
    if named and where < 0.85:
        kind, code = named[int(rng.random() * len(named))]
        if where < 0.1:
            kind = kind + 1 & 0xFF
        return kind, code if code is not None and where < 0.7 else int(rng.random() * 5)
    return ICMP_TYPES[int(rng.random() * len(ICMP_TYPES))] if where < 0.97 else rng.getrandbits(8), int(
        rng.random() * 3
    )


class Meeting(NamedTuple):
    """A case and some packets about it."""

    case: Case
    packets: tuple[Packet, ...]


def cases(size: int = 8) -> st.SearchStrategy[Case]:
    """Cases that Hypothesis controls and shrinks."""
    return st.randoms(use_true_random=False).map(lambda rng: random_case(rng, size))


def packets(case: Case) -> st.SearchStrategy[Packet]:
    """Packets about the case."""
    return st.randoms(use_true_random=False).map(lambda rng: random_packet(rng, case))


def meetings(size: int = 8, count: int = 5) -> st.SearchStrategy[Meeting]:
    """A case with packets about it, from one source of chance."""

    def meet(rng: Random) -> Meeting:
        case = random_case(rng, size)
        return Meeting(case, tuple(random_packet(rng, case) for _ in range(count)))

    return st.randoms(use_true_random=False).map(meet)
