"""Where XDP in front is wanted, what its tables are made of, which of that changes in place, and whether another
attempt is worth it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tortie.dataplane.ebpf import xdplink
from tortie.dataplane.ebpf.choice import choose
from tortie.model.desired import EndpointState, SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.matches import SetMatch
from tortie.model.packet import Direction, Side
from tortie.model.policy import PolicyKey, Profile, Stage
from tortie.model.rule import Rule

Cause = tuple["MadeOf", object]
"""What an attempt depends on: what the tables are made of, and the circumstances of attaching."""
_TAKES_IN = ("bridge", "bond", "team")
"""Kinds of interfaces that take in what arrives at their ports, before netfilter's hooks see it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing is in front of an interface. `because_of`: what the attempt depended on. `is_foreign`: another's
    program is there, and may go."""

    words: str
    index: int
    because_of: Cause
    is_foreign: bool = False

    def is_outdated(self, because_of: Cause) -> bool:
        """Whether another attempt is worth it."""
        return because_of != self.because_of or (self.is_foreign and not xdplink.is_occupied(self.index))


def unwanted(state: EndpointState) -> str:
    """Why XDP should not decide the untracked ingress of an interface; empty where it should."""
    interface = state.interface
    if interface.is_loopback or not state.stage(Stage.UNTRACKED, Direction.INGRESS):
        return "there is no untracked ingress policy"
    if not interface.has_ethernet:
        return "it carries no Ethernet frames"
    if interface.master_kind in _TAKES_IN:
        return f"it is a port of a {interface.master_kind}, which takes in what arrives here"
    choice = choose(state)
    return "" if choice.wants_xdp else choice.why


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What the tables of an interface follow from: everything but members, and the sets by their ids."""

    all_else: object
    sets: Mapping[str, _Same]

    def differs_only_in(self, set_id: str, other: MadeOf) -> bool:
        """Whether nothing differs but the members of that set."""
        return self.all_else == other.all_else and {**self.sets, set_id: None} == {**other.sets, set_id: None}


def made_of(state: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes) -> MadeOf:
    """What the tables of an interface follow from."""
    tiers = state.stage(Stage.UNTRACKED, Direction.INGRESS)
    ids = {
        source.set_id
        for group in tiers
        for one in group.policies
        for rule in one.ingress
        for source in rule.set_sources()
    }
    return MadeOf(
        (tiers, state.interface.vlans, failsafes), {set_id: _Same(sets.get(set_id)) for set_id in sorted(ids)}
    )


def changed_alone(
    states: Collection[EndpointState], changes: Mapping[str, SetChange | None]
) -> tuple[str, SetChange] | None:
    """The one set of rules whose members change, where no packet can be judged by half of that, though XDP and the
    rules change one after the other; else None.

    Because: a packet meets untracked ingress policy of one interface, or of a device and the VRF that it is in, in XDP
    or in the rules. So no other class may ask for the set, and untracked ingress policy on one side only, wherever it
    is: for one address of the packet, which is a member before or after.
    """
    used = {
        source.set_id
        for state in states
        for rule in state.rules()
        for source in rule.set_sources()
        if source.set_id in changes
    }
    if len(used) != 1:
        return None
    (set_id,) = used
    change = changes[set_id]
    asked = {one for state in states for one in _asked(state, set_id)}
    if change is None or any(stage is not Stage.UNTRACKED for stage, _, _ in asked):
        return None
    if len({side for _, direction, side in asked if direction is Direction.INGRESS}) > 1:
        return None
    return set_id, change


def _asked(state: EndpointState, set_id: str) -> Iterator[tuple[Stage, Direction, Side | None]]:
    """In which classes and directions, and for which address, an endpoint's rules ask for the set; None: a port."""
    for (stage, direction), tiers in state.tiers.items():
        for policy in (policy for group in tiers for policy in group.policies):
            for rule in policy.rules(direction):
                yield from ((stage, direction, side) for side in _sides(rule, set_id))
    for profile in state.profiles:
        if isinstance(profile, Profile):
            for rule in (*profile.ingress, *profile.egress):
                yield from ((Stage.NORMAL, Direction.INGRESS, side) for side in _sides(rule, set_id))


def _sides(rule: Rule, set_id: str) -> set[Side | None]:
    if all(source.set_id != set_id for source in rule.set_sources()):
        return set()
    matches = (match for match in rule.matches if isinstance(match, SetMatch))
    return {match.side for match in matches if match.source.set_id == set_id} or {None}


class _Same:
    """A set as itself: equal to nothing but the same object, so that members are never compared."""

    def __init__(self, members: IPSet | None) -> None:
        self._members = members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._members is self._members

    __hash__ = None  # type: ignore[assignment]


def policies(state: EndpointState) -> Collection[PolicyKey]:
    """The untracked ingress policies of an interface."""
    return [policy.key for group in state.stage(Stage.UNTRACKED, Direction.INGRESS) for policy in group.policies]
