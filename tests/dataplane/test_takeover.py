"""Forwarded connections that existed before the first endpoint, as the kernel tracks them."""

from tortie.dataplane.ebpf.takeover import of_conntrack, of_forwarded
from tortie.kernel.ctnetlink import ConntrackEntry, ConntrackTuple, TcpState
from tortie.model.conntrack import FlowState
from tortie.model.desired import HostAddresses
from tortie.model.packet import TCP, UDP

CLIENT, SERVER, HOST = 0x0A000001, 0x0A000002, 0xC0000201
ADDRESSES = HostAddresses(frozenset({(4, HOST)}))
SEEN_REPLY = 1 << 1


def entry(
    source: tuple[int, int],
    destination: tuple[int, int],
    *,
    answers: tuple[tuple[int, int], tuple[int, int]] | None = None,
    state: TcpState | None = TcpState.ESTABLISHED,
    zone: int = 0,
) -> ConntrackEntry:
    """A connection; `answers`: source and destination of the reply, where the kernel translates."""
    replier, replied = answers or (destination, source)
    protocol = UDP if state is None else TCP
    original = ConntrackTuple(4, protocol, source[0], destination[0], source[1], destination[1])
    reply = ConntrackTuple(4, protocol, replier[0], replied[0], replier[1], replied[1])
    return ConntrackEntry(original, reply, SEEN_REPLY if state is TcpState.ESTABLISHED else 0, state, 100, zone)


PASSED_ON = entry((CLIENT, 1000), (SERVER, 80))


def test_a_connection_that_is_passed_on_is_one_flow() -> None:
    (flow,) = of_forwarded([PASSED_ON], ADDRESSES)
    assert (flow.key, flow.opener, flow.is_outbound) == ((4, TCP, CLIENT, 1000, SERVER, 80), 0, False)
    assert (flow.state, flow.is_answered) == (FlowState.ESTABLISHED, True)
    assert list(of_conntrack([PASSED_ON], ADDRESSES)) == []


def test_one_that_nobody_has_answered_is_still_to_be_judged_where_it_leaves() -> None:
    (flow,) = of_forwarded([entry((SERVER, 1000), (CLIENT, 80), state=TcpState.SYN_SENT)], ADDRESSES)
    assert (flow.opener, flow.state, flow.is_answered) == (1, FlowState.OPENING, False)
    (flow,) = of_forwarded([entry((CLIENT, 1), (SERVER, 2), state=None)], ADDRESSES)
    assert flow.state is FlowState.OPENING


def test_of_a_translated_one_the_side_without_this_hosts_address_is_a_flow_of_its_own() -> None:
    published = entry((CLIENT, 1000), (HOST, 8080), answers=((SERVER, 80), (CLIENT, 1000)))
    masqueraded = entry((CLIENT, 1000), (SERVER, 80), answers=((SERVER, 80), (HOST, 4000)))
    for one in (published, masqueraded):
        (flow,) = of_forwarded([one], ADDRESSES)
        assert (flow.key, flow.opener) == ((4, TCP, CLIENT, 1000, SERVER, 80), 0)
        (other,) = of_conntrack([one], ADDRESSES)
        assert other.key != flow.key


def test_what_is_over_or_of_another_zone_or_of_this_host_is_none() -> None:
    over = entry((CLIENT, 1000), (SERVER, 80), state=TcpState.TIME_WAIT)
    elsewhere = entry((CLIENT, 1000), (SERVER, 80), zone=3)
    own = entry((HOST, 1000), (SERVER, 80))
    assert list(of_forwarded([over, elsewhere, own], ADDRESSES)) == []
