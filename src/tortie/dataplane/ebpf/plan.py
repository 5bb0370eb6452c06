"""What a generation of an interface has to hold: pure, and quick where little changed.

Blocks are kept for as long as the policy object is the same (and the port sets its terms depend on), members for as
long as the set is; so a change costs what it touches, and then the classifier's bulk work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tortie.dataplane.ebpf.compile import Block, Members, compile_rules, members_of
from tortie.dataplane.ebpf.generation import Plan
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.desired import EndpointState
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet, NamedPortSet, ServiceSet
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Stage
from tortie.model.verdict import RuleRef


def refusals(state: EndpointState) -> tuple[str, ...]:
    """What of the endpoint's policy this driver cannot enforce yet; empty if nothing."""
    found: dict[str, None] = {}
    for (stage, _), tiers in state.tiers.items():
        for tier in tiers:
            for policy in tier.policies:
                if stage is not Stage.UNTRACKED:
                    name = {Stage.PRE_DNAT: "pre-DNAT", Stage.FORWARD: "forward", Stage.NORMAL: "normal"}[stage]
                    found[
                        f"{policy.key} is {name} policy, which is not enforced yet: only untracked policy is; "
                        "set doNotTrack and applyOnForward, or delete it"
                    ] = None
                elif policy.reason_refused:
                    found[f"{policy.key} (untracked): {policy.reason_refused}"] = None
    if state.is_wildcard:
        found[
            f"HostEndpoint({state.endpoint}) is a wildcard (interfaceName '*'), which is not enforced yet: "
            "give one HostEndpoint for each interface"
        ] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """Numbers of rules over all blocks of a generation -> references."""

    policies: tuple[tuple[str, PolicyKey, int], ...]

    def refs(self) -> Sequence[RuleRef]:
        """The references, by number."""
        return [RuleRef(tier, key, index) for tier, key, count in self.policies for index in range(count)]


class Planner:
    """Endpoint states -> plans, remembering blocks and members between calls."""

    def __init__(self, direction: Direction = Direction.INGRESS) -> None:
        self._direction = direction
        self._blocks: dict[PolicyKey, tuple[Policy, tuple[IPSet | None, ...], Block]] = {}
        self._members: dict[SetAtom, tuple[IPSet, Members]] = {}

    def plan(self, state: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes) -> tuple[Plan, RuleIndex]:
        """The generation that enforces the endpoint's untracked policy, and what its rule numbers mean."""
        tiers: list[list[Block]] = []
        index: list[tuple[str, PolicyKey, int]] = []
        atoms: dict[SetAtom, None] = {}
        for group in state.stage(Stage.UNTRACKED, self._direction):
            blocks = []
            for policy in group.policies:
                block = self._block(policy, sets)
                blocks.append(block)
                index.append((group.tier.name, policy.key, block.rules))
                atoms.update(dict.fromkeys(block.sets))
            tiers.append(blocks)
        members = {atom: self._members_of(atom, sets) for atom in atoms}
        plan = Plan.of(tiers, members, failsafes, state.interface.vlans)
        return plan, RuleIndex(tuple(index))

    def forget(self, policies: Iterable[PolicyKey], sets: Mapping[str, IPSet]) -> None:
        """Drop the blocks of policies, and members of sets, that are gone."""
        kept = set(policies)
        self._blocks = {key: found for key, found in self._blocks.items() if key in kept}
        self._members = {atom: found for atom, found in self._members.items() if atom.set_id in sets}

    def _block(self, policy: Policy, sets: Mapping[str, IPSet]) -> Block:
        known = self._blocks.get(policy.key)
        if known is not None and known[0] is policy:
            if not known[1]:
                return known[2]
            port_sets = self._port_sets(policy, sets)
            if all(a is b for a, b in zip(known[1], port_sets, strict=True)):
                return known[2]
        else:
            port_sets = self._port_sets(policy, sets)
        block = compile_rules(policy.rules(self._direction), sets)
        self._blocks[policy.key] = (policy, port_sets, block)
        return block

    def _port_sets(self, policy: Policy, sets: Mapping[str, IPSet]) -> tuple[IPSet | None, ...]:
        """The sets whose members the terms depend on, not only the tables."""
        return tuple(
            sets.get(source.set_id)
            for rule in policy.rules(self._direction)
            for source in rule.set_sources()
            if isinstance(source, NamedPortSet | ServiceSet)
        )

    def _members_of(self, atom: SetAtom, sets: Mapping[str, IPSet]) -> Members:
        members = sets.get(atom.set_id)
        if members is None:
            return Members(b"", b"")
        known = self._members.get(atom)
        if known is not None and known[0] is members:
            return known[1]
        found = members_of(atom, members)
        self._members[atom] = (members, found)
        return found
