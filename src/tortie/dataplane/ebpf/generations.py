"""The generations that lanes of this host find, each kept once: interfaces with the same policy share its tables.

plan, parity ───▶ made ──────┐
plan, pages id ─▶ taken_over ┴─▶ Generation, the same one for all who ask for the same
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from weakref import WeakValueDictionary

from tortie.dataplane.ebpf.generation import Generation, Plan
from tortie.dataplane.ebpf.pages import Pages
from tortie.model.desired import SetChange


class Generations:
    """See the module. Who gets a generation closes it. Raises everywhere: KernelError."""

    def __init__(self) -> None:
        self._by_plan: WeakValueDictionary[tuple[bytes, int], Generation] = WeakValueDictionary()
        self._by_pages: WeakValueDictionary[int, Generation] = WeakValueDictionary()
        self._lock = Lock()
        """Those of several directions are made side by side."""

    def made(self, plan: Plan, parity: int) -> Generation:
        """One whose tables are what the plan says. Raises: Unsupported."""
        with self._lock:
            known = self._by_plan.get((plan.digest, parity))
            if known is not None and known.is_right and not known.is_closed:
                return known.share()
        return self._keep(Generation.made(plan, parity))

    def taken_over(self, plan: Plan, pages_id: int) -> Generation | None:
        """The one of an earlier agent, if it is what the plan asks for."""
        known = self._by_pages.get(pages_id)
        if known is not None and not known.is_closed:
            return known.share() if known.plan.digest == plan.digest and known.is_right else None
        found = Generation.taken_over(plan, Pages.of_id(pages_id))
        return self._keep(found) if found is not None else None

    def _keep(self, generation: Generation) -> Generation:
        with self._lock:
            self._by_plan[generation.plan.digest, generation.parity] = generation
            self._by_pages[generation.pages.id] = generation
        return generation

    def change(self, changes: Mapping[str, SetChange | None]) -> tuple[set[Generation], set[Generation]]:
        """Those that took all changes of members in place, and those in whose stead new ones are needed; a change is of
        the set with that id. Of those that use none of the sets nothing is said."""
        done, failed = set[Generation](), set[Generation]()
        for one in list(self._by_pages.values()):
            used = [] if one.is_closed else [set_id for set_id in changes if one.classifiers.uses(set_id)]
            if used:
                (done if all(_takes(one, set_id, changes[set_id]) for set_id in used) else failed).add(one)
        return done, failed


def _takes(generation: Generation, set_id: str, change: SetChange | None) -> bool:
    return change is not None and generation.change(set_id, change)
