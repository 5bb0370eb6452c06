"""The real doors of an agent: the dataplanes that it can choose from, the kernel's interfaces and timeouts.

A dataplane is one line in `OFFERS`, in order of preference, and the functions that it names; drivers are imported when
they are asked.
"""

from collections.abc import Sequence

from tortie.apps.agent.interfaces import InterfaceSource, KernelInterfaces
from tortie.apps.agent.kerneltimeouts import KernelTimeouts, TimeoutSource
from tortie.dataplane.chosen import Offer
from tortie.dataplane.driver import ReplaceableDriver
from tortie.kernel import features, nft
from tortie.kernel.errors import KernelError
from tortie.model.dataplane import EBPF, IPTABLES, NFTABLES

_NFT_TRIAL = """table inet tortie-trial {
	chain trial {
		type filter hook input priority raw; policy accept;
		iifname "lo" ct state established meta mark set meta mark | 0 accept
		notrack
	}
}
"""
"""What every table of the nftables driver needs of the kernel."""


def _open_ebpf() -> ReplaceableDriver:
    from tortie.dataplane.ebpf.driver import EbpfDriver

    return EbpfDriver()


def _ebpf_lacks() -> Sequence[str]:
    return features.probe().missing_required


def _ebpf_left() -> Sequence[str]:
    from tortie.dataplane.ebpf.driver import leftovers

    return leftovers()


def _ebpf_unreadable() -> Sequence[str]:
    from tortie.dataplane.ebpf.driver import unreadable

    return unreadable()


def _open_nftables() -> ReplaceableDriver:
    from tortie.dataplane.nftables.driver import NftablesDriver

    return NftablesDriver()


def _nftables_lacks() -> Sequence[str]:
    if not features.may_administer():
        return ("this process lacks CAP_NET_ADMIN: run as root, or give it this capability",)
    try:
        nft.run(_NFT_TRIAL, check_only=True)
    except KernelError as error:
        if error.detail:
            return (error.detail,)
        return (f"{error}: the kernel needs nf_tables and connection tracking",)
    return ()


def _nftables_left() -> Sequence[str]:
    from tortie.dataplane.nftables.table import IN_TABLE

    return (f"table {IN_TABLE}",) if nft.has_table(*IN_TABLE.split()) else ()


def _open_iptables() -> ReplaceableDriver:
    from tortie.dataplane.iptables.driver import IptablesDriver

    return IptablesDriver()


def _iptables_lacks() -> Sequence[str]:
    from tortie.dataplane.iptables.survey import lacks

    return lacks()


def _iptables_left() -> Sequence[str]:
    from tortie.dataplane.iptables.survey import left

    return left()


def _iptables_evidence() -> str:
    from tortie.dataplane.iptables.survey import evidence

    return evidence()


OFFERS = (
    Offer(
        name=EBPF,
        open=_open_ebpf,
        lacks=_ebpf_lacks,
        left=_ebpf_left,
        unreadable=_ebpf_unreadable,
        evidence=lambda: "the kernel takes XDP and tc programs, and nft for untracked egress",
    ),
    Offer(
        name=NFTABLES,
        open=_open_nftables,
        lacks=_nftables_lacks,
        left=_nftables_left,
        evidence=lambda: "the kernel takes nft rules with connection tracking",
    ),
    Offer(name=IPTABLES, open=_open_iptables, lacks=_iptables_lacks, left=_iptables_left, evidence=_iptables_evidence),
)


def open_interfaces() -> InterfaceSource:
    """The interfaces of this network namespace."""
    return KernelInterfaces()


def open_timeouts() -> TimeoutSource:
    """The timeouts of this network namespace's connection tracking."""
    return KernelTimeouts()
