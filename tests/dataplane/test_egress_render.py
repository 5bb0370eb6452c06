"""The whole table's text, changes of members, and what is read back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from strategies import random_case, random_net
from tortie.dataplane.alternatives import outermost
from tortie.dataplane.driver import Unsupported
from tortie.dataplane.nft_egress import (
    ABSENT,
    UnreadableListing,
    read_counters,
    read_installed,
    render,
    render_seal,
    render_set_change,
)
from tortie.model.address import Net, parse_net
from tortie.model.desired import EndpointState, SetChange, TierPolicies
from tortie.model.endpoint import Interface
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.ipset import AddressSet, NamedPortSet, PortMember, PortSet, SelectorSet
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy, PolicyKey, Stage, Tier
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL, parse_selector
from tortie.model.verdict import Reason, RuleRef

KEY = PolicyKey("GlobalNetworkPolicy", "", "redis")
SELECTED = SelectorSet(ALL)
REDIS = Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.SOURCE, (PortRange(6379, 6379),))))
FROM_SET = Rule(Action.DENY, (VersionMatch(4), SetMatch(Side.DESTINATION, SELECTED)))


def endpoint(name: str, *tiers: Sequence[Rule], is_loopback: bool = False) -> EndpointState:
    groups = tuple(
        TierPolicies(
            Tier(f"t{number}"),
            (Policy(key=KEY, tier=f"t{number}", order=1, selector=ALL, egress=tuple(rules), do_not_track=True),),
        )
        for number, rules in enumerate(tiers)
    )
    stages = {(Stage.UNTRACKED, Direction.EGRESS): groups} if groups else {}
    return EndpointState(
        interface=Interface(name=name, index=2, is_loopback=is_loopback), endpoint="host", tiers=stages
    )


def nets(*texts: str) -> frozenset[Net]:
    return frozenset(parse_net(text, strict=True) for text in texts)


EXPECTED = """\
table inet tortie {
}
delete table inet tortie
table inet tortie {
	chain d_DIGEST {
	}
	counter r0 {
	}
	counter r1 {
	}
	counter e0_fragment {
	}
	counter e0_malformed {
	}
	set failsafe_outbound {
		type inet_proto . inet_service;
		elements = { 17 . 53 }
	}
	set failsafe_inbound_6_v4 {
		type inet_service . ipv4_addr; flags interval;
		elements = { 22 . 10.0.0.0/8 }
	}
	set s0_v4 {
		type ipv4_addr; flags interval;
		elements = { 192.168.0.0/16, 203.0.113.9 }
	}
	chain e0_t0 {
		meta l4proto 6 th sport 6379 counter name r0 ALLOW
		ip daddr @s0_v4 counter name r1 drop
	}
	chain e0_policy {
		jump e0_t0
		accept
	}
	chain e0_l0 {
		meta l4proto 6 counter name e0_fragment drop
		ip daddr @s0_v4 counter name r1 drop
	}
	chain e0_lpolicy {
		jump e0_l0
		accept
	}
	chain e0_ports {
		meta l4proto . th dport @failsafe_outbound accept
		meta l4proto 6 th sport . ip daddr @failsafe_inbound_6_v4 accept
		@th,0,32 & 0 == 0 goto e0_policy
		counter name e0_malformed drop
	}
	chain e0_icmp {
		icmpv6 type 133-136 ip6 hoplimit 255 accept
		icmpv6 type { 130-132, 143 } accept
		@th,0,16 & 0 == 0 goto e0_policy
		counter name e0_malformed drop
	}
	chain e0_later {
		meta l4proto & 0 == 0 goto e0_lpolicy
		counter name e0_malformed drop
	}
	chain e0 {
		meta l4proto 6 th sport 6379 th dport 1-65535 counter name r0 ALLOW
		ip frag-off & 0x1fff != 0 goto e0_later
		frag frag-off != 0 goto e0_later
		meta l4proto 6 goto e0_ports
		meta l4proto 17 goto e0_ports
		meta l4proto 132 goto e0_ports
		meta l4proto 1 goto e0_icmp
		meta l4proto 58 goto e0_icmp
		meta l4proto != { 6, 17, 132, 1, 58 } goto e0_policy
		counter name e0_malformed drop
	}
	chain output {
		type filter hook output priority raw; policy accept;
		oifname "ens4" goto e0
	}
	chain ingress_mark {
		type filter hook prerouting priority raw; policy accept;
		meta mark & 0x00100000 != 0 meta mark set meta mark & 0xffefffff notrack
	}
}
"""


def test_a_table_reads_like_this() -> None:
    failsafes = Failsafes(
        inbound=(FailsafePort(TCP, 22, Net(4, 10 << 24, 8)), FailsafePort(TCP, 22, Net(4, 10 << 24, 9))),
        outbound=(FailsafePort(17, 53), FailsafePort(17, 53, Net(4, 0, 0)), FailsafePort(47, 1)),
    )
    sets = {SELECTED.set_id: AddressSet(nets("192.168.0.0/16", "192.168.7.0/24", "203.0.113.9/32", "fd00::/8"))}
    rendered = render([endpoint("ens4", [REDIS, FROM_SET])], sets, failsafes)
    allow = "meta mark set meta mark | 0x00100000 notrack accept"
    assert rendered.script.replace(rendered.digest, "DIGEST").replace(allow, "ALLOW") == EXPECTED
    assert rendered.rules["r1"] == ("ens4", RuleRef("t0", KEY, 1))
    assert rendered.reasons == {
        "e0_fragment": ("ens4", Reason.FRAGMENT),
        "e0_malformed": ("ens4", Reason.MALFORMED),
    }


def test_a_policy_without_rules_in_front_does_not_shift_the_index_of_a_rule() -> None:
    rendered = render([endpoint("b", [REDIS], [REDIS, REDIS]), endpoint("a", [REDIS])], {}, Failsafes())
    assert list(rendered.rules.values()) == [
        ("a", RuleRef("t0", KEY, 0)),
        ("b", RuleRef("t0", KEY, 0)),
        ("b", RuleRef("t1", KEY, 0)),
        ("b", RuleRef("t1", KEY, 1)),
    ]


def test_the_order_in_which_endpoints_come_does_not_matter() -> None:
    one, two = endpoint("a", [REDIS]), endpoint("b", [FROM_SET])
    sets = {SELECTED.set_id: AddressSet(nets("10.0.0.0/8"))}
    assert render([one, two], sets, Failsafes()) == render([two, one], sets, Failsafes())


def test_without_endpoints_the_table_is_only_removed() -> None:
    rendered = render([endpoint("lo", [REDIS], is_loopback=True)], {}, Failsafes())
    assert rendered.script == "table inet tortie {\n}\ndelete table inet tortie\n"
    assert rendered.digest == read_installed('{"nftables": []}').digest == ABSENT.digest


def test_an_endpoint_without_egress_still_needs_notrack_for_its_ingress() -> None:
    rendered = render([endpoint("ens4")], {}, Failsafes(), mark_bit=1 << 31, table="other")
    assert "meta mark & 0x80000000 != 0 meta mark set meta mark & 0x7fffffff notrack" in rendered.script
    assert "hook output" not in rendered.script
    assert "table inet other {" in rendered.script


def test_every_allow_sets_the_mark_bit_and_nothing_else_does() -> None:
    rules = [FROM_SET, REDIS, Rule(Action.ALLOW), Rule(Action.PASS)]
    sets = {SELECTED.set_id: AddressSet(nets("10.0.0.0/8"))}
    lines = render([endpoint("a", rules)], sets, Failsafes(), mark_bit=1 << 31).script.splitlines()
    marking = [line for line in lines if "| 0x80000000" in line]
    assert marking
    assert marking == [line for line in lines if "notrack" in line and "& 0x7fffffff" not in line]


@pytest.mark.parametrize("name", ['a"; drop', "eth*", "a b", "äth0", "a\\", "a\nb"])
def test_an_interface_that_nft_cannot_name_is_refused_rather_than_misnamed(name: str) -> None:
    with pytest.raises(Unsupported, match="rename the interface"):
        render([endpoint(name, [REDIS])], {}, Failsafes())


@pytest.mark.parametrize("bit", [0, 3, 1 << 32])
def test_the_mark_is_one_bit(bit: int) -> None:
    with pytest.raises(ValueError, match="one bit"):
        render([], {}, Failsafes(), mark_bit=bit)


def test_the_digest_tells_states_apart() -> None:
    base = {SELECTED.set_id: AddressSet(nets("10.0.0.0/8"))}
    digests = {
        render([endpoint("a", rules)], sets, failsafes).digest
        for rules, sets, failsafes in (
            ([FROM_SET], base, Failsafes()),
            ([FROM_SET, FROM_SET], base, Failsafes()),
            ([FROM_SET], {SELECTED.set_id: AddressSet(nets("10.0.0.0/9"))}, Failsafes()),
            ([FROM_SET], base, Failsafes(inbound=())),
            ([replace(FROM_SET, action=Action.ALLOW)], base, Failsafes()),
        )
    }
    assert len(digests) == 5


# Members that come and go


def change(*, added: frozenset[Net] = frozenset(), removed: frozenset[Net] = frozenset()) -> SetChange:
    return SetChange(added, removed)


def test_a_member_comes_without_a_new_table() -> None:
    before, came = nets("10.0.0.0/8"), nets("192.0.2.1/32", "10.1.1.1/32")
    old = render([endpoint("a", [FROM_SET])], {SELECTED.set_id: AddressSet(before)}, Failsafes())
    after = {SELECTED.set_id: AddressSet(before | came)}
    update = render_set_change(old, {SELECTED.set_id: change(added=came)}, after)
    assert update is not None
    new = render([endpoint("a", [FROM_SET])], after, Failsafes())
    assert update.rendered.digest == new.digest
    assert update.script.splitlines() == [
        "add element inet tortie s0_v4 { 192.0.2.1 }",
        f"delete chain inet tortie d_{old.digest}",
        f"add chain inet tortie d_{new.digest}",
    ]


def test_a_wider_net_takes_the_place_of_those_inside() -> None:
    before = nets("10.0.0.0/16", "10.1.0.0/16", "11.0.0.0/8")
    old = render([endpoint("a", [FROM_SET])], {SELECTED.set_id: AddressSet(before)}, Failsafes())
    after = {SELECTED.set_id: AddressSet(before | nets("10.0.0.0/8"))}
    update = render_set_change(old, {SELECTED.set_id: change(added=nets("10.0.0.0/8"))}, after)
    assert update is not None
    assert update.script.splitlines()[:2] == [
        "delete element inet tortie s0_v4 { 10.0.0.0/16, 10.1.0.0/16 }",
        "add element inet tortie s0_v4 { 10.0.0.0/8 }",
    ]


@pytest.mark.parametrize(
    "changed",
    [None, SetChange(nets("10.0.0.0/8"), frozenset(), is_new=True)],
)
def test_a_set_that_comes_or_goes_takes_a_new_table(changed: SetChange | None) -> None:
    sets = {SELECTED.set_id: AddressSet(nets("10.0.0.0/8"))}
    for known in (sets, {}):
        old = render([endpoint("a", [FROM_SET])], known, Failsafes())
        assert render_set_change(old, {SELECTED.set_id: changed}, sets) is None


def test_a_set_that_no_egress_rule_names_changes_nothing() -> None:
    old = render([endpoint("a", [REDIS])], {}, Failsafes())
    update = render_set_change(old, {"s:other": change(added=nets("10.0.0.0/8"))}, {})
    assert update is not None
    assert (update.script, update.rendered) == ("", old)


def test_a_member_stays_while_another_set_of_the_union_has_it() -> None:
    sources = [NamedPortSet(parse_selector(f"has(l{n})"), TCP, "http") for n in range(2)]
    rule = Rule(Action.ALLOW, (VersionMatch(4), PortMatch(Side.SOURCE, (), tuple(sources))))
    member = PortMember(4, 1, TCP, 80)
    both = {source.set_id: PortSet([member]) for source in sources}
    old = render([endpoint("a", [rule])], both, Failsafes())
    gone = SetChange(frozenset(), frozenset({member}), has_ports=True)
    first = render_set_change(old, {sources[0].set_id: gone}, both | {sources[0].set_id: PortSet([])})
    assert first is not None
    assert first.script == ""
    last = render_set_change(
        first.rendered, {sources[1].set_id: gone}, {source.set_id: PortSet([]) for source in sources}
    )
    assert last is not None
    assert last.script.startswith("delete element inet tortie s0_v4 { 0.0.0.1 . 6 . 80 }\n")


def test_changes_add_up_to_the_digest_of_a_new_table() -> None:
    rng = Random(5)
    members = frozenset(random_net(rng, 4) for _ in range(30))
    sets = {SELECTED.set_id: AddressSet(members)}
    rendered = render([endpoint("a", [FROM_SET])], sets, Failsafes())
    for _ in range(50):
        came = frozenset(random_net(rng, 4) for _ in range(3)) - members
        gone = frozenset(rng.sample(sorted(members), 3))
        members = (members | came) - gone
        sets = {SELECTED.set_id: AddressSet(members)}
        update = render_set_change(rendered, {SELECTED.set_id: change(added=came, removed=gone)}, sets)
        assert update is not None
        rendered = update.rendered
        assert rendered.digest == render([endpoint("a", [FROM_SET])], sets, Failsafes()).digest


def test_outermost_nets_cover_the_same_addresses_without_overlap() -> None:
    rng = Random(7)
    for _ in range(200):
        given = [random_net(rng, rng.choice((4, 6))) for _ in range(12)]
        kept = outermost(given)
        assert all(any(k.contains(n.version, n.address) and k.length <= n.length for k in kept) for n in given)
        assert not [1 for a in kept for b in kept if a != b and a.contains(b.version, b.address)]


# Reading back

LISTING = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "tortie", "handle": 7}},
        {"chain": {"family": "inet", "table": "tortie", "name": "d_abc", "handle": 1}},
        {"counter": {"family": "inet", "name": "r0", "table": "tortie", "handle": 2, "packets": 5, "bytes": 9}},
        {"set": {"name": "s0_v4", "handle": 3, "elem": ["10.0.0.1", {"prefix": {"addr": "10.1.0.0", "len": 16}}]}},
        {"rule": {"chain": "e0", "handle": 4, "expr": [{"accept": None}]}},
        {"rule": {"chain": "e0", "handle": 5, "expr": [{"drop": None}]}},
    ]
}


def test_counters_are_read_by_name() -> None:
    assert read_counters(json.dumps(LISTING)) == read_counters(LISTING) == {"r0": 5}


def test_no_table_has_no_counters_and_is_absent() -> None:
    assert (read_counters(None), read_installed(None)) == ({}, ABSENT)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"nftables": 1}', '{"nftables": [1]}', '{"nftables": [{"counter": {"name": "r0"}}]}']
)
def test_a_listing_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UnreadableListing, match="nft listing"):
        read_counters(text)


def test_counting_renumbering_and_sealing_do_not_change_the_fingerprint() -> None:
    first = read_installed(json.dumps(LISTING))
    assert first.digest == "abc"
    assert not first.is_intact
    text = json.dumps(LISTING).replace('"packets": 5', '"packets": 6').replace('"handle": 4', '"handle": 40')
    other = json.loads(text)
    other["nftables"][4]["set"]["elem"].reverse()
    other["nftables"].append({"chain": {"name": f"s_{first.fingerprint}", "handle": 9}})
    sealed = read_installed(json.dumps(other))
    assert sealed.is_intact
    assert render_seal(sealed) == (
        f"delete chain inet tortie s_{first.fingerprint}\nadd chain inet tortie s_{first.fingerprint}\n"
    )


@pytest.mark.parametrize("edit", ["swap rules", "drop element", "drop rule"])
def test_an_edit_changes_the_fingerprint(edit: str) -> None:
    edited = json.loads(json.dumps(LISTING))
    match edit:
        case "swap rules":
            edited["nftables"][5:] = edited["nftables"][:4:-1]
        case "drop element":
            edited["nftables"][4]["set"]["elem"].pop()
        case _:
            edited["nftables"].pop()
    assert read_installed(json.dumps(edited)).fingerprint != read_installed(json.dumps(LISTING)).fingerprint


def test_rendering_hundreds_of_random_policies_gives_each_rule_one_counter() -> None:
    for seed in range(300):
        case = random_case(Random(seed), 12)
        rendered = render([case.endpoint], case.sets, case.failsafes)
        rules = list(case.rules(Direction.EGRESS))
        assert len(rendered.rules) == len(rules)
        assert len(set(rendered.rules.values())) == len(rules)
