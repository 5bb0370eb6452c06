"""The nft table of this network namespace: untracked egress, and notrack for allowed ingress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tortie.dataplane.nft_egress import (
    TABLE,
    ReasonKey,
    Rendered,
    RuleKey,
    read_installed,
    render,
    render_seal,
    render_set_change,
)
from tortie.dataplane.nft_text.listing import DIGEST_PREFIX
from tortie.kernel import nft
from tortie.model.desired import EndpointState, SetChange
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import IPSet
from tortie.model.packet import Direction
from tortie.model.policy import Stage

FAMILY = "inet"


Totals = Counter[RuleKey | ReasonKey]


class EgressTable:
    """Wanted against installed. `begin` starts nft and returns, so that programs load meanwhile; `finish` waits."""

    def __init__(self, mark_bit: int, *, has_shortcuts: bool) -> None:
        self._mark_bit, self._has_shortcuts = mark_bit, has_shortcuts
        self._rendered: Rendered | None = None
        self._wanted: object = None
        self._fingerprint: str | None = None
        self._generation: int | None = None
        """The kernel's count before a check that found everything well: until it changes, nobody changed anything."""
        self._is_tampered = False
        self._pending: tuple[nft.Running, Rendered, object, Totals] | None = None
        self._totals: Totals = Counter()

    def begin(
        self,
        states: Sequence[EndpointState],
        sets: Mapping[str, IPSet],
        failsafes: Failsafes,
        changes: Mapping[str, SetChange | None],
    ) -> bool:
        """Start making the table so; whether there was anything to do. `changes`: of sets, since the last `begin`.

        Raises: KernelError, Unsupported; the table before stays.
        """
        wanted = _substance(states, failsafes)
        if self._rendered is not None and wanted == self._wanted and not self._is_tampered:
            update = render_set_change(self._rendered, changes, sets)
            if update is not None:
                if update.script:
                    self._pending = (nft.Running(update.script), update.rendered, wanted, self._totals)
                return bool(update.script)
        rendered = render(states, sets, failsafes, mark_bit=self._mark_bit, has_shortcuts=self._has_shortcuts)
        if self._rendered is None:
            found = read_installed(nft.list_table(FAMILY, TABLE))
            if found.digest == rendered.digest and (found.is_intact or not found.digest):
                self._rendered, self._wanted, self._fingerprint = rendered, wanted, found.fingerprint
                self._is_tampered = False
                return False
        elif rendered.digest == self._rendered.digest and not self._is_tampered:
            self._wanted = wanted
            return False
        # The counters go with the table that is replaced. nft 1.0.6 cannot list and replace in one transaction: it
        # shows the new, empty ones. Packets of these few milliseconds are the ones that the totals miss.
        totals = self.counts()
        self._pending = (nft.Running(rendered.script), rendered, wanted, totals)
        return True

    def finish(self) -> None:
        """Wait for what `begin` started. Raises: KernelError; the table before stays."""
        if self._pending is None:
            return
        running, rendered, wanted, totals = self._pending
        self._pending = None
        running.finish()
        self._totals = totals
        self._rendered, self._wanted, self._fingerprint = rendered, wanted, None
        self._is_tampered = False

    def is_from_before(self) -> bool:
        """Whether the table is there and an earlier agent made it."""
        return self._rendered is None and nft.list_table(FAMILY, TABLE) is not None

    def check(self, *, is_thorough: bool) -> bool:
        """Whether the table is as it was made; the first thorough check after a change notes how it looks.

        Not thoroughly: whether it is the one that was made, and has as many rules.

        What others did before that first check is known by the number of rules only: nft shows rules in other words
        than they were given in.
        """
        if self._rendered is None:
            return True
        now = nft.generation() if self._rendered.digest else None
        if now is not None and now == self._generation and self._fingerprint is not None:
            return True
        if now is not None and not is_thorough:
            its_name = f"{DIGEST_PREFIX}{self._rendered.digest}"
            return nft.holds(FAMILY, TABLE, chain=its_name, rules=self._rendered.rule_count)
        found = read_installed(nft.list_table(FAMILY, TABLE))
        if found.digest != self._rendered.digest:
            return False
        if self._fingerprint is None:
            if found.rule_count != self._rendered.rule_count:
                return False
            self._fingerprint = found.fingerprint
            if found.digest and found.seal != found.fingerprint:
                nft.run(render_seal(found))
                return True  # the next check notes the count behind that
        if found.fingerprint != self._fingerprint:
            return False
        self._generation = now
        return True

    def distrust(self) -> None:
        """Make the whole table anew at the next `begin`, from what is wanted then: somebody changed it, or what it was
        to become failed.

        Because: the script it was made with does not hold the members that came and went since.
        """
        self._is_tampered = True

    def counts(self) -> Totals:
        """Exact totals by interface and rule or reason."""
        found = self._totals.copy()
        if self._rendered is None or not self._rendered.digest:
            return found
        listed = nft.counters(FAMILY, TABLE)
        for name, rule in self._rendered.rules.items():
            found[rule] += listed.get(name, (0, 0))[0]
        for name, reason in self._rendered.reasons.items():
            found[reason] += listed.get(name, (0, 0))[0]
        return found

    def remove(self) -> bool:
        """Remove the table; whether there was one."""
        if nft.list_table(FAMILY, TABLE) is None:
            return False
        nft.run(f"delete table {FAMILY} {TABLE}\n")
        self._rendered = None
        return True


def _substance(states: Sequence[EndpointState], failsafes: Failsafes) -> object:
    """What the table's structure depends on; comparing it is quick where values kept their identity."""
    return failsafes, [
        (
            state.interface.name,
            [
                (group.tier.name, [(policy.key, policy.egress) for policy in group.policies])
                for group in state.stage(Stage.UNTRACKED, Direction.EGRESS)
            ],
        )
        for state in states
    ]
