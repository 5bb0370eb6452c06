"""Connections that somebody tries across a host that translates, and what the evaluator says of them.

An `Attempt` has the address that its sender names, the one that is behind translation, and the interfaces that it
crosses. `is_allowed` asks the evaluator about each of those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from random import Random

from contract import ACCEPT_ALL, NO_FAILSAFES, endpoint, ported, tier
from others_rules import (
    BRIDGE,
    CONTAINER,
    DNS,
    LOCAL,
    NODE_PORT,
    PUBLISHED,
    PUBLISHED_UDP,
    REDIRECTED,
    SERVICE,
    WEB,
)

from strategies import chance
from tortie.model.conntrack import Relation
from tortie.model.desired import EndpointState, HostAddresses
from tortie.model.evaluate import evaluate
from tortie.model.packet import TCP, UDP, Direction, Packet
from tortie.model.policy import Stage
from tortie.model.rule import Action, Rule
from tortie.model.verdict import Verdict

OUTSIDE, INSIDE = "ens4", "docker0"
HOST, PEER = "10.99.0.1", "10.99.0.2"
ADDRESSES = HostAddresses(frozenset((4, int(IPv4Address(one))) for one in (HOST, BRIDGE)))
"""Those of the host; that of a Service is one more where IPVS is the proxy."""
UNPUBLISHED, OWN, OWN_UDP, AWAY = 81, 9090, 9053, 70
_PORTS = (
    *(WEB, DNS, LOCAL, PUBLISHED, PUBLISHED_UDP, REDIRECTED, NODE_PORT),
    *(UNPUBLISHED, OWN, OWN_UDP, AWAY),
)
"""Everything that a rule may name, before translation and behind it."""
_EARLY = (Stage.UNTRACKED, Stage.PRE_DNAT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A connection. `named`: what its sender names; `behind`: where translation leads. `arrives` None: from the host
    itself; `leaves` None: to it."""

    name: str
    named: tuple[str, int]
    behind: tuple[str, int]
    arrives: str | None
    leaves: str | None
    protocol: int = TCP

    def packet(self, destination: tuple[str, int]) -> Packet:
        """Its first one, with that destination."""
        sources: Mapping[str | None, str] = {OUTSIDE: PEER, INSIDE: CONTAINER}
        return Packet(
            version=4,
            protocol=self.protocol,
            source=int(IPv4Address(sources.get(self.arrives, HOST))),
            destination=int(IPv4Address(destination[0])),
            source_port=40_000,
            destination_port=destination[1],
        )


ALWAYS = (
    Attempt("redirected to the host itself", (HOST, REDIRECTED), (HOST, LOCAL), OUTSIDE, None),
    Attempt("to the host itself", (HOST, OWN), (HOST, OWN), OUTSIDE, None),
    Attempt("to the host itself, UDP", (HOST, OWN_UDP), (HOST, OWN_UDP), OUTSIDE, None, UDP),
    Attempt("from a container, masqueraded", (PEER, AWAY), (PEER, AWAY), INSIDE, OUTSIDE),
    Attempt("from the host to a container", (CONTAINER, UNPUBLISHED), (CONTAINER, UNPUBLISHED), None, INSIDE),
)
STRAIGHT = Attempt("to a container, as routed", (CONTAINER, UNPUBLISHED), (CONTAINER, UNPUBLISHED), OUTSIDE, INSIDE)
WITH_DOCKER = (
    *ALWAYS,
    Attempt("published", (HOST, PUBLISHED), (CONTAINER, WEB), OUTSIDE, INSIDE),
    Attempt("published, UDP", (HOST, PUBLISHED_UDP), (CONTAINER, DNS), OUTSIDE, INSIDE, UDP),
    Attempt("from the host to its published port", (HOST, PUBLISHED), (CONTAINER, WEB), None, INSIDE),
)
WITH_KUBE = (
    *ALWAYS,
    STRAIGHT,
    Attempt("a node port", (HOST, NODE_PORT), (CONTAINER, WEB), OUTSIDE, INSIDE),
    Attempt("a Service from outside", (SERVICE, WEB), (CONTAINER, WEB), OUTSIDE, INSIDE),
    Attempt("a Service from the host", (SERVICE, WEB), (CONTAINER, WEB), None, INSIDE),
    Attempt("a Service from a container of it", (SERVICE, WEB), (CONTAINER, WEB), INSIDE, INSIDE),
)


# ---- what the evaluator says


def is_allowed(
    endpoints: Mapping[str, EndpointState], attempt: Attempt, *, judges_early: bool, by_ipvs: bool = False
) -> bool:
    """Whether the host's policy lets the connection be opened.

    Untracked and pre-DNAT policy see what the sender named, the later stages what is behind translation, and go by
    where that leads. `judges_early` (eBPF): whatever arrives is judged by what its sender named. `by_ipvs`: normal
    policy of where it arrives is asked too, about what the sender named, since IPVS takes it out of INPUT.
    """
    named, behind = attempt.packet(attempt.named), attempt.packet(attempt.behind)
    arrival = endpoints.get(attempt.arrives or "")
    if arrival is not None:
        goes_on = attempt.leaves is not None
        seems_own = ADDRESSES.contains(4, named.destination) or (by_ipvs and attempt.named[0] == SERVICE)
        trace = _judged(named, Direction.INGRESS, arrival, is_for_host=seems_own if judges_early else not goes_on)
        if trace.stage not in _EARLY and not judges_early:
            late = replace(
                arrival, tiers={key: groups for key, groups in arrival.tiers.items() if key[0] not in _EARLY}
            )
            trace = _judged(behind, Direction.INGRESS, late, is_for_host=not goes_on)
            if by_ipvs and seems_own and goes_on and trace.verdict is Verdict.ALLOW:
                trace = _judged(named, Direction.INGRESS, late, is_for_host=True)
        if trace.verdict is Verdict.DENY:
            return False
    departure = endpoints.get(attempt.leaves or "")
    if departure is None:
        return True
    trace = _judged(behind, Direction.EGRESS, departure, is_for_host=attempt.arrives is None)
    return trace.verdict is Verdict.ALLOW


_judged = partial(evaluate, sets={}, failsafes=NO_FAILSAFES, relation=Relation.NEW)


def random_endpoints(rng: Random, interfaces: Sequence[str] = (OUTSIDE, INSIDE)) -> dict[str, EndpointState]:
    """Endpoints of those interfaces with policies of all classes but the untracked one, whose packets nobody
    translates."""
    return {name: _random_endpoint(rng, name) for name in interfaces}


def _random_endpoint(rng: Random, name: str) -> EndpointState:
    tiers = []
    for stage in (Stage.PRE_DNAT, Stage.FORWARD, Stage.NORMAL):
        ways = {
            way: _random_rules(rng) if chance(rng, 55) else None
            for way in (("ingress",) if stage is Stage.PRE_DNAT else ("ingress", "egress"))
        }
        tiers.append(tier(stage, ingress=ways["ingress"], egress=ways.get("egress")))
    return endpoint(name, *tiers, profiles=(ACCEPT_ALL,))


def _random_rules(rng: Random) -> list[Rule]:
    rules = [
        ported(rng.choice((TCP, TCP, UDP)), rng.choice(_PORTS), action=Action.ALLOW if chance(rng, 50) else Action.DENY)
        for _ in range(1 + rng.randrange(5))
    ]
    return [*rules, Rule(Action.ALLOW)] if chance(rng, 60) else rules


def told(endpoints: Mapping[str, EndpointState]) -> str:
    """The rules of all policies, one in a line."""
    return "\n".join(
        f"{name} {stage.value} {direction.value}: {rule}"
        for name, state in endpoints.items()
        for (stage, direction), groups in state.tiers.items()
        for group in groups
        for policy in group.policies
        for rule in policy.rules(direction)
    )
