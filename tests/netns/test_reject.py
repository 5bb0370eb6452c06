"""Denials that are answered, with real packets: who asks is told at once, where the host denies what arrives, what its
own processes send, and what it passes on; in XDP, by way of tc, and at tc.

peer 10.99.0.2 ── ens4 │ host 10.99.0.1, forwards │ ens5 ── inside 10.98.0.2
"""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from test_passed_on import INSIDE, Router, forward, router

from bpf.answers import Reset, read, told
from frames import frame
from lockdown import (
    OPEN,
    Document,
    LocalHost,
    agent_host,
    allow,
    deny,
    endpoint,
    foreign_xdp,
    local_host,
    packet_socket,
    policy,
    settings,
    until,
)
from lockdown import tcp_server as listening
from netns import Namespace
from tortie.dataplane.driver import Acceleration
from tortie.model.desired import Delta
from tortie.model.packet import ACK, RST, SYN, TCP, Packet

pytestmark = pytest.mark.root

REJECT = settings(nftablesFilterDenyAction="Reject")
DROP = settings()
PATIENCE_S = 5.0
SILENCE_S = 0.3
INSIDE6 = "fd98::2"


def tcp_error(source: Namespace, address: str, port: int, *, patience_s: float = PATIENCE_S) -> int | None:
    """How an attempt to connect failed; None: it was not."""
    with source.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(patience_s)
        try:
            client.connect((address, port))
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno
    return None


def udp_error(source: Namespace, address: str, port: int, *, patience_s: float = PATIENCE_S) -> int | None:
    """What a connected UDP socket was told after one packet."""
    with source.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(patience_s)
        client.connect((address, port))
        try:
            client.send(b"anybody?")
            client.recv(100)
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno
    return None


def is_refused(source: Namespace, address: str, port: int) -> bool:
    """Whether both kinds of clients are told at once."""
    started = time.monotonic()
    errors = tcp_error(source, address, port), udp_error(source, address, port)
    assert errors == (errno.ECONNREFUSED, errno.ECONNREFUSED), errors
    return time.monotonic() - started < PATIENCE_S


def is_silent(source: Namespace, address: str, port: int) -> bool:
    """Whether no client is told anything."""
    errors = (
        tcp_error(source, address, port, patience_s=SILENCE_S),
        udp_error(source, address, port, patience_s=SILENCE_S),
    )
    assert errors == (errno.ETIMEDOUT, errno.ETIMEDOUT), errors
    return True


@contextmanager
def site(how: str) -> Iterator[LocalHost]:
    """A host that denies in XDP, whose answers its driver sends (`xdp`) or tc (`xdp through tc`), or at `tc`."""
    with local_host() as one, ExitStack() as stack:
        if how == "tc":
            stack.enter_context(foreign_xdp(one.host))
        if how == "xdp":  # only then does the peer's end of a veth take what XDP sends
            stack.enter_context(foreign_xdp(one.peer))
        yield one


def program(one: LocalHost, how: str, *documents: Document) -> None:
    """Enforce; where XDP is to send by itself, as if the interface were hardware."""
    delta = one.take(*documents)
    if how == "xdp":
        states = {
            name: replace(state, interface=replace(state.interface, kind=""))
            for name, state in delta.endpoints.items()
            if state is not None
        }
        one.driver.take(Delta(endpoints=states))
    one.apply()
    (status,) = (found for found in one.driver.status() if found.interface == one.host.interface)
    assert status.acceleration is (Acceleration.TC if how == "tc" else Acceleration.XDP)


HOWS = ("xdp", "xdp through tc", "tc")


@pytest.mark.parametrize("how", HOWS)
def test_who_is_denied_is_told_at_once(how: str) -> None:
    with site(how) as one, listening(one.host, 80), listening(one.peer, 80):
        program(one, how, endpoint(), policy("few", [allow("TCP", 80)], [allow("TCP", 80)]), REJECT)
        ends = (one.peer, one.host.address, one.host.address6), (one.host, one.peer.address, one.peer.address6)
        for source, *addresses in ends:
            for address in addresses:
                assert tcp_error(source, address, 80) is None
                assert is_refused(source, address, 7001)
        counted = one.counted()
        assert (counted["ingress answered"], counted["egress answered"]) == (4, 4), counted
        assert (counted["ingress default/-1"], counted["egress default/-1"]) == (4, 4), "answers count as no denial"
        assert "ingress invalid" not in counted and "egress invalid" not in counted
        assert not [flow for flow in one.flows() if 7001 in flow]


@pytest.mark.parametrize("how", HOWS)
def test_early_denials_are_silent_and_so_are_all_without_the_setting(how: str) -> None:
    with site(how) as one:
        early = [policy("untracked", [deny("TCP", 7001), deny("UDP", 7001)], untracked=True, order=1)]
        early.append(pre_dnat(deny("TCP", 7002), deny("UDP", 7002)))
        program(one, how, endpoint(), *early, REJECT)
        assert is_silent(one.peer, one.host.address, 7001) and is_silent(one.peer, one.host.address, 7002)
        assert "ingress answered" not in one.counted() and "ingress unanswered" not in one.counted()
        assert is_refused(one.peer, one.host.address, 7003)
        program(one, how, DROP)
        assert is_silent(one.peer, one.host.address, 7003) and is_silent(one.host, one.peer.address, 7003)
        program(one, how, settings(iptablesFilterDenyAction="Reject"))
        assert is_refused(one.peer, one.host.address, 7003) and is_refused(one.host, one.peer.address, 7003)


def pre_dnat(*rules: Document) -> Document:
    """Such policy of every host endpoint here."""
    given = policy("early", rules, order=2)
    return {**given, "spec": {**given["spec"], "preDNAT": True, "applyOnForward": True}}


@pytest.mark.parametrize("how", HOWS)
def test_invalid_packets_are_answered_by_what_they_acknowledge(how: str) -> None:
    with site(how) as one, packet_socket(one.peer, hears=True) as wire:
        program(one, how, endpoint(profiles=OPEN), REJECT)
        stray = Packet(
            version=4,
            protocol=TCP,
            source=int(ip_address(one.peer.address)),
            destination=int(ip_address(one.host.address)),
            source_port=40000,
            destination_port=80,
            tcp_flags=SYN | ACK,
            sequence=7,
            acknowledgement=0xFFFFFFF0,
        )
        sent = frame(stray)
        sent = bytes.fromhex(f"{one.host.mac}{one.peer.mac}".replace(":", "")) + sent[12:]
        wire.send(sent)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline
            heard = wire.recv(2000)
            datagram = read(heard)
            if heard != sent and datagram is not None and datagram.protocol == TCP:
                break
        assert told(heard, sent) == Reset(80, 40000, 0xFFFFFFF0, 0, RST)


@pytest.mark.parametrize("how", HOWS)
def test_a_flood_of_denied_packets_is_answered_to_a_limit(how: str) -> None:
    with site(how) as one:
        program(one, how, endpoint(), REJECT)
        with one.peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            started = time.monotonic()
            for _ in range(3000):
                sender.sendto(b"x" * 1000, (one.host.address, 7001))
            seconds = time.monotonic() - started

        def counted() -> int:
            found = one.counted()
            return found["ingress answered"] + found.get("ingress answer_limit", 0)

        until(lambda: counted() == 3000, PATIENCE_S)
        assert one.counted()["ingress answered"] <= 6 + seconds + 1, (
            "one remote end is told six times, then once a second"
        )
        assert tcp_error(one.peer, one.host.address, 7001) == errno.ECONNREFUSED, (
            "resets are no larger than their cause"
        )


@contextmanager
def both_versions(how: str) -> Iterator[Router]:
    """A router of IPv4 and IPv6; `tc`: where packets arrive from the peer."""
    with router() as one, ExitStack() as stack:
        if how == "tc":
            stack.enter_context(foreign_xdp(one.site.host))
        for end, link, address in ((one.site.host, "ens5", "fd98::1"), (one.inside, "eth0", INSIDE6)):
            end.run("ip", "address", "add", f"{address}/64", "dev", link, "nodad")
        one.inside.run("ip", "-6", "route", "add", "default", "via", "fd98::1")
        one.site.peer.run("ip", "-6", "route", "add", "fd98::/64", "via", one.site.host.address6)
        one.site.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        yield one


@pytest.mark.parametrize("how", ["xdp through tc", "tc"])
def test_who_is_denied_the_way_through_is_told_wherever_that_is_decided(how: str) -> None:
    with both_versions(how) as one:
        ends = endpoint("ens4", profiles=OPEN), endpoint("ens5", profiles=OPEN)
        program(one.site, how, *ends, REJECT)
        for address in (INSIDE, INSIDE6):  # from here on all neighbours know each other
            assert tcp_error(one.site.peer, address, 80) is None
        for address in (INSIDE, INSIDE6):  # where it arrives
            program(one.site, how, forward("in", "ens4", [deny("UDP"), deny("TCP", 80), allow("TCP")]))
            assert is_refused(one.site.peer, address, 80)
            program(one.site, how, forward("in", "ens4", [allow("TCP"), allow("UDP")]))
            program(one.site, how, forward("out", "ens5", (), [deny("UDP"), deny("TCP", 81), allow("TCP")]))
            assert is_refused(one.site.peer, address, 81), "where it leaves"
            assert tcp_error(one.site.peer, address, 80) is None
            one.site.program(gone=[forward("out", "ens5", (), [deny("TCP", 81)])])
        counted = one.site.counted()
        assert (counted["ingress answered"], counted["egress answered"]) == (4, 4), counted
        assert not [flow for flow in one.site.flows() if 81 in flow]


@pytest.mark.parametrize("how", ["xdp through tc", "tc"])
def test_answers_find_their_way_back_through_translations(how: str) -> None:
    with both_versions(how) as one:
        host = one.site.host
        host.run("nft", "add chain ip published p { type nat hook postrouting priority 100; }")
        host.run("nft", "add rule ip published p oifname ens4 masquerade")
        ends = endpoint("ens4", profiles=OPEN), endpoint("ens5", profiles=OPEN)
        program(one.site, how, *ends, REJECT)
        program(one.site, how, forward("out", "ens4", (), [deny("TCP", 71), deny("UDP", 71), allow("TCP")]))
        assert is_refused(one.inside, one.site.peer.address, 71), "masqueraded"
        program(one.site, how, forward("published", "ens5", (), [deny("TCP", 80), allow("TCP")]))
        assert tcp_error(one.site.peer, host.address, 8080) == errno.ECONNREFUSED, "published"


def test_answers_go_on_without_an_agent_and_change_with_the_setting(tmp_path: Path) -> None:
    with agent_host(tmp_path / "site") as one:
        one.commit(endpoint(), REJECT)
        one.start()
        one.settle()
        assert is_refused(one.peer, one.host.address, 7001)
        one.kill()
        assert is_refused(one.peer, one.host.address6, 7001) and is_refused(one.host, one.peer.address, 7001)
        one.start()
        one.settle()
        assert is_refused(one.peer, one.host.address, 7002)
        one.commit(DROP)
        one.settle()
        assert is_silent(one.peer, one.host.address, 7001)
        assert one.ask("/v1/status")["rejects"]["answered"] >= 6
