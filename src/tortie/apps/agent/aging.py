"""Taking expired flows out of the connection table, and asking newly enforced policy about flows that exist.

Both walk tables of up to hundreds of thousands of entries on the event loop that changes of policy run on; between two
batches everybody else has his turn.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator

from tortie.apps.agent.outcome import Outcome
from tortie.dataplane.driver import Driver, Established
from tortie.kernel.errors import KernelError

log = logging.getLogger("tortie.agent")

EVERY_S = 10.0
"""Source: reference config.md section 7, the scan period of connection tracking."""


async def expire_flows(driver: Driver) -> None:
    """Take out what has expired, every `EVERY_S` until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await total(driver.expire())
        except KernelError as error:
            log.warning("%s; expired connections stay for now", error)
        except Exception:
            log.exception("taking out expired connections failed in a way nobody foresaw")


async def total(steps: Iterator[int]) -> int:
    """The sum of all steps, with everybody else's turn in between."""
    found = 0
    for count in steps:
        found += count
        await asyncio.sleep(0)
    return found


class Reconsideration:
    """Judges flows that exist by policy that is new; one caller at a time."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._turn = asyncio.Lock()

    async def run(self, choice: Established, outcome: Outcome | None) -> tuple[int, str | None]:
        """How many flows were forgotten, and why others were not judged although that was asked for.

        `outcome`: what became of the new policy; None: nothing yet.
        """
        if choice is Established.KEEP:
            return 0, None
        if outcome is None:
            return 0, "the change is not enforced yet; repeat the command when it is"
        if outcome.failed:
            return 0, f"not all of the change is enforced ({', '.join(outcome.failed)}); repeat the command when it is"
        status = self._driver.status()
        refused = [one.interface for one in status if one.refused]
        because = f"the policy of {', '.join(refused)} is refused" if refused else None
        async with self._turn:
            forgotten, problem = await self._walk(choice, {one.interface for one in status if not one.refused})
        return forgotten, problem or because

    async def _walk(self, choice: Established, interfaces: Collection[str]) -> tuple[int, str | None]:
        forgotten = 0
        try:
            for count in self._driver.reconsider(choice, interfaces):
                forgotten += count
                await asyncio.sleep(0)
        except KernelError as error:
            return forgotten, str(error)
        return forgotten, None
