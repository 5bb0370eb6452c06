import asyncio
import json
import select
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from netns import Namespace, namespace
from tortie.kernel import netlink
from tortie.kernel.errors import KernelError


def listed(**changes: Any) -> dict[str, Any]:
    link = {"ifindex": 2, "ifname": "eth0", "flags": ["BROADCAST", "UP", "LOWER_UP"], "mtu": 1500, "addr_info": []}
    return link | changes


def turn_on(one: Namespace, setting: str) -> None:
    with one.entered():
        Path("/proc/sys/net", setting).write_text("1")


def decoded(*links: dict[str, Any]) -> list[netlink.LinkState]:
    return netlink.decode(json.dumps(links).encode())


def test_a_vlan_names_its_id_and_what_it_stands_on() -> None:
    vlan = listed(
        ifindex=5, ifname="eth0.7", link="eth0", linkinfo={"info_kind": "vlan", "info_data": {"id": 7, "flags": []}}
    )
    parent, child = decoded(vlan, listed())
    assert (child.kind, child.vlan_id, child.parent_index) == ("vlan", 7, parent.index)
    assert (parent.kind, parent.vlan_id, parent.parent_index) == ("", None, None)


def test_a_parent_in_another_namespace_has_no_index_here() -> None:
    (child,) = decoded(listed(link_index=9, link_netnsid=0, linkinfo={"info_kind": "macvlan", "info_data": {}}))
    assert child.parent_index is None


def test_a_port_of_a_bridge_names_it() -> None:
    _, port = decoded(listed(ifindex=1, ifname="br0"), listed(master="br0"))
    assert port.master_index == 1


@pytest.mark.parametrize(
    ("address", "broadcasts"),
    [
        ({"local": "10.1.2.3", "prefixlen": 24}, {"10.1.2.255"}),
        ({"local": "10.1.2.3", "prefixlen": 30, "broadcast": "10.1.2.3"}, {"10.1.2.3"}),
        ({"local": "10.1.2.3", "prefixlen": 24, "broadcast": "10.1.2.9"}, {"10.1.2.9", "10.1.2.255"}),
        ({"local": "10.1.2.3", "prefixlen": 31}, set()),
        ({"local": "10.1.2.3", "prefixlen": 32}, set()),
        ({"local": "10.1.2.3", "prefixlen": 32, "broadcast": "10.1.2.9"}, {"10.1.2.9"}),
        ({"local": "10.1.2.3", "address": "10.7.0.1", "prefixlen": 16}, {"10.7.255.255"}),
        ({"local": "10.1.2.3", "prefixlen": 0}, {"255.255.255.255"}),
        ({"family": "inet6", "local": "fd99::1", "prefixlen": 16}, set()),
    ],
)
def test_an_address_brings_the_broadcasts_that_the_kernel_takes_for_such(
    address: dict[str, Any], broadcasts: set[str]
) -> None:
    (found,) = decoded(listed(addr_info=[{"family": "inet"} | address]))
    assert frozenset(int(ip_address(text)) for text in broadcasts) == found.broadcasts


@pytest.mark.parametrize("listing", [b"", b"no json", b'[{"ifindex": 1}]', b"[3]", b'[{"ifindex":1,"ifname":"a"}]'])
def test_a_listing_of_an_unexpected_form_is_a_kernel_error(listing: bytes) -> None:
    with pytest.raises(KernelError, match=r"read ip's listing: EBADMSG"):
        netlink.decode(listing)


@pytest.mark.root
def test_the_snapshot_is_of_the_threads_namespace(pair: tuple[Namespace, Namespace]) -> None:
    host, _ = pair
    with host.entered():
        states = {state.name: state for state in netlink.read_interfaces()}
        assert netlink.interface_name(host.ifindex) == "ens4"
    assert set(states) == {"lo", "ens4"}
    assert states["lo"].is_loopback
    assert (4, int(ip_address("127.0.0.1")), 8) in states["lo"].addresses
    found = states["ens4"]
    assert (found.kind, found.index, found.is_up, found.has_carrier) == ("veth", host.ifindex, True, True)
    assert (found.is_loopback, found.mtu, found.vlan_id, found.parent_index) == (False, 1500, None, None)
    assert found.addresses >= {(4, int(ip_address("10.99.0.1")), 24), (6, int(ip_address("fd99::1")), 64)}


@pytest.mark.root
def test_an_interface_that_is_down_says_so(pair: tuple[Namespace, Namespace]) -> None:
    host, peer = pair
    host.run("ip", "link", "set", "ens4", "down")
    with host.entered(), peer.entered():
        (found,) = (state for state in netlink.read_interfaces() if state.name == "eth0")
    assert (found.is_up, found.has_carrier) == (True, False)


@pytest.mark.root
def test_broadcasts_are_those_in_the_kernels_own_table() -> None:
    with namespace() as one:
        one.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0")
        one.run("ip", "link", "set", "v0", "up")
        one.run("ip", "link", "set", "w0", "up")
        for address in (
            ("10.1.0.1/24",),
            ("10.2.0.1/24", "broadcast", "10.2.0.77"),
            ("10.3.0.1", "peer", "10.4.0.2/24"),
            ("10.5.0.1/31",),
            ("10.6.0.1/16", "broadcast", "+"),
        ):
            one.run("ip", "address", "add", *address, "dev", "v0")
        routes = json.loads(one.run("ip", "-j", "route", "show", "table", "local", "type", "broadcast"))
        with one.entered():
            found = {state.name: state.broadcasts for state in netlink.read_interfaces()}
    assert {(route["dev"], int(ip_address(route["dst"]))) for route in routes} == {
        (name, address) for name, addresses in found.items() for address in addresses
    }
    assert len(found["v0"]) == 5


@pytest.mark.root
def test_forwarding_is_told_for_each_interface_and_version_of_the_threads_namespace() -> None:
    def read(one: Namespace) -> dict[str, frozenset[int]]:
        with one.entered():
            return {state.name: state.forwards for state in netlink.read_interfaces() if state.name != "w0"}

    with namespace() as one, namespace() as two:
        one.run("ip", "link", "add", "v0.7", "type", "veth", "peer", "name", "w0")
        assert read(one) == {"lo": frozenset(), "v0.7": frozenset()}
        turn_on(one, "ipv4/conf/v0.7/forwarding")
        assert read(one) == {"lo": frozenset(), "v0.7": frozenset({4})}
        turn_on(one, "ipv6/conf/all/forwarding")
        assert read(one) == {"lo": frozenset({6}), "v0.7": frozenset({4, 6})}
        assert read(two) == {"lo": frozenset()}


@pytest.mark.root
@pytest.mark.parametrize("name", ["ipv4/conf/lo", "ipv6/conf/lo", "ipv4/conf/all", "ipv6/conf/all"])
def test_a_change_of_forwarding_wakes_the_watch(name: str) -> None:
    with namespace() as one, one.entered(), netlink.InterfaceWatch() as watch:
        assert watch.drain() is False
        turn_on(one, f"{name}/forwarding")
        assert watch.drain() is True


@pytest.mark.root
@pytest.mark.parametrize(
    "change",
    [
        "link add v1 type veth peer name v2",
        "address add 10.1.1.1/24 dev v0",
        "address delete 10.1.1.9/24 dev v0",
        "-6 address add fd11::1/64 dev v0 nodad",
        "link set v0 up",
        "link set v0 name renamed",
        "link delete v0",
    ],
)
def test_each_change_of_a_link_or_address_wakes_the_watch_once(change: str) -> None:
    with namespace() as one:
        one.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0")
        one.run("ip", "address", "add", "10.1.1.9/24", "dev", "v0")
        with one.entered(), netlink.InterfaceWatch() as watch:
            assert watch.drain() is False
            one.run("ip", *change.split())
            assert select.select([watch.fd], [], [], 2)[0] == [watch.fd]
            assert watch.drain() is True
            assert watch.drain() is False


@pytest.mark.root
def test_other_namespaces_do_not_wake_the_watch() -> None:
    with namespace() as one, namespace() as two:
        with one.entered():
            watch = netlink.InterfaceWatch()
        with watch:
            two.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0")
            assert watch.drain() is False
            one.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0")
            assert watch.drain() is True


@pytest.mark.root
def test_more_events_than_the_socket_holds_wake_the_watch_and_leave_it_alive() -> None:
    with namespace() as one, one.entered(), netlink.InterfaceWatch() as watch:
        batch = "".join(f"link add v{n} type veth peer name w{n}\n" for n in range(300))
        one.run("ip", "-batch", "-", input=batch)
        assert watch.drain() is True
        one.run("ip", "link", "delete", "v0")
        assert watch.drain() is True


@pytest.mark.root
def test_the_watch_is_an_asynchronous_iterator() -> None:
    async def first_change(one: Namespace) -> set[str]:
        with netlink.InterfaceWatch() as watch:
            asyncio.get_running_loop().call_later(
                0.05, lambda: one.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0")
            )
            async for _ in watch:
                return {state.name for state in netlink.read_interfaces()}
        return set()

    with namespace() as one, one.entered():
        assert asyncio.run(asyncio.wait_for(first_change(one), 5)) == {"lo", "v0", "w0"}


def test_without_ip_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(KernelError, match=r"run ip: ENOENT .*install the package iproute2"):
        netlink.read_interfaces()


@pytest.mark.root
def test_the_routes_tell_the_interface_towards_an_address(pair: tuple[Namespace, Namespace]) -> None:
    host, _ = pair
    with host.entered():
        assert netlink.interface_toward("10.99.0.2") == host.interface
        assert netlink.interface_toward("fd99::2") == host.interface
        assert netlink.interface_toward("192.0.2.1") is None
