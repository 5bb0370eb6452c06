"""What a kind of resource is: its names, how its documents are read and checked, and what they mean to the model.

Values of this package are named tuples, where no two of different types are ever compared. Because: every command loads
them, and making the class of a frozen dataclass takes 0.6 ms, that of a named tuple 0.1 ms.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tortie.resources.fields import Fields, Json, Law
from tortie.resources.nodes import Mapping as MappingNode
from tortie.resources.nodes import Node
from tortie.resources.problems import Problems

if TYPE_CHECKING:  # reading documents needs no model
    from tortie.model.endpoint import HostEndpoint, NetworkSet, ServiceSlice, WorkloadEndpoint
    from tortie.model.policy import Policy, Profile, Tier
    from tortie.model.settings import FelixSettings, NodeLabels

API_VERSION = "projectcalico.org/v3"
Lowered: TypeAlias = (
    "HostEndpoint | WorkloadEndpoint | Policy | NetworkSet | ServiceSlice | Tier | FelixSettings | NodeLabels | Profile"
)
Body = dict[str, Json]


class Resource(NamedTuple):
    """A valid resource. `body` is canonical: apiVersion, kind, metadata and what its kind keeps, defaults in place.

    `line` is where its document begins in `source`; 0 for one that came from a datastore.
    """

    kind: str
    namespace: str
    name: str
    body: Body
    resource_version: str | None = None
    source: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.namespace}/{self.name})" if self.namespace else f"{self.kind}({self.name})"

    @property
    def spec(self) -> Mapping[str, Json]:
        """The specification; empty where the document has none."""
        spec = self.body.get("spec")
        return spec if isinstance(spec, dict) else {}

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the metadata."""
        return self._texts("labels")

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the metadata."""
        return self._texts("annotations")

    def _texts(self, key: str) -> Mapping[str, str]:
        metadata = self.body.get("metadata")
        found = metadata.get(key) if isinstance(metadata, dict) else None
        return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


class Draft(NamedTuple):
    """A document of which every field was read: what the checks across fields see, and where defaults are put."""

    name: str
    metadata: Body
    spec: Body
    metadata_node: Node
    spec_node: MappingNode
    problems: Problems


class Written(NamedTuple):
    """A resource that is about to be stored, beside what is there then: its older self, and others by kind."""

    resource: Resource
    old: Resource | None
    others: Mapping[str, Sequence[Resource]]


class Misfit(NamedTuple):
    """Why a resource does not fit to what is stored, with the code and the path of a problem."""

    code: str
    path: str
    message: str
    remedy: str


class GeneralCell(NamedTuple):
    """A cell that depends on what is said for all: by the object `default` of the kind `general`.

    `cell` is told that object, one that says nothing where none is stored, or None where it cannot be read.
    """

    general: str
    cell: Callable[[Resource, Resource | None], str]


class Column(NamedTuple):
    """A column of a table: its heading, and the cell for a resource."""

    heading: str
    cell: Callable[[Resource], str] | GeneralCell

    @property
    def json_path(self) -> str:
        """Where an API server finds the cell in a document; empty where it is more than one field."""
        return ".".join(("", "spec", *self.cell.keys)) if isinstance(self.cell, SpecCell) else ""


class Kind(NamedTuple):
    """A kind.

    `name` is unique here; `word` is what documents call it, which two API groups may have in common. `aliases` are for
    people, `short_names`, which are among them, for API servers too. `complete` checks across fields and puts defaults
    in place that depend on others, `laws` say to API servers what it checks; their `self` is the document.
    `check_name` says what is wrong with a name; `is_name_computed`: the specification determines it, and `complete`
    puts it in place. `lower` None: nothing of the kind is enforced on this host; it answers None for a resource of
    which nothing is. `is_staged`: it says what would be enforced, so that people are told that it is not. `read_only`:
    why people cannot write it. `check_written` says what a document alone cannot, from those of the kinds that it
    `looks_at`.

    `annotations`: those that mean something, by their keys. `top`: fields beside `metadata` and `spec`.
    `keeps_status`: the status is kept with the rest, as it is not ours to say. `is_open`: the kind belongs to another
    project, whose fields that are not named here are passed over.
    """

    name: str
    plural: str
    aliases: tuple[str, ...]
    fields: Fields
    lower: "Callable[[Resource], Lowered | None] | None"
    columns: tuple[Column, ...]
    wide: tuple[Column, ...]
    extra: tuple[Column, ...] = ()
    doc: str = ""
    short_names: tuple[str, ...] = ()
    annotations: Fields = MappingProxyType({})
    top: Fields = MappingProxyType({})
    status: Fields | None = None
    complete: Callable[[Draft], None] = lambda draft: None
    laws: tuple[Law, ...] = ()
    check_name: Callable[[str], str | None] = lambda name: None
    check_written: Callable[[Written], Iterable[Misfit]] = lambda written: ()
    looks_at: tuple[str, ...] = ()
    is_namespaced: bool = False
    is_staged: bool = False
    api_version: str = API_VERSION
    document_kind: str = ""
    read_only: str = ""
    is_name_computed: bool = False
    keeps_status: bool = False
    is_open: bool = False

    @property
    def word(self) -> str:
        """What `kind:` says in its documents."""
        return self.document_kind or self.name

    @property
    def group(self) -> str:
        """The API group; empty for the core of Kubernetes."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]


def meaning(module: str) -> "Callable[[Resource], Lowered | None]":
    """Lowering by that module of `meanings`, which is loaded with the model when the first document is lowered."""

    def lower(resource: Resource) -> "Lowered | None":
        lowered: Lowered | None = import_module(f"tortie.resources.meanings.{module}").lower(resource)
        return lowered

    return lower


def _printed(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class SpecCell:
    """Cell of the field of the specification with these keys; `missing` where it is absent."""

    __slots__ = ("_form", "_missing", "keys")

    def __init__(self, keys: tuple[str, ...], missing: str = "", form: Callable[[object], str] = _printed) -> None:
        self.keys, self._missing, self._form = keys, missing, form

    def __call__(self, resource: Resource) -> str:
        """The cell of that resource."""
        value: object = resource.spec
        for key in self.keys:
            value = value.get(key) if isinstance(value, dict) else None
        return self._missing if value is None else self._form(value)


def spec_cell(*keys: str, missing: str = "") -> SpecCell:
    """Cell of a field of the specification; lists are joined by commas."""
    return SpecCell(keys, missing)


def cut(cell: Callable[[Resource], str]) -> Callable[[Resource], str]:
    """The cell, of which a table shows 80 characters at most."""

    def shortened(resource: Resource) -> str:
        text = cell(resource)
        return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}..."

    return shortened


def spec_law(rule: str, message: str) -> Law:
    """A law of the specification, which the rule calls `spec`."""
    whole = re.sub(r"\bspec\.", "self.spec.", rule)
    return Law(f"!has(self.spec) || ({whole})", message)


def check_default_name(name: str) -> str | None:
    """What is wrong with the name of a kind of which there is one object."""
    return None if name == "default" else _ONE_OBJECT


_ONE_OBJECT = 'there is one object of this kind, and its name is "default"'
DEFAULT_NAME_LAW = Law("self.metadata.name == 'default'", _ONE_OBJECT)
"""The same for API servers."""
MAX_CELL = 80
NAME = Column("NAME", lambda resource: resource.name)
NAMESPACE = Column("NAMESPACE", lambda resource: resource.namespace)


def _order(order: object) -> str:
    if not isinstance(order, int | float):
        return "<nil>"
    magnitude = abs(order)
    if magnitude and (magnitude < 1e-4 or magnitude >= 1e21):
        return f"{order:.17g}"
    if order == int(order):
        return f"{int(order)}" if magnitude < 1_000_000 else _exponent(float(order))
    return repr(float(order))


def _exponent(order: float) -> str:
    digits, _, power = f"{order:e}".partition("e")
    shortest = digits.rstrip("0").rstrip(".")
    if float(f"{shortest}e{power}") != order:
        return f"{int(order)}"
    return f"{shortest}e{power}"


order_cell = SpecCell(("order",), "<nil>", _order)
"""Cell of an order, as upstream prints its floats; `<nil>` where there is none."""
