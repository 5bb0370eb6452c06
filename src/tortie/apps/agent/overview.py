"""The parts of the status that are made from the desired state and what the driver counted. Pure.

What a rule does is looked up in the newest policy, also where that is refused and the last good state still counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tortie.apps.agent.answers import (
    ConnectionsAnswer,
    DropAnswer,
    FlowTableAnswer,
    ModeAnswer,
    PolicyHitsAnswer,
    RuleCountAnswer,
    TellingAnswer,
)
from tortie.apps.drops import DROPS
from tortie.apps.sentences import shown_index
from tortie.calc.order import policy_rank
from tortie.dataplane.driver import (
    Acceleration,
    ConnectionStatus,
    InterfaceStatus,
    ReasonCount,
    RuleCount,
    TableFill,
)
from tortie.model.desired import EndpointState, MissingProfile
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier, TierAction
from tortie.model.rule import Action
from tortie.model.verdict import END, Reason, RuleRef, default_deny, missing_profile, tier_end

States = Mapping[str, EndpointState]
"""The desired state of each interface, by its name."""
FULL_PERCENT = 80.0
"""From here on a table of connections is a warning."""


def mode(interfaces: Sequence[InterfaceStatus]) -> ModeAnswer:
    """Whether interfaces with an endpoint are enforced, and where their packets are decided."""
    where = Counter(one.acceleration for one in interfaces if one.is_enforced)
    enforced = sum(where.values())
    state = "open" if not enforced else "enforcing" if enforced == len(interfaces) else "partly"
    return {
        "state": state,
        "xdp": where[Acceleration.XDP],
        "tc": where[Acceleration.TC],
        "netfilter": where[Acceleration.NETFILTER],
        "none": len(interfaces) - enforced + where[Acceleration.NONE],
    }


# ---- policies


def policy_hits(states: States, rules: Iterable[RuleCount]) -> list[PolicyHitsAnswer]:
    """Every policy that governs an interface here, in the order in which packets meet them, then the profiles."""
    hits: Counter[tuple[PolicyKey, Direction]] = Counter()
    for one in rules:
        if one.rule.index != END:
            hits[one.rule.policy, one.direction] += one.packets
    found: list[PolicyHitsAnswer] = []
    for tier, policy in _policies(states):
        ingress, egress = (
            hits[policy.key, direction] if direction in policy.governs else None
            for direction in (Direction.INGRESS, Direction.EGRESS)
        )
        classes = [stage.value for stage in Stage if stage in policy.stages]
        found.append(
            {"tier": tier.name, "policy": str(policy.key), "classes": classes, "ingress": ingress, "egress": egress}
        )
    for name in _profiles(states):
        key = _profile_key(name)
        found.append(
            {
                "tier": "",
                "policy": str(key),
                "classes": [Stage.NORMAL.value],
                "ingress": hits[key, Direction.INGRESS],
                "egress": hits[key, Direction.EGRESS],
            }
        )
    return found


def _policies(states: States) -> list[tuple[Tier, Policy]]:
    found: dict[PolicyKey, tuple[int, Tier, Policy]] = {}
    for state in states.values():
        for (stage, _), groups in state.tiers.items():
            place = list(Stage).index(stage)
            for group in groups:
                for policy in group.policies:
                    if policy.key not in found or place < found[policy.key][0]:
                        found[policy.key] = (place, group.tier, policy)
    ordered = sorted(found.values(), key=lambda one: (one[0], one[1].order, one[1].name, policy_rank(one[2])))
    return [(tier, policy) for _, tier, policy in ordered]


def _profiles(states: States) -> list[str]:
    """Names of those that exist, as endpoints list them."""
    return list(
        dict.fromkeys(one.name for state in states.values() for one in state.profiles if isinstance(one, Profile))
    )


def _profile_key(name: str) -> PolicyKey:
    return PolicyKey("Profile", "", name)


def missing_profiles(states: States) -> list[str]:
    """A warning for each endpoint and profile that it lists and that does not exist."""
    found = {
        (state.endpoint, one.name): None
        for state in states.values()
        for one in state.profiles
        if isinstance(one, MissingProfile)
    }
    return [
        f"HostEndpoint({endpoint}): profile {name} does not exist and so denies what no policy decided; create it"
        for endpoint, name in found
    ]


# ---- counters


def unmet(states: States, counted: Sequence[RuleCountAnswer]) -> list[RuleCountAnswer]:
    """A zero for everything that can decide and that no packet has met yet."""
    known = {(one["interface"], one["direction"], one["policy"], one["rule"]) for one in counted}
    found: list[RuleCountAnswer] = []
    for interface, state in states.items():
        for direction in Direction:
            for ref in dict.fromkeys(_deciding(state, direction)):
                policy, rule = str(ref.policy), shown_index(ref)
                if (interface, direction.value, policy, rule) not in known:
                    found.append(
                        {
                            "interface": interface,
                            "direction": direction.value,
                            "tier": ref.tier,
                            "policy": policy,
                            "rule": rule,
                            "packets": 0,
                        }
                    )
    return found


def _deciding(state: EndpointState, direction: Direction) -> Iterator[RuleRef]:
    for (stage, towards), groups in state.tiers.items():
        if towards is not direction:
            continue
        for group in groups:
            for policy in group.policies:
                for index in range(len(policy.rules(direction))):
                    yield RuleRef(group.tier.name, policy.key, index)
            if stage in (Stage.FORWARD, Stage.NORMAL) and group.tier.default_action is TierAction.DENY:
                yield tier_end(group.tier.name)
    for profile in state.profiles:
        if isinstance(profile, MissingProfile):
            yield missing_profile(profile.name)
        else:
            for index in range(len(profile.rules(direction))):
                yield RuleRef("", _profile_key(profile.name), index)
    if not state.is_beside_workload:
        yield default_deny(state.endpoint)


# ---- drops


def drops(states: States, rules: Iterable[RuleCount], reasons: Iterable[ReasonCount]) -> list[DropAnswer]:
    """Dropped packets by reason; every reason is there, also where nothing was dropped for it."""
    denies = _denying(states)
    found: Counter[tuple[Reason, Direction]] = Counter()
    for rule in rules:
        if rule.rule.index == END or (rule.rule.policy, rule.direction, rule.rule.index) in denies:
            found[rule.rule.reason, rule.direction] += rule.packets
    for one in reasons:
        found[one.reason, one.direction] += one.packets
    return [
        {
            "reason": reason.value,
            "ingress": found[reason, Direction.INGRESS],
            "egress": found[reason, Direction.EGRESS],
            "meaning": meaning,
        }
        for reason, meaning in DROPS.items()
    ]


def rejects(reasons: Iterable[ReasonCount]) -> TellingAnswer:
    """How many of the dropped packets were answered."""
    found = Counter[Reason]()
    for one in reasons:
        found[one.reason] += one.packets
    return {
        "answered": found[Reason.ANSWERED],
        "unanswered": found[Reason.UNANSWERED],
        "limited": found[Reason.ANSWER_LIMIT],
    }


def _denying(states: States) -> set[tuple[PolicyKey, Direction, int]]:
    bodies = {policy.key: policy.rules for _, policy in _policies(states)}
    profiles = {one.name: one for state in states.values() for one in state.profiles if isinstance(one, Profile)}
    found = {
        (key, direction, index)
        for key, rules_of in bodies.items()
        for direction in Direction
        for index, rule in enumerate(rules_of(direction))
        if rule.action is Action.DENY
    }
    return found | {
        (_profile_key(name), direction, index)
        for name, profile in profiles.items()
        for direction in Direction
        for index, rule in enumerate(profile.rules(direction))
        if rule.action is Action.DENY
    }


# ---- connections


def connections(status: ConnectionStatus, reasons: Iterable[ReasonCount]) -> ConnectionsAnswer:
    """The connection table; flows that did not fit are counted where their packets are."""
    return {
        "tables": [_fill(table) for table in status.tables],
        "taken_over": status.taken_over,
        "expired": status.expired,
        "unstored": sum(one.packets for one in reasons if one.reason is Reason.UNSTORED),
    }


def _fill(table: TableFill) -> FlowTableAnswer:
    return {
        "version": table.version,
        "established": table.established,
        "established_size": table.established_size,
        "established_percent": _percent(table.established, table.established_size),
        "opening": table.opening,
        "opening_size": table.opening_size,
        "opening_percent": _percent(table.opening, table.opening_size),
    }


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, 1) if whole else 0.0


def full_tables(found: ConnectionsAnswer) -> list[str]:
    """Warnings about tables that are nearly full."""
    lines = []
    for table in found["tables"]:
        name = f"connection table of IPv{table['version']}"
        if table["established_percent"] >= FULL_PERCENT:
            lines.append(
                f"{name}: {table['established_percent']:.0f} % full; when it is full, new connections stay among the "
                "opening ones, where the oldest make room: set spec.bpfMapSizeConntrack higher"
            )
        if table["opening_percent"] >= FULL_PERCENT:
            lines.append(
                f"{name}: {table['opening_percent']:.0f} % of the room for opening connections is used, as in a "
                "flood of first packets; the oldest of them make room, established connections are safe"
            )
    return lines
