"""Parameters that size the maps of the eBPF dataplane. Source: reference config.md section 7."""

from tortie.resources.felix.parameter import Parameter
from tortie.resources.felix.syntax import WHOLE, whole, word
from tortie.resources.values import integer

CONNTRACK_SIZE = Parameter(
    "BPFMapSizeConntrack",
    WHOLE,
    "512000",
    "Most established connections of each IP version.",
    key="bpfMapSizeConntrack",
    may_be_none=False,
    is_used=True,
)
_MAGLEV = whole(1, 3000)


def _entries(what: str, default: int, doc: str) -> Parameter[int]:
    name = f"BPFMapSize{what}"
    return Parameter(name, WHOLE, str(default), doc, key=f"bpfMapSize{what}", may_be_none=False)


PARAMETERS: tuple[Parameter[object], ...] = (
    Parameter(
        "BPFMaglevMaxEndpointsPerService",
        _MAGLEV,
        "100",
        "Endpoints of one service that consistent hashing has room for.",
        key="bpfMaglevMaxEndpointsPerService",
    ),
    Parameter(
        "BPFMaglevMaxServices",
        _MAGLEV,
        "100",
        "Services that consistent hashing has room for.",
        key="bpfMaglevMaxServices",
    ),
    CONNTRACK_SIZE,
    Parameter(
        "BPFMapSizeConntrackCleanupQueue",
        whole(field=integer(1)),
        "100000",
        "Connections that may wait for their removal.",
        key="bpfMapSizeConntrackCleanupQueue",
        may_be_none=False,
    ),
    Parameter(
        "BPFMapSizeConntrackScaling",
        word("Disabled", "DoubleIfFull", ignore_case=True, may_be_empty=True),
        "DoubleIfFull",
        "Whether the table of connections grows when it is full.",
        key="bpfMapSizeConntrackScaling",
        may_be_none=False,
    ),
    _entries("IPSets", 1048576, "Most members of all IP sets together."),
    _entries("IfState", 1000, "Most interfaces whose state is kept."),
    _entries("NATAffinity", 65536, "Most clients that are bound to a backend."),
    _entries("NATBackend", 262144, "Most backends of all services together."),
    _entries("NATFrontend", 65536, "Most addresses and ports of services."),
    Parameter(
        "BPFMapSizePerCPUConntrack",
        WHOLE,
        "0",
        "Connections for each processor, instead of BPFMapSizeConntrack; 0: that one holds.",
        key="bpfMapSizePerCpuConntrack",
    ),
    _entries("Route", 262144, "Most routes."),
)
