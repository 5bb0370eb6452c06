"""What the documents mean together, and what can be known of it.

What can be known is the one rule behind every finding that looks beyond its own document:

- The files are the whole world of what they bring. Where they bring an endpoint, all endpoints, network sets, tiers and
  policies are there, and a selector that matches none of them matches nothing. Where they bring a tier, all tiers are.
- What they do not bring is unknown, and nothing is said that depends on it: files without endpoints may be about any.
- Workloads are brought by WorkloadEndpoints and Pods only: what can only be about workloads waits for one of those.
- With the stored documents as company (`is_live`), everything is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from tortie.apps.decoding import key_of
from tortie.apps.labelled import Labelled, Thing, Things, things_among
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.subject import Subject
from tortie.calc.order import BUILT_IN_TIERS
from tortie.model.endpoint import HostEndpoint, NetworkSet, WorkloadEndpoint
from tortie.model.failsafe import FailsafePort, Failsafes
from tortie.model.names import DEFAULT_ALLOW
from tortie.model.packet import Direction
from tortie.model.policy import Policy, Tier
from tortie.model.selector import Selector
from tortie.model.settings import DEFAULT_NAME, FelixSettings
from tortie.resources.codec import lower
from tortie.resources.kind import API_VERSION, Lowered, Resource
from tortie.resources.kinds import KINDS
from tortie.resources.problems import InvalidDocument


@dataclass(frozen=True, slots=True, eq=False)
class Enforced:
    """A policy, and the subject that it comes from; None for company."""

    policy: Policy
    subject: Subject | None

    @property
    def has_own_rules(self) -> bool:
        """Whether the rules are those of the document, one by one: those of Kubernetes' policies are converted."""
        return self.subject is not None and KINDS[self.subject.resource.kind].api_version == API_VERSION


class World(Documents):
    """The subjects and their company, and what they mean."""

    @cached_property
    def policies(self) -> tuple[Enforced, ...]:
        """Every policy that is enforced."""
        own = ((lowered, one) for one in self.subjects if (lowered := self._lowered[id(one.resource)]))
        others = ((self._lowered[id(one)], None) for one in self.company)
        return tuple(Enforced(value, subject) for value, subject in (*own, *others) if isinstance(value, Policy))

    @cached_property
    def tiers(self) -> Mapping[str, Tier]:
        """The tiers that are known, built-in ones among them."""
        return {**BUILT_IN_TIERS, **{one.name: one for one in self._values if isinstance(one, Tier)}}

    @cached_property
    def knows_endpoints(self) -> bool:
        """Whether every endpoint and every network set is here."""
        return self.is_live or any(isinstance(one, HostEndpoint | WorkloadEndpoint) for one in self._values)

    @cached_property
    def knows_workloads(self) -> bool:
        """Whether every workload is here, too."""
        return self.is_live or any(isinstance(one, WorkloadEndpoint) for one in self._values)

    @cached_property
    def knows_tiers(self) -> bool:
        """Whether every tier is here."""
        return self.knows_endpoints or any(one.kind == "Tier" for one in self.resources)

    @cached_property
    def knows_labels(self) -> bool:
        """Whether the labels are complete: profiles that are not here could give more."""
        if self.is_live:
            return True
        known = {DEFAULT_ALLOW, *self._things.inherited}
        return all(parent in known for one in self.labelled for parent in one.parents)

    @property
    def labelled(self) -> tuple[Labelled, ...]:
        """Endpoints and network sets with their labels."""
        return self._things.labelled

    @cached_property
    def endpoints(self) -> tuple[Labelled, ...]:
        """Those of them that policy applies to."""
        return tuple(one for one in self.labelled if not isinstance(one.value, NetworkSet))

    def selected(self, selector: Selector) -> tuple[Labelled, ...]:
        """The endpoints and network sets that it matches."""
        if selector.canonical not in self._selected:
            self._selected[selector.canonical] = tuple(one for one in self.labelled if selector.matches(one.labels))
        return self._selected[selector.canonical]

    @cached_property
    def _selected(self) -> dict[str, tuple[Labelled, ...]]:
        return {}

    @cached_property
    def failsafes(self) -> Failsafes:
        """The failsafe ports of every host, as far as documents say: those that some host lacks are left out."""
        said = [one for one in self._values if isinstance(one, FelixSettings)]
        built_in = Failsafes()
        return Failsafes(
            _on_every_host({one.name: one.failsafe_inbound for one in said}, built_in.inbound),
            _on_every_host({one.name: one.failsafe_outbound for one in said}, built_in.outbound),
        )

    def failsafe_ports(self, direction: Direction) -> tuple[FailsafePort, ...]:
        """Those that packets of that direction go to."""
        return self.failsafes.inbound if direction is Direction.INGRESS else self.failsafes.outbound

    def says_failsafes(self, direction: Direction) -> bool:
        """Whether a document says which they are."""
        said = (one for one in self._values if isinstance(one, FelixSettings))
        if direction is Direction.INGRESS:
            return any(one.failsafe_inbound is not None for one in said)
        return any(one.failsafe_outbound is not None for one in said)

    @cached_property
    def _lowered(self) -> "Mapping[int, Lowered | None]":
        """The model's value of each resource, by its identity; None for one that means nothing, or is damaged."""
        return {id(one): _value(one) for one in self.resources}

    @property
    def _values(self) -> Iterator[Lowered]:
        return (one for one in self._lowered.values() if one is not None)

    @cached_property
    def _things(self) -> Things:
        values = ((one, self._lowered[id(one)]) for one in self.resources)
        return things_among((key_of(one), value) for one, value in values if isinstance(value, Thing))


def _value(resource: Resource) -> "Lowered | None":
    try:
        return lower(resource)
    except InvalidDocument:
        return None  # counts as absent, here as for an agent


def _on_every_host(
    said: Mapping[str, tuple[FailsafePort, ...] | None], built_in: tuple[FailsafePort, ...]
) -> tuple[FailsafePort, ...]:
    usual = said.get(DEFAULT_NAME)
    found = built_in if usual is None else usual
    for name, ports in said.items():
        if name != DEFAULT_NAME and ports is not None:
            found = tuple(port for port in found if port in ports)
    return found
