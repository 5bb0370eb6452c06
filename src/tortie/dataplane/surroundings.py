"""What holds for all interfaces of a host, for drivers behind the interface."""

from dataclasses import dataclass, field, replace

from tortie.model.desired import Delta
from tortie.model.failsafe import Failsafes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds for all interfaces. `has_ipvs`: the kernel has IPVS, which passes packets on in a way of its own."""

    failsafes: Failsafes = field(default_factory=Failsafes)
    drops_invalid: bool = True
    has_ipvs: bool = False

    def after(self, delta: Delta) -> "Surroundings":
        """These after a change; itself, where it says nothing about them."""
        return replace(
            self,
            failsafes=self.failsafes if delta.failsafes is None else delta.failsafes,
            drops_invalid=self.drops_invalid if delta.tracking is None else delta.tracking.drops_invalid,
        )
