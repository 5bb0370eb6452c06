"""Taking another driver's place, and giving this one's up: the steps between the tables of connections. Acts.

to another driver    track ─▶ the kernel knows our flows ─▶ (it enforces) ─▶ every interface only notices ─▶ gone
from another driver  (every interface only notices; the kernel's connections are stored; it decides) ─▶ settle
"""

import logging
import time
from collections.abc import Callable

from tortie.dataplane.driver import Unsupported
from tortie.dataplane.ebpf.flows import FlowTables
from tortie.dataplane.ebpf.folder import PinFolder
from tortie.dataplane.ebpf.generation import TrackingPlan
from tortie.dataplane.ebpf.handover import TRACK, TRACKING, tracked_keys, untold
from tortie.dataplane.ebpf.interface import InterfacePlane, Plans
from tortie.dataplane.ebpf.planes import Planes
from tortie.dataplane.ebpf.programs import Programs
from tortie.kernel import nft
from tortie.kernel.ctnetlink import read_entries
from tortie.kernel.ctremember import remember
from tortie.kernel.errors import KernelError
from tortie.model.conntrack import Timeouts
from tortie.model.desired import EndpointState
from tortie.model.endpoint import Interface

log = logging.getLogger("tortie.dataplane")

TRACKING_TABLE = f"table {TRACKING}"
_PASSAGE_S = 0.05
"""Longer than a packet is on its way from the first hook to the last one."""


def is_tracking() -> bool:
    """Whether the kernel tracks because we asked it to. Raises: KernelError."""
    return nft.has_table(*TRACKING.split())


def stop_tracking() -> bool:
    """Have the kernel not track for us any more; whether it did. Raises: KernelError."""
    if not is_tracking():
        return False
    nft.run(f"delete {TRACKING_TABLE}\n")
    return True


def hand_over(flows: FlowTables, timeouts: Timeouts) -> None:
    """Have the kernel track, then tell it of the flows that it does not know from both ends. Raises: KernelError."""
    if not is_tracking():
        nft.run(TRACK)
    flows.adopt()
    tracked = read_entries()
    remember(list(untold((one.flow for one in flows.flows()), tracked, timeouts)))


def only_notice(
    folder: PinFolder,
    programs: Programs,
    planes: Planes,
    flows: FlowTables,
    noticing: Callable[[EndpointState, TrackingPlan], Plans],
) -> None:
    """Have no interface drop anything: else those whose hooks go first would miss what the others ask them about.

    What cannot be made so is taken off as it is. Raises: KernelError.
    """
    flows.adopt()
    tracking = flows.plan()
    known = {plane.hooks.index: plane for plane in planes.values() if plane.hooks is not None}
    for index in map(int, folder.left()):
        plane = known.get(index) or InterfacePlane(folder.of(index), programs, planes.generations)
        try:
            if tracking is not None:
                programs.use(tracking.maps)
                if plane.adopt(index):
                    nothing = EndpointState(interface=Interface(name="", index=index), endpoint="")
                    plane.enforce(index, noticing(nothing, tracking), None)
        except (KernelError, Unsupported) as error:
            log.warning("interface %d: %s; connections may lose a packet", index, error)
        if index not in known:
            plane.close()


def settle(flows: FlowTables) -> None:
    """Forget the flows that the driver before did not allow: the kernel tracks what it did. Raises: KernelError.

    Because: the kernel knows a connection only once its first packet has passed all hooks.
    """
    noticed = list(flows.flows())
    time.sleep(_PASSAGE_S)
    allowed = set(tracked_keys(read_entries()))
    flows.forget(one for one in noticed if one.flow.key not in allowed)
