"""Counters as lines and columns: which of them, in which order, and how fast they grow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from tortie.apps.agent.answers import CountersAnswer, ReasonCountAnswer, RuleCountAnswer
from tortie.apps.answers import Table
from tortie.apps.ctl.names import decider

Name = tuple[str, str, str]
"""Interface, direction, and what was met: what tells two counters apart."""


class RuleRate(RuleCountAnswer):
    """A counter of a rule, and how fast it grows; null for the first reading, and for one that began anew."""

    per_s: float | None


class ReasonRate(ReasonCountAnswer):
    """A counter of a reason, and how fast it grows."""

    per_s: float | None


class CountersReading(TypedDict):
    """One line of `counters -w -o json`. Units: `at` in UTC, rates in packets per second."""

    at: str
    rules: list[RuleRate]
    reasons: list[ReasonRate]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which counters the user asks for; empty: all. With a policy, reasons are left out: they belong to none."""

    interface: str = ""
    policy: str = ""

    def of(self, answer: CountersAnswer) -> CountersAnswer:
        """Those of the answer, most packets first, then by name."""
        rules = [one for one in answer["rules"] if self._has(one["interface"]) and self._is_policy(one["policy"])]
        reasons = [one for one in answer["reasons"] if self._has(one["interface"]) and not self.policy]
        return {
            "rules": sorted(rules, key=lambda one: (-one["packets"], name_of_rule(one))),
            "reasons": sorted(reasons, key=lambda one: (-one["packets"], name_of_reason(one))),
        }

    def _has(self, interface: str) -> bool:
        return self.interface in ("", interface)

    def _is_policy(self, policy: str) -> bool:
        return self.policy in ("", policy) or policy.endswith(f"({self.policy})")


def name_of_rule(one: RuleCountAnswer) -> Name:
    """What tells this counter from others."""
    return one["interface"], one["direction"], decider(one["tier"], one["policy"], one["rule"])


def name_of_reason(one: ReasonCountAnswer) -> Name:
    """What tells this counter from others."""
    return one["interface"], one["direction"], one["reason"]


def totals(answer: CountersAnswer) -> dict[Name, int]:
    """Packets by name, rules before reasons."""
    found = {name_of_rule(one): one["packets"] for one in answer["rules"]}
    return found | {name_of_reason(one): one["packets"] for one in answer["reasons"]}


def rates(now: Mapping[Name, int], before: Mapping[Name, int] | None, elapsed_s: float) -> dict[Name, float | None]:
    """Packets per second since the reading before; a new counter began at 0, one that shrank anew."""
    if before is None or elapsed_s <= 0:
        return dict.fromkeys(now)
    grown = {name: packets - before.get(name, 0) for name, packets in now.items()}
    return {name: more / elapsed_s if more >= 0 else None for name, more in grown.items()}


def reading(at: str, answer: CountersAnswer, speeds: Mapping[Name, float | None]) -> CountersReading:
    """The counters with how fast they grow."""
    return {
        "at": at,
        "rules": [{**one, "per_s": _rounded(speeds[name_of_rule(one)])} for one in answer["rules"]],
        "reasons": [{**one, "per_s": _rounded(speeds[name_of_reason(one)])} for one in answer["reasons"]],
    }


def _rounded(speed: float | None) -> float | None:
    return None if speed is None else round(speed, 1)


def columns(counted: Mapping[Name, int], speeds: Mapping[Name, float | None] | None, names: Sequence[Name]) -> Table:
    """These counters as a table, with a column of rates where there are any."""
    rows = [[str(counted[name]), *([] if speeds is None else [speed(speeds[name])]), *name] for name in names]
    heading = ["PACKETS", *([] if speeds is None else ["PER S"]), "INTERFACE", "DIRECTION", "MET"]
    return {"heading": heading, "rows": rows}


def speed(per_s: float | None) -> str:
    """`12.3`, whole above 100, `-` where it is not known."""
    return "-" if per_s is None else f"{per_s:.0f}" if per_s >= 100 or per_s == 0 else f"{per_s:.1f}"
