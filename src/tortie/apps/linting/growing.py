"""Spaces that many small ones are added to, one after another."""

from typing import Generic, NamedTuple, TypeVar

from tortie.model.space import Space

Name = TypeVar("Name")


class _Part(NamedTuple, Generic[Name]):
    """A space, and what it was joined of; one that was added has a name and no halves."""

    size: int
    space: Space
    name: Name | None = None
    halves: "tuple[_Part[Name], ...]" = ()


class Growing(Generic[Name]):
    """A space that grows, kept as a few trees of parts, each twice as large as the next.

    Because: to join a large space with a small one costs as much as the large one is wide. So joined, each takes part
    in a dozen joins at most; and who takes a packet is found in as many steps.
    """

    def __init__(self) -> None:
        self._parts: list[_Part[Name]] = []

    def add(self, space: Space, name: Name) -> None:
        """Let it grow by that space."""
        self._parts.append(_Part(1, space, name))
        while len(self._parts) > 1 and self._parts[-1].size >= self._parts[-2].size:
            last, before = self._parts.pop(), self._parts.pop()
            self._parts.append(_Part(before.size + last.size, before.space | last.space, None, (before, last)))

    def taken_from(self, space: Space) -> Space:
        """What of that space is not in this one."""
        for part in reversed(self._parts):
            if not space:
                break
            space = space - part.space
        return space

    def shared_with(self, space: Space) -> list[Space]:
        """What of that space is in this one, in pieces that are not empty."""
        return [shared for part in self._parts if (shared := space & part.space)]

    def blame(self, space: Space) -> tuple[Space, list[Name]]:
        """What of that space is not in this one, and the names of those that take the rest, the oldest first."""
        found: list[Name] = []
        waiting = self._parts[::-1]
        while waiting and space:
            part = waiting.pop()
            if not space & part.space:
                continue
            waiting += part.halves[::-1]
            if part.name is not None:
                found.append(part.name)
                space = space - part.space
        return space, found
