"""Which rules no packet reaches, whatever the sets hold that they refer to.

Members of a set come and go, so that a finding about rules must hold for any members. What a rule says about sets is
put aside: without it, the rule holds for more packets (`Rules.most`). What it surely holds for (`Rules.least`) is
nothing then, unless the rule that is asked about says the same about the same sets: between those two the sets are no
matter.

Of later fragments, whose ports nobody sees, nothing is claimed.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tortie.apps.linting.growing import Growing
from tortie.model.matches import Match, PortMatch, SetMatch
from tortie.model.rule import Action, Rule
from tortie.model.space import PacketSpace, Space
from tortie.model.verdict import RuleRef


@dataclass(frozen=True, slots=True)
class Part:
    """A rule in two parts: what it says by itself, and what it says about sets."""

    plain: Rule
    about_sets: frozenset[Match]


def parted(rule: Rule) -> Part:
    """The rule in its parts."""
    about_sets = frozenset(match for match in rule.matches if _is_about_sets(match))
    plain = Rule(rule.action, tuple(match for match in rule.matches if match not in about_sets))
    return Part(plain, about_sets)


def _is_about_sets(match: Match) -> bool:
    return isinstance(match, SetMatch) or (isinstance(match, PortMatch) and bool(match.named))


class Rules:
    """The packets of some rules, which are told apart by their identity: to compare them would cost more."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [*rules]
        self._parts = {id(rule): parted(rule) for rule in self._rules}
        self.packets = PacketSpace({}, [part.plain for part in self._parts.values()])
        self._spaces: dict[int, Space] = {}

    def most(self, rule: Rule) -> Space:
        """Every packet that the rule may hold for."""
        found = self._spaces.get(id(rule))
        if found is None:
            plain = self._parts[id(rule)].plain
            found = self._spaces[id(rule)] = self.packets.rule(plain).surely - self.packets.later_fragments
        return found

    def least(self, rule: Rule) -> Space:
        """The packets that the rule holds for, whatever the sets hold."""
        return self.packets.nothing if self.about_sets(rule) else self.most(rule)

    def about_sets(self, rule: Rule) -> frozenset[Match]:
        """What the rule says about sets."""
        return self._parts[id(rule)].about_sets


@dataclass(frozen=True, slots=True)
class Asked:
    """Rules that are asked one after another: those of a tier. `denies`: its end does, of what nothing decided."""

    tier: str
    rules: Sequence[tuple[RuleRef, Rule]]
    denies: bool


@dataclass(frozen=True, slots=True)
class Unreached:
    """A rule that no packet reaches. `by`: rules that decide its packets before; `ends`: tiers whose end denies them.

    Neither: the rule contradicts itself.
    """

    ref: RuleRef
    by: tuple[RuleRef, ...] = ()
    ends: tuple[str, ...] = ()


def unreached(
    tiers: Sequence[Asked], met: Container[RuleRef] = (), told: Container[RuleRef] = ()
) -> Iterator[Unreached]:
    """The rules of these tiers, asked in this order, that no packet reaches.

    `met`: rules that nobody needs to know this of; `told`: those whose reasons are known.
    """
    walk = _Walk(Rules(rule for tier in tiers for _, rule in tier.rules))
    for tier in tiers:
        for ref, rule in tier.rules:
            if ref in met or walk.is_reached(rule):
                walk.pass_by(ref, rule)
            else:
                yield Unreached(ref) if ref in told else walk.blamed(ref, rule)
        walk.end(tier)


class _Walk:
    """What surely does not come to the next rule.

    `decided`: by rules of earlier tiers, and of this one for later tiers; `ended`: by the ends of tiers. `taken`: by
    rules of this tier, by what they say about sets.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._decided: list[Growing[RuleRef]] = []
        self._ended: list[tuple[str, Space]] = []
        self._begin()

    def _begin(self) -> None:
        self._deciding: Growing[RuleRef] = Growing()
        self._may_pass: Growing[RuleRef] = Growing()
        self._taken: dict[frozenset[Match], Growing[RuleRef]] = {}

    def is_reached(self, rule: Rule) -> bool:
        """Whether a packet may come to the rule and meet it."""
        left = self._rules.most(rule)
        for taken in self._takers(rule):
            left = taken.taken_from(left)
        for _, ended in self._ended:
            left = left - ended if left else left
        return bool(left)

    def pass_by(self, ref: RuleRef, rule: Rule) -> None:
        """The rule is asked, and what it decides does not come to the next one."""
        if rule.action is Action.LOG:
            return
        most = self._rules.most(rule)
        self._taken.setdefault(self._rules.about_sets(rule), Growing()).add(most, ref)
        if rule.action is Action.PASS:
            self._may_pass.add(most, ref)
        else:
            self._deciding.add(self._may_pass.taken_from(self._rules.least(rule)), ref)

    def end(self, tier: Asked) -> None:
        """The tier is over."""
        if tier.denies:
            self._ended.append((tier.tier, self._may_pass.taken_from(self._rules.packets.everything)))
        self._decided.append(self._deciding)
        self._begin()

    def blamed(self, ref: RuleRef, rule: Rule) -> Unreached:
        """Why nothing reaches the rule."""
        left, by = self._rules.most(rule), []
        for taken in self._takers(rule):
            left, takers = taken.blame(left)
            by += takers
        return Unreached(ref, tuple(by), tuple(tier for tier, _ in self._ended) if left else ())

    def _takers(self, rule: Rule) -> Iterator[Growing[RuleRef]]:
        """What takes packets of the rule before it, in order."""
        yield from self._decided
        about = self._rules.about_sets(rule)
        yield from (taken for others, taken in self._taken.items() if others <= about)
