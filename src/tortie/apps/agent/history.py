"""What the agent remembers of its own doing: the last change that it programmed, and what it had to put back. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOST_CAUSES = 10
MOST_REPAIRS = 5


class Moment(NamedTuple):
    """A moment by both clocks: one that people read, and one that nobody sets. Units: seconds."""

    wall_s: float
    monotonic_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LastChange:
    """A change of what is enforced. `causes`: documents, interfaces; `more` of them are not listed.

    `is_complete`: nothing of it failed; what failed is tried again and belongs to the same change.
    """

    revision: int
    at: Moment
    heard_s: float
    apply_ms: float
    causes: tuple[str, ...]
    more: int
    interfaces: tuple[str, ...]
    is_complete: bool

    @property
    def latency_ms(self) -> float:
        """From hearing of the change until it was programmed."""
        return max(0.0, self.at.monotonic_s - self.heard_s) * 1e3


class Repair(NamedTuple):
    """What was put back, and when."""

    at: Moment
    what: tuple[str, ...]


class History:
    """See the module. However long the agent runs, it keeps the same few things."""

    def __init__(self) -> None:
        self.last_change: LastChange | None = None
        self.repairs: deque[Repair] = deque(maxlen=MOST_REPAIRS)
        """The newest last."""
        self.repaired_times = 0
        self._causes: dict[str, None] = {}
        self._more = 0
        self._heard_s: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the last change is left to be tried again."""
        return self.last_change is None or self.last_change.is_complete

    def hears(self, monotonic_s: float) -> None:
        """News arrived; what they are is not looked at yet."""
        if self._heard_s is None:
            self._heard_s = monotonic_s

    def cause(self, what: str) -> None:
        """The next change comes from this, too."""
        if what in self._causes:
            return
        if len(self._causes) < MOST_CAUSES:
            self._causes[what] = None
        else:
            self._more += 1

    def programmed(
        self, revision: int, at: Moment, *, apply_ms: float, interfaces: Sequence[str], is_complete: bool
    ) -> None:
        """The driver has had a change, or has tried again what it had not completed."""
        before = self.last_change
        causes, more, heard_s = tuple(self._causes), self._more, self._heard_s
        if before is not None and not self.is_complete and not causes:
            causes, more, heard_s = before.causes, before.more, before.heard_s
            interfaces = tuple(dict.fromkeys((*before.interfaces, *interfaces)))
        self.last_change = LastChange(
            revision=revision,
            at=at,
            heard_s=at.monotonic_s if heard_s is None else heard_s,
            apply_ms=apply_ms,
            causes=causes,
            more=more,
            interfaces=tuple(interfaces),
            is_complete=is_complete,
        )
        self.forget_causes()

    def forget_causes(self) -> None:
        """What was heard of changed nothing here, or was programmed."""
        self._causes.clear()
        self._more = 0
        self._heard_s = None

    def repaired(self, at: Moment, what: Sequence[str]) -> None:
        """The driver found something gone or changed, and put it back."""
        self.repaired_times += 1
        self.repairs.append(Repair(at, tuple(what)))
