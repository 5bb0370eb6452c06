"""GlobalNetworkPolicy: rules for every endpoint that a selector names.

Source: reference resources.md section 8.1.
"""

import re

from tortie.model.names import DEFAULT_TIER, Direction
from tortie.resources.fields import Field, Scope, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, meaning, order_cell, spec_cell
from tortie.resources.nodes import Sequence
from tortie.resources.rules import RuleContext, rules_of
from tortie.resources.values import enum, flag, name, number, selector

TIER_LABEL = "projectcalico.org/tier"
_NAME = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


def _check_name(name: str) -> str | None:
    return None if _NAME.match(name) else "the name of a policy has at most one dot"


def _complete(draft: Draft) -> None:
    spec, problems = draft.spec, draft.problems
    if not problems.concern("spec.tier"):
        tier = spec.setdefault("tier", DEFAULT_TIER)
        labels = draft.metadata.setdefault("labels", {})
        if isinstance(labels, dict):
            labels[TIER_LABEL] = tier
    _check_flags(Scope(draft.spec_node, "spec", problems), draft)
    if "types" not in spec:
        types: list[str] = ["Egress"] if "egress" in spec and "ingress" not in spec else ["Ingress"]
        if "egress" in spec and "ingress" in spec:
            types.append("Egress")
        spec["types"] = [*types]


def _check_flags(scope: Scope, draft: Draft) -> None:
    spec = draft.spec
    untracked, pre_dnat = spec.get("doNotTrack") is True, spec.get("preDNAT") is True
    if untracked and pre_dnat:
        message = "preDNAT and doNotTrack cannot both be true"
        scope.report("TT1316", ("preDNAT",), message, remedy="remove one of them")
    if pre_dnat:
        egress = scope.node.get("egress")
        if isinstance(egress, Sequence) and egress.items:
            message = "preDNAT policy cannot have any egress rules"
            scope.report("TT1316", ("egress",), message, remedy="remove egress")
        types = spec.get("types")
        if isinstance(types, list) and "Egress" in types:
            message = "preDNAT policy cannot have 'Egress' type"
            scope.report("TT1316", ("types",), message, remedy="write types: [Ingress]")
    if (untracked or pre_dnat) and spec.get("applyOnForward") is not True and not scope.concern("applyOnForward"):
        key = "applyOnForward" if scope.has("applyOnForward") else "doNotTrack" if untracked else "preDNAT"
        message = "applyOnForward must be true if either preDNAT or doNotTrack is true"
        scope.report("TT1316", (key,), message, remedy="add applyOnForward: true")


_selector = Field(selector(is_global_refused=True))
_TIER = Column("TIER", spec_cell("tier"))
KIND = Kind(
    name="GlobalNetworkPolicy",
    plural="globalnetworkpolicies",
    aliases=("globalnetworkpolicy", "gnp", "gnps", "cgnp"),
    check_name=_check_name,
    fields={
        "tier": Field(name),
        "order": Field(number),
        "selector": _selector,
        "namespaceSelector": _selector,
        "serviceAccountSelector": _selector,
        "types": Field(list_of(enum("Ingress", "Egress"), limit=2, identity=lambda value: value)),
        "ingress": Field(rules_of(RuleContext(Direction.INGRESS))),
        "egress": Field(rules_of(RuleContext(Direction.EGRESS))),
        "doNotTrack": Field(flag),
        "preDNAT": Field(flag),
        "applyOnForward": Field(flag),
        "performanceHints": Field(list_of(enum("AssumeNeededOnEveryNode"), identity=lambda value: value)),
    },
    complete=_complete,
    lower=meaning("globalnetworkpolicy"),
    columns=(NAME, _TIER),
    wide=(NAME, _TIER, Column("ORDER", order_cell), Column("SELECTOR", spec_cell("selector"))),
)
