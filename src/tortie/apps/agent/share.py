"""A part of the time that something may use, such as looking for what others changed."""


class Share:
    """One part in `part` of the time. `credit_s`: so much may be owed before it has to wait: one use that took longer,
    or was on a busy machine, delays no other. Times are those of a clock that only goes forward."""

    def __init__(self, part: int, credit_s: float) -> None:
        self._part, self._credit_s = part, credit_s
        self._paid_at = 0.0
        """When no more than the share will have been used."""

    @property
    def free_at(self) -> float:
        """When it may be used again."""
        return self._paid_at - self._credit_s

    def use(self, started: float, finished: float) -> None:
        """Note a use."""
        self._paid_at = finished + max(0.0, self._paid_at - started) + self._part * (finished - started)
