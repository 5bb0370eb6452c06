"""The policies whose verdict is timed: N rules of one kind, over policies of 1,000 rules, of which the last decides.

Everything is made from a fixed seed: every run measures the same policies.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tortie.model.address import WIDTH, Net
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.ipset import AddressSet, IPSet, SelectorSet
from tortie.model.matches import Match, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import ACK, TCP, UDP, Direction, Packet, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

SEED = 20261
RULES_PER_POLICY = 1_000
FIRST_PORT = 2_000
SET_SIZE = 100
MEMBERS_FROM = 11 << 24
MIXED_LENGTHS = tuple(range(12, 31))
LENGTHS6 = (32, 40, 48, 56, 64)


@dataclass(frozen=True, slots=True)
class Shape:
    """Rules, the packet that only the last of them decides, and the sets they refer to.

    `is_known`: the packet belongs to an established flow, so that no rule is asked.
    """

    name: str
    rules: Sequence[Rule]
    packet: Packet
    sets: Mapping[str, IPSet] = field(default_factory=dict)
    stage: Stage = Stage.UNTRACKED
    is_known: bool = False
    before: Mapping[Stage, Sequence[Rule]] = field(default_factory=dict)
    """Rules of other classes, none of which knows the packet."""
    spread: int = 0
    """How many sources, from the packet's on, repeated runs choose from at random; 0: always the packet's."""

    @property
    def endpoint(self) -> EndpointState:
        """The desired state of the interface that has this policy."""
        tiers = {
            (stage, Direction.INGRESS): (TierPolicies(Tier("default"), _policies(stage, rules)),)
            for stage, rules in {**self.before, self.stage: self.rules}.items()
        }
        return EndpointState(interface=Interface(name="bench", index=1), endpoint="bench", tiers=tiers)


def _policies(stage: Stage, rules: Sequence[Rule]) -> tuple[Policy, ...]:
    """The rules as policies of one class, 1,000 in each."""
    chunks = [rules[at : at + RULES_PER_POLICY] for at in range(0, len(rules), RULES_PER_POLICY)]
    return tuple(
        Policy(
            key=PolicyKey("GlobalNetworkPolicy", "", f"bench-{number:03}"),
            tier="default",
            order=float(number),
            selector=ALL,
            ingress=tuple(chunk),
            do_not_track=stage is Stage.UNTRACKED,
            pre_dnat=stage is Stage.PRE_DNAT,
            apply_on_forward=stage is not Stage.NORMAL,
        )
        for number, chunk in enumerate(chunks)
    )


def ports(sizes: Sequence[int]) -> Iterator[Shape]:
    """N rules with an own TCP port each."""
    for size in sizes:
        rules = [Rule(Action.DENY, _tcp_port(number)) for number in range(size)]
        yield Shape(f"xdp.ports.{size}", rules, _packet(port=FIRST_PORT + size - 1))


def allow(version: int = 4) -> Iterator[Shape]:
    """The one rule of `ports`, which allows: metadata is written for the mark behind it."""
    name = "xdp.allow.1" if version == 4 else "xdp.allow6.1"
    yield Shape(name, [Rule(Action.ALLOW, _tcp_port(0))], _packet(version=version, port=FIRST_PORT))


def tracked(sizes: Sequence[int]) -> Iterator[Shape]:
    """Normal policy: N rules with an own port each deny the first packet of a flow; one rule allows it, and the flow is
    stored; an established flow's packet, over IPv4 and IPv6; the untracked Allow that it is held against."""
    yield from allow()
    yield from allow(6)
    allowed = [Rule(Action.ALLOW, _tcp_port(0))]
    for version, name in ((4, "xdp.established"), (6, "xdp.established6")):
        known = replace(
            _packet(version=version, port=FIRST_PORT),
            source_port=40_001,  # not the flow that a SYN of the other shapes opens
            tcp_flags=ACK,
            sequence=1000,
            acknowledgement=2000,
        )
        yield Shape(name, allowed, known, stage=Stage.NORMAL, is_known=True)
    for size in sizes:
        rules = [Rule(Action.DENY, _tcp_port(number)) for number in range(size)]
        yield Shape(f"xdp.normal.ports.{size}", rules, _packet(port=FIRST_PORT + size - 1), stage=Stage.NORMAL)


def classes(sizes: Sequence[int]) -> Iterator[Shape]:
    """N rules with an own port in each of the four classes; only the last one of the normal class knows the packet."""
    for size in sizes:
        strangers = [Rule(Action.DENY, _tcp_port(size + number)) for number in range(size)]
        rules = [Rule(Action.DENY, _tcp_port(number)) for number in range(size)]
        before = dict.fromkeys((Stage.UNTRACKED, Stage.PRE_DNAT, Stage.FORWARD), strangers)
        yield Shape(
            f"xdp.classes.{size}", rules, _packet(port=FIRST_PORT + size - 1), stage=Stage.NORMAL, before=before
        )


def mixed(sizes: Sequence[int]) -> Iterator[Shape]:
    """N random rules about protocol, source and destination nets, source and destination ports, the last of which knows
    the packet. Then rules that are all about addresses and ports like the packet's, but for one to five things."""
    chance, packet = random.Random(SEED), _packet()
    for name, least in (("mixed", _OTHER), ("mixed_near", 1)):
        for size in sizes:
            rules = [_random_rule(chance, packet, chance.randrange(least, 32)) for _ in range(size - 1)]
            yield Shape(f"xdp.{name}.{size}", [*rules, _random_rule(chance, packet, 0)], packet)


_OTHER = 30
"""Other nets and ports than the packet's, with the same protocol or another one."""


def _random_rule(chance: random.Random, packet: Packet, misses: int) -> Rule:
    """A rule that misses the packet in those of five dimensions, a bit each, and holds in the others."""

    def net(side: Side, address: int, *, is_missed: bool) -> Match:
        length = chance.choice((8, 16, 20, 24, 28, 32))
        prefix = (address >> (32 - length)) ^ (chance.randrange(1, 1 << length) if is_missed else 0)
        return NetMatch(side, (Net(4, prefix << (32 - length), length),))

    def ports(side: Side, port: int, *, is_missed: bool) -> Match:
        first = port + 1 + chance.randrange(20_000) if is_missed else port - chance.randrange(60)
        return PortMatch(side, (PortRange(first, first + (chance.randrange(100) if is_missed else 60)),))

    matches = (
        ProtocolMatch(UDP if misses & 1 else TCP),
        net(Side.SOURCE, packet.source, is_missed=bool(misses & 2)),
        net(Side.DESTINATION, packet.destination, is_missed=bool(misses & 4)),
        ports(Side.SOURCE, packet.source_port or 0, is_missed=bool(misses & 8)),
        ports(Side.DESTINATION, packet.destination_port or 0, is_missed=bool(misses & 16)),
    )
    return Rule(Action.DENY, matches)


def nets(sizes: Sequence[int]) -> Iterator[Shape]:
    """N rules with an own random IPv4 source net /24 each."""
    yield from _nets("xdp.nets", sizes, 4, (24,))


def nets_mixed(sizes: Sequence[int]) -> Iterator[Shape]:
    """N rules with an own random IPv4 source net each, of lengths 12 to 30."""
    yield from _nets("xdp.nets_mixed", sizes, 4, MIXED_LENGTHS)


def nets6(sizes: Sequence[int]) -> Iterator[Shape]:
    """N rules with an own random IPv6 source net each, of five lengths."""
    yield from _nets("xdp.nets6", sizes, 6, LENGTHS6)


def sets(sizes: Sequence[int]) -> Iterator[Shape]:
    """N TCP rules with an own source set of 100 addresses each; then the same with an own port each."""
    sources = [SelectorSet(parse_selector(f"set == 's{number}'")) for number in range(max(sizes))]
    members: dict[str, IPSet] = {
        source.set_id: _members(MEMBERS_FROM + number * SET_SIZE, SET_SIZE) for number, source in enumerate(sources)
    }
    for has_ports in (False, True):
        for size in sizes:
            known = {source.set_id: members[source.set_id] for source in sources[:size]}
            last = MEMBERS_FROM + (size - 1) * SET_SIZE + SET_SIZE // 2
            matches = [SetMatch(Side.SOURCE, source) for source in sources[:size]]
            if has_ports:
                rules = [Rule(Action.DENY, (match, *_tcp_port(number))) for number, match in enumerate(matches)]
                packet = _packet(source=last, port=FIRST_PORT + size - 1)
                yield Shape(f"xdp.sets_ports.{size}", rules, packet, known)
            else:
                rules = [Rule(Action.DENY, (ProtocolMatch(TCP), match)) for match in matches]
                yield Shape(f"xdp.sets.{size}", rules, _packet(source=last), known)


def members(sizes: Sequence[int]) -> Iterator[Shape]:
    """One rule with one source set of N addresses."""
    source = SelectorSet(parse_selector("set == 'large'"))
    rule = Rule(Action.DENY, (SetMatch(Side.SOURCE, source),))
    for size in sizes:
        known = {source.set_id: _members(MEMBERS_FROM, size)}
        yield Shape(f"xdp.members.{size}", [rule], _packet(source=MEMBERS_FROM + size // 2), known)


def members_random(sizes: Sequence[int]) -> Iterator[Shape]:
    """The same, with another member as the source of each packet."""
    for shape in members(sizes):
        size = int(shape.name.rpartition(".")[2])
        yield replace(shape, name=f"xdp.members_random.{size}", packet=_packet(source=MEMBERS_FROM), spread=size)


def _members(first: int, count: int) -> AddressSet:
    return AddressSet(Net(4, first + number, 32) for number in range(count))


def _nets(name: str, sizes: Sequence[int], version: int, lengths: Sequence[int]) -> Iterator[Shape]:
    for size in sizes:
        found = _random_nets(size, version, lengths)
        rules = [Rule(Action.DENY, (NetMatch(Side.SOURCE, (net,)),)) for net in found]
        yield Shape(f"{name}.{size}", rules, _packet(version=version, source=found[-1].address + 1))


def _random_nets(count: int, version: int, lengths: Sequence[int]) -> Sequence[Net]:
    """Different nets; none of them covers the second address of the last one."""
    chance = random.Random(SEED)

    def one(lengths: Sequence[int]) -> Net:
        length = chance.choice(lengths)
        return Net(version, chance.getrandbits(length) << (WIDTH[version] - length), length)

    # The longest one last: the address is looked for at the end of every prefix that could cover it.
    last = one((max(lengths),))
    chosen: dict[Net, None] = {}
    while len(chosen) < count - 1:
        net = one(lengths)
        if not net.contains(version, last.address + 1):
            chosen[net] = None
    return [*chosen, last]


def _tcp_port(number: int) -> tuple[Match, ...]:
    port = FIRST_PORT + number
    return ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(port, port),))


def _packet(*, version: int = 4, source: int = 0x0A0B0C0D, port: int = 80) -> Packet:
    """A TCP packet that no failsafe port and no rule but the last knows."""
    destination = 0x0A000001 if version == 4 else 0xFD99 << 112 | 1
    return Packet(
        version=version,
        protocol=TCP,
        source=source,
        destination=destination,
        source_port=40_000,
        destination_port=port,
    )
