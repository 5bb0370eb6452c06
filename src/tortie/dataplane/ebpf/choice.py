"""Where the packets that arrive on an interface should be judged, and why it cannot be there: in words. Pure.

    endpoint's annotation, settings ─▶ XdpWish ─┐
    untracked policy?  kind of interface ───────┴─▶ Choice ─▶ hooks ─▶ as chosen, or an Obstacle and tc

Source: decision 16, which has the figures.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from tortie.kernel.ethtool import DriverFacts
from tortie.model.desired import EndpointState
from tortie.model.endpoint import Interface
from tortie.model.packet import Direction
from tortie.model.policy import Stage
from tortie.model.xdp import ANNOTATION, XdpUse, XdpWish

SINGLE_BUFFER_MTU = 3_400
"""From about here on a frame does not fit into the page that a driver without multi-buffer support gives to XDP."""


@dataclass(frozen=True, slots=True)
class Choice:
    """XDP or tc. `why`: the cause, for people; it is also why tc is not what it is that is there."""

    wants_xdp: bool
    why: str
    wish: XdpWish
    interface: Interface

    @property
    def is_demanded(self) -> bool:
        """Whether something is wrong where XDP cannot be had."""
        return self.wish.use is XdpUse.ALWAYS

    @property
    def may_be_generic(self) -> bool:
        """Whether generic XDP will do."""
        return self.is_demanded and self.wish.may_be_generic

    @property
    def circumstances(self) -> tuple[object, ...]:
        """What an attempt depends on, as far as we see: another one is worth it only where that is different."""
        one = self.interface
        return one.index, one.kind, one.master_kind, one.mtu_bytes, one.is_up, self.may_be_generic


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why XDP could not be had. `is_foreign`: another's program is there, and may go."""

    words: str
    circumstances: tuple[object, ...]
    is_foreign: bool = False


def choose(state: EndpointState) -> Choice:
    """What is right for the interface, as its endpoint and the host's settings want it."""
    wish, interface = state.xdp, state.interface
    is_untracked = bool(state.stage(Stage.UNTRACKED, Direction.INGRESS))
    match wish.use:
        case XdpUse.NEVER:
            wants, why = False, said(wish)
        case XdpUse.ALWAYS:
            wants, why = True, said(wish)
        case XdpUse.UNTRACKED:
            wants = is_untracked
            why = f"{said(wish)}, and {'' if is_untracked else 'no '}untracked policy applies"
        case XdpUse.AUTO:
            wants, why = True, "auto: what is denied costs least in the driver"
    if wants and interface.vlans:
        # Drivers (and veth) hand tags over beside the packet: XDP would take what is a VLAN interface's for this one's.
        wants, why = False, f"{why}, but VLAN interfaces stand on it: XDP does not see whose a packet is"
    return Choice(wants, why, wish, interface)


def said(wish: XdpWish) -> str:
    """Who wants it so."""
    if wish.is_own:
        return f"the endpoint says {ANNOTATION}: {wish.use.value}"
    also = " or xdpEnabled: false" if wish.use is XdpUse.NEVER else ""
    return f"the settings say {ANNOTATION}: {wish.use.value}{also}"


def obstacle(code: int, detail: str, choice: Choice, told: DriverFacts, *, is_occupied: bool) -> Obstacle:
    """Why the kernel refused native XDP with that errno. `detail`: what the door made of it; `told`: by the driver."""
    is_foreign = is_occupied and code in (errno.EBUSY, errno.EEXIST)
    words = detail if is_foreign else "; ".join(_causes(code, choice.interface, told)) or detail
    return Obstacle(words or errno.errorcode.get(code, str(code)), choice.circumstances, is_foreign)


def _causes(code: int, interface: Interface, told: DriverFacts) -> Iterator[str]:
    """What is known to make kernels and drivers refuse, the certain before the possible. Source: reference ux.md, rows
    27 to 31; linux/net/core/dev.c dev_xdp_attach, linux/drivers/net/bonding/bond_main.c bond_xdp_set."""
    name, driver = interface.name, told.driver or interface.kind or "its driver"
    if interface.master_kind == "bond" and code == errno.EINVAL:
        yield f"{name} is a port of a bond: XDP belongs on the bond, which can have an endpoint of its own"
        return
    if code in (errno.EBUSY, errno.EEXIST):
        yield f"an interface on top of {name} has an XDP program"
        return
    if code == errno.EOPNOTSUPP and interface.kind == "vlan":
        yield "a VLAN interface has none; what it stands on may have, and what is denied there never gets here"
        return
    if code == errno.EOPNOTSUPP and interface.kind == "bond":
        yield "a port of the bond has none, or the bond's mode takes none (use active-backup, balance-xor or 802.3ad)"
        return
    if code == errno.EOPNOTSUPP and not told.has_lro and interface.mtu_bytes <= SINGLE_BUFFER_MTU:
        yield f"{driver} has none"
        return
    if code not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.EMSGSIZE):
        return
    yield f"{driver} refuses ({errno.errorcode[code]})"
    if interface.mtu_bytes > SINGLE_BUFFER_MTU:
        yield (
            f"perhaps for the MTU of {interface.mtu_bytes} or the other end's, which needs multi-buffer XDP "
            f"(xdp.frags) in kernel and driver: ip link set {name} mtu 3400"
        )
    if told.channels and 2 * told.channels > told.most_channels:
        yield (
            f"perhaps because {told.channels} of {told.most_channels} channels are in use, where some drivers need as "
            f"many more for XDP: ethtool -L {name} combined {max(1, told.most_channels // 2)}"
        )
    if told.has_lro:
        yield f"perhaps because it joins received frames: ethtool -K {name} lro off"
