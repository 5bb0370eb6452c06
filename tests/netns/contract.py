"""The drivers that are held to the contract of those behind the interface, and what a test needs to run one.

A driver is made in the namespace of the host under test, and every call of it runs there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from netns import Namespace
from tortie.dataplane.driver import ApplyReport, Driver
from tortie.dataplane.nftables.driver import NftablesDriver
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, PortSet

DRIVERS = [pytest.param(NftablesDriver, id="nftables")]
"""Drivers that use netfilter's hooks and its connection tracking."""
MakeDriver = Callable[[], Driver]
NO_FAILSAFES = Failsafes((), ())


class InNamespace:
    """A driver whose every call is made in a namespace."""

    def __init__(self, namespace: Namespace, make: MakeDriver) -> None:
        self._namespace = namespace
        with namespace.entered():
            self._driver = make()

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, *arguments: object) -> Any:
        with self._namespace.entered():
            return getattr(self._driver, name)(*arguments)

    def enforce(self, delta: Delta) -> ApplyReport:
        """Take the change and apply it; nothing may fail or be refused."""
        self._call("take", delta)
        report: ApplyReport = self._call("apply")
        assert not report.failed and not report.refused, report
        return report


@contextmanager
def running(namespace: Namespace, make: MakeDriver) -> Iterator[InNamespace]:
    """A driver in the namespace; what it made is removed behind."""
    driver = InNamespace(namespace, make)
    try:
        yield driver
    finally:
        driver.cleanup()


def delta_of(
    endpoints: Mapping[str, EndpointState | None], sets: Mapping[str, IPSet] | None = None, **others: Any
) -> Delta:
    """A first delta: everything in it is new."""
    changes = {set_id: all_new(members) for set_id, members in (sets or {}).items()}
    return Delta(endpoints=endpoints, sets=changes, **others)


def all_new(members: IPSet) -> SetChange:
    """The change that brings a set."""
    assert isinstance(members, AddressSet | PortSet)
    return SetChange(frozenset(members.members), frozenset(), is_new=True, has_ports=isinstance(members, PortSet))
