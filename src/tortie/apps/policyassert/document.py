"""A file to a PolicyAssertion: the fields of its questions, and what has to hold between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from tortie.apps.answers import SourceText
from tortie.apps.policytest.document import Form, Scenario, Spec, Unloadable, read_scenario
from tortie.apps.policytest.fields import HOST
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey
from tortie.model.rule import Rule
from tortie.model.selector import parse_selector
from tortie.model.verdict import Verdict
from tortie.resources.fields import Field, Fields, Scope, join, list_of, object_of
from tortie.resources.metadata import labels
from tortie.resources.problems import Problems
from tortie.resources.rules import packets_of
from tortie.resources.values import enum, interface, name, text

MAX_ASSERTIONS = 1000
_NOTHING = parse_selector("!all()")
_ASSERTION = packets_of(
    {
        "name": Field(text, "What is asserted, in a sentence.", is_required=True),
        "direction": Field(
            enum("ingress", "egress", "forward"),
            "Packets for this host, of its own processes, or passed on.",
            is_required=True,
        ),
        "in": Field(interface, "Where they arrive; else every interface but lo is asked about."),
        "out": Field(interface, "Where they leave; else every interface but lo is asked about."),
        "traffic": Field(
            enum("new", "established", "any"),
            "Packets that open a connection (new), those of known connections (established), or these and all others.",
            default="new",
        ),
        "unless": Field(list_of(packets_of({}), limit=100), "Packets that it is not about, in the words of rules."),
        "expect": Field(enum("allow", "deny"), "The verdict that all of these packets get.", is_required=True),
    }
)
FIELDS: Fields = {
    "apiVersion": Field(enum("tortie.io/v1"), is_required=True),
    "kind": Field(enum("PolicyAssertion"), is_required=True),
    "metadata": Field(object_of({"name": Field(name, "A word for people."), "labels": Field(labels)})),
    "host": Field(HOST, "The host that packets meet; without one, the live one is asked about."),
    "files": Field(list_of(text), "Files and folders of resources, as seen from this file."),
    "assertions": Field(list_of(_ASSERTION, limit=MAX_ASSERTIONS), "What holds for all packets.", is_required=True),
}
"""Of the whole document; `resources` beside them are documents of their own."""
FORM = Form("PolicyAssertion", FIELDS, "TT1980", "no assertion about policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One question: that all packets of `scope` which none of `unless` holds for get the verdict.

    The actions of these rules mean nothing. `arrives`, `leaves`: the interfaces that are named; None where all count.
    """

    name: str
    line: int
    direction: str
    arrives: str | None
    leaves: str | None
    traffic: str
    scope: Rule
    unless: tuple[Rule, ...]
    expects: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAssertion(Scenario):
    """A file that could be read."""

    assertions: tuple[Assertion, ...]

    @property
    def is_of_live_host(self) -> bool:
        """Whether it describes no host, so that the one with the agent is meant."""
        return "host" not in self.spec

    @property
    def asked(self) -> Policy:
        """A policy that governs nothing, with all that is asked, so that the sets which that names have members."""
        rules = tuple(rule for one in self.assertions for rule in (one.scope, *one.unless))
        key = PolicyKey(FORM.kind, "", "assertions")
        tier = "default"
        return Policy(key=key, tier=tier, order=None, selector=_NOTHING, ingress=rules, needed_everywhere=True)


def read_assertions(file: SourceText, named: list[SourceText] | None = None) -> PolicyAssertion:
    """The assertions in the file. `named`: the files that it names, where they were read already.

    Raises: Unloadable.
    """
    found = read_scenario(file, FORM, named)
    problems = Problems(found.source)
    assertions = tuple(_assertions(found, problems))
    if problems:
        raise Unloadable(problems.listed())
    return PolicyAssertion(
        source=found.source,
        spec=found.spec,
        root=found.root,
        resources=found.resources,
        texts=found.texts,
        assertions=assertions,
    )


def _assertions(scenario: Scenario, problems: Problems) -> Iterator[Assertion]:
    for number, (spec, node) in enumerate(scenario.items("assertions")):
        _check(spec, Scope(node, join("assertions", number), problems))
        yield Assertion(
            name=str(spec["name"]),
            line=node.line,
            direction=str(spec["direction"]),
            arrives=cast(str | None, spec.get("in")),
            leaves=cast(str | None, spec.get("out")),
            traffic=str(spec["traffic"]),
            scope=_rule(spec),
            unless=tuple(_rule(one) for one in cast(list[Spec], spec.get("unless", []))),
            expects=Verdict(str(spec["expect"])),
        )


def _check(spec: Spec, scope: Scope) -> None:
    """Problems of interfaces where packets of that direction have none."""
    for key, meaningless in (("out", "ingress"), ("in", "egress")):
        if key in spec and spec["direction"] == meaningless:
            remedy = "remove it, or write direction: forward"
            scope.report("TT1981", (key,), f"{key} means nothing with direction {meaningless}", remedy=remedy)


def _rule(spec: Spec) -> Rule:
    """The packets that the words of a rule mean. With a service its ports count, wherever the packets go."""
    import msgspec

    from tortie.resources.lowering import Place, lower_rule
    from tortie.resources.shapes import RuleShape

    words = {key: value for key, value in spec.items() if key in RuleShape.__struct_encode_fields__}
    return lower_rule(msgspec.convert({"action": "Allow", **words}, RuleShape), Place(Direction.EGRESS))
