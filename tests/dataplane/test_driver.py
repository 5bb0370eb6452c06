"""The eBPF driver in namespaces of its own: real packets, and what happens when others, or death, interfere."""

import errno
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from driver_lab import (
    ALLOW_BOTH,
    DENY,
    FRIENDS,
    FRIENDS_ONLY,
    PORT,
    arrives,
    connects,
    driven,
    endpoint,
    is_silent,
    listening,
    make_kernel_track,
    placed,
    policy,
    refused,
    rule,
    tracked,
)

from netns import Namespace, veth_pair
from tortie.dataplane.driver import Acceleration
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.hooks import TC_PRIORITY, Hooks
from tortie.dataplane.ebpf.lanes import Lanes
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError
from tortie.model.address import Net, parse_address, parse_net
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.matches import PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import TCP, Direction, Packet, Side
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Verdict

pytestmark = pytest.mark.root


def test_allowed_packets_are_untracked_and_denied_ones_dropped_in_native_xdp(bpffs: Path) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver, listening(host):
        make_kernel_track(host)
        assert connects(peer, host)
        assert tracked(host) > 0
        host.run("conntrack", "-F")

        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        assert driver.apply().changed == (host.interface,)
        (status,) = driver.status()
        assert (status.acceleration, status.is_enforced) == (Acceleration.XDP, True)
        assert "xdp" in host.link() and host.link()["xdp"]["prog"]["id"] == status.program_id
        assert connects(peer, host)
        assert tracked(host) == 0

        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}))
        driver.apply()
        assert is_silent(peer, host)
        rules, _ = driver.counters()
        denied = [
            count for count in rules if count.rule.policy.name == "redis" and count.direction is Direction.INGRESS
        ]
        assert sum(count.packets for count in denied) > 0

        driver.take(Delta(endpoints={host.interface: None}))
        driver.apply()
        assert "xdp" not in host.link()
        assert connects(peer, host)


def test_a_member_is_added_and_removed_in_place_without_a_new_program(bpffs: Path) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver, listening(host):
        other = Net(4, parse_address("10.99.0.77")[1], 32)
        friend = Net(4, parse_address(peer.address)[1], 32)
        new = SetChange(frozenset({other}), frozenset(), is_new=True)
        driver.take(Delta(endpoints={host.interface: endpoint(host, FRIENDS_ONLY)}, sets={FRIENDS.set_id: new}))
        driver.apply()
        assert is_silent(peer, host)
        before = driver._planes[host.interface].hooks
        assert before is not None
        program = before.installed_program(Direction.INGRESS)

        driver.take(Delta(sets={FRIENDS.set_id: SetChange(frozenset({friend}), frozenset())}))
        assert driver.apply().changed == (host.interface,)
        assert connects(peer, host)
        assert before.installed_program(Direction.INGRESS) == program

        driver.take(Delta(sets={FRIENDS.set_id: SetChange(frozenset(), frozenset({friend}))}))
        driver.apply()
        assert is_silent(peer, host)
        assert before.installed_program(Direction.INGRESS) == program


def kill(driver: EbpfDriver) -> None:
    """Close every descriptor, as the end of a process does."""
    for plane in driver._planes.values():
        for lane in plane.lanes.values():
            lane.close()
        if plane.hooks is not None:
            plane.hooks.close()
    driver._flows.close()


@pytest.mark.parametrize("is_to_xdp", [True, False])
def test_what_is_left_of_an_agent_whose_pins_are_not_whole_is_in_nobodys_way(bpffs: Path, is_to_xdp: bool) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        dead = EbpfDriver(bpffs)
        dead.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        dead.apply()
        kill(dead)
        (pin,) = bpffs.glob("netns-*/if*/slot")
        pin.unlink()
        state = placed(endpoint(host, DENY), is_to_xdp)
        driver.take(Delta(endpoints={host.interface: state}, failsafes=Failsafes()))
        driver.apply()
        (status,) = driver.status()
        assert status.acceleration is (Acceleration.XDP if is_to_xdp else Acceleration.TC)
        assert ("xdp" in host.link()) is is_to_xdp
        assert is_silent(peer, host)
        assert driver.resync().repaired == ()


def test_a_driver_that_died_leaves_enforcement_and_the_next_one_takes_it_over(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host):
        with host.entered():
            dead = EbpfDriver(bpffs)
            dead.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
            dead.apply()
            hooks = dead._planes[host.interface].hooks
            assert hooks is not None
            program = hooks.installed_program(Direction.INGRESS)
            kill(dead)
        assert is_silent(peer, host)
        with driven(host, bpffs) as driver:
            driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
            assert driver.apply().changed == ()
            taken = driver._planes[host.interface].hooks
            assert taken is not None
            assert taken.installed_program(Direction.INGRESS) == program
            assert is_silent(peer, host)
            rules, _ = driver.counters()
            assert sum(count.packets for count in rules) >= 2
            driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
            assert driver.apply().changed == (host.interface,)
            assert connects(peer, host)


def test_a_foreign_xdp_program_is_left_alone_and_tc_decides(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        with bpf.ObjectFile(OBJECTS / "root.bpf.o") as foreign:
            for name in foreign.program_names:
                foreign.set_autoload(name, name == "xdp_root")
            foreign.load()
            link = bpf.attach_xdp(foreign.program_fd("xdp_root"), host.ifindex)
            make_kernel_track(host)
            driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
            driver.apply()
            (status,) = driver.status()
            assert status.acceleration is Acceleration.TC
            assert "xdp_root" in status.reason
            assert connects(peer, host)
            assert tracked(host) == 0
            driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}))
            driver.apply()
            assert is_silent(peer, host)
            assert host.link()["xdp"]["prog"]["id"] == bpf.link_info(link).program_id
            os.close(link)
        driver.resync()
        driver.apply()
        (status,) = driver.status()
        assert status.acceleration is Acceleration.XDP
        assert is_silent(peer, host)


@pytest.mark.parametrize("has_xdp", [True, False])
def test_a_kernel_without_tcx_gets_clsact_filters_beside_those_of_others(bpffs: Path, has_xdp: bool) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        make_kernel_track(host)
        driver._programs.traits = replace(driver._programs.traits, has_tcx=False)
        host.run("tc", "qdisc", "add", "dev", host.interface, "clsact")
        foreign = ("tc", "filter", "add", "dev", host.interface, "ingress", "prio", "9", "protocol", "ip")
        host.run(*foreign, "u32", "match", "u32", "0", "0", "flowid", "1:1")
        occupied = None
        if not has_xdp:
            with bpf.ObjectFile(OBJECTS / "root.bpf.o") as other:
                for name in other.program_names:
                    other.set_autoload(name, name == "xdp_root")
                other.load()
                occupied = bpf.attach_xdp(other.program_fd("xdp_root"), host.ifindex)
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        assert driver.apply().failed == {}
        (status,) = driver.status()
        assert status.acceleration is (Acceleration.XDP if has_xdp else Acceleration.TC)
        filters = host.run("tc", "filter", "show", "dev", host.interface, "ingress")
        assert ("tc_mark" if has_xdp else "tc_root") in filters
        assert "u32" in filters
        assert connects(peer, host)
        assert tracked(host) == 0
        place = f"pref {TC_PRIORITY} bpf"
        host.run("tc", "filter", "delete", "dev", host.interface, "ingress", "pref", str(TC_PRIORITY))
        assert driver.resync().repaired
        assert place in host.run("tc", "filter", "show", "dev", host.interface, "ingress")
        driver.take(Delta(endpoints={host.interface: None}))
        driver.apply()
        filters = host.run("tc", "filter", "show", "dev", host.interface, "ingress")
        assert place not in filters and "u32" in filters
        if occupied is not None:
            os.close(occupied)


def test_what_others_remove_is_repaired_and_told(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        make_kernel_track(host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        driver.apply()
        assert driver.resync().repaired == ()
        host.run("nft", "delete", "table", "inet", "tortie")
        assert driver.resync().repaired == ("table inet tortie",)
        assert driver.resync().repaired == ()
        host.run("nft", "flush", "chain", "inet", "tortie", "ingress_mark")
        assert driver.resync().repaired == ("table inet tortie",)
        hooks = driver._planes[host.interface].hooks
        assert hooks is not None
        for name, hook in (("xdp", ""), ("tc", "ingress"), ("out", "egress")):
            if name in hooks._fds:
                bpf.detach(hooks._fds[name])
            else:  # a kernel without tcx
                host.run("tc", "filter", "delete", "dev", host.interface, hook, "pref", str(TC_PRIORITY))
        assert "xdp" not in host.link()
        assert len(driver.resync().repaired) >= 3
        assert "xdp" in host.link()
        assert connects(peer, host)
        assert tracked(host) == 0


def test_a_policy_that_cannot_be_enforced_is_refused_and_the_last_good_state_stays(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        good = endpoint(host, DENY)
        driver.take(Delta(endpoints={host.interface: good}, failsafes=Failsafes()))
        driver.apply()
        driver.take(Delta(endpoints={host.interface: refused(good)}))
        report = driver.apply()
        (why,) = report.refused[host.interface]
        assert "GlobalNetworkPolicy(early) (preDNAT): it matches HTTP" in why
        assert is_silent(peer, host)
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
        assert driver.apply().refused == {}
        assert connects(peer, host)


def test_the_last_good_state_keeps_sets_that_the_refused_policy_no_longer_names(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(peer), driven(host, bpffs) as driver:
        no_friends = policy((), (rule(Action.DENY, SetMatch(Side.DESTINATION, FRIENDS)),))
        good = endpoint(host, no_friends)
        members = frozenset({parse_net(f"{peer.address}/32", strict=True)})
        driver.take(
            Delta(
                endpoints={host.interface: good},
                sets={FRIENDS.set_id: SetChange(members, frozenset(), is_new=True)},
                failsafes=Failsafes(),
            )
        )
        driver.apply()
        assert is_silent(host, peer)
        driver.take(Delta(endpoints={host.interface: refused(good)}, sets={FRIENDS.set_id: None}))
        assert driver.apply().refused
        assert is_silent(host, peer)
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
        assert not driver.apply().refused
        assert FRIENDS.set_id not in driver._sets
        assert connects(host, peer)


def test_nets_that_join_a_set_reach_the_last_good_state(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        good = endpoint(host, policy((rule(Action.DENY, SetMatch(Side.SOURCE, FRIENDS)),)))
        empty = SetChange(frozenset(), frozenset(), is_new=True)
        driver.take(Delta(endpoints={host.interface: good}, sets={FRIENDS.set_id: empty}, failsafes=Failsafes()))
        driver.apply()
        driver.take(Delta(endpoints={host.interface: refused(good)}))
        assert driver.apply().refused
        assert connects(peer, host)
        net = parse_net(str(peer.addresses[0].network), strict=True)
        driver.take(Delta(sets={FRIENDS.set_id: SetChange(frozenset({net}), frozenset())}))
        assert driver.apply().refused
        assert is_silent(peer, host)


def test_an_interface_that_is_replaced_while_policy_is_refused_gets_the_last_good_state(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        good = endpoint(host, DENY)
        driver.take(Delta(endpoints={host.interface: good}, failsafes=Failsafes()))
        driver.apply()
        bad = refused(good)
        driver.take(Delta(endpoints={host.interface: bad}))
        driver.apply()
        host.run("ip", "link", "delete", host.interface)
        renew = ("ip", "link", "add", host.interface, "type", "veth", "peer", "name", "eth0", "netns", peer.name)
        subprocess.run(["nsenter", f"--net={host.path}", *renew], check=True)
        for end in (host, peer):
            end.run("ip", "address", "add", str(end.addresses[0]), "dev", end.interface)
            end.run("ip", "link", "set", end.interface, "up")
        assert connects(peer, host)
        moved = replace(bad, interface=replace(bad.interface, index=host.ifindex))
        driver.take(Delta(endpoints={host.interface: moved}))
        assert driver.apply().refused
        assert is_silent(peer, host)


def test_what_an_unforeseen_failure_left_undone_is_done_by_the_next_apply(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room for a name")

    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        with monkeypatch.context() as broken:
            broken.setattr(Hooks, "_pin", fail)
            with pytest.raises(OSError, match="no room"):
                driver.apply()
        assert driver.apply().changed == (host.interface,)
        assert is_silent(peer, host)


def test_a_table_that_could_not_be_checked_once_is_no_failure_for_ever(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
        driver.apply()
        with monkeypatch.context() as away:
            away.setenv("PATH", "")
            assert "nft is not installed" in driver.resync().failed["table inet tortie"]
        assert driver.resync().failed == {}


def test_a_table_that_others_removed_comes_back_with_the_members_of_now(bpffs: Path) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver:
        target = Net(4, parse_address(peer.address)[1], 32)
        other = Net(4, parse_address("10.99.0.77")[1], 32)
        closed = policy((), (Rule(Action.DENY, (SetMatch(Side.DESTINATION, FRIENDS),)),))
        new = SetChange(frozenset({other}), frozenset(), is_new=True)
        driver.take(Delta(endpoints={host.interface: endpoint(host, closed)}, sets={FRIENDS.set_id: new}))
        driver.apply()
        driver.take(Delta(sets={FRIENDS.set_id: SetChange(frozenset({target}), frozenset({other}))}))
        driver.apply()
        host.run("nft", "delete", "table", "inet", "tortie")
        assert driver.resync().repaired == ("table inet tortie",)
        elements = host.run("nft", "list", "table", "inet", "tortie")
        assert peer.address in elements
        assert "10.99.0.77" not in elements
        assert driver.resync().repaired == ()
        assert driver.resync().failed == {}


def test_a_member_that_came_when_nft_could_not_be_started_is_in_the_table_then(
    bpffs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with veth_pair() as (host, peer), driven(host, bpffs) as driver:
        target = Net(4, parse_address(peer.address)[1], 32)
        closed = policy((), (Rule(Action.DENY, (SetMatch(Side.DESTINATION, FRIENDS),)),))
        new = SetChange(frozenset(), frozenset(), is_new=True)
        driver.take(Delta(endpoints={host.interface: endpoint(host, closed)}, sets={FRIENDS.set_id: new}))
        assert not driver.apply().failed
        with monkeypatch.context() as without:
            without.setattr(os, "memfd_create", refuse)
            driver.take(Delta(sets={FRIENDS.set_id: SetChange(frozenset({target}), frozenset())}))
            assert "Too many open files" in driver.apply().failed["table inet tortie"]
        assert not driver.apply().failed
        assert peer.address in host.run("nft", "list", "table", "inet", "tortie")
        assert not driver.resync().repaired


def test_a_restart_while_policy_is_refused_keeps_ingress_and_egress_as_they_were(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host):
        mirrored = policy((rule(Action.DENY),), (rule(Action.DENY, side=Side.SOURCE),))
        with host.entered():
            dead = EbpfDriver(bpffs)
            dead.take(Delta(endpoints={host.interface: endpoint(host, mirrored)}, failsafes=Failsafes()))
            dead.apply()
        before = host.run("nft", "list", "table", "inet", "tortie")
        with driven(host, bpffs) as driver:
            bad = refused(endpoint(host, mirrored))
            driver.take(Delta(endpoints={host.interface: bad}, failsafes=Failsafes()))
            assert host.interface in driver.apply().refused
            assert driver.resync().repaired == ()
            assert before == host.run("nft", "list", "table", "inet", "tortie")
            assert is_silent(peer, host)
            (status,) = driver.status()
            assert (status.is_enforced, status.acceleration) == (True, Acceleration.XDP)
            driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
            assert driver.apply().refused == {}
            assert connects(peer, host)


def test_a_renamed_interface_keeps_its_programs_and_counts(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        assert is_silent(peer, host)
        program = host.link()["xdp"]["prog"]["id"]
        host.run("ip", "link", "set", host.interface, "down")
        host.run("ip", "link", "set", host.interface, "name", "aaa0")
        host.run("ip", "link", "set", "aaa0", "up")
        old, host.interface = host.interface, "aaa0"
        driver.take(Delta(endpoints={old: None, "aaa0": endpoint(host, DENY)}))
        driver.apply()
        assert program == host.link()["xdp"]["prog"]["id"]
        assert is_silent(peer, host)
        rules, _ = driver.counters()
        assert {"aaa0"} == {count.interface for count in rules if count.direction is Direction.INGRESS}


def second_interface(host: Namespace, name: str) -> EndpointState:
    """Another interface of the host, with the endpoint's policy."""
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", "far0")
    host.run("ip", "link", "set", name, "up")
    return replace(endpoint(host, DENY), interface=Interface(name=name, index=Namespace(host.name, name).ifindex))


def renamed(state: EndpointState, name: str) -> EndpointState:
    """The same interface under another name."""
    return replace(state, interface=replace(state.interface, name=name))


def test_interfaces_that_exchange_names_keep_their_programs(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        one, other = endpoint(host, DENY), second_interface(host, "zzz0")
        driver.take(Delta(endpoints={host.interface: one, "zzz0": other}, failsafes=Failsafes()))
        driver.apply()
        before = [bpf.xdp_query(state.interface.index) for state in (one, other)]
        driver.take(Delta(endpoints={host.interface: renamed(other, host.interface), "zzz0": renamed(one, "zzz0")}))
        assert driver.apply().failed == {}
        assert before == [bpf.xdp_query(state.interface.index) for state in (one, other)]
        assert driver.resync().repaired == ()


def test_an_interface_that_gets_the_name_of_another_one_keeps_its_programs(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        one, other = endpoint(host, DENY), second_interface(host, "aaa0")
        driver.take(Delta(endpoints={host.interface: one, "aaa0": other}, failsafes=Failsafes()))
        driver.apply()
        before = bpf.xdp_query(host.ifindex)
        driver.take(Delta(endpoints={host.interface: None, "aaa0": renamed(one, "aaa0")}))
        driver.apply()
        assert before == bpf.xdp_query(one.interface.index)
        assert bpf.xdp_query(other.interface.index)[0] == 0
        assert is_silent(peer, host)
        assert driver.resync().repaired == ()


def test_an_interface_that_went_and_came_again_has_its_pins_under_its_new_index(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        host.run("ip", "link", "delete", host.interface)
        host.run("ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
        host.run("ip", "link", "add", host.interface, "type", "veth", "peer", "name", "peer0")
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}))
        assert driver.apply().failed == {}
        assert "xdp" in host.link()
        assert {path.name for path in bpffs.glob("netns-*/if*")} == {f"if{host.ifindex}"}
        assert driver.resync().repaired == ()


def test_a_lost_bpffs_is_mounted_again_with_its_pins(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        subprocess.run(["umount", "--lazy", bpffs], check=True)
        assert is_silent(peer, host)
        assert driver.resync().repaired
        filters = set() if driver._traits.has_tcx else {"out", "tc"}  # need no pins
        expected = {"lane-0", "out", "out_lane-1", "out_slot", "slot", "tc", "xdp"} - filters
        assert {path.name for path in bpffs.glob("netns-*/if*/*")} == expected
        assert is_silent(peer, host)
        assert driver.resync().repaired == ()


def sends(client: socket.socket, server: socket.socket) -> bool:
    """Whether a datagram gets through."""
    with suppress(PermissionError):
        client.send(b"x")
    try:
        return server.recv(1) == b"x"
    except TimeoutError:
        return False


def test_protecting_another_interface_lets_nothing_pass_that_was_denied_on_the_first(bpffs: Path) -> None:
    def closed(state: EndpointState, address: str) -> EndpointState:
        net = Net(4, parse_address(address)[1], 32)
        return replace(state, interface=replace(state.interface, addresses=frozenset([net])), profiles=())

    with (
        veth_pair() as (host, peer),
        driven(host, bpffs) as driver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        with peer.entered():
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with server:
            server.bind((peer.address, 5555))
            server.settimeout(0.3)
            first = closed(endpoint(host), host.address)
            driver.take(Delta(endpoints={host.interface: first}, failsafes=Failsafes()))
            driver.apply()
            client.connect((peer.address, 5555))
            assert not sends(client, server)
            driver.take(Delta(endpoints={"aaa0": closed(second_interface(host, "aaa0"), "192.0.2.1")}))
            assert driver.apply().changed == ("aaa0",)
            assert not sends(client, server)


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_table_for_connections_that_cannot_be_made_leaks_nothing_and_names_the_setting(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        driver.take(Delta(tracking=TrackingSettings(size=0xFFFFFFFF)))
        before = descriptors()
        assert "bpfMapSizeConntrack" in driver.apply().failed["connection table"]
        assert before == descriptors()


def test_a_host_whose_only_policy_is_refused_gets_no_connection_table(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: refused(endpoint(host))}, failsafes=Failsafes()))
        assert set(driver.apply().refused) == {host.interface}
        with pytest.MonkeyPatch.context() as context:
            context.setattr(bpf, "create_map", lambda *_, **__: pytest.fail("a map was made"))
            driver.resync()


def test_a_program_that_cannot_be_installed_leaves_no_descriptor(bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KernelError("bpf", "install", 22)

    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}))
        before = descriptors()
        with monkeypatch.context() as broken:
            broken.setattr(Lanes, "put", fail)
            assert set(driver.apply().failed) == {host.interface}
        assert before == descriptors()
        assert driver.apply().changed == (host.interface,)


def test_a_probe_gives_the_installed_programs_verdict_and_counts_nothing(bpffs: Path) -> None:
    with veth_pair() as (host, _), driven(host, bpffs) as driver:
        driver.take(Delta(endpoints={host.interface: endpoint(host, DENY)}, failsafes=Failsafes()))
        driver.apply()
        packet = Packet(version=4, protocol=TCP, source=1, destination=2, source_port=3, destination_port=PORT)
        answer = driver.probe(host.interface, Direction.INGRESS, packet)
        assert answer is not None
        assert (
            answer.verdict,
            answer.rule and answer.rule.policy.name,
            answer.rule and answer.rule.index,
        ) == (Verdict.DENY, "redis", 0)
        rules, _ = driver.counters()
        assert sum(count.packets for count in rules if count.direction is Direction.INGRESS) == 0


def test_log_rules_tell_of_the_packets_they_met(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        logged = policy((rule(Action.LOG), rule(Action.DENY)))
        driver.take(Delta(endpoints={host.interface: endpoint(host, logged)}, failsafes=Failsafes()))
        driver.apply()
        assert is_silent(peer, host)
        time.sleep(0.05)
        events = driver.log_events()
        assert events
        assert (events[0].packet.destination_port, events[0].rules[0].index) == (PORT, 0)
        assert parse_address(peer.address)[1] == events[0].packet.source


def test_egress_counts_stay_exact_over_replaced_tables(bpffs: Path) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver:
        with peer.entered():
            sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sink.bind((peer.address, PORT))
        with host.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sink, sender:
            for round_ in range(3):
                udp = Rule(Action.ALLOW, (ProtocolMatch(17), PortMatch(Side.DESTINATION, (PortRange(PORT, PORT),))))
                extra = tuple(rule(Action.DENY, side=Side.SOURCE) for _ in range(round_))
                changed = policy((), (udp, *extra))
                driver.take(Delta(endpoints={host.interface: endpoint(host, changed)}, failsafes=Failsafes()))
                assert driver.apply().failed == {}
                for _ in range(10):
                    sender.sendto(b"x", (peer.address, PORT))
            rules, _ = driver.counters()
        assert {30} == {
            count.packets for count in rules if count.rule.index == 0 and count.direction is Direction.EGRESS
        }


def test_cleanup_removes_exactly_what_is_ours(bpffs: Path) -> None:
    with veth_pair() as (host, _):
        make_kernel_track(host)
        before = host.run("nft", "list", "ruleset")
        with host.entered():
            driver = EbpfDriver(bpffs)
            driver.take(Delta(endpoints={host.interface: endpoint(host, ALLOW_BOTH)}, failsafes=Failsafes()))
            driver.apply()
            assert driver.cleanup()
        assert before == host.run("nft", "list", "ruleset")
        assert "xdp" not in host.link()
        assert not bpf.is_bpffs(bpffs)


def test_packets_go_to_tc_and_back_to_xdp_on_request_without_one_that_nobody_judges(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        denied = endpoint(host, DENY)
        driver.take(Delta(endpoints={host.interface: denied}, failsafes=Failsafes()))
        driver.apply()
        with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, TCP) as raw:
            syn = (40_000).to_bytes(2) + PORT.to_bytes(2) + bytes(8) + b"\x50\x02" + bytes(6)
            stop = time.monotonic() + 1.5
            turns = 0
            sent = 0
            while time.monotonic() < stop:
                for _ in range(20):
                    raw.sendto(syn, (host.address, 0))
                    sent += 1
                with host.entered():
                    turns += 1
                    driver.take(Delta(endpoints={host.interface: placed(denied, turns % 2 == 0)}))
                    report = driver.apply()
                    assert (report.failed, report.changed) == ({}, (host.interface,))
                    (status,) = driver.status()
                    wanted = Acceleration.XDP if turns % 2 == 0 else Acceleration.TC
                    assert status.acceleration is wanted, status.reason
        time.sleep(0.1)
        assert turns > 4
        counted = sum(one.packets for one in driver.counters()[0] if one.rule.policy == DENY.key)
        assert counted >= sent  # while both hooks judge, XDP drops and tc never sees it
        assert "xdpEnabled" in status.reason or status.acceleration is Acceleration.XDP
        assert host.run("ss", "-Htn", "state", "syn-recv") == ""


@pytest.mark.parametrize("has_tcx", [True, False])
@pytest.mark.parametrize("is_to_xdp", [True, False])
@pytest.mark.parametrize("pins", [0, 1, 2, 3, 5, 7])
def test_an_agent_killed_in_a_move_between_hooks_leaves_one_that_judges(
    bpffs: Path, is_to_xdp: bool, pins: int, has_tcx: bool
) -> None:
    """The last one is killed when all is pinned, before the hook of before is taken off."""
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        agent = os.fork()
        if agent == 0:
            try:
                move_and_die(endpoint(host, DENY), EbpfDriver(bpffs), is_to_xdp=is_to_xdp, pins=pins, has_tcx=has_tcx)
            finally:
                os._exit(1)
        assert os.waitpid(agent, 0)[1] == 0
        driver._programs.traits = replace(driver._programs.traits, has_tcx=has_tcx)
        assert not arrives(peer, host)
        state = placed(endpoint(host, DENY), is_to_xdp)
        driver.take(Delta(endpoints={host.interface: state}, failsafes=Failsafes()))
        assert driver.apply().failed == {}
        assert not arrives(peer, host)
        driver.take(Delta(endpoints={host.interface: placed(endpoint(host, ALLOW_BOTH), is_to_xdp)}))
        driver.apply()
        assert connects(peer, host)


def move_and_die(state: EndpointState, driver: EbpfDriver, *, is_to_xdp: bool, pins: int, has_tcx: bool) -> None:
    """End this process when so many pins of the move are made, or where it detaches the hook of before."""
    name, pin = state.interface.name, bpf.pin_over
    driver._programs.traits = replace(driver._programs.traits, has_tcx=has_tcx)
    driver.take(Delta(endpoints={name: placed(state, not is_to_xdp)}, failsafes=Failsafes()))
    driver.apply()
    made = iter(range(pins))

    def pin_or_die(fd: int, path: Path) -> None:
        if next(made, None) is None:
            os._exit(0)
        pin(fd, path)

    vars(bpf)["pin_over"] = pin_or_die
    vars(bpf)["detach"] = lambda _: os._exit(0)
    driver.take(Delta(endpoints={name: placed(state, is_to_xdp)}))
    driver.apply()


@pytest.mark.parametrize("version", [4, 6])
def test_replacing_the_egress_table_drops_nothing_that_no_rule_denies(bpffs: Path, version: int) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with host.entered():
            sender = socket.socket(family, socket.SOCK_DGRAM)
        target = (peer.address if version == 4 else peer.address6, 9)
        stop, refused_by, sent = threading.Event(), [], 0

        def send() -> None:
            nonlocal sent
            while not stop.is_set():
                try:
                    sender.sendto(b"x", target)
                    sent += 1
                except ConnectionRefusedError:  # nobody listens there, which the peer says at times
                    pass
                except OSError as error:
                    refused_by.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            for turn in range(60):
                port = (PortRange(8080 + turn % 2, 8080 + turn % 2),)
                other = Rule(Action.ALLOW, (ProtocolMatch(TCP), PortMatch(Side.SOURCE, port)))
                with host.entered():
                    state = endpoint(host, policy((), (other,)))
                    driver.take(Delta(endpoints={host.interface: state}, failsafes=Failsafes()))
                    assert driver.apply().failed == {}
        finally:
            stop.set()
            thread.join()
            sender.close()
        assert (refused_by[:3], sent > 200) == ([], True)
