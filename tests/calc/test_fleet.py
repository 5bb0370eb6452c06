"""A change costs what it touches, in a fleet of any size. Counted in calls, not in time, which machines differ in."""

import json
import sys
from collections.abc import Iterator
from statistics import mean
from types import FrameType

import pytest

from fleet import Document, Fleet
from fleet_changes import CHANGES, NODE, TOUCHES_MORE
from tortie.apps.absorb import absorb
from tortie.calc import Engine
from tortie.model.address import Net
from tortie.model.endpoint import Interface
from tortie.resources.codec import decode_stored, decode_text, encode
from tortie.store.protocol import Key

SMALL = Fleet(nodes=12, endpoints=120, policies=80, sets=80, nets=2_000)
LARGE = Fleet(nodes=120, endpoints=1_200, policies=800, sets=800, nets=20_000)
CHANGED = 60
TOUCHES_AS_MUCH = sorted(CHANGES.keys() - TOUCHES_MORE - {"net.feed"})
"""There are no feeds in fleets of this size."""


def stored(document: Document) -> tuple[Key, bytes]:
    resource = decode_stored(json.dumps(document).encode())
    return Key(resource.kind, resource.namespace, resource.name), encode(resource)


def tell(engine: Engine, document: Document) -> None:
    assert absorb(engine, *stored(document)) is None


def running(fleet: Fleet) -> Engine:
    engine = Engine(f"node-{NODE}")
    for document in fleet.documents():
        tell(engine, document)
    address = frozenset({Net(4, 0xC0000201, 32)})
    engine.set_interface(fleet.uplink, Interface(name=fleet.uplink, index=2, addresses=address))
    engine.in_sync()
    assert engine.flush().endpoints[fleet.uplink]
    return engine


def calls(engine: Engine, key: Key, value: bytes) -> int:
    """How many functions the change of one document calls, those of C included, until all has been told of it."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        absorb(engine, key, value)
        engine.flush()
        engine.policy_statuses()
        engine.statuses()
        engine.endpoints()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine]]:
    yield running(SMALL), running(LARGE)


@pytest.mark.parametrize("kind", TOUCHES_AS_MUCH)
def test_a_change_takes_as_many_calls_in_a_fleet_ten_times_as_large(engines: tuple[Engine, Engine], kind: str) -> None:
    small, large = (
        mean(calls(engine, *stored(document)) for document in CHANGES[kind](fleet, CHANGED))
        for engine, fleet in zip(engines, (SMALL, LARGE), strict=True)
    )
    assert large < 2 * small


def test_the_documents_of_a_fleet_are_what_people_may_apply() -> None:
    documents = [*SMALL.documents()]
    resources, problems = decode_text(json.dumps(documents), "fleet")
    assert not problems
    assert len(resources) == len(documents)
    assert sum(len(one["spec"].get("nets", ())) for one in documents) == pytest.approx(SMALL.nets, rel=0.05)


def test_a_seed_makes_the_same_fleet_and_another_seed_another_one() -> None:
    documents = [*SMALL.documents()]
    assert [*SMALL.documents()] == documents
    assert [*Fleet(nodes=12, endpoints=120, policies=80, sets=80, nets=2_000, seed=7).documents()] != documents


def test_a_node_has_a_part_of_the_fleet_only() -> None:
    engine = running(LARGE)
    desired = engine.desired()
    rules = sum(1 for state in desired.endpoints.values() for _ in state.rules())
    members = sum(len(found.members) for found in desired.sets.values())
    assert 10 < rules < LARGE.policies // 10
    assert 100 < members < LARGE.nets // 10
