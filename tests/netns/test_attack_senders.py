"""T-ATT-8, 10 and 11 with real packets: tunnels, senders that nobody can be, and ICMP that lies about what it answers.

Through both doors and both kinds of policy, as in test_attack_frames.py.
"""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from siege import OPEN, Siege, siege

from frames import frame
from tortie.model.packet import UDP, Packet

pytestmark = pytest.mark.root


@pytest.fixture(
    scope="module",
    params=[(door, is_untracked) for door in ("xdp", "tc") for is_untracked in (False, True)],
    ids=lambda given: f"{given[0]} {'untracked' if given[1] else 'tracked'}",
)
def attack(request: pytest.FixtureRequest) -> Iterator[Siege]:
    door, is_untracked = request.param
    with siege(door, is_untracked=is_untracked) as made:
        yield made


def spoofed(source: str, destination: str, port: int = OPEN) -> bytes:
    """A datagram between those addresses, from its ethertype on."""
    packet = Packet(
        version=ip_address(source).version,
        protocol=UDP,
        source=int(ip_address(source)),
        destination=int(ip_address(destination)),
        source_port=40000,
        destination_port=port,
    )
    return frame(packet, payload=f"{source} {destination}".encode())[12:]


def test_t_att_10_probe(attack: Siege) -> None:
    host, host6 = attack.site.host.address, attack.site.host.address6
    for where in ("all", "default", attack.site.host.interface):
        attack.site.host.run(
            "sysctl", "-qw", f"net.ipv4.conf.{where}.route_localnet=1", f"net.ipv4.conf.{where}.rp_filter=0"
        )
    attack.heard(OPEN)
    sources = [
        "127.0.0.1",
        "127.1.2.3",
        host,
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "10.99.0.255",
        "10.99.0.0",
    ]
    pairs = [(one, host) for one in sources]
    pairs += [
        (one, to)
        for one in ("10.99.0.66", host, "127.0.0.1", "0.0.0.0")
        for to in ("127.0.0.1", "0.0.0.0", "127.9.9.9", "10.99.0.255", "255.255.255.255", "224.0.0.1")
    ]
    pairs += [(one, host6) for one in ("::1", host6, "::", "ff02::1", "ff0e::1", "::ffff:10.99.0.66", "fe80::1")]
    pairs += [("fd99::66", "::1"), ("::1", "::1"), (host6, "::1"), ("::", "ff02::1"), (host6, "ff02::1")]
    attack.send(*(spoofed(*pair) for pair in pairs))
    print(attack.counted())
    print(attack.heard(OPEN))
