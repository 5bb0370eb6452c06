"""What is wrong with a document: problems as values, with a stable code and the place in the source.

Nothing is raised for a single problem: reading goes on, so that an author sees all of them at once. The list is capped,
because a hostile document could have one in every line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol


class Position(Protocol):
    """Anything with a place in the text."""

    @property
    def line(self) -> int:
        """1-based; 0: unknown."""

    @property
    def column(self) -> int:
        """1-based, in characters."""


class Place(NamedTuple):
    """A bare position."""

    line: int
    column: int


MAX_PROBLEMS = 100
"""For each document of a stream."""

CODES: dict[str, str] = {
    "TT1001": "the text is no YAML or JSON",
    "TT1002": "the text is no UTF-8, or holds characters that YAML forbids",
    "TT1003": "the document is too large",
    "TT1004": "the document is nested too deeply",
    "TT1005": "an alias that refers to nothing, or to itself",
    "TT1006": "a tag that would change or lose the value",
    "TT1007": "a key that is set twice",
    "TT1008": "a number that is infinite or none",
    "TT1009": "a key that is no text",
    "TT1010": "more problems than are listed",
    "TT1011": "a document that is no resource",
    "TT1012": "an unknown or missing apiVersion",
    "TT1013": "an unknown or missing kind",
    "TT1101": "an unknown field",
    "TT1102": "a required field is missing",
    "TT1103": "a value of the wrong type",
    "TT1104": "a value that is none of the allowed ones",
    "TT1105": "a number outside its range",
    "TT1106": "an invalid address or network",
    "TT1107": "an invalid port, port range or port name",
    "TT1108": "an invalid protocol",
    "TT1109": "a placeholder that was left in",
    "TT1110": "too many items, or text that is too long",
    "TT1111": "an item that is in a list twice",
    "TT1112": "an invalid name",
    "TT1113": "an invalid label",
    "TT1114": "an invalid annotation",
    "TT1115": "an invalid interface name",
    "TT1116": "text that does not have the required form",
    "TT1117": "a namespace on a kind that has none",
    "TT1201": "an invalid selector",
    "TT1202": "global() in a place where it has no meaning",
    "TT1311": "ports without a protocol that has ports",
    "TT1312": "ICMP fields that contradict the rule",
    "TT1313": "IP versions that contradict each other",
    "TT1314": "an http match where none is possible",
    "TT1315": "a services match that contradicts the rule",
    "TT1316": "policy flags that contradict each other",
    "TT1317": "a host endpoint that is no endpoint",
    "TT1318": "a built-in tier with other settings",
    "TT1319": "settings that contradict each other",
    "TT1320": "a negated net that excludes everything",
    "TT1321": "a staged deletion that says more than what it deletes",
    "TT1322": "a label selector whose values do not fit its operator",
    "TT1323": "one of several fields is to be given, and none or more are",
    "TT1324": "a port that contradicts what stands beside it",
    "TT1325": "an exception outside of its network",
    "TT1330": "a name that the specification contradicts",
    "TT1331": "a workload endpoint whose addresses or limits contradict each other",
    "TT1332": "an IP pool that cannot be one",
    "TT1333": "BGP settings that contradict each other, or say nothing",
    "TT1334": "a BGP community that is invalid, not defined or not used",
    "TT1335": "a BGP setting that only the object called default may have",
    "TT1336": "a BGP filter's rule that contradicts itself",
    "TT1337": "a template of host endpoints that finds no interface",
    "TT1338": "a value that only address management may write",
    "TT1339": "a reference to a resource that does not exist",
    "TT1401": "a stored document that is damaged",
    "TT1901": "a file without a document",
    "TT1902": "a resource that is there twice",
    "TT1903": "a policy in a tier that does not exist",
    "TT1904": "a namespace that is not the one of --namespace",
    "TT1905": "--namespace for a kind that has none",
    "TT1906": "a resourceVersion in a document to create",
    "TT1907": "a resource that is not for people to write",
    "TT1908": "a patch that cannot be applied",
    "TT1970": "a test file that is no PolicyTest",
    "TT1971": "a packet of a test that contradicts itself or its host",
    "TT1972": "an interface that the host of a test does not have",
    "TT1973": "a packet of a test that names none before it",
    "TT1974": "resources of a test that cannot be read",
    "TT1975": "a host of a test that contradicts itself",
    "TT1980": "an assertion file that is no PolicyAssertion",
    "TT1981": "an assertion that contradicts itself or its host",
    "TT1982": "an assertion about an interface that the host does not have",
}
"""Every code with what it stands for. Codes are never reused: scripts and documentation refer to them."""


class Problem(NamedTuple):
    """One thing an author has to change. Line and column are 1-based; 0 where the text has no positions."""

    code: str
    message: str
    source: str
    path: str = ""
    line: int = 0
    column: int = 0
    found: str = ""
    expected: str = ""
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong, what was found and expected, and the remedy; without the place."""
        facts = [f"{name} {value}" for name, value in (("found", self.found), ("expected", self.expected)) if value]
        return "; ".join(part for part in (self.message, ", ".join(facts), self.remedy) if part)

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return (
            f"{place}: {self.path}: {self.code} {self.sentence}"
            if self.path
            else f"{place}: {self.code} {self.sentence}"
        )


class Problems:
    """The problems of one document while it is read. Adding never fails; what goes beyond the cap is only counted."""

    __slots__ = ("_items", "_paths", "_prefix", "_spare", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._items: list[Problem] = []
        self._paths: list[str] = []
        self._spare = 0
        self._prefix = ""

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted, so that nothing costly need be found out about them."""
        return len(self._items) >= MAX_PROBLEMS

    @contextmanager
    def inside(self, prefix: str) -> Iterator[None]:
        """Paths are those of a resource that stands there in the document, until left again."""
        outer, self._prefix = self._prefix, self._whole(prefix)
        try:
            yield
        finally:
            self._prefix = outer

    def _whole(self, path: str) -> str:
        dot = "." if self._prefix and path and path[0] != "[" else ""
        return f"{self._prefix}{dot}{path}"

    def add(
        self,
        code: str,
        at: Position,
        path: str,
        message: str,
        *,
        found: str = "",
        expected: str = "",
        remedy: str = "",
    ) -> None:
        """Note a problem at that place."""
        if self.is_full:
            self._spare += 1
            return
        path = self._whole(path)
        self._paths.append(path)
        self._items.append(
            Problem(
                code=code,
                message=message,
                source=self.source,
                path=path,
                line=at.line,
                column=at.column,
                found=found,
                expected=expected,
                remedy=remedy,
            )
        )

    def concern(self, path: str) -> bool:
        """Whether a problem was noted at that path or below it: what it holds is not to be judged further."""
        path = self._whole(path)
        return any(
            each.startswith(path) and (len(each) == len(path) or each[len(path)] in ".[") for each in self._paths
        )

    def listed(self) -> list[Problem]:
        """Every problem in the order of the text, and a last one that stands for those beyond the cap."""
        listed = sorted(self._items, key=lambda problem: (problem.line, problem.column))
        if self._spare:
            message = f"{self._spare} more problems are not listed"
            listed.append(Problem(code="TT1010", message=message, source=self.source, remedy="correct these first"))
        return listed


class InvalidDocument(Exception):
    """Documents that cannot be accepted; every problem of all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def shorten(text: str, limit: int = 60) -> str:
    """The text as one line that is fit for an error."""
    line = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)
