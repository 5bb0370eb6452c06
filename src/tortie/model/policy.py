"""Policies, tiers and profiles, and the class of a policy: where in the packet's path it acts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from tortie.model.names import DEFAULT_ALLOW as DEFAULT_ALLOW
from tortie.model.names import DEFAULT_TIER as DEFAULT_TIER
from tortie.model.packet import Direction
from tortie.model.rule import Rule
from tortie.model.selector import Selector


class PolicyKey(NamedTuple):
    """Identity of a policy; namespace is empty for global kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}({self.namespace}/{self.name})" if self.namespace else f"{self.kind}({self.name})"

    @property
    def order_text(self) -> str:
        """`name/namespace/kind`, the tie-breaker between policies of one order (semantics.md)."""
        return f"{self.name}/{self.namespace}/{self.kind}"


class Stage(Enum):
    """The four classes of policy, in the order in which an arriving packet meets them."""

    UNTRACKED = "untracked"
    PRE_DNAT = "preDNAT"
    FORWARD = "forward"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as dataplanes see it. `order` None is last. `reason_refused`: a part no packet dataplane enforces.

    `remarks`: what its author has to be told of it, such as rules that could not be taken over.
    """

    key: PolicyKey
    tier: str
    order: float | None
    selector: Selector
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    governs: frozenset[Direction] = frozenset(Direction)
    do_not_track: bool = False
    pre_dnat: bool = False
    apply_on_forward: bool = False
    needed_everywhere: bool = False
    reason_refused: str | None = None
    remarks: tuple[str, ...] = ()

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules of that direction; none if the policy does not govern it."""
        if direction not in self.governs:
            return ()
        return self.ingress if direction is Direction.INGRESS else self.egress

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The classes this policy is in (dataplane-policy.md A.1); doNotTrack is tested before preDNAT."""
        if self.do_not_track:
            return (Stage.UNTRACKED,)
        if self.pre_dnat:
            return (Stage.PRE_DNAT,)
        return (Stage.NORMAL, Stage.FORWARD) if self.apply_on_forward else (Stage.NORMAL,)


class TierAction(Enum):
    """What the end of a tier does with a packet that nothing in it decided."""

    DENY = "Deny"
    PASS = "Pass"


@dataclass(frozen=True, slots=True)
class Tier:
    """An ordered group of policies."""

    name: str
    order: float = 1_000_000.0
    default_action: TierAction = TierAction.DENY


@dataclass(frozen=True, slots=True)
class Profile:
    """Fallback rules and labels per endpoint (normal class only). `reason_refused`: as of a policy."""

    name: str
    labels_to_apply: Mapping[str, str] = field(default_factory=dict)
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()
    reason_refused: str | None = None

    def rules(self, direction: Direction) -> tuple[Rule, ...]:
        """The rules of that direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress
