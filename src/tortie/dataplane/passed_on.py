"""Where packets arrived that IPVS passes on, for drivers in netfilter's hooks. Pure.

    INPUT: mark says where it arrived; normal policy ─▶ IPVS translates ─▶ OUTPUT: forward policy of there, then of
                                                                           where it leaves, in normal policy's place

IPVS takes a packet for one of its services out of INPUT, behind the filter, and gives it to OUTPUT with the address of
a real server. No rule in OUTPUT sees where a packet arrived; so its mark has to say it. A packet that was made here has
no such mark, because marks are cleared where packets enter.

Source: linux/net/netfilter/ipvs/ip_vs_core.c (ip_vs_ops4), ip_vs_xmit.c (ip_vs_nat_send_or_cont).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tortie.model.desired import EndpointState
from tortie.model.packet import Direction
from tortie.model.policy import Stage

FEWEST_BITS = 2
"""Of the mark: to tell that a packet arrived, and that it arrived where this cannot be told."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Values of the mark under `mask`. `numbered`: by interface, of those with forward ingress policy.

    `anywhere`: it arrived on another interface. `unnumbered`: on one of `crowded`, whose forward ingress policy cannot
    be asked, since the bits do not suffice: what IPVS passes on from there is dropped.
    """

    mask: int
    anywhere: int
    unnumbered: int
    numbered: Mapping[str, int]
    crowded: tuple[str, ...]


def arrivals_of(endpoints: Iterable[EndpointState], mask: int) -> Arrivals:
    """What marks say of these endpoints. Raises: ValueError where the mask has fewer bits than FEWEST_BITS."""
    if mask.bit_count() < FEWEST_BITS:
        raise ValueError(f"{mask:#x} has fewer than {FEWEST_BITS} bits")
    bits = [1 << position for position in range(32) if mask >> position & 1]
    values = [sum(bit for place, bit in enumerate(bits) if number >> place & 1) for number in range(1, 1 << len(bits))]
    judging = sorted(one.interface.name for one in endpoints if one.stage(Stage.FORWARD, Direction.INGRESS))
    room = values[1:-1]
    return Arrivals(mask, values[0], values[-1], dict(zip(judging, room, strict=False)), tuple(judging[len(room) :]))
