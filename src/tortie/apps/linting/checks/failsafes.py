"""Rules about failsafe ports, which are open whatever policy says: a Deny that denies nothing, an untracked Allow too.

Only ports that are written one by one count: who denies everything does not mean the failsafe ports. Not said of the
forward class and of workloads, which have no failsafes: a policy that may be about those is passed over.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tortie.apps.linting.bodies import POLICIES, entity, rules
from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.subject import Subject
from tortie.apps.linting.world import Enforced, World
from tortie.model.address import Net
from tortie.model.endpoint import WorkloadEndpoint
from tortie.model.failsafe import FailsafePort
from tortie.model.matches import NetMatch, ProtocolMatch
from tortie.model.packet import SCTP, TCP, UDP, Direction, Side
from tortie.model.rule import Action, Rule

_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_SKIPPED, _PASSED = "such packets skip this stage and stay tracked", "such packets pass before any policy is asked"


class _Place(NamedTuple):
    """Where a rule stands."""

    subject: Subject
    direction: Direction
    number: int


def _look(world: World) -> Iterator[Suspicion]:
    for enforced in world.policies:
        subject = enforced.subject
        if subject is None or subject.resource.kind not in POLICIES or not _is_of_hosts_alone(world, enforced):
            continue
        then = _SKIPPED if enforced.policy.do_not_track or enforced.policy.pre_dnat else _PASSED
        for direction in Direction:
            for index, rule in enumerate(enforced.policy.rules(direction)):
                if rule.action is Action.DENY or (rule.action is Action.ALLOW and enforced.policy.do_not_track):
                    yield from _of_rule(world, _Place(subject, direction, index), rule, then)


def _is_of_hosts_alone(world: World, enforced: Enforced) -> bool:
    """Whether the policy is certainly about packets of host endpoints, and of no class without failsafes."""
    policy = enforced.policy
    if policy.do_not_track or policy.pre_dnat:
        return True
    if policy.apply_on_forward or policy.key.namespace or not (world.knows_endpoints and world.knows_labels):
        return False
    selected = [one for one in world.endpoints if policy.selector.matches(one.labels)]
    return bool(selected) and not any(isinstance(one.value, WorkloadEndpoint) for one in selected)


def _of_rule(world: World, place: _Place, rule: Rule, then: str) -> Iterator[Suspicion]:
    remote = Side.SOURCE if place.direction is Direction.INGRESS else Side.DESTINATION
    protocol = nets = None
    for match in rule.matches:
        if isinstance(match, ProtocolMatch) and not match.negated:
            protocol = match.protocol
        elif isinstance(match, NetMatch) and match.side is remote and not match.negated:
            nets = match.nets
    if protocol not in _NAMES:
        return
    parameter = f"failsafe{'Inbound' if remote is Side.SOURCE else 'Outbound'}HostPorts"
    for position, port in _written_ports(place):
        if any(_covers(entry, protocol, port, nets) for entry in world.failsafe_ports(place.direction)):
            by_default = "" if world.says_failsafes(place.direction) else " by default"
            yield Suspicion(
                subject=place.subject,
                way=("spec", place.direction.value, place.number, "destination", "ports", position),
                found=f"{rule.action.value} of {_NAMES[protocol]}/{port}, which is a failsafe port{by_default}",
                why=then,
                remedy=f"remove it from the rule, or from {parameter} of FelixConfiguration, "
                "where the way in may depend on it",
            )


def _covers(entry: FailsafePort, protocol: int, port: int, nets: tuple[Net, ...] | None) -> bool:
    """Whether every packet to that port, to or from these nets, is one of the entry's."""
    if (entry.protocol, entry.port) != (protocol, port):
        return False
    if entry.net is None:
        return True
    around = entry.net
    return nets is not None and all(
        net.version == around.version and net.length >= around.length and around.contains(net.version, net.address)
        for net in nets
    )


def _written_ports(place: _Place) -> list[tuple[int, int]]:
    """The destination ports that are written one by one, with their places in the list."""
    rule = rules(place.subject.resource.spec, place.direction.value)[place.number]
    ports = entity(rule, "destination").get("ports")
    return [(at, port) for at, port in enumerate(ports if isinstance(ports, list) else ()) if isinstance(port, int)]


CHECK: Check[World] = Check("TT2009", "a rule about a failsafe port", _look)
