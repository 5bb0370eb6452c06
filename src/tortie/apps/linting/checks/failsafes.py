"""Rules about failsafe ports, which are open whatever policy says: a Deny that denies nothing, an untracked Allow too.

Only ports that are written one by one count: who denies everything does not mean the failsafe ports. Not said of the
forward class and of workloads, which have no failsafes: a policy that may be about those is passed over.
"""

from collections.abc import Iterator

from tortie.apps.linting.bodies import POLICIES
from tortie.apps.linting.check import Check
from tortie.apps.linting.finding import Suspicion
from tortie.apps.linting.subject import Subject
from tortie.apps.linting.world import Enforced, World
from tortie.model.address import Net
from tortie.model.endpoint import WorkloadEndpoint
from tortie.model.failsafe import FailsafePort
from tortie.model.matches import NetMatch, PortMatch, ProtocolMatch
from tortie.model.packet import Direction, Side
from tortie.model.rule import Action, Rule

_NAMES = {6: "tcp", 17: "udp", 132: "sctp"}


def _look(world: World) -> Iterator[Suspicion]:
    for enforced in world.policies:
        subject = enforced.subject
        if subject is None or subject.resource.kind not in POLICIES or not _is_of_hosts_alone(world, enforced):
            continue
        is_early = enforced.policy.do_not_track or enforced.policy.pre_dnat
        for direction in Direction:
            for index, rule in enumerate(enforced.policy.rules(direction)):
                if rule.action is Action.DENY or (rule.action is Action.ALLOW and enforced.policy.do_not_track):
                    yield from _of_rule(world, subject, direction, index, rule, is_early=is_early)


def _is_of_hosts_alone(world: World, enforced: Enforced) -> bool:
    """Whether the policy is certainly about packets of host endpoints, and of no class without failsafes."""
    policy = enforced.policy
    if policy.do_not_track or policy.pre_dnat:
        return True
    if policy.apply_on_forward or policy.key.namespace or not (world.knows_endpoints and world.knows_labels):
        return False
    selected = [one for one in world.endpoints if policy.selector.matches(one.labels)]
    return bool(selected) and not any(isinstance(one.endpoint, WorkloadEndpoint) for one in selected)


def _of_rule(
    world: World, subject: Subject, direction: Direction, index: int, rule: Rule, *, is_early: bool
) -> Iterator[Suspicion]:
    remote = Side.SOURCE if direction is Direction.INGRESS else Side.DESTINATION
    protocol = next((one.protocol for one in rule.matches if isinstance(one, ProtocolMatch) and not one.negated), None)
    nets = next((one.nets for one in rule.matches if isinstance(one, NetMatch) and one.side is remote), None)
    ports = next(
        (
            one
            for one in rule.matches
            if isinstance(one, PortMatch) and one.side is Side.DESTINATION and not one.negated
        ),
        None,
    )
    if protocol is None or ports is None:
        return
    written = subject.resource.spec.get(direction.value)
    numbers = _written_ports(written, index)
    for position, port in numbers:
        if any(_covers(entry, protocol, port, nets) for entry in world.failsafe_ports(direction)):
            yield _suspicion(subject, (direction, index, position), f"{_NAMES[protocol]}/{port}", rule, is_early)


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


def _written_ports(written: object, index: int) -> list[tuple[int, int]]:
    """The destination ports that are written one by one, with their places in the list."""
    rule = written[index] if isinstance(written, list) else {}
    destination = rule.get("destination") if isinstance(rule, dict) else {}
    ports = destination.get("ports") if isinstance(destination, dict) else []
    return [(place, port) for place, port in enumerate(ports or ()) if isinstance(port, int)]


def _suspicion(subject: Subject, where: tuple[Direction, int, int], port: str, rule: Rule, is_early: bool) -> Suspicion:
    direction, index, position = where
    parameter = "failsafeInboundHostPorts" if direction is Direction.INGRESS else "failsafeOutboundHostPorts"
    then = (
        "such packets skip this stage and stay tracked" if is_early else "such packets pass before any policy is asked"
    )
    return Suspicion(
        subject=subject,
        way=("spec", direction.value, index, "destination", "ports", position),
        found=f"{rule.action.value} of {port}, which is a failsafe port",
        why=then,
        remedy=f"remove it from the rule, or from {parameter} of FelixConfiguration, where the way in may depend on it",
    )


CHECK: Check[World] = Check("TT2009", "a rule about a failsafe port", _look)
