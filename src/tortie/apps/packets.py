"""A packet in the words of a person (`tcp/6379`, two addresses), and back."""

from dataclasses import dataclass

from tortie.apps.failure import Code, Failure
from tortie.apps.sentences import flag_names
from tortie.model.address import InvalidAddress, format_address, parse_address
from tortie.model.essential import NEIGHBOUR_HOP_LIMIT
from tortie.model.packet import (
    ACK,
    FIN,
    ICMP,
    ICMPV6,
    PORTED,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    URG,
    Fragment,
    Packet,
)

PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6, "udplite": UDPLITE}
NAMES = {TCP: "TCP", UDP: "UDP", SCTP: "SCTP", ICMP: "ICMP", ICMPV6: "ICMPv6", UDPLITE: "UDPLite"}
"""As documents call them."""
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG}
ECHO_REQUEST = {ICMP: 8, ICMPV6: 128}
EXTENSIONS = (43, 44, 51, 60)
"""Headers that stand before the protocol of an IPv6 packet (RFC 8200, section 4), and so are none themselves."""
EPHEMERAL = 40000
"""The source port of a packet whose source port nobody named."""
HOP_LIMIT = 64


@dataclass(frozen=True, slots=True)
class _Protocol:
    number: int
    argument: str


def parse_packet(
    source: str,
    destination: str,
    protocol: str,
    source_port: int | None,
    *,
    flags: str | None = None,
    is_established: bool = False,
) -> Packet:
    """The packet that the words describe: `tcp/6379`, `udp/53`, `icmp`, `icmpv6/128`, `icmp/3.4`, `47`.

    `flags` are TCP's, letters of FSRPAU; without them it is a SYN, or an ACK where it is of an established connection.

    Raises: Failure USAGE.
    """
    version, source_address = _address(source, "SRC")
    other, destination_address = _address(destination, "DST")
    if version != other:
        raise _usage(
            f"SRC {source} is IPv{version} and DST {destination} is IPv{other}; give two addresses of one family"
        )
    wanted = _protocol(protocol)
    number = wanted.number
    if version == 6 and number in EXTENSIONS:
        raise _usage(f"{number} is an extension header of IPv6; give the protocol that comes after it")
    if flags is not None and number != TCP:
        raise _usage(f"--flags means nothing for {protocol}; leave it out")
    if number in (ICMP, ICMPV6):
        if source_port is not None:
            raise _usage(f"--sport means nothing for {protocol}; leave it out")
        kind, code = _icmp(wanted, protocol)
        limit = NEIGHBOUR_HOP_LIMIT if number == ICMPV6 and kind in range(133, 138) else HOP_LIMIT
        return Packet(
            version=version,
            protocol=number,
            source=source_address,
            destination=destination_address,
            icmp_type=kind,
            icmp_code=code,
            hop_limit=limit,
        )
    ports = _ports(wanted, protocol, source_port) if number in PORTED else (None, None)
    if number not in PORTED and (wanted.argument or source_port is not None):
        raise _usage(f"protocol {protocol} has no ports that policy can name; give it without /PORT and --sport")
    return Packet(
        version=version,
        protocol=number,
        source=source_address,
        destination=destination_address,
        source_port=ports[0],
        destination_port=ports[1],
        tcp_flags=_flags(flags) if flags is not None else ACK if is_established else SYN,
    )


def protocol_name(number: int) -> str:
    """As documents call it: `TCP`, `ICMPv6`, or the number."""
    return NAMES.get(number) or str(number)


def describe(packet: Packet) -> str:
    """`tcp 10.0.0.1:40000 > 10.0.0.2:80`; TCP flags are told unless it is a SYN."""
    name = next((name for name, one in PROTOCOLS.items() if one == packet.protocol), f"protocol {packet.protocol}")
    if packet.icmp_type is not None:
        name = f"{name} type {packet.icmp_type} code {packet.icmp_code}"
    if packet.protocol == TCP and packet.fragment is not Fragment.LATER and packet.tcp_flags != SYN:
        name = f"{name} {flag_names(packet.tcp_flags)}"
    source = _with_port(packet.version, packet.source, packet.source_port)
    return f"{name} {source} > {_with_port(packet.version, packet.destination, packet.destination_port)}"


def _with_port(version: int, address: int, port: int | None) -> str:
    text = format_address(version, address)
    if port is None:
        return text
    return f"[{text}]:{port}" if version == 6 else f"{text}:{port}"


def _address(text: str, name: str) -> tuple[int, int]:
    try:
        return parse_address(text)
    except InvalidAddress as error:
        raise _usage(f"{name}: {error}; give an address such as 10.0.0.1 or 2001:db8::1") from None


def _protocol(text: str) -> _Protocol:
    name, _, argument = text.partition("/")
    number = PROTOCOLS.get(name.lower())
    if number is None:
        number = _number(name, 1, 255)
    if number is None:
        raise _usage(f"{name[:40]!r} is no protocol; use one of {', '.join(PROTOCOLS)} or a number from 1 to 255")
    return _Protocol(number, argument)


def _ports(wanted: _Protocol, text: str, source_port: int | None) -> tuple[int, int]:
    port = _number(wanted.argument, 0, 65535)
    if port is None:
        raise _usage(f"{text[:40]!r} needs a destination port from 0 to 65535, such as tcp/6379")
    return EPHEMERAL if source_port is None else source_port, port


def _flags(letters: str) -> int:
    found = 0
    for letter in letters.upper():
        if letter not in FLAGS:
            raise _usage(
                f"{letters[:40]!r} are no TCP flags; use letters of {''.join(FLAGS)}, such as SA for a SYN-ACK"
            )
        found |= FLAGS[letter]
    return found


def _icmp(wanted: _Protocol, text: str) -> tuple[int, int]:
    if not wanted.argument:
        return ECHO_REQUEST[wanted.number], 0
    kind, _, code = wanted.argument.partition(".")
    numbers = _number(kind, 0, 255), _number(code or "0", 0, 255)
    if numbers[0] is None or numbers[1] is None:
        raise _usage(f"{text[:40]!r} needs a type from 0 to 255 and perhaps a code, such as icmp/8 or icmp/3.4")
    return numbers[0], numbers[1]


def _number(text: str, least: int, most: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    value = int(text)
    return value if least <= value <= most else None


def _usage(message: str) -> Failure:
    return Failure(Code.USAGE, message)
