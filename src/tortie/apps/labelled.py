"""Endpoints and network sets of documents, with the labels that selectors see and where each of them is from.

What a thing's labels are is the calculation's own rule (`calc.inheritance`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, assert_never

from tortie.apps.answers import LabelAnswer
from tortie.apps.decoding import key_of
from tortie.calc.inheritance import effective, of_network_set
from tortie.model.address import Net
from tortie.model.endpoint import HostEndpoint, NamedPort, NetworkSet, WorkloadEndpoint
from tortie.model.policy import Profile
from tortie.model.selector import Selector
from tortie.resources.codec import lower
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Key

ENDPOINTS = ("HostEndpoint", "WorkloadEndpoint", "Pod")
SELECTED = (*ENDPOINTS, "NetworkSet", "GlobalNetworkSet")
"""Kinds whose documents selectors match, in the order in which they are shown."""
PARENTS = ("Namespace", "ServiceAccount", "Profile")
"""Kinds whose documents give labels to others, the strongest last."""

Value = HostEndpoint | WorkloadEndpoint | NetworkSet
Thing = Value | Profile
"""What selectors match, or what gives it labels."""


class Labelled(NamedTuple):
    """What a selector may match. `labels`: its own, and those that it inherits from `parents`."""

    key: Key
    value: Value
    own: Mapping[str, str]
    parents: tuple[str, ...]
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return str(self.key)

    @property
    def nets(self) -> tuple[Net, ...]:
        """Its addresses."""
        return self.value.expected_ips if isinstance(self.value, HostEndpoint) else tuple(self.value.nets)

    @property
    def has_address(self) -> bool:
        """Whether it has any; a packed set is not unpacked for that."""
        return bool(self.value.expected_ips if isinstance(self.value, HostEndpoint) else self.value.nets)

    @property
    def ports(self) -> tuple[NamedPort, ...]:
        """The ports that have names on it; a network set has none."""
        return () if isinstance(self.value, NetworkSet) else self.value.ports


@dataclass(frozen=True, slots=True)
class Things:
    """Everything that selectors may match. `inherited`: labels by profile. `damaged`: document to why."""

    labelled: tuple[Labelled, ...]
    inherited: Mapping[str, Mapping[str, str]]
    damaged: Mapping[str, str] = field(default_factory=dict)

    def selected(self, selector: Selector) -> list[Labelled]:
        """What the selector matches, in order."""
        return [one for one in self.labelled if selector.matches(one.labels)]

    def label(self, one: Labelled, key: str) -> LabelAnswer:
        """A label of the thing as JSON."""
        source = None
        if key not in one.own:
            source = next(parent for parent in one.parents if key in self.inherited.get(parent, {}))
        return {"value": one.labels[key], "profile": source}


def things_of(resources: Iterable[Resource]) -> Things:
    """Those of these documents; others than endpoints, sets and what gives them labels count for nothing."""
    found: list[tuple[Key, Thing]] = []
    damaged: dict[str, str] = {}
    for resource in resources:
        if resource.kind not in (*SELECTED, *PARENTS):
            continue
        try:
            value = lower(resource)
        except InvalidDocument as error:
            damaged[str(resource)] = str(error)
            continue
        if isinstance(value, HostEndpoint | WorkloadEndpoint | NetworkSet | Profile):  # else a pod without an address
            found.append((key_of(resource), value))
    return replace(things_among(found), damaged=damaged)


def things_among(values: Iterable[tuple[Key, Thing]]) -> Things:
    """The same of documents that mean these values."""
    found: list[tuple[Key, Value, Mapping[str, str], tuple[str, ...]]] = []
    parents: list[tuple[int, Profile]] = []
    for key, value in values:
        match value:
            case HostEndpoint() | WorkloadEndpoint():
                found.append((key, value, value.labels, value.profiles))
            case NetworkSet():
                found.append((key, value, *of_network_set(value.namespace, value.labels)))
            case Profile():
                parents.append((PARENTS.index(key.kind), value))
            case _:
                assert_never(value)
    parents.sort(key=lambda one: one[0])
    inherited = {profile.name: profile.labels_to_apply for _, profile in parents}
    found.sort(key=lambda one: (SELECTED.index(one[0].kind), one[0].namespace, one[0].name))
    return Things(tuple(Labelled(*one, effective(one[2], one[3], inherited)) for one in found), inherited)
