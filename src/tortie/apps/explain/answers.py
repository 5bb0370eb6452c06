"""The JSON of `tortie explain`: what the agent's API and the command line exchange."""

from typing import TypedDict

from tortie.apps.answers import LabelAnswer, SourceText


class ExplainQuery(TypedDict):
    """`subject`: port, host, policy or endpoint, and which. `node` None: that of whoever answers, or where the
    endpoint is. The rest as in a TraceQuery."""

    subject: str
    name: str
    namespace: str
    node: str | None
    revision: int | None
    at: str | None
    files: list[SourceText]


class NetsAnswer(TypedDict):
    """Addresses as the fewest networks. `nets`: the first of them, `count` all.

    `is_everyone`: every address in question; `is_rest`: all but those of the other rows, and most of them.
    """

    nets: list[str]
    count: int
    is_everyone: bool
    is_rest: bool


class SelectionAnswer(TypedDict):
    """What a selector (or a service, or a named port) of a rule stands for now: endpoints and network sets by name.

    `field`: of the rule. `networks`: how many members its set has; null where the set is not active on this node.
    """

    field: str
    selector: str
    things: list[str]
    networks: int | None


class OutcomeAnswer(TypedDict):
    """Packets that get one verdict for one reason.

    `rule` null: what decides without being one; `policy` empty: the reason alone decides. `remotes`: the other end's
    addresses, `nears` this end's; `ports`: destination ports. Null where all in question are meant. Rows are in order:
    the first that fits a packet is its own. `is_partial`: but for this one, which has only some of what it names.
    """

    verdict: str
    stage: str
    is_tracked: bool
    is_rejected: bool
    reason: str
    because: str
    tier: str
    policy: str
    rule: int | None
    origin: str
    protocols: list[str] | None
    ports: list[str] | None
    source_ports: list[str] | None
    remotes: NetsAnswer
    nears: NetsAnswer | None
    is_partial: bool
    selections: list[SelectionAnswer]


class UseAnswer(TypedDict):
    """A rule in its place. `taken_by`: where it never matches, what has its packets; empty: it contradicts itself.

    `hits`: packets that met it, since the agent started; null where no agent could be asked.
    """

    tier: str
    policy: str
    rule: int | None
    words: str
    origin: str
    never_matches: bool
    taken_by: list[str]
    hits: int | None


class PathAnswer(TypedDict):
    """What packets on one path through an endpoint get: `to_host`, `from_host`, `forward_in`, `forward_out`,
    `to_workload` or `from_workload`. `port`: what was asked about, such as `tcp/5432`; empty: everything."""

    path: str
    port: str
    outcomes: list[OutcomeAnswer]
    never: list[UseAnswer]


class TierAnswer(TypedDict):
    """A tier, a profile, or the endpoint's default. `end`: what becomes of a packet that nothing in it decided."""

    name: str
    rules: list[UseAnswer]
    end: str


class ClassAnswer(TypedDict):
    """A class of policy that holds at an endpoint in one direction, in the order in which packets meet it.

    `failsafes`: the ports that it is not asked about.
    """

    stage: str
    direction: str
    failsafes: list[str]
    tiers: list[TierAnswer]


class EndpointExplained(TypedDict):
    """An endpoint (`kind` empty: an interface without one) with what holds on it and what packets get there."""

    kind: str
    name: str
    interface: str
    addresses: list[str]
    is_wildcard: bool
    labels: dict[str, LabelAnswer]
    profiles: list[str]
    problem: str | None
    classes: list[ClassAnswer]
    paths: list[PathAnswer]


class SelectedEndpoint(TypedDict):
    """An endpoint that a policy selects. `why`: the labels that the selector asks about; `governs`: where, on the
    node that was asked about."""

    name: str
    node: str
    why: dict[str, LabelAnswer]
    interfaces: list[str]


class PlacedRule(TypedDict):
    """A rule of a policy. `use`: `meets` packets somewhere on this node, `never` does, or is `idle`: the policy selects
    nothing here. `taken_by`: by endpoint, what has its packets. `example`: a packet that it meets."""

    direction: str
    rule: int
    words: str
    origin: str
    hits: int | None
    use: str
    taken_by: dict[str, list[str]]
    example: str | None
    selections: list[SelectionAnswer]


class PolicyExplained(TypedDict):
    """A policy: what it selects, its place in its tier, and its rules."""

    policy: str
    tier: str
    order: float | None
    selector: str
    classes: list[str]
    directions: list[str]
    before: list[str]
    after: list[str]
    selects: list[SelectedEndpoint]
    rules: list[PlacedRule]


class ExplainAnswer(TypedDict):
    """The answer to an ExplainQuery; `policies` for a policy, `endpoints` for all others."""

    subject: str
    name: str
    node: str
    revision: int | None
    notes: list[str]
    endpoints: list[EndpointExplained]
    policies: list[PolicyExplained]
