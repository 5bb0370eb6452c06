"""Text of documents to trees of nodes that know their line and column. Nothing here knows a kind or a field.

    text ── split at "---" ──▶ chunk ── libyaml events ──▶ Node tree (aliases shared, sizes counted)

The tree is built from events with a stack of our own, so depth, size and aliases are bounded before anything is
expanded. One broken document does not hide the problems of the others.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple, Protocol, cast

import yaml
from yaml._yaml import CParser

from tortie.resources.nodes import Mapping, Node, Scalar, Sequence
from tortie.resources.problems import Place, Problems, shorten
from tortie.resources.scalars import NotFinite, Value, resolve
from tortie.resources.surrogates import mask

MAX_SIZE = 10 * 1024 * 1024
"""Bytes of one document (cli.md section 4)."""
MAX_NODES = 150_000
"""Of one document, aliases expanded: what is read within a second."""
MAX_DEPTH = 100


_PROLOGUE = re.compile(r"(?:[^\S\n]*+(?:[#%][^\n]*+)?+\n)*+[^\S\n]*+(?:[#%][^\n]*+)?+\Z")
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
# Text behind a separator, unless it is how a value on that line would begin (YAML 1.2 section 7.3): a remark.
_REMARK = re.compile(r"---[ \t]+(?![-#{\[|>&*!\"'%@`])(\S[^\n]*)\n(?=(?:[ \t]*(?:#.*)?\n)*[ \t]*[^\s#])")
_ALONE = re.compile(r"---[ \t]*(#.*)?\r?\n(?!\Z)")
# What YAML 1.2 section 5.1 calls printable, tab, CR and LF.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Document(NamedTuple):
    """One document of a stream. `root` None: it could not be read, and the problems say why. `line`: its first one."""

    root: Node | None
    problems: Problems
    line: int


class _Stop(Exception):
    """This document cannot be read any further; the reason is among its problems."""


def read_documents(text: str | bytes, source: str) -> Iterator[Document]:
    """Each document in the text, with the problems found in it so far."""
    if isinstance(text, bytes):
        problems = Problems(source)
        decoded = _decode(text, problems)
        if decoded is None:
            yield Document(None, problems, 1)
            return
        text = decoded
    text = text.removeprefix("\ufeff")
    separators: Iterator[int] = (match.start() for match in _SEPARATOR.finditer(text))
    start = next(separators, None)
    if start is None or not _is_prologue(text[:start]):
        if start is None and _is_prologue(text):
            return  # an empty file is no document at all
        separators, start = chain([] if start is None else [start], separators), 0
    line = text.count("\n", 0, start)
    for end in chain(separators, [len(text)]):
        chunk = _without_remark(text[start:end])
        problems = Problems(source)
        first = line + 2 if _ALONE.match(chunk) else line + 1
        yield Document(_read_chunk(chunk, line, problems), problems, first)
        line += chunk.count("\n")
        start = end


def _without_remark(chunk: str) -> str:
    """The text of a document, blanks in the place of a remark behind its `---`. Source: reference cli.md section 4."""
    remark = _REMARK.match(chunk)
    return chunk if remark is None else f"---{' ' * (remark.end(1) - 3)}{chunk[remark.end(1) :]}"


def _decode(data: bytes, problems: Problems) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = _place(data[: error.start].decode(), 0)
        found = f"byte 0x{data[error.start]:02x}"
        problems.add("TT1002", place, "", "the text is not UTF-8", found=found, remedy="save the file as UTF-8")
        return None


def _is_prologue(text: str) -> bool:
    """Whether the text holds nothing but blank lines, comments and directives."""
    return _PROLOGUE.match(text) is not None


def _place(before: str, line: int) -> Place:
    """Where the text goes on after `before`."""
    return Place(line + before.count("\n") + 1, len(before) - before.rfind("\n"))


def _read_chunk(text: str, line: int, problems: Problems) -> Node | None:
    if len(text) > MAX_SIZE or len(text.encode(errors="replace")) > MAX_SIZE:
        message, expected = "the document is too large", f"at most {MAX_SIZE} bytes"
        remedy = "split it into several documents"
        problems.add("TT1003", Place(line + 1, 1), "", message, expected=expected, remedy=remedy)
        return None
    if bad := _FORBIDDEN.search(text):
        place = _place(text[: bad.start()], line)
        found = f"U+{ord(bad.group()):04X}"
        problems.add("TT1002", place, "", "a character that YAML forbids", found=found, remedy="remove it")
        return None
    try:
        return _Builder(text, line, problems).build()
    except _Stop:
        return None


class _Mark(Protocol):
    """libyaml's position: 0-based, in characters."""

    line: int
    column: int
    index: int


def _begin(event: yaml.Event) -> _Mark:
    return cast(_Mark, event.start_mark)  # every event of a parser has marks; the stubs cannot know


def _end(event: yaml.Event) -> _Mark:
    return cast(_Mark, event.end_mark)


class _Open:
    """A collection whose end was not read yet, with what it holds so far."""

    __slots__ = ("anchor", "height", "is_mapping", "key", "mark", "merged", "node", "size")

    def __init__(self, node: Sequence | Mapping, anchor: str | None, mark: _Mark) -> None:
        self.node, self.anchor, self.mark = node, anchor, mark
        self.is_mapping = isinstance(node, Mapping)
        self.key: Scalar | None = None
        self.size = self.height = 1


class _Sized(NamedTuple):
    """An anchored node with what an alias to it costs."""

    node: Node
    size: int
    height: int


class _Builder:
    """Reads the events of one document."""

    def __init__(self, text: str, line: int, problems: Problems) -> None:
        self._masked = mask(text)
        self._parser = CParser(text if self._masked is None else self._masked.text)
        self._line, self._problems = line, problems
        self._anchors: dict[str, _Sized] = {}
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0  # made so far; an alias makes none

    def build(self) -> Node:
        """The document's root."""
        try:
            return self._build()
        except yaml.MarkedYAMLError as error:
            what = " ".join(part for part in (error.context, error.problem) if part)
            mark = error.problem_mark or error.context_mark
            remedy = (
                "indent with blanks instead of tabs" if "'\\t'" in what else "check indentation, quotes and brackets"
            )
            raise self._stop("TT1001", f"the document is not valid YAML: {shorten(what, 160)}", mark, remedy) from None
        except yaml.YAMLError as error:
            message = f"the document is not valid YAML: {shorten(str(error), 160)}"
            raise self._stop("TT1001", message, None, "check its characters") from None
        finally:
            self._parser.dispose()

    def _build(self) -> Node:
        while True:
            event = self._parser.get_event()
            match event:
                case yaml.ScalarEvent():
                    self._add(self._scalar(event), event.anchor, 1, 1, _begin(event))
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._start(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    done = self._open.pop()
                    self._add(done.node, done.anchor, done.size, done.height, done.mark)
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent():
                    if self._root is not None:
                        raise self._stop("TT1001", "a second document begins here", _begin(event), "put --- before it")
                case yaml.StreamEndEvent():
                    if self._root is None:
                        raise self._stop("TT1011", "the document is empty", None, "remove it and its ---")
                    return self._root
                case _:
                    pass

    def _note(self, code: str, message: str, mark: _Mark | None, remedy: str, found: str = "") -> None:
        line, column = (mark.line, mark.column) if mark else (0, 0)
        place = Place(self._line + line + 1, column + 1)
        self._problems.add(code, place, "", message, found=found, remedy=remedy)

    def _stop(self, code: str, message: str, mark: _Mark | None, remedy: str, found: str = "") -> _Stop:
        self._note(code, message, mark, remedy, found)
        return _Stop(message)

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        mark = _begin(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event.tag, "map" if is_mapping else "seq", mark)
        if len(self._open) >= MAX_DEPTH:
            raise self._stop("TT1004", f"nested more than {MAX_DEPTH} deep", mark, "no kind needs this: flatten it")
        self._anchors.pop(event.anchor or "", None)  # the name now means this collection
        line, column = self._line + mark.line + 1, mark.column + 1
        node: Sequence | Mapping = Mapping(line, column, {}) if is_mapping else Sequence(line, column, [])
        self._open.append(_Open(node, event.anchor, mark))

    def _check_tag(self, tag: str | None, plain: str, mark: _Mark) -> None:
        if tag is None or tag == f"tag:yaml.org,2002:{plain}":
            return
        self._note(
            "TT1006",
            "a YAML tag, which would change the value",
            mark,
            'quote a value that begins with "!"',
            found=shorten(tag if tag.startswith("!") else f"!!{tag.rpartition(':')[2]}", 30),
        )

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text: str = event.value
        mark = _begin(event)
        if self._masked is not None:
            text = self._masked.value(text, mark.index, _end(event).index, has_escapes=event.style == '"')
        value: Value
        if event.tag is not None:
            self._check_tag(event.tag, "str", mark)
            value = text
        elif event.style:
            value = text
        else:
            try:
                value = resolve(text)
            except NotFinite:
                remedy = "write a finite number, or quote it if it is text"
                self._note("TT1008", "not a finite number", mark, remedy, found=shorten(text))
                value = 0
        quotes = 1 if event.style in ("'", '"') else 0
        is_verbatim = _end(event).index - mark.index == len(text) + 2 * quotes and "\n" not in text
        return Scalar(self._line + mark.line + 1, mark.column + 1, value, text, quotes if is_verbatim else None)

    def _alias(self, event: yaml.AliasEvent) -> None:
        mark = _begin(event)
        name = event.anchor or ""
        known = self._anchors.get(name)
        if known is None:
            is_open = any(collection.anchor == name for collection in self._open)
            message = "an alias to the value that holds it" if is_open else "an alias to an unknown anchor"
            raise self._stop("TT1005", message, mark, "write the value out", found=f"*{shorten(name, 30)}")
        self._add(known.node, None, known.size, known.height, mark)

    def _add(self, node: Node, anchor: str | None, size: int, height: int, mark: _Mark) -> None:
        """Put a complete node in its place and account for what it costs when every alias is expanded."""
        self._nodes += 1
        if anchor is not None:
            self._anchors[anchor] = _Sized(node, size, height)
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.size += size
        parent.height = max(parent.height, height + 1)
        if parent.size > MAX_NODES or self._nodes > MAX_NODES:
            message = f"more than {MAX_NODES} values, aliases expanded"
            raise self._stop("TT1003", message, mark, "split it into several documents")
        if len(self._open) + height > MAX_DEPTH + 1:
            raise self._stop("TT1004", f"nested more than {MAX_DEPTH} deep", mark, "no kind needs this: flatten it")
        if not parent.is_mapping:
            cast(Sequence, parent.node).items.append(node)
        elif parent.key is None:
            if not isinstance(node, Scalar):
                raise self._stop("TT1009", "a key that is no text", mark, "keys are plain names")
            if not isinstance(node.value, str):
                remedy = f'quote it: "{shorten(node.text, 20)}"' if node.text else "give the key a name"
                self._note("TT1009", "a key that is no text", mark, remedy, found=shorten(node.text) or "nothing")
            parent.key = node
        else:
            key, parent.key = parent.key, None
            self._set(cast(Mapping, parent.node), key, node, mark)

    def _set(self, mapping: Mapping, key: Scalar, node: Node, mark: _Mark) -> None:
        if key.text != "<<":
            self._set_one(mapping, key, node)
            return
        merged = node.items if isinstance(node, Sequence) else [node]
        for each in merged:
            if not isinstance(each, Mapping):
                raise self._stop("TT1005", "a merge key whose value is no mapping", mark, "merge with <<: *anchor")
            for other, value in each.entries.values():
                self._set_one(mapping, other, value)

    def _set_one(self, mapping: Mapping, key: Scalar, node: Node) -> None:
        first = mapping.entries.setdefault(key.text, (key, node))
        if first[0] is not key:
            message, found = f"the key {shorten(key.text)!r} is set twice", f"the same key in line {first[0].line}"
            self._problems.add("TT1007", key, "", message, found=found, remedy="remove one of them")
