"""The parameters of the agents: one table for documents, environment, configuration file, annotations and `explain`.

The table is in files by topic; how sources are read is in `levels.py`.
Source: reference config.md.
"""

from collections.abc import Sequence

from tortie.resources.felix import debug, ebpf, host, maps, process, reports, routing, tables, tunnels
from tortie.resources.felix.parameter import Parameter
from tortie.resources.fields import Field, Fields, suggest
from tortie.resources.values import selector

PARAMETERS: Sequence[Parameter[object]] = tuple(
    parameter
    for topic in (host, tables, ebpf, maps, routing, tunnels, reports, process, debug)
    for parameter in topic.PARAMETERS
)
"""Every parameter, by topic."""
FIELDS: Fields = {
    "nodeSelector": Field(selector(), "The nodes that these settings are for, by their labels."),
    **{parameter.field: parameter.spec_field() for parameter in PARAMETERS if parameter.field},
}
"""Every field of a FelixConfiguration."""
OWN_ANNOTATIONS: Fields = {
    parameter.annotation: parameter.spec_field() for parameter in PARAMETERS if parameter.annotation
}
"""Annotations of a FelixConfiguration that are parameters of tortie's own, of which upstream has no field."""
_BY_NAME = {parameter.name.lower(): parameter for parameter in PARAMETERS}
_BY_WORD = {**{parameter.field.lower(): parameter for parameter in PARAMETERS if parameter.field}, **_BY_NAME}


class UnknownParameter(ValueError):
    """A word that names no parameter; the message says which one was probably meant."""


def named(name: str) -> Parameter[object] | None:
    """The parameter of that name, in any letter case, as sources other than documents call it."""
    return _BY_NAME.get(name.lower())


def find(word: str) -> Parameter[object]:
    """The parameter that a person means, by its name or its field in any letter case. Raises: UnknownParameter."""
    found = _BY_WORD.get(word.lower())
    if found is None:
        hint = suggest(word, [parameter.name for parameter in PARAMETERS])
        raise UnknownParameter(f"no parameter {word[:60]!r}; {hint or 'see tortie config explain --all'}")
    return found
