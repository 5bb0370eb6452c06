"""The chains of one interface with untracked egress policy.

    e0 --shortcuts for the first rules (`dataplane.shortcut`)
       --protocol--> e0_ports  failsafes         --> e0_policy: jump e0_t0; jump e0_t1; ...; accept
                     e0_icmp   essential ICMPv6  --> e0_policy
                     (others)                    --> e0_policy
       --fragment--> e0_later                    --> e0_lpolicy: the same policy for packets without ports

Accept in a raw chain means "go on to connection tracking"; only Allow adds notrack, and a bit of the packet's mark, by
which a program at tc egress knows later that untracked policy has decided. A Pass returns from its tier's chain rather
than going on to the next one, because the kernel limits jumps and gotos, nested, to 16 together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tortie.dataplane.named_sets import SetTable
from tortie.dataplane.nft_text.actions import statement
from tortie.dataplane.nft_text.failsafes import Leg, failsafe_matches, opening_leg, reply_leg
from tortie.dataplane.nft_text.matches import match_lines
from tortie.dataplane.shortcut import shortcuts
from tortie.model.desired import TierPolicies
from tortie.model.failsafe import Failsafes
from tortie.model.packet import ICMP, ICMPV6, PORTED, Direction
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Reason, RuleRef

_DISPATCHED = (*PORTED, ICMP, ICMPV6)


class RuleKey(NamedTuple):
    """What a rule counter counts: packets that met this rule on this interface."""

    interface: str
    rule: RuleRef


class ReasonKey(NamedTuple):
    """What a reason counter counts: packets on this interface that were dropped though no rule said so.

    What goes on undecided (no match, failsafe ports, essential ICMPv6) is counted behind this hook, at tc egress.
    """

    interface: str
    reason: Reason


@dataclass(slots=True)
class Parts:
    """What rendering collects on its way: sets, counters with their meaning, the text of chains.

    `mark_bit` is set on the packets that a rule allows.
    """

    sets: SetTable
    mark_bit: int
    rules: dict[str, RuleKey] = field(default_factory=dict)
    reasons: dict[str, ReasonKey] = field(default_factory=dict)
    chains: list[str] = field(default_factory=list)

    def chain(self, name: str, lines: Iterable[str]) -> str:
        """Add a chain; its name."""
        self.chains.append("\n".join((f"\tchain {name} {{", *(f"\t\t{line}" for line in lines), "\t}")))
        return name

    def statement(self, action: Action) -> str:
        """What an action does, in nft's words."""
        # The other bits are others'. A filter chain that changes a mark does not route the packet anew.
        return statement(action, allow=f"meta mark set meta mark | {self.mark_bit:#010x} notrack accept")

    def rule_counter(self, key: RuleKey) -> str:
        """The name of a new rule counter."""
        name = f"r{len(self.rules)}"
        self.rules[name] = key
        return name


class _Counted(NamedTuple):
    """A policy rule and its counter's name."""

    counter: str
    rule: Rule


Count = Callable[[Reason], str]
"""The nft statement that counts a packet that is dropped, by reason."""


def add_endpoint(
    prefix: str,
    interface: str,
    tiers: Sequence[TierPolicies],
    failsafes: Failsafes,
    parts: Parts,
    *,
    has_shortcuts: bool,
) -> str:
    """The name of the interface's first chain; all of them are added to the parts."""

    def count(reason: Reason) -> str:
        name = f"{prefix}_{reason.value}"
        parts.reasons[name] = ReasonKey(interface, reason)
        return f"counter name {name}"

    counted = [_count_rules(group, interface, parts) for group in tiers]
    first = counted[0] if counted and has_shortcuts else []
    short = [
        line
        for counter, rule in shortcuts(first, failsafes, Direction.EGRESS)
        for line in _rule_lines(_Counted(counter, rule), False, count, parts)
    ]
    policy = _add_policy(f"{prefix}_policy", f"{prefix}_t", counted, False, count, parts)
    later_policy = _add_policy(f"{prefix}_lpolicy", f"{prefix}_l", counted, True, count, parts)
    malformed = f"{count(Reason.MALFORMED)} drop"
    # "& 0 == 0" asks whether the field can be read: nft ends a rule whose field lies outside the packet. Without it a
    # Deny by port would not hold for a truncated header, and an Allow behind it would.
    ports = parts.chain(
        f"{prefix}_ports",
        (
            *(f"{match} accept" for match in failsafe_matches(untracked_legs(failsafes))),
            f"@th,0,32 & 0 == 0 goto {policy}",
            malformed,
        ),
    )
    icmp = parts.chain(
        f"{prefix}_icmp",
        (
            "icmpv6 type 133-136 ip6 hoplimit 255 accept",
            "icmpv6 type { 130-132, 143 } accept",
            f"@th,0,16 & 0 == 0 goto {policy}",
            malformed,
        ),
    )
    later = parts.chain(f"{prefix}_later", (f"meta l4proto & 0 == 0 goto {later_policy}", malformed))
    # Comparisons, not a verdict map: while a table is replaced, its old chains are met for up to a millisecond after
    # its maps were emptied (Linux 6.18), and every packet would be malformed. Plain sets still hold then.
    gotos = (
        *(f"meta l4proto {one} goto {ports}" for one in PORTED),
        *(f"meta l4proto {one} goto {icmp}" for one in (ICMP, ICMPV6)),
    )
    # Local packets are whole here: the kernel fragments after this hook, and where connection tracking is active, its
    # defragmentation (priority -400) joins what raw sockets fragmented themselves. Without it those come as they are.
    return parts.chain(
        prefix,
        (
            *short,
            f"ip frag-off & 0x1fff != 0 goto {later}",
            f"frag frag-off != 0 goto {later}",
            *gotos,
            f"meta l4proto != {{ {', '.join(map(str, _DISPATCHED))} }} goto {policy}",
            malformed,  # IPv6 whose extension headers lead to no protocol
        ),
    )


def untracked_legs(failsafes: Failsafes) -> tuple[Leg, Leg]:
    """What skips untracked egress policy: packets to an outbound failsafe port, and answers from an inbound one."""
    return opening_leg(failsafes, Direction.EGRESS), reply_leg(failsafes, Direction.EGRESS)


def _count_rules(group: TierPolicies, interface: str, parts: Parts) -> list[_Counted]:
    return [
        _Counted(parts.rule_counter(RuleKey(interface, RuleRef(group.tier.name, policy.key, index))), rule)
        for policy in group.policies
        for index, rule in enumerate(policy.rules(Direction.EGRESS))
    ]


def _add_policy(
    name: str, tier_prefix: str, tiers: Sequence[Sequence[_Counted]], is_later: bool, count: Count, parts: Parts
) -> str:
    """A chain that asks the tiers in order and ends in accept, and their chains; its name."""
    jumps: list[str] = []
    for number, rules in enumerate(tiers):
        lines = [line for one in rules for line in _rule_lines(one, is_later, count, parts)]
        if lines:
            jumps.append(f"jump {parts.chain(f'{tier_prefix}{number}', lines)}")
    return parts.chain(name, (*jumps, "accept"))


def _rule_lines(one: _Counted, is_later: bool, count: Count, parts: Parts) -> list[str]:
    """The nft rules of one policy rule.

    Where it cannot be told whether a later fragment meets the rule, the fragment is dropped, unless the rule only logs.
    That is stricter than `evaluate`, which lets it pass if every verdict that was possible is the same one.
    """
    lines: list[str] = []
    for line in match_lines(one.rule, is_later=is_later, table=parts.sets):
        if line.is_sure:
            lines.append(f"{line.text} counter name {one.counter} {parts.statement(one.rule.action)}".lstrip())
        elif one.rule.action is not Action.LOG:
            lines.append(f"{line.text} {count(Reason.FRAGMENT)} drop".lstrip())
    return lines
