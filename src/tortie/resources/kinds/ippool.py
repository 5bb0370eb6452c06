"""IPPool: a network from which workloads, tunnels or services get their addresses.

Source: reference resources.md section 8.11. What needs the other pools, or the pool as it was, is checked on writing.
"""

from collections.abc import Iterator
from functools import lru_cache

from tortie.model.address import InvalidAddress, Net, parse_net
from tortie.resources.addresses import net
from tortie.resources.fields import Field, Json, Scope, list_of
from tortie.resources.kind import NAME, Column, Draft, Kind, Misfit, Resource, Written, spec_cell, spec_law
from tortie.resources.metadata import condition
from tortie.resources.values import enum, flag, integer, selector

BLOCK_SIZES = {4: (20, 32, 26), 6: (116, 128, 122)}
"""The smallest and the largest prefix length of a block, and the usual one."""
_LINK_LOCAL = (parse_net("169.254.0.0/16", strict=True), parse_net("fe80::/10", strict=True))
_BOTH, _EVERYWHERE = "ipipMode and vxlanMode cannot both be enabled", "all()"
_NO_IPIP = "IPIP is not supported on IPv6 pools"
_NO_NAMESPACE = "a pool for tunnels cannot have a namespaceSelector: tunnels have no namespace"
_ALONE = "a pool for LoadBalancer has no other use, tunnel, nodeSelector, and is exported by BGP"
_BALANCER = "LoadBalancer"
_mode = enum("Never", "Always", "CrossSubnet", may_be_empty=True)
_uses = enum("Workload", "Tunnel", _BALANCER)
_NOT_IPIP, _NOT_VXLAN = (f"!has(spec.{key}) || spec.{key} in ['', 'Never']" for key in ("ipipMode", "vxlanMode"))
"""Parts of laws."""


def _within(version: int) -> str:
    """That the size of blocks is one of that IP version, for a law."""
    smallest, largest, _ = BLOCK_SIZES[version]
    return f"({smallest} <= spec.blockSize && spec.blockSize <= {largest})"


def _complete(draft: Draft) -> None:
    spec, scope = draft.spec, Scope(draft.spec_node, "spec", draft.problems)
    if isinstance(cidr := spec.get("cidr"), str):
        _check_network(scope, spec, cidr)
    has_ipip, has_vxlan = (spec.get(key, "Never") != "Never" for key in ("ipipMode", "vxlanMode"))
    if has_ipip and has_vxlan:
        scope.report("TT1332", ("vxlanMode",), _BOTH, remedy="write Never for one of them")
    uses = spec.get("allowedUses")
    if isinstance(uses, list) and not scope.concern("allowedUses"):
        _check_uses(scope, spec, uses)


def _check_network(scope: Scope, spec: dict[str, Json], cidr: str) -> None:
    pool = parse_net(cidr, strict=True)
    spec["cidr"] = str(pool)
    for one in _LINK_LOCAL:
        if one.version == pool.version and (one.contains(*pool[:2]) or pool.contains(*one[:2])):
            message = "IPPool CIDR overlaps with the link-local network"
            scope.report("TT1332", ("cidr",), message, found=str(pool), expected=f"nothing of {one}", remedy="move it")
    if pool.version == 6 and spec.get("ipipMode", "Never") != "Never":
        scope.report("TT1332", ("ipipMode",), _NO_IPIP, remedy="write ipipMode: Never")
    smallest, largest, usual = BLOCK_SIZES[pool.version]
    size = spec.get("blockSize") or usual
    if scope.concern("blockSize") or not isinstance(size, int):
        return
    spec["blockSize"] = size
    if not smallest <= size <= largest:
        expected = f"{smallest} to {largest} for IPv{pool.version}"
        remedy = f"write blockSize: {usual}"
        scope.report("TT1105", ("blockSize",), "number out of range", found=str(size), expected=expected, remedy=remedy)
    elif pool.length > size and not spec.get("disabled"):
        message = "IP pool size is too small for use with Calico IPAM"
        expected = f"a prefix length of at most {size}, the blockSize"
        scope.report("TT1332", ("cidr",), message, found=str(pool), expected=expected, remedy="use a larger network")


def _check_uses(scope: Scope, spec: dict[str, Json], uses: list[Json]) -> None:
    if "Tunnel" in uses and "namespaceSelector" in spec:
        scope.report("TT1332", ("namespaceSelector",), _NO_NAMESPACE, remedy="write allowedUses: [Workload]")
    if _BALANCER not in uses:
        return
    conflicts = {
        "allowedUses": len(uses) > 1,
        "ipipMode": spec.get("ipipMode", "Never") != "Never",
        "vxlanMode": spec.get("vxlanMode", "Never") != "Never",
        "disableBGPExport": spec.get("disableBGPExport") is True,
        "nodeSelector": spec.get("nodeSelector", _EVERYWHERE) != _EVERYWHERE,
    }
    for key, is_there in conflicts.items():
        if is_there:
            scope.report("TT1332", (key,), _ALONE, remedy="remove it")


def _check_written(written: Written) -> Iterator[Misfit]:
    pool, old = written.resource, written.old
    network = _network(pool)
    for other in written.others["IPPool"]:
        known = _network(other)
        if network is None or known is None or other.name == pool.name or known.version != network.version:
            continue
        if network.contains(*known[:2]) or known.contains(*network[:2]):
            message = f"IPPool({pool.name}) CIDR overlaps with IPPool({other.name}) CIDR {known}"
            yield Misfit("TT1332", "spec.cidr", message, "use another network")
    if old is None:
        return
    remedy = "make another pool"
    if _network(old) not in (None, network):
        yield Misfit("TT1332", "spec.cidr", f"IPPool CIDR cannot be modified: it is {_network(old)}", remedy)
    size = old.spec.get("blockSize")
    if size not in (None, pool.spec.get("blockSize")):
        yield Misfit("TT1332", "spec.blockSize", f"IPPool BlockSize cannot be modified: it is {size}", remedy)
    if _BALANCER in _uses_of(old) and _BALANCER not in _uses_of(pool):
        yield Misfit("TT1332", "spec.allowedUses", f"the uses of a pool for {_BALANCER} cannot be changed", remedy)


def _network(pool: Resource) -> Net | None:
    """The pool's network; None where the stored document is damaged."""
    return _parsed(str(pool.spec.get("cidr")))


@lru_cache(maxsize=4096)  # many pools in one apply are compared with each other
def _parsed(cidr: str) -> Net | None:
    try:
        return parse_net(cidr, strict=True)
    except InvalidAddress:
        return None


def _uses_of(pool: Resource) -> list[Json]:
    uses = pool.spec.get("allowedUses")
    return uses if isinstance(uses, list) else []


_CIDR, _SELECTOR = Column("CIDR", spec_cell("cidr")), Column("SELECTOR", spec_cell("nodeSelector"))
KIND = Kind(
    name="IPPool",
    plural="ippools",
    doc="A network from which workloads, tunnels or services get their addresses.",
    aliases=("ippool", "ipp", "ipps", "pool", "pools"),
    short_names=("ipp", "ipps", "pool", "pools"),
    fields={
        "cidr": Field(
            net(
                strict=True,
                may_be_address=False,
                may_be_mapped=False,
                lengths={version: usual for version, (_, _, usual) in BLOCK_SIZES.items()},
            ),
            "The network, of either IP version. It cannot be changed later.",
            is_required=True,
        ),
        "ipipMode": Field(_mode, "When packets between nodes go through an IP-in-IP tunnel.", default="Never"),
        "vxlanMode": Field(_mode, "When packets between nodes go through a VXLAN tunnel.", default="Never"),
        "natOutgoing": Field(flag, "Whether what leaves every pool gets the node's address."),
        "disabled": Field(flag, "Whether no new addresses are given out."),
        "disableBGPExport": Field(flag, "Whether routes to the pool are kept from BGP peers."),
        "blockSize": Field(
            integer(0, 128),
            "The prefix length of the blocks that nodes claim: 20 to 32 (26) for IPv4, 116 to 128 (122) for IPv6; "
            "0 stands for the usual one. It cannot be changed later.",
        ),
        "nodeSelector": Field(selector(is_global_refused=True), "The nodes that use the pool.", default=_EVERYWHERE),
        "namespaceSelector": Field(selector(is_global_refused=True), "The namespaces whose workloads use the pool."),
        "allowedUses": Field(
            list_of(_uses, identity=lambda value: value), "What gets addresses of it.", default=["Workload", "Tunnel"]
        ),
        "assignmentMode": Field(
            enum("Automatic", "Manual"),
            "Whether addresses are given out to all, or only where the pool is asked for.",
            default="Automatic",
        ),
    },
    status={"conditions": Field(list_of(condition), "What controllers say of the pool.")},
    complete=_complete,
    check_written=_check_written,
    looks_at=("IPPool",),
    laws=(
        spec_law(f"{_NOT_IPIP} || {_NOT_VXLAN}", _BOTH),
        spec_law(f"!spec.cidr.contains(':') || {_NOT_IPIP}", _NO_IPIP),
        spec_law(
            f"!has(spec.blockSize) || spec.blockSize == 0 || (spec.cidr.contains(':') ? {_within(6)} : {_within(4)})",
            "number out of range: blockSize is {} to {} for IPv4, {} to {} for IPv6".format(
                *BLOCK_SIZES[4][:2], *BLOCK_SIZES[6][:2]
            ),
        ),
        spec_law(
            "!has(spec.namespaceSelector) || spec.namespaceSelector == '' "
            "|| !has(spec.allowedUses) || !('Tunnel' in spec.allowedUses)",
            _NO_NAMESPACE,
        ),
        spec_law(
            f"!has(spec.allowedUses) || !('{_BALANCER}' in spec.allowedUses) "
            f"|| (size(spec.allowedUses) == 1 && ({_NOT_IPIP}) && ({_NOT_VXLAN}) "
            "&& (!has(spec.disableBGPExport) || !spec.disableBGPExport) "
            f"&& (!has(spec.nodeSelector) || spec.nodeSelector in ['', '{_EVERYWHERE}']))",
            _ALONE,
        ),
    ),
    lower=None,
    columns=(NAME, _CIDR, _SELECTOR),
    wide=(
        NAME,
        _CIDR,
        Column("NAT", spec_cell("natOutgoing", missing="false")),
        Column("IPIPMODE", spec_cell("ipipMode")),
        Column("VXLANMODE", spec_cell("vxlanMode")),
        Column("DISABLED", spec_cell("disabled", missing="false")),
        Column("DISABLEBGPEXPORT", spec_cell("disableBGPExport", missing="false")),
        _SELECTOR,
        Column("ASSIGNMENTMODE", spec_cell("assignmentMode")),
    ),
)
