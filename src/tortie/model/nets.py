"""Many networks as one small value: a set of a million of them is part of every agent, and few are ever looked at.

Promise: equal sets of networks are equal values, whatever the order in which they were given. An IPv4 network takes 8
bytes here; as a `Net` it takes over a hundred, and its place in a set forty more.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat

from tortie.model.address import WIDTH, Net, parse_net

_LENGTH_BITS = 8
_LENGTH = (1 << _LENGTH_BITS) - 1


class Nets:
    """An immutable set of networks, packed; in order of version, address and length."""

    __slots__ = ("_four", "_six")

    def __init__(self, nets: Iterable[Net] = ()) -> None:
        keys: dict[int, set[int]] = {version: set() for version in WIDTH}
        for version, address, length in nets:
            keys[version].add(address << _LENGTH_BITS | length)
        self._pack(keys[4], keys[6])

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Nets":
        """The networks that the texts name, as `parse_net` reads them, host bits masked.

        Raises: InvalidAddress.
        """
        four = _parse_plain([text for text in texts if ":" not in text])
        if four is None:
            return cls([parse_net(text, strict=False) for text in texts])
        others = [parse_net(text, strict=False) for text in texts if ":" in text]
        if any(net.version == 4 for net in others):  # IPv4 in IPv6's clothes
            return cls([*_unpacked(4, four), *others])
        made = cls.__new__(cls)
        made._four, made._six = four, tuple(sorted({net.address << _LENGTH_BITS | net.length for net in others}))
        return made

    def _pack(self, four: Iterable[int], six: Iterable[int]) -> None:
        self._four = array("Q", sorted(four))
        self._six = tuple(sorted(six))

    @property
    def four(self) -> Sequence[int]:
        """The IPv4 ones in order, each as address << 8 | length; an `array("Q")`."""
        return self._four

    @property
    def six(self) -> Sequence[int]:
        """The IPv6 ones likewise."""
        return self._six

    def changed(self, added: Iterable[Net], removed: Iterable[Net]) -> "Nets":
        """With those, and without these; quick where they are few."""
        four, six = array("Q", self._four), list(self._six)
        for nets, is_member in ((removed, False), (added, True)):
            for net in nets:
                keys: array[int] | list[int] = four if net.version == 4 else six
                key, place, is_there = _sought(keys, net)
                if is_member and not is_there:
                    keys.insert(place, key)
                elif is_there and not is_member:
                    del keys[place]
        made = Nets.__new__(Nets)
        made._four, made._six = four, tuple(six)
        return made

    def __contains__(self, net: object) -> bool:
        if not isinstance(net, Net):
            return False
        return _sought(self._four if net.version == 4 else self._six, net)[2]

    def __len__(self) -> int:
        return len(self._four) + len(self._six)

    def __iter__(self) -> Iterator[Net]:
        yield from _unpacked(4, self._four)
        yield from _unpacked(6, self._six)

    def __sub__(self, other: "Nets") -> frozenset[Net]:
        """Those that the other value lacks."""
        four, six = _beyond(self._four, other._four), _beyond(self._six, other._six)
        return frozenset([*_unpacked(4, four), *_unpacked(6, six)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nets) and self._four == other._four and self._six == other._six

    def __hash__(self) -> int:
        return hash((self._four.tobytes(), self._six))

    def __repr__(self) -> str:
        return f"Nets({', '.join(map(str, self))})"


def _sought(keys: Sequence[int], net: Net) -> tuple[int, int, bool]:
    """The key of a network, its place among those of its version, and whether it is there."""
    key = net.address << _LENGTH_BITS | net.length
    place = bisect_left(keys, key)
    return key, place, place < len(keys) and keys[place] == key


def _unpacked(version: int, keys: Collection[int]) -> Iterator[Net]:
    # Past Net's own constructor, which is a function of Python's and takes longer than all the rest.
    fields = zip(repeat(version), [key >> _LENGTH_BITS for key in keys], [key & _LENGTH for key in keys], strict=False)
    return map(partial(tuple.__new__, Net), fields)


def _beyond(mine: Sequence[int], others: Sequence[int]) -> set[int]:
    """The numbers that the others lack; both sorted. What they begin and end with in common is only compared."""
    most = min(len(mine), len(others))
    first = _common(most, lambda start, end: mine[start:end] == others[start:end])
    from_end, other_end = len(mine), len(others)
    last = _common(
        most - first,
        lambda start, end: mine[from_end - end : from_end - start] == others[other_end - end : other_end - start],
    )
    return set(mine[first : from_end - last]).difference(others[first : other_end - last])


def _common(most: int, is_same: Callable[[int, int], bool]) -> int:
    """How far two sequences are the same, at most."""
    known, end = 0, most
    while known < end:
        middle = (known + end + 1) // 2
        if is_same(known, middle):
            known = middle
        else:
            end = middle - 1
    return known


def _parse_plain(texts: Sequence[str]) -> "array[int] | None":
    """The keys of IPv4 networks and addresses, in order; None where one of them is written in another way, or wrong.

    Because: a set has a hundred thousand of them at times, and is read whenever one of them changes.
    """
    from tortie.model._nets import ffi, lib  # not everybody reads any

    joined = "\n".join(texts)
    if (texts and not joined) or not joined.isascii() or joined.count("\n") != len(texts) - bool(texts):
        return None
    keys = array("Q", bytes(8 * len(texts)))
    data = joined.encode()
    count = lib.nets_parse4(data, len(data), ffi.from_buffer("uint64_t[]", keys, require_writable=True))
    if count < 0:
        return None
    del keys[count:]
    return keys
