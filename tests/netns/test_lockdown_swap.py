"""T-REL-3: a change of policy is one moment for every packet, in both directions."""

from contextlib import nullcontext
from itertools import pairwise

import pytest
from streams import Stream, Streams, streaming

from lockdown import allow, deny, endpoint, foreign_xdp, local_host, policy, sized
from tortie.dataplane.driver import Acceleration
from tortie.model.packet import Direction

pytestmark = pytest.mark.root

ONE, OTHER = 7001, 7002
SWAPS = sized(140, 3_400)
"""In each of three places: 400, or 10,000."""


def torn(streams: Streams, pair: tuple[Stream, Stream], first: int, last: int) -> tuple[int, int]:
    """Packets between two of the other stream that say: both were allowed at once; both were denied at once.

    The order on the wire is one, other, one, other: what packet n of `other` met lay between n and n+1 of `one`.
    Packets pass between each two changes, so that at most one change lies between two neighbours.
    """
    ones, others = (streams.arrived(stream, first, last) for stream in pair)
    allowed = denied = 0
    for number in range(last - first - 1):
        for middle, before, after in (
            (others[number], ones[number], ones[number + 1]),
            (ones[number + 1], others[number], others[number + 1]),
        ):
            allowed += (middle, before, after) == (1, 1, 1)
            denied += (middle, before, after) == (0, 0, 0)
    return allowed, denied


@pytest.mark.parametrize(
    ("direction", "acceleration"),
    [
        (Direction.INGRESS, Acceleration.XDP),
        (Direction.INGRESS, Acceleration.TC),
        (Direction.EGRESS, Acceleration.XDP),
    ],
)
def test_t_rel_3_no_packet_sees_both_policies_or_neither(direction: Direction, acceleration: Acceleration) -> None:
    is_inward = direction is Direction.INGRESS
    pair = Stream(ONE, is_inward), Stream(OTHER, is_inward)

    def swapped(closed: int) -> dict[str, list[object]]:
        rules = [deny("UDP", closed), allow("UDP", ONE, OTHER)]
        return {"ingress" if is_inward else "egress": rules}

    with local_host() as site, foreign_xdp(site.host) if acceleration is Acceleration.TC else nullcontext():
        site.program(endpoint(profiles=["projectcalico-default-allow"]), policy("swap", **swapped(OTHER)))
        assert [one.acceleration for one in site.driver.status()] == [acceleration]
        with streaming(site.host, site.peer, pair, pause_s=0.0001) as streams:
            first = streams.settled()
            assert set(streams.arrived(pair[0], first, first + 50)) == {1}
            for number in range(SWAPS):
                site.program(policy("swap", **swapped(ONE if number % 2 == 0 else OTHER)))
                streams.go_on(4)
            last = streams.settled()
            ones = streams.arrived(pair[0], first, last)
            print(f"{last - first} pairs, {ones.count(1)} of the first allowed")
            assert torn(streams, pair, first, last) == (0, 0)
            changes = sum(a != b for a, b in pairwise(ones))
            assert changes == SWAPS
