"""Cases of what several kinds of Kubernetes share."""

from dataclasses import replace

from field_cases import ABSENT, FieldCase, Reads, Spec
from value_cases import BAD_PORT_NAMES, NUMBER, address

PROTOCOL = ("TCP", "UDP", "SCTP")


def host_address(path: str, around: Spec | None = None) -> FieldCase:
    """An address that may be empty."""
    return replace(address(path), around=around or {})


def optional_port_name(path: str, around: Spec) -> FieldCase:
    """The name of a port that may have none."""
    return FieldCase(path, ["http", Reads("", ABSENT)], [*BAD_PORT_NAMES, NUMBER], around)


def with_default(kept: Spec, *given: Spec) -> list[Reads]:
    """Items that defaults complete, with a field that nobody here knows."""
    return [Reads([{**one, "theirs": 1}], [kept]) for one in given]
