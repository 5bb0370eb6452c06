"""Bits of the packet's mark that tell later hooks what earlier ones decided.

They are cleared where a packet enters (raw PREROUTING, raw OUTPUT), so that nobody outside can set them, and where it
leaves (mangle POSTROUTING). The other bits are others'; the eBPF driver's (`nft_egress`) is not among these, because
both drivers enforce for a moment where one takes the other's place.
"""

from tortie.dataplane.front import FrontMarks

UNTRACKED = 0x00200000
"""Untracked policy allowed the packet: tracked policy of that side is not asked, and it is not tracked."""
DECIDED = 0x00400000
"""Pre-DNAT policy allowed it: no later ingress stage is asked."""
DEFERRED = 0x00800000
"""A local packet to a translated address: it is judged in POSTROUTING, because OUTPUT still shows the interface that
the address before translation led to."""
ALL = UNTRACKED | DECIDED | DEFERRED
ARRIVED = 0x70000000
"""Where a packet arrived that IPVS may pass on (`passed_on`); used only where the kernel has IPVS."""
FRONT = FrontMarks.of(ALL, told=DEFERRED, allowed=UNTRACKED, odd=DECIDED)
"""What XDP in front says in the same bits, from where the packet enters until raw PREROUTING."""


def has(bits: int) -> str:
    """nft's test for any of the bits."""
    return f"meta mark & {bits:#010x} != 0"


def put(bits: int) -> str:
    """nft's statement that sets the bits."""
    return f"meta mark set meta mark | {bits:#010x}"


def is_value(value: int, mask: int) -> str:
    """nft's test for the value of several bits."""
    return f"meta mark & {mask:#010x} == {value:#010x}"


def clear(bits: int) -> str:
    """nft's statement that clears the bits."""
    return f"meta mark set meta mark & {~bits & 0xFFFFFFFF:#010x}"


CLEAR = clear(ALL)
ONLY_UNTRACKED = f"{CLEAR} | {UNTRACKED:#010x}"
