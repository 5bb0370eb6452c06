"""What the agent tells about itself: answers of the API made from the pump's state. Reads only."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from tortie.apps.agent import overview
from tortie.apps.agent.answers import (
    AgentAnswer,
    ConnectionsAnswer,
    CountersAnswer,
    DataplaneAnswer,
    DriftAnswer,
    LastChangeAnswer,
    StatusAnswer,
)
from tortie.apps.agent.history import Moment
from tortie.apps.agent.outcome import Outcome
from tortie.apps.agent.pump import Pump
from tortie.apps.agent.settings import AgentSettings
from tortie.apps.answers import EnforcedAnswer, InterfaceAnswer
from tortie.apps.moments import utc
from tortie.apps.sentences import shown_index
from tortie.apps.version import VERSION
from tortie.dataplane.chosen import Choice
from tortie.dataplane.driver import ReasonCount, RuleCount
from tortie.kernel.errors import KernelError
from tortie.resources.felix.levels import Level

log = logging.getLogger("tortie.agent.api")

Counted = TypeVar("Counted")


class Status:
    """Answers about one agent; `levels` are what it was told beside documents, `choice` why it has its dataplane."""

    def __init__(
        self,
        settings: AgentSettings,
        pump: Pump,
        levels: Sequence[Level] = (),
        choice: Callable[[], Choice] | None = None,
    ) -> None:
        self._choice = choice
        self.settings, self.levels, self._pump = settings, levels, pump
        self._since = time.monotonic()

    def enforced(self, outcome: Outcome, *, wanted: int, wait_ms: float = 0.0) -> EnforcedAnswer:
        """What the dataplane made of the newest revision; `wanted` is the one the caller waits for."""
        # The driver's status is the whole truth about refusals: an old one stands until its cause is gone.
        interfaces = self._interfaces()
        refused = {one["interface"]: one["refused"] for one in interfaces if one["refused"]}
        for name, reasons in outcome.refused.items():
            refused.setdefault(name, list(reasons))
        return {
            "node": self.settings.node,
            "revision": max(outcome.revision, 0),
            "is_current": outcome.revision >= wanted,
            "refused": refused,
            "failed": dict(outcome.failed),
            "interfaces": interfaces,
            "endpoints": [
                {"endpoint": one.endpoint, "interfaces": list(one.interfaces), "problem": one.problem}
                for one in self._pump.engine.statuses()
            ],
            "policies": self._policies(),
            "invalid": {str(key): why for key, why in sorted(self._pump.invalid.items())},
            "apply_ms": round(outcome.apply_ms, 3),
            "wait_ms": round(wait_ms, 3),
        }

    def _policies(self) -> dict[str, str]:
        problems: dict[str, list[str]] = {}
        for one in self._pump.engine.policy_statuses():
            problems.setdefault(str(one.policy), []).append(one.problem)
        return {policy: "; ".join(found) for policy, found in problems.items()}

    def _interfaces(self) -> list[InterfaceAnswer]:
        return [
            {
                "interface": one.interface,
                "endpoint": one.endpoint,
                "acceleration": one.acceleration.value,
                "reason": one.reason,
                "program_id": one.program_id,
                "program_name": one.program_name,
                "refused": list(one.refused),
                "is_enforced": one.is_enforced,
                "backend": one.backend,
                "xdp": one.xdp.value,
                "unmet": one.unmet,
                "table_bytes": one.table_bytes,
            }
            for one in self._pump.driver.status()
        ]

    def counters(self, *, everything: bool = False) -> CountersAnswer:
        """Every counter of the driver; with `everything` also a zero for each rule that no packet has met yet."""
        found = _counters(*self._pump.driver.counters())
        if everything:
            found["rules"] += overview.unmet(self._pump.engine.endpoints(), found["rules"])
        return found

    def hits(self) -> dict[str, int]:
        """Packets that met a policy's rules, or, by host endpoint, that its default deny dropped. Raises: KernelError.

        What counted nothing is not in it.
        """
        found: dict[str, int] = {}
        for one in self._pump.driver.counters()[0]:
            name = str(one.rule.policy)
            found[name] = found.get(name, 0) + one.packets
        return found

    def rule_hits(self) -> dict[tuple[str, str, int | None], int]:
        """Packets that met a rule, by policy, direction and number, of all interfaces together. Raises: KernelError."""
        found: dict[tuple[str, str, int | None], int] = {}
        for one in self._pump.driver.counters()[0]:
            key = str(one.rule.policy), one.direction.value, shown_index(one.rule)
            found[key] = found.get(key, 0) + one.packets
        return found

    def whole(self) -> StatusAnswer:
        """Everything."""
        enforced = self.enforced(self._pump.outcomes.latest, wanted=self._pump.revision)
        notes = self._staged()
        states = self._pump.engine.endpoints()
        warnings = [*self._pump.engine.settings_problems(), *overview.missing_profiles(states)]
        warnings += [f"{one['interface']}: {one['unmet']}" for one in enforced["interfaces"] if one["unmet"]]
        rules, reasons = self._counted(notes)
        connections = self._connections(reasons, notes)
        if connections is not None:
            warnings += overview.full_tables(connections)
        return {
            "agent": self._agent(),
            "mode": overview.mode(self._pump.driver.status()),
            "dataplane": self._dataplane(),
            "datastore_revision": self._pump.revision,
            "datastore_problem": self._pump.datastore_problem,
            "enforced": enforced,
            "last_change": self._last_change(),
            "drift": self._drift(),
            "connections": connections,
            "policies": overview.policy_hits(states, rules),
            "drops": overview.drops(states, rules, reasons),
            "rejects": overview.rejects(reasons),
            "counters": _counters(rules, reasons),
            "warnings": warnings,
            "notes": notes,
        }

    def _staged(self) -> list[str]:
        """A note about policies that are staged."""
        found = [str(key) for key in self._pump.staged()]
        return [f"staged, not enforced: {', '.join(found)}"] if found else []

    def _counted(self, notes: list[str]) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        try:
            return self._pump.driver.counters()
        except KernelError as error:  # what is enforced has to be told all the same
            notes.append(f"packets are counted, and cannot be read now: {error}")
            return (), ()

    def _connections(self, reasons: Sequence[ReasonCount], notes: list[str]) -> ConnectionsAnswer | None:
        try:
            return overview.connections(self._pump.driver.connections(), reasons)
        except KernelError as error:
            notes.append(f"the connection table cannot be read now: {error}")
            return None

    def _last_change(self) -> LastChangeAnswer | None:
        found = self._pump.history.last_change
        if found is None:
            return None
        return {
            "revision": found.revision,
            "at": utc(found.at.wall_s),
            "ago_s": _ago_s(found.at),
            "apply_ms": round(found.apply_ms, 3),
            "latency_ms": round(found.latency_ms, 3),
            "causes": list(found.causes),
            "more": found.more,
            "interfaces": list(found.interfaces),
            "is_complete": found.is_complete,
        }

    def _drift(self) -> DriftAnswer:
        history = self._pump.history
        return {
            "times": history.repaired_times,
            "latest": [
                {"at": utc(one.at.wall_s), "ago_s": _ago_s(one.at), "what": list(one.what)}
                for one in reversed(history.repairs)
            ],
        }

    def _dataplane(self) -> DataplaneAnswer:
        found = self._choice() if self._choice is not None else Choice(name=self._pump.driver.name, because="")
        return {
            "name": found.name,
            "because": found.because,
            "asked": self.settings.dataplane,
            "found": [{"name": one.name, "can_be_had": one.can_be_had, "why": one.why} for one in found.findings],
            "leaving": list(found.leaving),
            "problem": found.problem,
        }

    def _agent(self) -> AgentAnswer:
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "node": self.settings.node,
            "datastore": str(self.settings.datastore),
            "socket": str(self.settings.socket),
            "dataplane": self._pump.driver.name,
            "uptime_s": round(time.monotonic() - self._since, 1),
            "memory_mb": _peak_memory_mb(),
        }


def _peak_memory_mb() -> float:
    """Most resident memory so far. Because: getrusage's figure is inherited from whoever started the process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _counters(rules: Sequence[RuleCount], reasons: Sequence[ReasonCount]) -> CountersAnswer:
    return {
        "rules": [
            {
                "interface": one.interface,
                "direction": one.direction.value,
                "tier": one.rule.tier,
                "policy": str(one.rule.policy),
                "rule": shown_index(one.rule),
                "packets": one.packets,
            }
            for one in rules
        ],
        "reasons": [
            {
                "interface": one.interface,
                "direction": one.direction.value,
                "reason": one.reason.value,
                "packets": one.packets,
            }
            for one in reasons
        ],
    }


def _ago_s(moment: Moment) -> float:
    return round(max(0.0, time.monotonic() - moment.monotonic_s), 1)


def counted(read: Callable[[], Counted]) -> Counted | None:
    """Counters of the driver; None where they cannot be read, which the log says."""
    try:
        return read()
    except KernelError as error:
        log.warning("counters: %s", error)
        return None
