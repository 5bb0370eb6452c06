"""The JSON that the agent's API and the command line exchange: one type for each answer, and nothing else.

Both sides are checked against these types. The command line builds the same answers itself when it works on a datastore
file, so that what it prints does not depend on who answered. Typed dicts cost nothing at start-up.
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
    """What is enforced on one interface; `refused`: why its newest policy is not."""

    interface: str
    endpoint: str
    acceleration: str
    reason: str
    program_id: int | None
    program_name: str | None
    refused: list[str]
    is_enforced: bool
    backend: str


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


class RuleCountAnswer(TypedDict):
    """Packets that met a rule, or (`rule` null) what decides without being one, such as the end of a tier."""

    interface: str
    direction: str
    tier: str
    policy: str
    rule: int | None
    packets: int


class ReasonCountAnswer(TypedDict):
    """Packets that no rule decided, by reason."""

    interface: str
    direction: str
    reason: str
    packets: int


class CountersAnswer(TypedDict):
    """Every counter of the dataplane, exact."""

    rules: list[RuleCountAnswer]
    reasons: list[ReasonCountAnswer]


class AgentAnswer(TypedDict):
    """Who answers."""

    version: str
    pid: int
    node: str
    datastore: str
    socket: str
    dataplane: str
    uptime_s: float
    memory_mb: float


class ModeAnswer(TypedDict):
    """`state`: `enforcing`, `partly` or `open`; then how many interfaces with an endpoint are decided where."""

    state: str
    xdp: int
    tc: int
    none: int


class PolicyHitsAnswer(TypedDict):
    """Packets that met a policy's rules, null for a direction that it does not govern. Profiles are in no tier."""

    tier: str
    policy: str
    classes: list[str]
    ingress: int | None
    egress: int | None


class DropAnswer(TypedDict):
    """Packets dropped for one reason, on all interfaces together; `meaning` is a sentence for people."""

    reason: str
    ingress: int
    egress: int
    meaning: str


class FlowTableAnswer(TypedDict):
    """How full one table of connections is. Units: entries; the share of established ones in percent."""

    version: int
    established: int
    established_size: int
    established_percent: float
    opening: int
    opening_size: int
    opening_percent: float


class ConnectionsAnswer(TypedDict):
    """The connection table. `unstored`: how often a flow did not fit among the established ones."""

    tables: list[FlowTableAnswer]
    taken_over: int
    expired: int
    unstored: int


class LastChangeAnswer(TypedDict):
    """The last change of what is enforced: what it came from (`more` causes are not listed), and which interfaces.

    Units: `at` in UTC; `apply_ms` is the driver's time, `latency_ms` that from hearing of it until it was enforced.
    """

    revision: int
    at: str
    ago_s: float
    apply_ms: float
    latency_ms: float
    causes: list[str]
    more: int
    interfaces: list[str]
    is_complete: bool


class RepairAnswer(TypedDict):
    """What others had removed or changed and was put back, at one time."""

    at: str
    ago_s: float
    what: list[str]


class DriftAnswer(TypedDict):
    """How often something was put back since the agent started, and the latest of these times, newest first."""

    times: int
    latest: list[RepairAnswer]


class StatusAnswer(TypedDict):
    """One screen: everything a person asks first.

    `policies` are in the order in which packets meet them. `connections` null: the table cannot be read, `notes` says
    why. `last_change` null: nothing was programmed yet.
    """

    agent: AgentAnswer
    mode: ModeAnswer
    datastore_revision: int
    datastore_problem: str | None
    enforced: EnforcedAnswer
    last_change: LastChangeAnswer | None
    drift: DriftAnswer
    connections: ConnectionsAnswer | None
    policies: list[PolicyHitsAnswer]
    drops: list[DropAnswer]
    counters: CountersAnswer
    warnings: list[str]
    notes: list[str]


class StepAnswer(TypedDict):
    """A rule that the packet met, in which stage; `rule` null: what decides without being one (see RuleRef).

    `outcome`: `log`, `pass`, `allow`, `deny`; of what was only considered (not `is_met`) `no match`, and `continue` at
    the end of a tier or profile. `origin`: `file:line` or `revision N`, empty where neither is known. `why_not`: of a
    rule that does not match, the field that fails, what it asks, and what the packet has.
    """

    stage: str
    tier: str
    policy: str
    rule: int | None
    outcome: str
    origin: str
    why_not: str
    is_met: bool


class VisitAnswer(TypedDict):
    """A class of policy that the packet came to, at which interface and endpoint. `verdict` may be `continue`.

    `unmatched`: how many rules did not match; they are in `steps` where everything was asked for.
    """

    interface: str
    direction: str
    endpoint: str | None
    is_workload: bool
    stage: str
    verdict: str
    reason: str
    because: str
    steps: list[StepAnswer]
    unmatched: int


class StagedPolicyAnswer(TypedDict):
    """A staged policy: what it stages (`Set` or `Delete`), and what its rules, or those of the policy to be deleted, do
    with the packet; `not asked` where the packet does not come to them."""

    policy: str
    action: str
    outcome: str


class StagedAnswer(TypedDict):
    """What would become of the packet if every staged policy were carried out. `changes`: it is something else then."""

    verdict: str
    reason: str
    because: str
    policy: str | None
    rule: int | None
    origin: str
    is_tracked: bool
    is_rejected: bool
    changes: bool
    policies: list[StagedPolicyAnswer]


class InstalledAnswer(TypedDict):
    """What the installed program answered to the same packet. `because`: its rule or reason in a sentence."""

    verdict: str
    reason: str
    because: str
    rule: StepAnswer | None
    is_tracked: bool


class TraceAnswer(TypedDict):
    """A packet's verdict from the evaluator; `installed` None: no program to ask, `installed_note` says why.

    `relation`: what the packet was taken for, `new`, `established`, `related` or `invalid`. `because`: the rule or the
    reason in a sentence. `hint`: a mistake that this verdict gives away. `agrees` None: there is nothing to compare.
    `direction`: `ingress`, `egress` or `forward`; `leaves` null for the host itself, and where nobody knows. `visits`:
    everything that was considered, in order; `steps`: the rules of it that were met. `revision`: of the documents; null
    without a datastore. `notes`: what was chosen for the user, and what he should know. `staged` null: nothing is.
    """

    packet: str
    interface: str
    direction: str
    endpoint: str | None
    relation: str
    verdict: str
    reason: str
    because: str
    hint: str | None
    stage: str
    rule: StepAnswer | None
    is_tracked: bool
    steps: list[StepAnswer]
    installed: InstalledAnswer | None
    installed_note: str
    agrees: bool | None
    is_rejected: bool
    arrives: str | None
    leaves: str | None
    visits: list[VisitAnswer]
    node: str
    revision: int | None
    notes: list[str]
    staged: StagedAnswer | None


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


class TraceQuery(TypedDict):
    """A packet to trace, as text from the user; `files` are documents laid over those stored (a what-if).

    `flags`: letters of FSRPAU, None for those of a first packet, or of any other where the packet `is_established`.
    `relation`: what it is to the connection table, whatever its flags; None: as they say. Neither `arrives` nor
    `leaves`: the way that addresses and routes tell. `revision`, `at`: an older state of the datastore. `everything`:
    rules that do not match are told one by one.
    """

    source: str
    destination: str
    protocol: str
    source_port: int | None
    flags: str | None
    is_established: bool
    relation: str | None
    arrives: str | None
    leaves: str | None
    revision: int | None
    at: str | None
    everything: bool
    files: list[SourceText]


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


class CounterAnswer(TypedDict):
    """A packet that is not judged as was asserted. `arrives`, `leaves`: interfaces, null where the host is the end.

    `trace`: lines for people, every rule that was considered. `hint`: what could be done about it.
    """

    packet: str
    direction: str
    arrives: str | None
    leaves: str | None
    relation: str
    verdict: str
    reason: str
    rule: str | None
    hint: str
    trace: list[str]


class AssertedAnswer(TypedDict):
    """What came of one assertion. `regions`: how many regions of the space of packets were looked at.

    `vacuous`: no packet is meant by it, which counts as failed.
    """

    index: int
    line: int
    name: str
    expect: str
    passed: bool
    vacuous: bool
    regions: int
    ways: int
    counterexample: CounterAnswer | None


class AssertionsAnswer(TypedDict):
    """One file of assertions; one with an error has none."""

    file: str
    error: NotRequired[str]
    assertions: list[AssertedAnswer]
    warnings: NotRequired[list[str]]


class AssertQuery(TypedDict):
    """A file of assertions about the live host, and the files that it names: laid over what is stored (a what-if)."""

    file: SourceText
    files: list[SourceText]
