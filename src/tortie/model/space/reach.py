"""Which packets each rule meets, and why some rules meet none.

for one in reach(groups, packets):       groups as `walk` takes them, in order
    one.example                          a packet that the rule meets; None: it never matches
    one.is_empty                         because its own matches exclude each other
    one.shadowed_by                      because these rules have decided about all of its packets before

What a rule *may* hold for, as a match of ports may for a later fragment, does not count as met.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tortie.model.packet import Packet
from tortie.model.rule import Rule
from tortie.model.space.deciding import End, Progress, after_group, steps_of, then
from tortie.model.space.diagram import NOTHING, Diagram, otherwise, values_below, within, without
from tortie.model.space.packetspace import PacketSpace
from tortie.model.space.sample import examples
from tortie.model.space.space import Likely, Space
from tortie.model.verdict import RuleRef
from tortie.model.walk import Group


@dataclass(frozen=True, slots=True)
class RuleReach:
    """One rule in its place, or the end of a group that denies (its index is END).

    `holds`: the packets that its matches hold for, wherever it stands. `example`: a packet that comes to the rule and
    that it holds for; None where it never matches. `shadowed_by`: where that is not because it is empty, the rules that
    have decided about its packets before, in order.
    """

    ref: RuleRef
    rule: Rule
    holds: Likely
    example: Packet | None
    shadowed_by: tuple[RuleRef, ...]
    met: Diagram

    @property
    def is_empty(self) -> bool:
        """Whether the matches exclude each other, so that no packet could ever meet them."""
        return not self.holds.surely

    @property
    def meets(self) -> Space:
        """All packets that come to the rule and that it holds for; made when asked.

        Of later fragments those for which an earlier rule may have decided otherwise are left out, unless the rule
        decides about no other packet.
        """
        ground = self.holds.surely.ground
        kept = ground.diagrams.relabel(self.met, lambda value: value if value == self.ref else None)
        return Space(ground, ground.inside) & Space(ground, kept)


def reach(groups: Sequence[Group], packets: PacketSpace) -> list[RuleReach]:
    """Every rule of the groups, in order, with what it meets. `packets` was made for these rules."""
    found: list[RuleReach] = []
    diagrams = packets.ground.diagrams
    before: Diagram = NOTHING
    numbers: dict[RuleRef, int] = {}
    for group in groups:
        one = _GroupReach(group, before, packets, numbers)
        found += one.rules()
        before = diagrams.merge(then, before, diagrams.relabel(one.progress, after_group))
    return found


class _GroupReach:
    """The rules of one group.

    `before`: what the groups before it have made of the packets. `numbers`: the places of their rules in the whole
    walk, to which those of this group are added.
    """

    def __init__(self, group: Group, before: Diagram, packets: PacketSpace, numbers: dict[RuleRef, int]) -> None:
        self._packets, self._diagrams, self._before = packets, packets.ground.diagrams, before
        self._rules = list(group.all_rules())
        self._numbers, self._offset = numbers, len(numbers)
        for index, (ref, _) in enumerate(self._rules):  # a profile may be listed twice, and counts where it is first
            numbers.setdefault(ref, self._offset + index)
        self._steps = steps_of(self._rules, packets, packets.everything)
        self.progress = self._diagrams.fold(then, self._steps)
        ended = self._diagrams.relabel(before, lambda value: value if _progress(value).ends_walk else None)
        self._taken = self._diagrams.merge(otherwise, ended, self.progress)
        met = self._diagrams.merge(without, self.progress, ended)
        self._met = self._diagrams.relabel(met, lambda value: _progress(value).rule)

    def rules(self) -> Iterator[RuleReach]:
        """Every rule in order."""
        shown = examples(self._packets.ground, self._met)
        for index, (ref, rule) in enumerate(self._rules):
            holds = self._packets.rule(rule)
            if ref in shown:
                yield RuleReach(ref, rule, holds, shown[ref], (), self._met)
                continue
            left = self._left(index, holds.surely)
            takers = () if left else self._takers(holds.surely)
            met = self._diagrams.relabel(left.diagram, lambda _, ref=ref: ref)  # type: ignore[misc]
            yield RuleReach(ref, rule, holds, left.sample(), takers, met)

    def _left(self, index: int, space: Space) -> Space:
        """The packets of the space that come to the rule: of one that only logs, or that meets later fragments only."""
        taken = self._diagrams.merge(within, self._taken, space.diagram)
        earlier = self._where(taken, lambda made: made.end is not End.OPEN and self._is_before(made.rule, index))
        torn = self._where(taken, lambda made: made.end is End.TORN)
        return (space - earlier - torn) | self._left_of_torn(index, torn)

    def _left_of_torn(self, index: int, torn: Space) -> Space:
        """The fragments for which both verdicts were possible in the end, but not yet at the rule."""
        if not torn:
            return torn
        parts = (self._diagrams.merge(within, one, torn.diagram) for one in (self._before, *self._steps[:index]))
        made = self._diagrams.fold(then, parts)
        return torn - self._where(made, lambda progress: progress.end is not End.OPEN)

    def _is_before(self, rule: RuleRef | None, index: int) -> bool:
        return rule is not None and self._numbers[rule] < self._offset + index

    def _takers(self, space: Space) -> tuple[RuleRef, ...]:
        """The rules that have decided about packets of the space, or passed them on, in order."""
        made = values_below(self._diagrams.merge(within, self._taken, space.diagram))
        rules = {rule for value in made if (rule := _progress(value).rule) is not None}
        return tuple(sorted(rules, key=self._numbers.__getitem__))

    def _where(self, made: Diagram, wanted: Callable[[Progress], bool]) -> Space:
        """The packets whose progress is wanted."""
        kept = self._diagrams.relabel(made, lambda value: value if wanted(_progress(value)) else None)
        return self._packets.everything & Space(self._packets.ground, kept)


def _progress(value: Hashable) -> Progress:
    return cast(Progress, value)
