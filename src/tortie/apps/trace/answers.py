"""The JSON of `tortie trace`: what the agent's API and the command line exchange."""

from typing import TypedDict

from tortie.apps.answers import SourceText


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
    is_rejected: bool


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
