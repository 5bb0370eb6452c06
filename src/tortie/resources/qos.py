"""Quality of service of endpoints: limits of their traffic, and the mark that their packets get.

Source: reference resources.md section 11.
"""

from tortie.resources.fields import Field, Fields, Json, Scope, describe, join, object_of
from tortie.resources.kind import Draft
from tortie.resources.nodes import Mapping, Scalar
from tortie.resources.values import DSCP_VALUES, dscp, integer

DSCP_ANNOTATION = "qos.projectcalico.org/dscp"
_DIRECTIONS = ("ingress", "egress")
_LIMITS = {
    "Bandwidth": (1_000, 10**15, "bits per second"),
    "Burst": (1_000, 34_359_738_360, "bits that may come at once, beside a bandwidth"),
    "Peakrate": (1_010, 1_010_000_000_000_000, "bits per second within a burst, more than the bandwidth"),
    "Minburst": (1_000, 100_000_000, "bytes that may come at the peak rate, beside one"),
    "PacketRate": (1, 10_000, "packets per second"),
    "PacketBurst": (1, 10_000, "packets that may come at once"),
    "MaxConnections": (1, 2**32 - 1, "connections at a time"),
}
"""The least and the greatest value, and what it counts. 0 stands for no limit."""
_NEEDS = (("Burst", "Bandwidth"), ("Minburst", "Peakrate"))


def _limit(direction: str, suffix: str) -> Field:
    first, last, unit = _LIMITS[suffix]
    return Field(integer(0, last), f"Limit of {direction} traffic: {unit}. 0: none; else at least {first}.")


def _check(scope: Scope, value: dict[str, Json]) -> None:
    for direction in _DIRECTIONS:
        for suffix, (first, _, _) in _LIMITS.items():
            key = direction + suffix
            found = value.get(key)
            if isinstance(found, int) and 0 < found < first:
                expected, remedy = f"0, or at least {first}", "raise it, or remove it"
                scope.report(
                    "TT1105", (key,), "number out of range", found=str(found), expected=expected, remedy=remedy
                )
        for suffix, needed in _NEEDS:
            key = direction + suffix
            if value.get(key) and not value.get(direction + needed) and not scope.concern(direction + needed):
                message = f"{key} needs {direction}{needed}"
                scope.report("TT1331", (key,), message, remedy=f"add {direction}{needed}")
        rate, peak = value.get(f"{direction}Bandwidth"), value.get(f"{direction}Peakrate")
        if isinstance(rate, int) and isinstance(peak, int) and 0 < peak <= rate:
            key, expected = f"{direction}Peakrate", f"more than {rate}"
            message = f"{key} must exceed {direction}Bandwidth"
            scope.report("TT1331", (key,), message, found=str(peak), expected=expected, remedy="raise it, or remove it")


_limits: Fields = {direction + suffix: _limit(direction, suffix) for suffix in _LIMITS for direction in _DIRECTIONS}
qos_controls = object_of(
    {**_limits, "dscp": Field(dscp, "The Differentiated Services value that leaving packets get.")}, _check
)
"""Decoder of the limits of a workload endpoint."""


def check_dscp(draft: Draft) -> None:
    """Note an annotation that names no DSCP."""
    annotations = draft.metadata.get("annotations")
    value = annotations.get(DSCP_ANNOTATION) if isinstance(annotations, dict) else None
    if value is None:
        return
    word = str(value).upper()
    if word in DSCP_VALUES or (word.isascii() and word.isdigit() and len(word) <= 2 and int(word) <= 63):
        return
    metadata = draft.metadata_node
    given = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    at = (given.get(DSCP_ANNOTATION) if isinstance(given, Mapping) else None) or metadata
    found = describe(at) if isinstance(at, Scalar) else ""
    path = join("metadata.annotations", DSCP_ANNOTATION)
    draft.problems.add("TT1114", at, path, "invalid DSCP", found=found, expected="0 to 63, or a name such as EF")
