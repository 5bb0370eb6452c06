"""Policies and profiles while they change, and the IP sets that active ones refer to.

Promise: equal values are one object. A value that is changed and changed back between two flushes is the object that it
was, so that identity tells what changed.
"""

from collections.abc import Hashable, Iterator, Set
from typing import Generic, TypeVar

from tortie.calc.members import SetMembers
from tortie.model.ipset import ServiceSet, SetSource
from tortie.model.packet import Direction
from tortie.model.policy import DEFAULT_ALLOW, Policy, PolicyKey, Profile
from tortie.model.rule import Action, Rule

BUILT_IN_PROFILES = {
    DEFAULT_ALLOW: Profile(DEFAULT_ALLOW, ingress=(Rule(Action.ALLOW),), egress=(Rule(Action.ALLOW),)),
}
"""Profiles that exist without a document; no document changes them."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values by key, and which keys were told of since the last flush."""

    def __init__(self) -> None:
        self._values: dict[Key, Value] = {}
        self._before: dict[Key, Value | None] = {}

    def __getitem__(self, key: Key) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    @property
    def touched(self) -> Set[Key]:
        """The keys that changed since the last flush, even if they changed back."""
        return self._before.keys()

    def get(self, key: Key) -> Value | None:
        """The value as it is now."""
        return self._values.get(key)

    def set(self, key: Key, value: Value | None) -> bool:
        """Whether the value is another than before; it is kept now, or forgotten if it is None."""
        current = self._values.get(key)
        if value == current:
            return False
        before = self._before.setdefault(key, current)
        if value is None:
            del self._values[key]
        else:
            self._values[key] = before if before is not None and value == before else value
        return True

    def flushed(self) -> None:
        """From here on, changes count anew."""
        self._before.clear()


class ActiveSets:
    """The references to IP sets that active policies and profiles hold."""

    def __init__(self, members: SetMembers) -> None:
        self._members = members
        self._held: dict[PolicyKey, tuple[Policy | Profile, tuple[SetSource, ...]]] = {}

    def hold(self, key: PolicyKey, owner: Policy | Profile | None) -> None:
        """Refer to the sets of what is active under this key; let go of those of what was. None: nothing is."""
        held, sources = self._held.pop(key, (None, ()))
        if owner is not None:
            found = sources if owner is held else _set_sources(owner)
            if owner is not held:
                for source in found:
                    self._members.acquire(source)
            self._held[key] = owner, found
        if owner is not held:
            for source in sources:
                self._members.release(source)

    def empty_services(self) -> list[tuple[PolicyKey, str]]:
        """What is active and names a Service without endpoints, with `namespace/name` of the Service, in order."""
        found = {
            (key, f"{source.namespace}/{source.name}")
            for key, (_, sources) in self._held.items()
            for source in sources
            if isinstance(source, ServiceSet) and self._members.is_empty(source)
        }
        return sorted(found)


def profile_key(name: str) -> PolicyKey:
    """The key of a profile beside those of policies."""
    return PolicyKey("Profile", "", name)


def _set_sources(owner: Policy | Profile) -> tuple[SetSource, ...]:
    """Every set that the rules refer to, once."""
    return tuple(dict.fromkeys(source for rule in _rules(owner) for source in rule.set_sources()))


def _rules(owner: Policy | Profile) -> Iterator[Rule]:
    if isinstance(owner, Profile):
        yield from owner.ingress
        yield from owner.egress
    else:
        for direction in Direction:
            yield from owner.rules(direction)
