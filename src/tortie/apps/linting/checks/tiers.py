"""Policies in a tier that does not exist: `apply` refuses them, and one whose tier vanishes denies at the very end."""

from collections.abc import Iterator

from tortie.apps.linting.bodies import TIERED
from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.world import World
from tortie.model.policy import DEFAULT_TIER
from tortie.resources.fields import suggest


def _look(world: World) -> Iterator[Suspicion]:
    if not world.knows_tiers:
        return
    known = world.tiers
    for subject in world.subjects:
        tier = str(subject.resource.spec.get("tier") or DEFAULT_TIER)
        if subject.resource.kind in TIERED and tier not in known:
            hint = suggest(tier, dict.fromkeys(known))
            where = "stored or in the files" if world.is_live else "in the files"
            yield Suspicion(
                subject=subject,
                way=("spec", "tier"),
                found=f"is in tier {tier}, which does not exist {where}",
                why="it cannot be applied before the tier, and without it is asked after all others and then denies",
                remedy=hint or "write the Tier document too, or correct the name",
            )


CHECK: Check[World] = Check("TT2008", "a policy in a tier that is not there", _look)
