"""Where packets are judged: as documents ask for it, moved there while traffic flows, and what others have to say."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from driver_lab import ALLOW_BOTH, DENY, PORT, arrives, connects, driven, endpoint, listening

from netns import Namespace, receive_by_napi, veth_pair
from tortie.apps.agent.interfaces import KernelInterfaces
from tortie.dataplane.driver import Acceleration, InterfaceStatus
from tortie.dataplane.ebpf.driver import EbpfDriver
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.kernel import bpf, ethtool
from tortie.model.desired import Delta, EndpointState
from tortie.model.failsafe import Failsafes
from tortie.model.packet import TCP
from tortie.model.xdp import XdpUse, XdpWish

pytestmark = pytest.mark.root

XDP, TC = Acceleration.XDP, Acceleration.TC
OTHER_PORT = PORT + 1


def real(
    host: Namespace, state: EndpointState, use: XdpUse = XdpUse.AUTO, *, may_be_generic: bool = False
) -> EndpointState:
    """The endpoint on the interface as the kernel tells of it now, asked to be judged there."""
    with host.entered():
        (interface,) = (one for one in KernelInterfaces().read() if one.name == state.interface.name)
    return replace(state, interface=interface, xdp=XdpWish(use, is_own=True, may_be_generic=may_be_generic))


def enforce(driver: EbpfDriver, state: EndpointState) -> InterfaceStatus:
    """What the driver says once it has that state."""
    driver.take(Delta(endpoints={state.interface.name: state}, failsafes=Failsafes()))
    assert driver.apply().failed == {}
    (status,) = driver.status()
    assert status.xdp is state.xdp.use
    return status


@contextmanager
def foreign_program(index: int, flags: int = bpf.DRV_MODE) -> Iterator[int]:
    """Another's XDP program, which passes everything; its id."""
    with bpf.ObjectFile(OBJECTS / "root.bpf.o") as foreign:
        for name in foreign.program_names:
            foreign.set_autoload(name, name == "xdp_root")
        foreign.load()
        link = bpf.attach_xdp(foreign.program_fd("xdp_root"), index, flags)
    try:
        yield bpf.link_info(link).program_id
    finally:
        os.close(link)


def test_untracked_policy_brings_xdp_where_that_is_asked_for_and_takes_it_away(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        with_policy, without = endpoint(host, DENY), replace(endpoint(host), tiers={}, profiles=())
        steps = [(XdpUse.UNTRACKED, without, TC), (XdpUse.UNTRACKED, with_policy, XDP), (XdpUse.UNTRACKED, without, TC)]
        for use, state, expected in (*steps, (XdpUse.AUTO, without, XDP)):
            status = enforce(driver, real(host, state, use))
            assert status.acceleration is expected, status.reason
            assert ("xdp" in host.link()) is (expected is XDP)
            assert not arrives(peer, host)
            assert status.unmet == ""


def sent_again(connection: socket.socket) -> int:
    """Segments that the kernel sent more than once. Source: linux/tcp.h, tcpi_total_retrans of struct tcp_info."""
    return int.from_bytes(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[100:], "little")


def test_moves_open_nothing_and_cut_nothing(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        receive_by_napi(host)
        state = endpoint(host, DENY)
        enforce(driver, real(host, state, XdpUse.NEVER))
        with host.entered():
            server = socket.create_server((host.address, OTHER_PORT))
        with peer.entered():
            client = socket.create_connection((host.address, OTHER_PORT), timeout=20)
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, TCP)
        served, _ = server.accept()
        stop, failed = threading.Event(), list[OSError]()

        def talk() -> None:
            while not stop.is_set():
                try:
                    client.sendall(b"x")
                    served.sendall(served.recv(1))
                    client.recv(1)
                except OSError as error:
                    failed.append(error)
                    return

        talking = threading.Thread(target=talk)
        talking.start()
        uses = (XdpUse.ALWAYS, XdpUse.NEVER, XdpUse.UNTRACKED, XdpUse.NEVER, XdpUse.AUTO, XdpUse.NEVER) * 3
        try:
            sent = 0
            syn = (40_000).to_bytes(2) + PORT.to_bytes(2) + bytes(8) + b"\x50\x02" + bytes(6)
            for use in uses:
                for _ in range(20):
                    raw.sendto(syn, (host.address, 0))
                    sent += 1
                status = enforce(driver, real(host, state, use))
                assert status.acceleration is (TC if use is XdpUse.NEVER else XDP), status.reason
        finally:
            stop.set()
            talking.join()
            lost = sum(map(sent_again, (client, served)))
            for one in (server, client, served, raw):
                one.close()
        assert failed == []
        assert lost == 0
        assert host.run("ss", "-Htn", "state", "syn-recv") == ""
        time.sleep(0.1)
        assert sum(one.packets for one in driver.counters()[0] if one.rule.policy == DENY.key) >= sent


@contextmanager
def bridged(host: Namespace) -> Iterator[Namespace]:
    """The host with its addresses on a bridge, of which the veth is a port: an interface without native XDP."""
    host.run("ip", "link", "add", "br0", "type", "bridge")
    try:
        for address in host.addresses:
            host.run("ip", "address", "del", str(address), "dev", host.interface)
            host.run("ip", "address", "add", str(address), "dev", "br0", *(["nodad"] if address.version == 6 else []))
        host.run("ip", "link", "set", host.interface, "master", "br0")
        host.run("ip", "link", "set", "br0", "up")
        yield replace(host, interface="br0")
    finally:
        host.run("ip", "link", "del", "br0")


def test_xdp_that_is_demanded_and_cannot_be_had_is_told_and_tc_judges(bpffs: Path) -> None:
    with veth_pair() as (port, peer), listening(port), bridged(port) as host, driven(host, bpffs) as driver:
        assert connects(peer, host)
        status = enforce(driver, real(host, endpoint(host, DENY), XdpUse.ALWAYS))
        assert (status.acceleration, status.reason) == (TC, "no native XDP: bridge has none")
        assert status.unmet.startswith("the endpoint says tortie.io/xdp: always, and there is no native XDP")
        assert not arrives(peer, host)
        status = enforce(driver, real(host, endpoint(host, DENY), XdpUse.AUTO))
        assert (status.acceleration, status.unmet) == (TC, "")


def test_generic_xdp_is_taken_where_settings_permit_it_and_left_again(bpffs: Path) -> None:
    with veth_pair() as (port, peer), listening(port), bridged(port) as host, driven(host, bpffs) as driver:
        for use, is_generic in ((XdpUse.ALWAYS, True), (XdpUse.AUTO, False), (XdpUse.ALWAYS, True)):
            status = enforce(driver, real(host, endpoint(host, DENY), use, may_be_generic=True))
            assert status.acceleration is (XDP if is_generic else TC), status.reason
            assert status.reason.startswith("generic XDP, no native XDP" if is_generic else "no native XDP"), status
            assert (bpf.xdp_query(host.ifindex)[1] is bpf.XdpMode.GENERIC) is is_generic
            assert not arrives(peer, host)
            assert status.unmet == ""
        status = enforce(driver, real(host, endpoint(host, ALLOW_BOTH), XdpUse.ALWAYS))  # not permitted any more
        assert status.acceleration is TC
        assert status.unmet
        assert connects(peer, host)
        assert driver.resync().repaired == ()


def test_an_agent_that_starts_finds_generic_xdp_and_tries_for_better_once(bpffs: Path) -> None:
    with veth_pair() as (port, peer), listening(port), bridged(port) as host, driven(host, bpffs) as driver:
        state = real(host, endpoint(host, DENY), XdpUse.ALWAYS, may_be_generic=True)
        assert enforce(driver, state).acceleration is XDP
        later = EbpfDriver(bpffs)
        status = enforce(later, state)
        assert (status.acceleration, status.reason.split(",")[0]) == (XDP, "generic XDP")
        assert not arrives(peer, host)
        later.take(Delta(endpoints={host.interface: state}))
        assert later.apply().changed == ()


def test_t_rel_17_xdp_that_others_took_from_us_leaves_the_interface_judged_at_tc(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        state = real(host, endpoint(host, DENY))
        assert enforce(driver, state).acceleration is XDP
        (folder,) = bpffs.glob(f"netns-*/if{host.ifindex}")
        link = bpf.open_pin(folder / "xdp")
        bpf.detach(link)
        os.close(link)
        with foreign_program(host.ifindex) as foreign:
            report = driver.resync()
            (repaired,) = report.repaired
            assert (report.failed, "whose XDP program others removed" in repaired) == ({}, True)
            for _ in range(2):
                (status,) = driver.status()
                assert status.acceleration is TC
                assert f"XDP program 'xdp_root' (id {foreign}) is there" in status.reason
                assert not arrives(peer, host)
                assert bpf.xdp_query(host.ifindex)[0] == foreign
                assert driver.resync().repaired == ()
        assert driver.resync().repaired == (f"{host.interface}: XDP is free again",)
        assert driver.status()[0].acceleration is XDP
        assert not arrives(peer, host)


def test_t_rel_17_a_foreign_generic_program_is_left_alone_too(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        with foreign_program(host.ifindex, bpf.SKB_MODE) as foreign:
            state = real(host, endpoint(host, DENY), XdpUse.ALWAYS, may_be_generic=True)
            status = enforce(driver, state)
            assert (status.acceleration, bool(status.unmet)) == (TC, True)
            assert bpf.xdp_query(host.ifindex) == (foreign, bpf.XdpMode.GENERIC)
            assert not arrives(peer, host)
        driver.resync()
        assert driver.status()[0].acceleration is XDP
        assert bpf.xdp_query(host.ifindex)[1] is bpf.XdpMode.NATIVE


def jumbo(host: Namespace, peer: Namespace, mtu: int) -> None:
    for one in (host, peer):
        one.run("ip", "link", "set", one.interface, "mtu", str(mtu))


def reaches(peer: Namespace, host: Namespace, size: int) -> bool:
    """Whether a UDP packet of that size arrives in one piece."""
    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((host.address, OTHER_PORT))
        with peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(size), (host.address, OTHER_PORT))
        receiver.settimeout(1)
        try:
            return len(receiver.recv(size + 1)) == size
        except TimeoutError:
            return False


def test_jumbo_frames_are_judged_in_native_xdp_in_several_buffers(bpffs: Path) -> None:
    with veth_pair() as (host, peer), driven(host, bpffs) as driver:
        jumbo(host, peer, 9000)
        assert reaches(peer, host, 8900)
        status = enforce(driver, real(host, endpoint(host, DENY), XdpUse.ALWAYS))
        assert status.acceleration is XDP, status.reason
        assert reaches(peer, host, 8900)
        closed = replace(endpoint(host, DENY), profiles=())
        enforce(driver, real(host, closed, XdpUse.ALWAYS))
        assert not reaches(peer, host, 8901)


def test_a_kernel_without_several_buffers_judges_jumbo_frames_at_tc_until_the_mtu_fits(bpffs: Path) -> None:
    with veth_pair() as (host, peer), listening(host), driven(host, bpffs) as driver:
        driver._programs.traits = replace(driver._programs.traits, has_frags=False)
        jumbo(host, peer, 9000)
        state = endpoint(host, DENY)
        status = enforce(driver, real(host, state))
        assert status.acceleration is TC
        assert "MTU of 9000" in status.reason
        assert "xdp.frags" in status.reason
        assert not arrives(peer, host)
        jumbo(host, peer, 1500)
        status = enforce(driver, real(host, state))
        assert status.acceleration is XDP, status.reason
        assert not arrives(peer, host)


def test_what_a_driver_tells_is_read_of_interfaces_of_this_namespace() -> None:
    with veth_pair() as (host, _), host.entered():
        told = ethtool.read(host.interface)
        assert (told.driver, told.channels > 0, told.has_lro) == ("veth", True, False)
        assert ethtool.read("none") == ethtool.DriverFacts()
