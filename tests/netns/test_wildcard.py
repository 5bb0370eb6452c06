"""A wildcard endpoint with real packets: every interface that has no endpoint of its own, and never the loopback."""

import socket

import pytest

from lockdown import (
    NODE,
    OPEN,
    LocalHost,
    allow,
    connects,
    deny,
    document,
    endpoint,
    local_host,
    policy,
    tcp_server,
    until,
)

pytestmark = pytest.mark.root

EVERYWHERE = document("HostEndpoint", "everywhere", {"role": "host"}, interfaceName="*", node=NODE)
LATE = "10.98.0.1"


def add_interface(site: LocalHost) -> None:
    """A second way from the peer to the host."""
    site.host.run("ip", "link", "add", "ens5", "type", "veth", "peer", "name", "eth1", "netns", site.peer.name)
    for end, link, address in ((site.host, "ens5", LATE), (site.peer, "eth1", "10.98.0.2")):
        end.run("ip", "address", "add", f"{address}/24", "dev", link)
        end.run("ip", "link", "set", link, "up")


def governed(site: LocalHost) -> dict[str, str]:
    """Endpoint by interface, where programs enforce it."""
    return {one.interface: one.endpoint for one in site.driver.status() if one.is_enforced}


def reaches(site: LocalHost, address: str, port: int) -> bool:
    return connects(site.peer, address, port)


def is_silent(site: LocalHost, address: str, port: int) -> bool:
    return not connects(site.peer, address, port, patience_s=0.2)


def test_every_interface_is_closed_but_the_loopback_and_those_that_come_later_too() -> None:
    with local_host() as site, tcp_server(site.host, 80, 443):
        site.program(EVERYWHERE, policy("web", ingress=[allow("TCP", 443)]))
        assert governed(site) == {"ens4": "everywhere"}
        assert reaches(site, site.host.address, 443) and is_silent(site, site.host.address, 80)
        assert connects(site.host, "127.0.0.1", 80)
        add_interface(site)
        until(lambda: reaches(site, LATE, 80), 5)
        site.program()
        assert governed(site) == {"ens4": "everywhere", "ens5": "everywhere"}
        assert reaches(site, LATE, 443) and is_silent(site, LATE, 80)


def test_an_endpoint_of_the_interface_is_stronger_and_the_wildcard_comes_back_behind_it() -> None:
    with local_host() as site, tcp_server(site.host, 80):
        add_interface(site)
        own = endpoint(profiles=OPEN)
        site.program(EVERYWHERE, own)
        assert governed(site) == {"ens4": "host-ens4", "ens5": "everywhere"}
        assert reaches(site, site.host.address, 80) and is_silent(site, LATE, 80)
        site.program(gone=[own])
        assert governed(site) == {"ens4": "everywhere", "ens5": "everywhere"}
        assert is_silent(site, site.host.address, 80)
        site.program(gone=[EVERYWHERE])
        assert governed(site) == {}
        assert reaches(site, site.host.address, 80) and reaches(site, LATE, 80)


def test_untracked_policy_of_a_wildcard_is_enforced_both_ways() -> None:
    with local_host() as site, tcp_server(site.host, 80, 81), tcp_server(site.peer, 82, 83):
        open_one = document("HostEndpoint", "open", {"role": "host"}, interfaceName="*", node=NODE, profiles=list(OPEN))
        site.program(open_one, policy("raw", [deny("TCP", 80)], [deny("TCP", 82)], untracked=True))
        assert is_silent(site, site.host.address, 80) and reaches(site, site.host.address, 81)
        with site.host.entered(), socket.socket() as out:
            out.settimeout(0.2)
            with pytest.raises((TimeoutError, PermissionError)):
                out.connect((site.peer.address, 82))
        assert connects(site.host, site.peer.address, 83)
