"""The four classes of policy at one endpoint, each as a function of one packet.

    untracked   failsafes and their replies ─▶ tiers ─▶ continue
    pre-DNAT    known connections ─▶ failsafes ─▶ invalid? ─▶ tiers ─▶ continue
    forward     known connections ─▶ invalid? ─▶ open without policy ─▶ tiers, which deny at their end ─▶ allow
    normal      known connections ─▶ failsafes ─▶ invalid? ─▶ tiers, profiles, default deny

To continue means that the stage has nothing to say. In which order a packet meets the classes of which endpoints is
told in `passage.py`. A relation of None is that of a packet that untracked policy allowed: it has no connection state
at all, and is judged by the rules alone.

Source: reference semantics.md, which wins; dataplane-policy.md A.1, A.6, A.7.
"""

from collections.abc import Mapping
from typing import assert_never

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, MissingProfile
from tortie.model.packet import Direction, Packet
from tortie.model.policy import PolicyKey, Stage, TierAction
from tortie.model.verdict import END, Reason, RuleRef, Trace, Verdict, default_deny, missing_profile, tier_end
from tortie.model.walk import Given, Group, RuleList, reasoned, walk

KNOWN: Mapping[Relation | None, Reason] = {
    Relation.ESTABLISHED: Reason.ESTABLISHED,
    Relation.RELATED: Reason.RELATED,
}
"""What exempts a packet from tracked policy, and the reason that it gets."""


def untracked(packet: Packet, direction: Direction, endpoint: EndpointState, given: Given) -> Trace:
    """The untracked stage. Allow and Deny are final here, the end of a tier continues with the next."""
    if given.failsafes.protect(packet, direction):
        return reasoned(Verdict.CONTINUE, Reason.FAILSAFE, Stage.UNTRACKED)
    return walk(packet, stage_groups(endpoint, Stage.UNTRACKED, direction), Stage.UNTRACKED, given)


def pre_dnat(packet: Packet, endpoint: EndpointState, relation: Relation | None, given: Given) -> Trace:
    """The pre-DNAT stage of what arrives, for an endpoint with such policy; the others have no such stage."""
    if known := KNOWN.get(relation):
        return reasoned(Verdict.CONTINUE, known, Stage.PRE_DNAT)
    if given.failsafes.opens(packet, Direction.INGRESS):
        return reasoned(Verdict.CONTINUE, Reason.FAILSAFE, Stage.PRE_DNAT)
    if relation is Relation.INVALID and given.drops_invalid:
        return reasoned(Verdict.DENY, Reason.INVALID, Stage.PRE_DNAT)
    return walk(packet, stage_groups(endpoint, Stage.PRE_DNAT, Direction.INGRESS), Stage.PRE_DNAT, given)


def forward(
    packet: Packet, direction: Direction, endpoint: EndpointState, relation: Relation | None, given: Given
) -> Trace:
    """The forward stage, which always decides: what policy does not deny passes, and there are no failsafes."""
    if known := KNOWN.get(relation):
        return reasoned(Verdict.ALLOW, known, Stage.FORWARD)
    if relation is Relation.INVALID and given.drops_invalid:
        return reasoned(Verdict.DENY, Reason.INVALID, Stage.FORWARD)
    found = walk(packet, stage_groups(endpoint, Stage.FORWARD, direction), Stage.FORWARD, given)
    if found.verdict is not Verdict.CONTINUE:
        return found
    return reasoned(Verdict.ALLOW, Reason.FORWARDED, Stage.FORWARD, steps=found.steps)


def normal(
    packet: Packet, direction: Direction, endpoint: EndpointState, relation: Relation | None, given: Given
) -> Trace:
    """The normal stage, which always decides. A workload's endpoint has no failsafes: they are the host's."""
    if known := KNOWN.get(relation):
        return reasoned(Verdict.ALLOW, known, Stage.NORMAL)
    if not endpoint.is_workload and given.failsafes.opens(packet, direction):
        return reasoned(Verdict.ALLOW, Reason.FAILSAFE, Stage.NORMAL)
    if relation is Relation.INVALID and given.drops_invalid:
        return reasoned(Verdict.DENY, Reason.INVALID, Stage.NORMAL)
    return walk(packet, stage_groups(endpoint, Stage.NORMAL, direction), Stage.NORMAL, given)


def stage_groups(endpoint: EndpointState, stage: Stage, direction: Direction) -> list[Group]:
    """What a packet is walked through in that class, in order; each group is for one walk."""
    match stage:
        case Stage.UNTRACKED | Stage.PRE_DNAT:
            return _tiers(endpoint, stage, direction)
        case Stage.FORWARD:
            return _tiers(endpoint, stage, direction, may_deny=True)
        case Stage.NORMAL:
            return _normal_groups(endpoint, direction)
        case _:
            assert_never(stage)


def _normal_groups(endpoint: EndpointState, direction: Direction) -> list[Group]:
    """The normal class: tiers, then each profile, and at last what denies everything."""
    groups = _tiers(endpoint, Stage.NORMAL, direction, may_deny=True)
    for profile in endpoint.profiles:
        if isinstance(profile, MissingProfile):
            groups.append(Group(missing_profile(profile.name), denies=True))
        else:
            key = PolicyKey("Profile", "", profile.name)
            groups.append(Group(RuleRef("", key, END), (RuleList("", key, profile.rules(direction)),)))
    groups.append(Group(default_deny(endpoint.endpoint, is_workload=endpoint.is_workload), denies=True))
    return groups


def _tiers(endpoint: EndpointState, stage: Stage, direction: Direction, *, may_deny: bool = False) -> list[Group]:
    """The stage's tiers. Where they may not deny, every tier counts as one whose default action is Pass."""
    return [
        Group(
            tier_end(group.tier.name),
            tuple(RuleList(group.tier.name, one.key, one.rules(direction)) for one in group.policies),
            may_deny and group.tier.default_action is TierAction.DENY,
        )
        for group in endpoint.stage(stage, direction)
    ]
