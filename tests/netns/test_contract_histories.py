"""The rules of drivers behind netfilter's hooks: what changes make of them is what one rendering makes, whatever failed
in between, and names hold."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest
from contract import DRIVERS, NO_FAILSAFES, InNamespace, MakeDriver, all_new, delta_of, parts_of, ruleset, running

from netns import Namespace, namespace
from strategies import Sets, chance, random_failsafes, random_net, random_normal_case
from tortie.model.conntrack import TrackingSettings
from tortie.model.desired import Delta, EndpointState, SetChange
from tortie.model.endpoint import Interface
from tortie.model.ipset import AddressSet, IPSet, PortSet
from tortie.model.policy import PolicyKey
from tortie.model.verdict import RuleRef

pytestmark = pytest.mark.root


@pytest.fixture
def host() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


class History:
    """A desired state that changes at random; `sets` and `endpoints` are what it is now."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.sets: dict[str, IPSet] = {}
        self.endpoints: dict[str, EndpointState] = {}
        self._last: dict[str, SetChange] = {}
        """Changes of members that may be taken back."""
        self.settings = Delta(failsafes=NO_FAILSAFES, tracking=TrackingSettings())

    def step(self) -> Delta:
        rng, sets = self._rng, {}
        endpoints: dict[str, EndpointState | None] = {}
        for name in rng.sample(["eth0", "eth1", "br-lan", "wg0.5"], rng.randrange(3)):
            if name in self.endpoints and chance(rng, 25):
                endpoints[name] = None
                del self.endpoints[name]
                continue
            pool = Sets(rng, members=6)
            pool.sets.update(self.sets)
            state = random_normal_case(rng, 6, pool=pool).endpoint
            state = replace(state, interface=Interface(name=name, index=2), rejects=chance(rng, 20))
            endpoints[name] = self.endpoints[name] = state
            sets |= {set_id: all_new(found) for set_id, found in pool.sets.items() if set_id not in self.sets}
            self.sets.update(pool.sets)
        for set_id in rng.sample(sorted(self.sets), min(len(self.sets), rng.randrange(4))):
            if set_id not in sets and (change := self._members(set_id)) is not None:
                sets[set_id] = change
        for set_id in self.sets.keys() - self._used():
            sets[set_id] = None
            del self.sets[set_id]
        settings = self.settings
        if chance(rng, 20):
            settings = Delta(failsafes=random_failsafes(rng), tracking=TrackingSettings(drops_invalid=chance(rng, 60)))
            self.settings = settings
        return Delta(endpoints=endpoints, sets=sets, failsafes=settings.failsafes, tracking=settings.tracking)

    def _members(self, set_id: str) -> SetChange | None:
        found, rng = self.sets[set_id], self._rng
        if isinstance(found, PortSet):
            gone = frozenset(rng.sample(sorted(found.members), len(found.members) // 2))
            self.sets[set_id] = PortSet(found.members - gone)
            return SetChange(frozenset(), gone, has_ports=True)
        if (last := self._last.pop(set_id, None)) is not None and chance(rng, 50):
            come, away = frozenset(last.removed) - found.members, frozenset(last.added) & found.members
        else:
            come = frozenset(random_net(rng, rng.choice((4, 6))) for _ in range(rng.randrange(6))) - found.members
            away = frozenset(rng.sample(sorted(found.members), len(found.members) // 3))
        self.sets[set_id] = AddressSet((found.members - away) | come)
        self._last[set_id] = SetChange(come, away)
        return self._last[set_id]

    def _used(self) -> set[str]:
        rules = (rule for state in self.endpoints.values() for rule in state.rules())
        return {source.set_id for rule in rules for source in rule.set_sources()}

    def whole(self) -> Delta:
        return delta_of(self.endpoints, self.sets, failsafes=self.settings.failsafes, tracking=self.settings.tracking)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", DRIVERS)
def test_a_history_of_changes_leaves_the_rules_that_its_end_alone_makes(
    host: Namespace, make: MakeDriver, seed: int
) -> None:
    rng = Random(seed)
    history = History(rng)
    changed = 0
    with parts_of(2 if seed % 2 else None), running(host, make) as driver:
        for _ in range(12):
            changed += bool(driver.enforce(history.step()).changed)
            assert not driver.resync().repaired
            found = ruleset(host)
            with namespace("fresh") as other, running(other, make) as fresh:
                fresh.enforce(history.whole())
                assert found == ruleset(other)
        assert InNamespace(host, make).enforce(history.whole()).changed == ()
    assert changed > 5


@dataclass
class Starts:
    """Programs that can be started yet; None: any number of them."""

    left: int | None = None

    def file_in_memory(self, name: str, flags: int) -> int:
        """As `os.memfd_create`: each program gets its script by one."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return MEMFD_CREATE(name, flags)


MEMFD_CREATE = os.memfd_create


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", DRIVERS)
def test_changes_that_could_not_be_made_are_made_with_those_that_follow(
    host: Namespace, make: MakeDriver, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = Random(seed)
    history, starts = History(rng), Starts()
    monkeypatch.setattr(os, "memfd_create", starts.file_in_memory)
    failed = 0
    with running(host, make) as driver:
        driver.enforce(history.step())
        for _ in range(12):
            for _ in range(rng.randrange(1, 4)):
                driver.take(history.step())
                starts.left = rng.randrange(6)
                failed += bool(driver.apply().failed)
            starts.left = None
            assert not driver.apply().failed
            found = ruleset(host)
            with namespace("fresh") as other, running(other, make) as fresh:
                fresh.enforce(history.whole())
                assert found == ruleset(other)
    assert failed > 5


@pytest.mark.parametrize("part", [None, 1])
@pytest.mark.parametrize("make", DRIVERS)
def test_odd_and_long_names_are_taken_by_the_kernel(host: Namespace, make: MakeDriver, part: int | None) -> None:
    rng = Random(1)
    state = random_normal_case(rng, 8).endpoint
    while not state.tiers:
        state = random_normal_case(rng, 8).endpoint
    odd = {}
    for name in ("eth0.100@x", "3com0", "a%b^c", "-dash", "_x", "accept", "ip"):
        renamed = {
            key: tuple(
                replace(
                    group,
                    tier=replace(group.tier, name="t" * 250),
                    policies=tuple(
                        replace(one, key=PolicyKey("GlobalNetworkPolicy", "", f"{'p' * 240}.{number}"))
                        for number, one in enumerate(group.policies)
                    ),
                )
                for group in groups
            )
            for key, groups in state.tiers.items()
        }
        odd[name] = replace(state, interface=Interface(name=name, index=2), tiers=renamed)
    sets = random_sets(odd)
    with parts_of(part), running(host, make) as driver:
        driver.enforce(delta_of(odd, sets))
        rules, _ = driver.counters()
        assert {one.interface for one in rules} == set(odd)
        assert all(isinstance(one.rule, RuleRef) for one in rules)


def random_sets(endpoints: dict[str, EndpointState]) -> dict[str, IPSet]:
    rules = (rule for state in endpoints.values() for rule in state.rules())
    return {source.set_id: AddressSet([]) for rule in rules for source in rule.set_sources()}
