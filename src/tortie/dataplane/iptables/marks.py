"""Bits of the packet's mark that tell later rules what earlier ones decided.

They are cleared where a packet enters (raw PREROUTING, raw OUTPUT), so that nobody outside can set them, and where it
leaves (mangle POSTROUTING). The other bits are others', and are never touched.
"""

from dataclasses import dataclass

from tortie.dataplane.front import FrontMarks

_NEEDED = 5
_ARRIVED = 3
_OTHERS = 0x70F00000
"""The bits of our other drivers (`nft_egress`, `nftables`), the last to be taken: where one driver takes the other's
place, both enforce for a moment, and each clears its own where packets enter."""


@dataclass(frozen=True, slots=True)
class Marks:
    """One bit each. `untracked`: untracked policy allowed the packet; tracked policy of that side is not asked.

    `decided`: pre-DNAT policy allowed it, and no later ingress stage is asked.
    `allowed`: a forward stage allowed it; what stands at the end of FORWARD accepts it.
    `deferred`: a local packet to a translated address. It is judged in POSTROUTING, because OUTPUT still shows the
    interface that the address before translation led to.
    `scratch`: for a rule whose protocols no single match names.
    `arrived`: up to three bits of where a packet arrived that IPVS may pass on (`passed_on`), none where the mask has
    no more; used only where the kernel has IPVS.
    """

    untracked: int
    decided: int
    allowed: int
    deferred: int
    scratch: int
    arrived: int

    @property
    def all(self) -> int:
        """Every bit of ours but those of arrivals."""
        return self.untracked | self.decided | self.allowed | self.deferred | self.scratch


def marks_of(mask: int) -> Marks:
    """The lowest bits of the mask. Raises: ValueError where it has too few."""
    bits = (1 << position for position in range(32) if mask >> position & 1)
    found = sorted(bits, key=lambda bit: (bit & _OTHERS != 0, bit))
    if len(found) < _NEEDED:
        raise ValueError(f"the mask of marks {mask:#x} has {len(found)} bits; give iptablesMarkMask {_NEEDED} or more")
    untracked, decided, allowed, deferred, scratch, *more = found[: _NEEDED + _ARRIVED]
    return Marks(untracked, decided, allowed, deferred, scratch, sum(more))


def front_marks(bits: Marks) -> FrontMarks:
    """What XDP in front says in the same bits, from where the packet enters until raw PREROUTING."""
    return FrontMarks.of(bits.all, told=bits.deferred, allowed=bits.untracked, odd=bits.decided)


def has(bits: int) -> str:
    """The match of packets with any of the bits."""
    return f"-m mark ! --mark 0x0/{bits:#x}"


def is_value(value: int, mask: int) -> str:
    """The match of the value of several bits."""
    return f"-m mark --mark {value:#x}/{mask:#x}"


def lacks(bits: int) -> str:
    """The match of packets with none of the bits."""
    return f"-m mark --mark 0x0/{bits:#x}"


def put(bits: int) -> str:
    """The target that sets the bits; the next rule is asked."""
    return f"-j MARK --set-xmark {bits:#x}/{bits:#x}"


def put_value(value: int, mask: int) -> str:
    """The target that gives several bits a value; the next rule is asked."""
    return f"-j MARK --set-xmark {value:#x}/{mask:#x}"


def clear(bits: int) -> str:
    """The target that clears the bits; the next rule is asked."""
    return f"-j MARK --set-xmark 0x0/{bits:#x}"
