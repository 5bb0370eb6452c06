"""T-ATT-8, 10 and 11 with real packets: tunnels, senders that nobody can be, and ICMP that lies about what it answers.

Through both doors and both kinds of policy, as in test_attack_frames.py.
"""

import json
import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from struct import pack

import pytest
from siege import CLOSED, GHOST, GHOST6, KINDS, OPEN, Siege, kind_name, siege

from frames import frame
from lockdown import connects, endpoint, policy
from tortie.model.packet import ACK, ICMP, ICMPV6, SYN, TCP, UDP, Packet

pytestmark = pytest.mark.root

IPIP, GRE, IPV6, ESP, AH, L2TP, MPLS = 4, 47, 41, 50, 51, 115, 137
VXLAN_PORT, GENEVE_PORT = 4789, 6081


@pytest.fixture(params=KINDS, ids=kind_name)
def attack(request: pytest.FixtureRequest) -> Iterator[Siege]:
    with siege(request.param[0], is_untracked=request.param[1]) as made:
        yield made


# ---- T-ATT-8


def inside(attack: Siege, port: int, version: int) -> bytes:
    """A datagram to a port of the host as what is in a tunnel, from its IP header on."""
    return attack.udp(port, version)[2:]


def tunnels(attack: Siege, version: int, port: int) -> Sequence[bytes]:
    """That datagram in every tunnel that a host may end, by number and by UDP port."""
    four, six = inside(attack, port, 4), inside(attack, port, 6)
    link = bytes(12) + b"\x08\x00" + four
    vxlan, geneve = pack("!BxxxI", 8, 7 << 8) + link, pack("!BBHI", 0, 0, 0x6558, 7 << 8) + link
    found = [
        attack.raw(version, IPIP, four),
        attack.raw(version, IPV6, six),
        attack.raw(version, GRE, pack("!HH", 0, 0x0800) + four),
        attack.raw(version, GRE, pack("!HH", 0, 0x86DD) + six),
        attack.raw(version, GRE, pack("!HHI", 0x2000, 0x6558, 7) + link),
        attack.raw(version, ESP, bytes(8) + four),
        attack.raw(version, L2TP, bytes(4) + link),
        attack.raw(version, MPLS, pack("!I", 1 << 8) + four),
        attack.udp(VXLAN_PORT, version, payload=vxlan),
        attack.udp(GENEVE_PORT, version, payload=geneve),
        attack.udp(1701, version, payload=bytes(8) + four),
        attack.udp(4754, version, payload=pack("!HH", 0, 0x0800) + four),
    ]
    if version == 4:  # in IPv6 it is an extension header, behind which there is a packet to that port
        found.append(attack.raw(4, AH, bytes([IPIP, 4]) + bytes(22) + four))
    return found


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_8_a_tunnel_is_policed_by_its_own_header(attack: Siege, version: int) -> None:
    """By protocol number and UDP port; the port of what is in it opens nothing."""
    made = [*tunnels(attack, version, OPEN), *tunnels(attack, version, CLOSED)]
    assert attack.judged(*made) == []
    assert attack.heard(OPEN) == attack.heard(CLOSED) == []


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_8_tunnels_that_policy_allows_by_number_arrive(attack: Siege, version: int) -> None:
    by_number = [{"action": "Allow", "protocol": number} for number in (IPIP, IPV6, GRE, ESP, L2TP, MPLS, AH)]
    attack.site.program(policy("tunnels", by_number, order=5, untracked=attack.is_untracked))
    made = [one for one in tunnels(attack, version, CLOSED) if one[11 if version == 4 else 8] != UDP]
    attack.reached()
    attack.send(*made)
    assert attack.reached() == made
    assert attack.heard(CLOSED) == []  # nobody here ends a tunnel


def test_t_att_8_what_comes_out_of_a_vxlan_is_policed_on_its_device(attack: Siege) -> None:
    """Three states: the tunnel closed, open with nothing on its device, and open with an endpoint on it."""
    host = attack.site.host
    host.run(
        *f"ip link add vxlan0 type vxlan id 7 dstport {VXLAN_PORT} local {host.address} dev {host.interface}".split()
    )
    host.run("ip", "address", "add", "10.77.0.1/24", "dev", "vxlan0")
    host.run("ip", "link", "set", "vxlan0", "up")
    (link,) = json.loads(host.run("ip", "-j", "link", "show", "dev", "vxlan0"))
    ends = bytes.fromhex(link["address"].replace(":", "")) + bytes.fromhex("020000000077")

    def arrive(port: int) -> bytes:
        packet = attack.packet(4, UDP, source_port=40000, destination_port=port)
        fields = {"source": int(ip_address("10.77.0.2")), "destination": int(ip_address("10.77.0.1"))}
        inner = (
            ends
            + frame(
                attack.packet(4, UDP, source_port=packet.source_port, destination_port=port, **fields), payload=b"in"
            )[12:]
        )
        return attack.udp(VXLAN_PORT, payload=pack("!BxxxI", 8, 7 << 8) + inner)

    both = arrive(OPEN), arrive(CLOSED)
    attack.send(*both)
    assert (attack.heard(OPEN), attack.heard(CLOSED)) == ([], [])
    vxlan = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [VXLAN_PORT]}}
    attack.site.program(policy("tunnels", [vxlan], order=5, untracked=attack.is_untracked))
    attack.send(*both)
    assert (attack.heard(OPEN), attack.heard(CLOSED)) == ([b"in"], [b"in"])
    attack.site.program(endpoint("vxlan0"))
    attack.send(*both)
    assert (attack.heard(OPEN), attack.heard(CLOSED)) == ([b"in"], [])


# ---- T-ATT-10


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


def test_t_att_10_nobody_sends_from_or_to_addresses_of_no_wire(attack: Siege) -> None:
    """Though the port is open to all, and though Linux is told to route 127.0.0.0/8, as some do (CVE-2020-8558)."""
    site = attack.site
    host, host6 = site.host.address, site.host.address6
    for where in ("all", site.host.interface):
        for setting in ("route_localnet=1", "rp_filter=0"):
            site.host.run("sysctl", "-qw", f"net.ipv4.conf.{where}.{setting}")
    loopback, groups = ("127.0.0.1", "127.1.2.3", "127.255.255.255"), ("224.0.0.1", "239.1.1.1", "255.255.255.255")
    pairs = [(one, host) for one in (*loopback, *groups, "0.0.0.0")]
    pairs += [(one, to) for one in (GHOST, host, *loopback) for to in loopback]
    pairs += [("0.0.0.0", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")]
    six = ("::1", "::", "ff02::1", "ff0e::1", f"::ffff:{GHOST}", "::ffff:127.0.0.1", host6)
    pairs += [(one, host6) for one in six]
    pairs += [(one, "::1") for one in (GHOST6, host6, "::1")]
    attack.heard(OPEN)
    attack.reached()
    attack.counted()
    attack.send(*(spoofed(*pair) for pair in pairs))
    assert attack.reached() == []
    assert attack.heard(OPEN) == []
    assert attack.dropped() == {"martian": len(pairs)}
    # of IPv4, Linux itself refuses this host as a sender; of neither, what DHCP and others need
    attack.send(spoofed(host, host))
    assert attack.heard(OPEN) == []
    attack.send(spoofed("0.0.0.0", "255.255.255.255"), spoofed("fe80::66", host6), spoofed(GHOST6, host6))
    assert len(attack.heard(OPEN)) == 3
    assert "martian" not in attack.counted()


def test_t_att_10_tcp_from_the_hosts_own_address_opens_nothing(attack: Siege) -> None:
    """The land attack: from and to one address and port."""
    for version, own in ((4, attack.site.host.address), (6, attack.site.host.address6)):
        address = int(ip_address(own))
        fields = {"source": address, "destination": address, "source_port": OPEN}
        attack.send(attack.tcp(OPEN, version, fields=fields))
    assert attack.answers(OPEN) == 0
    assert attack.dropped() == {"martian": 1}  # the other one Linux refuses


@pytest.mark.parametrize("version", [4, 6])
def test_broadcast_and_multicast_are_policed_as_what_is_for_the_host(attack: Siege, version: int) -> None:
    groups = ("255.255.255.255", "224.0.0.1") if version == 4 else ("ff02::1", "ff01::1")
    ghost = GHOST if version == 4 else GHOST6
    made = [spoofed(ghost, group, port) for group in groups for port in (OPEN, CLOSED)]
    assert attack.judged(*made) == made[::2]
    assert attack.heard(OPEN)
    assert attack.heard(CLOSED) == []


@pytest.mark.parametrize("version", [4, 6])
def test_jumbo_frames_are_policed_as_small_ones(attack: Siege, version: int) -> None:
    """At XDP more than it has in one buffer; at tc as much as the other's XDP program there lets through."""
    site = attack.site
    (status,) = site.driver.status()
    size = 9000 if status.acceleration.value.startswith("xdp") else 3400
    for end in (site.host, site.peer):
        end.run("ip", "link", "set", end.interface, "mtu", str(size))
    content = bytes(size - 100)
    made = [attack.udp(port, version, payload=content) for port in (OPEN, CLOSED)]
    assert attack.judged(*made) == made[:1]
    assert attack.heard(OPEN) == [content]
    assert attack.heard(CLOSED) == []


# ---- T-ATT-11


ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4, 137)}


def error(attack: Siege, about: Packet, kind: int, code: int = 0, value: int = 0, source: int | None = None) -> bytes:
    """An ICMP error about a packet, from its sender's peer; `value`: an MTU, where the kind has one."""
    protocol = ICMP if about.version == 4 else ICMPV6
    packet = attack.packet(about.version, protocol, icmp_type=kind, icmp_code=code, inner=about)
    if source is not None:
        packet = Packet(**{name: getattr(packet, name) for name in packet.__slots__} | {"source": source})
    made = bytearray(frame(packet)[12:])
    start = 22 if about.version == 4 else 42
    place = start + 4
    made[place : place + 4] = pack("!I", value)
    made[start + 2 : start + 4] = bytes(2)
    made[start + 2 : start + 4] = pack("!H", summed(packet, bytes(made[start:])))
    return bytes(made)


def summed(packet: Packet, body: bytes) -> int:
    """The checksum of ICMP, which ICMPv6 takes over a pseudo-header, too (RFC 4443 section 2.3)."""
    from frames import checksum

    if packet.version == 4:
        return checksum(body)
    ends = packet.source.to_bytes(16, "big") + packet.destination.to_bytes(16, "big")
    return checksum(ends + pack("!II", len(body), ICMPV6) + body)


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_11_errors_about_flows_of_nobody_are_dropped(attack: Siege, version: int) -> None:
    """Their inner header names the open port, the closed one, a protocol without ports, or nothing that can be read."""
    site = attack.site
    host, peer = (
        int(ip_address(one)) for one in ((site.host.address, GHOST) if version == 4 else (site.host.address6, GHOST6))
    )
    ends = {"source": host, "destination": peer}
    inners = [
        attack.packet(version, protocol, source_port=port, destination_port=40000, **ends)
        for protocol in (TCP, UDP)
        for port in (OPEN, CLOSED)
    ]
    inners.append(attack.packet(version, GRE, **ends))
    made = [error(attack, one, kind) for one in inners for kind in ERRORS[version]]
    echo = {"icmp_type": 8 if version == 4 else 128, "icmp_code": 0}
    made += [error(attack, attack.packet(version, ICMP if version == 4 else ICMPV6, **echo, **ends), 3)]
    made += [one[: (42 if version == 4 else 62)] for one in made[:5]]
    assert attack.judged(*made) == []
    assert attack.heard(OPEN) == []


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_11_icmp_is_policed_by_type_and_code(attack: Siege, version: int) -> None:
    """An echo request that is allowed opens nothing for its neighbours: other types, codes, and replies to nothing."""
    protocol, name = (ICMP, "ICMP") if version == 4 else (ICMPV6, "ICMPv6")
    ask = 8 if version == 4 else 128
    rules = [{"action": "Allow", "protocol": name, "icmp": {"type": ask, "code": 0}}]
    attack.site.program(policy("echo", rules, order=5, untracked=attack.is_untracked))

    def icmp(kind: int, code: int) -> bytes:
        return frame(attack.packet(version, protocol, icmp_type=kind, icmp_code=code, icmp_id=9))[12:]

    essential = () if version == 4 else (130, 131, 132, 143)
    kinds = [kind for kind in range(256) if kind not in essential and kind != ask]
    attack.reached()
    attack.send(*(icmp(kind, 0) for kind in kinds), *(icmp(ask, code) for code in range(1, 256)))
    assert attack.reached() == []
    attack.send(icmp(ask, 0))
    assert attack.reached() == [icmp(ask, 0)]


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_11_a_forged_mtu_of_68_stops_no_connection(attack: Siege, version: int) -> None:
    """Of a known connection it is let in, as a real one would be, and Linux does not go below its own least MTU; of any
    other connection it does not arrive."""
    site = attack.site
    address, peer_address = (
        (site.host.address, site.peer.address) if version == 4 else (site.host.address6, site.peer.address6)
    )
    ends = {"source": int(ip_address(address)), "destination": int(ip_address(peer_address))}
    kind, code = (3, 4) if version == 4 else (2, 0)
    import socket

    with site.peer.entered():
        client = socket.create_connection((address, OPEN), timeout=5)
    with client:
        port = client.getsockname()[1]
        known = attack.packet(version, TCP, source_port=OPEN, destination_port=port, tcp_flags=ACK, **ends)
        other = attack.packet(version, TCP, source_port=OPEN, destination_port=port ^ 1, tcp_flags=ACK, **ends)
        attack.reached()
        for about in (other, known):
            attack.send(*(error(attack, about, kind, code, mtu) for mtu in (68, 0, 1, 1279)))
        came = attack.reached()
        assert len(came) == (0 if attack.is_untracked else 4)
        route = site.host.run("ip", "route", "get", peer_address)
        mtu = re.search(r"mtu (\d+)", route)
        assert mtu is None or int(mtu.group(1)) >= (552 if version == 4 else 1280)
    assert connects(site.peer, address, OPEN, patience_s=5)


@pytest.mark.parametrize("version", [4, 6])
def test_t_att_11_a_redirect_about_nothing_changes_no_route(attack: Siege, version: int) -> None:
    site = attack.site
    address, peer_address = (
        (site.host.address, site.peer.address) if version == 4 else (site.host.address6, site.peer.address6)
    )
    before = site.host.run("ip", "route", "get", peer_address)
    ends = {"source": int(ip_address(address)), "destination": int(ip_address(peer_address))}
    about = attack.packet(version, TCP, source_port=OPEN, destination_port=999, tcp_flags=SYN | ACK, **ends)
    kind = 5 if version == 4 else 137
    gateway = int(ip_address(GHOST)) if version == 4 else 0
    made = [error(attack, about, kind, code, gateway, source=ends["destination"]) for code in range(4)]
    assert attack.judged(*made) == []
    assert site.host.run("ip", "route", "get", peer_address) == before
