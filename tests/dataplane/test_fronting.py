"""Which changes of members XDP in front takes in place, while the rules behind it change a moment before."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from golden_host import BAD, host, policy

from tortie.dataplane.ebpf.fronting import changed_alone
from tortie.model.address import Net
from tortie.model.desired import EndpointState, SetChange, TierPolicies
from tortie.model.matches import SetMatch
from tortie.model.packet import Direction, Side
from tortie.model.policy import Profile, Stage, Tier
from tortie.model.rule import Action, Rule

IN, OUT = Direction.INGRESS, Direction.EGRESS
FROM, TO = (Rule(Action.DENY, (SetMatch(side, BAD),)) for side in (Side.SOURCE, Side.DESTINATION))
CHANGE = SetChange(frozenset({Net(4, 0xC0000201, 32)}), frozenset())


def asking(rules: Mapping[tuple[Stage, Direction], tuple[Rule, ...]]) -> EndpointState:
    """An endpoint that asks for BAD in these rules only."""
    tiers = {
        (stage, way): (
            TierPolicies(Tier("default"), (policy("asks", stage, *((its, ()) if way is IN else ((), its))),)),
        )
        for (stage, way), its in rules.items()
    }
    return replace(host(), tiers=tiers)


@pytest.mark.parametrize(
    ("rules", "is_alone"),
    [
        ({(Stage.UNTRACKED, IN): (FROM,)}, True),
        ({(Stage.UNTRACKED, IN): (FROM, FROM), (Stage.UNTRACKED, OUT): (TO,)}, True),
        ({(Stage.UNTRACKED, IN): (FROM, TO)}, False),
        ({(Stage.UNTRACKED, IN): (FROM,), (Stage.NORMAL, IN): (FROM,)}, False),
        ({(Stage.UNTRACKED, IN): (FROM,), (Stage.PRE_DNAT, IN): (FROM,)}, False),
        ({(Stage.NORMAL, IN): (FROM,)}, False),
    ],
)
def test_a_set_changes_alone_where_untracked_policy_asks_for_one_address(
    rules: Mapping[tuple[Stage, Direction], tuple[Rule, ...]], is_alone: bool
) -> None:
    found = changed_alone([asking(rules)], {BAD.set_id: CHANGE, "of nobody": None})
    assert found == ((BAD.set_id, CHANGE) if is_alone else None)


def test_what_another_endpoint_or_a_profile_asks_for_counts_as_well() -> None:
    alone = asking({(Stage.UNTRACKED, IN): (FROM,)})
    other = asking({(Stage.NORMAL, OUT): (TO,)})
    assert changed_alone([alone, other], {BAD.set_id: CHANGE}) is None
    assert changed_alone([alone, asking({(Stage.UNTRACKED, IN): (TO,)})], {BAD.set_id: CHANGE}) is None
    asked = replace(alone, profiles=(Profile("asks", {}, (FROM,), ()),))
    assert changed_alone([asked], {BAD.set_id: CHANGE}) is None


def test_a_set_that_goes_and_two_sets_at_once_do_not_change_in_place() -> None:
    state = host()
    assert changed_alone([asking({(Stage.UNTRACKED, IN): (FROM,)})], {BAD.set_id: None}) is None
    both = {source.set_id: CHANGE for rule in state.rules() for source in rule.set_sources()}
    assert len(both) == 2
    assert changed_alone([state], both) is None
