"""The JSON of `tortie status` and `tortie counters`: what the agent's API and the command line exchange."""

from typing import TypedDict

from tortie.apps.answers import EnforcedAnswer


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
    netfilter: int
    none: int


class DataplaneFindingAnswer(TypedDict):
    """Whether this host can have a dataplane, and the evidence in words."""

    name: str
    can_be_had: bool
    why: str


class DataplaneAnswer(TypedDict):
    """What enforces, `because` of what, where the agent was `asked` for that. `leaving`: what still enforces beside it.

    `found` is in order of preference. `problem`: why it is not what is wanted, else empty.
    """

    name: str
    because: str
    asked: str
    found: list[DataplaneFindingAnswer]
    leaving: list[str]
    problem: str


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


class TellingAnswer(TypedDict):
    """Denials that are to be answered: those whose sender was told; those of packets about which nobody may be told, or
    could be; those beyond the limit of ICMP errors.
    """

    answered: int
    unanswered: int
    limited: int


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
    dataplane: DataplaneAnswer
    datastore_revision: int
    datastore_problem: str | None
    enforced: EnforcedAnswer
    last_change: LastChangeAnswer | None
    drift: DriftAnswer
    connections: ConnectionsAnswer | None
    policies: list[PolicyHitsAnswer]
    drops: list[DropAnswer]
    rejects: TellingAnswer
    counters: CountersAnswer
    warnings: list[str]
    notes: list[str]
