"""Changes of sets that pile up until somebody makes them: what they tell is what differs, no more and no less."""

from random import Random

import pytest

from tortie.dataplane.sets import Sets
from tortie.model.address import Net
from tortie.model.desired import SetChange


@pytest.mark.parametrize("seed", range(50))
def test_joined_changes_are_exact(seed: int) -> None:
    rng = Random(seed)
    members = {Net(4, number, 32) for number in range(6)}
    sets = Sets()
    sets.change("s", SetChange(frozenset(members), frozenset(), is_new=True))
    made: set[Net] | None = None
    """Those of the set that was last made; None: it was not made yet."""
    for _ in range(20):
        if rng.randrange(3):  # else what came before is still to be made
            sets.changes.clear()
            made = set(members)
        for _ in range(rng.randrange(1, 5)):
            gone = set(rng.sample(sorted(members), min(len(members), rng.randrange(3))))
            come = {Net(4, rng.randrange(12), 32) for _ in range(rng.randrange(3))} - members
            sets.change("s", SetChange(frozenset(come), frozenset(gone)))
            members = (members - gone) | come
        change = sets.changes["s"]
        assert change is not None
        if made is None:
            assert (change.is_new, set(change.added)) == (True, members)
        else:
            assert (change.is_new, change.added, change.removed) == (False, members - made, made - members)
        assert sets["s"].members == members
