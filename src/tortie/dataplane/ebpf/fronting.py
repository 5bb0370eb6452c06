"""Where XDP in front is wanted, what its tables are made of, and whether another attempt is worth it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tortie.dataplane.ebpf import xdplink
from tortie.dataplane.ebpf.choice import choose
from tortie.model.desired import EndpointState
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey, Stage

Cause = tuple[object, object]
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


def made_of(state: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes) -> tuple[object, ...]:
    """What the tables of an interface follow from."""
    tiers = state.stage(Stage.UNTRACKED, Direction.INGRESS)
    ids = {
        source.set_id
        for group in tiers
        for one in group.policies
        for rule in one.ingress
        for source in rule.set_sources()
    }
    return tiers, state.interface.vlans, failsafes, tuple((set_id, _Same(sets.get(set_id))) for set_id in sorted(ids))


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
