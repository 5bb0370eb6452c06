"""Which revision the dataplane has, what came of it, and who waits for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the latest attempt to program a revision came to; revision -1: there was none yet."""

    revision: int = -1
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    apply_ms: float = 0.0


class Outcomes:
    """The latest outcome, published to everybody who waits for its revision or an older one."""

    def __init__(self) -> None:
        self.latest = Outcome()
        self._waiting: dict[asyncio.Future[Outcome], int] = {}

    def publish(self, outcome: Outcome) -> None:
        """Answer the waiters at once, also where the outcome is a failure: retries go on without them."""
        self.latest = outcome
        for waiter, revision in list(self._waiting.items()):
            if revision <= outcome.revision and not waiter.done():
                waiter.set_result(outcome)

    async def reached(self, revision: int, timeout_s: float) -> Outcome | None:
        """The outcome of that revision or a later one; None if there is none in time."""
        if self.latest.revision >= revision:
            return self.latest
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = revision
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            del self._waiting[waiter]
