"""Rules of untracked policy that allow TCP one way, while nothing of untracked policy allows its answers.

The policy has rules for the other direction, or others have (else TT2004 tells of it as a whole), and none of them
holds for any answer to what the rule allows. Of UDP and others nothing is said: there are messages that nobody answers.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from tortie.apps.linting.bodies import OTHER, rules
from tortie.apps.linting.check import Check
from tortie.apps.linting.checks.return_rule import lacking
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.mirroring import return_fix
from tortie.apps.linting.reaching import Rules
from tortie.apps.linting.scopes import is_satisfiable
from tortie.apps.linting.world import Enforced, World
from tortie.model.matches import IcmpMatch, Match, NetMatch, PortMatch, ProtocolMatch, SetMatch, VersionMatch
from tortie.model.packet import TCP, Direction, Side
from tortie.model.policy import Policy
from tortie.model.rule import Action, Rule
from tortie.model.selector import conjunction

_AROUND = {Side.SOURCE: Side.DESTINATION, Side.DESTINATION: Side.SOURCE}
_BACK = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


def _look(world: World) -> Iterator[Suspicion]:
    untracked = [one.policy for one in world.policies if one.policy.do_not_track]
    for enforced in world.policies:
        subject = enforced.subject
        if subject is None or not enforced.policy.do_not_track or lacking(subject.resource, world.resources):
            continue
        for direction in Direction:
            yield from _unanswered(enforced, direction, [one for one in untracked if _may_share(one, enforced.policy)])


def _may_share(one: Policy, other: Policy) -> bool:
    return one is other or is_satisfiable(conjunction(one.selector, other.selector))


def _unanswered(enforced: Enforced, direction: Direction, company: Sequence[Policy]) -> Iterator[Suspicion]:
    """The rules of that direction that allow TCP, of whose answers none is allowed."""
    subject = enforced.subject
    mirrors = {index: _mirror(rule) for index, rule in enumerate(enforced.policy.rules(direction)) if _opens(rule)}
    if subject is None or not mirrors:
        return
    back = [rule for policy in company for rule in policy.rules(_BACK[direction]) if rule.action is Action.ALLOW]
    asked = Rules([*mirrors.values(), *back])
    allowed = asked.packets.union(asked.most(rule) for rule in back)
    tcp = asked.packets.protocols(TCP)
    for index, mirror in mirrors.items():
        answers = asked.most(mirror) & tcp
        if answers and not answers & allowed:
            side = direction.value
            written = rules(subject.resource.spec, side)
            yield Suspicion(
                subject=subject,
                way=("spec", side, index),
                found=f"no untracked {OTHER[side]} rule allows the answers to what this rule allows",
                why="without connection tracking replies are not recognised, and are dropped",
                remedy=f"add the mirrored rule to {OTHER[side]}",
                fix=return_fix(subject, side, [written[index]]),
                name="NO_RETURN_RULE",
            )


def _opens(rule: Rule) -> bool:
    """Whether it is a rule that allows TCP."""
    is_other = any(isinstance(one, ProtocolMatch) and (one.protocol == TCP) is one.negated for one in rule.matches)
    return rule.action is Action.ALLOW and not is_other


def _mirror(rule: Rule) -> Rule:
    """The rule for the answers."""
    return Rule(rule.action, tuple(_mirrored(match) for match in rule.matches))


def _mirrored(match: Match) -> Match:
    match match:
        case NetMatch():
            return NetMatch(_AROUND[match.side], match.nets, match.negated)
        case SetMatch():
            return SetMatch(_AROUND[match.side], match.source, match.negated)
        case PortMatch():
            return PortMatch(_AROUND[match.side], match.ranges, match.named, match.negated)
        case VersionMatch() | ProtocolMatch() | IcmpMatch():
            return match
        case _:
            assert_never(match)


CHECK: Check[World] = Check("TT2017", "an untracked rule whose answers nothing allows", _look)
