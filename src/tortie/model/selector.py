"""The label selector language: text in, an immutable `Selector` out.

The parser reads left to right once, keeps its own stack for brackets, and looks at every character a bounded number of
times. Two selectors are equal when their canonical texts are.
Source: reference selectors.md sections 1 to 8.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from tortie.model.expression import (
    MAX_DEPTH,
    And,
    Compare,
    Everything,
    Global,
    Has,
    In,
    Leaf,
    Node,
    Not,
    Operator,
    Or,
    Restriction,
    Test,
    compile_test,
    restrictions,
    rewrite,
    write,
)

MAX_LABEL = 512
MAX_BRACKETS = 1_000
MAX_LENGTH = 8_192
"""Not upstream's: fields are capped at 1,024 characters, but the service account selector is not, and whatever is
written there is read within 10 ms (T-SEC-2)."""


class InvalidSelector(ValueError):
    """Text that is no selector. `column` is 1-based and counts characters."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


def unique_id(prefix: str, content: str) -> str:
    """`prefix:` and the base64url SHA-224 of `prefix:content`."""
    import base64
    import hashlib  # takes long to load, and who only checks text needs no ids

    digest = hashlib.sha224(f"{prefix}:{content}".encode()).digest()
    return f"{prefix}:{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@lru_cache(maxsize=8192)
def _selector_id(canonical: str) -> str:
    return unique_id("s", canonical)


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed selector. `matches(labels)` answers whether the labels fulfil it."""

    canonical: str
    root: Node = field(compare=False, repr=False)
    matches: Test = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.canonical

    @property
    def unique_id(self) -> str:
        """The id that equal selectors share, and no others."""
        return _selector_id(self.canonical)

    @property
    def keys(self) -> tuple[str, ...]:
        """The labels that it asks about, in their order."""
        found: dict[str, None] = {}

        def leaf(node: Leaf) -> Node:
            if not isinstance(node, Everything | Global):
                found[node.key] = None
            return node

        rewrite(self.root, leaf)
        return tuple(found)

    def restrictions(self) -> Mapping[str, Restriction]:
        """What an index may assume of the labels that this selector matches; an upper bound of the matching maps."""
        return restrictions(self.root)

    def prefixed(self, prefix: str) -> "Selector":
        """The same selector over labels whose keys begin with the prefix."""

        def leaf(node: Leaf) -> Node:
            match node:
                case Has(key):
                    return Has(prefix + key)
                case Compare(key, operator, value):
                    return Compare(prefix + key, operator, value)
                case In(key, values, negated):
                    return In(prefix + key, values, negated)
                case _:
                    return node

        return selector_of(rewrite(self.root, leaf))

    def replaced(self, *, everything: Node, everywhere_global: Node | None = None) -> "Selector":
        """The same selector with `all()` (and `global()`, unless None) replaced (section 10)."""

        def leaf(node: Leaf) -> Node:
            match node:
                case Everything():
                    return everything
                case Global() if everywhere_global is not None:
                    return everywhere_global
                case _:
                    return node

        return selector_of(rewrite(self.root, leaf))


def selector_of(root: Node) -> Selector:
    """The selector that the tree stands for."""
    pieces: list[str] = []
    write(root, pieces)
    canonical = "".join(pieces)
    return Selector(canonical, root, compile_test(root))


def conjunction(*selectors: Selector) -> Selector:
    """`(a) && (b) && ...`; one alone is itself, none is ALL."""
    match selectors:
        case ():
            return ALL
        case (only,):
            return only
        case _:
            return selector_of(And(tuple(selector.root for selector in selectors)))


_BLANKS = re.compile(r"[ \t]*")
_LABEL = re.compile(r"[a-zA-Z0-9_./-]+")
_BANGS = re.compile(r"[ \t]*+((?:!(?!=)[ \t]*+)*+)")
_GLUE = re.compile(r"[ \t]*+(&&|\|\||\))?")
_CALL = re.compile(r"(has|all|global)\([ \t]*")
_STRING = re.compile(r"\"([^\"]*)\"|'([^']*)'")
# The commonest leaf as a whole, which halves the time; what has another form is read piece by piece. Nothing is read
# twice on the way: the quantifiers are possessive.
_EQUATION = re.compile(r"([a-zA-Z0-9_./-]++)[ \t]*+(==|!=)[ \t]*+(?:\"([^\"]*+)\"|'([^']*+)')")
_OPERATOR = re.compile(
    r"(==)|(!=)|(contains|starts[ \t]*with|ends[ \t]*with|not[ \t]*in|in)(?![a-zA-Z0-9_./-])", re.ASCII
)


@lru_cache(maxsize=8192)
def parse_selector(text: str) -> Selector:
    """The selector that the text spells.

    Raises: InvalidSelector.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidSelector(f"selector is longer than {MAX_LENGTH} characters", MAX_LENGTH + 1)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidSelector("selector holds a character that is no Unicode text", error.start + 1) from None
    return selector_of(_Parser(text).parse())


class _Parser:
    """One pass over one text. `_at` is the next unread character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Node:
        """The tree of the whole text."""
        self._skip()
        if self._at == len(self._text):
            return Everything()
        # One entry for each open bracket: what was read before it, and whether it is negated.
        outer: list[tuple[list[_Deep], list[_Deep], bool, int]] = []
        terms: list[_Deep] = []
        factors: list[_Deep] = []
        while True:
            is_negated = self._negations()
            if self._take("("):
                if len(outer) >= MAX_BRACKETS:
                    raise InvalidSelector(f"more than {MAX_BRACKETS} brackets are open", self._at)
                outer.append((terms, factors, is_negated, self._at))
                terms, factors = [], []
                continue
            item = (self._leaf(), 1)
            while True:
                factors.append(_negate(item) if is_negated else item)
                glue = self._glue()
                if glue == "&&":
                    break
                if glue == "||":
                    terms.append(_join(And, factors))
                    factors = []
                    break
                if outer and glue == ")":
                    terms.append(_join(And, factors))
                    item = _join(Or, terms)
                    terms, factors, is_negated, opened = outer.pop()
                    if item[1] >= MAX_DEPTH:
                        raise InvalidSelector(f"expressions are nested more than {MAX_DEPTH} deep", opened)
                    continue
                if glue is not None:
                    self._at -= len(glue)
                if self._at < len(self._text):
                    self._fail_after_operand(is_bracket_open=bool(outer))
                if outer:
                    raise self._error("expected )")
                terms.append(_join(And, factors))
                return _join(Or, terms)[0]

    def _error(self, message: str) -> InvalidSelector:
        return InvalidSelector(message, self._at + 1)

    def _skip(self) -> None:
        blanks = _BLANKS.match(self._text, self._at)
        assert blanks is not None
        self._at = blanks.end()

    def _take(self, token: str) -> bool:
        if self._text.startswith(token, self._at):
            self._at += len(token)
            return True
        return False

    def _negations(self) -> bool:
        found = _BANGS.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found.group(1).count("!") % 2 == 1

    def _glue(self) -> str | None:
        """What joins the operand that was read with the next one, or closes its bracket; None: something else."""
        found = _GLUE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found.group(1)

    def _fail_after_operand(self, *, is_bracket_open: bool) -> None:
        rest = self._text[self._at :]
        for token in ("&&", "||"):
            if rest[0] == token[0]:
                raise self._error(f"expected {token}")
        if is_bracket_open:
            raise self._error("expected )")
        raise self._error(f"unexpected content at end of selector: {rest[:20]!r}")

    def _leaf(self) -> Node:
        if equation := _EQUATION.match(self._text, self._at):
            label, operator, double, single = equation.groups()
            if len(label) <= MAX_LABEL:
                self._at = equation.end()
                return Compare(label, _OPERATORS[operator], single if double is None else double)
        if call := _CALL.match(self._text, self._at):
            return self._call(call)
        label = self._label()
        if label is None:
            if self._at == len(self._text):
                raise self._error("unexpected end of selector")
            if self._text[self._at] in "'\"" and _STRING.match(self._text, self._at) is None:
                raise self._error("unterminated string")
            raise self._error(f"unexpected token: {self._text[self._at : self._at + 20]!r}")
        self._skip()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            if self._at == len(self._text):
                raise self._error("unexpected end of string looking for op")
            if self._text[self._at] == "=":
                raise self._error("expected ==")
            raise self._error(f'expected operator after label "{label[:60]}"')
        self._at = found.end()
        word = found.group().replace(" ", "").replace("\t", "")
        if word in ("in", "notin"):
            return In(label, self._set(), word == "notin")
        operator = _OPERATORS[word]
        self._skip()
        return Compare(label, operator, self._string("expected string"))

    def _call(self, call: re.Match[str]) -> Node:
        name = call.group(1)
        self._at = call.end()
        key = ""
        if name == "has":
            label = self._label()
            if label is None:
                raise self._error("expected identifier")
            key = label
            self._skip()
        if not self._take(")"):
            raise self._error(f"no closing ')' after {name}(")
        if name == "has":
            return Has(key)
        return Everything() if name == "all" else Global()

    def _label(self) -> str | None:
        found = _LABEL.match(self._text, self._at)
        if found is None:
            return None
        if found.end() - found.start() > MAX_LABEL:
            raise self._error(f"label too long: {found.group()[:20]}... has more than {MAX_LABEL} characters")
        self._at = found.end()
        return found.group()

    def _string(self, expectation: str) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            if self._text[self._at : self._at + 1] in ("'", '"'):
                raise self._error("unterminated string")
            raise self._error(expectation)
        self._at = found.end()
        return found.group()[1:-1]

    def _set(self) -> tuple[str, ...]:
        self._skip()
        if not self._take("{"):
            raise self._error("expected set literal")
        values: set[str] = set()
        self._skip()
        while not self._take("}"):
            values.add(self._string("expected string or }"))
            self._skip()
            if self._take(","):
                self._skip()
            elif not self._text.startswith("}", self._at):
                raise self._error("expected }")
        return tuple(sorted(values))  # by code point, which is also the order of the UTF-8 bytes


_OPERATORS = {operator.value.replace(" ", ""): operator for operator in Operator}
_Deep = tuple[Node, int]
"""A node with the depth of its tree."""


def _negate(item: _Deep) -> _Deep:
    return Not(item[0]), item[1] + 1


def _join(kind: type[And] | type[Or], items: list[_Deep]) -> _Deep:
    if len(items) == 1:
        return items[0]
    return kind(tuple([item[0] for item in items])), 1 + max([item[1] for item in items])


ALL = parse_selector("all()")
NO_MATCH = parse_selector("!all()")
