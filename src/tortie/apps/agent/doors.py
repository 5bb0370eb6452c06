"""The real doors of an agent: the dataplanes that it can choose from, the kernel's interfaces and timeouts.

A dataplane is one line in `OFFERS`, in order of preference, and the functions that it names; drivers are imported when
they are asked.
"""

from collections.abc import Sequence

from tortie.apps.agent.interfaces import InterfaceSource, KernelInterfaces
from tortie.apps.agent.kerneltimeouts import KernelTimeouts, TimeoutSource
from tortie.dataplane.chosen import Look, Offer
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


def _look_for_ebpf() -> Look:
    lacks = features.probe().missing_required
    return Look(lacks, "the kernel takes XDP and tc programs, and nft for untracked egress")


def _ebpf_left() -> Sequence[str]:
    from tortie.dataplane.ebpf.driver import leftovers

    return leftovers()


def _ebpf_has_traces() -> bool:
    from tortie.dataplane.ebpf.driver import BPFFS
    from tortie.dataplane.ebpf.folder import folder_in

    return folder_in(BPFFS) is not None


def _ebpf_unreadable() -> Sequence[str]:
    from tortie.dataplane.ebpf.driver import unreadable

    return unreadable()


def _open_nftables() -> ReplaceableDriver:
    from tortie.dataplane.ebpf.front import XdpFront
    from tortie.dataplane.nftables.driver import NftablesDriver

    return NftablesDriver(XdpFront(NFTABLES, _lacks_for_xdp))


def _lacks_for_xdp() -> Sequence[str]:
    return _look_for_ebpf().lacks


def _look_for_nftables() -> Look:
    if not features.may_administer():
        return Look(("this process lacks CAP_NET_ADMIN: run as root, or give it this capability",))
    try:
        nft.run(_NFT_TRIAL, check_only=True)
    except KernelError as error:
        return Look((error.detail or f"{error}: the kernel needs nf_tables and connection tracking",))
    return Look((), "the kernel takes nft rules with connection tracking")


def _nftables_left() -> Sequence[str]:
    from tortie.dataplane.nftables.table import IN_TABLE

    table = (f"table {IN_TABLE}",) if nft.has_table(*IN_TABLE.split()) else ()
    return (*table, *_front_left(NFTABLES))


def _front_left(driver: str) -> Sequence[str]:
    from tortie.dataplane.ebpf.front import FOLDER, leftovers

    return leftovers(FOLDER / driver)


def _front_has_traces(driver: str) -> bool:
    from tortie.dataplane.ebpf.folder import folder_in
    from tortie.dataplane.ebpf.front import FOLDER

    return folder_in(FOLDER / driver) is not None


def _open_iptables() -> ReplaceableDriver:
    from tortie.dataplane.ebpf.front import XdpFront
    from tortie.dataplane.iptables.driver import IptablesDriver

    return IptablesDriver(front=XdpFront(IPTABLES, _lacks_for_xdp))


def _look_for_iptables() -> Look:
    from tortie.dataplane.iptables.survey import look

    return look()


def _iptables_left() -> Sequence[str]:
    from tortie.dataplane.iptables.survey import left

    return (*left(), *_front_left(IPTABLES))


OFFERS = (
    Offer(
        name=EBPF,
        open=_open_ebpf,
        look=_look_for_ebpf,
        left=_ebpf_left,
        has_traces=_ebpf_has_traces,
        unreadable=_ebpf_unreadable,
    ),
    Offer(
        name=NFTABLES,
        open=_open_nftables,
        look=_look_for_nftables,
        left=_nftables_left,
        has_traces=lambda: _front_has_traces(NFTABLES),
    ),
    Offer(
        name=IPTABLES,
        open=_open_iptables,
        look=_look_for_iptables,
        left=_iptables_left,
        has_traces=lambda: _front_has_traces(IPTABLES),
    ),
)


def open_interfaces() -> InterfaceSource:
    """The interfaces of this network namespace."""
    return KernelInterfaces()


def open_timeouts() -> TimeoutSource:
    """The timeouts of this network namespace's connection tracking."""
    return KernelTimeouts()
