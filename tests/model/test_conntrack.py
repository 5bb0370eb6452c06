"""The connection table: which packets open, belong to, invalidate and end a flow. Rows of semantics.md by name."""

from dataclasses import replace
from random import Random

import pytest

from conversations import random_conversation
from strategies import random_normal_case
from tortie.model.conntrack import ConnectionTable, Flow, FlowState, Relation, Timeouts, can_open, key_of
from tortie.model.packet import (
    ACK,
    CWR,
    ECE,
    FIN,
    ICMP,
    ICMPV6,
    PSH,
    RST,
    SCTP,
    SYN,
    TCP,
    UDP,
    UDPLITE,
    URG,
    Direction,
    Fragment,
    Packet,
)

IN, OUT = Direction.INGRESS, Direction.EGRESS
NEW, ESTABLISHED, RELATED, INVALID = Relation.NEW, Relation.ESTABLISHED, Relation.RELATED, Relation.INVALID
HOST, CLIENT, OTHER = 0x0A000001, 0xCB007109, 0xC6336405


def tcp(flags: int, *, reply: bool = False, seq: int = 0, ack: int = 0, size: int = 0, **fields: int) -> Packet:
    """A packet of the client's connection to port 80 of the host, or of the host's side of it."""
    values = {"source": CLIENT, "source_port": 40000, "destination": HOST, "destination_port": 80} | fields
    packet = Packet(
        version=4,
        protocol=TCP,
        tcp_flags=flags,
        sequence=seq,
        acknowledgement=ack,
        payload_bytes=size,
        **values,  # type: ignore[arg-type]
    )
    return swapped(packet) if reply else packet


def udp(source: int = CLIENT, sport: int = 40000, destination: int = HOST, dport: int = 53) -> Packet:
    return Packet(
        version=4, protocol=UDP, source=source, source_port=sport, destination=destination, destination_port=dport
    )


def icmp(kind: int, source: int = CLIENT, destination: int = HOST, *, number: int = 7, version: int = 4) -> Packet:
    protocol = ICMP if version == 4 else ICMPV6
    return Packet(
        version=version,
        protocol=protocol,
        source=source,
        destination=destination,
        icmp_type=kind,
        icmp_code=0,
        icmp_id=number,
    )


def error(kind: int, inner: Packet | None, source: int = OTHER) -> Packet:
    about = inner or udp()
    return replace(icmp(kind, source, about.source, version=about.version), icmp_id=0, inner=inner)


def plain(protocol: int) -> Packet:
    return Packet(version=4, protocol=protocol, source=CLIENT, destination=HOST)


def swapped(packet: Packet) -> Packet:
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        source_port=packet.destination_port,
        destination_port=packet.source_port,
    )


def table_with(*packets: Packet, at_s: float = 0.0) -> ConnectionTable:
    """A table that followed these, all allowed."""
    table = ConnectionTable()
    for packet in packets:
        table.follow(packet, IN, "eth0", at_s)
    return table


def flow_of(table: ConnectionTable) -> Flow:
    (flow,) = table
    return flow


HANDSHAKE = (tcp(SYN, seq=99), tcp(SYN | ACK, reply=True, seq=499, ack=100), tcp(ACK, seq=100, ack=500))
FINS = (
    tcp(FIN | ACK, seq=100, ack=500),
    tcp(FIN | ACK, reply=True, seq=500, ack=101),
    tcp(ACK, seq=101, ack=501),
)


class TestTcpFlags:
    """Rows "TCP flags" and "New TCP flow"."""

    OPENING = (SYN, ACK, SYN | URG, ACK | URG)
    POSSIBLE = (SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK, SYN | URG, ACK | URG, FIN | ACK | URG)

    @pytest.mark.parametrize("flags", range(256))
    def test_of_all_flags_a_syn_or_a_bare_ack_opens_and_the_rest_is_invalid(self, flags: int) -> None:
        significant = flags & ~(PSH | ECE | CWR)
        table = ConnectionTable()
        assert table.relation(tcp(flags)) is (NEW if significant in self.OPENING else INVALID)
        table.follow(tcp(flags), IN, "eth0", 0.0)
        assert len(table) == (significant in self.OPENING)

    @pytest.mark.parametrize("flags", range(256))
    def test_of_all_flags_the_possible_ones_belong_to_a_flow_and_the_rest_is_invalid(self, flags: int) -> None:
        expected = ESTABLISHED if flags & ~(PSH | ECE | CWR) in self.POSSIBLE else INVALID
        for table in (table_with(HANDSHAKE[0]), table_with(*HANDSHAKE)):
            assert table.relation(tcp(flags)) is expected
            assert table.relation(tcp(flags, reply=True)) is expected

    @pytest.mark.parametrize("flags", [0, FIN, SYN | FIN, SYN | RST, 255])
    def test_impossible_flags_change_nothing_in_a_flow(self, flags: int) -> None:
        table = table_with(*HANDSHAKE)
        before = replace(flow_of(table))
        table.follow(tcp(flags, reply=True, seq=1), IN, "eth0", 50.0)
        assert flow_of(table) == before


class TestConfirmation:
    """Who opens a flow confirms it by what only the receiver of the answer can know."""

    @pytest.mark.parametrize("off", [1, 2000, 1 << 31, -(1 << 16) - 1, -(1 << 24)])
    def test_an_acknowledgement_of_what_was_not_sent_confirms_nothing(self, off: int) -> None:
        table = table_with(*HANDSHAKE[:2], tcp(ACK, seq=100, ack=500 + off & 0xFFFFFFFF))
        assert flow_of(table).state is FlowState.OPENING

    @pytest.mark.parametrize("off", [0, -1, -(1 << 16)])
    def test_an_acknowledgement_of_what_was_sent_lately_confirms(self, off: int) -> None:
        table = table_with(*HANDSHAKE[:2], tcp(ACK, seq=100, ack=500 + off & 0xFFFFFFFF))
        assert flow_of(table).state is FlowState.ESTABLISHED

    def test_of_udp_the_second_packet_of_the_opener_confirms(self) -> None:
        assert flow_of(table_with(udp(), swapped(udp()), udp())).state is FlowState.ESTABLISHED


class TestForgedEnd:
    """One end is done, and a stranger says that the other is."""

    @pytest.mark.parametrize("off", [(1 << 24) + 1, 1 << 31, -1000])
    def test_a_fin_far_from_what_was_acknowledged_ends_nothing(self, off: int) -> None:
        half = (*HANDSHAKE, FINS[1])
        forged = tcp(FIN | ACK, seq=100 + off & 0xFFFFFFFF, ack=500)
        assert flow_of(table_with(*half, forged)).state is FlowState.ESTABLISHED
        assert flow_of(table_with(*half, replace(FINS[0], fragment=Fragment.FIRST))).state is FlowState.ESTABLISHED
        assert flow_of(table_with(*half, forged, FINS[0])).state is FlowState.CLOSED


class TestNewFlows:
    """Rows "New ICMP flow" and "Other protocols"."""

    @pytest.mark.parametrize(("version", "requests"), [(4, {8, 13, 15, 17}), (6, {128, 139})])
    def test_of_all_icmp_types_only_requests_open(self, version: int, requests: set[int]) -> None:
        found = {kind: ConnectionTable().relation(icmp(kind, version=version)) for kind in range(256)}
        assert found == {kind: NEW if kind in requests else INVALID for kind in range(256)}

    @pytest.mark.parametrize("protocol", [2, 47, 50, 89, UDPLITE, 255])
    def test_any_packet_of_another_protocol_opens_a_flow_by_its_addresses(self, protocol: int) -> None:
        table = ConnectionTable()
        assert table.relation(plain(protocol)) is NEW
        table.follow(plain(protocol), IN, "eth0", 0.0)
        assert table.relation(swapped(plain(protocol))) is ESTABLISHED
        assert table.relation(replace(plain(protocol), source=OTHER)) is NEW
        assert table.relation(replace(plain(protocol), fragment=Fragment.LATER)) is ESTABLISHED

    def test_sctp_opens_with_an_init(self) -> None:
        init = replace(udp(), protocol=SCTP)
        other = replace(init, is_sctp_init=False)
        assert (ConnectionTable().relation(init), ConnectionTable().relation(other)) == (NEW, INVALID)
        assert table_with(init).relation(swapped(other)) is ESTABLISHED
        assert len(table_with(other)) == 0

    @pytest.mark.parametrize("protocol", [TCP, UDP, SCTP, ICMP, ICMPV6])
    def test_a_later_fragment_of_unknown_ports_is_new_and_opens_nothing(self, protocol: int) -> None:
        packet = replace(plain(protocol), fragment=Fragment.LATER)
        table = table_with(*HANDSHAKE, packet)
        assert table.relation(packet) is NEW
        assert len(table) == 1

    def test_a_later_fragment_of_a_known_first_one_is_what_that_is(self) -> None:
        first = replace(udp(), fragment=Fragment.FIRST)
        later = replace(plain(UDP), fragment=Fragment.LATER)
        assert table_with(first).relation(later.completed_by(first)) is ESTABLISHED
        stray = replace(tcp(SYN | ACK), fragment=Fragment.FIRST)
        assert ConnectionTable().relation(replace(plain(TCP), fragment=Fragment.LATER).completed_by(stray)) is INVALID

    @pytest.mark.parametrize(
        "packet", [tcp(SYN), udp(), icmp(8), icmp(128, version=6), plain(47), replace(udp(), protocol=SCTP)]
    )
    def test_what_opens_a_flow_belongs_to_it_afterwards(self, packet: Packet) -> None:
        table = ConnectionTable()
        assert table.relation(packet) is NEW
        table.follow(packet, OUT, "eth1", 3.0)
        assert table.relation(packet, 3.0) is ESTABLISHED
        flow = flow_of(table)
        assert (flow.is_outbound, flow.interface, flow.seen_s, flow.state) == (True, "eth1", 3.0, FlowState.OPENING)


class TestIcmp:
    """Row "New ICMP flow": replies and errors."""

    @pytest.mark.parametrize(
        ("request_type", "reply_type", "version"), [(8, 0, 4), (13, 14, 4), (15, 16, 4), (17, 18, 4), (128, 129, 6)]
    )
    def test_a_reply_belongs_to_the_request_with_its_addresses_and_identifier(
        self, request_type: int, reply_type: int, version: int
    ) -> None:
        table = table_with(icmp(request_type, version=version))
        assert table.relation(icmp(reply_type, HOST, CLIENT, version=version)) is ESTABLISHED
        assert table.relation(icmp(reply_type, HOST, CLIENT, number=8, version=version)) is INVALID
        assert table.relation(icmp(reply_type, CLIENT, HOST, version=version)) is INVALID
        assert table.relation(icmp(reply_type, OTHER, CLIENT, version=version)) is INVALID
        assert table.relation(icmp(reply_type, HOST, OTHER, version=version)) is INVALID

    def test_another_kind_of_request_is_another_flow(self) -> None:
        table = table_with(icmp(8))
        for kind in (13, 15, 17):
            assert table.relation(icmp(kind)) is NEW
        for kind in (14, 16, 18):
            assert table.relation(icmp(kind, HOST, CLIENT)) is INVALID
        assert table_with(icmp(128, version=6)).relation(icmp(139, version=6)) is NEW

    def test_the_other_end_asks_in_a_flow_of_its_own(self) -> None:
        table = table_with(icmp(8))
        assert table.relation(icmp(8, HOST, CLIENT)) is NEW
        table.follow(icmp(8, HOST, CLIENT), OUT, "eth0", 0.0)
        assert len(table) == 2

    @pytest.mark.parametrize("kind", [3, 4, 5, 11, 12])
    def test_an_error_is_related_when_the_packet_inside_belongs_to_a_flow(self, kind: int) -> None:
        table = table_with(udp())
        for inner in (udp(), swapped(udp())):
            assert table.relation(error(kind, inner)) is RELATED
        for inner in (udp(sport=1), udp(source=OTHER), replace(udp(), protocol=SCTP), None):
            assert table.relation(error(kind, inner)) is INVALID

    def test_icmpv6_errors_are_the_types_below_128_and_redirects(self) -> None:
        inner = replace(udp(), version=6)
        table = table_with(inner)
        errors = {kind for kind in range(256) if table.relation(error(kind, inner)) is RELATED}
        assert errors == {*range(128), 137}

    def test_an_error_about_an_echo_request_is_related_and_one_about_an_error_or_a_fragment_is_not(self) -> None:
        table = table_with(icmp(8), udp())
        assert table.relation(error(3, icmp(8))) is RELATED
        assert table.relation(error(3, icmp(8, number=9))) is INVALID
        assert table.relation(error(3, error(3, udp()))) is INVALID
        assert table.relation(error(3, replace(plain(UDP), fragment=Fragment.LATER))) is INVALID

    def test_an_error_neither_opens_nor_keeps_a_flow(self) -> None:
        table = table_with(udp())
        table.follow(error(3, udp()), IN, "eth0", 40.0)
        assert flow_of(table).seen_s == 0.0
        assert table.relation(error(3, udp()), 61.0) is INVALID

    def test_what_is_inside_an_error_is_known_by_its_ports_whatever_flags_it_shows(self) -> None:
        for table in (table_with(*HANDSHAKE), table_with(*HANDSHAKE, *FINS[:2])):
            for flags in (SYN, ACK, 0):
                assert table.relation(error(3, tcp(flags, reply=True))) is RELATED


class TestLife:
    """How a flow gets from its first packet to its end."""

    def test_a_handshake_establishes(self) -> None:
        states = []
        table = ConnectionTable()
        for packet in HANDSHAKE:
            table.follow(packet, IN, "eth0", 0.0)
            states.append(flow_of(table).state)
        assert states == [FlowState.OPENING, FlowState.OPENING, FlowState.ESTABLISHED]

    def test_without_an_acknowledgement_of_the_opener_nothing_is_established(self) -> None:
        table = table_with(HANDSHAKE[0], HANDSHAKE[0], HANDSHAKE[1], HANDSHAKE[0], HANDSHAKE[1])
        assert flow_of(table).state is FlowState.OPENING

    @pytest.mark.parametrize("packet", [udp(), plain(47), replace(udp(), protocol=SCTP)])
    def test_other_flows_are_established_when_the_opener_goes_on_after_an_answer(self, packet: Packet) -> None:
        assert flow_of(table_with(packet, packet)).state is FlowState.OPENING
        assert flow_of(table_with(packet, swapped(packet))).state is FlowState.OPENING
        assert flow_of(table_with(packet, swapped(packet), packet)).state is FlowState.ESTABLISHED

    def test_the_fins_of_both_ends_close(self) -> None:
        assert flow_of(table_with(*HANDSHAKE, FINS[0], FINS[0])).state is FlowState.ESTABLISHED
        table = table_with(*HANDSHAKE, *FINS[:2])
        assert flow_of(table).state is FlowState.CLOSED
        assert table.relation(FINS[2]) is ESTABLISHED

    def test_a_flow_is_gone_when_the_peer_has_acknowledged_the_last_fin(self) -> None:
        assert len(table_with(*HANDSHAKE, *FINS)) == 0

    @pytest.mark.parametrize(
        ("closing", "last", "direction"),
        [
            (FINS[:2], FINS[2], OUT),  # this host's own word may get lost on its way
            (FINS[:2], tcp(ACK, seq=101, ack=500), IN),  # the FIN itself is not acknowledged
            (FINS[:2], FINS[0], IN),  # the peer's FIN again: it has not heard the answer
            ((FINS[0], tcp(FIN | ACK, reply=True, seq=500, ack=100)), FINS[2], IN),  # this host did not hear the peer's
        ],
    )
    def test_a_closed_flow_stays_while_something_may_follow(
        self, closing: tuple[Packet, ...], last: Packet, direction: Direction
    ) -> None:
        table = table_with(*HANDSHAKE, *closing)
        table.follow(last, direction, "eth0", 0.0)
        assert flow_of(table).state is FlowState.CLOSED

    @pytest.mark.parametrize("closing", [FINS[:2], (tcp(RST, seq=100),)])
    def test_a_syn_opens_a_closed_flow_anew_and_is_up_to_policy(self, closing: tuple[Packet, ...]) -> None:
        table = table_with(*HANDSHAKE, *closing)
        for syn in (tcp(SYN, seq=7), tcp(SYN | URG | ECE | CWR, seq=7), tcp(SYN, reply=True)):
            assert table.relation(syn) is NEW
        table.follow(tcp(SYN, reply=True, seq=7), OUT, "eth1", 1.0)
        flow = flow_of(table)
        assert (flow.state, flow.is_answered, flow.fins, flow.is_outbound) == (FlowState.OPENING, False, 0, True)

    def test_a_bare_ack_picks_a_flow_up_in_its_middle(self) -> None:
        table = table_with(tcp(ACK, seq=100, ack=500), tcp(ACK, reply=True, seq=500, ack=100), tcp(ACK, seq=100))
        assert flow_of(table).state is FlowState.ESTABLISHED

    @pytest.mark.parametrize(
        ("packets", "idle_s"),
        [
            ((tcp(SYN),), 20.0),
            (HANDSHAKE, 3600.0),
            ((*HANDSHAKE, FINS[0]), 3600.0),
            ((*HANDSHAKE, *FINS[:2]), 30.0),
            ((*HANDSHAKE, tcp(RST, seq=100)), 40.0),
            ((udp(),), 60.0),
            ((udp(), swapped(udp()), udp()), 60.0),
            ((icmp(8),), 5.0),
            ((plain(47),), 600.0),
            ((replace(udp(), protocol=SCTP),), 600.0),
        ],
    )
    def test_an_idle_flow_is_forgotten_after_its_timeout(self, packets: tuple[Packet, ...], idle_s: float) -> None:
        table = table_with(*packets, at_s=5.0)
        last = replace(packets[-1], tcp_flags=ACK)
        assert table.relation(last, 5.0 + idle_s) is ESTABLISHED
        assert table.relation(last, 5.001 + idle_s) is NEW

    def test_packets_keep_a_flow_alive_and_a_closed_one_counts_from_its_end(self) -> None:
        table = table_with(udp())
        for now_s in (50.0, 100.0, 150.0):
            assert table.relation(udp(), now_s) is ESTABLISHED
            table.follow(udp(), IN, "eth0", now_s)
        table = table_with(*HANDSHAKE, *FINS[:2])
        table.follow(FINS[0], IN, "eth0", 25.0)
        assert table.relation(FINS[2], 30.0) is ESTABLISHED
        assert table.relation(FINS[2], 30.5) is NEW

    def test_timeouts_are_those_that_were_set(self) -> None:
        table = ConnectionTable(Timeouts(udp_s=1.0))
        table.follow(udp(), IN, "eth0", 0.0)
        assert (table.relation(udp(), 1.0), table.relation(udp(), 1.5)) == (ESTABLISHED, NEW)

    def test_a_packet_after_the_timeout_opens_a_flow_anew(self) -> None:
        table = table_with(*HANDSHAKE)
        table.follow(tcp(ACK, reply=True, seq=5), OUT, "eth0", 4000.0)
        flow = flow_of(table)
        assert (flow.opener, flow.state, flow.is_answered) == (key_end(tcp(ACK, reply=True)), FlowState.OPENING, False)


def key_end(packet: Packet) -> int:
    where = key_of(packet)
    assert where is not None
    return where[1]


class TestResets:
    """RFC 5961, as far as a table can: a reset counts when it lies between what was acknowledged and what was sent."""

    BUSY = (*HANDSHAKE, tcp(ACK, seq=100, ack=500, size=50), tcp(ACK, reply=True, seq=500, ack=120))

    @pytest.mark.parametrize(
        ("seq", "is_genuine"), [(119, False), (120, True), (135, True), (150, True), (151, False), (1 << 31, False)]
    )
    def test_a_reset_of_the_opener_fits_between_acknowledged_and_sent(self, seq: int, is_genuine: bool) -> None:
        for flags in (RST, RST | ACK):
            table = table_with(*self.BUSY, tcp(flags, seq=seq, ack=500))
            assert flow_of(table).state is (FlowState.RESET if is_genuine else FlowState.ESTABLISHED)

    @pytest.mark.parametrize(("seq", "is_genuine"), [(499, False), (500, True), (501, False)])
    def test_a_reset_of_the_other_end_too(self, seq: int, is_genuine: bool) -> None:
        table = table_with(*self.BUSY, tcp(RST, reply=True, seq=seq))
        assert flow_of(table).is_closed is is_genuine

    def test_what_is_sent_again_takes_nothing_back(self) -> None:
        again = tcp(ACK, seq=100, ack=500, size=10)
        assert flow_of(table_with(*self.BUSY, again, tcp(RST, seq=150))).state is FlowState.RESET

    def test_numbers_wrap_around(self) -> None:
        top = (1 << 32) - 1
        table = table_with(
            tcp(SYN, seq=top),
            tcp(SYN | ACK, reply=True, seq=top - 1, ack=0),
            tcp(ACK, seq=0, ack=top),
            tcp(ACK, reply=True, seq=top, ack=0, size=10),
            tcp(RST, reply=True, seq=4),
        )
        assert flow_of(table).state is FlowState.RESET

    @pytest.mark.parametrize(
        ("flags", "ack", "is_genuine"), [(RST | ACK, 100, True), (RST | ACK, 99, False), (RST, 100, False)]
    )
    def test_a_refusal_acknowledges_the_syn(self, flags: int, ack: int, is_genuine: bool) -> None:
        table = table_with(HANDSHAKE[0], tcp(flags, reply=True, ack=ack))
        assert flow_of(table).is_closed is is_genuine

    def test_a_reset_that_does_not_fit_passes_and_does_not_keep_the_flow_alive(self) -> None:
        table = table_with(*self.BUSY)
        forged = tcp(RST, reply=True, seq=77)
        assert table.relation(forged, 3000.0) is ESTABLISHED
        table.follow(forged, IN, "eth0", 3000.0)
        assert table.relation(tcp(ACK), 3601.0) is NEW

    def test_a_second_reset_does_not_keep_a_reset_flow(self) -> None:
        table = table_with(*self.BUSY, tcp(RST, seq=150))
        table.follow(tcp(RST, seq=150), IN, "eth0", 39.0)
        assert table.relation(tcp(RST, seq=150), 40.5) is INVALID


class TestTricks:
    """T-ATT-12, the part without a kernel: nothing new is taken for something established."""

    @pytest.mark.parametrize("closing", [(*HANDSHAKE, *FINS[:2]), (*HANDSHAKE, tcp(RST, seq=100))])
    def test_t_att_12_what_comes_to_a_closed_flow_never_reopens_it(self, closing: tuple[Packet, ...]) -> None:
        stray = [
            tcp(f, reply=r, seq=100, ack=500, size=9) for f in (ACK, RST, RST | ACK, FIN | ACK) for r in (False, True)
        ]
        table = table_with(*closing)
        before = replace(flow_of(table))
        for packet in stray:
            table.follow(packet, IN, "eth0", 20.0)
        assert flow_of(table) == before
        after_s = 41.0
        assert [table.relation(packet, after_s) for packet in stray] == [NEW, NEW, *[INVALID] * 6]

    def test_t_att_12_a_simultaneous_open_stays_in_the_flow_that_was_allowed(self) -> None:
        """The host's own SYN was allowed; the peer's SYN is the same connection, and opens no other."""
        mine, theirs = tcp(SYN, reply=True, seq=9), tcp(SYN, seq=3)
        table = table_with(mine)
        assert table.relation(theirs) is ESTABLISHED
        table.follow(theirs, IN, "eth0", 1.0)
        assert flow_of(table).state is FlowState.OPENING
        assert table.relation(replace(theirs, destination_port=81), 1.0) is NEW
        assert table.relation(replace(theirs, source_port=40001), 1.0) is NEW
        answers = tcp(SYN | ACK, reply=True, seq=9, ack=4), tcp(SYN | ACK, seq=3, ack=10), tcp(ACK, reply=True, seq=10)
        for packet in answers:
            table.follow(packet, IN, "eth0", 1.0)
        assert (len(table), flow_of(table).state) == (1, FlowState.ESTABLISHED)

    def test_t_att_12_a_reset_out_of_window_ends_nothing(self) -> None:
        table = table_with(*TestResets.BUSY)
        for seq in (0, 99, 151, 1 << 30, 1 << 31, (1 << 32) - 1):
            table.follow(tcp(RST, seq=seq), IN, "eth0", 0.0)
        assert flow_of(table).state is FlowState.ESTABLISHED

    @pytest.mark.parametrize(
        "spoofed",
        [
            udp(OTHER, 53, CLIENT, 40000),
            udp(HOST, 54, CLIENT, 40000),
            udp(HOST, 53, CLIENT, 40001),
            udp(HOST, 53, OTHER, 40000),
            replace(udp(HOST, 53, CLIENT, 40000), protocol=TCP, tcp_flags=SYN),
            replace(udp(HOST, 53, CLIENT, 40000), version=6),
        ],
    )
    def test_t_att_12_a_udp_reply_from_another_address_or_port_is_no_reply(self, spoofed: Packet) -> None:
        table = table_with(udp())
        assert table.relation(udp(HOST, 53, CLIENT, 40000)) is ESTABLISHED
        assert table.relation(spoofed) is NEW

    def test_t_att_12_a_flow_to_one_port_casts_no_shadow_on_another(self) -> None:
        """A peer that is allowed to reach port 80 chooses the number of a closed port as its own source port."""
        allowed = tcp(SYN, source_port=6379)
        table = table_with(allowed, swapped(replace(allowed, tcp_flags=SYN | ACK)), replace(allowed, tcp_flags=ACK))
        probes = [
            tcp(SYN, source_port=80, destination_port=6379),
            tcp(ACK, source_port=80, destination_port=6379),
            tcp(SYN, source_port=6379, destination_port=6379),
            tcp(SYN, source_port=80, destination_port=80),
        ]
        assert [table.relation(probe) for probe in probes] == [NEW] * 4
        assert table.relation(tcp(SYN | ACK, source_port=80, destination_port=6379)) is INVALID


def test_a_flow_has_one_key_in_both_directions_and_others_have_other_keys() -> None:
    """The key of a packet and of its answer differ in the end only; ICMP has a key for each end that asks."""
    for packet in (tcp(SYN), udp(), plain(47)):
        (key, end), (other, other_end) = (key_of(packet) or ((), 0)), (key_of(swapped(packet)) or ((), 0))
        assert key == other
        assert end + other_end == 1
    assert key_of(tcp(SYN)) != key_of(udp())
    assert key_of(icmp(8)) != key_of(icmp(8, HOST, CLIENT))


def test_only_what_opens_a_flow_or_belongs_to_one_is_ever_established() -> None:
    """Whatever is said: a packet is established only after one of the same key was followed that may open a flow."""
    rng = Random(12)
    for _ in range(150):
        case = random_normal_case(rng, 4)
        table, opened = ConnectionTable(case.tracking.timeouts), set()
        for direction, packet in random_conversation(rng, case):
            where = key_of(packet)
            if table.relation(packet) is ESTABLISHED:
                assert where is not None
                assert where[0] in opened
            if rng.randrange(3):
                if where is not None and table.relation(packet) is NEW and can_open(packet):
                    opened.add(where[0])
                table.follow(packet, direction, "eth0", 0.0)
        assert {flow.key for flow in table} <= opened


# ---- forwarded packets, where they leave


def arrived(packet: Packet) -> ConnectionTable:
    """A table that the packet opened a flow of, where it came in."""
    table = ConnectionTable()
    table.follow(packet, IN, "eth0", 0.0)
    return table


def test_what_opened_a_flow_where_it_arrived_is_new_where_it_leaves_until_policy_lets_it() -> None:
    table = arrived(udp())
    assert (table.relation_across(udp(), IN), table.relation_across(udp(), OUT)) == (ESTABLISHED, NEW)
    table.leave(udp(), 0.0)
    assert table.relation_across(udp(), OUT) is ESTABLISHED


def test_who_answers_what_nobody_let_out_is_new_where_the_answer_arrives() -> None:
    table = arrived(udp())
    assert table.relation_across(swapped(udp()), IN) is NEW
    assert arrived(tcp(SYN)).relation_across(tcp(SYN | ACK, reply=True), IN) is INVALID
    table.leave(udp(), 0.0)
    assert table.relation_across(swapped(udp()), IN) is ESTABLISHED


def test_an_answer_that_leaves_ends_the_question() -> None:
    table = arrived(udp())
    assert table.relation_across(swapped(udp()), OUT) is ESTABLISHED
    table.follow(swapped(udp()), OUT, "eth0", 0.0)
    assert table.relation_across(udp(), OUT) is table.relation_across(swapped(udp()), IN) is ESTABLISHED


def test_what_may_not_leave_has_no_flow_any_more_and_nothing_else_is_forgotten() -> None:
    table = arrived(udp())
    table.forget(swapped(udp()), OUT, 0.0)
    assert len(table) == 1
    table.forget(udp(), OUT, 0.0)
    assert len(table) == 0


def test_a_packet_that_could_not_open_a_flow_is_invalid_there() -> None:
    table = arrived(tcp(SYN))
    assert (table.relation(tcp(FIN | ACK)), table.relation_across(tcp(FIN | ACK), OUT)) == (ESTABLISHED, INVALID)


def test_a_flow_that_a_leaving_packet_opened_is_known_on_both_sides() -> None:
    table = ConnectionTable()
    table.follow(udp(), OUT, "eth0", 0.0)
    assert table.relation_across(udp(), OUT) is table.relation_across(swapped(udp()), IN) is ESTABLISHED
