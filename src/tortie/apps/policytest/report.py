"""What came of tests: as text for people, as JSON, and as suites for JUnit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from tortie.apps.junit import Case, Suite
from tortie.apps.packets import describe
from tortie.apps.policytest.running import UNSUPPORTED, Judged, Ran, complaints
from tortie.apps.trace.origins import Origins
from tortie.apps.trace.visits import Rulebook, passage_lines
from tortie.model.passage import Way, pass_through
from tortie.resources.problems import Problem


class PacketAnswer(TypedDict):
    """One packet. `tracked` is null unless it is allowed, `passed` where nobody was asked who is all of the test."""

    index: int
    passed: bool | None
    verdict: str
    tracked: bool | None
    reason: str
    rule: str | None
    programs: NotRequired["ProgramsAnswer"]


class ProgramsAnswer(TypedDict):
    """What the compiled program, or another dataplane, did; `unsupported` says why none was asked."""

    verdict: str | None
    tracked: bool | None
    rule: str | None
    unsupported: str | None


class FileAnswer(TypedDict):
    """One file; one with an error has no packets."""

    file: str
    error: NotRequired[str]
    packets: list[PacketAnswer]
    warnings: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file: it ran, or it could not be loaded."""

    source: str
    ran: Ran | None
    problems: Sequence[Problem]

    @property
    def failed(self) -> int:
        """How many packets were not as expected."""
        return sum(bool(complaints(one)) for one in self.ran.judged) if self.ran is not None else 0

    @property
    def skipped(self) -> int:
        """How many packets nobody was asked about who is part of the test."""
        return sum(bool(_skipped(one)) for one in self.ran.judged) if self.ran is not None else 0


def answer(outcome: Outcome) -> FileAnswer:
    """As JSON."""
    if outcome.ran is None:
        error = "\n".join(map(str, outcome.problems))
        return {"file": outcome.source, "error": error, "packets": []}
    packets = [_packet_answer(number, one) for number, one in enumerate(outcome.ran.judged)]
    found: FileAnswer = {"file": outcome.source, "packets": packets}
    if outcome.ran.world.warnings:
        found["warnings"] = [*outcome.ran.world.warnings]
    return found


def _packet_answer(number: int, one: Judged) -> PacketAnswer:
    found: PacketAnswer = {
        "index": number,
        "passed": None if one.verdict == UNSUPPORTED else not complaints(one),
        "verdict": one.verdict,
        "tracked": one.is_tracked,
        "reason": one.passage.reason.value,
        "rule": one.rule,
    }
    if one.programs is not None:
        verdict, is_tracked, rule, unsupported, _ = one.programs
        found["programs"] = {
            "verdict": verdict,
            "tracked": is_tracked,
            "rule": rule,
            "unsupported": unsupported or None,
        }
    return found


def text(outcome: Outcome) -> Iterator[str]:
    """Lines for people: what failed, with the way of the packet."""
    ran = outcome.ran
    if ran is None:
        yield f"ERROR {outcome.source}: cannot be loaded"
        yield from (f"  {each}" for each in outcome.problems)
        return
    total, failed = len(ran.judged), outcome.failed
    count = f"{total} packet" if total == 1 else f"{total} packets"
    is_shown = outcome.skipped < total or not any(one.is_of_programs for one in ran.judged)
    well = f"{'ok  ' if is_shown else 'skip'} {outcome.source}: {count}"
    yield f"FAIL {outcome.source}: {failed} of {count}" if failed else well
    yield from _unsupported(ran)
    if not failed:
        return
    book = _book(ran)
    for number, one in enumerate(ran.judged):
        if wrong := complaints(one):
            yield f"  packet {number} ({outcome.source}:{one.probe.spec.line}): {_described(one)}"
            yield from (f"    {each}" for each in wrong)
            yield from (f"    {line}" for line in _trace(ran, one, book))


def _unsupported(ran: Ran) -> Iterator[str]:
    """The packets that the programs, or the dataplane, were not asked about, and why."""
    found: dict[str, list[str]] = {}
    for number, one in enumerate(ran.judged):
        if why := _skipped(one):
            found.setdefault(why, []).append(str(number))
    yield from (f"  skipped {', '.join(numbers)}: {why}" for why, numbers in found.items())


def _skipped(one: Judged) -> str:
    return one.programs.unsupported if one.programs is not None else ""


def _described(one: Judged) -> str:
    named = one.probe.spec.fields.get("name")
    fragment = one.probe.spec.fields.get("fragment")
    packet = describe(one.probe.packet) + (f", {fragment} fragment" if fragment else "")
    what = f"{packet}   {way_words(one.probe.way)}, {one.relation.value}"
    return f"{named}: {what}" if named else what


def way_words(way: Way) -> str:
    """`ingress eth0`, `egress eth0`, `forward eth0 to eth1`."""
    if way.arrives is None:
        return f"egress {way.leaves}"
    return f"ingress {way.arrives}" if way.leaves is None else f"forward {way.arrives} to {way.leaves}"


def _trace(ran: Ran, one: Judged, book: Rulebook) -> Iterator[str]:
    told = pass_through(one.probe.packet, one.probe.way, ran.world.host, one.relation, tells_all=True)
    return passage_lines(told, one.probe.packet, book)


def _book(ran: Ran) -> Rulebook:
    return Rulebook(Origins(ran.test.texts), ran.world.host.sets)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line about all files."""
    judged = [packet for one in outcomes if one.ran is not None for packet in one.ran.judged]
    failed, broken = sum(one.failed for one in outcomes), sum(one.ran is None for one in outcomes)
    unknown = sum(one.verdict == UNSUPPORTED for one in judged)
    words = [f"{len(judged) - failed - unknown} passed", f"{failed} failed"]
    if skipped := sum(one.skipped for one in outcomes):
        words.append(f"{skipped} skipped" if skipped == unknown else f"{skipped} asked of the evaluator alone")
    if broken:
        words.append(f"{broken} of {len(outcomes)} files could not be loaded")
    return ", ".join(words)


def are_shown(outcomes: Sequence[Outcome]) -> bool:
    """Whether anything was shown at all, by whoever is asked."""
    return any(one.verdict != UNSUPPORTED for each in outcomes if each.ran is not None for one in each.ran.judged)


def suite(outcome: Outcome) -> Suite:
    """A suite for JUnit, with a case for each packet."""
    ran = outcome.ran
    if ran is None:
        return Suite(outcome.source, [], "\n".join(map(str, outcome.problems)))
    book = _book(ran)
    cases = []
    for number, one in enumerate(ran.judged):
        wrong = complaints(one)
        told = [*wrong, *_trace(ran, one, book)] if wrong else []
        skipped = _skipped(one) if one.verdict == UNSUPPORTED else ""
        cases.append(Case(f"{number}: {_described(one)}", "\n".join(told), skipped))
    return Suite(outcome.source, cases)
