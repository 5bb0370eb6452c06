"""The parts that Kubernetes policies have in common: label selectors and ports, and what they are converted to.

Source: reference resources.md section 9, selectors.md section 11; Kubernetes API reference, LabelSelector and
NetworkPolicy.
"""

from collections.abc import Callable

import msgspec

from tortie.model.address import InvalidAddress
from tortie.model.selector import MAX_LENGTH, InvalidSelector
from tortie.resources.fields import Decoder, Field, Json, Law, Missing, Scope, decoder, list_of, object_of
from tortie.resources.kind import Resource
from tortie.resources.lowering import Meaningless
from tortie.resources.metadata import check_label_key, is_qualified, label_value, labels
from tortie.resources.nodes import Node, Scalar
from tortie.resources.problems import Problems
from tortie.resources.values import enum, text

ORCHESTRATOR = "projectcalico.org/orchestrator == 'k8s'"
"""What every selector of pods asks for: no host endpoint and no network set is a pod."""
_WITH_VALUES, _WITHOUT_VALUES = {"In": "in", "NotIn": "not in"}, {"Exists": "has", "DoesNotExist": "! has"}


UNCONVERTIBLE = (msgspec.ValidationError, InvalidSelector, InvalidAddress, Meaningless)
"""What a rule that cannot be converted raises."""


class RequirementShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of `matchExpressions`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelectorShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A label selector; an empty one selects everything."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[RequirementShape, ...] = ()


# ---- reading


@decoder(type="string")
def _label_key(node: Node, path: str, problems: Problems) -> Json | Missing:
    value = text(node, path, problems)
    if isinstance(value, str) and isinstance(node, Scalar):
        check_label_key(node, path, problems)
    return value


def _check_requirement(scope: Scope, value: dict[str, Json]) -> None:
    operator = value.get("operator")
    if operator in _WITH_VALUES and "values" not in value and not scope.concern("values"):
        scope.report("TT1322", (), f"{operator} without values", remedy="add values: with at least one")
    if operator in _WITHOUT_VALUES and "values" in value:
        scope.report("TT1322", ("values",), f"{operator} takes no values", remedy="remove values")


_requirement = object_of(
    {
        "key": Field(_label_key, "The label.", is_required=True),
        "operator": Field(
            enum(*_WITH_VALUES, *_WITHOUT_VALUES), "How the label is compared with the values.", is_required=True
        ),
        "values": Field(list_of(label_value), "What the label's value is, or is not, one of."),
    },
    _check_requirement,
    [
        Law(
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            "In and NotIn need values",
        ),
        Law(
            "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
            "Exists and DoesNotExist take no values",
        ),
    ],
)


def _check_length(scope: Scope, value: dict[str, Json]) -> None:
    try:
        length = len(_terms_text(msgspec.convert(value, LabelSelectorShape), ORCHESTRATOR))
    except (Meaningless, msgspec.ValidationError):
        return  # what is wrong with it was said
    if length > MAX_LENGTH:
        expected = f"at most {MAX_LENGTH} as an expression"
        scope.report(
            "TT1110",
            (),
            "selector is too long",
            found=f"{length} characters",
            expected=expected,
            remedy="select by fewer labels or values",
        )


label_selector: Decoder = object_of(
    {
        "matchLabels": Field(labels, "Labels with the values that they must have, all of them."),
        "matchExpressions": Field(list_of(_requirement), "Further conditions on labels, all of which must hold."),
    },
    _check_length,
)
"""Decoder of a label selector; an empty one is kept, as it selects everything."""


# ---- converting


def pod_selector(selector: LabelSelectorShape | None) -> str:
    """The expression for pods; None stands for all of them. Raises: Meaningless."""
    return _terms_text(selector or LabelSelectorShape(), ORCHESTRATOR)


def namespace_selector(selector: LabelSelectorShape | None) -> str:
    """The expression for namespaces: empty for None, everything for an empty selector. Raises: Meaningless."""
    return "" if selector is None else _terms_text(selector) or "all()"


def _terms_text(selector: LabelSelectorShape, *first: str) -> str:
    terms = [*first]
    terms += [f"{_checked(key)} == {_quoted(value)}" for key, value in sorted(selector.match_labels.items())]
    for each in selector.match_expressions:
        key = _checked(each.key)
        if each.operator in _WITH_VALUES and each.values:
            terms.append(f"{key} {_WITH_VALUES[each.operator]} {{ {', '.join(map(_quoted, each.values))} }}")
        elif each.operator in _WITHOUT_VALUES and not each.values:
            terms.append(f"{_WITHOUT_VALUES[each.operator]}({key})")
        else:
            raise Meaningless(f"matchExpressions of {each.key}: {each.operator} with {len(each.values)} values")
    return " && ".join(terms)


def _checked(key: str) -> str:
    if not is_qualified(key):
        raise Meaningless(f"{key!r} is no label")
    return key


def _quoted(value: str) -> str:
    if "'" in value:
        raise Meaningless(f"the label value {value!r} holds quotes")
    return f"'{value}'"


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ports as ascending ranges with gaps between them."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def span(first: int, last: int) -> Json:
    """The ports as rules write them."""
    return first if first == last else f"{first}:{last}"


def exactly_one(*keys: str) -> str:
    """A law: one of these fields is there, and no other."""
    return " + ".join(f"(has(self.{key}) ? 1 : 0)" for key in keys) + " == 1"


def check_exactly_one(scope: Scope, keys: tuple[str, ...], what: str) -> None:
    """Note that none or several of the fields are there."""
    given = [key for key in keys if scope.has(key)]
    if len(given) != 1 and not scope.concern():
        words = f"{', '.join(keys[:-1])} and {keys[-1]}"
        found = ", ".join(given) or "none of them"
        scope.report("TT1323", (), f"{what} is exactly one of {words}", found=found, remedy="write one of them")


def selector_cell(key: str) -> Callable[[Resource], str]:
    """Cell of a label selector of the specification, as an expression."""

    def cell(resource: Resource) -> str:
        try:
            return _terms_text(msgspec.convert(resource.spec.get(key, {}), LabelSelectorShape))
        except (Meaningless, msgspec.ValidationError):
            return "<invalid>"

    return cell


def rule_of(value: object) -> dict[str, object]:
    """The rule of a stored document, whose parts are checked as they are converted. Raises: Meaningless."""
    if not isinstance(value, dict):
        raise Meaningless("a rule that is no mapping")
    return value
