"""Promise 1: desired state depends on the current documents only, never on the order or history by which they came."""

from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calc_world import NODE, Event, Mirror, Slot, World, change, expected, expected_host, random_event, tell
from tortie.calc import Engine
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import DesiredState, EndpointStatus, PolicyStatus
from tortie.model.host import Host
from tortie.model.policy import Profile


class Told(NamedTuple):
    """Everything that an engine says of its host."""

    desired: DesiredState
    host: Host
    endpoints: tuple[EndpointStatus, ...]
    policies: tuple[PolicyStatus, ...]
    problems: tuple[str, ...]


def told(engine: Engine) -> Told:
    return Told(
        engine.desired(), engine.host(), engine.statuses(), engine.policy_statuses(), engine.settings_problems()
    )


def from_scratch(world: World) -> Told:
    """What an engine says that hears of what there is, once and in the order of the kinds, before its first flush."""
    engine = Engine(NODE)
    for event in sorted(world.items(), key=lambda each: repr(each[0])):
        tell(engine, event)
    engine.in_sync()
    engine.flush()
    return told(engine)


def history(rng: Random, length: int) -> tuple[list[Event], World]:
    """Events, some of which undo or replace others, and the world they end in."""
    world: World = {}
    events = []
    for _ in range(length):
        event = random_event(rng, world)
        change(world, event)
        events.append(event)
    return events, world


def shuffled(rng: Random, events: list[Event]) -> list[Event]:
    """Another order in which a datastore may tell the same: only the events of one key keep theirs."""
    queues: dict[Slot, list[Event]] = {}
    for event in reversed(events):
        queues.setdefault(event[0], []).append(event)
    slots = [slot for slot, _ in events]
    rng.shuffle(slots)
    return [queues[slot].pop() for slot in slots]


def run(rng: Random, events: list[Event], *, flushes: int) -> tuple[Told, DesiredState]:
    """What the engine ends with, and what its deltas add up to; flushed after that percentage of the events."""
    engine, mirror = Engine(NODE), Mirror()
    start = rng.randrange(len(events) + 1)
    for index, event in enumerate(events):
        if index == start:
            engine.in_sync()
        tell(engine, event)
        if rng.randrange(100) < flushes:
            mirror.take(engine.flush())
    engine.in_sync()
    mirror.take(engine.flush())
    assert not engine.flush()
    return told(engine), mirror.state()


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 30), st.sampled_from([0, 20, 100]))
def test_any_history_ends_in_what_the_reference_says(rng: Random, length: int, flushes: int) -> None:
    events, world = history(rng, length)
    found, summed = run(rng, events, flushes=flushes)
    assert found.desired == expected(world)
    assert found.host == expected_host(world)
    assert summed == found.desired


def test_a_thousand_histories_and_their_permutations_end_in_what_an_engine_says_from_scratch() -> None:
    """All inputs, values and statuses, flushed never, at times or always; and the reference says the same."""
    for seed in range(1000):
        rng = Random(seed)
        events, world = history(rng, 1 + rng.randrange(60))
        wanted = from_scratch(world)
        assert (wanted.desired, wanted.host) == (expected(world), expected_host(world)), seed
        for order in (events, shuffled(rng, events)):
            found, summed = run(rng, order, flushes=rng.choice((0, 10, 100)))
            assert found == wanted, seed
            assert summed == wanted.desired, seed


@pytest.mark.parametrize("seed", range(60))
def test_long_histories_end_in_what_the_reference_says_at_every_step(seed: int) -> None:
    rng = Random(seed)
    engine, mirror, world = Engine(NODE), Mirror(), World()
    engine.in_sync()
    for _ in range(60):
        for _ in range(1 + rng.randrange(3)):
            event = random_event(rng, world, removals=30)
            change(world, event)
            tell(engine, event)
        mirror.take(engine.flush())
        assert engine.desired() == expected(world)
        assert engine.host() == expected_host(world)
        assert mirror.state() == engine.desired()


def is_rich(events: list[Event], world: World) -> bool:
    """Whether there are events of every kind, deletions too, and what they end in shows something of each."""
    outcome = expected(world)
    others = {"network_set", "node", "policy", "profile", "settings", "tier", "workload_endpoint"}
    derived = {"implied_profile", "pod", "service_slice"}
    kinds = {"host_endpoint", "interface", "kernel_timeouts"} | others | derived
    return (
        {slot[0] for slot, _ in events} == kinds == {slot[0] for slot, value in events if value is None}
        and bool(outcome.endpoints and outcome.sets)
        and any(isinstance(one, Profile) for state in outcome.endpoints.values() for one in state.profiles)
        and outcome.tracking != TrackingSettings()
        and outcome != expected({slot: value for slot, value in world.items() if slot[0] != "workload_endpoint"})
    )


def test_t_rel_15_a_thousand_orders_of_the_same_two_hundred_events_end_in_one_state() -> None:
    """Some orders are flushed on the way. The deltas add up to the same."""
    for seed in range(225, 10_000):
        rng = Random(seed)
        events, world = history(rng, 200)
        if is_rich(events, world):
            break
    assert is_rich(events, world)
    outcome = expected(world)
    for _ in range(1000):
        found, summed = run(rng, shuffled(rng, events), flushes=2)
        assert found.desired == outcome
        assert summed == outcome


def test_detours_make_no_delta() -> None:
    rng = Random(16)
    events, world = history(rng, 150)
    engine = Engine(NODE)
    for event in events:
        tell(engine, event)
    engine.in_sync()
    engine.flush()
    for _ in range(300):
        detour = [random_event(rng, world) for _ in range(1 + rng.randrange(4))]
        for event in detour:
            tell(engine, event) if event[1] is not None or event[0] in world else None
        for slot, _ in reversed(detour):
            tell(engine, (slot, world.get(slot)))
        assert not engine.flush()
