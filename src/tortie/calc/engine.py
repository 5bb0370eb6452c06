"""The engine: values in, deltas out.

    interfaces, settings, this node's endpoints ──▶ resolution ─▶ which endpoints govern ─┐
                                                                                          ▼
    policies ───────────────────────────────────────────────────────▶ label index: who selects whom
    profiles (labels) ─┬──────────────────────────────────────────────────▲         │          │
             (rules) ──│──────────────────────────────────────────────────┐         │          │
                       ▼                                                  ▼         ▼          ▼
    all endpoints, network sets ──▶ label index of sets ◀── sources of what is active     order, with tiers
    slices of services ───────────▶ (services by name)           │                             │
                                          │                                                    │
                                          ▼                                                    ▼
                                     SetChange                              EndpointState, with its profiles

    settings, node's labels, kernel ──▶ failsafes, tracking       interfaces ──▶ addresses of the host

Local workloads take the way of the governing endpoints, and end in `host`: no driver enforces anything for them.
Pods are workload endpoints, namespaces and service accounts are profiles, where no document of ours says otherwise.

Inputs only note what changed; `flush` works it off, in the order of the drawing. What did not change is never compared:
each endpoint and policy that is touched is marked, and equal values keep one object, so that identity tells.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from tortie.calc.active import BUILT_IN_PROFILES, ActiveSets, Kept, profile_key
from tortie.calc.beside import Beside, Governor, interfaces_of_workloads
from tortie.calc.inforce import SettingsInForce
from tortie.calc.inheritance import of_network_set
from tortie.calc.labels import LabelIndex
from tortie.calc.members import Contribution, SetMembers
from tortie.calc.notes import PolicyNotes
from tortie.calc.order import Tiers, arrange, reuse, tier_named
from tortie.calc.overlay import Overlay, Workloads
from tortie.calc.resolution import Resolution, resolve
from tortie.model.desired import (
    Delta,
    DesiredState,
    EndpointState,
    EndpointStatus,
    HostAddresses,
    MissingProfile,
    PolicyStatus,
)
from tortie.model.endpoint import WILDCARD, HostEndpoint, Interface, NetworkSet, ServiceSlice, WorkloadEndpoint
from tortie.model.host import Host
from tortie.model.nets import Nets
from tortie.model.policy import Policy, PolicyKey, Profile, Stage, Tier
from tortie.model.settings import FelixSettings

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Engine:
    """The desired state of one node. A value of None means: no such thing (any more).

    `told`: settings from where the agent runs, strongest first; they are stronger than every document's.
    """

    def __init__(self, node: str, told: Sequence[FelixSettings] = ()) -> None:
        self._node = node
        self._is_in_sync = False
        self._policies: Kept[PolicyKey, Policy] = Kept()
        self._notes = PolicyNotes()
        self._tiers: dict[str, Tier] = {}
        self._profiles: Kept[str, Profile] = Kept()
        self._said_profiles: Overlay[str, Profile] = Overlay()
        self._settings = SettingsInForce(node, told)
        self._local: dict[str, HostEndpoint] = {}
        self._host_endpoints: dict[str, HostEndpoint] = {}
        self._workload_endpoints: dict[tuple[str, str], WorkloadEndpoint] = {}
        self._workloads = Workloads()
        self._local_workloads: dict[str, WorkloadEndpoint] = {}
        self._network_sets: dict[tuple[str, str], NetworkSet] = {}
        self._interfaces: dict[str, Interface] = {}

        self._selected: LabelIndex[PolicyKey, str] = LabelIndex(self._match_changed, self._match_changed)
        self._members = SetMembers()
        self._active_sets = ActiveSets(self._members)

        # What changed since the last flush.
        self._touched_policies: set[PolicyKey] = set()
        self._touched_endpoints: set[str] = set()
        self._is_resolution_stale = True
        self._is_addresses_stale = True
        self._is_listing_stale = True

        # What the last flush left.
        self._addresses: HostAddresses | None = None
        self._resolution = Resolution({})
        self._governing: dict[str, HostEndpoint] = {}
        self._arranged: dict[str, Tiers] = {}
        self._listed: dict[str, tuple[Profile | MissingProfile, ...]] = {}
        self._states: dict[str, EndpointState] = {}
        self._governors: dict[str, Governor] = {}
        self._beside = Beside()

    def set_policy(self, key: PolicyKey, policy: Policy | None) -> None:
        """A policy as it is now."""
        before = self._policies.get(key)
        if not self._policies.set(key, policy):
            return
        self._notes.replace(key, before, policy)
        self._touched_policies.add(key)
        if policy is None:
            self._selected.remove_selector(key)
            return
        self._selected.set_selector(key, policy.selector)
        self._touched_endpoints |= self._selected.items(key)

    def set_tier(self, name: str, tier: Tier | None) -> None:
        """A tier as it is now."""
        if _store(self._tiers, name, tier):
            self._touched_endpoints |= self._arranged.keys()

    def set_profile(self, name: str, profile: Profile | None) -> None:
        """A profile as it is now; endpoints that list it inherit its labels."""
        self._put_profile(name, self._said_profiles.give(name, profile))

    def set_implied_profile(self, name: str, profile: Profile | None) -> None:
        """What a Namespace or ServiceAccount is as a profile; a document of that name is stronger."""
        self._put_profile(name, self._said_profiles.imply(name, profile))

    def _put_profile(self, name: str, profile: Profile | None) -> None:
        if name not in BUILT_IN_PROFILES and self._profiles.set(name, profile):
            self._is_listing_stale = True
            labels = profile.labels_to_apply if profile else None
            self._selected.set_parent(name, labels)
            self._members.set_parent(name, labels)

    def set_settings(self, name: str, settings: FelixSettings | None) -> None:
        """A settings document as it is now."""
        self._settings.set_document(name, settings)

    def set_node(self, name: str, labels: Mapping[str, str] | None) -> None:
        """The labels of a node as they are now; settings may select nodes by them."""
        if name == self._node:
            self._settings.set_labels(labels)

    def set_kernel_timeouts(self, values: Mapping[str, float]) -> None:
        """What the kernel's own connection tracking has, for timeouts that are `Auto`: seconds by KERNEL_TIMEOUTS."""
        self._settings.set_kernel(values)

    def set_host_endpoint(self, name: str, endpoint: HostEndpoint | None) -> None:
        """A host endpoint of any node as it is now."""
        if not _store(self._host_endpoints, name, endpoint):
            return
        contributor = ("HostEndpoint", "", name)
        if endpoint is None:
            self._members.remove_contributor(contributor)
        else:
            contribution = Contribution(Nets(endpoint.expected_ips), endpoint.ports)
            self._members.set_contributor(contributor, endpoint.labels, endpoint.profiles, contribution)
        if _store(self._local, name, endpoint if endpoint and endpoint.node == self._node else None):
            self._is_resolution_stale = True

    def set_workload_endpoint(self, key: tuple[str, str], endpoint: WorkloadEndpoint | None) -> None:
        """A workload endpoint of any node, by namespace and name, as it is now.

        Local ones are endpoints that policy selects, too. Their ids have a slash, as no name of a host endpoint has.
        """
        self._put_workload_endpoint(key, self._workloads.give(key, endpoint))

    def set_pod(self, key: tuple[str, str], endpoint: WorkloadEndpoint | None) -> None:
        """The endpoint of a pod, by the pod's namespace and name, as it is now; a document of its name is stronger.

        None: the pod is gone, or has no endpoint. Its interface lacks the prefix that settings say.
        """
        for place, one in self._workloads.set_pod(key, endpoint):
            self._put_workload_endpoint(place, one)

    def _put_workload_endpoint(self, key: tuple[str, str], endpoint: WorkloadEndpoint | None) -> None:
        if not _store(self._workload_endpoints, key, endpoint):
            return
        contributor = ("WorkloadEndpoint", *key)
        if endpoint is None:
            self._members.remove_contributor(contributor)
        else:
            contribution = Contribution(Nets(endpoint.nets), endpoint.ports)
            self._members.set_contributor(contributor, endpoint.labels, endpoint.profiles, contribution)
        self._set_local_workload("/".join(key), endpoint if endpoint and endpoint.node == self._node else None)

    def _set_local_workload(self, name: str, endpoint: WorkloadEndpoint | None) -> None:
        if not _store(self._local_workloads, name, endpoint):
            return
        self._is_listing_stale = self._is_resolution_stale = True
        if endpoint is None:
            self._selected.remove_item(name)
            self._touched_endpoints.discard(name)
            self._arranged.pop(name, None)
        else:
            self._selected.set_item(name, endpoint.labels, endpoint.profiles)
            self._touched_endpoints.add(name)

    def set_network_set(self, key: tuple[str, str], network_set: NetworkSet | None) -> None:
        """A network set, by namespace (empty for the global kind) and name, as it is now."""
        if not _store(self._network_sets, key, network_set):
            return
        namespace, name = key
        contributor = ("NetworkSet", namespace, name)
        if network_set is None:
            self._members.remove_contributor(contributor)
            return
        labels, parents = of_network_set(namespace, network_set.labels)
        self._members.set_contributor(contributor, labels, parents, Contribution(network_set.nets))

    def set_service_slice(self, key: tuple[str, str], part: ServiceSlice | None) -> None:
        """A part of what is behind a Service, by namespace and name of the part, as it is now."""
        self._members.set_slice(key, part)

    def set_interface(self, name: str, interface: Interface | None) -> None:
        """An interface of this host as it is now."""
        if _store(self._interfaces, name, interface):
            self._is_resolution_stale = self._is_addresses_stale = True

    def in_sync(self) -> None:
        """Every input has been given once: from now on, `flush` speaks."""
        self._is_in_sync = True

    def flush(self) -> Delta:
        """What changed since the last flush; nothing before the first complete view.

        The first delta always carries failsafes, tracking and addresses, so that it is never empty.
        """
        if not self._is_in_sync:
            return Delta()
        settings = self._settings.flush()
        self._is_resolution_stale |= settings.is_any
        for place, one in self._workloads.set_prefixes(self._settings.settled.interface_prefixes):
            self._put_workload_endpoint(place, one)
        addresses = self._flush_addresses()
        changed = self._flush_resolution()
        for key in sorted(self._touched_policies):
            policy = self._policies.get(key)
            is_active = policy is not None and (policy.needed_everywhere or bool(self._selected.items(key)))
            self._active_sets.hold(key, policy if is_active else None)
        relisted = self._flush_profiles()
        sets = self._members.flush()
        endpoints = self._flush_endpoints(changed, relisted)
        self._policies.flushed()
        self._profiles.flushed()
        self._touched_policies.clear()
        self._touched_endpoints.clear()
        return Delta(
            endpoints=endpoints,
            sets=sets,
            failsafes=settings.failsafes,
            addresses=addresses,
            tracking=settings.tracking,
            dataplane=settings.dataplane,
            tables=settings.tables,
        )

    def desired(self) -> DesiredState:
        """The whole desired state as of the last flush: what all deltas so far add up to."""
        settings = self._settings.settled
        return DesiredState(
            endpoints=self.endpoints(),
            sets=self._members.flushed(),
            failsafes=settings.failsafes,
            addresses=self._addresses or HostAddresses(),
            tracking=settings.tracking,
            tables=settings.tables,
        )

    def endpoints(self) -> Mapping[str, EndpointState]:
        """The desired state's endpoints alone: who needs no members does not wait until they are gathered."""
        return dict(sorted(self._states.items()))

    def host(self) -> Host:
        """This node with everything that packets meet on it, as of the last flush: what drivers enforce, and the rest.

        Because: drivers take what changed, and know no workloads; people ask about the whole.
        """
        desired, settings = self.desired(), self._settings.settled
        wildcard = self._resolution.wildcard if self._local_workloads else None
        return Host(
            endpoints={name: one for name, one in desired.endpoints.items() if not one.is_beside_workload},
            workloads={
                one.interface_name: self._workload_state(name, one)
                for name, one in sorted(self._local_workloads.items(), reverse=True)
                if name in self._arranged
            },
            wildcard=None if wildcard is None else self._state(Interface(name=WILDCARD, index=0), Governor(wildcard)),
            workload_prefixes=settings.interface_prefixes,
            sets=desired.sets,
            failsafes=desired.failsafes,
            addresses=desired.addresses,
            tracking=desired.tracking,
            to_host=settings.to_host,
            rejects=settings.rejects,
        )

    def local_workloads(self) -> tuple[WorkloadEndpoint, ...]:
        """The workload endpoints of this node; interfaces of pods as of the last flush."""
        return tuple(one for _, one in sorted(self._local_workloads.items()))

    def statuses(self) -> tuple[EndpointStatus, ...]:
        """What became of each host endpoint of this node, by name, as of the last flush."""
        return self._resolution.statuses

    def policy_statuses(self) -> tuple[PolicyStatus, ...]:
        """Policies with remarks or in a tier that has vanished; active ones that are enforced in part, or name a
        Service of which no endpoint is known.
        """
        found = []
        here = {key for name in self._arranged for key in self._selected.keys(name)}
        for key in sorted(here | self._notes.noted(self._tiers)):
            policy = self._policies[key]
            found += [PolicyStatus(key, remark) for remark in policy.remarks]
            if tier_named(policy.tier, self._tiers)[1]:
                found.append(
                    PolicyStatus(
                        key,
                        f"tier {policy.tier} does not exist: the policy comes after all other tiers; "
                        "create the tier or move the policy",
                    )
                )
        for key, service in self._active_sets.empty_services():
            found.append(
                PolicyStatus(key, f"no endpoint of service {service} is known, so rules with it match nothing")
            )
        return tuple(found)

    def settings_problems(self) -> tuple[str, ...]:
        """What the settings for this node say and does not count as it was said, as of the last flush."""
        return self._settings.problems

    def _match_changed(self, key: PolicyKey, endpoint: str) -> None:
        self._touched_policies.add(key)
        self._touched_endpoints.add(endpoint)

    def _flush_addresses(self) -> HostAddresses | None:
        if not self._is_addresses_stale:
            return None
        self._is_addresses_stale = False
        interfaces = self._interfaces.values()
        found = HostAddresses(
            frozenset((net.version, net.address) for interface in interfaces for net in interface.addresses),
            frozenset(address for interface in interfaces for address in interface.broadcasts),
        )
        if found == self._addresses:
            return None
        self._addresses = found
        return found

    def _flush_resolution(self) -> set[str]:
        """The interfaces whose governor or own value changed."""
        if not self._is_resolution_stale:
            return set()
        self._is_resolution_stale = False
        self._is_listing_stale = True
        before, settings = self._governors, self._settings.settled
        self._resolution = resolve(self._local.values(), self._interfaces, settings)
        governors = {name: Governor(one) for name, one in self._resolution.governors.items()}
        governing = {one.endpoint.name: one.endpoint for one in governors.values()}
        if (wildcard := self._resolution.wildcard) is not None and self._local_workloads:
            governing[wildcard.name] = wildcard  # for their interfaces, even where it governs none of the host's own
            workloads = self._local_workloads.values()
            beside = interfaces_of_workloads(self._interfaces, workloads, settings, governors)
            governors |= {name: Governor(wildcard, is_beside_workload=True) for name in beside}
        self._governors = governors
        for name in self._governing.keys() - governing.keys():
            self._selected.remove_item(name)
            self._touched_endpoints.discard(name)
            del self._arranged[name]
        for name, endpoint in governing.items():
            self._selected.set_item(name, endpoint.labels, endpoint.profiles)
            if name not in self._arranged:
                self._touched_endpoints.add(name)
        self._governing = governing
        return {
            name
            for name in before.keys() | governors.keys()
            if not _is_same_governor(before.get(name), governors.get(name))
            or (state := self._states.get(name)) is None
            or state.interface != self._interfaces.get(name)
            or state.xdp != settings.xdp_of(governors[name].endpoint)
            or state.rejects != settings.rejects
        }

    def _flush_profiles(self) -> set[str]:
        """The endpoints whose profiles changed; active profiles, and only they, hold their sets afterwards."""
        if not self._is_listing_stale:
            return set()
        self._is_listing_stale = False
        before = self._listed
        endpoints: Mapping[str, HostEndpoint | WorkloadEndpoint] = {**self._governing, **self._local_workloads}
        listed = {name: tuple(map(self._profile, endpoint.profiles)) for name, endpoint in endpoints.items()}
        # Equal tuples stay the same one, so that comparing them again is cheap.
        self._listed = {name: before[name] if before.get(name) == found else found for name, found in listed.items()}
        active = _profiles_of(self._listed)
        for name in sorted(_profiles_of(before) | active):
            self._active_sets.hold(profile_key(name), active.get(name))
        return {name for name, found in self._listed.items() if found is not before.get(name)}

    def _profile(self, name: str) -> Profile | MissingProfile:
        return BUILT_IN_PROFILES.get(name) or self._profiles.get(name) or MissingProfile(name)

    def _flush_endpoints(self, changed: set[str], relisted: set[str]) -> dict[str, EndpointState | None]:
        """New states of the interfaces that changed, and of those whose endpoint's policies or profiles changed."""
        rearranged = set(relisted)
        for name in self._touched_endpoints:
            policies = [self._policies[key] for key in self._selected.keys(name)]
            before = self._arranged.get(name)
            tiers = arrange(policies, self._tiers)
            self._arranged[name] = reuse(tiers, before) if before is not None else tiers
            if self._arranged[name] is not before:
                rearranged.add(name)
        changed |= {name for name, one in self._governors.items() if one.endpoint.name in rearranged}
        delta: dict[str, EndpointState | None] = {}
        for name in sorted(changed):
            governor, old = self._governors.get(name), self._states.get(name)
            state = None if governor is None else self._state(self._interfaces[name], governor)
            if state is None or (state.is_beside_workload and not state.tiers):
                if self._states.pop(name, None) is not None:
                    delta[name] = None
            elif old is None or not _is_same(state, old):
                self._states[name] = delta[name] = state
        return delta

    def _workload_state(self, name: str, endpoint: WorkloadEndpoint) -> EndpointState:
        tiers = self._arranged[name]
        interface = self._interfaces.get(endpoint.interface_name)
        return EndpointState(
            interface=interface or Interface(name=endpoint.interface_name, index=0),
            endpoint=name,
            is_workload=True,
            tiers={place: part for place, part in tiers.items() if place[0] is Stage.NORMAL},
            profiles=self._listed[name],
        )

    def _state(self, interface: Interface, governor: Governor) -> EndpointState:
        endpoint, is_beside = governor
        tiers = self._arranged[endpoint.name]
        return EndpointState(
            interface=interface,
            endpoint=endpoint.name,
            is_wildcard=endpoint.interface_name == WILDCARD,
            is_beside_workload=is_beside,
            tiers=self._beside.part(tiers) if is_beside else tiers,
            profiles=() if is_beside else self._listed[endpoint.name],
            xdp=self._settings.settled.xdp_of(endpoint),
            rejects=self._settings.settled.rejects,
        )


def _is_same_governor(new: Governor | None, old: Governor | None) -> bool:
    if new is None or old is None:
        return new is old
    return new.endpoint is old.endpoint and new.is_beside_workload is old.is_beside_workload


def _is_same(new: EndpointState, old: EndpointState) -> bool:
    """Whether nothing changed; tiers by identity, which `reuse` keeps."""
    return (
        new.tiers is old.tiers
        and new.interface == old.interface
        and (new.endpoint, new.is_wildcard, new.is_beside_workload, new.profiles, new.xdp, new.rejects)
        == (old.endpoint, old.is_wildcard, old.is_beside_workload, old.profiles, old.xdp, old.rejects)
    )


def _profiles_of(listed: Mapping[str, tuple[Profile | MissingProfile, ...]]) -> dict[str, Profile]:
    return {one.name: one for found in listed.values() for one in found if isinstance(one, Profile)}


def _store(table: dict[_Key, _Value], key: _Key, value: _Value | None) -> bool:
    """Whether the value is another than before; it is in the table now, or gone from it."""
    if table.get(key) == value:
        return False
    if value is None:
        del table[key]
    else:
        table[key] = value
    return True
