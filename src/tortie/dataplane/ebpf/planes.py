"""The interfaces that have programs of ours, by name; they follow their interfaces when these get other names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tortie.dataplane.ebpf.folder import PinFolder
from tortie.dataplane.ebpf.generations import Generations
from tortie.dataplane.ebpf.interface import InterfacePlane
from tortie.dataplane.ebpf.lane import Running
from tortie.dataplane.ebpf.programs import Programs
from tortie.model.endpoint import Interface


class Planes(Mapping[str, InterfacePlane]):
    """See the module."""

    def __init__(self, folder: PinFolder, programs: Programs) -> None:
        self._folder, self._programs = folder, programs
        self.generations = Generations()
        """What the lanes of all of them find."""
        self._planes: dict[str, InterfacePlane] = {}

    def __getitem__(self, name: str) -> InterfacePlane:
        return self._planes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._planes)

    def __len__(self) -> int:
        return len(self._planes)

    def at(self, interface: Interface) -> InterfacePlane:
        """The plane of that interface, made if there is none; nothing is attached by that."""
        folder = self._folder.of(interface.index)
        plane = self._planes.setdefault(interface.name, InterfacePlane(folder, self._programs, self.generations))
        plane.place(interface.index, folder)
        return plane

    def release(self, name: str) -> bool:
        """Take everything of ours off the interface; whether there was anything."""
        plane = self._planes.pop(name, None)
        if plane is not None:
            plane.release()
        return plane is not None

    def forget(self, name: str) -> None:
        """Let go of a plane that has nothing attached."""
        del self._planes[name]

    def renew_pins(self) -> None:
        """Have all pins made anew by the next repair: the bpffs that they were in is gone."""
        for plane in self._planes.values():
            if plane.hooks is not None:
                plane.move(self._folder.of(plane.hooks.index))

    def follow_renames(self, interfaces: Mapping[str, Interface]) -> Mapping[str, str]:
        """Put planes under the names that their interfaces have now; new name -> old one, of those that moved.

        An interface that has another name keeps its programs, and its counts go on. Names may have gone round: all of
        them move at once, and who had a name before it was given away lets go.
        """
        by_index = {plane.hooks.index: name for name, plane in self._planes.items() if plane.hooks is not None}
        found = {name: by_index.get(interface.index, name) for name, interface in interfaces.items()}
        moved = {name: old for name, old in found.items() if old != name}
        planes = {name: self._planes.pop(old) for name, old in moved.items()}
        for name in planes.keys() & self._planes.keys():  # its interface is not wanted under any name
            self.release(name)
        self._planes |= planes
        return moved

    def running(self, number: int, pages_id: int) -> tuple[str, Running] | None:
        """The interface that has the lane of that number, and what is found there, if it is in pages with that id."""
        return next(
            (
                (name, running)
                for name, plane in self._planes.items()
                for direction, lane in plane.lanes.items()
                if plane.hooks is not None and plane.hooks.lanes.get(direction) == number
                if (running := lane.running) is not None and running.generation.pages.id == pages_id
            ),
            None,
        )
