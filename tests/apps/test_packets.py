"""Packets in the words of a person."""

import pytest

from tortie.apps.failure import Code, Failure
from tortie.apps.packets import describe, parse_packet
from tortie.model.packet import ACK, FIN, ICMPV6, PSH, RST, SYN, TCP, URG


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("1.2.3.4", "10.0.0.5", "tcp/6379", None), "tcp 1.2.3.4:40000 > 10.0.0.5:6379"),
        (("1.2.3.4", "10.0.0.5", "TCP/0", 65535), "tcp 1.2.3.4:65535 > 10.0.0.5:0"),
        (("2001:db8::1", "2001:db8::2", "udp/53", 7), "udp [2001:db8::1]:7 > [2001:db8::2]:53"),
        (("1.2.3.4", "10.0.0.5", "6/22", None), "tcp 1.2.3.4:40000 > 10.0.0.5:22"),
        (("1.2.3.4", "10.0.0.5", "icmp", None), "icmp type 8 code 0 1.2.3.4 > 10.0.0.5"),
        (("1.2.3.4", "10.0.0.5", "icmp/3.4", None), "icmp type 3 code 4 1.2.3.4 > 10.0.0.5"),
        (("::1", "::2", "icmpv6", None), "icmpv6 type 128 code 0 ::1 > ::2"),
        (("1.2.3.4", "10.0.0.5", "47", None), "protocol 47 1.2.3.4 > 10.0.0.5"),
        (("1.2.3.4", "10.0.0.5", "udplite", None), "udplite 1.2.3.4 > 10.0.0.5"),
    ],
)
def test_words_become_the_packet_they_say(words: tuple[str, str, str, int | None], text: str) -> None:
    assert text == describe(parse_packet(*words))


@pytest.mark.parametrize(
    ("flags", "bits", "text"),
    [
        (None, SYN, "tcp 1.2.3.4:40000 > 10.0.0.5:80"),
        ("S", SYN, "tcp 1.2.3.4:40000 > 10.0.0.5:80"),
        ("sa", SYN | ACK, "tcp SYN+ACK 1.2.3.4:40000 > 10.0.0.5:80"),
        ("FRPUA", FIN | RST | PSH | URG | ACK, "tcp FIN+RST+PSH+ACK+URG 1.2.3.4:40000 > 10.0.0.5:80"),
        ("", 0, "tcp no flags 1.2.3.4:40000 > 10.0.0.5:80"),
    ],
)
def test_letters_become_tcp_flags(flags: str | None, bits: int, text: str) -> None:
    packet = parse_packet("1.2.3.4", "10.0.0.5", "tcp/80", None, flags=flags)
    assert (packet.tcp_flags, describe(packet)) == (bits, text)


def test_a_packet_of_an_established_connection_is_an_ack() -> None:
    assert parse_packet("1.2.3.4", "10.0.0.5", "6/80", None, is_established=True).tcp_flags == ACK
    assert parse_packet("1.2.3.4", "10.0.0.5", "6/80", None, flags="F", is_established=True).tcp_flags == FIN


@pytest.mark.parametrize(("protocol", "flags"), [("udp/1", "S"), ("icmp", ""), ("tcp/1", "SX"), ("tcp/1", "S A")])
def test_flags_that_mean_nothing_are_usage_errors(protocol: str, flags: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_packet("1.2.3.4", "10.0.0.5", protocol, None, flags=flags)
    assert caught.value.code is Code.USAGE


@pytest.mark.parametrize("kind", [133, 134, 135, 136, 137])
def test_discovery_messages_get_the_hop_limit_that_genuine_ones_have(kind: int) -> None:
    assert parse_packet("fe80::1", "ff02::1", f"icmpv6/{kind}", None).hop_limit == 255


def test_other_packets_get_an_ordinary_hop_limit() -> None:
    packet = parse_packet("fe80::1", "ff02::1", "icmpv6/128", None)
    assert (packet.protocol, packet.hop_limit) == (ICMPV6, 64)
    assert ((tcp := parse_packet("::1", "::2", "tcp/1", None)).protocol, tcp.hop_limit) == (TCP, 64)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("1.2.3", "10.0.0.5", "tcp/1", None), "SRC: '1.2.3' is not an IP address"),
        (("1.2.3.4", "x", "tcp/1", None), "DST: 'x'"),
        (("1.2.3.4", "::1", "tcp/1", None), "IPv4.*IPv6"),
        (("1.2.3.4", "1.2.3.5", "tcp", None), "needs a destination port"),
        (("1.2.3.4", "1.2.3.5", "tcp/70000", None), "needs a destination port"),
        (("1.2.3.4", "1.2.3.5", "tcp/1/2", None), "needs a destination port"),
        (("1.2.3.4", "1.2.3.5", "tpc/1", None), "'tpc' is no protocol"),
        (("1.2.3.4", "1.2.3.5", "0", None), "'0' is no protocol"),
        (("1.2.3.4", "1.2.3.5", "²", None), "is no protocol"),
        (("1.2.3.4", "1.2.3.5", "icmp/256", None), "needs a type"),
        (("1.2.3.4", "1.2.3.5", "icmp/8", 5), "--sport means nothing"),
        (("1.2.3.4", "1.2.3.5", "47/5", None), "has no ports"),
        (("1.2.3.4", "1.2.3.5", "udplite", 5), "has no ports"),
        (("::1", "::2", "44", None), "extension header"),
    ],
)
def test_words_that_make_no_packet_are_usage_errors(words: tuple[str, str, str, int | None], complaint: str) -> None:
    with pytest.raises(Failure, match=complaint) as caught:
        parse_packet(*words)
    assert caught.value.code is Code.USAGE
