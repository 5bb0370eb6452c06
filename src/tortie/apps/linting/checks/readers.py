"""Values without quotes that readers of YAML take for different things.

YAML 1.1, which many tools still read, knows numbers in base 60, dates, and `on` and `yes` as booleans; YAML 1.2 knows
none of them. A document that goes through a template, a script or another tool may come out as another one.
"""

import re
from collections.abc import Iterator

from tortie.apps.linting.changes import Replace
from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Fix, Suspicion
from tortie.apps.linting.subject import Subject, Way
from tortie.resources.nodes import Mapping, Node, Scalar, Sequence

_SIXTIES = re.compile(r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_OTHER_BASE = re.compile(r"[-+]?0[bo][0-9_]+")
_SPACED = re.compile(r"[-+]?[0-9]+(_[0-9]+)+")
_WORDS = {"yes", "no", "on", "off", "y", "n"}


def _look(documents: Documents) -> Iterator[Suspicion]:
    for subject in documents.subjects:
        if subject.node is not None:
            for way, scalar in _plain_scalars(subject.node, ()):
                if found := _doubt(subject, way, scalar):
                    yield found


def _plain_scalars(node: Node, way: Way) -> Iterator[tuple[Way, Scalar]]:
    """Every value without quotes, in the order of the text."""
    match node:
        case Scalar():
            if node.verbatim == 0:
                yield way, node
        case Mapping():
            for key, (_, value) in node.entries.items():
                yield from _plain_scalars(value, (*way, key))
        case Sequence():
            for index, item in enumerate(node.items):
                yield from _plain_scalars(item, (*way, index))


def _doubt(subject: Subject, way: Way, scalar: Scalar) -> Suspicion | None:
    """What is doubtful about the value, if anything is."""
    text, value = scalar.text, scalar.value
    if isinstance(value, str):
        if _SIXTIES.fullmatch(text):
            return _as_text(subject, way, text, "a number in base 60")
        if _DATE.fullmatch(text):
            return _as_text(subject, way, text, "a date")
    elif isinstance(value, bool):
        if text.lower() in _WORDS:
            shown = "true" if value else "false"
            return Suspicion(
                subject=subject,
                way=way,
                found=f"{text} without quotes",
                why=f"it is read as {shown} here and by YAML 1.1, and as text by YAML 1.2",
                remedy=f"write {shown}",
                fix=Fix(f"writes {shown}", (Replace(way, value),)),
            )
    elif isinstance(value, int):
        return _number(subject, way, text, value)
    return None


def _as_text(subject: Subject, way: Way, text: str, kind: str) -> Suspicion:
    return Suspicion(
        subject=subject,
        way=way,
        found=f"{text} without quotes",
        why=f"it is text here, and {kind} for readers of YAML 1.1",
        remedy=f'quote it: "{text}"',
        fix=Fix("quotes it", (Replace(way, text),)),
    )


def _number(subject: Subject, way: Way, text: str, value: int) -> Suspicion | None:
    if _OCTAL.fullmatch(text) and value != 0:
        digits = text.lstrip("+-0").replace("_", "") or "0"
        is_octal = set(digits).isdisjoint("89")
        meaning = f"{value} here and for YAML 1.1, in base 8," if is_octal else f"{value} here"
        return Suspicion(
            subject=subject,
            way=way,
            found=f"{text}, with a leading zero",
            why=f"it is {meaning} and {digits} or text for other readers",
            remedy=f"write {digits} or {value}, whichever is meant" if is_octal else f"write {value}",
            # Where the readers differ in the number, only the author knows which of them he meant.
            fix=None if is_octal and str(value) != digits else Fix(f"writes {value}", (Replace(way, value),)),
        )
    if _OTHER_BASE.fullmatch(text) or _SPACED.fullmatch(text):
        return Suspicion(
            subject=subject,
            way=way,
            found=f"{text} without quotes",
            why=f"it is the number {value} here, and text for other readers of YAML",
            remedy=f"write {value}",
            fix=Fix(f"writes {value}", (Replace(way, value),)),
        )
    return None


CHECK: Check[Documents] = Check("TT2011", "a value that readers of YAML take for different things", _look)
