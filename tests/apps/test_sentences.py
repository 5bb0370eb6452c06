"""Every way to a verdict has its sentence."""

import pytest

from tortie.apps.packets import parse_packet
from tortie.apps.sentences import because
from tortie.apps.trace.tracing import relation_of
from tortie.model.conntrack import Relation
from tortie.model.policy import PolicyKey
from tortie.model.verdict import Reason, RuleRef, default_deny, missing_profile, tier_end

PACKET = parse_packet("1.2.3.4", "10.0.0.5", "tcp/80", None)
REF = RuleRef("t", PolicyKey("GlobalNetworkPolicy", "", "p"), 3)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (REF, "tier t, GlobalNetworkPolicy(p), rule 3"),
        (tier_end("t"), "end of tier t: no rule of it matched, and the tier denies"),
        (RuleRef("", PolicyKey("Profile", "", "x"), 0), "profile x, rule 0"),
        (missing_profile("x"), "profile x does not exist, and a missing profile denies"),
        (default_deny("h"), "no policy and no profile allows it: the default deny of HostEndpoint(h)"),
    ],
)
def test_what_decided_is_named(rule: RuleRef, sentence: str) -> None:
    assert because(rule.reason, rule, PACKET) == sentence


@pytest.mark.parametrize(
    ("protocol", "flags", "sentence"),
    [
        ("tcp/80", "SA", "the reply to no known connection: a SYN-ACK without its SYN"),
        ("tcp/80", "FA", "part of no known connection: a FIN without the SYN before it"),
        ("tcp/80", "R", "part of no known connection: a RST without the SYN before it"),
        ("tcp/80", "SF", "no host sends a packet with these TCP flags"),
        ("tcp/80", "", "no host sends a packet with these TCP flags"),
        ("icmp/0", None, "the reply to no known request"),
        ("icmp/3.1", None, "an ICMP error about no known connection"),
        ("icmp/9", None, "an ICMP message that neither asks nor answers"),
    ],
)
def test_what_is_invalid_is_told_as_what_is_wrong_with_it(protocol: str, flags: str | None, sentence: str) -> None:
    packet = parse_packet("1.2.3.4", "10.0.0.5", protocol, None, flags=flags)
    assert relation_of(packet, is_established=False) is Relation.INVALID
    assert because(Reason.INVALID, None, packet) == sentence


@pytest.mark.parametrize(
    ("protocol", "flags", "relation"),
    [
        ("tcp/80", None, Relation.ESTABLISHED),
        ("tcp/80", "R", Relation.ESTABLISHED),
        ("tcp/80", "F", Relation.INVALID),
        ("udp/53", None, Relation.ESTABLISHED),
        ("icmp/0", None, Relation.ESTABLISHED),
        ("icmp/3", None, Relation.RELATED),
    ],
)
def test_a_packet_of_a_known_connection(protocol: str, flags: str | None, relation: Relation) -> None:
    packet = parse_packet("1.2.3.4", "10.0.0.5", protocol, None, flags=flags, is_established=True)
    assert relation_of(packet, is_established=True) is relation


@pytest.mark.parametrize(
    "reason",
    [
        Reason.FAILSAFE,
        Reason.ESSENTIAL_ICMPV6,
        Reason.FRAGMENT,
        Reason.FORWARDED,
        Reason.ESTABLISHED,
        Reason.RELATED,
        Reason.INVALID,
        Reason.NO_ENDPOINT,
    ],
)
def test_every_reason_that_the_evaluator_gives_without_a_rule_has_a_sentence(reason: Reason) -> None:
    assert " " in because(reason, None, PACKET)
