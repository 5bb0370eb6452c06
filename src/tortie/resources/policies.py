"""What the kinds of Calico policy have in common: fields, names, checks, defaults and tables.

A staged kind has the fields of the enforced one and `stagedAction`, and is checked the same way. What policies mean is
in `policylowering.py`.
Source: reference resources.md sections 8.1 to 8.3.
"""

import re
from collections.abc import Sequence

from tortie.model.names import DEFAULT_TIER, Direction
from tortie.resources.fields import Field, Fields, Json, Law, Scope, list_of
from tortie.resources.kind import NAME, Column, Draft, order_cell, spec_cell, spec_law
from tortie.resources.nodes import Sequence as SequenceNode
from tortie.resources.rulefields import RuleContext
from tortie.resources.rules import rules_of
from tortie.resources.staging import ACTION, STAGED_ACTION, check_deletion, deletion_law, is_deletion
from tortie.resources.values import enum, flag, name, number, selector

TIER_LABEL = "projectcalico.org/tier"
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_GLOBAL_FORM = rf"({_LABEL}\.)?{_LABEL}"
_NAMESPACED_FORM = rf"({_LABEL}\.)?{_LABEL}|(knp|ossg)\.default\.{_LABEL}(\.{_LABEL})*"
_GLOBAL_WRONG = "the name of a policy has at most one dot"
_NAMESPACED_WRONG = f"{_GLOBAL_WRONG}, unless it begins with knp.default. or ossg.default."


def check_global_name(name: str) -> str | None:
    """What is wrong with the name of a policy without a namespace."""
    return None if re.fullmatch(_GLOBAL_FORM, name) else _GLOBAL_WRONG


def check_namespaced_name(name: str) -> str | None:
    """What is wrong with the name of a policy with a namespace."""
    return None if re.fullmatch(_NAMESPACED_FORM, name) else _NAMESPACED_WRONG


def _name_law(form: str, message: str) -> Law:
    # a raw string, as a CEL string would take the backslashes
    return Law(f"self.metadata.name.matches(r'^({form})$')", message)


NAMESPACED_LAW = _name_law(_NAMESPACED_FORM, _NAMESPACED_WRONG)


# ---- fields

_selector = selector(is_global_refused=True)


def _common_fields(*, is_namespaced: bool) -> Fields:
    ingress = RuleContext(direction=Direction.INGRESS, is_namespaced=is_namespaced)
    egress = RuleContext(direction=Direction.EGRESS, is_namespaced=is_namespaced)
    everything = "every workload of the namespace" if is_namespaced else "every endpoint"
    return {
        "tier": Field(name, "The tier that the policy is in; it must exist.", default=DEFAULT_TIER),
        "order": Field(number, "Where the policy stands in its tier: smaller orders come first, none is last."),
        "selector": Field(_selector, f"Selects the endpoints that the policy applies to; {everything} if absent."),
        "serviceAccountSelector": Field(
            _selector, "Narrows the policy to workloads that run as service accounts with such labels."
        ),
        "types": Field(
            list_of(enum("Ingress", "Egress"), limit=2, identity=lambda value: value),
            "The directions that the policy governs; by default those that have rules, Ingress if there are none.",
        ),
        "ingress": Field(
            rules_of(ingress), "Rules for traffic to the endpoints, in order; the first one that matches decides."
        ),
        "egress": Field(
            rules_of(egress), "Rules for traffic from the endpoints, in order; the first one that matches decides."
        ),
        "performanceHints": Field(
            list_of(enum("AssumeNeededOnEveryNode"), identity=lambda value: value),
            "What may make changes faster; nothing that is enforced depends on it.",
        ),
    }


NAMESPACED_FIELDS: Fields = _common_fields(is_namespaced=True)
GLOBAL_FIELDS: Fields = {
    **_common_fields(is_namespaced=False),
    "namespaceSelector": Field(_selector, "Narrows the policy to workloads of namespaces with such labels."),
    "doNotTrack": Field(
        flag, "Decides before connection tracking, about every packet by itself; needs `applyOnForward`."
    ),
    "preDNAT": Field(
        flag, "Decides before destination addresses are translated; ingress only, needs `applyOnForward`."
    ),
    "applyOnForward": Field(flag, "Applies to traffic that the host forwards, not only to that of its own processes."),
}


def staged(fields: Fields) -> Fields:
    """The fields of the staged kind."""
    return {ACTION: STAGED_ACTION, **fields}


# ---- checks and defaults

_BOTH = "preDNAT and doNotTrack cannot both be true"
_NO_EGRESS = "preDNAT policy cannot have any egress rules"
_NO_EGRESS_TYPE = "preDNAT policy cannot have 'Egress' type"
NEEDS_FORWARD = "applyOnForward must be true if either preDNAT or doNotTrack is true"
_DELETION = "Spec fields, except Tier, should all be zero-value if stagedAction is Delete"


def _is_set(key: str) -> str:
    return f"(has(spec.{key}) && spec.{key})"


GLOBAL_LAWS = (
    _name_law(_GLOBAL_FORM, _GLOBAL_WRONG),
    spec_law(f"!({_is_set('doNotTrack')} && {_is_set('preDNAT')})", _BOTH),
    spec_law(f"!({_is_set('preDNAT')} && has(spec.egress) && size(spec.egress) > 0)", _NO_EGRESS),
    spec_law(f"!({_is_set('preDNAT')} && has(spec.types) && 'Egress' in spec.types)", _NO_EGRESS_TYPE),
    spec_law(f"!({_is_set('doNotTrack')} || {_is_set('preDNAT')}) || {_is_set('applyOnForward')}", NEEDS_FORWARD),
)
_SELECTORS = ("selector", "serviceAccountSelector")
_GLOBAL_PARTS = [_is_set(key) for key in ("doNotTrack", "preDNAT", "applyOnForward")]


def _deletion_law(selectors: Sequence[str], parts: Sequence[str]) -> Law:
    lists = [f"has(spec.{key})" for key in ("order", "ingress", "egress", "performanceHints")]
    texts = [f"(has(spec.{key}) && spec.{key} != '')" for key in selectors]
    types = "(has(spec.types) && size(spec.types) > 0)"
    return deletion_law([*lists, *texts, types, *parts], _DELETION)


DELETION_LAW = _deletion_law(_SELECTORS, ())
GLOBAL_DELETION_LAW = _deletion_law((*_SELECTORS, "namespaceSelector"), _GLOBAL_PARTS)


def complete(draft: Draft) -> None:
    """Check across the fields, and put the defaults in place that depend on others."""
    _label_with_tier(draft)
    _check_flags(Scope(draft.spec_node, "spec", draft.problems), draft)
    spec = draft.spec
    if "types" not in spec:
        types: list[Json] = ["Egress"] if "egress" in spec and "ingress" not in spec else ["Ingress"]
        if "egress" in spec and "ingress" in spec:
            types.append("Egress")
        spec["types"] = types


def complete_staged(draft: Draft) -> None:
    """The same for a staged policy; a deletion says nothing but what it deletes."""
    if is_deletion(draft.spec):
        _label_with_tier(draft)
        check_deletion(draft, ("tier",), "types", _DELETION)
    else:
        complete(draft)


def _label_with_tier(draft: Draft) -> None:
    if not draft.problems.concern("spec.tier"):
        labels = draft.metadata.setdefault("labels", {})
        if isinstance(labels, dict):
            labels[TIER_LABEL] = draft.spec["tier"]


def _check_flags(scope: Scope, draft: Draft) -> None:
    """The flags of global policy; a kind without them has none of these."""
    spec = draft.spec
    untracked, pre_dnat = spec.get("doNotTrack") is True, spec.get("preDNAT") is True
    if untracked and pre_dnat:
        scope.report("TT1316", ("preDNAT",), _BOTH, remedy="remove one of them")
    if pre_dnat:
        egress = scope.node.get("egress")
        if isinstance(egress, SequenceNode) and egress.items:
            scope.report("TT1316", ("egress",), _NO_EGRESS, remedy="remove egress")
        types = spec.get("types")
        if isinstance(types, list) and "Egress" in types:
            scope.report("TT1316", ("types",), _NO_EGRESS_TYPE, remedy="write types: [Ingress]")
    if (untracked or pre_dnat) and spec.get("applyOnForward") is not True and not scope.concern("applyOnForward"):
        key = "applyOnForward" if scope.has("applyOnForward") else "doNotTrack" if untracked else "preDNAT"
        scope.report("TT1316", (key,), NEEDS_FORWARD, remedy="add applyOnForward: true")


# ---- tables

_TIER = Column("TIER", spec_cell("tier"))
COLUMNS = (NAME, _TIER)
WIDE = (NAME, _TIER, Column("ORDER", order_cell), Column("SELECTOR", spec_cell("selector")))
