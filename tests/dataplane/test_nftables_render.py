"""The table of the nftables driver: one policy of every class as a golden listing, and what a change of it writes."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from golden_host import BAD, FAILSAFES, MEMBERS, host, random_host, turned

from tortie.dataplane.named_sets import shift_fingerprint, summed, union_change
from tortie.dataplane.nft_text.changes import element_change
from tortie.dataplane.nftables.driver import refusals
from tortie.dataplane.nftables.endpoint import REJECT
from tortie.dataplane.nftables.names import LONGEST, LONGEST_COMMENT, comment, counter_name, path, set_name
from tortie.dataplane.nftables.render import Renderer
from tortie.dataplane.nftables.table import ElementChange, Table, change_script, whole_script
from tortie.dataplane.surroundings import Surroundings
from tortie.model.address import Net
from tortie.model.desired import EndpointState, SetChange
from tortie.model.endpoint import Interface
from tortie.model.ipset import AddressSet, IPSet
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey, Stage, TierAction
from tortie.model.rule import Action
from tortie.model.verdict import Reason, RuleRef

GOLDEN = Path(__file__).parents[1] / "golden" / "host" / "nftables.nft"


def render(*states: EndpointState, sets: Mapping[str, IPSet] = MEMBERS, around: Surroundings | None = None) -> Table:
    return Renderer().render(states, sets, around or Surroundings(FAILSAFES), {})


def test_one_host_with_policy_of_every_class_is_the_golden_table() -> None:
    assert GOLDEN.read_text() == whole_script(render(replace(host(), rejects=True)), MEMBERS)


def test_the_same_state_is_the_same_table_whatever_the_order_of_endpoints() -> None:
    other = replace(host(), interface=Interface(name="eth1", index=3))
    assert whole_script(render(host(), other), MEMBERS) == whole_script(render(other, host()), MEMBERS)


def test_nothing_that_changed_is_nothing_to_do() -> None:
    assert change_script(render(host()), render(host()), {}, MEMBERS) == ""
    assert change_script(Table(), Table(), {}, MEMBERS) == ""


@pytest.mark.parametrize("seed", range(20))
def test_what_was_rendered_before_changes_nothing_of_the_table(seed: int) -> None:
    rng = Random(seed)
    states, sets, around = random_host(rng)
    kept = Renderer()
    for _ in range(6):
        states = turned(rng, states)
        here = rng.sample(states, rng.randint(1, 4))
        assert kept.render(here, sets, around, {}) == render(*here, sets=sets, around=around)


def test_a_change_of_one_rule_writes_one_chain_and_keeps_all_counters() -> None:
    state = host()
    (group,) = state.tiers[Stage.PRE_DNAT, Direction.INGRESS]
    (early,) = group.policies
    changed = replace(early, ingress=(replace(early.ingress[0], action=Action.PASS),))
    tiers = {**state.tiers, (Stage.PRE_DNAT, Direction.INGRESS): (replace(group, policies=(changed,)),)}
    script = change_script(render(state), render(replace(state, tiers=tiers)), {}, MEMBERS)
    chains = {line.split()[4] for line in script.splitlines() if " rule " in line or line.startswith("flush")}
    assert chains == {"pre-dnat/eth0/tier.default"}
    assert "counter inet" not in script and " element " not in script


def test_an_interface_that_comes_touches_no_chain_of_others() -> None:
    other = replace(host(), interface=Interface(name="eth1", index=3))
    for script in (
        change_script(render(host()), render(host(), other), {}, MEMBERS),
        change_script(render(host(), other), render(host()), {}, MEMBERS),
    ):
        assert "eth1" in script and "/eth0" not in script and "flush chain inet tortie-policy filter" not in script


def test_members_that_come_and_go_are_the_only_ones_written() -> None:
    renderer = Renderer()
    before = renderer.render([host()], MEMBERS, Surroundings(FAILSAFES), {})
    change = SetChange(frozenset({Net(4, 0xC0000207, 32)}), frozenset({Net(4, 0x0A000000, 8)}))
    members = MEMBERS[BAD.set_id].members
    after: Mapping[str, IPSet] = {**MEMBERS, BAD.set_id: AddressSet((members - change.removed) | change.added)}  # type: ignore[arg-type, operator]
    known, elements = {}, {}
    for name, one in before.named.items():
        if BAD.set_id in one.set_ids:
            added, removed = union_change(one, {BAD.set_id: change}, after)
            gone, come = element_change(one, added, removed, after)
            elements[name] = ElementChange(tuple(gone), tuple(come))
            one = replace(one, fingerprint=shift_fingerprint(one.fingerprint, added, removed))
        known[name] = one
    table = renderer.render([host()], after, Surroundings(FAILSAFES), known)
    assert table.named == {name: summed(one, after) for name, one in table.named.items()}
    script = change_script(before, table, elements, after)
    name = set_name(0, [BAD.set_id], 4, False)
    assert script.splitlines() == [
        f"delete element inet tortie-policy {name} {{ 10.0.0.0/8 }}",
        f"add element inet tortie-policy {name} {{ 10.1.0.0/16, 192.0.2.7 }}",  # what the wider net covered, too
        f"delete chain inet tortie-policy d_{before.digest}",
        f"add chain inet tortie-policy d_{table.digest}",
    ]


def test_a_refused_name_and_one_that_only_looks_odd() -> None:
    assert refusals(replace(host(), interface=Interface(name='a"b', index=2)))
    assert not refusals(replace(host(), interface=Interface(name="eth0.100@x", index=2)))
    assert "normal-in/eth0.100_x" in whole_script(
        render(replace(host(), interface=Interface(name="eth0.100@x", index=2))), MEMBERS
    )


def test_names_are_nfts_and_differ_where_what_they_name_does() -> None:
    longest = "a" * 253
    one, other = (RuleRef("default", PolicyKey("NetworkPolicy", "ns", f"{longest}{end}"), 0) for end in "xy")
    assert counter_name("normal-in/eth0", one) != counter_name("normal-in/eth0", other)
    assert len(counter_name("normal-in/eth0", one)) <= LONGEST
    assert path("a", "b@c") != path("a", "b_c")
    assert counter_name("c", Reason.INVALID) == "c/invalid"
    assert comment(RuleRef('t"', PolicyKey("NetworkPolicy", "ns", "p"), 3)).count('"') == 2
    assert len(comment(one)) <= LONGEST_COMMENT + len('comment ""')


def test_loopback_has_no_chains() -> None:
    assert not render(replace(host(), interface=Interface(name="lo", index=1, is_loopback=True))).chains


@pytest.mark.parametrize("seed", range(20))
def test_every_chain_is_entered_from_one_place(seed: int) -> None:
    states, sets, around = random_host(Random(seed))
    table = render(*states, sets=sets, around=around)
    verdicts = [verdict for name, one in table.dispatch.items() if name != "normal-late" for verdict in one.values()]
    words = [rule.split(" comment ")[0].split() for chain in table.chains.values() for rule in chain.rules]
    entered = [verdict.split()[1] for verdict in verdicts] + behind(words, "jump", "goto")
    shared = {name for name in entered if entered.count(name) > 1}
    # an endpoint may list a profile twice
    assert all(name == REJECT or name.startswith("readable/") or "/profile." in name for name in shared), shared
    base = {name for name, chain in table.chains.items() if chain.hook}
    late = {verdict.split()[1] for verdict in table.dispatch["normal-late"].values()}
    assert set(entered) | late | base | {REJECT} == set(table.chains)
    assert set(behind(words, "name")) <= set(table.counters)
    looked_up = {word[1:] for rule in words for word in rule if word.startswith("@") and not word.startswith("@th,")}
    assert looked_up == {*table.named, *table.fixed, *table.dispatch} - unused(table, looked_up)


def behind(rules: list[list[str]], *words: str) -> list[str]:
    """What stands behind those words."""
    return [after for rule in rules for word, after in pairwise(rule) if word in words]


def unused(table: Table, looked_up: set[str]) -> set[str]:
    """Sets of the settings that no stage here asks."""
    return {name for name in table.fixed if name not in looked_up}


def test_tiers_that_pass_have_no_end() -> None:
    state = host()
    tiers = {
        key: tuple(replace(group, tier=replace(group.tier, default_action=TierAction.PASS)) for group in groups)
        for key, groups in state.tiers.items()
    }
    assert "end of tier" in whole_script(render(state), MEMBERS)
    assert "end of tier" not in whole_script(render(replace(state, tiers=tiers)), MEMBERS)
