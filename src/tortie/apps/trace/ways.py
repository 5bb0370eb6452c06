"""Which way a packet takes through a host where the user does not say it: by addresses, routes, or for want of another.

Whatever is chosen is said. Pure, but for the routes of a live host.
"""

from dataclasses import dataclass, replace

from tortie.apps.failure import Code, Failure
from tortie.apps.trace.hostview import HostView, Scene, host_net, imagined_interface
from tortie.model.address import format_address
from tortie.model.evaluate import is_for_host
from tortie.model.packet import Packet
from tortie.model.passage import Way

UNKNOWN = ""
"""The interface by which a packet leaves and that nobody knows; it has no endpoint."""
NOT_TOLD = "give --in IF, --out IF, or both for a packet that is passed on"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A way, and in sentences what of it was chosen for the user."""

    way: Way
    notes: tuple[str, ...] = ()


def stage_set(scene: Scene, packet: Packet, arrives: str | None, leaves: str | None) -> Scene:
    """The scene with the interfaces that the user names, so that the packet meets what he means.

    An interface that the host does not have is imagined. Where one of the two ends has to be the host itself, and no
    address of it is known, it has the address of that end.
    """
    known = {one.name: one for one in scene.interfaces}
    own: tuple[int, int] | None = None
    if (arrives is None) is not (leaves is None):
        own = packet.version, packet.destination if leaves is None else packet.source
    for name in (arrives, leaves):
        if name is None:
            continue
        interface = known.get(name) or imagined_interface(name, len(known) + 1)
        if own is not None and (name not in known or scene.is_imagined) and not _is_elsewhere(scene, *own):
            interface = replace(interface, addresses=interface.addresses | {host_net(*own)})
        known[name] = interface
    return replace(scene, interfaces=tuple(known.values()))


def _is_elsewhere(scene: Scene, version: int, address: int) -> bool:
    """Whether the address is a workload's of an imagined host, and so none of the host's own."""
    return any(net.contains(version, address) for net in scene.workload_nets)


def choose(packet: Packet, arrives: str | None, leaves: str | None, view: HostView) -> Chosen:
    """The packet's way. Raises: Failure USAGE where nobody can tell it, or an interface does not exist."""
    for name in (arrives, leaves):
        if name is not None and name not in view.interfaces and name not in view.host.workloads:
            known = ", ".join(sorted(view.interfaces)) or "none"
            raise Failure(Code.USAGE, f"interface {name!r} does not exist here; there are: {known}")
    if arrives is not None and leaves is not None:
        return Chosen(Way(arrives, leaves))
    if leaves is not None:
        return Chosen(Way(None, leaves), _from_elsewhere(packet, view))
    if arrives is not None:
        return _onward(packet, arrives, view, ())
    return _guessed(packet, view)


def _onward(packet: Packet, arrives: str, view: HostView, notes: tuple[str, ...]) -> Chosen:
    """Where a packet that arrives there goes."""
    if is_for_host(packet, view.interfaces.get(arrives) or imagined_interface(arrives, 0), view.host.addresses):
        return Chosen(Way(arrives, None), notes)
    destination = format_address(packet.version, packet.destination)
    leaves = view.toward(packet.version, packet.destination)
    if leaves is None:
        told = (
            f"{destination} is not this host's: forwarded; where it leaves is not known: give --out for what is there"
        )
        return Chosen(Way(arrives, UNKNOWN), (*notes, told))
    return Chosen(
        Way(arrives, leaves), (*notes, f"{destination} is not this host's: forwarded, by its route to {leaves}")
    )


def _guessed(packet: Packet, view: HostView) -> Chosen:
    """Neither interface is given: who owns the ends tells the direction, and routes tell the interfaces."""
    version, owned = packet.version, view.host.addresses.unicast
    source, destination = (format_address(version, one) for one in (packet.source, packet.destination))
    is_from_here = (version, packet.source) in owned
    if view.host.addresses.contains(version, packet.destination) and not is_from_here:
        arrives = view.toward(version, packet.source) or _owner(version, packet.destination, view)
        if arrives is not None:
            return Chosen(Way(arrives, None), (f"arrives at {arrives}: {destination} is this host's own",))
    if is_from_here:
        leaves = view.toward(version, packet.destination) or _owner(version, packet.source, view)
        if leaves is not None:
            return Chosen(Way(None, leaves), (f"leaves by {leaves}: {source} is this host's own",))
    arrives, leaves = view.toward(version, packet.source), view.toward(version, packet.destination)
    if arrives is not None and leaves is not None:
        return Chosen(Way(arrives, leaves), (f"forwarded from {arrives} to {leaves}: neither end is this host's own",))
    only = arrives or _only_interface(view)
    if only is None:
        known = ", ".join(sorted(view.host.endpoints)) or "none"
        text = f"where the packet arrives or leaves cannot be told; interfaces with a host endpoint: {known}"
        raise Failure(Code.USAGE, f"{text}; {NOT_TOLD}")
    if arrives is None:
        why = f"arrives at {only}, the only interface with a host endpoint"
        if view.is_imagined:
            return Chosen(Way(only, None), (f"{why}, and is taken for this host's; {NOT_TOLD}",))
        return _onward(packet, only, view, (why,))
    return _onward(packet, only, view, (f"arrives at {only}, where the way back to {source} leads",))


def _owner(version: int, address: int, view: HostView) -> str | None:
    """The interface that has the address."""
    net = host_net(version, address)
    return next((name for name, one in sorted(view.interfaces.items()) if net in one.addresses), None)


def _only_interface(view: HostView) -> str | None:
    """The interface, where a single one has a host endpoint."""
    return next(iter(view.host.endpoints)) if len(view.host.endpoints) == 1 else None


def _from_elsewhere(packet: Packet, view: HostView) -> tuple[str, ...]:
    """What to say where a packet is taken for one of a local process and its source is another's."""
    if view.is_imagined or (packet.version, packet.source) in view.host.addresses.unicast:
        return ()
    source = format_address(packet.version, packet.source)
    return (f"taken for a local process's, though {source} is not this host's; with --in it is forwarded",)
