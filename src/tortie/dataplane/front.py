"""What a driver in netfilter's hooks may have in front of it: something that decides untracked ingress earlier.

    desired ─▶ prepare ─▶ rules, which believe what fits them ─▶ commit ─▶ rules once more, where something came or went
                     └──▶ make, beside

The rules are always whole. What the front denies is gone; of what it let on it says in the packet's mark what untracked
policy made of it, and by which generation of its tables. Rules believe that on interfaces, and of generations, that
`prepare` and `commit` name; everything else meets them as if there were no front. So nothing depends on which of both
changes first, or on what becomes of the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tortie.dataplane.driver import InterfaceStatus, LogEvent
from tortie.model.desired import EndpointState, SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.verdict import RuleRef

Believed = Mapping[str, int]
"""Interfaces whose marks are believed, and the parity (0 or 1) of the generation that these must be of."""


@dataclass(frozen=True, slots=True)
class FrontMarks:
    """What the front says, as a value of the bits `mask` of the packet's mark; 0 there says nothing.

    `allowed`: untracked policy allowed the packet. `goes_on`: it did not decide. Both by parity.
    """

    mask: int
    allowed: tuple[int, int]
    goes_on: tuple[int, int]

    @classmethod
    def of(cls, mask: int, told: int, allowed: int, odd: int) -> FrontMarks:
        """Made of three bits: something is told, it was allowed, the generation is an odd one."""
        return cls(mask, (told | allowed, told | allowed | odd), (told, told | odd))

    @property
    def told(self) -> Sequence[int]:
        """The marks in the order of what XDP says (bpf/include/tortie/metadata.h)."""
        return self.goes_on[0], self.allowed[0], self.goes_on[1], self.allowed[1]


class Front(Protocol):
    """See the module. No call raises for what is only a matter of speed: then nothing is in front, and it is told."""

    def prepare(
        self,
        states: Mapping[str, EndpointState],
        sets: Mapping[str, IPSet],
        changes: Mapping[str, SetChange | None],
        failsafes: Failsafes,
        marks: FrontMarks,
    ) -> Believed:
        """Find out what these states need; no packet meets it yet. What rules of these states may believe.

        `changes`: how the sets got to be so since the last `commit`.
        """

    def make(self) -> None:
        """Make what was found to be needed, where that takes time: best while others' processes change the rules. What
        is not made, `commit` makes."""

    def commit(self) -> Believed:
        """Now that the rules are there: let packets meet what was prepared. What may be believed from now on."""

    def give_up(self) -> None:
        """Forget what was prepared: the rules before stay."""

    def check(self) -> Sequence[str]:
        """Put back what others took away; what that was."""

    def pause(self) -> Sequence[str]:
        """Take everything off, and let another driver have the place until `resume`; names of what was taken off."""

    def resume(self) -> None:
        """From the next `prepare` on, be in front again."""

    def told(self, status: InterfaceStatus, state: EndpointState) -> InterfaceStatus:
        """The status with where untracked ingress is decided, and why there."""

    def counts(self) -> Mapping[str, Mapping[RuleRef, int]]:
        """Packets that met rules here, by interface."""

    def log_events(self) -> Sequence[LogEvent]:
        """Packets that met Log rules here since the last call."""

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent left here."""


class NoFront:
    """Nothing: the rules decide everything."""

    def prepare(
        self,
        states: Mapping[str, EndpointState],
        sets: Mapping[str, IPSet],
        changes: Mapping[str, SetChange | None],
        failsafes: Failsafes,
        marks: FrontMarks,
    ) -> Believed:
        """See Front."""
        return {}

    def make(self) -> None:
        """See Front."""

    def commit(self) -> Believed:
        """See Front."""
        return {}

    def give_up(self) -> None:
        """See Front."""

    def check(self) -> Sequence[str]:
        """See Front."""
        return ()

    def pause(self) -> Sequence[str]:
        """See Front."""
        return ()

    def resume(self) -> None:
        """See Front."""

    def told(self, status: InterfaceStatus, state: EndpointState) -> InterfaceStatus:
        """See Front."""
        return status

    def counts(self) -> Mapping[str, Mapping[RuleRef, int]]:
        """See Front."""
        return {}

    def log_events(self) -> Sequence[LogEvent]:
        """See Front."""
        return ()

    def leftovers(self) -> Sequence[str]:
        """See Front."""
        return ()
