"""What a driver in netfilter's hooks does to packets, by real ones on a `Ground`; the evaluator says what to expect.

Rules offer no test run, and show what they did to a packet by counters only, which are read for all of them at once.
So packets of which the same is expected go together: if of so many each expected counter grew by as many and no other
one, every packet came through or none, and all as tracked as expected, then each of them met just these rules. Where it
is not so, half of them are asked again, down to the one that is different.

Raises everywhere: KernelError, Unsupported.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tortie.dataplane.driver import Driver, Unsupported
from tortie.dataplane.ground import MOST, Ground, Outcome
from tortie.kernel.ctforget import forget
from tortie.kernel.ctnetlink import ASSURED, SEEN_REPLY, ConntrackEntry, ConntrackTuple, TcpState, read_entries
from tortie.kernel.ctremember import remember
from tortie.model.conntrack import FlowKey, key_of
from tortie.model.desired import DesiredState, EndpointState
from tortie.model.packet import ICMP, ICMP_REPLIES, ICMP_REQUESTS, ICMPV6, TCP, Direction, Packet
from tortie.model.passage import Passage, Way
from tortie.model.policy import Stage
from tortie.model.rule import Action
from tortie.model.verdict import Reason, RuleRef, Verdict

Met = tuple[str, Direction, RuleRef | Reason]
"""What a counter counts."""
_ATTEMPTS = 3
_PAUSE_S = 0.02
"""The kernel may still be at a packet when the counters are read: what is unexpected is asked again."""
_TIMEOUT_S = 600


class Asked(NamedTuple):
    """A packet and what the evaluator says of it. `opener`: the first packet of the connection that it is of."""

    packet: Packet
    way: Way
    passage: Passage
    opener: Packet | None = None


class Shown(NamedTuple):
    """What became of a packet. `is_tracked` means nothing where it is denied; `rule`: what counted it as decisive."""

    verdict: Verdict
    is_tracked: bool
    is_rejected: bool
    rule: RuleRef | None


class _Kind(NamedTuple):
    """What packets that go together have in common."""

    way: Way
    met: frozenset[Met]
    shown: Shown
    round: int


class Injected:
    """A driver on the ground, with the policy of a host."""

    def __init__(self, ground: Ground, driver: Driver, host: DesiredState) -> None:
        self._ground, self._driver, self._host = ground, driver, host
        driver.take(host.as_delta())
        report = driver.apply()
        if report.failed or report.refused:
            raise Unsupported("; ".join([*report.failed.values(), *(one[0] for one in report.refused.values())]))

    def ask(self, asked: Sequence[Asked]) -> list[Shown]:
        """What becomes of each packet."""
        shown: list[Shown | None] = [None] * len(asked)
        for kind, numbers in self._kinds(asked).items():
            self._ground.lead(kind.way)
            for start in range(0, len(numbers), MOST):
                some = numbers[start : start + MOST]
                found = self._together([asked[number] for number in some], kind)
                for number, one in zip(some, found, strict=True):
                    shown[number] = one
        return [one for one in shown if one is not None]

    def _kinds(self, asked: Sequence[Asked]) -> dict[_Kind, list[int]]:
        """Numbers of packets that go together. Of a connection only one does: it might end it."""
        kinds: dict[_Kind, list[int]] = defaultdict(list)
        rounds: Counter[tuple[Way, FlowKey]] = Counter()
        for number, one in enumerate(asked):
            flow = key_of(one.opener) if one.opener is not None else None
            turn = 0
            if flow is not None:  # never with those of no connection, which may look like this one
                turn = rounds[one.way, flow[0]] = rounds[one.way, flow[0]] + 1
            kinds[_Kind(one.way, frozenset(self._expected(one)), _as_expected(one.passage), turn)].append(number)
        return kinds

    def _expected(self, one: Asked) -> Iterator[Met]:
        """What the packet should meet, and be counted by: every rule, and the reason where none decided."""
        for visit in one.passage.visits:
            if visit.endpoint is None:
                continue
            for step in visit.trace.steps:
                yield visit.interface, visit.direction, step.rule
            if visit.trace.rule is None and visit.trace.verdict is not Verdict.CONTINUE:
                yield visit.interface, visit.direction, visit.trace.reason
        if one.passage.reason is Reason.ESSENTIAL_ICMPV6:
            for name, direction in ((one.way.arrives, Direction.INGRESS), (one.way.leaves, Direction.EGRESS)):
                if name in self._host.endpoints:
                    assert name is not None
                    yield name, direction, Reason.ESSENTIAL_ICMPV6

    # ---- asking

    def _together(self, asked: Sequence[Asked], kind: _Kind) -> list[Shown]:
        """What becomes of packets of which the same is expected."""
        for attempt in range(_ATTEMPTS if len(asked) == 1 else 1):
            time.sleep(_PAUSE_S * attempt)
            outcome, met = self._try(asked)
            if self._is_as_expected(asked, kind, outcome, met):
                return [kind.shown] * len(asked)
        if len(asked) > 1:
            middle = len(asked) // 2
            return [*self._together(asked[:middle], kind), *self._together(asked[middle:], kind)]
        is_through = bool(outcome.through)
        verdict = Verdict.ALLOW if is_through else Verdict.DENY
        is_tracked = next(iter(outcome.through.values()), False)
        return [Shown(verdict, is_tracked, not is_through and outcome.answers > 0, self._decisive(met, verdict))]

    def _try(self, asked: Sequence[Asked]) -> tuple[Outcome, Counter[Met]]:
        """What came out, and what was counted."""
        openers = [one.opener for one in asked if one.opener is not None]
        before = self._counts()
        remember([_entry(opener) for opener in openers])
        for number, one in enumerate(asked, 1):
            self._ground.send(one.way, one.packet, number)
        outcome, after = self._ground.outcome(), self._counts()
        forget(read_entries())
        after.subtract(before)
        return outcome, +after

    def _is_as_expected(self, asked: Sequence[Asked], kind: _Kind, outcome: Outcome, met: Mapping[Met, int]) -> bool:
        numbers = {(one.packet.version, number) for number, one in enumerate(asked, 1)}
        is_through = kind.shown.verdict is Verdict.ALLOW
        return (
            met == dict.fromkeys(kind.met, len(asked))
            and outcome.through == (dict.fromkeys(numbers, kind.shown.is_tracked) if is_through else {})
            and outcome.answers == (len(asked) if kind.shown.is_rejected else 0)
        )

    def _counts(self) -> Counter[Met]:
        found: Counter[Met] = Counter()
        rules, reasons = self._driver.counters()
        for rule in rules:
            found[rule.interface, rule.direction, rule.rule] += rule.packets
        for reason in reasons:
            found[reason.interface, reason.direction, reason.reason] += reason.packets
        return found

    def _decisive(self, met: Iterable[Met], verdict: Verdict) -> RuleRef | None:
        """Of the rules that were met the last one that ends a packet's way like this."""
        wanted = Action.ALLOW if verdict is Verdict.ALLOW else Action.DENY
        found = None
        for interface, direction, what in met:
            state = self._host.endpoints[interface]
            if isinstance(what, RuleRef) and wanted is _action(state, direction, what):
                found = what
        return found


def _as_expected(passage: Passage) -> Shown:
    decided = passage.decided.trace.rule if passage.decided is not None else None
    is_tracked = passage.verdict is Verdict.ALLOW and passage.is_tracked
    return Shown(passage.verdict, is_tracked, passage.is_rejected, decided)


def _action(state: EndpointState, direction: Direction, ref: RuleRef) -> Action:
    """What the rule does; ends of tiers and what stands for missing things deny."""
    rules = (state.rule(stage, direction, ref) for stage in Stage)
    return next((rule.action for rule in rules if rule is not None), Action.DENY)


def _entry(opener: Packet) -> ConntrackEntry:
    """The connection that the packet opened, answered since."""
    asked = ConntrackTuple(
        opener.version,
        opener.protocol,
        opener.source,
        opener.destination,
        opener.source_port,
        opener.destination_port,
    )
    reply = asked._replace(
        source=opener.destination,
        destination=opener.source,
        source_port=opener.destination_port,
        destination_port=opener.source_port,
    )
    if opener.protocol in (ICMP, ICMPV6):
        kind = opener.icmp_type or 0
        answer = ICMP_REPLIES[opener.protocol][ICMP_REQUESTS[opener.protocol].index(kind)]
        asked = asked._replace(icmp_type=kind, icmp_code=0, icmp_id=opener.icmp_id)
        reply = reply._replace(icmp_type=answer, icmp_code=0, icmp_id=opener.icmp_id)
    return ConntrackEntry(
        asked,
        reply,
        status=SEEN_REPLY | ASSURED,
        tcp_state=TcpState.ESTABLISHED if opener.protocol == TCP else None,
        timeout_s=_TIMEOUT_S,
        zone=0,
    )
