"""Which policies somebody should be told about, kept as policies change: nobody looks through all of them to tell."""

from collections.abc import Mapping, Set

from tortie.calc.order import tier_named
from tortie.model.policy import Policy, PolicyKey, Tier


class PolicyNotes:
    """Policies with remarks, and policies by their tier."""

    def __init__(self) -> None:
        self._remarked: set[PolicyKey] = set()
        self._in_tier: dict[str, set[PolicyKey]] = {}

    def replace(self, key: PolicyKey, old: Policy | None, new: Policy | None) -> None:
        """A policy is another one now, new, or gone."""
        if old is not None:
            self._in_tier[old.tier].discard(key)
            if not self._in_tier[old.tier]:
                del self._in_tier[old.tier]
        self._remarked.discard(key)
        if new is not None:
            self._in_tier.setdefault(new.tier, set()).add(key)
            if new.remarks:
                self._remarked.add(key)

    def noted(self, tiers: Mapping[str, Tier]) -> Set[PolicyKey]:
        """Policies with remarks, and those whose tier does not exist."""
        lost = [keys for name, keys in self._in_tier.items() if tier_named(name, tiers)[1]]
        return self._remarked.union(*lost)
