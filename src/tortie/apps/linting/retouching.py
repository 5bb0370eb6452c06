"""Changes of a document in the text that it stands in: comments, blanks and the author's style stay as they are.

    node positions ──▶ edits of the text ──▶ new text ──▶ read again: what the changes say, and nothing else?

Where a change cannot be placed with certainty it is `Unsafe`; and whatever was placed is read again, so that no mistake
of this module ever reaches a file.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

import yaml

from tortie.apps.linting.changes import Append, Change, Insert, Replace, changed
from tortie.apps.linting.subject import Way
from tortie.apps.yamlout import to_flow, to_yaml
from tortie.resources.document import read_documents
from tortie.resources.nodes import Mapping, Node, Scalar
from tortie.resources.nodes import Sequence as ListNode
from tortie.resources.plain import Plain, plain

_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
_BOM = "\ufeff"


class Unsafe(Exception):
    """Why the change cannot be written into the text; the message is for people."""


class Edit(NamedTuple):
    """Another piece of text in the place of what is between two offsets."""

    start: int
    end: int
    text: str


def retouched(text: str, changes: Sequence[tuple[int, Change]]) -> str:
    """The text after the changes, each of the document of that number. Raises: Unsafe."""
    body = text.removeprefix(_BOM)
    if _OTHER_BREAKS.search(body):
        raise Unsafe("the file has line ends of another kind")
    roots = _roots(body)
    wanted = [plain(root) for root in roots]
    edits: list[Edit] = []
    sheet = _Sheet(body)
    for number, change in changes:
        try:
            wanted[number] = changed(wanted[number], change)
        except LookupError as error:
            raise Unsafe(f"it cannot be placed: {error}") from None
        edits.append(sheet.edit(roots[number], change))
    new = _edited(body, edits)
    try:
        found = [plain(root) for root in _roots(new)]
    except Unsafe:
        found = []
    if found != wanted or not _same_types(found, wanted):
        raise Unsafe("the text is written in a way that it would not come out right")
    return text[: len(text) - len(body)] + new


def _roots(text: str) -> list[Node]:
    """The tree of every document. Raises: Unsafe where one has none."""
    roots = [document.root for document in read_documents(text, "")]
    if any(root is None for root in roots):
        raise Unsafe("a document of the file cannot be read")
    return [root for root in roots if root is not None]


def _same_types(found: Plain, wanted: Plain) -> bool:
    """Whether equal values are of one type all the way down: True is no 1."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(_same_types(found[key], wanted[key]) for key in wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return all(_same_types(one, other) for one, other in zip(found, wanted, strict=True))
    return True


def _edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with all edits made; those at one place in their order. Raises: Unsafe where they overlap."""
    pieces, done = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < done:
            raise Unsafe("two changes meet in one place")
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join((*pieces, text[done:]))


class _Sheet:
    """A text by lines, and how changes are written into it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.split("\n")
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._break = "\r\n" if self._lines[0].endswith("\r") else "\n"

    def edit(self, root: Node, change: Change) -> Edit:
        """The change as an edit. Raises: Unsafe."""
        match change:
            case Replace():
                return self._replace(_part(root, change.way), change)
            case Insert():
                return self._insert(_part(root, change.way), change)
            case Append():
                return self._append(_part(root, change.way), change)
            case _:
                assert_never(change)

    def _replace(self, node: Node, change: Replace) -> Edit:
        if not isinstance(node, Scalar) or node.verbatim is None:
            raise Unsafe("the value is written over several lines, or with an anchor or escapes")
        start = self._at(node)
        end = start + len(node.text) + 2 * node.verbatim
        written = self._text[start + node.verbatim : end - node.verbatim]
        if written != node.text:
            raise Unsafe("the value is not where it seems to be")
        return Edit(start, end, json.dumps(change.value, ensure_ascii=False))

    def _insert(self, node: Node, change: Insert) -> Edit:
        if not isinstance(node, Mapping) or change.after not in node.entries:
            raise Unsafe(f"there is no {change.after} that it could be put behind")
        key, value = node.entries[change.after]
        if self._is_flow(node):
            piece = f"{json.dumps(change.key)}: {json.dumps(change.value, ensure_ascii=False)}, "
            return Edit(self._at(key), self._at(key), piece)
        indent = key.column - 1
        self._require_first(key)
        last = self._last_line(key.line, indent, may_begin_here=isinstance(value, ListNode))
        lines = self._field_lines(change, value, indent)
        return self._behind(last, [" " * indent + line for line in lines])

    def _field_lines(self, change: Insert, model: Node, indent: int) -> Iterator[str]:
        """The new field in the style of the field before it: its items indented alike, and in brackets if those are."""
        if not isinstance(change.value, list):
            yield f"{change.key}: {json.dumps(change.value, ensure_ascii=False)}"
            return
        yield f"{change.key}:"
        items = model.items if isinstance(model, ListNode) and not self._is_flow(model) else []
        more = " " * (model.column - 1 - indent) if items else ""
        in_brackets = bool(items) and self._is_flow(items[0])
        for item in change.value:
            yield from (more + line for line in _item_lines(item, in_brackets=in_brackets))

    def _append(self, node: Node, change: Append) -> Edit:
        if not isinstance(node, ListNode):
            raise Unsafe("there is no list that it could be put into")
        if self._is_flow(node):
            return self._append_in_brackets(node, change)
        self._require_first(node)
        last = self._last_line(node.line, node.column - 1, may_begin_here=True)
        in_brackets = bool(node.items) and self._is_flow(node.items[0])
        lines = (line for each in change.values for line in _item_lines(each, in_brackets=in_brackets))
        return self._behind(last, [" " * (node.column - 1) + line for line in lines])

    def _append_in_brackets(self, node: ListNode, change: Append) -> Edit:
        close = self._end_of(node) - 1
        first = node.items[0] if node.items else None
        quotes_all = isinstance(first, Scalar) and first.verbatim == 1
        pieces = (
            each if isinstance(each, str) and not quotes_all else json.dumps(each, ensure_ascii=False)
            for each in change.values
        )
        piece = ", ".join(pieces)
        before = self._text[:close].rstrip()
        return Edit(len(before), len(before), f", {piece}" if node.items else piece)

    def _behind(self, line: int, lines: Sequence[str]) -> Edit:
        """New lines behind that one."""
        end = self._starts[line] - 1 - self._lines[line - 1].endswith("\r")
        return Edit(end, end, "".join(self._break + each for each in lines))

    def _last_line(self, first: int, indent: int, *, may_begin_here: bool) -> int:
        """The last line of what begins in line `first` and is indented more than that; comments behind it stay behind.

        `may_begin_here`: items of a list may begin at the very indent.
        """
        last = first
        for number in range(first + 1, len(self._lines) + 1):
            line = self._lines[number - 1].rstrip()
            bare = line.lstrip(" ")
            if not bare or bare.startswith("#"):
                continue
            depth = len(line) - len(bare)
            is_item = bare == "-" or bare.startswith("- ")
            if depth < indent or (depth == indent and not (may_begin_here and is_item)):
                break
            last = number
        return last

    def _require_first(self, node: Node) -> None:
        before = self._lines[node.line - 1][: node.column - 1]
        if before.strip(" -"):
            raise Unsafe("it does not begin its line")

    def _is_flow(self, node: Node) -> bool:
        """Whether the collection is written in brackets. Raises: Unsafe where an anchor or a tag is in front of it."""
        start = self._text[self._at(node) : self._at(node) + 1]
        if start in ("&", "!", "*"):
            raise Unsafe("it has an anchor or a tag, so that other places may share it")
        return start in ("{", "[")

    def _at(self, node: Node) -> int:
        return self._starts[node.line - 1] + node.column - 1

    def _end_of(self, node: Node) -> int:
        """The offset behind a collection in brackets."""
        start, depth = self._at(node), 0
        try:
            for event in yaml.parse(self._text[start:], Loader=yaml.CSafeLoader):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if isinstance(event, yaml.CollectionEndEvent) and not depth and event.end_mark is not None:
                    return start + int(event.end_mark.index)
        except yaml.YAMLError:
            pass
        raise Unsafe("its end cannot be found")


def _part(root: Node, way: Way) -> Node:
    at: Node = root
    for key in way:
        if isinstance(at, Mapping) and isinstance(key, str) and key in at.entries:
            at = at.entries[key][1]
        elif isinstance(at, ListNode) and isinstance(key, int) and key < len(at.items):
            at = at.items[key]
        else:
            raise Unsafe(f"{key} is not written there")
    return at


def _item_lines(item: Plain, *, in_brackets: bool) -> Iterator[str]:
    """The item of a list in block style."""
    if in_brackets:
        yield f"- {to_flow(item)}"
    else:
        yield from to_yaml([item], is_sorted=False).splitlines()
