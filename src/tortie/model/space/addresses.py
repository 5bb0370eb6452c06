"""Classes of addresses: all that no rule tells apart is one value, however many networks a set has.

    address   0 ────── 10.0.0.0/8 ── 10.1.0.0/16 ── 10.0.0.0/8 ────── 192.0.2.0/24 ── 255.255.255.255
    class     0        1             2              1            0    3               0

An *atom* is what rules name as one thing: the nets of a match, the members of a set. Diagrams ask for classes, so that
their size depends on how many atoms there are and not on how many members they have.
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from tortie.model.address import WIDTH, Net

Interval = tuple[int, int]
"""First and last value, both included."""
Atom = Hashable
_ORDINARY = {4: (0x01000000, 0xDFFFFFFF), 6: (0x2000 << 112, (0x4000 << 112) - 1)}
"""From the first to the last unicast address that a stranger may have."""


@dataclass(frozen=True, slots=True)
class AddressClasses:
    """The classes of the addresses of one IP version on one side.

    `starts` and `numbers`: where each stretch of addresses begins, and its class. `of_atom`: the classes of an atom.
    `examples`: an address of each class, such as a host may have where there is one.
    """

    version: int
    starts: tuple[int, ...]
    numbers: tuple[int, ...]
    examples: tuple[int, ...]
    of_atom: Mapping[Atom, tuple[int, ...]]

    @property
    def last(self) -> int:
        """The highest number of a class; the lowest is 0."""
        return len(self.examples) - 1

    def of(self, address: int) -> int:
        """The class of an address."""
        return self.numbers[bisect_right(self.starts, address) - 1]

    def addresses(self, classes: Iterable[int]) -> tuple[Interval, ...]:
        """All addresses of some classes."""
        wanted = frozenset(classes)
        stretches = _stretches(self.version, self.starts, self.numbers)
        return joined((first, last) for first, last, number in stretches if number in wanted)


def classify(version: int, atoms: Mapping[Atom, Iterable[Net]], usual: Sequence[int]) -> AddressClasses:
    """The classes that the atoms make. Two addresses in the same atoms are in one class.

    `usual`: the addresses that are the best examples, the very best first.
    """
    names = list(atoms)
    turns: list[tuple[int, int]] = []
    for index, name in enumerate(names):
        for first, last in joined(_interval(net) for net in atoms[name] if net.version == version):
            turns += ((first, index), (last + 1, index))
    turns.sort()
    starts, numbers, known = [0], [0], {frozenset[int](): 0}
    active: set[int] = set()
    for number, (place, index) in enumerate(turns):
        active ^= {index}
        if number + 1 < len(turns) and turns[number + 1][0] == place:
            continue
        its_class = known.setdefault(frozenset(active), len(known))
        if place == starts[-1]:
            numbers[-1] = its_class
        elif place >> WIDTH[version] == 0:
            starts.append(place)
            numbers.append(its_class)
    order = {old: new for new, old in enumerate(dict.fromkeys(numbers))}  # not each of them has an address
    numbers = [order[old] for old in numbers]
    of_atom: dict[Atom, list[int]] = {name: [] for name in names}
    for inside, old in known.items():
        if old in order:
            for index in inside:
                of_atom[names[index]].append(order[old])
    return AddressClasses(
        version,
        tuple(starts),
        tuple(numbers),
        _examples(version, starts, numbers, usual),
        {name: tuple(sorted(classes)) for name, classes in of_atom.items()},
    )


def _examples(version: int, starts: Sequence[int], numbers: Sequence[int], usual: Sequence[int]) -> tuple[int, ...]:
    """An address for each class: a usual one, else one that anybody may have, else any."""
    found: dict[int, int] = {}
    for address in usual:
        found.setdefault(numbers[bisect_right(starts, address) - 1], address)
    low, high = _ORDINARY[version]
    stretches = list(_stretches(version, starts, numbers))
    for first, last, number in stretches:
        if low <= first and last <= high:
            found.setdefault(number, first + (last - first > 1))
    for first, last, number in stretches:
        found.setdefault(number, first + (last - first > 1))
    return tuple(found[number] for number in range(len(found)))


def _stretches(version: int, starts: Sequence[int], numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """First address, last address and class of each stretch."""
    ends = chain((start - 1 for start in starts[1:]), ((1 << WIDTH[version]) - 1,))
    return zip(starts, ends, numbers, strict=True)


def _interval(net: Net) -> Interval:
    return net.address, net.address | (1 << WIDTH[net.version] - net.length) - 1


def joined(found: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intervals in order, with those that overlap or touch as one."""
    merged: list[Interval] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def nets_of(version: int, found: Iterable[Interval]) -> tuple[Net, ...]:
    """The fewest networks that have exactly those addresses."""
    nets: list[Net] = []
    for start, last in found:
        first = start
        while first <= last:
            free = (first & -first).bit_length() - 1 if first else WIDTH[version]
            size = min(free, (last - first + 1).bit_length() - 1)
            nets.append(Net(version, first, WIDTH[version] - size))
            first += 1 << size
    return tuple(nets)
