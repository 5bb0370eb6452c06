"""The host's interfaces, as the calculation wants them, and when they change."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Protocol

from tortie.kernel.netlink import InterfaceWatch, LinkState, interface_toward, read_interfaces
from tortie.model.address import WIDTH, Net, format_address
from tortie.model.endpoint import Interface


class InterfaceSource(Protocol):
    """The network namespace's interfaces."""

    def read(self) -> Sequence[Interface]:
        """Every interface now. Raises: KernelError."""

    def changes(self) -> AsyncGenerator[None, None]:
        """Each time when interfaces changed since this call; several changes may come as one. Raises: KernelError."""

    def toward(self, version: int, address: int) -> str | None:
        """The interface by which a packet to that address would leave now; None: no route leads there.

        Raises: KernelError.
        """


class KernelInterfaces:
    """The interfaces of the calling thread's network namespace."""

    def __init__(self) -> None:
        self._watch: InterfaceWatch | None = None

    def read(self) -> Sequence[Interface]:
        """Every interface now."""
        return to_model(read_interfaces())

    def changes(self) -> AsyncGenerator[None, None]:
        """A watch that is open from now on, until the generator is closed; the one before it ends."""
        if self._watch is not None:
            self._watch.close()
        self._watch = InterfaceWatch()
        return _follow(self._watch)

    def toward(self, version: int, address: int) -> str | None:
        """As the kernel's routes say."""
        return interface_toward(format_address(version, address))


async def _follow(watch: InterfaceWatch) -> AsyncGenerator[None, None]:
    with watch:
        async for change in watch:
            yield change


def to_model(links: Iterable[LinkState]) -> list[Interface]:
    """The links as the calculation sees them: each with the VLAN ids that devices on top of it take."""
    links = list(links)
    vlans: dict[int, set[int]] = {}
    for link in links:
        if link.parent_index is not None and link.vlan_id is not None:
            vlans.setdefault(link.parent_index, set()).add(link.vlan_id)
    kinds = {link.index: link.kind for link in links}
    return [
        Interface(
            name=link.name,
            index=link.index,
            # What counts is the host's own address, not the network it is in.
            addresses=frozenset(Net(version, address, WIDTH[version]) for version, address, _ in link.addresses),
            is_up=link.is_up,
            is_loopback=link.is_loopback,
            vlans=frozenset(vlans.get(link.index, ())),
            broadcasts=link.broadcasts,
            forwards=link.forwards,
            has_ethernet=link.has_ethernet,
            kind=link.kind,
            master_kind=kinds.get(link.master_index, "") if link.master_index is not None else "",
            mtu_bytes=link.mtu,
        )
        for link in links
    ]
