"""The desired state of one host: what every driver has to enforce, and the changes between two of them.

`calc` makes it, drivers enforce it, `evaluate` defines what it means. Keys are interface names, because an endpoint
may govern several interfaces and an interface has one endpoint at most.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tortie.model.address import Net
from tortie.model.conntrack import TrackingSettings
from tortie.model.dataplane import DataplaneWish
from tortie.model.endpoint import Interface
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import AddressSet, IPSet, Member, PortSet
from tortie.model.nets import Nets
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.rule import Rule
from tortie.model.tables import TablesUse
from tortie.model.verdict import RuleRef
from tortie.model.xdp import XdpWish


@dataclass(frozen=True, slots=True)
class TierPolicies:
    """One tier with the policies of one stage and direction that apply to an endpoint, in order."""

    tier: Tier
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class MissingProfile:
    """A profile that an endpoint lists and that does not exist: it denies at its place in the list."""

    name: str


_GROUPS = (Net(4, 0xE << 28, 4), Net(4, 0xFFFFFFFF, 32), Net(6, 0xFF << 120, 8))


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """The addresses of this host: packets to them, and broadcast and multicast, are for the host itself."""

    unicast: frozenset[tuple[int, int]] = frozenset()
    """(version, address) of every interface."""
    broadcast: frozenset[int] = frozenset()
    """IPv4 broadcast addresses of the host's networks."""

    def contains(self, version: int, address: int) -> bool:
        """Whether a packet to that address is for this host. Source: RFC 1122 section 3.2.1.3 for 0/8 and 127/8."""
        if version == 4:
            is_group = address >> 28 == 0xE or address == 0xFFFFFFFF
            return is_group or address >> 24 in (0, 127) or (4, address) in self.unicast or address in self.broadcast
        return address >> 120 == 0xFF or address == 1 or (6, address) in self.unicast

    @property
    def groups(self) -> tuple[Net, ...]:
        """The networks of multicast and broadcast, which are for the host and whoever else listens."""
        return (*_GROUPS, *(Net(4, address, 32) for address in sorted(self.broadcast)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """What one interface enforces.

    `tiers` has an entry for each (stage, direction) that has policies; tiers and policies are in order. `profiles`
    follow after the last tier of the normal class; behind them everything is denied. `xdp`: which hook a driver
    that has the choice should use for what arrives. `rejects`: senders are told of denials of the forward and normal
    classes. `is_workload`: the endpoint is a workload's, by namespace/name,
    whose direction is the workload's own: what the host receives from it is its egress; it has the normal class only.
    `is_beside_workload`: it is the part that the wildcard has on an interface of a workload, pre-DNAT and forward
    policy, in the host's direction; what is for this host or from it has no normal class to pass there.
    """

    interface: Interface
    endpoint: str
    is_wildcard: bool = False
    is_workload: bool = False
    is_beside_workload: bool = False
    tiers: Mapping[tuple[Stage, Direction], tuple[TierPolicies, ...]] = field(default_factory=dict)
    profiles: tuple[Profile | MissingProfile, ...] = ()
    xdp: XdpWish = field(default_factory=XdpWish)
    rejects: bool = False

    def stage(self, stage: Stage, direction: Direction) -> tuple[TierPolicies, ...]:
        """The tiers of that stage and direction."""
        return self.tiers.get((stage, direction), ())

    def rule(self, stage: Stage, direction: Direction, ref: RuleRef) -> Rule | None:
        """The rule that a trace of that stage refers to; None for what decides without being one."""
        found: tuple[Rule, ...] = ()
        if ref.policy.kind == "Profile":
            listed = (one for one in self.profiles if isinstance(one, Profile) and one.name == ref.policy.name)
            found = next((one.rules(direction) for one in listed), ())
        else:
            policies = (policy for group in self.stage(stage, direction) for policy in group.policies)
            found = next((policy.rules(direction) for policy in policies if policy.key == ref.policy), ())
        return found[ref.index] if 0 <= ref.index < len(found) else None

    def rules(self) -> Iterator[Rule]:
        """Every rule of policies and profiles."""
        for (_, direction), tiers in self.tiers.items():
            for group in tiers:
                for policy in group.policies:
                    yield from policy.rules(direction)
        for profile in self.profiles:
            if isinstance(profile, Profile):
                yield from (*profile.ingress, *profile.egress)


@dataclass(frozen=True, slots=True)
class SetChange:
    """Members that came and went; `is_new`: `added`, maybe packed, is all of it, whatever there was."""

    added: frozenset[Member] | Nets
    removed: frozenset[Member]
    is_new: bool = False
    has_ports: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Change of the desired state; None is gone. Every set that an endpoint refers to is in it or was before.

    `dataplane` is for whoever chooses the driver; drivers do not look at it. `tables` is for drivers in others' tables.
    """

    endpoints: Mapping[str, EndpointState | None] = field(default_factory=dict)
    sets: Mapping[str, SetChange | None] = field(default_factory=dict)
    failsafes: Failsafes | None = None
    addresses: HostAddresses | None = None
    tracking: TrackingSettings | None = None
    dataplane: DataplaneWish | None = None
    tables: TablesUse | None = None

    def __bool__(self) -> bool:
        settings = (self.failsafes, self.addresses, self.tracking, self.dataplane, self.tables)
        return bool(self.endpoints or self.sets or any(one is not None for one in settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """The whole of it: what a sequence of deltas adds up to."""

    endpoints: Mapping[str, EndpointState] = field(default_factory=dict)
    sets: Mapping[str, IPSet] = field(default_factory=dict)
    failsafes: Failsafes = field(default_factory=Failsafes)
    addresses: HostAddresses = field(default_factory=HostAddresses)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    tables: TablesUse = field(default_factory=TablesUse)

    def as_delta(self) -> Delta:
        """All of it as a change from nothing."""
        return Delta(
            endpoints=self.endpoints,
            sets={
                set_id: SetChange(_all_of(one), frozenset(), is_new=True, has_ports=isinstance(one, PortSet))
                for set_id, one in self.sets.items()
            },
            failsafes=self.failsafes,
            addresses=self.addresses,
            tracking=self.tracking,
            tables=self.tables,
        )


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What became of one host endpoint of this node: the interfaces it governs, and why it does not govern others."""

    endpoint: str
    interfaces: tuple[str, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Something about a policy that its author should know; it is enforced all the same."""

    policy: PolicyKey
    problem: str


def _all_of(members: IPSet) -> frozenset[Member] | Nets:
    given = members.given if isinstance(members, AddressSet) else members.members
    return given if isinstance(given, Nets) else frozenset(given)
