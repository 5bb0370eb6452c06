"""What this host has of iptables: programs, what the kernel takes of either variant, and rules of others. Acts.

Whether the kernel takes rules is tried in a network namespace of its own, because an empty table of the legacy variant
that a trial would make stays for as long as its namespace.
"""

import errno
import shutil
from collections.abc import Sequence

from tortie.dataplane.chosen import Look
from tortie.dataplane.iptables.backend import Evidence, choose
from tortie.dataplane.iptables.listing import read_tables
from tortie.dataplane.iptables.sets import PORTS
from tortie.kernel import features, ipset, iptables
from tortie.kernel.errors import KernelError
from tortie.kernel.netns import fresh
from tortie.model.tables import Backend

_CAPABILITIES = ("CAP_NET_ADMIN", "CAP_NET_RAW")
_SET = "tortie-trial"
_TRIAL = (
    "*raw\n-A PREROUTING -m mark --mark 0x0/0x1 -j CT --notrack\nCOMMIT\n"
    "*mangle\n-A PREROUTING -m comment --comment x -j MARK --set-xmark 0x1/0x1\nCOMMIT\n"
    f"*filter\n-A INPUT -m set --match-set {_SET}{{version}} src,dst -j DROP\n"
    "-A OUTPUT -m conntrack --ctstate DNAT --ctdir ORIGINAL -j ACCEPT\nCOMMIT\n"
)
"""What the rules of every endpoint need."""


def survey() -> list[Evidence]:
    """Both variants on this host and in this network namespace. Raises: KernelError."""
    default = iptables.default_variant()
    refused = _refusals()
    return [_evidence(variant, refused.get(variant, ""), variant == default) for variant in iptables.VARIANTS]


def _evidence(variant: str, refused: str, is_default: bool) -> Evidence:
    missing = iptables.missing(variant)
    rules = 0
    if not missing and not refused:
        for version in iptables.versions():
            tables = read_tables(iptables.save(variant, version))
            rules += sum(sum(table.others.values()) for table in tables.values())
    return Evidence(variant, missing, rules, refused, is_default)


def _refusals() -> dict[str, str]:
    """By variant: why the kernel does not take its rules. Whoever may not make namespaces hears of that only when the
    rules come."""
    try:
        with fresh():
            for version in iptables.versions():
                ipset.restore(f"create {_SET}{version} {PORTS} family {'inet6' if version == 6 else 'inet'}\n")
            return {variant: why for variant in iptables.VARIANTS if (why := _refusal(variant))}
    except KernelError as error:
        if error.code == errno.EPERM and error.door == "netns":
            return {}
        raise


def _refusal(variant: str) -> str:
    if iptables.missing(variant):
        return ""
    try:
        for version in iptables.versions():
            iptables.restore(variant, version, _TRIAL.format(version=version), is_alone=True)
    except KernelError as error:
        return error.detail or str(error)
    return ""


def look() -> Look:
    """Whether this host can have the driver, and which variant an agent takes unless it is told otherwise."""
    if absent := _absent():
        return Look((f"this process lacks {', '.join(absent)}: run as root, or give it these capabilities",))
    if shutil.which("ipset") is None:
        return Look(("ipset is not installed: install the package ipset",))
    try:
        found = survey()
    except KernelError as error:
        return Look((f"{error}: the kernel needs ip_set (CONFIG_IP_SET, CONFIG_NETFILTER_XT_SET)",))
    chosen = choose(Backend.AUTO, found)
    if chosen is None:
        return Look(("; ".join(map(str, found)),))
    return Look((), f"{chosen.variant} unless IptablesBackend says otherwise: {chosen.reason}")


def _absent() -> list[str]:
    return [name for name in _CAPABILITIES if name not in features.capabilities()]


def left() -> Sequence[str]:
    """Names of the tables in which an earlier agent left something. Changes nothing. Raises: KernelError.

    Whoever lacks privileges cannot look, and could not take anything away: `look` tells of it.
    """
    if _absent():
        return ()
    return [found for variant in iptables.VARIANTS if not iptables.missing(variant) for found in _left(variant)]


def _left(variant: str) -> Sequence[str]:
    try:
        return [
            f"{variant} IPv{version} {name}"
            for version in iptables.versions()
            for name, table in read_tables(iptables.save(variant, version)).items()
            if table.is_ours
        ]
    except KernelError:
        if variant in _refusals():  # a kernel that takes no such rules has none
            return ()
        raise
