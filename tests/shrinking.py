"""A disagreement about a case made small: fewer frames, policies, rules and matches, for as long as it is one; and the
case as documents that a person can read."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, assert_never

from strategies import Case
from tortie.apps.yamlout import to_yaml
from tortie.model.address import WIDTH, Net
from tortie.model.desired import MissingProfile, TierPolicies
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortMember, SelectorSet, ServiceSet, SetSource
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import Direction, Side
from tortie.model.policy import Profile
from tortie.model.rule import Rule

Step = TypeVar("Step")
LIMIT_S = 60.0
"""Time after which what was found so far is good enough."""


def shrink(
    case: Case,
    steps: Sequence[Step],
    disagrees: Callable[[Case, Sequence[Step]], bool],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Case, Sequence[Step]]:
    """A smaller case and fewer steps that still disagree. The last step is the one in question."""
    deadline = clock() + LIMIT_S
    steps = _fewer_steps(case, steps, disagrees, lambda: clock() < deadline)
    found: Case | None = case
    while found is not None and clock() < deadline:
        case = found
        found = next((one for one in _smaller(case) if clock() < deadline and disagrees(one, steps)), None)
    return case, _fewer_steps(case, steps, disagrees, lambda: clock() < deadline)


def _fewer_steps(
    case: Case, steps: Sequence[Step], disagrees: Callable[[Case, Sequence[Step]], bool], has_time: Callable[[], bool]
) -> Sequence[Step]:
    """The steps without those in front of the last one that do not matter; halves first."""
    size = len(steps) - 1
    while size and has_time():
        start = 0
        while start < len(steps) - 1 and has_time():
            fewer = [*steps[:start], *steps[min(start + size, len(steps) - 1) :]]
            if disagrees(case, fewer):
                steps = fewer
            else:
                start += size
        size = min(size // 2, len(steps) - 1)
    return steps


def _smaller(case: Case) -> Iterator[Case]:
    """The case without one thing, large ones first: a class, tier, policy, rule, match, profile, or the failsafes."""
    endpoint = case.endpoint
    for key, groups in endpoint.tiers.items():
        rest = {one: found for one, found in endpoint.tiers.items() if one != key}
        yield replace(case, endpoint=replace(endpoint, tiers=rest))
        for fewer in _fewer_groups(groups, key[1]):
            tiers = {**rest, key: fewer} if fewer else rest
            yield replace(case, endpoint=replace(endpoint, tiers=tiers))
    for index in range(len(endpoint.profiles)):
        kept = endpoint.profiles[:index] + endpoint.profiles[index + 1 :]
        yield replace(case, endpoint=replace(endpoint, profiles=kept))
    if case.failsafes.inbound or case.failsafes.outbound:
        yield replace(case, failsafes=Failsafes((), ()))


def _fewer_groups(groups: tuple[TierPolicies, ...], direction: Direction) -> Iterator[tuple[TierPolicies, ...]]:
    for index, group in enumerate(groups):
        before, after = groups[:index], groups[index + 1 :]
        yield before + after
        for number, policy in enumerate(group.policies):
            others = group.policies[:number], group.policies[number + 1 :]
            yield (*before, replace(group, policies=others[0] + others[1]), *after)
            for rules in _fewer_rules(policy.rules(direction)):
                one = replace(policy, **{direction.value: rules})
                yield (*before, replace(group, policies=(*others[0], one, *others[1])), *after)


def _fewer_rules(rules: tuple[Rule, ...]) -> Iterator[tuple[Rule, ...]]:
    if len(rules) > 3:
        yield rules[: len(rules) // 2]
        yield rules[len(rules) // 2 :]
    for index, rule in enumerate(rules):
        yield rules[:index] + rules[index + 1 :]
        for number in range(len(rule.matches)):
            less = replace(rule, matches=rule.matches[:number] + rule.matches[number + 1 :])
            yield (*rules[:index], less, *rules[index + 1 :])


# ---- for people


def as_yaml(case: Case) -> str:
    """Tiers, policies, profiles and sets of the case, nearly as documents: each class and direction by itself, and the
    members of a set of ports as a list."""
    documents: list[object] = []
    for (stage, direction), groups in case.endpoint.tiers.items():
        for group in groups:
            for policy in group.policies:
                spec = {
                    "class": stage.value,
                    "tier": f"{group.tier.name} ({group.tier.default_action.value} at its end)",
                    "order": policy.order,
                    direction.value: [_rule(rule) for rule in policy.rules(direction)],
                }
                documents.append({"kind": policy.key.kind, "name": policy.key.name, "spec": spec})
    for profile in case.endpoint.profiles:
        if isinstance(profile, MissingProfile):
            documents.append({"kind": "Profile", "name": f"{profile.name} (does not exist)"})
        else:
            documents.append(_profile(profile))
    used = {source.set_id: source for rule in case.endpoint.rules() for source in rule.set_sources()}
    documents += [{"set": _source(used[name]), "members": _members(case.sets.get(name))} for name in used]
    failsafes = {"inbound": case.failsafes.inbound, "outbound": case.failsafes.outbound}
    documents.append({"failsafes": {side: list(map(str, listed)) for side, listed in failsafes.items()}})
    return "---\n".join(to_yaml(one, is_sorted=False) for one in documents)


def _profile(profile: Profile) -> object:
    spec = {one.value: [_rule(rule) for rule in profile.rules(one)] for one in Direction}
    return {"kind": "Profile", "name": profile.name, "spec": spec}


def _members(members: IPSet | None) -> list[str]:
    if members is None:
        return []
    if isinstance(members, AddressSet):
        return list(map(str, sorted(members.members)))
    return [_member(one) for one in sorted(members.members)]


def _member(one: PortMember) -> str:
    return f"{Net(one.version, one.address, WIDTH[one.version])} {one.protocol}:{one.port}"


def _rule(rule: Rule) -> dict[str, object]:
    found: dict[str, object] = {"action": rule.action.value}
    for match in rule.matches:
        _write(found, match)
    return found


def _write(found: dict[str, object], match: Match) -> None:
    """Add the match to a rule, under the API's names."""
    match match:
        case VersionMatch():
            found["ipVersion"] = match.version
        case ProtocolMatch():
            found["notProtocol" if match.negated else "protocol"] = match.protocol
        case IcmpMatch():
            fields = {"type": match.type} if match.code is None else {"type": match.type, "code": match.code}
            found["notICMP" if match.negated else "icmp"] = fields
        case NetMatch():
            _side(found, match.side, "nets", [str(net) for net in match.nets], negated=match.negated)
        case SetMatch():
            name = "services" if isinstance(match.source, ServiceSet) else "selector"
            _side(found, match.side, name, _source(match.source), negated=match.negated)
        case PortMatch():
            ports = [one.first if one.first == one.last else f"{one.first}:{one.last}" for one in match.ranges]
            _side(found, match.side, "ports", [*ports, *map(_source, match.named)], negated=match.negated)
        case _:
            assert_never(match)


def _source(source: SetSource) -> str:
    match source:
        case SelectorSet():
            return str(source.selector)
        case NamedPortSet():
            return f"{source.port_name} of {source.selector}, protocol {source.protocol or 'any'}"
        case ServiceSet():
            return f"{source.namespace}/{source.name}{' with ports' if source.with_ports else ''}"
        case _:
            assert_never(source)


def _side(found: dict[str, object], side: Side, name: str, value: object, *, negated: bool) -> None:
    key = f"not{name[0].upper()}{name[1:]}" if negated else name
    entity = found.setdefault(side.value, {})
    assert isinstance(entity, dict)
    entity[key] = value
