"""What a generation of an interface and direction has to hold: pure, and quick where little changed.

Blocks are kept for as long as the policy object is the same (and the port sets its terms depend on), members for as
long as the set is; so a change costs what it touches, and then the classifier's bulk work.
"""

from collections.abc import Iterable, Mapping, Sequence

from tortie.dataplane.ebpf.classifiers import RuleIndex
from tortie.dataplane.ebpf.compile import Block, compile_rules
from tortie.dataplane.ebpf.generation import Plan, Rejects, TrackingPlan
from tortie.dataplane.ebpf.members import Members, members_after, members_of
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.dataplane.refusals import refused_policies
from tortie.model.desired import EndpointState, MissingProfile
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, ServiceSet
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, TierAction
from tortie.model.rule import Action, Rule
from tortie.model.verdict import RuleRef, default_deny, missing_profile, tier_end

_DENY_ALL = compile_rules([Rule(Action.DENY)], {})
"""Behind a tier, for a missing profile, and at the end of everything."""
_BY_PROGRAM = frozenset({Direction.INGRESS})
"""Directions whose untracked policy is decided by a program; that of leaving packets is nft's."""


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce yet; empty if nothing."""
    found = dict.fromkeys(refused_policies(state))
    if not state.interface.has_ethernet:
        found[
            f"{state.interface.name} carries no Ethernet frames (a tunnel, or a modem), and its packets cannot be read "
            f"yet: {_without_endpoint(state)}, and protect the interface that the tunnel runs over"
        ] = None
    return tuple(found)


def _without_endpoint(state: EndpointState) -> str:
    """How the interface gets to have no endpoint. A wildcard has other interfaces to govern."""
    return "name it in interfaceExclude" if state.is_wildcard else "remove the endpoint"


class _Tiers:
    """A stage on its way: blocks in order, and what their rules are called."""

    def __init__(self) -> None:
        self.tiers: list[list[Block]] = []
        self.refs: list[RuleRef] = []

    def next_tier(self) -> None:
        self.tiers.append([])

    def add(self, block: Block, tier: str, key: PolicyKey) -> None:
        self.tiers[-1].append(block)
        self.refs += [RuleRef(tier, key, index) for index in range(block.rules)]

    def end(self, ref: RuleRef) -> None:
        self.tiers[-1].append(_DENY_ALL)
        self.refs.append(ref)


class Planner:
    """Endpoint states -> plans, remembering blocks and members between calls."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[PolicyKey, Direction], tuple[Policy | Profile, tuple[IPSet | None, ...], Block]] = {}
        self._members: dict[SetAtom, tuple[IPSet, Members]] = {}

    def plan(
        self,
        state: EndpointState,
        direction: Direction,
        sets: Mapping[str, IPSet],
        failsafes: Failsafes,
        tracking: TrackingPlan | None,
    ) -> tuple[Plan, RuleIndex]:
        """The generation that enforces the endpoint's policy in one direction, and what its rule numbers mean.

        Without `tracking` only untracked policy is asked: what it does not decide, passes.
        """
        made: dict[Stage, _Tiers] = {}
        if direction in _BY_PROGRAM and (state.stage(Stage.UNTRACKED, direction) or tracking is None):
            made[Stage.UNTRACKED] = self._stage(Stage.UNTRACKED, state, direction, sets)
        if tracking is not None:
            for stage in (Stage.PRE_DNAT, Stage.FORWARD):
                if state.stage(stage, direction):
                    made[stage] = self._stage(stage, state, direction, sets)
            made[Stage.NORMAL] = self._normal(state, direction, sets)
        atoms = dict.fromkeys(
            atom for part in made.values() for tier in part.tiers for block in tier for atom in block.sets
        )
        members = {atom: self._members_of(atom, sets) for atom in atoms}
        plan = Plan.of(
            {stage: part.tiers for stage, part in made.items()},
            members,
            failsafes,
            state.interface.vlans,
            tracking,
            trusts_mark=direction not in _BY_PROGRAM and bool(state.stage(Stage.UNTRACKED, direction)),
            passes_own=state.is_beside_workload,
            rejects=_rejects(state),
        )
        return plan, RuleIndex({stage: part.refs for stage, part in made.items()})

    def _stage(self, stage: Stage, state: EndpointState, direction: Direction, sets: Mapping[str, IPSet]) -> _Tiers:
        """The stage's tiers; those of the forward and normal classes each with its end."""
        made = _Tiers()
        for group in state.stage(stage, direction):
            made.next_tier()
            for policy in group.policies:
                made.add(self._block(policy.key, policy, direction, sets), group.tier.name, policy.key)
            if stage in (Stage.FORWARD, Stage.NORMAL) and group.tier.default_action is TierAction.DENY:
                made.end(tier_end(group.tier.name))
        return made

    def _normal(self, state: EndpointState, direction: Direction, sets: Mapping[str, IPSet]) -> _Tiers:
        """Tiers; then the profiles as tiers of their own; then the default deny."""
        made = self._stage(Stage.NORMAL, state, direction, sets)
        for profile in state.profiles:
            made.next_tier()
            if isinstance(profile, MissingProfile):
                made.end(missing_profile(profile.name))
            else:
                key = PolicyKey("Profile", "", profile.name)
                made.add(self._block(key, profile, direction, sets), "", key)
        made.next_tier()
        made.end(default_deny(state.endpoint))
        return made

    def forget(self, policies: Iterable[PolicyKey], sets: Mapping[str, IPSet]) -> None:
        """Drop the blocks of policies and profiles, and members of sets, that are gone."""
        kept = set(policies)
        self._blocks = {key: found for key, found in self._blocks.items() if key[0] in kept}
        self._members = {atom: found for atom, found in self._members.items() if atom.set_id in sets}

    def _block(
        self, key: PolicyKey, policy: Policy | Profile, direction: Direction, sets: Mapping[str, IPSet]
    ) -> Block:
        known = self._blocks.get((key, direction))
        rules = _rules(policy, direction)
        if known is not None and known[0] is policy:
            if not known[1]:
                return known[2]
            port_sets = _port_sets(rules, sets)
            if all(a is b for a, b in zip(known[1], port_sets, strict=True)):
                return known[2]
        else:
            port_sets = _port_sets(rules, sets)
        block = compile_rules(rules, sets)
        self._blocks[key, direction] = (policy, port_sets, block)
        return block

    def _members_of(self, atom: SetAtom, sets: Mapping[str, IPSet]) -> Members:
        members = sets.get(atom.set_id)
        if members is None:
            return Members(b"", b"")
        known = self._members.get(atom)
        if known is not None and known[0] is members:
            return known[1]
        found = None
        is_slow = isinstance(members, AddressSet) and members.packed is None  # else all are made as quickly
        if is_slow and known is not None and isinstance(known[0], AddressSet):
            assert isinstance(members, AddressSet)
            found = members_after(known[0], known[1], members)
        if found is None:
            found = members_of(atom, members)
        self._members[atom] = (members, found)
        return found


def _rejects(state: EndpointState) -> Rejects:
    """Whether and how denials are answered.

    Because: what XDP sends on a veth is lost unless the other end, which may be anybody's, polls its queues (NAPI).
    """
    if not state.rejects:
        return Rejects.NOT
    return Rejects.THROUGH_TC if state.interface.kind == "veth" else Rejects.YES


def _rules(policy: Policy | Profile, direction: Direction) -> Sequence[Rule]:
    if isinstance(policy, Policy):
        return policy.rules(direction)
    return policy.ingress if direction is Direction.INGRESS else policy.egress


def _port_sets(rules: Sequence[Rule], sets: Mapping[str, IPSet]) -> tuple[IPSet | None, ...]:
    """The sets whose members the terms depend on, not only the tables."""
    return tuple(
        sets.get(source.set_id)
        for rule in rules
        for source in rule.set_sources()
        if isinstance(source, NamedPortSet | ServiceSet)
    )
