"""The hand-written parser against an independent one: a lark grammar of the language, and a naive interpreter."""

from collections.abc import Mapping

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tortie.model.expression import And, Compare, Everything, Global, Has, In, Node, Not, Operator, Or
from tortie.model.selector import InvalidSelector, parse_selector

# Scannerless (Earley with a dynamic lexer), so that it shares neither the tokens nor the method of the real parser.
GRAMMAR = r"""
start: _b [disjunction]
?disjunction: conjunction ("||" _b conjunction)*
?conjunction: operation ("&&" _b operation)*
?operation: "!" _b operation -> negation | primary
?primary: "has(" _b LABEL _b ")" _b -> has
    | "all(" _b ")" _b -> all
    | "global(" _b ")" _b -> everywhere
    | LABEL _b "==" _b string -> equal
    | LABEL _b "!=" _b string -> unequal
    | LABEL _b "contains" _b string -> contains
    | LABEL _b "starts" _b "with" _b string -> starts
    | LABEL _b "ends" _b "with" _b string -> ends
    | LABEL _b "in" _b set -> within
    | LABEL _b "not" _b "in" _b set -> without
    | "(" _b disjunction ")" _b
set: "{" _b [string ("," _b string)* ["," _b]] "}" _b
string: (DOUBLE | SINGLE) _b
_b: BLANK*
BLANK: " " | "\t"
LABEL: /[a-zA-Z0-9_.\/-]+(?![a-zA-Z0-9_.\/-])/
DOUBLE: /"[^"]*"/
SINGLE: /'[^']*'/
"""
ORACLE = lark.Lark(GRAMMAR, parser="earley", lexer="dynamic", maybe_placeholders=False)

keys = st.sampled_from(["a", "b", "in", "not", "has", "all", "a.b/c-d", "contains"])
values = st.sampled_from(["", "a", "ab", "x y", "'", '"', "é", "&&", ")"])
leaves = st.one_of(
    st.just(Everything()),
    st.just(Global()),
    st.builds(Has, keys),
    st.builds(Compare, keys, st.sampled_from(Operator), values),
    st.builds(
        lambda key, members, negated: In(key, tuple(sorted(members)), negated),
        keys,
        st.frozensets(values, max_size=3),
        st.booleans(),
    ),
)


def branches(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, children), st.builds(And, several), st.builds(Or, several))


trees = st.recursive(leaves, branches, max_leaves=8)
label_maps = st.dictionaries(keys, values, max_size=4)


def spell(node: Node, draw: st.DrawFn) -> str:
    """A random spelling of the tree, brackets around every operand."""
    blank = draw(st.sampled_from(["", " ", "\t "]))

    def literal(value: str) -> str:
        return f"'{value}'" if '"' in value or ("'" not in value and draw(st.booleans())) else f'"{value}"'

    match node:
        case Everything():
            return f"all({blank})"
        case Global():
            return f"global({blank})"
        case Has(key):
            return f"has({blank}{key}{blank})"
        case Compare(key, operator, value):
            word = operator.value if draw(st.booleans()) else operator.value.replace(" ", "")
            return f"{key} {blank}{word}{blank}{literal(value)}"
        case In(key, members, negated):
            word = draw(st.sampled_from(["not in", "notin", "not  in"])) if negated else "in"
            comma = "," if members and draw(st.booleans()) else ""
            return f"{key} {word}{blank}{{{', '.join(map(literal, members))}{comma}}}"
        case Not(operand):
            return f"!{blank}({spell(operand, draw)})"
        case And(operands) | Or(operands):
            glue = "&&" if isinstance(node, And) else "||"
            return f"{blank}{glue}{blank}".join(f"({spell(operand, draw)}{blank})" for operand in operands)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[Node, str]:
    tree = draw(trees)
    return tree, spell(tree, draw)


def interpret(node: Node, labels: Mapping[str, str]) -> bool:
    """The meaning of a tree straight from the reference's table (section 3)."""
    match node:
        case Everything() | Global():
            return True
        case Has(key):
            return key in labels
        case Compare(key, operator, value):
            if key not in labels:
                return operator is Operator.NOT_EQUAL
            found = labels[key]
            return {
                Operator.EQUAL: found == value,
                Operator.NOT_EQUAL: found != value,
                Operator.CONTAINS: value in found,
                Operator.STARTS_WITH: found[: len(value)] == value,
                Operator.ENDS_WITH: value == "" or found[-len(value) :] == value,
            }[operator]
        case In(key, members, negated):
            return (key in labels and labels[key] in members) != negated
        case Not(operand):
            return not interpret(operand, labels)
        case And(operands):
            return all(interpret(operand, labels) for operand in operands)
        case Or(operands):
            return any(interpret(operand, labels) for operand in operands)


@given(spelled(), label_maps)
def test_a_spelled_tree_parses_to_itself_and_means_what_the_interpreter_says(
    case: tuple[Node, str], labels: dict[str, str]
) -> None:
    tree, text = case
    selector = parse_selector(text)
    assert tree == selector.root
    assert interpret(tree, labels) == selector.matches(labels)


@given(spelled(), label_maps)
def test_canonical_text_is_a_fixed_point_that_means_the_same(case: tuple[Node, str], labels: dict[str, str]) -> None:
    selector = parse_selector(case[1])
    again = parse_selector(selector.canonical)
    assert selector.matches(labels) == again.matches(labels)
    if "!!" not in selector.canonical:
        assert selector == again
    assert again == parse_selector(again.canonical) or "!!" in again.canonical


@given(spelled(), label_maps)
def test_restrictions_hold_for_every_match(case: tuple[Node, str], labels: dict[str, str]) -> None:
    selector = parse_selector(case[1])
    if selector.matches(labels):
        for key, restriction in selector.restrictions().items():
            assert key in labels or not restriction.must_be_present
            assert key not in labels or not restriction.must_be_absent
            assert restriction.values is None or labels[key] in restriction.values


TOKENS = [
    *("a", "in", "not", "has(", "all()", "(", ")", "!", "==", "!=", "&&", "||", "'x'", '"y"', "{", "}", ",", " "),
    *("contains", "\n", "starts with"),
]


def is_accepted_by_oracle(text: str) -> bool:
    try:
        ORACLE.parse(text)
    except lark.exceptions.LarkError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(TOKENS), max_size=9).map("".join), spelled().map(lambda case: case[1])))
def test_the_grammar_accepts_exactly_what_the_parser_accepts(text: str) -> None:
    try:
        parse_selector(text)
        accepted = True
    except InvalidSelector:
        accepted = False
    assert is_accepted_by_oracle(text) == accepted


@settings(max_examples=200, deadline=None)
@given(spelled(), st.data())
def test_the_grammar_and_the_parser_agree_on_damaged_selectors(case: tuple[Node, str], data: st.DataObject) -> None:
    text = case[1]
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(["", *TOKENS])) + text[at + data.draw(st.integers(0, 2)) :]
    try:
        parse_selector(damaged)
        accepted = True
    except InvalidSelector:
        accepted = False
    assert is_accepted_by_oracle(damaged) == accepted


def test_the_oracle_itself_refuses_something() -> None:
    with pytest.raises(lark.exceptions.LarkError):
        ORACLE.parse("has (a)")
