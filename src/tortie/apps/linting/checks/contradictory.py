"""Rules that hold for no packet, because what they ask for contradicts itself."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.unreachable import never_met
from tortie.apps.linting.world import World


def _look(world: World) -> Iterator[Suspicion]:
    for one in never_met(world):
        if not one.by and not one.ends:
            yield Suspicion(
                subject=one.subject,
                way=("spec", one.direction.value, one.index),
                found="the rule holds for no packet",
                why="what it asks for excludes each other",
                remedy="correct it, or remove it",
            )


CHECK: Check[World] = Check("TT2002", "a rule that holds for no packet", _look)
