"""Interrupts (^C) that wait for a better moment."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have an interrupt wait until the end of the block.

    Because: in the middle of a write Python would write twice, and a half made event loop complains as it goes.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
