"""Frames read from the RFCs, in the plainest Python there is: what a packet is, that policy is then asked about.

The programs read the same bytes in C (bpf/include/tortie/parse.h), with bounds for the verifier and memory between
calls; nothing here is taken from there. `frames.py` writes what this reads, so that each checks the other.
"""

from dataclasses import dataclass
from struct import unpack_from

from frames import AUTHENTICATION_HEADER, FRAGMENT_HEADER, REDIRECT, SERVICE_VLAN, VLAN
from tortie.model.packet import ICMP, ICMP_ERRORS, ICMPV6, PORTED, SCTP, TCP, Fragment, Packet
from tortie.model.verdict import Reason

IPV4, IPV6 = 0x0800, 0x86DD
EXTENSIONS = (0, 43, FRAGMENT_HEADER, AUTHENTICATION_HEADER, 60)
MOST_EXTENSIONS = 6
END_OF_OPTIONS, NO_OPERATION, SOURCE_ROUTES = 0, 1, (131, 137)
UNSAID = 1 << 16
"""Bytes behind an IP header whose length field is 0, as jumbograms (RFC 2675) and large segments have it: one more than
the field can say."""
MOST_OPTIONS = 4
"""Options of a redirect that are looked at for the packet that it is about."""


class _Short(Exception):
    """Something that has to be there is not."""


@dataclass(frozen=True, slots=True)
class _Body:
    """Bytes behind a header: those that came, and how many the packet says are its own."""

    data: bytes
    size: int

    def take(self, count: int, start: int = 0) -> bytes:
        """That many bytes from there. Raises: _Short."""
        if start + count > min(len(self.data), self.size):
            raise _Short
        return self.data[start : start + count]

    def has(self, count: int) -> bool:
        """Whether there are so many."""
        return count <= min(len(self.data), self.size)

    def behind(self, count: int) -> "_Body":
        """What follows so many bytes."""
        return _Body(self.data[count:], self.size - count)


def dissect(data: bytes, vlans: frozenset[int] = frozenset()) -> Packet | Reason:
    """The packet in a frame, or why there is none to ask policy about. `vlans`: ids that VLAN devices take."""
    try:
        found = _link(data, vlans)
        if isinstance(found, Reason):
            return found
        kind, inside = found
        return _ipv4(inside) if kind == IPV4 else _ipv6(inside) if kind == IPV6 else Reason.NOT_IP
    except _Short:
        return Reason.MALFORMED


def _link(data: bytes, vlans: frozenset[int]) -> tuple[int, bytes] | Reason:
    """Ethertype and content behind Ethernet and up to two tags (IEEE 802.1Q). Linux gives a frame to the VLAN device of
    its outer tag; a tag with id 0 is only a priority, and the next one counts."""
    place, ids = 12, list[int]()
    while (kind := _word(data, place)) in (VLAN, SERVICE_VLAN):
        if len(ids) == 2:
            return Reason.MALFORMED
        _word(data, place + 4)
        ids.append(_word(data, place + 2) & 0xFFF)
        if ids[-1] in vlans and not any(ids[:-1]):
            return Reason.VLAN
        place += 4
    return kind, data[place + 2 :]


def _word(data: bytes, place: int) -> int:
    if place + 2 > len(data):
        raise _Short
    return int.from_bytes(data[place : place + 2], "big")


def _ipv4(data: bytes) -> Packet | Reason:
    """RFC 791."""
    _Body(data, UNSAID).take(20)
    first, said, number, place, hop_limit, protocol = unpack_from("!BxHHHBB", data)
    size = 4 * (first & 15)
    if first >> 4 != 4 or size < 20 or size > len(data) or 0 < said < size:
        return Reason.MALFORMED
    if wrong := _options(data[20:size]):
        return wrong
    fields = {"version": 4, "protocol": protocol, "hop_limit": hop_limit}
    fields |= {"source": int.from_bytes(data[12:16], "big"), "destination": int.from_bytes(data[16:20], "big")}
    fragment = _fragment(place & 0x1FFF, is_more=bool(place & 0x2000))
    if fragment is not Fragment.WHOLE:
        fields["fragment_id"] = number
    return _transport(fields, fragment, _Body(data[size:], said - size if said else UNSAID))


def _options(data: bytes) -> Reason | None:
    """What is wrong with the options of a header: they are broken, or ask for a way (RFC 791 section 3.1)."""
    while data and data[0] != END_OF_OPTIONS:
        if data[0] in SOURCE_ROUTES:
            return Reason.SOURCE_ROUTE
        if data[0] == NO_OPERATION:
            data = data[1:]
        elif len(data) < 2 or not 2 <= data[1] <= len(data):
            return Reason.MALFORMED
        else:
            data = data[data[1] :]
    return None


def _ipv6(data: bytes) -> Packet | Reason:
    """RFC 8200; the authentication header of RFC 4302; what RFC 5095 says of the routing header."""
    _Body(data, UNSAID).take(40)
    first, said, following, hop_limit = unpack_from("!IHBB", data)
    if first >> 28 != 6:
        return Reason.MALFORMED
    fields = {"version": 6, "hop_limit": hop_limit}
    fields |= {"source": int.from_bytes(data[8:24], "big"), "destination": int.from_bytes(data[24:40], "big")}
    body = _Body(data[40:], said or UNSAID)
    fragment, number, count, is_cut = Fragment.WHOLE, 0, 0, False
    while following in EXTENSIONS and fragment is not Fragment.LATER:
        if count == MOST_EXTENSIONS:
            return Reason.IPV6_EXT
        count += 1
        kind, size = following, body.data[1] if len(body.data) > 1 else 0
        if len(body.data) < 8:
            raise _Short
        following = body.data[0]
        if kind == FRAGMENT_HEADER:
            place, number = unpack_from("!HI", body.data, 2)
            found = _fragment(place >> 3, is_more=bool(place & 1))
            fragment = fragment if found is Fragment.WHOLE else found
        elif kind == 43 and body.data[2] == 0 and body.data[3]:
            return Reason.SOURCE_ROUTE
        size = 8 if kind == FRAGMENT_HEADER else 4 * (size + 2) if kind == AUTHENTICATION_HEADER else 8 * (size + 1)
        is_cut = size > len(body.data)
        body = body.behind(size)
    if is_cut or body.size < 0:
        return Reason.MALFORMED
    if fragment is not Fragment.WHOLE:
        fields["fragment_id"] = number
    return _transport(fields | {"protocol": following}, fragment, body)


def _fragment(offset: int, *, is_more: bool) -> Fragment:
    return Fragment.LATER if offset else Fragment.FIRST if is_more else Fragment.WHOLE


def _transport(fields: dict[str, int], fragment: Fragment, body: _Body) -> Packet:
    """The packet with what its transport header says: of TCP, UDP and SCTP 8 bytes have to be there, of ICMP 4."""
    protocol, state = fields["protocol"], dict[str, object]()
    if fragment is Fragment.LATER:
        pass
    elif protocol in PORTED:
        state["source_port"], state["destination_port"] = unpack_from("!HH", body.take(8))
        if protocol == TCP:
            state |= _tcp(body, is_whole=fragment is Fragment.WHOLE)
        elif protocol == SCTP:  # RFC 9260 section 3.2
            state["is_sctp_init"] = body.has(13) and body.data[12] == 1
    elif protocol in (ICMP, ICMPV6):
        state["icmp_type"], state["icmp_code"] = body.take(4)[:2]
        state["icmp_id"] = int.from_bytes(body.data[4:6], "big") if body.has(6) else 0
        if (fields["version"], protocol) in ((4, ICMP), (6, ICMPV6)) and state["icmp_type"] in ICMP_ERRORS[protocol]:
            state["inner"] = _inner(fields["version"], body, is_redirect=(protocol, body.data[0]) == (ICMPV6, REDIRECT))
    return Packet(**fields, fragment=fragment, **state)  # type: ignore[arg-type]


def _tcp(body: _Body, *, is_whole: bool) -> dict[str, object]:
    """RFC 9293. A header that is not all there has no flags; the options of a first fragment may be in the next one."""
    size = 4 * (body.data[12] >> 4) if body.has(20) else 0
    if size < 20 or body.size < (size if is_whole else 20):
        return {"tcp_flags": 0}
    sequence, acknowledgement, flags = unpack_from("!II1xB", body.data, 4)
    found = {"sequence": sequence, "acknowledgement": acknowledgement, "tcp_flags": flags}
    return found | {"payload_bytes": body.size - size}


def _inner(version: int, body: _Body, *, is_redirect: bool) -> Packet | None:
    """The packet that an ICMP error is about, as far as its ports; None where nobody can tell.

    Source: RFC 792, RFC 4443; of a redirect of ICMPv6, RFC 4861 sections 4.5 and 4.6.3. Of extension headers, only
    that of a fragment is looked into.
    """
    try:
        return _about(version, (_redirected(body) if is_redirect else body).behind(8))
    except _Short:
        return None


def _redirected(body: _Body) -> _Body:
    """From the option of a redirect that has the packet."""
    body = body.behind(40)
    for _ in range(MOST_OPTIONS):
        kind, size = body.take(8)[:2]
        if kind == 4:
            return body
        body = body.behind(8 * size)
    raise _Short


def _about(version: int, body: _Body) -> Packet:
    head = body.take(20 if version == 4 else 40)
    if head[0] >> 4 != version or (version == 4 and head[0] & 15 < 5):
        raise _Short
    if version == 4:
        protocol, is_later, size = head[9], bool(unpack_from("!H", head, 6)[0] & 0x1FFF), 4 * (head[0] & 15)
        ends = head[12:16], head[16:20]
    else:
        protocol, is_later, size = head[6], False, 40
        ends = head[8:24], head[24:40]
        if protocol == FRAGMENT_HEADER:
            more = body.take(8, 40)
            protocol, is_later, size = more[0], bool(unpack_from("!H", more, 2)[0] >> 3), 48
    source, destination = (int.from_bytes(end, "big") for end in ends)
    shown: dict[str, int] = {}
    if not is_later and protocol in PORTED:
        shown["source_port"], shown["destination_port"] = unpack_from("!HH", body.take(8, size))
    elif not is_later and protocol in (ICMP, ICMPV6):
        shown["icmp_type"], shown["icmp_code"], shown["icmp_id"] = unpack_from("!BBxxH", body.take(8, size))
    fragment = Fragment.LATER if is_later else Fragment.WHOLE
    return Packet(
        version=version, protocol=protocol, source=source, destination=destination, fragment=fragment, **shown
    )
