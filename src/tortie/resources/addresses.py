"""The value types of the API that are addresses: networks, IP and MAC addresses.

Source: reference resources.md section 2.
"""

import re
from collections.abc import Mapping

from tortie.model.address import WIDTH, InvalidAddress, format_address, parse_address, parse_net
from tortie.resources.fields import BAD, Decoder, Json, Missing, decoder, describe
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems, shorten
from tortie.resources.values import PLACEHOLDER, anchored, pattern, refuse_placeholder, text

# 6, 8 or 20 octets, in pairs of digits or in fours: EUI-48, EUI-64 and what InfiniBand has.
_PAIRS = "|".join(f"[0-9a-fA-F]{{2}}(?:{mark}[0-9a-fA-F]{{2}}){{{count}}}" for mark in ":-" for count in (5, 7, 19))
_FOURS = "|".join(f"[0-9a-fA-F]{{4}}(?:[.][0-9a-fA-F]{{4}}){{{count}}}" for count in (2, 3, 9))
_MAC = rf"(?:{_PAIRS}|{_FOURS})\Z"
_ADDRESS = "[0-9a-fA-F.:]{2,45}"
mac = pattern("TT1106", _MAC, "a MAC address such as 0a:1b:2c:3d:4e:5f", may_be_empty=True)
"""Decoder of a MAC address; empty text counts as absent."""


def net(
    *,
    strict: bool,
    may_be_address: bool,
    version: int | None = None,
    may_be_mapped: bool = True,
    lengths: Mapping[int, int] = WIDTH,
) -> Decoder:
    """Decoder of a network: strict ones have no host bits set; a bare address may be one or not.

    `version`: the only IP version that is accepted; `may_be_mapped`: IPv4 may be written as IPv6. `lengths`: by IP
    version, the prefix length of the network that a bare address is probably meant to be.
    """
    length = "(/[0-9]{1,3})?" if may_be_address else "/[0-9]{1,3}"
    which = "" if version is None else f"IPv{version} "
    expected = f"{which}address/length" + (f" or an {which}address" if may_be_address else "")

    @decoder(type="string", pattern=anchored(_ADDRESS + length))
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = text(node, path, problems)
        if not isinstance(value, str):
            return value
        try:
            parsed = parse_net(value, strict=strict)
        except InvalidAddress as error:
            if re.match(PLACEHOLDER, value):
                return refuse_placeholder(node, path, problems, value, expected)
            problems.add("TT1106", node, path, f"invalid CIDR: {shorten(str(error), 120)}", expected=expected)
            return BAD
        if "/" not in value and not may_be_address:
            meant = parse_net(f"{format_address(*parsed[:2])}/{lengths[parsed.version]}", strict=False)
            remedy = f"write {meant}"
            problems.add("TT1106", node, path, "invalid CIDR", found=describe(node), expected=expected, remedy=remedy)
            return BAD
        if parsed.version != (version or parsed.version) or (
            parsed.version == 4 and ":" in value and not may_be_mapped
        ):
            problems.add("TT1106", node, path, "wrong form of address", found=describe(node), expected=expected)
            return BAD
        return value

    return decode


def address_of(version: int | None = None) -> Decoder:
    """Decoder of an address without a mask, of that IP version or of any."""
    expected = f"an {'IP' if version is None else f'IPv{version}'} address without a mask"

    @decoder(type="string", pattern=anchored(_ADDRESS))
    def decode(node: Node, path: str, problems: Problems) -> Json | Missing:
        value = text(node, path, problems)
        if not isinstance(value, str):
            return value
        try:
            parsed, _ = parse_address(value)
        except InvalidAddress:
            if re.match(PLACEHOLDER, value):
                return refuse_placeholder(node, path, problems, value, "the address of the node's interface")
            problems.add("TT1106", node, path, "invalid IP address", found=describe(node), expected=expected)
            return BAD
        if parsed != (version or parsed):
            problems.add("TT1106", node, path, "wrong IP version", found=describe(node), expected=expected)
            return BAD
        return value

    return decode


address = address_of()
"""Decoder of an address of either version."""


def net_identity(value: Json) -> object:
    """What makes two spellings of a network (or address) the same."""
    return parse_net(str(value), strict=False)
