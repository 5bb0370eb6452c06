"""Addresses and networks as integers.

An address is an `int` in host order beside its IP version (4 or 6); a `Net` is a network with its host bits zero.
A single address is a `Net` of full length, so that sets hold one type.
"""

from typing import NamedTuple

WIDTH = {4: 32, 6: 128}


class InvalidAddress(ValueError):
    """Text that is no IP address or network; the message says what was found and what was expected."""


class Net(NamedTuple):
    """A network: IP version, address with zero host bits, prefix length."""

    version: int
    address: int
    length: int

    def contains(self, version: int, address: int) -> bool:
        """Whether the address lies in this network."""
        shift = WIDTH[self.version] - self.length
        return version == self.version and address >> shift == self.address >> shift

    @property
    def is_host(self) -> bool:
        """Whether this network is one address."""
        return self.length == WIDTH[self.version]

    def __str__(self) -> str:
        return f"{format_address(self.version, self.address)}/{self.length}"


def parse_address(text: str) -> tuple[int, int]:
    """IP version and integer of an address. IPv4-mapped IPv6 text counts as IPv4.

    Raises: InvalidAddress.
    Source: reference resources.md section 2 (leading zeros in IPv4 octets are refused).
    """
    parts = text.split(".")
    if len(parts) == 4 and ":" not in text:
        value = 0
        for part in parts:
            if (
                not (part.isascii() and part.isdigit())
                or len(part) > 3
                or (part[0] == "0" and part != "0")
                or int(part) > 255
            ):
                raise InvalidAddress(f"{text!r} is not an IP address")
            value = value << 8 | int(part)
        return 4, value
    if "%" in text or len(text) > 45:
        raise InvalidAddress(f"{text[:60]!r} is not an IP address")
    import ipaddress  # takes as long to load as a hundred addresses to read

    try:
        six = ipaddress.IPv6Address(text)
    except ValueError:
        raise InvalidAddress(f"{text!r} is not an IP address") from None
    value = int(six)
    return (4, value & 0xFFFFFFFF) if value >> 32 == 0xFFFF else (6, value)


def parse_net(text: str, *, strict: bool) -> Net:
    """The network that `address/length` (or a bare address) names; loose text gets its host bits masked.

    Raises: InvalidAddress, also for set host bits when strict.
    """
    head, slash, tail = text.partition("/")
    version, address = parse_address(head)
    width = WIDTH[version]
    if not slash:
        return Net(version, address, width)
    if not (tail.isascii() and tail.isdigit()) or len(tail) > 3 or (len(tail) > 1 and tail[0] == "0"):
        raise InvalidAddress(f"{text!r} has no valid prefix length")
    length = int(tail)
    if version == 4 and ":" in head:
        length -= 96
    if not 0 <= length <= width:
        raise InvalidAddress(f"{text!r} has a prefix length outside 0 to {width}")
    masked = address >> (width - length) << (width - length)
    if strict and masked != address:
        raise InvalidAddress(f"{text!r} has host bits set; the network is {format_address(version, masked)}/{length}")
    return Net(version, masked, length)


def format_address(version: int, address: int) -> str:
    """Canonical text of an address (RFC 5952 for IPv6)."""
    if version == 4:
        return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))
    import ipaddress

    return str(ipaddress.IPv6Address(address))
