"""The engine: values in, deltas out.

    interfaces, settings, this node's endpoints ──▶ resolution ─▶ which endpoints govern ─┐
                                                                                          ▼
    policies ───────────────────────────────────────────────────────▶ label index: who selects whom
    profiles (labels) ─┬──────────────────────────────────────────────────▲         │          │
                       ▼                                                            ▼          ▼
    all endpoints, network sets ──▶ label index of sets ◀── sources of active policies    order, with tiers
                                          │                                                    │
                                          ▼                                                    ▼
                                     SetChange                                          EndpointState

Inputs only note what changed; `flush` works it off, in the order of the drawing. What did not change is never compared:
each endpoint and policy that is touched is marked, and equal values keep one object, so that identity tells.
"""

from collections.abc import Hashable
from typing import TypeVar

from tortie.calc.labels import LabelIndex
from tortie.calc.members import Contribution, SetMembers
from tortie.calc.order import Tiers, arrange, reuse, tier_named
from tortie.calc.resolution import Resolution, resolve
from tortie.calc.settings import HostSettings, merge
from tortie.model.desired import Delta, DesiredState, EndpointState, EndpointStatus, PolicyStatus
from tortie.model.endpoint import WILDCARD, HostEndpoint, Interface, NetworkSet
from tortie.model.failsafe import Failsafes
from tortie.model.ipset import SetSource
from tortie.model.packet import Direction
from tortie.model.policy import Policy, PolicyKey, Profile, Tier
from tortie.model.settings import FelixSettings

NAMESPACE_LABEL = "projectcalico.org/namespace"

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Engine:
    """The desired state of one node. A value of None means: no such thing (any more)."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._is_in_sync = False
        self._policies: dict[PolicyKey, Policy] = {}
        self._tiers: dict[str, Tier] = {}
        self._profiles: dict[str, Profile] = {}
        self._settings: dict[str, FelixSettings] = {}
        self._local: dict[str, HostEndpoint] = {}
        self._host_endpoints: dict[str, HostEndpoint] = {}
        self._network_sets: dict[tuple[str, str], NetworkSet] = {}
        self._interfaces: dict[str, Interface] = {}

        self._selected: LabelIndex[PolicyKey, str] = LabelIndex(self._match_changed, self._match_changed)
        self._members = SetMembers()
        self._held: dict[PolicyKey, tuple[Policy, tuple[SetSource, ...]]] = {}

        # What changed since the last flush. `_before` holds the policies of then, to recognise a detour back to them.
        self._before: dict[PolicyKey, Policy | None] = {}
        self._touched_policies: set[PolicyKey] = set()
        self._touched_endpoints: set[str] = set()
        self._is_resolution_stale = True
        self._is_settings_stale = True

        # What the last flush left.
        self._host = HostSettings()
        self._failsafes: Failsafes | None = None
        self._resolution = Resolution({})
        self._arranged: dict[str, Tiers] = {}
        self._states: dict[str, EndpointState] = {}

    def set_policy(self, key: PolicyKey, policy: Policy | None) -> None:
        """A policy as it is now."""
        current = self._policies.get(key)
        if policy == current:
            return
        before = self._before.setdefault(key, current)
        self._touched_policies.add(key)
        if policy is None:
            del self._policies[key]
            self._selected.remove_selector(key)
            return
        if policy == before:
            policy = before
        self._policies[key] = policy
        self._selected.set_selector(key, policy.selector)
        self._touched_endpoints |= self._selected.items(key)

    def set_tier(self, name: str, tier: Tier | None) -> None:
        """A tier as it is now."""
        if _store(self._tiers, name, tier):
            self._touched_endpoints |= self._arranged.keys()

    def set_profile(self, name: str, profile: Profile | None) -> None:
        """A profile as it is now; endpoints that list it inherit its labels."""
        if _store(self._profiles, name, profile):
            labels = profile.labels_to_apply if profile else None
            self._selected.set_parent(name, labels)
            self._members.set_parent(name, labels)

    def set_settings(self, name: str, settings: FelixSettings | None) -> None:
        """A settings document as it is now."""
        if _store(self._settings, name, settings):
            self._is_settings_stale = True

    def set_host_endpoint(self, name: str, endpoint: HostEndpoint | None) -> None:
        """A host endpoint of any node as it is now."""
        if not _store(self._host_endpoints, name, endpoint):
            return
        contributor = ("HostEndpoint", "", name)
        if endpoint is None:
            self._members.remove_contributor(contributor)
        else:
            contribution = Contribution(frozenset(endpoint.expected_ips), endpoint.ports)
            self._members.set_contributor(contributor, endpoint.labels, endpoint.profiles, contribution)
        if _store(self._local, name, endpoint if endpoint and endpoint.node == self._node else None):
            self._is_resolution_stale = True

    def set_network_set(self, key: tuple[str, str], network_set: NetworkSet | None) -> None:
        """A network set, by namespace (empty for the global kind) and name, as it is now.

        One with a namespace inherits that namespace's labels. Source: reference selectors.md section 9.
        """
        if not _store(self._network_sets, key, network_set):
            return
        namespace, name = key
        contributor = ("NetworkSet", namespace, name)
        if network_set is None:
            self._members.remove_contributor(contributor)
            return
        labels = {**network_set.labels, NAMESPACE_LABEL: namespace} if namespace else network_set.labels
        parents = (f"kns.{namespace}",) if namespace else ()
        self._members.set_contributor(contributor, labels, parents, Contribution(frozenset(network_set.nets)))

    def set_interface(self, name: str, interface: Interface | None) -> None:
        """An interface of this host as it is now."""
        if _store(self._interfaces, name, interface):
            self._is_resolution_stale = True

    def in_sync(self) -> None:
        """Every input has been given once: from now on, `flush` speaks."""
        self._is_in_sync = True

    def flush(self) -> Delta:
        """What changed since the last flush; nothing before the first complete view.

        The first delta always carries the failsafes, so that it is never empty.
        """
        if not self._is_in_sync:
            return Delta()
        failsafes = self._flush_settings()
        changed = self._flush_resolution()
        for key in sorted(self._touched_policies):
            self._hold_sets(key)
        sets = self._members.flush()
        endpoints = self._flush_endpoints(changed)
        self._before.clear()
        self._touched_policies.clear()
        self._touched_endpoints.clear()
        return Delta(endpoints=endpoints, sets=sets, failsafes=failsafes)

    def desired(self) -> DesiredState:
        """The whole desired state as of the last flush: what all deltas so far add up to."""
        return DesiredState(
            endpoints=dict(sorted(self._states.items())),
            sets=self._members.flushed(),
            failsafes=self._failsafes or Failsafes(),
        )

    def statuses(self) -> tuple[EndpointStatus, ...]:
        """What became of each host endpoint of this node, by name, as of the last flush."""
        return self._resolution.statuses

    def policy_statuses(self) -> tuple[PolicyStatus, ...]:
        """Policies whose tier has vanished."""
        missing = [key for key, policy in self._policies.items() if tier_named(policy.tier, self._tiers)[1]]
        return tuple(
            PolicyStatus(
                key,
                f"tier {self._policies[key].tier} does not exist: the policy comes after all other tiers; "
                "create the tier or move the policy",
            )
            for key in sorted(missing)
        )

    def _match_changed(self, key: PolicyKey, endpoint: str) -> None:
        self._touched_policies.add(key)
        self._touched_endpoints.add(endpoint)

    def _flush_settings(self) -> Failsafes | None:
        if not self._is_settings_stale:
            return None
        self._is_settings_stale = False
        host = merge(self._settings, self._node)
        if host != self._host:
            self._host = host
            self._is_resolution_stale = True
        if host.failsafes == self._failsafes:
            return None
        self._failsafes = host.failsafes
        return host.failsafes

    def _flush_resolution(self) -> set[str]:
        """The interfaces whose governor or own value changed."""
        if not self._is_resolution_stale:
            return set()
        self._is_resolution_stale = False
        before = self._resolution.governors
        self._resolution = resolve(self._local.values(), self._interfaces, self._host)
        governors = self._resolution.governors
        governing = {endpoint.name: endpoint for endpoint in governors.values()}
        for name in {endpoint.name for endpoint in before.values()} - governing.keys():
            self._selected.remove_item(name)
            self._touched_endpoints.discard(name)
            del self._arranged[name]
        for name, endpoint in governing.items():
            self._selected.set_item(name, endpoint.labels, endpoint.profiles)
            if name not in self._arranged:
                self._touched_endpoints.add(name)
        return {
            name
            for name in before.keys() | governors.keys()
            if before.get(name) is not governors.get(name) or self._states[name].interface != self._interfaces.get(name)
        }

    def _hold_sets(self, key: PolicyKey) -> None:
        """Refer to the sets of an active policy; let go of those of one that is not, or was another."""
        policy = self._policies.get(key)
        if policy is not None and not (policy.needed_everywhere or self._selected.items(key)):
            policy = None
        held, sources = self._held.pop(key, (None, ()))
        if policy is not None:
            found = sources if policy is held else _set_sources(policy)
            if policy is not held:
                for source in found:
                    self._members.acquire(source)
            self._held[key] = policy, found
        if policy is not held:
            for source in sources:
                self._members.release(source)

    def _flush_endpoints(self, changed: set[str]) -> dict[str, EndpointState | None]:
        """New states of the interfaces that changed, and of those whose endpoint's policies changed."""
        rearranged = set()
        for name in self._touched_endpoints:
            policies = [self._policies[key] for key in self._selected.keys(name)]
            before = self._arranged.get(name)
            tiers = arrange(policies, self._tiers)
            self._arranged[name] = reuse(tiers, before) if before is not None else tiers
            if self._arranged[name] is not before:
                rearranged.add(name)
        governors = self._resolution.governors
        changed |= {name for name, endpoint in governors.items() if endpoint.name in rearranged}
        delta: dict[str, EndpointState | None] = {}
        for name in sorted(changed):
            governor = governors.get(name)
            if governor is None:
                del self._states[name]
                delta[name] = None
            else:
                state, old = self._state(name, governor), self._states.get(name)
                if old is None or not _is_same(state, old):
                    self._states[name] = delta[name] = state
        return delta

    def _state(self, interface: str, governor: HostEndpoint) -> EndpointState:
        return EndpointState(
            interface=self._interfaces[interface],
            endpoint=governor.name,
            is_wildcard=governor.interface_name == WILDCARD,
            tiers=self._arranged[governor.name],
            profiles=governor.profiles,
        )


def _is_same(new: EndpointState, old: EndpointState) -> bool:
    """Whether nothing changed; tiers by identity, which `reuse` keeps."""
    return (
        new.tiers is old.tiers
        and new.interface == old.interface
        and (new.endpoint, new.is_wildcard, new.profiles) == (old.endpoint, old.is_wildcard, old.profiles)
    )


def _set_sources(policy: Policy) -> tuple[SetSource, ...]:
    """Every set that the policy's rules refer to, once."""
    rules = (rule for direction in Direction for rule in policy.rules(direction))
    return tuple(dict.fromkeys(source for rule in rules for source in rule.set_sources()))


def _store(table: dict[_Key, _Value], key: _Key, value: _Value | None) -> bool:
    """Whether the value is another than before; it is in the table now, or gone from it."""
    if table.get(key) == value:
        return False
    if value is None:
        del table[key]
    else:
        table[key] = value
    return True
