"""The named nft sets of one table: their types and elements in nft's text, and elements in the kernel's words."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from tortie.dataplane.alternatives import outermost
from tortie.dataplane.named_sets import NamedSet
from tortie.kernel.nftbatch import Element
from tortie.model.address import WIDTH, Net, format_address
from tortie.model.ipset import Member, PortMember

ADDRESS_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}


def type_text(named: NamedSet) -> str:
    """The set's key type, and its flags."""
    address = ADDRESS_TYPE[named.version]
    return f"type {address} . inet_proto . inet_service;" if named.has_ports else f"type {address}; flags interval;"


def elements_of(named: NamedSet, members: Iterable[Member]) -> list[str]:
    """Elements in nft's text for those members, sorted."""
    if named.has_ports:
        return [format_element(member) for member in sorted(members)]
    # An interval set of nft refuses overlapping elements.
    return [format_element(net) for net in outermost(m for m in members if isinstance(m, Net))]


def format_element(member: Member) -> str:
    """A member in nft's text."""
    if isinstance(member, PortMember):
        return f"{format_address(member.version, member.address)} . {member.protocol} . {member.port}"
    return format_address(member.version, member.address) if member.is_host else str(member)


def kernel_elements(members: Iterable[Member]) -> Iterator[Element]:
    """Members as nft puts them into the kernel: of a net where it begins, and what comes behind it. A field of several
    fills up four bytes."""
    for member in members:
        width = WIDTH[member.version]
        address = member.address.to_bytes(width // 8, "big")
        if isinstance(member, PortMember):
            yield Element(address + struct.pack(">B3xH2x", member.protocol, member.port))
            continue
        yield Element(address)
        behind = member.address + (1 << width - member.length)
        if behind >> width == 0:  # nothing comes behind the last address
            yield Element(behind.to_bytes(width // 8, "big"), ends=True)


def set_text(name: str, kind: str, elements: Sequence[str]) -> str:
    """The declaration of a set."""
    lines = [f"\tset {name} {{", f"\t\t{kind}"]
    if elements:
        lines.append(f"\t\telements = {{ {', '.join(elements)} }}")
    return "\n".join((*lines, "\t}"))
