"""The agent's log: plain lines on stderr, to which the service manager adds time and name; repeats are only counted."""

import logging
import sys
import time

REPEAT_S = 60.0
"""The same line at most this often."""
REMEMBERED = 1000


class Repeats(logging.Filter):
    """Lets a line through once in `REPEAT_S`; the next one that passes says how many were held back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to print the record."""
        text = record.getMessage()
        now = time.monotonic()
        last, held = self._seen.get(text, (float("-inf"), 0))
        if now - last < REPEAT_S:
            self._seen[text] = (last, held + 1)
            return False
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen[text] = (now, 0)
        if held:
            record.msg, record.args = f"{text} (and {held} more of the same)", ()
        return True


def start_logging(level: int = logging.INFO) -> None:
    """Send the agent's log to stderr."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    stream.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
