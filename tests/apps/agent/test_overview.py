"""What the status makes of the desired state and of what a driver counted."""

from tortie.apps.agent.overview import (
    connections,
    drops,
    full_tables,
    missing_profiles,
    mode,
    policy_hits,
    rejects,
    unmet,
)
from tortie.apps.drops import DROPS
from tortie.calc.order import arrange
from tortie.dataplane.driver import (
    Acceleration,
    ConnectionStatus,
    InterfaceStatus,
    ReasonCount,
    RuleCount,
    TableFill,
)
from tortie.model.desired import EndpointState, MissingProfile
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Tier, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.selector import parse_selector
from tortie.model.verdict import Reason, RuleRef, default_deny, missing_profile, tier_end

IN, OUT = Direction.INGRESS, Direction.EGRESS
ALLOW, DENY = Rule(action=Action.ALLOW), Rule(action=Action.DENY)


def policy(name: str, order: float | None, *rules: Rule, tier: str = "default", **more: object) -> Policy:
    known: dict[str, object] = {"governs": frozenset({IN}), "ingress": rules}
    return Policy(
        key=PolicyKey("GlobalNetworkPolicy", "", name),
        tier=tier,
        order=order,
        selector=parse_selector("all()"),
        **(known | more),  # type: ignore[arg-type]
    )


LATE, WEB, FAST, BOTH = (
    policy("late", None, DENY),
    policy("web", 10, ALLOW, DENY),
    policy("fast", 99, DENY, do_not_track=True),
    policy("both", 5, ALLOW, tier="first", governs=frozenset(Direction), egress=(DENY,), apply_on_forward=True),
)
TIERS = {"first": Tier("first", 1.0, TierAction.PASS), "default": Tier("default")}
PROFILE = Profile("p", ingress=(ALLOW,), egress=(DENY,))
STATES = {
    "eth0": EndpointState(
        interface=Interface(name="eth0", index=2),
        endpoint="h0",
        tiers=arrange([LATE, WEB, FAST, BOTH], TIERS),
        profiles=(PROFILE, MissingProfile("gone")),
    ),
    "eth1": EndpointState(interface=Interface(name="eth1", index=3), endpoint="h1", tiers=arrange([WEB], TIERS)),
}


def count(direction: Direction, rule: RuleRef, packets: int, interface: str = "eth0") -> RuleCount:
    return RuleCount(interface, direction, rule, packets)


COUNTED = [
    count(IN, RuleRef("default", FAST.key, 0), 1),
    count(IN, RuleRef("default", WEB.key, 0), 10),
    count(IN, RuleRef("default", WEB.key, 1), 2),
    count(IN, RuleRef("default", WEB.key, 1), 3, "eth1"),
    count(IN, tier_end("default"), 4),
    count(OUT, RuleRef("first", BOTH.key, 0), 5),
    count(OUT, RuleRef("", PolicyKey("Profile", "", "p"), 0), 6),
    count(OUT, missing_profile("gone"), 7),
    count(IN, default_deny("h1"), 8, "eth1"),
]
REASONS = [
    ReasonCount("eth0", IN, Reason.INVALID, 9),
    ReasonCount("eth1", IN, Reason.INVALID, 1),
    ReasonCount("eth1", OUT, Reason.MALFORMED, 2),
    ReasonCount("eth1", IN, Reason.ESTABLISHED, 1000),
    ReasonCount("eth1", IN, Reason.UNSTORED, 11),
    ReasonCount("eth0", OUT, Reason.UNSTORED, 1),
    ReasonCount("eth0", IN, Reason.ANSWERED, 3),
    ReasonCount("eth1", OUT, Reason.ANSWERED, 4),
    ReasonCount("eth0", IN, Reason.ANSWER_LIMIT, 5),
]


def test_policies_are_in_the_order_in_which_packets_meet_them_with_what_met_them_everywhere() -> None:
    found = [(one["tier"], one["policy"], one["ingress"], one["egress"]) for one in policy_hits(STATES, COUNTED)]
    assert found == [
        ("default", "GlobalNetworkPolicy(fast)", 1, None),
        ("first", "GlobalNetworkPolicy(both)", 0, 5),
        ("default", "GlobalNetworkPolicy(web)", 15, None),
        ("default", "GlobalNetworkPolicy(late)", 0, None),
        ("", "Profile(p)", 0, 6),
    ]


def test_a_policy_in_two_classes_is_listed_once() -> None:
    both = [one for one in policy_hits(STATES, ()) if one["policy"] == "GlobalNetworkPolicy(both)"]
    assert [one["classes"] for one in both] == [["forward", "normal"]]


def test_drops_are_told_by_reason_and_direction_over_all_interfaces() -> None:
    found = drops(STATES, COUNTED, REASONS)
    assert [one["reason"] for one in found] == [reason.value for reason in DROPS]
    assert {one["reason"]: (one["ingress"], one["egress"]) for one in found if one["ingress"] or one["egress"]} == {
        "malformed": (0, 2),
        "invalid": (10, 0),
        "policy": (6, 5),
        "tier_end": (4, 0),
        "profile": (0, 6),
        "no_profile": (0, 7),
        "default_deny": (8, 0),
    }


def test_it_is_told_how_many_denials_were_answered() -> None:
    assert rejects(REASONS) == {"answered": 7, "unanswered": 0, "limited": 5}


def test_everything_that_can_decide_and_was_not_met_gets_a_zero_once() -> None:
    one = {"eth1": STATES["eth1"]}
    found = unmet(
        one,
        [
            {
                "interface": "eth1",
                "direction": "ingress",
                "tier": "default",
                "policy": "GlobalNetworkPolicy(web)",
                "rule": 1,
                "packets": 3,
            }
        ],
    )
    assert [(zero["direction"], zero["policy"], zero["rule"], zero["packets"]) for zero in found] == [
        ("ingress", "GlobalNetworkPolicy(web)", 0, 0),
        ("ingress", "Tier(default)", None, 0),
        ("ingress", "HostEndpoint(h1)", None, 0),
        ("egress", "HostEndpoint(h1)", None, 0),
    ]


def test_a_tier_that_passes_at_its_end_decides_nothing_there() -> None:
    assert "Tier(first)" not in {zero["policy"] for zero in unmet(STATES, [])}


def test_an_endpoint_that_lists_a_profile_that_does_not_exist_is_a_warning() -> None:
    (line,) = missing_profiles(STATES)
    assert line.startswith("HostEndpoint(h0): profile gone does not exist")


def status(acceleration: Acceleration, *, is_enforced: bool = True) -> InterfaceStatus:
    return InterfaceStatus(interface="i", endpoint="e", acceleration=acceleration, reason="", is_enforced=is_enforced)


def test_the_mode_says_whether_all_interfaces_are_enforced_and_where() -> None:
    xdp, tc, none = (
        status(Acceleration.XDP),
        status(Acceleration.TC),
        status(Acceleration.NONE, is_enforced=False),
    )
    assert mode([xdp, tc, tc]) == {"state": "enforcing", "xdp": 1, "tc": 2, "netfilter": 0, "none": 0}
    assert mode([xdp, none]) == {"state": "partly", "xdp": 1, "tc": 0, "netfilter": 0, "none": 1}
    assert mode([none]) == {"state": "open", "xdp": 0, "tc": 0, "netfilter": 0, "none": 1}
    assert mode([])["state"] == "open"


def test_the_connection_table_is_told_with_its_fill_and_what_did_not_fit() -> None:
    found = connections(ConnectionStatus(tables=[TableFill(6, 1, 3, 0, 0)], taken_over=4, expired=5), REASONS)
    assert (found["taken_over"], found["expired"], found["unstored"]) == (4, 5, 12)
    assert (found["tables"][0]["established_percent"], found["tables"][0]["opening_percent"]) == (33.3, 0.0)


def test_fullness_is_a_warning_from_80_percent_on() -> None:
    def warnings(established: int, opening: int) -> int:
        table = TableFill(4, established, 1000, opening, 1000)
        return len(full_tables(connections(ConnectionStatus(tables=[table]), ())))

    assert [warnings(799, 799), warnings(800, 0), warnings(0, 800), warnings(1000, 1000)] == [0, 1, 1, 2]
