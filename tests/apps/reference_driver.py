"""A driver that evaluates instead of programming: the fake behind the Driver protocol for tests of the apps.

It enforces untracked and normal policy by `evaluate`, for packets of no known connection; it refuses what a real driver
refuses, and checks what a kernel would check: every set that is referred to was given. Its attributes make it fail on
purpose.
"""

from collections.abc import Sequence
from dataclasses import replace

from apps.fake_flows import FakeFlows
from tortie.dataplane.driver import (
    Acceleration,
    ApplyReport,
    InstalledVerdict,
    InterfaceStatus,
    LogEvent,
    ReasonCount,
    RuleCount,
)
from tortie.kernel.errors import KernelError
from tortie.model.conntrack import ConnectionTable, TrackingSettings
from tortie.model.desired import Delta, EndpointState, HostAddresses
from tortie.model.evaluate import evaluate, is_for_host
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, PortSet
from tortie.model.packet import Direction, Packet
from tortie.model.policy import Profile, Stage
from tortie.model.verdict import Reason, RuleRef, Verdict, default_deny


class ReferenceDriver(FakeFlows):
    """See the module. `log` tells every call that changes something."""

    name = "reference"
    resync_s = 3.0

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        self.left: list[str] = []
        """What an earlier agent left."""
        self.failures: list[str] = []
        """What the next calls of apply or resync fail with, one each."""
        self.lies = False
        """Whether the installed program answers Deny to everything."""
        self.sabotaged: list[str] = []
        """What the next resync finds missing."""
        self.logged: list[LogEvent] = []
        """Packets that met Log rules."""
        self._wanted: dict[str, EndpointState | None] = {}
        self._enforced: dict[str, EndpointState] = {}
        self._sets: dict[str, IPSet] = {}
        self._failsafes = Failsafes()
        self._addresses = HostAddresses()
        self._tracking = TrackingSettings()
        self._refused: dict[str, tuple[str, ...]] = {}

    def take(self, delta: Delta) -> None:
        self.log.append("take")
        self._wanted.update(delta.endpoints)
        for set_id, change in delta.sets.items():
            if change is None:
                del self._sets[set_id]
            elif change.is_new:
                self._sets[set_id] = PortSet(change.added) if change.has_ports else AddressSet(change.added)  # type: ignore[arg-type]
            else:
                old = self._sets[set_id]
                members = (old.members | change.added) - change.removed
                self._sets[set_id] = type(old)(members)  # type: ignore[arg-type]
        self._failsafes = delta.failsafes or self._failsafes
        self._addresses = delta.addresses or self._addresses
        self._tracking = delta.tracking or self._tracking

    def apply(self) -> ApplyReport:
        self.log.append("apply")
        self._fail()
        changed = []
        for interface, state in self._wanted.items():
            self._refused.pop(interface, None)
            if state is None:
                self._enforced.pop(interface, None)
            elif reasons := _refusals(state):
                self._refused[interface] = reasons
                continue
            else:
                self._check_sets(state)
                self._enforced[interface] = state
            changed.append(interface)
        self._wanted = {name: state for name, state in self._wanted.items() if name in self._refused}
        return ApplyReport(changed=tuple(changed), refused=dict(self._refused), failed={})

    def resync(self, *, is_thorough: bool = True) -> ApplyReport:
        self.log.append("resync")
        self._fail()
        report = self.apply()
        repaired, self.sabotaged = tuple(self.sabotaged), []
        return replace(report, repaired=repaired)

    def _fail(self) -> None:
        if self.failures:
            raise KernelError("bpf", "reference", 0, self.failures.pop(0))

    def _check_sets(self, state: EndpointState) -> None:
        policies = {policy for tiers in state.tiers.values() for tier in tiers for policy in tier.policies}
        rules = [rule for policy in policies for direction in Direction for rule in policy.rules(direction)]
        rules += [r for one in state.profiles if isinstance(one, Profile) for r in (*one.ingress, *one.egress)]
        for source in (source for rule in rules for source in rule.set_sources()):
            assert source.set_id in self._sets, f"{state.endpoint} refers to a set that was never given"

    def status(self) -> Sequence[InterfaceStatus]:
        names = sorted({*self._enforced, *self._refused})
        states = {name: self._enforced.get(name) or self._wanted[name] for name in names}
        return [
            InterfaceStatus(
                interface=name,
                endpoint=state.endpoint,
                acceleration=Acceleration.XDP if name in self._enforced else Acceleration.NONE,
                reason="" if name in self._enforced else "its first policy is refused",
                program_id=17 if name in self._enforced else None,
                program_name="tortie_ref" if name in self._enforced else None,
                refused=self._refused.get(name, ()),
                is_enforced=name in self._enforced,
                backend="reference",
            )
            for name in names
            if (state := states[name]) is not None
        ]

    def counters(self) -> tuple[Sequence[RuleCount], Sequence[ReasonCount]]:
        rules: list[RuleCount] = []
        for name, state in self._enforced.items():
            for stage in (Stage.UNTRACKED, Stage.NORMAL):
                for tier in state.stage(stage, Direction.INGRESS):
                    for policy in tier.policies:
                        refs = (RuleRef(tier.tier.name, policy.key, i) for i in range(len(policy.ingress)))
                        rules += [RuleCount(name, Direction.INGRESS, ref, 7) for ref in refs]
            rules.append(RuleCount(name, Direction.INGRESS, default_deny(state.endpoint), 2))
        return rules, [ReasonCount(name, Direction.INGRESS, Reason.ESTABLISHED, 3) for name in self._enforced]

    def probe(self, interface: str, direction: Direction, packet: Packet) -> InstalledVerdict | None:
        state = self._enforced.get(interface)
        if state is None:
            return None
        if self.lies:
            return InstalledVerdict(Verdict.DENY, Reason.POLICY, None)
        found = evaluate(
            packet,
            direction,
            state,
            self._sets,
            self._failsafes,
            ConnectionTable().relation(packet),
            is_for_host=direction is Direction.EGRESS or is_for_host(packet, state.interface, self._addresses),
            drops_invalid=self._tracking.drops_invalid,
        )
        return InstalledVerdict(found.verdict, found.reason, found.rule, found.is_tracked)

    def log_events(self) -> Sequence[LogEvent]:
        waiting, self.logged = self.logged, []
        return waiting

    def leftovers(self) -> Sequence[str]:
        """What an earlier agent left."""
        return self.left

    def cleanup(self) -> Sequence[str]:
        removed = [f"program on {name}" for name in sorted(self._enforced)]
        self._enforced.clear()
        return removed

    def members(self, set_id: str) -> IPSet:
        return self._sets.get(set_id, AddressSet(()))

    @property
    def enforced(self) -> dict[str, EndpointState]:
        return self._enforced


def _refusals(state: EndpointState) -> tuple[str, ...]:
    """A sentence for each thing that is not enforced yet."""
    found = {}
    for (stage, _), tiers in state.tiers.items():
        for policy in (policy for tier in tiers for policy in tier.policies):
            if policy.reason_refused:
                found[f"{policy.key} ({stage.value}): {policy.reason_refused}"] = None
    for profile in state.profiles:
        if isinstance(profile, Profile) and profile.reason_refused:
            found[f"Profile({profile.name}): {profile.reason_refused}"] = None
    return tuple(found)
