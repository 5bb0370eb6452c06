from collections.abc import Iterator

import pytest

from netns import namespace
from tortie.kernel import ctnetlink, nft
from tortie.kernel.ctnetlink import ASSURED, SEEN_REPLY, ConntrackEntry, ConntrackTuple, TcpState
from tortie.kernel.ctremember import remember

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def tracked() -> Iterator[None]:
    with namespace() as made, made.entered():
        nft.run("table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }")
        yield


def entry(here: ConntrackTuple, there: ConntrackTuple, status: int, state: TcpState | None = None) -> ConntrackEntry:
    return ConntrackEntry(here, there, status, state, 100, 0)


def ported(version: int, protocol: int, status: int, state: TcpState | None = None) -> ConntrackEntry:
    return entry(
        ConntrackTuple(version, protocol, 0x0A000001, 0x0A000002, 1000, 2000),
        ConntrackTuple(version, protocol, 0x0A000002, 0x0A000001, 2000, 1000),
        status,
        state,
    )


def test_connections_of_every_form_are_there_as_they_were_told() -> None:
    told = [
        ported(4, 6, SEEN_REPLY | ASSURED, TcpState.ESTABLISHED),
        ported(6, 17, SEEN_REPLY),
        entry(
            ConntrackTuple(6, 58, 1, 2, icmp_type=128, icmp_code=0, icmp_id=7),
            ConntrackTuple(6, 58, 2, 1, icmp_type=129, icmp_code=0, icmp_id=7),
            0,
        ),
        entry(ConntrackTuple(4, 253, 0x0A000001, 0x0A000002), ConntrackTuple(4, 253, 0x0A000002, 0x0A000001), 0),
    ]
    assert remember(told) == len(told)
    found = {one.original: one for one in ctnetlink.read_entries()}
    for one in told:
        there = found[one.original]
        assert (there.reply, there.is_answered, there.is_assured) == (one.reply, one.is_answered, one.is_assured)
        assert there.tcp_state == one.tcp_state and 90 <= there.timeout_s <= 100


def test_one_that_is_there_becomes_answered_whichever_way_round_it_is_told() -> None:
    there = ported(4, 17, 0)
    assert remember([there]) == 1
    turned = entry(there.reply, there.original, SEEN_REPLY | ASSURED)
    assert remember([turned]) == 1
    (found,) = ctnetlink.read_entries()
    assert (found.original, found.is_answered) == (there.original, True)


def test_what_the_kernel_cannot_be_told_is_passed_over() -> None:
    tcp, other = ported(4, 6, 0, TcpState.ESTABLISHED), ported(4, 132, 0, TcpState.ESTABLISHED)
    assert remember([other, tcp]) == 1
