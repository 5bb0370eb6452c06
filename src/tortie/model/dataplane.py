"""Which dataplane is wanted on a host.

Source: reference config.md sections 5 and 7: BPFEnabled comes before NFTablesMode, and that chooses between nftables
and iptables. `NFTablesMode: Auto` is what every document is stored with, and says nothing.
"""

from typing import NamedTuple

EBPF, NFTABLES, IPTABLES = "ebpf", "nftables", "iptables"


class DataplaneWish(NamedTuple):
    """Names of dataplanes, the first one that this host can have; none: whatever there is. `because`: who says so."""

    names: tuple[str, ...] = ()
    because: str = ""


WHATEVER = DataplaneWish()
"""Nobody says anything."""


def wish_of(uses_ebpf: bool | None, nftables_mode: str | None) -> DataplaneWish:
    """What the two parameters ask for; None: it is not said."""
    if uses_ebpf:
        return DataplaneWish((EBPF,), "BPFEnabled is true")
    match nftables_mode:
        case "Enabled":
            return DataplaneWish((NFTABLES,), "NFTablesMode is Enabled")
        case "Disabled":
            return DataplaneWish((IPTABLES,), "NFTablesMode is Disabled")
    return DataplaneWish((NFTABLES, IPTABLES), "BPFEnabled is false") if uses_ebpf is False else WHATEVER
