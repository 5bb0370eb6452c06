"""The JSON of `tortie assert`: what the agent's API and the command line exchange."""

from typing import NotRequired, TypedDict

from tortie.apps.answers import SourceText


class CounterAnswer(TypedDict):
    """A packet that is not judged as was asserted. `arrives`, `leaves`: interfaces, null where the host is the end.

    `trace`: lines for people, every rule that was considered. `hint`: what could be done about it.
    """

    packet: str
    direction: str
    arrives: str | None
    leaves: str | None
    relation: str
    verdict: str
    reason: str
    rule: str | None
    hint: str
    trace: list[str]


class AssertedAnswer(TypedDict):
    """What came of one assertion. `regions`: how many regions of the space of packets were looked at.

    `vacuous`: no packet is meant by it, which counts as failed.
    """

    index: int
    line: int
    name: str
    expect: str
    passed: bool
    vacuous: bool
    regions: int
    ways: int
    counterexample: CounterAnswer | None


class AssertionsAnswer(TypedDict):
    """One file of assertions; one with an error has none."""

    file: str
    error: NotRequired[str]
    assertions: list[AssertedAnswer]
    warnings: NotRequired[list[str]]


class AssertQuery(TypedDict):
    """A file of assertions about the live host, and the files that it names: laid over what is stored (a what-if)."""

    file: SourceText
    files: list[SourceText]
