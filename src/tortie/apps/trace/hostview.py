"""One node as a question sees it: everything that packets meet there, and where it comes from.

live state (engine, kernel) ────────────────┐
                                            ├─▶ HostView ─▶ trace, explain
documents: files, datastore, a revision ────┘
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tortie.apps.answers import SourceText
from tortie.apps.decoding import decode_files, key_of
from tortie.apps.labelled import ENDPOINTS
from tortie.apps.trace.imagining import imagined
from tortie.apps.trace.origins import Origins
from tortie.apps.trace.staged import ENFORCED, Staging, changes, instead, stagings
from tortie.model.address import WIDTH, Net
from tortie.model.desired import EndpointStatus
from tortie.model.endpoint import WILDCARD, HostEndpoint, Interface, WorkloadEndpoint
from tortie.model.host import Host
from tortie.model.settings import FelixSettings
from tortie.resources.codec import decode_stored, encode, lower
from tortie.resources.kind import Resource
from tortie.resources.problems import InvalidDocument
from tortie.store.protocol import Entry, Key

Toward = Callable[[int, int], str | None]
"""(version, address) to the interface by which the host would send a packet there; None: nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """`interfaces`: those of the host, or those that had to be imagined (`is_imagined`). `notes`: sentences for people.

    `revision`: of the datastore that the documents are of; None where there is none.
    """

    node: str
    host: Host
    interfaces: Mapping[str, Interface]
    toward: Toward
    origins: Origins
    is_imagined: bool = False
    revision: int | None = None
    notes: tuple[str, ...] = ()
    statuses: tuple[EndpointStatus, ...] = ()
    """Of host endpoints, where documents were gone through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What a question is about: every document as it would be stored, and where each is from.

    `revisions`: of those that are stored; the others are in `texts`. `told`: settings that an agent there has beside
    documents. `revision`: of the datastore, None where there is none.
    """

    values: Mapping[Key, bytes]
    texts: Sequence[SourceText] = ()
    revisions: Mapping[Key, int] = field(default_factory=dict)
    told: Sequence[FelixSettings] = ()
    revision: int | None = None
    notes: tuple[str, ...] = ()

    def resources(self, kinds: Container[str]) -> Iterator[Resource]:
        """Those of these kinds that can be read."""
        for key, value in self.values.items():
            if key.kind in kinds:
                try:
                    yield decode_stored(value)
                except InvalidDocument:
                    continue  # counts as absent, as in the agent


def gather(
    stored: Sequence[Entry],
    files: Sequence[SourceText],
    *,
    told: Sequence[FelixSettings] = (),
    revision: int | None = None,
    notes: tuple[str, ...] = (),
) -> Documents:
    """Stored documents with those of files laid over them. Raises: Failure INVALID for those of the files."""
    overlaid = {key_of(one): encode(one) for one in decode_files(files)}
    return Documents(
        values={entry.key: entry.value for entry in stored} | overlaid,
        texts=files,
        revisions={entry.key: entry.revision for entry in stored if entry.key not in overlaid},
        told=told,
        revision=revision,
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """Where documents are imagined to be in force: a node, and the interfaces that it has or may have.

    `toward`: the host's routes, where it lives. `workload_nets`: addresses of its workloads, where it is imagined.
    """

    node: str
    interfaces: Sequence[Interface] = ()
    toward: Toward | None = None
    is_imagined: bool = False
    workload_nets: tuple[Net, ...] = ()


def imagine(documents: Documents, scene: Scene, staged: Sequence[Staging] = ()) -> HostView:
    """The host as these documents would have it, with these staged policies carried out."""
    values: dict[Key, bytes | None] = {**documents.values}
    values |= {key: None if one is None else encode(one) for key, one in changes(staged).items()}
    entries = (Entry(key, value, 0) for key, value in values.items() if value is not None)
    engine = imagined(scene.node, entries, (), scene.interfaces, told=documents.told)
    return HostView(
        node=scene.node,
        host=engine.host(),
        interfaces={one.name: one for one in scene.interfaces},
        toward=scene.toward or _to_workloads(engine.local_workloads()),
        origins=Origins(documents.texts, documents.revisions, instead(staged)),
        is_imagined=scene.is_imagined,
        revision=documents.revision,
        notes=documents.notes,
        statuses=engine.statuses(),
    )


def staged_in(documents: Documents) -> list[Staging]:
    """What the documents stage."""
    return stagings(documents.resources(ENFORCED))


def imagined_scene(node: str, documents: Documents) -> Scene:
    """A host of which only documents are known: each interface that an endpoint of the node names, with the addresses
    that it expects."""
    interfaces: dict[str, Interface] = {}
    workload_nets: list[Net] = []
    for endpoint in _endpoints(documents, node):
        if isinstance(endpoint, WorkloadEndpoint):
            workload_nets += endpoint.nets
        elif (name := endpoint.interface_name) is not None and name != WILDCARD:
            known = interfaces.get(name) or imagined_interface(name, len(interfaces) + 1)
            interfaces[name] = replace(known, addresses=known.addresses | {*endpoint.expected_ips})
    return Scene(node, tuple(interfaces.values()), is_imagined=True, workload_nets=tuple(workload_nets))


def only_node(documents: Documents) -> str | None:
    """The node that all endpoints of the documents are on; None where there is not exactly one."""
    found = {one.node for one in _endpoints(documents, None)}
    return found.pop() if len(found) == 1 else None


def imagined_interface(name: str, index: int, addresses: Iterable[Net] = ()) -> Interface:
    """An interface of which nothing but that is known; it forwards, so that addresses tell what is for the host."""
    return Interface(name=name, index=index, addresses=frozenset(addresses), forwards=frozenset((4, 6)))


def host_net(version: int, address: int) -> Net:
    """The network of that address alone."""
    return Net(version, address, WIDTH[version])


def _endpoints(documents: Documents, node: str | None) -> Iterator[HostEndpoint | WorkloadEndpoint]:
    """Those of the node, or of all."""
    for resource in documents.resources(ENDPOINTS):
        try:
            value = lower(resource)
        except InvalidDocument:
            continue
        if isinstance(value, HostEndpoint | WorkloadEndpoint) and node in (None, value.node):
            yield value


def _to_workloads(workloads: Iterable[WorkloadEndpoint]) -> Toward:
    """Routes to the workloads of a node, of which nobody knows others."""
    routes = [(net, one.interface_name) for one in workloads for net in one.nets]
    routes.sort(key=lambda route: -route[0].length)

    def toward(version: int, address: int) -> str | None:
        return next((name for net, name in routes if net.contains(version, address)), None)

    return toward
