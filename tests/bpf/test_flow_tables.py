"""The connection table as the agent uses it: what it stores of connections that exist, and what it forgets."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tortie.dataplane.driver import Established
from tortie.dataplane.ebpf import flows as module
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.reconsider import reconsider
from tortie.dataplane.ebpf.takeover import of_others
from tortie.kernel import bpf
from tortie.model.conntrack import Flow, FlowState, TrackingSettings
from tortie.model.desired import DesiredState, EndpointState, HostAddresses
from tortie.model.endpoint import Interface
from tortie.model.packet import TCP

pytestmark = pytest.mark.root

ENDPOINT = EndpointState(interface=Interface(name="eth0", index=2), endpoint="hep")
ESTABLISHED = Flow((4, TCP, 1, 40_000, 2, 80), 0, False, "", 0.0, FlowState.ESTABLISHED, is_answered=True)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FlowTables]:
    bpffs = bpf.durable_bpffs(tmp_path / "bpf")
    made = FlowTables(bpffs / "host")
    made.open(TrackingSettings(size=8192))
    try:
        yield made
    finally:
        made.remove()
        bpf.unmount_bpffs(tmp_path / "bpf")


def numbered(count: int) -> list[Flow]:
    return [replace(ESTABLISHED, key=(4, TCP, 1, port, 2, 80)) for port in range(count)]


def test_a_table_that_goes_while_flows_are_reconsidered_ends_that_quietly(table: FlowTables) -> None:
    table.store(numbered(5000))
    steps = reconsider(table, Established.KILL, DesiredState(endpoints={"eth0": ENDPOINT}))
    assert next(steps) == 500
    table.remove()
    assert set(steps) == {0}


def test_flows_that_the_host_passes_on_meet_no_normal_policy_when_they_are_reconsidered(table: FlowTables) -> None:
    forwarding = replace(ENDPOINT, interface=replace(ENDPOINT.interface, forwards=frozenset({4})))
    mine, near, far = 0x0A000001, 0x0A000002, 0x0A000003
    own, passed_on = (replace(ESTABLISHED, key=(4, TCP, one, 1, far, 80)) for one in (mine, near))
    inbound = [replace(one, opener=1) for one in (own, passed_on)]
    outbound = [replace(one, key=(*one.key[:5], 81), is_outbound=True) for one in (own, passed_on)]
    table.store(inbound + outbound)
    enforced = DesiredState(endpoints={"eth0": forwarding}, addresses=HostAddresses(frozenset({(4, mine)})))
    assert sum(reconsider(table, Established.RECHECK, enforced)) == 2
    assert {one.flow.key[2] for one in table.flows()} == {near}


@pytest.mark.parametrize("state", [FlowState.CLOSED, FlowState.RESET])
def test_a_connection_that_exists_is_stored_over_one_that_closed_on_its_ports(
    table: FlowTables, state: FlowState
) -> None:
    table.store([replace(ESTABLISHED, state=state)])
    assert table.store([ESTABLISHED]) == 1
    assert FlowState.ESTABLISHED in [one.flow.state for one in table.flows()]
    assert table.store([ESTABLISHED, replace(ESTABLISHED, state=state)]) == 0


@pytest.mark.parametrize("state", [FlowState.OPENING, FlowState.ESTABLISHED])
def test_a_connection_that_exists_is_stored_over_one_that_expired_on_its_ports(
    table: FlowTables, monkeypatch: pytest.MonkeyPatch, state: FlowState
) -> None:
    table.store([replace(ESTABLISHED, state=state)])
    later = module._now() + (1 << 24)
    monkeypatch.setattr(module, "_now", lambda: later)
    assert list(table.flows()) == []
    assert table.store([replace(ESTABLISHED, state=FlowState.OPENING)]) == 1
    assert [one.flow.state for one in table.flows()] == [FlowState.OPENING]


def test_flows_of_policed_addresses_are_no_others() -> None:
    flows = [replace(ESTABLISHED, opener=opener, is_outbound=out) for opener in (0, 1) for out in (False, True)]
    assert list(of_others(flows, {(4, 1)})) == [one for one in flows if (one.opener == 0) is not one.is_outbound]
    assert list(of_others(flows, {(6, 1)})) == flows
