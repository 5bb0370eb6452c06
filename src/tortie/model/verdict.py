"""Outcome of a stage for one packet, why, and the rules considered on the way."""

from dataclasses import dataclass
from enum import Enum

from tortie.model.policy import PolicyKey, Stage


class Verdict(Enum):
    """Allow, Deny; or continue: a stage has nothing to say, and the next one is asked."""

    ALLOW = "allow"
    DENY = "deny"
    CONTINUE = "continue"


class Reason(Enum):
    """Why. Those that programs count are `enum reason` in bpf/include/tortie/reasons.h; a test compares them."""

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
    FORWARDED = "forwarded"
    ESTABLISHED = "established"
    RELATED = "related"
    INVALID = "invalid"
    UNSTORED = "unstored"
    SOURCE_ROUTE = "source_route"
    IPV6_EXT = "ipv6_ext"
    MARTIAN = "martian"
    ANSWER = "answer"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    ANSWER_LIMIT = "answer_limit"
    POLICY = "policy"
    TIER_END = "tier_end"
    PROFILE = "profile"
    NO_PROFILE = "no_profile"
    DEFAULT_DENY = "default_deny"
    NO_ENDPOINT = "no_endpoint"
    TO_HOST = "to_host"
    UNKNOWN_WORKLOAD = "unknown_workload"


@dataclass(frozen=True, slots=True)
class RuleRef:
    """One rule: index is 0-based within its direction.

    What decides without being a rule has a reference too, with the index END: the end of a tier (kind Tier), a profile
    that ends or does not exist (kind Profile), and the default deny of an endpoint (kind HostEndpoint or
    WorkloadEndpoint). Profiles are in no tier.
    """

    tier: str
    policy: PolicyKey
    index: int

    @property
    def reason(self) -> "Reason":
        """Why a packet that this decided got its verdict."""
        match self.policy.kind:
            case "Tier":
                return Reason.TIER_END
            case "Profile":
                return Reason.NO_PROFILE if self.index == END else Reason.PROFILE
            case "HostEndpoint" | "WorkloadEndpoint":
                return Reason.DEFAULT_DENY
            case _:
                return Reason.POLICY


END = -1
"""Index of what comes after the last rule."""


def tier_end(tier: str) -> RuleRef:
    """The end of a tier, which denies."""
    return RuleRef(tier, PolicyKey("Tier", "", tier), END)


def missing_profile(name: str) -> RuleRef:
    """A profile that an endpoint lists and that does not exist."""
    return RuleRef("", PolicyKey("Profile", "", name), END)


def default_deny(endpoint: str, *, is_workload: bool = False) -> RuleRef:
    """What an endpoint does with a packet that no policy and no profile decided. A workload's name has a namespace."""
    if not is_workload:
        return RuleRef("", PolicyKey("HostEndpoint", "", endpoint), END)
    namespace, _, name = endpoint.rpartition("/")
    return RuleRef("", PolicyKey("WorkloadEndpoint", namespace, name), END)


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that was met, and what it did: log, pass, allow or deny.

    For people who ask for everything also: "no match", and the end of a tier or profile that lets go, "continue".
    """

    rule: RuleRef
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A verdict with its explanation. `rule` is what decided (RuleRef), None where a reason alone did.

    `stage` is the one that decided; `steps` are the rules met on the way, those of earlier stages included.
    `is_tracked`: whether an allowed packet is one of connection tracking's.
    """

    verdict: Verdict
    reason: Reason
    stage: Stage
    rule: RuleRef | None = None
    steps: tuple[Step, ...] = ()
    is_tracked: bool = True
