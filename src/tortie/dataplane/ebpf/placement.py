"""Where the packets that arrive on an interface are judged now, why there, and where to go from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tortie.dataplane.driver import Acceleration
from tortie.dataplane.ebpf import xdplink
from tortie.dataplane.ebpf.choice import Choice, Obstacle


@dataclass(slots=True)
class Placement:
    """`is_generic`: XDP is not the driver's, but the kernel's behind it. `choice`: what was asked for last; None until
    somebody did. `obstacle`: of the last attempt at native XDP; None if it succeeded, or there was none."""

    index: int
    acceleration: Acceleration = Acceleration.NONE
    is_generic: bool = False
    choice: Choice | None = None
    obstacle: Obstacle | None = None

    @property
    def _wants_xdp(self) -> bool:
        return self.choice is not None and self.choice.wants_xdp

    def ways(self) -> Sequence[Acceleration]:
        """Where to move, one after the other, so that packets are judged as was chosen."""
        choice, known = self.choice, self.obstacle
        if choice is None or not choice.wants_xdp:
            return () if self.acceleration is Acceleration.TC else (Acceleration.TC,)
        if self.acceleration is Acceleration.XDP and not self.is_generic:
            return ()
        if known is not None and known.circumstances == choice.circumstances and not self.is_free_again:
            return ()
        # the kernel has an interface run either native or generic XDP, and never two programs
        return (Acceleration.TC, Acceleration.XDP) if self.is_generic else (Acceleration.XDP,)

    @property
    def is_free_again(self) -> bool:
        """Whether another's XDP program is why tc judges, and it is gone now."""
        is_foreign = self.obstacle is not None and self.obstacle.is_foreign
        is_waiting = is_foreign and self._wants_xdp and self.acceleration is not Acceleration.XDP
        return is_waiting and not xdplink.is_occupied(self.index)

    @property
    def reason(self) -> str:
        """Why packets are judged where they are."""
        why = self.choice.why if self.choice is not None else "as the agent before left it"
        blocked = self.obstacle.words if self.obstacle is not None else ""
        if self.acceleration is Acceleration.XDP:
            return f"generic XDP, no native XDP: {blocked or why}" if self.is_generic else f"native XDP; {why}"
        return f"no native XDP: {blocked}" if blocked and self._wants_xdp else f"tc; {why}"

    @property
    def unmet(self) -> str:
        """What is wrong, where XDP was demanded and cannot be had; else nothing."""
        if self.choice is None or not self.choice.is_demanded or self.acceleration is Acceleration.XDP:
            return ""
        return f"{self.choice.why}, and there is {self.reason}; its packets are judged at tc all the same"


class NoXdp(Exception):
    """XDP cannot be had on an interface where nothing else will do. `placement` says why."""

    def __init__(self, placement: Placement) -> None:
        super().__init__(placement.reason)
        self.placement = placement
