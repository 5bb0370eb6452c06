"""The pump with the kernel's own interfaces: endpoints follow interfaces and addresses that come and go."""

import asyncio
from collections.abc import Callable

import pytest

from apps.documents import PAIR
from apps.reference_driver import ReferenceDriver
from netns import Namespace, veth_pair
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.apps.agent.kerneltimeouts import KernelTimeouts
from tortie.apps.agent.pump import Pump
from tortie.apps.requests import Verb
from tortie.apps.verbs import service
from tortie.calc import Engine
from tortie.store.memory import MemoryStore

pytestmark = pytest.mark.root


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.005)


async def follow(host: Namespace) -> None:
    store, driver = MemoryStore(), ReferenceDriver()
    by_address = PAIR.replace("interfaceName: eth0, ", "")
    await service.write(store, Verb.APPLY, [{"source": "t", "text": by_address}])
    pump = Pump(store, Engine("node2"), driver, KernelInterfaces(), KernelTimeouts())
    running = asyncio.create_task(pump.run())
    try:
        await until(lambda: "apply" in driver.log)
        assert driver.enforced == {}
        host.run("ip", "address", "add", "10.0.0.5/24", "dev", host.interface)
        await until(lambda: host.interface in driver.enforced)
        host.run("ip", "address", "del", "10.0.0.5/24", "dev", host.interface)
        await until(lambda: not driver.enforced)
        host.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        host.run("ip", "address", "add", "10.0.0.5/32", "dev", "late0")
        await until(lambda: "late0" in driver.enforced)
        host.run("ip", "link", "del", "late0")
        await until(lambda: not driver.enforced)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_an_endpoint_follows_its_address_from_interface_to_interface() -> None:
    with veth_pair() as (host, _), host.entered():
        asyncio.run(follow(host))
