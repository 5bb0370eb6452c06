"""The egress table in a kernel: set members, reading back, malformed packets, many tiers, the ingress mark."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from struct import pack

import pytest
from egress_lab import Lab, lab

from netns import veth_pair
from strategies import random_net
from tortie.dataplane.nft_egress import Rendered, read_installed, render, render_seal, render_set_change
from tortie.model.desired import EndpointState, SetChange, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, Member, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import PORTED, TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.verdict import Reason

pytestmark = pytest.mark.root

ADDRESSES = SelectorSet(ALL)
NAMED = tuple(NamedPortSet(parse_selector(f"has(l{n})"), None, "http") for n in range(2))
LIST = ("nft", "-j", "list", "table", "inet", "tortie")


@pytest.fixture
def made() -> Iterator[Lab]:
    with lab() as one:
        yield one


def endpoint(*tiers: Sequence[Rule]) -> EndpointState:
    groups = tuple(
        TierPolicies(
            Tier(f"t{number}"),
            (
                Policy(
                    key=PolicyKey("GlobalNetworkPolicy", "", f"p{number}"),
                    tier=f"t{number}",
                    order=1,
                    selector=ALL,
                    egress=tuple(rules),
                    do_not_track=True,
                ),
            ),
        )
        for number, rules in enumerate(tiers)
    )
    return EndpointState(
        interface=Interface(name="eth0", index=2),
        endpoint="host",
        tiers={(Stage.UNTRACKED, Direction.EGRESS): groups},
    )


SETS_RULES = endpoint(
    [
        Rule(Action.DENY, (SetMatch(Side.DESTINATION, ADDRESSES),)),
        Rule(Action.ALLOW, (PortMatch(Side.SOURCE, (), NAMED),)),
    ]
)


def random_member(rng: Random, *, is_port: bool) -> Member:
    if is_port:
        return PortMember(4, rng.randrange(4), rng.choice(PORTED), rng.randrange(3))
    return random_net(rng, rng.choice((4, 6)))


def test_members_changed_in_place_leave_the_table_that_a_rendering_of_the_result_makes(made: Lab) -> None:
    rng = Random(3)
    ids = [ADDRESSES.set_id, *(source.set_id for source in NAMED)]
    members = {one: frozenset(random_member(rng, is_port=one in ids[1:]) for _ in range(20)) for one in ids}

    def sets() -> dict[str, IPSet]:
        return {
            one: PortSet(found) if one in ids[1:] else AddressSet(found)  # type: ignore[arg-type]
            for one, found in members.items()
        }

    rendered = render([SETS_RULES], sets(), Failsafes())
    made.install(rendered.script)
    for _ in range(40):
        changes: dict[str, SetChange | None] = {}
        for one in rng.sample(ids, 2):
            came = frozenset(random_member(rng, is_port=one in ids[1:]) for _ in range(4)) - members[one]
            gone = frozenset(rng.sample(sorted(members[one]), min(4, len(members[one]))))
            members[one] = (members[one] | came) - gone
            changes[one] = SetChange(came, gone, has_ports=one in ids[1:])
        update = render_set_change(rendered, changes, sets())
        assert update is not None
        made.install(update.script)
        rendered = update.rendered
    changed = read_installed(made.host.run(*LIST))
    fresh = render([SETS_RULES], sets(), Failsafes())
    assert changed.digest == rendered.digest == fresh.digest
    made.install(fresh.script)
    assert read_installed(made.host.run(*LIST)) == changed


def test_a_sealed_table_is_intact_until_somebody_edits_it(made: Lab) -> None:
    rendered = render([SETS_RULES], {ADDRESSES.set_id: AddressSet([])}, Failsafes())
    made.install(rendered.script)
    found = read_installed(made.host.run(*LIST))
    assert (found.digest, found.is_intact) == (rendered.digest, False)
    made.install(render_seal(found))
    made.send_raw(ipv4(17, b"\0\1\0"), 4, "10.99.0.2")
    assert made.counts()["e0_malformed"] == 1
    sealed = read_installed(made.host.run(*LIST))
    assert sealed.is_intact
    made.host.run("nft", "insert", "rule", "inet", "tortie", "e0_policy", "accept")
    edited = read_installed(made.host.run(*LIST))
    assert (edited.digest, edited.is_intact) == (rendered.digest, False)
    made.install(render_seal(edited))
    assert read_installed(made.host.run(*LIST)).is_intact


def test_the_rendering_of_no_endpoint_removes_the_table_and_only_that(made: Lab) -> None:
    made.install("table inet other {\n}\n")
    made.install(render([SETS_RULES], {}, Failsafes()).script)
    made.install(render([], {}, Failsafes()).script)
    made.install(render([], {}, Failsafes()).script)
    assert made.host.run("nft", "list", "tables") == "table inet other\n"


# Packets


def ipv4(protocol: int, body: bytes) -> bytes:
    return pack("!BBHHHBBHII", 0x45, 0, 20 + len(body), 7, 0, 64, protocol, 0, 0x0A630001, 0x0A630002) + body


def ipv6(following: int, body: bytes) -> bytes:
    source, destination = (bytes.fromhex(f"fd99{'0' * 27}{end}") for end in "12")
    return pack("!IHBB", 6 << 28, len(body), following, 64) + source + destination + body


def reasons(made: Lab, rendered: Rendered) -> dict[Reason, int]:
    counts = made.counts()
    return {key.reason: counts[name] for name, key in rendered.reasons.items()}


def test_a_packet_too_short_for_its_ports_cannot_slip_past_a_deny_by_port(made: Lab) -> None:
    by_port = Rule(Action.DENY, (ProtocolMatch(TCP), PortMatch(Side.DESTINATION, (PortRange(25, 25),))))
    rendered = render([endpoint([by_port, Rule(Action.ALLOW)])], {}, Failsafes())
    made.install(rendered.script)
    headers_without_end = pack("!BB6x", 60, 0)  # destination options, followed by more of them, and then nothing
    for raw, version, destination in (
        (ipv4(TCP, b"\0\1\0"), 4, "10.99.0.2"),
        (ipv4(1, b"\x08"), 4, "10.99.0.2"),
        (ipv6(17, b"\0\1\0"), 6, "fd99::2"),
        (ipv6(58, b"\x80"), 6, "fd99::2"),
        (ipv6(60, headers_without_end), 6, "fd99::2"),
    ):
        assert made.send_raw(raw, version, destination)
    assert reasons(made, rendered)[Reason.MALFORMED] == 5
    assert sum(made.counts()[name] for name in rendered.rules) == 0


def test_pass_leads_through_more_tiers_than_nft_can_nest(made: Lab) -> None:
    to_next = Rule(Action.PASS, (ProtocolMatch(17), PortMatch(Side.DESTINATION, (PortRange(9, 9),))))
    tiers = [[Rule(Action.LOG), to_next, Rule(Action.DENY, (ProtocolMatch(17),))] for _ in range(40)]
    rendered = render([endpoint(*tiers, [Rule(Action.ALLOW, (ProtocolMatch(17),))])], {}, Failsafes())
    made.install(rendered.script)
    assert made.send_raw(ipv4(17, pack("!HHHH", 1, 9, 8, 0)), 4, "10.99.0.2")
    met = {rendered.rules[name].rule for name, count in made.counts().items() if count and name in rendered.rules}
    assert sorted((int(one.tier[1:]), one.index) for one in met) == [
        *((tier, index) for tier in range(40) for index in (0, 1)),
        (40, 0),
    ]


def test_loopback_and_interfaces_without_endpoint_are_not_policed(made: Lab) -> None:
    denying = endpoint([Rule(Action.DENY)])
    loopback = replace(denying, interface=Interface(name="lo", index=1, is_loopback=True))
    other = replace(denying, interface=Interface(name="eth01", index=3))

    def sends(destination: str) -> bool:
        with made.host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            try:
                return sender.sendto(b"x", (destination, 9)) == 1
            except PermissionError:  # how the kernel tells of a drop in the output hook
                return False

    made.install(render([other, loopback], {}, Failsafes()).script)
    assert (sends("127.0.0.1"), sends("10.99.0.2")) == (True, True)
    made.install(render([denying, loopback], {}, Failsafes()).script)
    assert (sends("127.0.0.1"), sends("10.99.0.2")) == (True, False)


def test_an_arriving_packet_with_the_mark_bit_is_not_tracked_and_loses_only_that_bit() -> None:
    watch = """
    table inet watch {
        counter untracked {}
        counter tracked {}
        chain early {
            type filter hook prerouting priority -350; policy accept;
            udp dport 7001 meta mark set 0x00100005
            udp dport 7002 meta mark set 0x00000005
        }
        chain late {
            type filter hook prerouting priority 0; policy accept;
            meta mark 0x5 udp dport 7001 ct state untracked counter name untracked
            meta mark 0x5 udp dport 7002 ct state new,established counter name tracked
        }
    }
    """
    without_egress = replace(endpoint([]), tiers={})
    with veth_pair(host_interface="eth0", peer_interface="eth1") as (host, peer):
        host.run("nft", "-f", "-", input=watch)
        host.run("nft", "-f", "-", input=render([without_egress], {}, Failsafes()).script)
        with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(3):
                sender.sendto(b"x", (host.address, 7001))
                sender.sendto(b"x", (host.address, 7002))
        listing = host.run("nft", "list", "counters", "table", "inet", "watch")
        assert listing.count("packets 3 ") == 2, listing
