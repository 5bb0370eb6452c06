"""Levels: what each source says of the parameters, as text, and what that comes to.

    environment ─▶ configuration file ─▶ node.<name> ─▶ a document by its selector ─▶ default ─▶ built-in

The strongest level that says something of a parameter wins, parameter by parameter. What nobody can read counts as the
built-in default and not as unsaid, so that no weaker level shows through; it is never silent.
Source: reference config.md sections 1 and 2.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from tortie.model.selector import parse_selector
from tortie.model.settings import Scope
from tortie.resources.felix import PARAMETERS, named
from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import Unreadable
from tortie.resources.fields import Json
from tortie.resources.kind import Resource
from tortie.resources.problems import shorten

V = TypeVar("V")

ENVIRONMENT = "environment"
ANNOTATION = "config.projectcalico.org/"
_PREFIX = "felix_"
_NOTHING = "none"


class Saying(NamedTuple):
    """A value as a source has it, and where in the source; `wrong`: why the text cannot stand for the value."""

    text: str
    place: str
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """What one source says, by the parameter's name; of several sayings the first one counts.

    `unknown`: by names that are no parameter's. `scope`: of documents only.
    """

    source: str
    sayings: Mapping[str, Sequence[Saying]] = field(default_factory=dict)
    unknown: Mapping[str, Sequence[Saying]] = field(default_factory=dict)
    scope: Scope | None = None

    def said(self, parameter: Parameter[object]) -> Saying | None:
        """The saying that counts; empty text says nothing."""
        found = self.sayings.get(parameter.name, ())
        return found[0] if found and found[0].text.strip() else None


@dataclass(frozen=True, slots=True)
class Reading(Generic[V]):
    """What a level's saying comes to. `counts` False: as if nothing was said. `value` None: there is no value.

    `problem`: why it does not count, or not as it was said. `is_fatal`: an agent must not go on with it.
    """

    counts: bool = False
    value: V | None = None
    text: str = ""
    problem: str = ""
    is_fatal: bool = False


def default_of(parameter: Parameter[V]) -> V | None:
    """The built-in value; None where there is none."""
    return parameter.syntax.parse(parameter.default) if parameter.default else None


def read(parameter: Parameter[V], level: Level) -> Reading[V]:
    """What the level makes of the parameter."""
    saying = level.said(parameter)
    if saying is None:
        return Reading()
    text = saying.text.strip()
    if level.scope is not None and parameter.is_local:
        return Reading(text=text, problem="documents cannot set it; set it in the environment or in the file")
    syntax, problem = parameter.syntax, ""
    if text.lower() == _NOTHING and not saying.wrong:
        if not parameter.may_be_none:
            return _unread(parameter, f"{text} is no value of it", is_fatal=True)
        return Reading(counts=True, value=syntax.zero, text=_zero_text(syntax.zero))
    try:
        if saying.wrong:
            raise Unreadable(saying.wrong)
        value = syntax.parse(text)
    except Unreadable as error:
        return _unread(parameter, str(error), is_fatal=parameter.is_fatal)
    problem = "; ".join(syntax.doubts(text))
    return Reading(counts=True, value=value, text=text, problem=problem)


def _unread(parameter: Parameter[V], why: str, *, is_fatal: bool) -> Reading[V]:
    then = f"the default {parameter.default or '(none)'} holds"
    problem = f"{why}; expected {parameter.syntax.form}" + ("" if is_fatal else f"; {then}")
    return Reading(counts=True, value=default_of(parameter), text=parameter.default, problem=problem, is_fatal=is_fatal)


def _zero_text(zero: object) -> str:
    if isinstance(zero, bool | int | float):
        return str(zero).lower()
    return zero if isinstance(zero, str) and zero else _NOTHING


def problems(level: Level) -> Iterator[tuple[Parameter[object], Saying, Reading[object]]]:
    """Every parameter of which the level says something that does not count as it was said."""
    for parameter in PARAMETERS:
        saying = level.said(parameter)
        if saying is not None and (reading := read(parameter, level)).problem:
            yield parameter, saying, reading


# ---- sources


def _level(source: str, entries: Iterable[tuple[str, Saying]], scope: Scope | None = None) -> Level:
    """The level of names and sayings, the weakest first."""
    sayings: dict[str, list[Saying]] = {}
    unknown: dict[str, list[Saying]] = {}
    for name, saying in entries:
        parameter = named(name)
        if parameter is None:
            unknown.setdefault(name, []).insert(0, saying)
        else:
            sayings.setdefault(parameter.name, []).insert(0, saying)
    return Level(source, sayings, unknown, scope)


def environment_level(variables: Mapping[str, str]) -> Level:
    """What variables FELIX_<Parameter>, in any letter case, say."""
    found = ((name, text) for name, text in variables.items() if name.lower().startswith(_PREFIX))
    return _level(ENVIRONMENT, ((name[len(_PREFIX) :], Saying(text, name)) for name, text in found))


def file_level(text: str, source: str) -> Level:
    """What a file of lines `Parameter = value` says; sections do not matter, a later line wins.

    Raises: Unreadable, naming the line.
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;" or (line[0] == "[" and line[-1] == "]"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise Unreadable(f"line {number}: {shorten(line)!r} is no Parameter = value, [section] or # comment")
        entries.append((name.strip(), Saying(_uncommented(value), f"line {number}")))
    return _level(source, entries)


def _uncommented(value: str) -> str:
    for mark in (" #", " ;", "\t#", "\t;"):
        value = value.partition(mark)[0]
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _field_saying(parameter: Parameter[object], value: Json) -> Saying:
    place = f"spec.{parameter.field}"
    try:
        return Saying(parameter.syntax.flatten(value), place)
    except Unreadable as error:
        return Saying(repr(value), place, str(error))


def document_level(resource: Resource) -> Level:
    """What a FelixConfiguration says. Its annotations win over its fields; an empty one says nothing.

    Raises: InvalidSelector, for a stored document that is damaged.
    """
    metadata = resource.body.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    entries = [
        (parameter.name, _field_saying(parameter, value))
        for parameter in PARAMETERS
        if parameter.field and (value := resource.spec.get(parameter.field)) is not None
    ]
    annotations = metadata.get("annotations")
    own = {parameter.annotation: parameter.name for parameter in PARAMETERS if parameter.annotation}
    for key, text in annotations.items() if isinstance(annotations, dict) else ():
        name = own.get(key) or (key.removeprefix(ANNOTATION) if key.startswith(ANNOTATION) else "")
        if name and str(text).strip():
            entries.append((name, Saying(str(text), f"annotation {key}")))
    selector = resource.spec.get("nodeSelector")
    scope = Scope(
        resource.name,
        parse_selector(selector) if isinstance(selector, str) and selector else None,
        str(metadata.get("creationTimestamp", "")),
    )
    return _level(f"{resource.kind}({resource.name})", entries, scope)


_SUPPLIED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "ClusterInformation": {
        "ClusterGUID": ("clusterGUID",),
        "ClusterType": ("clusterType",),
        "CalicoVersion": ("calicoVersion",),
        "Variant": ("variant",),
    },
    "Node": {
        "IPv4VXLANTunnelAddr": ("ipv4VXLANTunnelAddr",),
        "IPv6VXLANTunnelAddr": ("ipv6VXLANTunnelAddr",),
        "VXLANTunnelMACAddr": ("vxlanTunnelMACAddr",),
        "VXLANTunnelMACAddrV6": ("vxlanTunnelMACAddrV6",),
        "IpInIpTunnelAddr": ("bgp", "ipv4IPIPTunnelAddr"),
    },
}
"""By kind, the parameters that other documents than settings supply, and the fields that hold them."""


def supplied_level(resource: Resource) -> Level:
    """What a document says of parameters although it is none of settings: ClusterInformation, or a Node."""
    entries = []
    for name, keys in _SUPPLIED[resource.kind].items():
        value: Json | None = {**resource.spec}
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            entries.append((name, Saying(value, ".".join(("spec", *keys)))))
    return _level(f"{resource.kind}({resource.name})", entries)
