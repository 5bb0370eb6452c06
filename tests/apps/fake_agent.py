"""An agent in a process of its own, real but for its two ends: an evaluating driver and two invented interfaces.

python fake_agent.py NODE DATASTORE SOCKET [DELAY_S]
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

from apps.reference_driver import ReferenceDriver
from tortie.apps.agent import main
from tortie.apps.agent.settings import AgentSettings
from tortie.apps.failure import Failure
from tortie.apps.told import told
from tortie.dataplane.chosen import Look, Offer
from tortie.dataplane.driver import ApplyReport, KernelTracked
from tortie.model.address import parse_net
from tortie.model.endpoint import Interface

ETH0 = Interface(name="eth0", index=2, addresses=frozenset({parse_net("10.0.0.5", strict=True)}))
LOOPBACK = Interface(name="lo", index=1, is_loopback=True)


class StillInterfaces:
    """Interfaces that never change."""

    def read(self) -> Sequence[Interface]:
        return [LOOPBACK, ETH0]

    def toward(self, version: int, address: int) -> str | None:
        return "eth0"

    def changes(self) -> AsyncGenerator[None, None]:
        return self._never()

    async def _never(self) -> AsyncGenerator[None, None]:
        await asyncio.Event().wait()
        yield


class StillTimeouts:
    """A kernel whose connection tracking has one timeout."""

    def read(self) -> Mapping[str, float]:
        return {"nf_conntrack_tcp_timeout_time_wait": 120.0}


class SlowDriver(KernelTracked, ReferenceDriver):
    """Takes its time to apply."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self._delay_s = delay_s

    def apply(self) -> ApplyReport:
        time.sleep(self._delay_s)
        return super().apply()


if __name__ == "__main__":
    node, datastore, socket = sys.argv[1:4]
    delay_s = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    settings = AgentSettings(node=node, datastore=Path(datastore), socket=Path(socket))
    try:
        levels = told(os.environ, Path(os.environ.get("TORTIE_FELIX_CONFIG", settings.felix_config)))
        offer = Offer(
            name="reference",
            open=lambda: SlowDriver(delay_s),
            look=lambda: Look((), "a test's own"),
            left=lambda: (),
            has_traces=lambda: False,
        )
        main.run(settings, levels, [offer], StillInterfaces(), StillTimeouts())
    except Failure as failure:
        sys.exit(failure.message)
