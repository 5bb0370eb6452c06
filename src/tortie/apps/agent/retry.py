"""How long to wait after a failure: soon at first, then longer, never longer than a bound; success forgets it all."""


class BackOff:
    """Doubling delays between `first_s` and `most_s`."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def failed(self) -> float:
        """Seconds to wait now; twice as long the next time."""
        delay = self._next_s
        self._next_s = min(self._next_s * 2, self._most_s)
        return delay

    def succeeded(self) -> None:
        """Start again from the beginning."""
        self._next_s = self._first_s
