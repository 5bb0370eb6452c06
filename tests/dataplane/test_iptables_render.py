"""The tables of the iptables driver: one policy of every class as golden scripts, and what a change of it writes."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path
from random import Random

import pytest
from golden_host import BAD, FAILSAFES, MEMBERS, host, random_host, turned

from tortie.dataplane.iptables.backend import Evidence, choose
from tortie.dataplane.iptables.driver import refusals
from tortie.dataplane.iptables.listing import FoundTable, Jump, are_in_place, read_tables
from tortie.dataplane.iptables.marks import marks_of
from tortie.dataplane.iptables.matches import match_texts
from tortie.dataplane.iptables.names import LONGEST_CHAIN, LONGEST_COMMENT, LONGEST_SET, chain, comment, set_name
from tortie.dataplane.iptables.render import Renderer, Rendering
from tortie.dataplane.iptables.sets import (
    NETS,
    AskedSets,
    FoundSet,
    KernelSet,
    change_of,
    create_lines,
    element_texts,
    read_sets,
)
from tortie.dataplane.iptables.table import TABLES, ChainRule, Key, Table, change_script, whole_script
from tortie.dataplane.nft_egress import DEFAULT_MARK_BIT
from tortie.dataplane.nftables import marks as nftables_marks
from tortie.dataplane.surroundings import Surroundings
from tortie.kernel.iptables import LEGACY, NFT
from tortie.model.address import Net, parse_net
from tortie.model.desired import EndpointState
from tortie.model.endpoint import Interface
from tortie.model.ipset import IPSet, PortMember
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, PortRange, ProtocolMatch
from tortie.model.packet import ICMP, SCTP, TCP, Direction, Side
from tortie.model.policy import PolicyKey, Stage
from tortie.model.rule import Action, Rule
from tortie.model.tables import DEFAULT_MASK, Backend
from tortie.model.verdict import RuleRef

GOLDEN = Path(__file__).parents[1] / "golden" / "host" / "iptables.rules"
SCRATCH = marks_of(DEFAULT_MASK).scratch


def render(
    *states: EndpointState,
    sets: Mapping[str, IPSet] = MEMBERS,
    around: Surroundings | None = None,
    mask: int = DEFAULT_MASK,
) -> Rendering:
    return Renderer(marks_of(mask), appends=False, has_instructions=True).render(
        states, (4, 6), sets, around or Surroundings(FAILSAFES)
    )


def scripts(rendering: Rendering) -> str:
    """What `ipset restore`, `iptables-restore` and `ip6tables-restore` get where nothing is there."""
    lines = [line for name, one in rendering.sets.items() for line in create_lines(name, one, one.elements(MEMBERS))]
    for key, table in rendering.tables.items():
        lines += [f"# IPv{key.version}", f"*{key.table}", *whole_script(FoundTable(), table, ()).lines, "COMMIT"]
    return "".join(f"{line}\n" for line in lines)


def filter_of(rendering: Rendering, version: int = 4) -> Table:
    return rendering.tables[Key(version, "filter")]


def test_one_host_with_policy_of_every_class_is_the_golden_script() -> None:
    assert GOLDEN.read_text() == scripts(render(replace(host(), rejects=True)))


def test_the_same_state_is_the_same_rules_whatever_the_order_of_endpoints() -> None:
    other = replace(host(), interface=Interface(name="eth1", index=3))
    assert scripts(render(host(), other)) == scripts(render(other, host()))


def test_nothing_that_changed_is_nothing_to_do() -> None:
    assert change_script(filter_of(render(host())), filter_of(render(host()))).lines == []
    assert change_script(Table(), Table()).lines == []


def test_a_change_of_one_rule_writes_one_chain_of_one_table() -> None:
    state = host()
    (group,) = state.tiers[Stage.PRE_DNAT, Direction.INGRESS]
    (early,) = group.policies
    changed = replace(early, ingress=(replace(early.ingress[0], action=Action.PASS),))
    tiers = {**state.tiers, (Stage.PRE_DNAT, Direction.INGRESS): (replace(group, policies=(changed,)),)}
    before, after = render(state), render(replace(state, tiers=tiers))
    for key, table in before.tables.items():
        script = change_script(table, after.tables[key])
        assert (key.table == "mangle") == bool(script.lines)
        written = {line.split()[1] for line in script.lines if line.startswith("-A")}
        assert written == ({chain("pd", "eth0", "t.default")} if script.lines else set())


@pytest.mark.parametrize("seed", range(200))
def test_a_script_of_edits_ends_with_the_chain_that_is_wanted_and_names_the_rules_that_go(seed: int) -> None:
    rng = Random(seed)
    old = [ChainRule(f"rule {number}", sign=1) for number in range(rng.randrange(1, 60))]
    new = list(old)
    for _ in range(rng.randrange(6)):
        place = rng.randrange(len(new) + 1)
        new[place : place + rng.randrange(3)] = [ChainRule(f"other {rng.random()}") for _ in range(rng.randrange(3))]
    name = "tortie-x"
    script = change_script(Table({name: tuple(old)}), Table({name: tuple(new)}))
    is_anew = any(line.startswith(f":{name} ") for line in script.lines)
    chain, kept = [] if is_anew else [rule.text for rule in old], {rule.text for rule in old}
    for command, rest in (line.split(" ", 1) for line in script.lines if line.split()[1] == name):
        place, _, text = rest.removeprefix(f"{name} ").partition(" ")
        match command:
            case "-A":
                chain.append(f"{place} {text}")
            case "-R":
                kept.discard(chain[int(place) - 1])
                chain[int(place) - 1] = text
            case "-I":
                chain.insert(int(place) - 1, text)
            case "-D":
                kept.discard(chain.pop(int(place) - 1))
    assert chain == [rule.text for rule in new]
    if old != new:
        gone = {rule.text for rule in old[script.gone[name]]}
        assert gone == {rule.text for rule in old} - (set() if is_anew else kept)
    same = sum(
        sum(takewhile(bool, (one == other for one, other in zip(*both, strict=False))))
        for both in ((old, new), (old[::-1], new[::-1]))
    )
    differ = max(len(old), len(new)) - min(same, len(old), len(new))
    assert is_anew is (differ > min(16, len(new) // 2))


@pytest.mark.parametrize("seed", range(20))
def test_what_was_rendered_before_changes_nothing_of_what_is_rendered(seed: int) -> None:
    """Policies come, go, move to other interfaces and tiers, and are refused with an answer or without."""
    rng = Random(seed)
    states, sets, around = random_host(rng)
    kept = Renderer(marks_of(DEFAULT_MASK), appends=False, has_instructions=True)
    for _ in range(6):
        states = turned(rng, states)
        here = rng.sample(states, rng.randint(1, 4))
        again = kept.render(here, (4, 6), sets, around)
        fresh = render(*here, sets=sets, around=around)
        assert (again.tables, again.sets) == (fresh.tables, fresh.sets)


def test_an_interface_that_comes_touches_no_chain_of_others() -> None:
    other = replace(host(), interface=Interface(name="eth1", index=3))
    for before, after in ((render(host()), render(host(), other)), (render(host(), other), render(host()))):
        lines = [line for key in after.tables for line in change_script(before.tables[key], after.tables[key]).lines]
        assert any("eth1" in line for line in lines)
        assert not [line for line in lines if line.split()[0] in ("-F", "-X") and "/eth0" in line]
        assert not [line for line in lines if line.startswith(":tortie-") and "/eth0" in line]


def test_nothing_wanted_takes_everything_away() -> None:
    table = filter_of(render(host()))
    script = change_script(table, Table()).lines
    assert {line.split()[1] for line in script if line.startswith("-X")} >= set(table.chains)
    assert sum(line.startswith("-D") for line in script) == len(table.jumps) == 4
    assert not [line for line in script if line.startswith(("-A", "-I", ":"))]


def test_marks_are_within_the_mask_and_of_one_bit_each() -> None:
    for mask in (DEFAULT_MASK, 0x1F, 0xF8000000, 0x10101010_0 & 0xFFFFFFFF | 0x3):
        bits = marks_of(mask)
        each = (bits.untracked, bits.decided, bits.allowed, bits.deferred, bits.scratch)
        assert bits.all & ~mask == 0 and bits.all.bit_count() == len(set(each)) == 5
        tables = render(host(), mask=mask).tables.values()
        rules = [rule.text for table in tables for found in table.chains.values() for rule in found]
        used = [int(word.split("/")[1], 16) for rule in rules for word in rule.split() if word.startswith("0x0/")]
        assert used and all(number & ~mask == 0 for number in used)
    # Two drivers enforce for a moment where one takes the other's place, and each clears its own bits.
    assert marks_of(DEFAULT_MASK).all & (nftables_marks.ALL | DEFAULT_MARK_BIT) == 0
    with pytest.raises(ValueError, match="4 bits; give iptablesMarkMask 5 or more"):
        marks_of(0xF)


@pytest.mark.parametrize("seed", range(20))
def test_every_chain_that_is_gone_to_is_there_and_every_one_there_is_gone_to(seed: int) -> None:
    states, sets, around = random_host(Random(seed))
    rendering = render(*states, sets=sets, around=around)
    named: set[str] = set()
    for table in rendering.tables.values():
        rules = [rule.text for found in table.chains.values() for rule in found]
        words = [re.sub(r'--comment ".*?"', "", text).split() for text in rules]
        words += [jump.text.split() for jump in table.jumps]
        entered = {b for rule in words for a, b in pairwise(rule) if a in ("-j", "-g")}
        ours = {name for name in entered if name.startswith("tortie-")}
        assert set(table.chains) - ours <= {"tortie-untracked", "tortie-decided", "tortie-reject"}
        assert ours <= set(table.chains)
        assert all(len(name) <= LONGEST_CHAIN for name in table.chains)
        named |= {b for rule in words for a, b in pairwise(rule) if a == "--match-set"}
    assert named <= set(rendering.sets)
    assert set(rendering.sets) - named <= {name for name in rendering.sets if "failsafe" in name}
    assert all(len(name) <= LONGEST_SET for name in rendering.sets)


def texts(*matches: object, version: int = 4, has_instructions: bool = True) -> list[str]:
    rule, asked = Rule(Action.ALLOW, matches), AskedSets(MEMBERS)  # type: ignore[arg-type]
    return [one.text for one in match_texts(rule, version, asked, SCRATCH, has_instructions=has_instructions)]


def test_one_port_or_range_of_each_side_is_an_instruction_of_the_nft_variant() -> None:
    some, more = (PortRange(80, 80),), (PortRange(1024, 2048),)
    matches = (ProtocolMatch(TCP), PortMatch(Side.SOURCE, more, (), True), PortMatch(Side.DESTINATION, some))
    assert texts(*matches) == ["-p 6 ! --sport 1024:2048 --dport 80"]
    assert texts(*matches, has_instructions=False) == [
        "-p 6 -m multiport ! --sports 1024:2048 -m multiport --dports 80"
    ]
    (twice,) = texts(ProtocolMatch(TCP), PortMatch(Side.SOURCE, more), PortMatch(Side.SOURCE, some, (), True))
    assert twice.count("--sport ") <= 1
    listed = (PortRange(1, 2), PortRange(5, 6))
    (both,) = texts(ProtocolMatch(TCP), PortMatch(Side.SOURCE, listed), PortMatch(Side.DESTINATION, some))
    assert both == "-p 6 --dport 80 -m multiport --sports 1:2,5:6"
    assert texts(ProtocolMatch(SCTP), PortMatch(Side.SOURCE, some)) == ["-p 132 -m multiport --sports 80"]
    everything = (PortRange(0, 65535),)
    assert "--dport " not in "".join(texts(ProtocolMatch(TCP), PortMatch(Side.DESTINATION, everything, (), True)))


def test_more_ports_than_a_rule_holds_are_several_rules_and_none_of_them_is_one() -> None:
    ranges = tuple(PortRange(port, port + 1) for port in range(0, 40, 4))
    one, two = texts(ProtocolMatch(TCP), PortMatch(Side.SOURCE, ranges))
    assert one.count(":") + two.count(":") == 10 and one.count(",") == 6
    (negated,) = texts(ProtocolMatch(TCP), PortMatch(Side.SOURCE, ranges, (), True))
    assert negated.count("! --sports") == 2


def test_a_net_of_everything_says_nothing_and_none_of_it_never_holds() -> None:
    everything = (Net(4, 0, 0),)
    assert texts(NetMatch(Side.SOURCE, everything)) == [""]
    assert texts(NetMatch(Side.SOURCE, everything, True)) == []
    here, away = (Net(4, 0x0A000000, 8),), (Net(4, 0x0B000000, 8),)
    (both,) = texts(NetMatch(Side.SOURCE, here), NetMatch(Side.SOURCE, away, True))
    assert both.startswith("-s 10.0.0.0/8 -m set ! --match-set tortie-n4-")


def test_protocols_that_no_rule_can_name_take_a_mark() -> None:
    found = list(
        match_texts(
            Rule(Action.DENY, (IcmpMatch(8, None, True),)), 4, AskedSets(MEMBERS), SCRATCH, has_instructions=True
        )
    )
    assert [one.text.split()[1] for one in found if not one.before] == ["1", "58"]
    (rest,) = (one for one in found if one.before)
    assert rest.text == f"-m mark ! --mark 0x0/{SCRATCH:#x}"
    marks_set = f"-j MARK --set-xmark {SCRATCH:#x}/{SCRATCH:#x}"
    assert [line.split(" -j ")[0] for line in rest.before] == [marks_set, "-p 1", "-p 58"]


def test_only_icmp_of_its_own_ip_version_is_iptables_icmp() -> None:
    assert texts(ProtocolMatch(ICMP), IcmpMatch(8, 0)) == ["-p 1 -m icmp --icmp-type 8/0"]
    assert texts(ProtocolMatch(ICMP), IcmpMatch(8), version=6) == ['-p 1 -m u32 --u32 "40>>24=8"']


def test_names_are_iptables_and_differ_where_what_they_name_does() -> None:
    assert chain("ni", "a@b") != chain("ni", "a_b")
    assert chain("ni", "abcdefghijklmno", "t.default") != chain("ni", "abcdefghijklmno", "t.defaulu")
    assert len(chain("ni", "abcdefghijklmno", "t.default")) <= LONGEST_CHAIN
    assert set_name(0, ["a", "b"], 4, False) != set_name(0, ["a", "b"], 6, False) != set_name(0, ["a", "b"], 6, True)
    told = comment(RuleRef('t"\\\n', PolicyKey("NetworkPolicy", "ns", "p" * 300), 3))
    assert told.count('"') == 2 and "\\" not in told and len(told) == LONGEST_COMMENT + len('-m comment --comment ""')
    assert refusals(replace(host(), interface=Interface(name="eth+", index=2)))
    assert not refusals(replace(host(), interface=Interface(name="eth0.100@x", index=2)))


def test_a_listing_tells_ours_from_others() -> None:
    listing = """\
# Generated by iptables-save
*filter
:INPUT ACCEPT [1:2]
:DOCKER - [0:0]
:tortie-INPUT - [0:0]
:tortie-d.abc - [0:0]
:tortie-m.INPUT - [0:0]
[5:300] -A INPUT -s 192.0.2.1/32 -j ACCEPT
[1:60] -A INPUT -j tortie-INPUT
[0:0] -A DOCKER -j RETURN
[7:420] -A tortie-INPUT -i eth0 -j DROP
COMMIT
"""
    (table,) = read_tables(listing).values()
    assert table.chains["tortie-INPUT"] == ["-i eth0 -j DROP"] and table.packets["tortie-INPUT"] == [7]
    assert (table.digest, table.made, sum(table.others.values())) == ("abc", {"INPUT"}, 2)
    assert table.jumps == [Jump("INPUT", "-j tortie-INPUT", is_last=True)]
    assert not are_in_place(table.jumps, [Jump("INPUT", "-j tortie-INPUT")])
    assert are_in_place(table.jumps, [Jump("INPUT", "-j tortie-INPUT", is_last=True)])
    assert not are_in_place(table.jumps * 2, [Jump("INPUT", "-j tortie-INPUT", is_last=True)])


def test_a_net_of_everything_is_two_halves_of_a_set() -> None:
    everything, half, far = Net(4, 0, 0), Net(4, 0, 1), Net(4, 0x80000000, 1)
    assert element_texts(everything) == ("0.0.0.0/1", "128.0.0.0/1")
    assert element_texts(PortMember(6, 1, TCP, 80)) == ("::1,tcp:80",)
    assert change_of({everything}, set(), {everything, half}) == ([], ["128.0.0.0/1"])
    assert change_of(set(), {everything}, {half}) == (["128.0.0.0/1"], [])
    assert change_of({far}, {everything}, {half, far}) == ([], [])
    host_net, net = Net(4, 1, 32), Net(4, 0x0A000000, 8)
    assert change_of({net}, {host_net}, set()) == (["0.0.0.1"], ["10.0.0.0/8"])


def test_addresses_are_the_same_in_any_spelling() -> None:
    wanted = KernelSet(NETS, 6, fixed=frozenset({"::102:304", "fd00::/8"}))
    found = read_sets("create tortie-s6-x hash:net family inet6 hashsize 64\nadd tortie-s6-x ::1.2.3.4\ncreate o x\n")
    assert found["tortie-s6-x"].is_like(wanted)
    assert found["tortie-s6-x"].difference(wanted.elements({})) == ([], ["fd00::/8"])
    assert not FoundSet(NETS, 4).is_like(wanted)
    assert parse_net("::102:304", strict=True).version == 6


def test_the_variant_with_others_rules_is_used_else_the_systems_own() -> None:
    nft, legacy = Evidence(NFT, rules=3, is_default=True), Evidence(LEGACY, rules=5)
    for evidence, wanted, variant in (
        ((nft, legacy), Backend.AUTO, LEGACY),
        ((nft, replace(legacy, rules=0)), Backend.AUTO, NFT),
        ((replace(nft, rules=0, is_default=False), replace(legacy, rules=0, is_default=True)), Backend.AUTO, LEGACY),
        ((nft, replace(legacy, missing=("iptables-legacy-save",))), Backend.AUTO, NFT),
        ((nft, legacy), Backend.NFT, NFT),
    ):
        chosen = choose(wanted, evidence)
        assert chosen is not None and chosen.variant == variant
        assert all(str(one) in chosen.reason for one in evidence)
    gone = [replace(one, missing=("x",)) for one in (nft, legacy)]
    assert choose(Backend.AUTO, gone) is choose(Backend.LEGACY, gone) is None
    assert str(gone[0]) == "iptables-nft: x not installed: install the package iptables"
    assert str(replace(legacy, rules=1)) == "iptables-legacy: 1 rule of others"
    refused = replace(legacy, refused="do you need to insmod?")
    assert str(refused) == "iptables-legacy: do you need to insmod?"
    assert choose(Backend.LEGACY, [nft, refused]) is None


def test_tables_are_those_that_packets_meet_in_order() -> None:
    assert [key.table for key in render(host()).tables] == [*TABLES, *TABLES]
    assert BAD.set_id in MEMBERS
