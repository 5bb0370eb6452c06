"""Policies of the shapes that tables have trouble with, as cases with one untracked ingress policy and no failsafes."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from bpf.reader import hash4_first, hash4_second, hash6, hash6_second
from strategies import Case
from tortie.model.address import WIDTH, Net
from tortie.model.desired import EndpointState, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, SelectorSet
from tortie.model.matches import NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import TCP, UDP, Direction, Fragment, Packet, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector

NO_FAILSAFES = Failsafes((), ())


def case_of(
    *tiers: Sequence[Rule],
    sets: Mapping[str, IPSet] | None = None,
    failsafes: Failsafes = NO_FAILSAFES,
    vlans: frozenset[int] = frozenset(),
) -> Case:
    """Each argument is the one policy of a tier."""
    groups = tuple(
        TierPolicies(Tier(f"tier-{number}", float(number)), (_policy(f"tier-{number}", tuple(rules)),))
        for number, rules in enumerate(tiers)
    )
    endpoint = EndpointState(
        interface=Interface(name="eth0", index=2, vlans=vlans),
        endpoint="host-eth0",
        tiers={(Stage.UNTRACKED, Direction.INGRESS): groups},
    )
    return Case(endpoint, sets or {}, failsafes)


def _policy(tier: str, rules: tuple[Rule, ...]) -> Policy:
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", f"policy-of-{tier}"),
        tier=tier,
        order=1.0,
        selector=ALL,
        ingress=rules,
        do_not_track=True,
        apply_on_forward=True,
    )


def source(name: str) -> SelectorSet:
    """A set with that name."""
    return SelectorSet(parse_selector(f'set == "{name}"'))


def member_of(name: str, side: Side = Side.SOURCE, *, negated: bool = False) -> SetMatch:
    """The address on that side is in the set."""
    return SetMatch(side, source(name), negated)


def sets_of(**members: AddressSet) -> Mapping[str, IPSet]:
    """Sets by the name that `source` gives them."""
    return {source(name).set_id: found for name, found in members.items()}


def tcp(version: int, source: int, destination: int = 7, *, sport: int = 40000, dport: int = 80) -> Packet:
    """A TCP packet."""
    return Packet(
        version=version,
        protocol=TCP,
        source=source,
        destination=destination,
        source_port=sport,
        destination_port=dport,
    )


def net_of(rng: Random, version: int, length: int) -> Net:
    """A random net of that length."""
    shift = WIDTH[version] - length
    return Net(version, rng.getrandbits(length) << shift if length else 0, length)


def around(net: Net) -> Iterable[int]:
    """First and last address of the net, and the ones beside it."""
    last = net.address | (1 << WIDTH[net.version] - net.length) - 1
    return {address & (1 << WIDTH[net.version]) - 1 for address in (net.address - 1, net.address, last, last + 1)}


def nets_case(nets: Sequence[Net], *, side: Side = Side.SOURCE) -> Case:
    """A rule for each net, allowing and denying by turns, in the order given."""
    actions = (Action.ALLOW, Action.DENY)
    return case_of([Rule(actions[number % 2], (NetMatch(side, (net,)),)) for number, net in enumerate(nets)])


def colliding4(count: int, bits: int) -> list[int]:
    """Addresses whose two buckets are the same ones in tables of up to 2^bits buckets."""
    inverse = pow(0x9E3779B1, -1, 1 << 32)
    found: list[int] = []
    low = 0
    while len(found) < count:
        address = (5 << 32 - bits | low) * inverse & 0xFFFFFFFF
        assert hash4_first(address) >> 32 - bits == 5
        if hash4_second(address) >> 32 - bits == 9:
            found.append(address)
        low += 1
    return found


def colliding6(count: int, *, length: int = 128) -> list[int]:
    """Addresses (of nets of that length) with one hash for the first seed, whatever the number of buckets."""
    rng = Random(6)
    found = []
    for _ in range(count):
        high = rng.getrandbits(64)
        mixed = (high ^ length) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
        address = high << 64 | mixed ^ mixed >> 32
        assert hash6(high, address & (1 << 64) - 1, length, 0) == 0
        found.append(address)
    assert hash6_second(0) == 0
    return found


Shape = tuple[Case, Sequence[Packet]]
"""A case, and packets at its edges."""


def nested(rng: Random, version: int) -> Shape:
    """A chain of nets with equal bits, of every length or of some, longest or shortest first."""
    width = WIDTH[version]
    address = rng.choice((0, (1 << width) - 1, rng.getrandbits(width)))
    lengths = list(range(width + 1))
    if rng.random() < 0.6:
        lengths = sorted(rng.sample(lengths, rng.randrange(2, width)))
    if rng.random() < 0.6:
        lengths.reverse()  # each net is then met only where no longer one of the chain covers the address
    nets = [Net(version, address >> (width - length) << (width - length), length) for length in lengths]
    case = nets_case(nets, side=rng.choice(tuple(Side)))
    pairs = [(a, b) for net in nets for a in around(net) for b in (a, rng.choice(sorted(around(net))))]
    return case, [tcp(version, a, b) for a, b in pairs]


def large(rng: Random) -> Shape:
    """Three overlapping sets of 90,000 hosts of both families and nets of every length."""
    hosts = {Net(4, rng.getrandbits(32), 32) for _ in range(40_000)}
    hosts |= {Net(6, rng.getrandbits(128), 128) for _ in range(20_000)}
    hosts |= {Net(6, 0x20010DB8 << 96 | rng.getrandbits(20), 128) for _ in range(30_000)}
    nets = {net_of(rng, 4, length) for length in range(8, 32) for _ in range(200)}
    nets |= {net_of(rng, 6, length) for length in range(16, 128) for _ in range(60)}
    members = sorted(hosts | nets)
    rng.shuffle(members)
    third = len(members) // 3
    parts = {"a": members[: 2 * third], "b": members[third:], "c": [*rng.sample(members, 500), Net(6, 0, 0)]}
    sets = sets_of(**{name: AddressSet(part) for name, part in parts.items()})
    rules = [
        Rule(Action.DENY, (member_of("a"), member_of("c"))),
        Rule(Action.ALLOW, (member_of("a"), member_of("b", negated=True))),
        Rule(Action.LOG, (member_of("b"),)),
        Rule(Action.DENY, (member_of("b", Side.DESTINATION), member_of("c", Side.DESTINATION, negated=True))),
        Rule(Action.ALLOW, (member_of("a"),)),
    ]
    packets = []
    for _ in range(4000):
        one, other = rng.choice(members), rng.choice(members)
        addresses = [rng.choice(sorted(around(net))) for net in (one, other) if net.version == one.version]
        packets.append(tcp(one.version, addresses[0], addresses[-1]))
    return case_of(rules, sets=sets), packets


def colliding(version: int) -> Shape:
    """Hosts in two sets, chosen to fall into the same buckets."""
    hosts = colliding4(40, 5) if version == 4 else colliding6(40)
    members = [Net(version, address, WIDTH[version]) for address in hosts]
    sets = sets_of(odd=AddressSet(members[::2]), even=AddressSet(members[1::2]))
    rules = [Rule(Action.ALLOW, (member_of("odd"),)), Rule(Action.DENY, (member_of("even"),))]
    return case_of(rules, sets=sets), [tcp(version, address) for net in members for address in around(net)]


def fragment_walks() -> Shape:
    """Tiers in which a later fragment may have passed, and what stands behind the rule that would then not be met."""
    on_port = (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(80, 80),)))
    maybe_pass, passes = Rule(Action.PASS, on_port), Rule(Action.PASS, (ProtocolMatch(TCP),))
    allow, deny, log = (Rule(action) for action in (Action.ALLOW, Action.DENY, Action.LOG))
    maybe_deny = Rule(Action.DENY, on_port)
    near = NetMatch(Side.SOURCE, (Net(4, 0, 31),))
    tiers = [
        [maybe_pass, log, Rule(Action.ALLOW, (near,)), Rule(Action.DENY, (NetMatch(Side.SOURCE, (Net(4, 0, 30),)),))],
        [maybe_pass, Rule(Action.ALLOW, (near,)), deny, log],
        [maybe_deny, passes, allow],
        [log, allow, deny],
    ]
    later = [
        Packet(version=4, protocol=protocol, source=source, destination=1, fragment=Fragment.LATER, fragment_id=9)
        for protocol in (TCP, UDP, 47)
        for source in range(6)
    ]
    whole = [tcp(4, source, dport=port) for source in range(6) for port in (80, 81)]
    return case_of(*tiers), [*later, *whole]
