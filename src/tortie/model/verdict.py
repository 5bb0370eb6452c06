"""Outcome of a stage for one packet, why, and the rules considered on the way."""

from dataclasses import dataclass
from enum import Enum

from tortie.model.policy import PolicyKey, Stage


class Verdict(Enum):
    """Outcome of the untracked stage: Allow (conntrack bypassed), Deny, or on to the tracked stages."""

    ALLOW = "allow"
    DENY = "deny"
    CONTINUE = "continue"


class Reason(Enum):
    """Why. The names are those of `enum reason` in bpf/include/tortie/reasons.h in lower case; a test compares them."""

    NOT_IP = "not_ip"
    MALFORMED = "malformed"
    FAILSAFE = "failsafe"
    ESSENTIAL_ICMPV6 = "essential_icmpv6"
    NO_MATCH = "no_match"
    FRAGMENT = "fragment"
    VLAN = "vlan"
    NO_METADATA = "no_metadata"
    TABLE = "table"
    LOG_LOST = "log_lost"
    POLICY = "policy"
    NO_ENDPOINT = "no_endpoint"


@dataclass(frozen=True, slots=True)
class RuleRef:
    """One rule of a policy: index is 0-based within its direction."""

    tier: str
    policy: PolicyKey
    index: int


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that was met, and what it did: log, pass, allow, deny, or unknown for want of ports."""

    rule: RuleRef
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A verdict with its explanation. `rule` is the deciding rule, None where no rule decided."""

    verdict: Verdict
    reason: Reason
    stage: Stage
    rule: RuleRef | None = None
    steps: tuple[Step, ...] = ()
