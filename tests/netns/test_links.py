"""VLAN interfaces and bonds, with real packets. Where the kernel has neither, tests/kernels runs this in guests.

host ens4 ── eth0 peer       bond0 = ens4 + ens5 ══ eth0 + eth1 = bond0
     │         │
ens4.100 ── eth0.100
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

from frames import frame
from lockdown import LocalHost, allow, connects, deny, endpoint, local_host, packet_socket, policy, tcp_server, until
from netns import namespace
from tortie.dataplane.driver import Acceleration, InterfaceStatus
from tortie.model.address import parse_address
from tortie.model.packet import UDP, Packet

pytestmark = pytest.mark.root

OPEN, CLOSED = 443, 80
WEB = policy("web", ingress=[allow("TCP", OPEN)])
BONDED = "10.97.0.1"
VLAN = "10.100.0.1"
QUICK_S = 0.4
"""How long silence is waited for, in an emulated guest."""


@cache
def has(kind: str) -> bool:
    """Whether the kernel has links of that kind."""
    words = {"vlan": ("link", "first", "name", "tried", "type", "vlan", "id", "1"), "bond": ("tried", "type", "bond")}
    with namespace("links") as there:
        there.run("ip", "link", "add", "first", "type", "veth", "peer", "name", "second")
        return there.popen("ip", "link", "add", *words[kind], stderr=subprocess.DEVNULL).wait(10) == 0


def require(kind: str) -> None:
    """Skip where the kernel has none."""
    if not has(kind):
        pytest.skip(f"Linux {os.uname().release} was built without {kind} links: tests/kernels has others")


def judged(site: LocalHost, address: str) -> tuple[bool, bool]:
    """Whether the peer reaches the port that WEB allows, and the other one."""
    return connects(site.peer, address, OPEN), connects(site.peer, address, CLOSED, patience_s=QUICK_S)


def status_of(site: LocalHost, interface: str) -> InterfaceStatus:
    """What the driver says of it: in XDP, or why not."""
    (found,) = (one for one in site.driver.status() if one.interface == interface)
    assert found.is_enforced
    if found.acceleration is Acceleration.TC:
        assert len(found.reason.split()) > 5
    print(f"{os.uname().release} {interface}: {found.acceleration.value}, {found.reason}")
    return found


@contextmanager
def with_vlan() -> Iterator[LocalHost]:
    """Each end has a VLAN interface of id 100 beside what arrives untagged."""
    require("vlan")
    with local_host() as site, tcp_server(site.host, OPEN, CLOSED):
        for end, address in ((site.host, VLAN), (site.peer, "10.100.0.2")):
            link = f"{end.interface}.100"
            end.run("ip", "link", "add", "link", end.interface, "name", link, "type", "vlan", "id", "100")
            end.run("ip", "address", "add", f"{address}/24", "dev", link)
            end.run("ip", "link", "set", link, "up")
        yield site


@contextmanager
def with_bonds() -> Iterator[LocalHost]:
    """Two ways between two bonds, of which one is used and the other waits."""
    require("bond")
    with local_host(host_addresses=(), peer_addresses=()) as site, tcp_server(site.host, OPEN, CLOSED):
        site.host.run("ip", "link", "add", "ens5", "type", "veth", "peer", "name", "eth1", "netns", site.peer.name)
        for end, links, address in ((site.host, ("ens4", "ens5"), BONDED), (site.peer, ("eth0", "eth1"), "10.97.0.2")):
            end.run("ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50")
            for link in links:
                end.run("ip", "link", "set", link, "down")
                end.run("ip", "link", "set", link, "master", "bond0")
            end.run("ip", "address", "add", f"{address}/24", "dev", "bond0")
            end.run("ip", "link", "set", "bond0", "up")
        until(lambda: connects(site.peer, BONDED, CLOSED), 20)
        yield site


def test_t_att_5_a_vlan_interface_has_policy_of_its_own_and_what_is_untagged_is_not_its() -> None:
    with with_vlan() as site:
        assert judged(site, VLAN) == judged(site, site.host.address) == (True, True)
        site.program(endpoint("ens4.100"), WEB)
        assert status_of(site, "ens4.100").acceleration is Acceleration.TC  # no driver of VLAN devices has native XDP
        assert judged(site, VLAN) == (True, False)
        assert judged(site, site.host.address) == (True, True)


def test_t_att_5_the_parent_leaves_to_a_vlan_interface_what_that_takes_and_judges_other_tags() -> None:
    with with_vlan() as site, packet_socket(site.peer) as wire:
        site.program(endpoint("ens4"), policy("web", ingress=[allow("TCP", OPEN), deny("UDP", 9)]))
        found = status_of(site, "ens4")
        assert (found.acceleration, "VLAN" in found.reason) == (Acceleration.TC, True)  # XDP would not see the tags
        assert judged(site, VLAN) == (True, True)
        assert judged(site, site.host.address) == (True, False)
        here, there = (parse_address(one)[1] for one in (site.host.address, site.peer.address))
        datagram = Packet(version=4, protocol=UDP, source=there, destination=here, source_port=9, destination_port=9)
        before = site.counted()
        for vlans in ((), (0,), (200,), (200, 300), (100,)):
            made = frame(datagram, vlans=vlans)
            wire.send(bytes.fromhex(site.host.mac.replace(":", "")) + made[6:])
        until(lambda: site.counted().get("ingress web/1", 0) - before.get("ingress web/1", 0) == 4, 5)
        until(lambda: site.counted()["ingress vlan"] > before["ingress vlan"], 5)
        site.host.run("ip", "link", "delete", "ens4.100")
        site.program()
        assert "VLAN" not in status_of(site, "ens4").reason


def test_t_att_5_both_are_judged_where_both_have_an_endpoint() -> None:
    with with_vlan() as site:
        site.program(endpoint("ens4.100"), endpoint("ens4"), WEB)
        assert judged(site, VLAN) == judged(site, site.host.address) == (True, False)
        site.program(gone=[endpoint("ens4")])
        assert judged(site, VLAN) == (True, False)
        assert judged(site, site.host.address) == (True, True)


def test_a_bond_is_enforced_whichever_link_it_uses() -> None:
    with with_bonds() as site:
        site.program(endpoint("bond0"), WEB)
        status_of(site, "bond0")
        assert judged(site, BONDED) == (True, False)
        site.peer.run("ip", "link", "set", "eth0", "down")
        until(lambda: connects(site.peer, BONDED, OPEN), 20)
        assert judged(site, BONDED) == (True, False)
        assert site.resync().repaired == ()


def test_links_of_a_bond_are_enforced_with_and_without_the_bond_itself() -> None:
    with with_bonds() as site:
        links = [endpoint("ens4"), endpoint("ens5")]
        site.program(*links, WEB)
        for name in ("ens4", "ens5"):
            status_of(site, name)
        assert judged(site, BONDED) == (True, False)
        site.program(endpoint("bond0"))
        assert status_of(site, "bond0").acceleration is Acceleration.TC  # its links have programs of their own
        assert judged(site, BONDED) == (True, False)
        site.program(gone=links)
        assert judged(site, BONDED) == (True, False)
