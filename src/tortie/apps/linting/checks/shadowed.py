"""Rules that no packet reaches, because others before them decide all of their packets."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.unreachable import NeverMet, never_met
from tortie.apps.linting.world import World

MOST = 3
"""Rules that are named."""


def _look(world: World) -> Iterator[Suspicion]:
    for one in never_met(world):
        if one.by or one.ends:
            yield Suspicion(
                subject=one.subject,
                way=("spec", one.direction.value, one.index),
                found="no packet reaches this rule",
                why=_because(one),
                remedy="put it before them, or remove it" if one.by else "let the tier pass packets on, or remove it",
            )


def _because(one: NeverMet) -> str:
    takers = [*one.by[:MOST], *([f"{len(one.by) - MOST} more"] if len(one.by) > MOST else [])]
    takers += [f"the end of tier {tier}" for tier in one.ends]
    *most, last = takers
    named = f"{', '.join(most)} and {last}" if most else last
    return f"{named} decide{'' if most else 's'} all of its packets before"


CHECK: Check[World] = Check("TT2001", "a rule that no packet reaches", _look)
