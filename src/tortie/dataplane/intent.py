"""Which state each interface should enforce: the newest one, or the last good one where the newest is refused. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from tortie.model.desired import EndpointState
from tortie.model.packet import Direction
from tortie.model.policy import PolicyKey, Stage


class Intent:
    """States by interface name. `dirty`: those that have to be worked off; what fails stays dirty.

    `refusals`: what of a state the driver cannot enforce.
    """

    def __init__(self, refusals: Callable[[EndpointState], tuple[str, ...]]) -> None:
        self._refusals = refusals
        self.newest: dict[str, EndpointState] = {}
        self.enforced: dict[str, EndpointState] = {}
        self.dirty: set[str] = set()
        self.refused: dict[str, tuple[str, ...]] = {}

    def take(self, endpoints: Mapping[str, EndpointState | None]) -> None:
        """Note newest states; None is gone."""
        for name, state in endpoints.items():
            self.dirty.add(name)
            if state is None:
                self.newest.pop(name, None)
            else:
                self.newest[name] = state

    def touch_all(self) -> None:
        """Something that every interface depends on has changed."""
        self.dirty |= self.newest.keys()

    def judge(self) -> None:
        """Refuse what the driver cannot enforce, and lift what was refused and is gone."""
        for name in self.dirty:
            state = self.newest.get(name)
            found = self._refusals(state) if state is not None else ()
            if found:
                self.refused[name] = found
            else:
                self.refused.pop(name, None)
        for name in self.refused.keys() - self.newest.keys():
            del self.refused[name]

    def wanted(self, name: str) -> EndpointState | None:
        """What to enforce; None where nothing is wanted, or nothing good is known (`is_unknown`)."""
        if name not in self.refused:
            return self.newest.get(name)
        known = self.enforced.get(name)
        return None if known is None else replace(known, interface=self.newest[name].interface)

    def is_unknown(self, name: str) -> bool:
        """Whether the newest state is refused and no earlier one is known: what is attached stays as it is."""
        return name in self.refused and name not in self.enforced

    def done(self, name: str, state: EndpointState | None) -> None:
        """That state is what packets meet now."""
        if state is None:
            self.enforced.pop(name, None)
        else:
            self.enforced[name] = state

    def rename(self, moved: Mapping[str, str]) -> None:
        """Interfaces have other names, given with those before; all of them at once."""
        known = {name: self.enforced.pop(old, None) for name, old in moved.items()}
        for name, state in known.items():
            if state is None:
                self.enforced.pop(name, None)
            else:
                self.enforced[name] = replace(state, interface=self.newest[name].interface)

    def untracked(self) -> Sequence[EndpointState]:
        """States with untracked policy that the nft table is made of: the last good ones of those refused."""
        states = (
            self.enforced.get(name) if name in self.refused else newest for name, newest in sorted(self.newest.items())
        )
        return [
            state
            for state in states
            if state is not None and any(state.stage(Stage.UNTRACKED, direction) for direction in Direction)
        ]

    def last_good_sets(self) -> Collection[str]:
        """Sets that only the last good state of an interface still needs."""
        return {
            source.set_id
            for name in self.refused.keys() & self.enforced.keys()
            for rule in self.enforced[name].rules()
            for source in rule.set_sources()
        }

    def policies(self) -> Iterable[PolicyKey]:
        """Policies and profiles that are wanted or enforced."""
        for state in (*self.newest.values(), *self.enforced.values()):
            yield from (PolicyKey("Profile", "", profile.name) for profile in state.profiles)
            for tiers in state.tiers.values():
                for group in tiers:
                    yield from (policy.key for policy in group.policies)
