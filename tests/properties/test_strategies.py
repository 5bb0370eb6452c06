"""The generators keep their promises: what they make is valid, and packets meet the rules they are aimed at."""

from collections import Counter
from random import Random
from struct import unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations import random_conversation
from frames import checksum, frame
from strategies import EXTENSION_HEADERS, Case, cases, meetings, random_case, random_normal_case, random_packet
from tortie.model.conntrack import ConnectionTable, FlowState, Relation
from tortie.model.desired import MissingProfile
from tortie.model.evaluate import evaluate, evaluate_untracked, is_for_host
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, ProtocolMatch, VersionMatch
from tortie.model.packet import ACK, FIN, ICMP, ICMPV6, PORTED, SCTP, TCP, UDP, Direction, Fragment, Packet
from tortie.model.policy import Profile, Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, Verdict


def rules_of(case: Case) -> list[Rule]:
    return [rule for direction in Direction for rule in case.rules(direction)]


@settings(max_examples=50)
@given(cases())
def test_rules_are_such_as_the_api_accepts(case: Case) -> None:
    for rule in rules_of(case):
        version = next((m.version for m in rule.matches if isinstance(m, VersionMatch)), None)
        protocols = [m for m in rule.matches if isinstance(m, ProtocolMatch)]
        protocol = next((m.protocol for m in protocols if not m.negated), None)
        families = {net.version for m in rule.matches if isinstance(m, NetMatch) for net in m.nets}
        assert len(families) <= 1
        assert version is None or families <= {version}
        for match in rule.matches:
            if isinstance(match, PortMatch):
                assert protocol in PORTED or (protocol is None and not match.ranges)
                assert match.ranges or match.named
                assert all(1 <= r.first <= r.last <= 65535 for r in match.ranges)
            if isinstance(match, IcmpMatch) and not match.negated:
                assert protocol in (ICMP, ICMPV6)
            if isinstance(match, NetMatch):
                assert not (match.negated and any(net.length == 0 for net in match.nets))
        assert not (version == 6 and any(m.protocol == ICMP for m in protocols))
        assert not (version == 4 and any(m.protocol == ICMPV6 for m in protocols))


@settings(max_examples=50)
@given(meetings())
def test_packets_show_exactly_the_fields_that_their_protocol_has(meeting: tuple[Case, tuple[Packet, ...]]) -> None:
    for packet in meeting[1]:
        is_later = packet.fragment is Fragment.LATER
        has_ports = packet.protocol in PORTED and not is_later
        has_type = packet.protocol in (ICMP, ICMPV6) and not is_later
        assert (packet.source_port is not None) == (packet.destination_port is not None) == has_ports
        assert (packet.icmp_type is not None) == (packet.icmp_code is not None) == has_type
        assert packet.version == 4 or packet.protocol not in EXTENSION_HEADERS


def test_the_same_seed_gives_the_same_case_and_packets() -> None:
    def draw() -> object:
        rng = Random(7)
        case = random_case(rng, 20)
        return case.endpoint, case.sets, case.failsafes, [random_packet(rng, case) for _ in range(100)]

    assert draw() == draw()


def test_packets_lean_towards_the_rules() -> None:
    """Every outcome is met often, by fragments too: a driver that ignores one cannot agree by luck."""
    rng = Random(1)
    seen: Counter[object] = Counter()
    rules: Counter[bool] = Counter()
    for _ in range(200):
        case = random_case(rng, 10)
        hit = set()
        for _ in range(100):
            packet = random_packet(rng, case, direction=Direction.INGRESS)
            trace = evaluate_untracked(packet, Direction.INGRESS, *case)
            seen.update(
                [trace.verdict, trace.reason, (packet.version, trace.verdict), (packet.fragment, trace.verdict)]
            )
            hit.update((step.rule.policy, step.rule.index) for step in trace.steps)
        rules.update({True: len(hit), False: len([*case.rules(Direction.INGRESS)]) - len(hit)})
    assert min(seen[verdict] for verdict in Verdict) > 2500
    assert min(seen[version, verdict] for version in (4, 6) for verdict in Verdict) > 1000
    assert min(seen[fragment, verdict] for fragment in Fragment for verdict in Verdict) > 100
    reasons = (Reason.FAILSAFE, Reason.ESSENTIAL_ICMPV6, Reason.FRAGMENT, Reason.NO_MATCH, Reason.POLICY)
    assert min(seen[reason] for reason in reasons) > 100
    assert rules[True] > rules[False]


def test_every_kind_of_match_and_action_is_drawn_in_both_polarities() -> None:
    rng = Random(2)
    rules = [rule for _ in range(100) for rule in rules_of(random_case(rng, 10))]
    assert {rule.action for rule in rules} == set(Action)
    drawn = {(type(m).__name__, getattr(m, "negated", False)) for rule in rules for m in rule.matches}
    names = ("ProtocolMatch", "IcmpMatch", "NetMatch", "SetMatch", "PortMatch")
    assert drawn == {(name, negated) for name in names for negated in (False, True)} | {("VersionMatch", False)}


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_packets_of_conversations_show_exactly_the_fields_that_their_protocol_has(rng: Random) -> None:
    for _, one in random_conversation(rng, random_normal_case(rng)):
        for shown in (one, *([one.inner] if one.inner else [])):
            is_later = shown.fragment is Fragment.LATER
            has_ports = shown.protocol in PORTED and not is_later
            has_type = shown.protocol in (ICMP, ICMPV6) and not is_later
            assert (shown.source_port is not None) == (shown.destination_port is not None) == has_ports
            assert (shown.icmp_type is not None) == (shown.icmp_code is not None) == has_type
            assert shown.version == 4 or shown.protocol not in EXTENSION_HEADERS
            assert shown.fragment is Fragment.WHOLE or shown.fragment_id < 1 << (16 if shown.version == 4 else 32)
            assert 0 <= shown.tcp_flags < 256
            assert max(shown.sequence, shown.acknowledgement) < 1 << 32
        frame(one)


def test_conversations_meet_every_relation_state_and_reason_often() -> None:
    rng = Random(5)
    seen: Counter[object] = Counter()
    for _ in range(400):
        case = random_normal_case(rng)
        table = ConnectionTable(case.tracking.timeouts)
        for number, (direction, one) in enumerate(random_conversation(rng, case)):
            now_s = number / 5
            relation = table.relation(one, now_s)
            is_mine = direction is Direction.EGRESS or is_for_host(one, case.endpoint.interface, case.addresses)
            trace = evaluate(
                one,
                direction,
                case.endpoint,
                case.sets,
                case.failsafes,
                relation,
                is_for_host=is_mine,
                drops_invalid=case.tracking.drops_invalid,
            )
            seen.update([relation, trace.reason, (one.protocol, relation), (direction, trace.verdict)])
            if trace.verdict is Verdict.ALLOW and trace.is_tracked:
                table.follow(one, direction, "eth0", now_s)
        seen.update(flow.state for flow in table if flow.key[1] == TCP)
    reasons = (Reason.POLICY, Reason.TIER_END, Reason.PROFILE, Reason.NO_PROFILE, Reason.DEFAULT_DENY, Reason.FORWARDED)
    assert min(seen[reason] for reason in reasons) > 100
    assert min(seen[relation] for relation in Relation) > 200
    assert min(seen[protocol, Relation.ESTABLISHED] for protocol in (*PORTED, ICMP, ICMPV6)) > 100
    assert min(seen[state] for state in FlowState) > 20, {state: seen[state] for state in FlowState}
    assert min(seen[direction, verdict] for direction in Direction for verdict in (Verdict.ALLOW, Verdict.DENY)) > 1000


def test_normal_cases_have_every_stage_and_kind_of_profile() -> None:
    rng = Random(6)
    cases = [random_normal_case(rng) for _ in range(200)]
    places = {place for case in cases for place in case.endpoint.tiers}
    all_places = {(stage, direction) for stage in Stage for direction in Direction}
    assert places == all_places - {(Stage.PRE_DNAT, Direction.EGRESS)}
    assert {type(one) for case in cases for one in case.endpoint.profiles} == {Profile, MissingProfile}
    assert {case.tracking.drops_invalid for case in cases} == {True, False}


def packet(version: int, protocol: int, **fields: object) -> Packet:
    width = {4: 0x0A000001, 6: 0xFD00 << 112 | 1}[version]
    return Packet(version=version, protocol=protocol, source=width, destination=width + 1, **fields)  # type: ignore[arg-type]


@given(st.sampled_from([(4, TCP), (6, TCP), (4, UDP), (6, UDP), (6, ICMPV6), (4, ICMP)]), st.binary(max_size=33))
def test_checksums_of_frames_add_up(kind: tuple[int, int], payload: bytes) -> None:
    version, protocol = kind
    if protocol in PORTED:
        one = packet(version, protocol, source_port=1000, destination_port=80)
    else:
        one = packet(version, protocol, icmp_type=8, icmp_code=0)
    data = frame(one, payload=payload)[14:]
    if version == 4:
        assert checksum(data[:20]) == 0
        addresses, body = data[12:20], data[20:]
    else:
        addresses, body = data[8:40], data[40:]
    pseudo = b"" if protocol == ICMP else addresses + len(body).to_bytes(4, "big") + protocol.to_bytes(4, "big")
    assert checksum(pseudo + body) in (0, 0xFFFF)
    assert body.endswith(payload)


def test_a_frame_has_its_tags_outermost_first() -> None:
    data = frame(packet(4, TCP, source_port=1, destination_port=2), vlans=(7, 9))
    assert unpack("!HHHHH", data[12:22]) == (0x88A8, 7, 0x8100, 9, 0x0800)


def test_ipv4_options_lengthen_the_header() -> None:
    data = frame(packet(4, TCP, source_port=1, destination_port=2), ip_options=b"\x94\x04\x00\x00\x01")[14:]
    assert data[0] == 0x47
    assert checksum(data[:28]) == 0
    assert unpack("!HH", data[28:32]) == (1, 2)


def test_extension_headers_chain_up_to_the_transport() -> None:
    one = packet(6, UDP, source_port=1, destination_port=2, fragment=Fragment.FIRST, fragment_id=77)
    data = frame(one, extension_headers=[(0, b""), (51, b"\0" * 10), (60, b"\0" * 7)])[14:]
    position, following, found = 40, data[6], []
    while following != UDP:
        found.append(following)
        size = {44: 8, 51: (data[position + 1] + 2) * 4}.get(following, (data[position + 1] + 1) * 8)
        following, position = data[position], position + size
    assert found == [0, 51, 60, 44]
    assert unpack("!HH", data[position : position + 4]) == (1, 2)
    assert int.from_bytes(data[4:6], "big") == len(data) - 40


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_carry_offset_and_id(version: int) -> None:
    first = packet(version, UDP, source_port=1, destination_port=2, fragment=Fragment.FIRST, fragment_id=513)
    later = packet(version, UDP, fragment=Fragment.LATER, fragment_id=513)
    heads = [frame(first, payload=b"abc")[14:], frame(later, payload=b"x" * 24)[14:]]
    if version == 4:
        assert [unpack("!HH", data[4:8]) for data in heads] == [(513, 0x2000), (513, 0x2000 | 185)]
    else:
        assert [unpack("!BBHI", data[40:48]) for data in heads] == [(UDP, 0, 1, 513), (UDP, 0, 185 << 3 | 1, 513)]
    assert heads[1].endswith(b"x" * 24)
    assert len(heads[0]) % 8 == 20 % 8 * (version == 4)


@pytest.mark.parametrize(("is_init", "chunk"), [(True, 1), (False, 0)])
def test_sctp_frames_show_their_ports_and_first_chunk(is_init: bool, chunk: int) -> None:
    data = frame(packet(4, SCTP, source_port=9, destination_port=10, is_sctp_init=is_init))
    assert unpack("!HHI", data[34:42]) == (9, 10, 1 - chunk)
    assert data[46] == chunk


def test_tcp_frames_show_what_connection_tracking_reads() -> None:
    one = packet(
        4, TCP, source_port=9, destination_port=10, tcp_flags=FIN | ACK, sequence=7, acknowledgement=8, payload_bytes=5
    )
    data = frame(one)[34:]
    assert unpack("!HHIIBB", data[:14]) == (9, 10, 7, 8, 0x50, FIN | ACK)
    assert len(data) == 25


def test_icmp_frames_show_their_identifier_or_the_packet_they_are_about() -> None:
    assert unpack("!H", frame(packet(4, ICMP, icmp_type=8, icmp_code=0, icmp_id=77))[38:40]) == (77,)
    about = packet(6, UDP, source_port=9, destination_port=10)
    error = frame(packet(6, ICMPV6, icmp_type=1, icmp_code=0, inner=about))
    assert error[62:] == frame(about)[14:]
