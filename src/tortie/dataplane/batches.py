"""Long work on connections in steps, between which an agent does what else there is to do."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

BATCH = 500
"""Connections of one step: some 25 ms of evaluation."""
_One = TypeVar("_One")


def forget_in_batches(looked_at: Iterable[_One | None], forget: Callable[[list[_One]], int]) -> Iterator[int]:
    """Forget what was looked at and is not None, a batch of looks for each step; how many went."""
    batch: list[_One] = []
    for number, one in enumerate(looked_at, 1):
        if one is not None:
            batch.append(one)
        if number % BATCH == 0:
            yield forget(batch)
            batch = []
    yield forget(batch)
