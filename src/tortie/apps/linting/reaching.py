"""Which rules no packet reaches, whatever the sets hold that they refer to.

Members of a set come and go, so that a finding about rules must hold for any members. What a rule says about sets is
put aside: without it, the rule holds for more packets (`Rules.most`). What it surely holds for (`Rules.least`) is
nothing then, unless the rule that is asked about says the same about the same sets: between those two the sets are no
matter.

Of later fragments, whose ports nobody sees, nothing is claimed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    """The packets of some rules."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._parts = {rule: parted(rule) for rule in rules}
        self.packets = PacketSpace({}, [part.plain for part in self._parts.values()])
        self._spaces: dict[Rule, Space] = {}

    def most(self, rule: Rule) -> Space:
        """Every packet that the rule may hold for."""
        plain = self._parts[rule].plain
        if plain not in self._spaces:
            self._spaces[plain] = self.packets.rule(plain).surely - self.packets.later_fragments
        return self._spaces[plain]

    def least(self, rule: Rule) -> Space:
        """The packets that the rule holds for, whatever the sets hold."""
        return self.packets.nothing if self._parts[rule].about_sets else self.most(rule)

    def about_sets(self, rule: Rule) -> frozenset[Match]:
        """What the rule says about sets."""
        return self._parts[rule].about_sets


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


def unreached(tiers: Sequence[Asked]) -> list[Unreached]:
    """The rules of these tiers, asked in this order, that no packet reaches."""
    rules = Rules(rule for tier in tiers for _, rule in tier.rules)
    found: list[Unreached] = []
    gone = rules.packets.nothing
    for number, tier in enumerate(tiers):
        walk = _Walk(rules, gone)
        for index, (ref, rule) in enumerate(tier.rules):
            if walk.is_reached(rule):
                walk.pass_by(rule)
            elif rules.most(rule):
                found.append(_blamed(rules, tiers[: number + 1], index))
            else:
                found.append(Unreached(ref))
        gone = walk.after(denies=tier.denies)
    return found


def _blamed(rules: Rules, tiers: Sequence[Asked], index: int) -> Unreached:
    """Why nothing reaches the rule of that index of the last tier."""
    *others, own = tiers
    ref, rule = own.rules[index]
    most, about = rules.most(rule), rules.about_sets(rule)
    before = [(one, each) for tier in others for one, each in tier.rules if each.action in (Action.ALLOW, Action.DENY)]
    takers = [(one, each) for one, each in before if not rules.about_sets(each)]
    takers += [
        (one, each)
        for one, each in own.rules[:index]
        if each.action is not Action.LOG and rules.about_sets(each) <= about
    ]
    left, by = most, []
    for one, each in takers:
        if rules.most(each) & left:
            by.append(one)
            left = left - rules.most(each)
    return Unreached(ref, tuple(by), tuple(tier.tier for tier in others if tier.denies) if left else ())


class _Walk:
    """What surely does not come to the next rule of a tier; `gone`: what earlier tiers decided."""

    def __init__(self, rules: Rules, gone: Space) -> None:
        self._rules = rules
        self._gone = gone
        self._taken = gone  # by what says nothing about sets
        self._taken_about: dict[frozenset[Match], Space] = {}
        self._may_pass = rules.packets.nothing

    def is_reached(self, rule: Rule) -> bool:
        """Whether a packet may come to the rule and meet it."""
        left = self._rules.most(rule) - self._taken
        about = self._rules.about_sets(rule)
        for others, taken in self._taken_about.items():
            if left and others <= about:
                left = left - taken
        return bool(left)

    def pass_by(self, rule: Rule) -> None:
        """The rule is asked, and what it decides does not come to the next one."""
        if rule.action is Action.LOG:
            return
        most, about = self._rules.most(rule), self._rules.about_sets(rule)
        if about:
            self._taken_about[about] = self._taken_about.get(about, self._rules.packets.nothing) | most
        else:
            self._taken = self._taken | most
        if rule.action is Action.PASS:
            self._may_pass = self._may_pass | most
        else:
            self._gone = self._gone | (self._rules.least(rule) - self._may_pass)

    def after(self, *, denies: bool) -> Space:
        """What surely does not come to the next tier."""
        return self._gone | (self._rules.packets.everything - self._may_pass) if denies else self._gone
