"""The JSON that the agent's API and the command line exchange: one type for each answer, and nothing else.

Both sides are checked against these types. The command line builds the same answers itself when it works on a datastore
file, so that what it prints does not depend on who answered. Here is what verbs, selectors and settings say; status and
counters are in `agent/answers.py`, and `trace`, `explain` and `policyassert` have such a file, too.
"""

from typing import NotRequired, TypedDict

Document = dict[str, object]
"""A resource as JSON: apiVersion, kind, metadata, spec."""


class SourceText(TypedDict):
    """A file as the user named it and its text; bytes that are no UTF-8 travel as surrogate escapes."""

    source: str
    text: str


class ProblemAnswer(TypedDict):
    """One thing wrong with a document, with its place; `text` is the whole sentence for people."""

    code: str
    source: str
    line: int
    column: int
    path: str
    text: str


class ErrorBody(TypedDict):
    """`code` is a `failure.Code`; problems only for invalid documents."""

    code: str
    message: str
    problems: list[ProblemAnswer]


class ErrorAnswer(TypedDict):
    """Any request that failed."""

    error: ErrorBody


class Named(TypedDict):
    """A resource by its name; `namespace` is empty where it has none."""

    kind: str
    namespace: str
    name: str


class Change(Named):
    """What became of one document: created, configured, unchanged, deleted, or absent before already.

    `before` and `after`, where they were asked for: the document as it was and as it is; null where there is none.
    """

    action: str
    before: NotRequired[Document | None]
    after: NotRequired[Document | None]


class InterfaceAnswer(TypedDict):
    """What is enforced on one interface; `refused`: why its newest policy is not.

    `xdp`: what the endpoint or the settings ask for; `unmet`: what is wrong where that cannot be had, else empty.
    `table_bytes`: memory of its tables, which other interfaces may share; 0 where rules are netfilter's.
    """

    interface: str
    endpoint: str
    acceleration: str
    reason: str
    program_id: int | None
    program_name: str | None
    refused: list[str]
    is_enforced: bool
    backend: str
    xdp: str
    unmet: str
    table_bytes: int


class EndpointAnswer(TypedDict):
    """A host endpoint of this node, the interfaces that it governs, and what is wrong with it."""

    endpoint: str
    interfaces: list[str]
    problem: str | None


class EnforcedAnswer(TypedDict):
    """What the dataplane made of a revision. `revision` 0: nothing was programmed yet.

    `policies` and `invalid` are problems by document; an invalid one counts as absent.
    `refused` and `failed` go from interface (or `dataplane`) to reasons; either one non-empty means: not enforced.
    Units: `apply_ms` is the driver's time, `wait_ms` what the caller waited for it after the commit.
    """

    node: str
    revision: int
    is_current: bool
    refused: dict[str, list[str]]
    failed: dict[str, str]
    interfaces: list[InterfaceAnswer]
    endpoints: list[EndpointAnswer]
    policies: dict[str, str]
    invalid: dict[str, str]
    apply_ms: float
    wait_ms: float


class WriteAnswer(TypedDict):
    """Result of an apply or a delete. `enforced` has one entry for each agent that was waited for.

    `forgotten`: established connections that have to be allowed anew; `kept_because`: why some, or all of them, were
    not judged although the caller asked for it.
    """

    revision: int
    is_dry_run: bool
    changes: list[Change]
    warnings: list[str]
    enforced: list[EnforcedAnswer]
    forgotten: int
    kept_because: str | None


class Table(TypedDict):
    """Heading and rows of the objects of one kind."""

    heading: list[str]
    rows: list[list[str]]


class GetAnswer(TypedDict):
    """The objects that were asked for, in order; `missing` are names that do not exist.

    `word` is what their documents have as `kind`. `damaged`: name -> why, of those that are stored and cannot be
    decoded. A name is `namespace/name` for kinds that have namespaces.
    """

    kind: str
    api_version: str
    word: str
    revision: int
    items: list[Document]
    table: Table
    missing: list[str]
    damaged: dict[str, str]


class RevisionAnswer(TypedDict):
    """The datastore's newest revision."""

    revision: int


class RelationAnswer(TypedDict):
    """What a resource has to do with others: a title, and the others in order."""

    title: str
    things: list[str]


class DescriptionAnswer(TypedDict):
    """A resource with what it selects, what selects it, and what is wrong with it."""

    document: Document
    relations: list[RelationAnswer]
    warnings: list[str]


class DescribeAnswer(TypedDict):
    """Descriptions of the resources that were asked for; the rest as in GetAnswer."""

    kind: str
    items: list[DescriptionAnswer]
    missing: list[str]
    damaged: dict[str, str]


class LabelAnswer(TypedDict):
    """A label as selectors see it; `profile`: from which it is inherited, null for one of its own."""

    value: str
    profile: str | None


class SelectedAnswer(Named):
    """An endpoint or network set; `why_not`: the terms that fail, with what they found. Empty where it matches."""

    labels: dict[str, LabelAnswer]
    why_not: list[str]


class SelectorAnswer(TypedDict):
    """What a selector matches. `damaged`: document -> why, of those that are stored and cannot be decoded."""

    selector: str
    id: str
    matches: list[SelectedAnswer]
    others: list[SelectedAnswer]
    hints: list[str]
    damaged: dict[str, str]


class VersionAnswer(TypedDict):
    """The agent's version."""

    version: str
    node: str


class SayingAnswer(TypedDict):
    """What one source says of a parameter: `text` as it stands there, `value` as it counts.

    `state`: `wins`, `overridden` by a stronger one, `ignored`, or `elsewhere`, in a document that is not for the node.
    `problem`: why it does not count, or not as it was said.
    """

    source: str
    place: str
    text: str
    value: str
    state: str
    problem: str


class SettingAnswer(TypedDict):
    """A parameter: its value and where that is from (`default` and no place: nobody said anything), and what it is.

    `form`: what values look like. `is_fatal`: an agent does not start with a value that it cannot read, else the
    default holds. `is_local`: documents cannot set it. `said`: strongest first.
    """

    name: str
    field: str
    annotation: str
    value: str
    source: str
    place: str
    default: str
    form: str
    doc: str
    is_used: bool
    is_local: bool
    is_fatal: bool
    may_be_none: bool
    said: list[SayingAnswer]


class UnknownSettingAnswer(TypedDict):
    """A name that some source sets and that is no parameter."""

    name: str
    source: str
    place: str
    text: str
    hint: str


class ConfigAnswer(TypedDict):
    """Parameters as they are for one node."""

    node: str
    parameters: list[SettingAnswer]
    unknown: list[UnknownSettingAnswer]
    notes: list[str]


class ConfigQuery(TypedDict):
    """Which parameters to explain: these, else with `everything` all, else those that somebody set.

    `node` None: that of whoever answers. `files` are documents laid over those stored (a what-if).
    """

    parameters: list[str]
    everything: bool
    node: str | None
    files: list[SourceText]
