"""`get --watch`: what comes, changes and goes, one line for each; the newest state, not every one in between."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tortie.apps.answers import Document, GetAnswer
from tortie.apps.ctl.forms import Form, named
from tortie.apps.ctl.interrupts import undisturbed
from tortie.apps.ctl.show import LEAST, out, row, widths_of
from tortie.apps.documents import called

Read = Callable[[], Sequence[GetAnswer]]


class Seen(NamedTuple):
    """A resource as it was last shown."""

    answer: GetAnswer
    document: Document
    cells: list[str]


class Event(NamedTuple):
    """`type` is ADDED, MODIFIED or DELETED; of what was deleted the last state."""

    type: str
    of: Seen


def follow(read: Read, later: Callable[[int], int], show: Callable[[list[Event]], None]) -> None:
    """Read and show what is new until interrupted; `later` waits for a revision beyond the given one."""
    before: dict[str, Seen] = {}
    try:
        while True:
            answers = read()
            now = {name: seen for answer in answers for name, seen in _seen(answer)}
            events = list(_events(before, now))
            if events or not before:
                with undisturbed():
                    show(events)
            before, revision = now, min(answer["revision"] for answer in answers)
            while later(revision) == revision:
                pass
    except KeyboardInterrupt:
        if sys.stdout.isatty():  # the terminal shows ^C where the cursor is
            sys.stdout.write("\n")


def _seen(answer: GetAnswer) -> Iterator[tuple[str, Seen]]:
    for document, cells in zip(answer["items"], answer["table"]["rows"], strict=True):
        yield f"{answer['kind']}({called(document)})", Seen(answer, document, cells)


def _events(before: dict[str, Seen], now: dict[str, Seen]) -> Iterator[Event]:
    for name, seen in now.items():
        if name not in before:
            yield Event("ADDED", seen)
        elif before[name].document != seen.document:
            yield Event("MODIFIED", seen)
    for name, seen in before.items():
        if name not in now:
            yield Event("DELETED", seen)


def shower(form: Form, *, has_headings: bool) -> Callable[[list[Event]], None]:
    """What prints events in that form."""
    match form.name:
        case "json":
            return lambda events: _lines(
                json.dumps({"type": one.type, "object": one.of.document}, ensure_ascii=True) for one in events
            )
        case "yaml":
            return _show_yaml
        case "name":
            return lambda events: _lines(f"{named(one.of.answer, one.of.document)} {one.type}" for one in events)
        case _:
            return _Tables(has_headings=has_headings)


def _lines(lines: Iterator[str]) -> None:
    for line in lines:
        out(line)
    sys.stdout.flush()


def _show_yaml(events: list[Event]) -> None:
    from tortie.apps.yamlout import to_yaml

    for one in events:
        sys.stdout.write(f"---\n{to_yaml({'object': one.of.document, 'type': one.type})}")
    sys.stdout.flush()


class _Tables:
    """Rows below each other for as long as they are of one kind; columns only grow."""

    def __init__(self, *, has_headings: bool) -> None:
        self._has_headings = has_headings
        self._heading: list[str] = []
        self._widths: list[int] = []

    def __call__(self, events: list[Event]) -> None:
        for one in events:
            heading, cells = ["EVENT", *one.of.answer["table"]["heading"]], [one.type, *one.of.cells]
            is_new = heading != self._heading
            if is_new:
                group = [[each.type, *each.of.cells] for each in events if each.of.answer is one.of.answer]
                self._heading, self._widths = heading, widths_of([heading, *group], [LEAST] * len(heading))
                self._widths[0] = len("MODIFIED")
            self._widths = widths_of([cells], self._widths)
            if is_new and self._has_headings:
                out(row(heading, self._widths))
            out(row(cells, self._widths))
        sys.stdout.flush()
