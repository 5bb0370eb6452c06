"""Addresses that nobody outside can have, from the RFCs."""

from ipaddress import ip_address

import pytest

from tortie.model.desired import HostAddresses
from tortie.model.martian import is_martian
from tortie.model.packet import UDP, Packet

HOST = HostAddresses(frozenset({(4, int(ip_address("192.0.2.1"))), (6, int(ip_address("2001:db8::1")))}))


def judged(source: str, destination: str) -> bool:
    ends = int(ip_address(source)), int(ip_address(destination))
    packet = Packet(version=ip_address(source).version, protocol=UDP, source=ends[0], destination=ends[1])
    return is_martian(packet, HOST)


@pytest.mark.parametrize(
    "source", ["127.0.0.0", "127.255.255.255", "224.0.0.0", "239.255.255.255", "255.255.255.255", "0.0.0.0"]
)
def test_nobody_sends_from_there_over_ipv4(source: str) -> None:
    assert judged(source, "192.0.2.1")


@pytest.mark.parametrize(
    "source",
    ["126.255.255.255", "128.0.0.0", "223.255.255.255", "240.0.0.0", "255.255.255.254", "0.0.0.1", "192.0.2.1"],
)
def test_the_neighbours_of_such_addresses_and_the_hosts_own_of_ipv4_may_send(source: str) -> None:
    assert not judged(source, "192.0.2.1")


@pytest.mark.parametrize(
    "source", ["::1", "::", "ff00::", "ff02::1", "ffff::", "::ffff:0.0.0.0", "::ffff:255.255.255.255", "2001:db8::1"]
)
def test_nobody_sends_from_there_over_ipv6(source: str) -> None:
    assert judged(source, "2001:db8::1")


@pytest.mark.parametrize(
    "source", ["::2", "feff::", "fe80::1", "::fffe:ffff:ffff", "::1:0:0:0", "2001:db8::2", "::192.0.2.9"]
)
def test_the_neighbours_of_such_addresses_may_send_over_ipv6(source: str) -> None:
    assert not judged(source, "2001:db8::1")


def test_loopback_is_nowhere_to_go_to() -> None:
    assert judged("198.51.100.1", "127.0.0.1") and judged("2001:db8::2", "::1")
    assert not judged("198.51.100.1", "126.0.0.1") and not judged("2001:db8::2", "::2")


def test_who_has_no_address_yet_asks_groups_and_everyone() -> None:
    """DHCP (RFC 2131 section 4.1), IGMP (RFC 4541 section 2.1.1), detection of duplicates (RFC 4862 section 5.4)."""
    assert not judged("0.0.0.0", "255.255.255.255") and not judged("0.0.0.0", "224.0.0.1")
    assert not judged("::", "ff02::1:ff00:1")
    assert judged("0.0.0.0", "255.255.255.254") and judged("0.0.0.0", "127.0.0.1") and judged("::", "fe80::1")
