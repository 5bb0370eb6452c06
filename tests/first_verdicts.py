"""What an endpoint's policy says about the first packet of a connection to or from its host."""

from collections.abc import Mapping

from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState
from tortie.model.evaluate import evaluate
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction, Packet
from tortie.model.verdict import Verdict


def first_verdict(
    packet: Packet, direction: Direction, endpoint: EndpointState, sets: Mapping[str, IPSet], failsafes: Failsafes
) -> tuple[Verdict, bool]:
    """The verdict, and whether the packet is tracked; no packet is invalid, so that policy is asked about each."""
    found = evaluate(
        packet,
        direction,
        endpoint,
        sets,
        failsafes,
        relation=Relation.NEW,
        is_for_host=True,
        drops_invalid=False,
    )
    return found.verdict, found.is_tracked
