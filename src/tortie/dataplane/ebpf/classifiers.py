"""The classifiers of one generation, one for each stage that is asked, and which of its counters are whose.

counters   0 ── reasons ── 32 ── results of untracked policy, spare ones ── of pre-DNAT ── of forward ── of normal
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tortie.dataplane.ebpf._tables import lib
from tortie.dataplane.ebpf.compile import LIVE_TABLES, TABLES, Block, Classifier
from tortie.dataplane.ebpf.members import Members
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.address import Net
from tortie.model.policy import Stage
from tortie.model.verdict import Reason, RuleRef, Verdict

REASON_BASE: int = lib.REASON_BASE
"""Counters from here on are results."""
OF_REJECTS = frozenset({Reason.ANSWERED, Reason.UNANSWERED, Reason.ANSWER_LIMIT})
"""Of each denial that is to be answered one of these is counted."""
_NEVER_COUNTED = (
    *(Reason.POLICY, Reason.TIER_END, Reason.PROFILE, Reason.NO_PROFILE, Reason.DEFAULT_DENY),
    *(Reason.NO_ENDPOINT, Reason.TO_HOST, Reason.UNKNOWN_WORKLOAD),
)
REASONS: Mapping[Reason, int] = {
    reason: getattr(lib, f"REASON_{reason.name}") for reason in Reason if reason not in _NEVER_COUNTED
}
"""The counters of reasons; the others follow from the rule that decided."""
BESIDE = frozenset({Reason.NO_METADATA, Reason.UNSTORED, Reason.LOG_LOST, *OF_REJECTS})
"""Reasons that count on top of what decided."""
REASON_OF: Mapping[int, Reason] = {place: reason for reason, place in REASONS.items()}
_VERDICTS = {lib.ACTION_ALLOW: Verdict.ALLOW, lib.ACTION_DENY: Verdict.DENY}
SPARE_COUNTERS = 64
"""For results that members added in place bring, where there are sets."""
STAGES = (Stage.UNTRACKED, Stage.PRE_DNAT, Stage.FORWARD, Stage.NORMAL)
PREFIXES = {Stage.UNTRACKED: "", Stage.PRE_DNAT: "d_", Stage.FORWARD: "f_", Stage.NORMAL: "n_"}
"""What the names of a stage's tables begin with here."""
LIVE = frozenset(prefix + table for prefix in PREFIXES.values() for table in LIVE_TABLES)
"""Tables that members are added to in place."""

_HEADS = {
    "services": ("service_blocks", 2 * lib.SERVICES_PROTOCOLS),
    "sports": ("sport_blocks", 2 * lib.SPORTS_BLOCKS),
    "src4_nets": ("source.root", 1024),
    "dst4_nets": ("destination.root", 1024),
}
"""By table: the field of `struct classifier` that begins like it, and bytes."""

Tiers = Sequence[Sequence[Block]]
Counts = Counter[RuleRef | Reason]


class Part(NamedTuple):
    """One stage: its tables, and the number of its first result counter."""

    stage: Stage
    classifier: Classifier
    first: int

    @property
    def prefix(self) -> str:
        """What the names of its tables begin with."""
        return PREFIXES[self.stage]


@dataclass(frozen=True, slots=True)
class RuleIndex:
    """Numbers of rules over all blocks of a stage -> references."""

    refs: Mapping[Stage, Sequence[RuleRef]]

    def decided(self, meaning: Counts) -> tuple[RuleRef | None, Reason]:
        """What decided the one packet that these counts are of: a rule and its reason, or a reason alone."""
        reason = next((one for one in meaning if isinstance(one, Reason) and one not in BESIDE), None)
        met = [rule for refs in self.refs.values() for rule in refs if rule in meaning]
        if reason is not None or not met:
            return None, reason or Reason.POLICY
        return met[-1], met[-1].reason

    def is_untracked(self, rule: RuleRef | None) -> bool:
        """Whether the rule is one of untracked policy."""
        return rule in self.refs.get(Stage.UNTRACKED, ())


def is_rejected(meaning: Counts) -> bool:
    """Whether the one packet that these counts are of was denied and is to be answered, be it that nobody may be."""
    return not OF_REJECTS.isdisjoint(meaning)


class Classifiers:
    """See the module. Close it when its generation goes. Raises: Unsupported where policy is too large."""

    def __init__(
        self, stages: Mapping[Stage, Tiers], members: Mapping[SetAtom, Members], *, backend: str = "auto"
    ) -> None:
        self.parts: list[Part] = []
        first = REASON_BASE
        for stage in STAGES:
            if stage in stages:
                classifier = Classifier(stages[stage], members, backend=backend)
                self.parts.append(Part(stage, classifier, first))
                first += classifier.results + (SPARE_COUNTERS if classifier.atoms else 0)
        self.count = first
        """How many counters the generation has."""

    @property
    def is_tracked(self) -> bool:
        """Whether the normal class is asked, so that the silence of earlier ones is not the last word."""
        return any(part.stage is Stage.NORMAL for part in self.parts)

    @property
    def backend(self) -> str:
        """The back ends, in the order of the stages."""
        return "+".join(part.classifier.backend for part in self.parts)

    def config(self, places: Mapping[str, int]) -> dict[str, int | bytes]:
        """The fields of `struct config` (config.h) that follow from the tables, which begin at these places."""
        found: dict[str, int | bytes] = {}
        for part in self.parts:
            name = part.stage.name.lower()
            found |= {f"{name}.used": 1, f"{name}.base": part.first - REASON_BASE}
            found |= {f"{name}.{field}": value for field, value in part.classifier.config().items()}
            found |= {
                f"{name}.at.{table}": places[part.prefix + table] for table in TABLES if part.prefix + table in places
            }
        return found

    def heads(self, memory: memoryview, places: Mapping[str, int]) -> dict[str, int | bytes]:
        """The fields of `struct config` that are copies of how tables begin, which are filled: programs read them there
        without a look-up."""
        found: dict[str, int | bytes] = {}
        for part in self.parts:
            for table, (field, size) in _HEADS.items():
                place = places.get(part.prefix + table)
                if place is not None:
                    found[f"{part.stage.name.lower()}.{field}"] = bytes(memory[place : place + size])
        return found

    def sizes(self) -> dict[str, int]:
        """Bytes of each table that is needed."""
        return {
            part.prefix + table: size for part in self.parts for table, size in part.classifier.sizes().items() if size
        }

    def unit(self, name: str) -> int:
        """Bytes of which a table begins at a multiple."""
        part, table = self._table(name)
        return part.classifier.unit(table)

    def fill(self, name: str, memory: object) -> None:
        """Write a table's memory. That of tables that can change has to stay mapped."""
        part, table = self._table(name)
        part.classifier.fill(table, memory)

    @property
    def can_change(self) -> bool:
        """Whether members are added to the tables in place."""
        return any(part.classifier.atoms for part in self.parts)

    def _table(self, name: str) -> tuple[Part, str]:
        part = next(part for part in reversed(self.parts) if name.startswith(part.prefix))
        return part, name.removeprefix(part.prefix)

    def settle(self) -> None:
        """Free what `fill` copied."""
        for part, end in zip(self.parts, self._ends(), strict=True):
            part.classifier.settle(end - part.first)

    def _ends(self) -> list[int]:
        return [*(part.first for part in self.parts[1:]), self.count]

    def uses(self, set_id: str) -> bool:
        """Whether a rule of any stage names the set."""
        return any(atom.set_id == set_id for part in self.parts for atom in part.classifier.atoms)

    def change_host(self, net: Net, atom: SetAtom, *, is_member: bool) -> bool:
        """Add one address to a set, or remove it, in the installed tables; False: a new generation is needed."""
        return all(part.classifier.change_host(net, atom, is_member=is_member) for part in self.parts)

    def told(self, counter: int, index: RuleIndex) -> tuple[Sequence[RuleRef], Stage | None, Verdict | None]:
        """The rules that a packet under this counter met, in order, in which class, and what it got of the last one.

        Because: bit vectors have a counter for each rule, whatever else the packet met.
        """
        for part, end in zip(self.parts, self._ends(), strict=True):
            if part.first <= counter < end:
                refs = index.refs[part.stage]
                if part.classifier.counts_rules:
                    return (refs[counter - part.first],), part.stage, None
                outcome = part.classifier.outcome(counter - part.first)
                if outcome is None:
                    break
                return tuple(refs[rule] for rule in outcome.rules), part.stage, _VERDICTS.get(outcome.verdict)
        return (), None, None

    def rules_met(self, counter: int, index: RuleIndex) -> Sequence[RuleRef]:
        """The rules that a packet under this counter met, in order."""
        return self.told(counter, index)[0]

    def meaning(self, counters: Iterable[int], index: RuleIndex) -> Counts:
        """Packets by rule met and by reason.

        A packet that met untracked or pre-DNAT rules, none of which decided, is counted there for the rules and later
        for its final reason.
        """
        found: Counts = Counter()
        for number, count in enumerate(counters):
            if not count:
                continue
            if number < REASON_BASE:
                if number in REASON_OF:
                    found[REASON_OF[number]] += count
                continue
            for rule in self.rules_met(number, index):
                found[rule] += count
            reason = self._reason(number)
            if reason is not None:
                found[reason] += count
        return found

    def _reason(self, counter: int) -> Reason | None:
        """The reason that ended a packet's way where no rule of its result did."""
        for part, end in zip(self.parts, self._ends(), strict=True):
            if part.first <= counter < end and not part.classifier.counts_rules:
                outcome = part.classifier.outcome(counter - part.first)
                if outcome is None or outcome.reason == REASON_BASE:
                    return None
                reason = REASON_OF[outcome.reason]
                return None if reason is Reason.NO_MATCH and self.is_tracked else reason
        return None

    def close(self) -> None:
        """Free the tables; nothing of them may be used afterwards."""
        for part in self.parts:
            part.classifier.close()
