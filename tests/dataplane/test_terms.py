"""Rules as terms: they say what the rule says, and no two of one rule hold together."""

from collections.abc import Mapping
from random import Random

from strategies import Sets, random_case, random_packet, random_rule
from tortie.dataplane.ebpf.terms import EVERYTHING, Atom, NetsAtom, Spans, Term, terms
from tortie.model.ipset import AddressSet, IPSet, NamedPortSet, PortSet
from tortie.model.matches import IcmpMatch, NetMatch, PortMatch, PortRange, ProtocolMatch, SetMatch
from tortie.model.packet import ICMP, TCP, UDP, Direction, Fragment, Packet, Side
from tortie.model.rule import Action, Rule
from tortie.model.selector import ALL


def term_holds(term: Term, packet: Packet, sets: Mapping[str, IPSet]) -> bool | None:
    """The term's answer, None if it hangs on a port that is not there."""
    if term.version not in (0, packet.version) or not term.protocols >> packet.protocol & 1:
        return False
    for atoms, address, wanted in (
        (term.source_in, packet.source, True),
        (term.source_out, packet.source, False),
        (term.destination_in, packet.destination, True),
        (term.destination_out, packet.destination, False),
    ):
        if any(_has(atom, packet.version, address, sets) is not wanted for atom in atoms):
            return False
    if packet.fragment is Fragment.LATER:
        return None if term.dports is not None or term.sports is not None else True
    dport = packet.destination_port
    if packet.icmp_type is not None and packet.icmp_code is not None:
        dport = packet.icmp_type << 8 | packet.icmp_code
    return _within(term.dports, dport) and _within(term.sports, packet.source_port)


def _has(atom: Atom, version: int, address: int, sets: Mapping[str, IPSet]) -> bool:
    if isinstance(atom, NetsAtom):
        return any(net.contains(version, address) for net in atom.nets)
    members = sets.get(atom.set_id)
    if isinstance(members, PortSet):
        return any(
            (m.version, m.address, m.protocol) == (version, address, atom.protocol) and atom.port in (None, m.port)
            for m in members.members
        )
    return members is not None and members.contains(version, address)


def _within(spans: Spans | None, value: int | None) -> bool:
    return spans is None or (value is not None and any(first <= value <= last for first, last in spans))


def test_terms_are_disjoint_and_answer_as_the_rule_does() -> None:
    seen = {True: 0, False: 0, None: 0}
    for seed in range(400):
        rng = Random(seed)
        case = random_case(rng, 10)
        rules = [(rule, terms(rule, case.sets)) for rule in case.rules(Direction.INGRESS)]
        for _ in range(60):
            packet = random_packet(rng, case, direction=Direction.INGRESS)
            for rule, found in rules:
                answers = [term_holds(term, packet, case.sets) for term in found]
                expected = rule.holds(packet, case.sets)
                assert answers.count(True) <= 1, (rule, packet, found)
                answer = True if True in answers else None if None in answers else False
                assert answer is expected, (rule, packet, found)
                seen[expected] += 1
    assert min(seen.values()) > 200


def test_a_rule_that_cannot_hold_has_no_term() -> None:
    empty = Rule(Action.DENY, (NetMatch(Side.SOURCE, ()),))
    contradiction = Rule(Action.DENY, (ProtocolMatch(TCP), ProtocolMatch(UDP)))
    wrong_protocol = Rule(Action.DENY, (ProtocolMatch(ICMP), PortMatch(Side.DESTINATION, (PortRange(1, 2),))))
    assert [terms(rule, {}) for rule in (empty, contradiction, wrong_protocol)] == [(), (), ()]


def test_what_is_absent_or_negated_and_empty_excludes_nothing() -> None:
    rule = Rule(Action.DENY, (NetMatch(Side.SOURCE, (), negated=True),))
    assert terms(rule, {}) == terms(Rule(Action.DENY), {}) == (EVERYTHING,)
    missing = Rule(Action.DENY, (SetMatch(Side.SOURCE, NamedPortSet(ALL, None, "http"), negated=True),))
    assert terms(missing, {}) == (EVERYTHING,)


def test_an_icmp_type_is_a_span_of_codes() -> None:
    (term,) = terms(Rule(Action.DENY, (ProtocolMatch(ICMP), IcmpMatch(8))), {})
    assert (term.protocols, term.dports) == (1 << ICMP, ((0x800, 0x8FF),))
    (term,) = terms(Rule(Action.DENY, (ProtocolMatch(ICMP), IcmpMatch(3, 1, negated=True))), {})
    assert term.dports == ((0, 0x300), (0x302, 65535))


def test_a_rule_of_any_shape_stays_a_handful_of_terms() -> None:
    rng = Random(1)
    sets = Sets(rng, members=6)
    counts = [len(terms(random_rule(rng, sets, Direction.INGRESS), sets.sets)) for _ in range(2000)]
    assert max(counts) < 100
    assert sorted(counts)[len(counts) // 2] == 1
    assert all(isinstance(found, AddressSet | PortSet) for found in sets.sets.values())
