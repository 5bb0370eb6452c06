"""What happens in a fleet day by day: one document at a time, changed a little, as one of its nodes hears of it."""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from fleet import EVERYWHERE, Document, Fleet

NODE = 0
"""The node that hears of it."""
Changes = Callable[[Fleet, int], Iterator[Document]]


def labels(fleet: Fleet, count: int) -> Iterator[Document]:
    """Endpoints of other nodes get another application each, which moves their addresses between sets."""
    chance = Random(1)
    for _ in range(count):
        number = chance.randrange(fleet.on_node(NODE).stop, fleet.endpoints)
        yield fleet.endpoint(number, application=chance.randrange(fleet.applications))


def local_labels(fleet: Fleet, count: int) -> Iterator[Document]:
    """Endpoints of this node get another application each: other policies select them."""
    chance = Random(2)
    for _ in range(count):
        number = chance.choice(fleet.on_node(NODE))
        yield fleet.endpoint(number, application=chance.randrange(fleet.applications))


def nets(fleet: Fleet, count: int) -> Iterator[Document]:
    """One more network in some set of a partner; few of them are active here."""
    chance = Random(3)
    for number in range(count):
        yield fleet.network_set(chance.randrange(fleet.feeds, fleet.sets), more=[_host(number)])


def feed_nets(fleet: Fleet, count: int) -> Iterator[Document]:
    """One more network in a feed: its document is large, and every node has the set of all feeds."""
    chance = Random(4)
    for number in range(count):
        yield fleet.network_set(chance.randrange(fleet.feeds), more=[_host(number)])


def policies(fleet: Fleet, count: int) -> Iterator[Document]:
    """A rule of some policy gets another port; few of them are active here."""
    chance = Random(5)
    for number in range(count):
        yield fleet.policy(chance.randrange(EVERYWHERE, fleet.policies), port=number + 1)


def policies_everywhere(fleet: Fleet, count: int) -> Iterator[Document]:
    """A rule of a policy that selects every endpoint gets another port."""
    for number in range(count):
        yield fleet.policy(number % EVERYWHERE, port=number + 1)


CHANGES: Mapping[str, Changes] = {
    "label": labels,
    "label.here": local_labels,
    "net": nets,
    "net.feed": feed_nets,
    "policy": policies,
    "policy.everywhere": policies_everywhere,
}
TOUCHES_MORE = frozenset({"label.here"})
"""What touches more in a larger fleet: there two endpoints of a node seldom have to do with the same sets."""


def _host(number: int) -> str:
    return f"192.0.{number >> 8 & 255}.{number & 255}/32"
