"""Policy of what a host passes on, with real packets: a router that publishes a port of a server behind it.

peer 10.99.0.2 ── ens4 │ host, forwards │ ens5 ── inside 10.98.0.2:80, published as 10.99.0.1:8080
"""

import fcntl
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from lockdown import (
    NODE,
    OPEN,
    Document,
    LocalHost,
    allow,
    connects,
    deny,
    document,
    endpoint,
    local_host,
    policy,
    until,
)
from lockdown import tcp_server as listening
from netns import Namespace, namespace

pytestmark = pytest.mark.root

INSIDE, ROUTER = "10.98.0.2", "10.98.0.1"
EVERYWHERE = document("HostEndpoint", "everywhere", {"role": "host"}, interfaceName="*", node=NODE, profiles=list(OPEN))


def early(*rules: Document, name: str = "early") -> Document:
    """Pre-DNAT policy of every host endpoint here."""
    given = policy(name, rules)
    return {**given, "spec": {**given["spec"], "preDNAT": True, "applyOnForward": True}}


@dataclass
class Router:
    """A host that forwards, its peer, and a server behind it."""

    site: LocalHost
    inside: Namespace

    def reaches(self, address: str, port: int) -> bool:
        """Whether the peer does."""
        return connects(self.site.peer, address, port)

    def is_silent(self, address: str, port: int) -> bool:
        """Whether the peer gets no answer."""
        return not connects(self.site.peer, address, port, patience_s=0.3)

    def counted(self, names: Sequence[str]) -> list[int]:
        """Packets by name, as `LocalHost.counted`."""
        found = self.site.counted()
        return [found.get(name, 0) for name in names]


@contextmanager
def router(inward: str = "ens5") -> Iterator[Router]:
    """Nothing is enforced yet; the kernel tracks and translates."""
    with local_host() as site, namespace("inside") as inside, listening(inside, 22, 80, 81), listening(site.host, 82):
        site.host.run("ip", "link", "add", inward, "type", "veth", "peer", "name", "eth0", "netns", inside.name)
        for end, link, address in ((site.host, inward, ROUTER), (inside, "eth0", INSIDE)):
            end.run("ip", "address", "add", f"{address}/24", "dev", link)
            end.run("ip", "link", "set", link, "up")
        inside.run("ip", "route", "add", "default", "via", ROUTER)
        site.peer.run("ip", "route", "add", "10.98.0.0/24", "via", site.host.address)
        site.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        publish = f"chain c {{ type nat hook prerouting priority -100; tcp dport 8080 dnat ip to {INSIDE}:80; }}"
        site.host.run("nft", f"table ip published {{ {publish}; }}")
        yield Router(site, inside)


def test_pre_dnat_policy_sees_the_published_port_and_its_allow_is_final() -> None:
    with router() as one:
        assert one.reaches(one.site.host.address, 8080) and one.reaches(INSIDE, 81) and one.reaches("10.99.0.1", 82)
        one.site.program(endpoint(), early(allow("TCP", 8080, 82), deny("TCP")))
        assert one.reaches(one.site.host.address, 8080)
        assert one.reaches(one.site.host.address, 82)  # though no other policy allows it
        assert one.is_silent(INSIDE, 80) and one.is_silent(INSIDE, 81)
        assert min(one.counted(["ingress early/0", "ingress early/1"])) > 1
        one.site.program(early(deny("TCP", 8080)))
        assert one.is_silent(one.site.host.address, 8080) and one.reaches(INSIDE, 80)
        assert one.is_silent(one.site.host.address, 82)  # and goes on to the end of the normal class


def test_connections_that_are_passed_on_are_known_on_every_interface_with_such_policy() -> None:
    with router() as one, one.inside.entered(), socket.create_server(("", 90)) as server:
        one.site.program(EVERYWHERE, early(deny("UDP")))
        for address, port in ((INSIDE, 90), (one.site.host.address, 8090)):
            if port == 8090:
                one.site.host.run("nft", "flush", "table", "ip", "published")
                one.site.host.run("nft", f"add rule ip published c tcp dport 8090 dnat ip to {INSIDE}:90")
            with one.site.peer.entered():
                client = socket.create_connection((address, port), 2)
            talk, _ = server.accept()
            with client, talk:
                assert exchange(client, talk) and exchange(talk, client)
                client.shutdown(socket.SHUT_WR)
                talk.settimeout(2)
                assert talk.recv(1) == b""
                assert exchange(talk, client)
        assert one.site.counted().get("ingress invalid", 0) == 0


def test_connections_that_are_passed_on_survive_the_arming_of_the_first_endpoint() -> None:
    with router() as one, one.inside.entered(), socket.create_server(("", 90)) as server:
        with one.site.peer.entered():
            client = socket.create_connection((INSIDE, 90), 2)
        talk, _ = server.accept()
        with client, talk:
            one.site.program(EVERYWHERE, early(deny("TCP")))
            assert one.is_silent(INSIDE, 80)
            assert exchange(client, talk) and exchange(talk, client)
            one.site.program(gone=[early()])
            assert one.reaches(INSIDE, 80)


def forward(name: str, side: str, ingress: Sequence[Document] = (), egress: Sequence[Document] = ()) -> Document:
    """Policy of one interface, of the host's own traffic and of what it passes on."""
    given = policy(name, ingress, egress)
    return {**given, "spec": {**given["spec"], "applyOnForward": True, "selector": f'interface == "{side}"'}}


def test_forward_policy_is_asked_on_both_sides_and_answers_are_known() -> None:
    with router() as one:
        one.site.program(endpoint("ens4", profiles=OPEN), endpoint("ens5", profiles=OPEN))
        assert one.reaches(INSIDE, 80) and one.reaches(INSIDE, 81) and one.reaches(INSIDE, 22)  # open without policy
        one.site.program(forward("in", "ens4", [allow("TCP", 80, 81, 22)]))
        assert one.reaches(INSIDE, 80) and one.reaches(INSIDE, 81)
        one.site.program(forward("out", "ens5", (), [allow("TCP", 80)]))
        assert one.reaches(INSIDE, 80) and one.is_silent(INSIDE, 81)
        assert one.is_silent(INSIDE, 22)  # no failsafe ports here
        assert one.counted(["egress out/0"])[0] == 1
        assert one.is_silent(one.site.host.address, 8080)  # the published port meets normal ingress of ens4
        one.site.program(forward("in", "ens4", [allow("TCP", 8080)]))
        assert one.reaches(one.site.host.address, 8080)  # and behind the translation forward egress of ens5
        assert one.is_silent(INSIDE, 80)


def test_what_is_denied_where_it_leaves_is_not_known_where_it_arrives() -> None:
    with router() as one:
        one.site.program(endpoint("ens4", profiles=OPEN), endpoint("ens5", profiles=OPEN))
        one.site.program(forward("out", "ens5", (), [deny("TCP", 81), allow("TCP")]))
        assert one.is_silent(INSIDE, 81)
        assert not [flow for flow in one.site.flows() if 81 in flow]
        assert one.reaches(INSIDE, 80)
        assert [flow for flow in one.site.flows() if 80 in flow]


def test_connections_that_leave_translated_are_judged_and_answered() -> None:
    with router() as one, listening(one.site.peer, 70, 71):
        one.site.host.run("nft", "add chain ip published p { type nat hook postrouting priority 100; }")
        one.site.host.run("nft", "add rule ip published p oifname ens4 masquerade")
        one.site.program(endpoint("ens4", profiles=OPEN), endpoint("ens5", profiles=OPEN))
        one.site.program(forward("out", "ens4", (), [allow("TCP", 70)]))
        assert connects(one.inside, one.site.peer.address, 70)
        assert not connects(one.inside, one.site.peer.address, 71, patience_s=0.2)


def exchange(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether a byte arrives."""
    sender.settimeout(2)
    receiver.settimeout(2)
    try:
        sender.sendall(b"x")
        return receiver.recv(1) == b"x"
    except OSError:
        return False


WORKLOAD: Document = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "WorkloadEndpoint",
    "metadata": {"name": "node2-k8s-web-eth0", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {
        "orchestrator": "k8s",
        "node": NODE,
        "pod": "web",
        "endpoint": "eth0",
        "interfaceName": "cali1",
        "ipNetworks": [f"{INSIDE}/32"],
    },
}
CLOSED = document("HostEndpoint", "everywhere", {"role": "host"}, interfaceName="*", node=NODE)
"""Nothing of the normal class is allowed."""


def passing(name: str, ingress: Sequence[Document], egress: Sequence[Document]) -> Document:
    """Forward policy of every host endpoint here."""
    given = policy(name, ingress, egress)
    return {**given, "spec": {**given["spec"], "applyOnForward": True}}


def test_the_wildcard_judges_what_is_passed_on_at_interfaces_of_workloads_and_nothing_of_the_hosts_own() -> None:
    with router("cali1") as one, listening(one.site.peer, 83, 84):
        host, inside = one.site.host, one.inside
        arriving, leaving = [deny("TCP", 81, 82), allow("TCP")], [deny("TCP", 80), allow("TCP")]
        one.site.program(CLOSED, WORKLOAD, passing("on", arriving, leaving))
        governed = {each.interface: each.is_enforced for each in one.site.driver.status()}
        assert governed == {"ens4": True, "cali1": True}
        assert not one.reaches(INSIDE, 80)  # where it leaves
        assert one.reaches(INSIDE, 22)
        assert not connects(inside, one.site.peer.address, 81, patience_s=0.3)  # where it arrives
        assert connects(inside, one.site.peer.address, 83, patience_s=2)
        assert connects(host, INSIDE, 80, patience_s=2)  # of the host's own, as is the next one
        assert connects(inside, ROUTER, 82, patience_s=2)
        assert not one.reaches("10.99.0.1", 82)  # which has a normal class at the host's own interface
        counted = one.site.counted()
        assert counted["egress on/0"] > 0 and counted["ingress on/0"] > 0

        one.site.program(early(deny("TCP", 82), name="first"))
        assert not connects(inside, ROUTER, 82, patience_s=0.3)
        assert connects(inside, one.site.peer.address, 84, patience_s=2)

        one.site.program(gone=[WORKLOAD])
        assert [each.interface for each in one.site.driver.status()] == ["ens4"]
        assert connects(inside, ROUTER, 82, patience_s=2)


def _unanswered_bytes(client: socket.socket) -> int:
    """What was sent and not acknowledged. Source: linux/sockios.h SIOCOUTQ."""
    (found,) = struct.unpack("i", fcntl.ioctl(client, 0x5411, bytes(4)))
    return int(found)


def test_connections_of_workloads_go_on_when_the_wildcard_gets_such_policy() -> None:
    with router("cali1") as one:
        one.site.program(CLOSED, WORKLOAD)
        assert [each.interface for each in one.site.driver.status()] == ["ens4"]
        with one.inside.entered():
            client = socket.create_connection((ROUTER, 82), timeout=2)
        with client:
            one.site.program(early(deny("TCP"), name="first"))
            assert "cali1" in {each.interface for each in one.site.driver.status()}
            client.sendall(b"x")
            until(lambda: _unanswered_bytes(client) == 0, 5)
        assert not connects(one.inside, ROUTER, 82, patience_s=0.3)
