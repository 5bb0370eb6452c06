"""What parameters say together that makes no sense. Felix stops for it; tortie, which acts on none of them, tells.

Source: reference config.md section 2, "Cross-field validation", and section 10.
"""

from collections.abc import Sequence

from tortie.resources.felix import named
from tortie.resources.felix.levels import Level, read

_TYPHA_FILES = ("TyphaKeyFile", "TyphaCertFile", "TyphaCAFile")
_TYPHA_NAMES = ("TyphaCN", "TyphaURISAN")


def conflicts(levels: Sequence[Level]) -> list[str]:
    """A sentence for each conflict among what holds, of levels with the strongest first."""
    found = []
    given = [name for name in (*_TYPHA_FILES, *_TYPHA_NAMES) if _value(name, levels)]
    missing = [name for name in _TYPHA_FILES if name not in given]
    if not any(name in given for name in _TYPHA_NAMES):
        missing.append(" or ".join(_TYPHA_NAMES))
    if given and missing:
        found.append(f"{', '.join(given)} need {', '.join(missing)} too")
    is_etcd = _value("DatastoreType", levels) == "etcdv3" and not _value("EtcdEndpoints", levels)
    if is_etcd and (lacking := [name for name in ("EtcdScheme", "EtcdAddr") if not _value(name, levels)]):
        found.append(f"DatastoreType etcdv3 needs EtcdEndpoints, or {', '.join(lacking)} too")
    if _value("RouteTableRange", levels) and _value("RouteTableRanges", levels):
        found.append("RouteTableRange and RouteTableRanges are both set: remove RouteTableRange")
    return found


def _value(name: str, levels: Sequence[Level]) -> str:
    """The text that holds; empty where the value is."""
    parameter = named(name)
    assert parameter is not None, name
    for level in levels:
        reading = read(parameter, level)
        if reading.counts:
            return "" if reading.value == parameter.syntax.zero else reading.text
    return parameter.default
