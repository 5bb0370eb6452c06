"""The bpffs folder of one network namespace: a folder with pins for each interface, by index.

    /run/tortie/bpf/netns-<cookie>/if<index>/{slot, xdp, tc, lane-<number>, out_slot, out, out_lane-<number>}
                                   host/{flows4, flows6, opening4, opening6, local, layout-<digest>}
                                   host/{scratch_<door>, <door>_<pages>_<digest>, lanes<pages>-<build>, events-<build>}

Other namespaces have theirs beside it; of those only what hangs on no interface any more is ever removed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from tortie.dataplane.ebpf.hooks import Hooks, is_dead, remove_folder
from tortie.dataplane.ebpf.programs import Programs, Traits
from tortie.kernel import bpf, netns
from tortie.kernel.errors import KernelError

_HOST = "host"
_PREFIX = "if"


def namespace_name() -> str:
    """Name of this network namespace's folder: the cookie, which is never given twice; inode numbers are."""
    try:
        return f"netns-{netns.cookie()}"
    except KernelError:
        return f"netns-inode-{netns.inode()}"  # before Linux 5.14


def left_in(bpffs: Path) -> Sequence[str]:
    """What `PinFolder.left` would say, without mounting anything."""
    reached = bpf.mounted_bpffs(bpffs)
    found = reached.glob(f"{namespace_name()}/{_PREFIX}*") if reached is not None else ()
    return sorted(folder.name.removeprefix(_PREFIX) for folder in found)


def host_folder_in(bpffs: Path) -> Path | None:
    """What `PinFolder.host` would be, without mounting anything; None where it is not there."""
    folder = folder_in(bpffs)
    return folder / _HOST if folder is not None and (folder / _HOST).is_dir() else None


def folder_in(bpffs: Path) -> Path | None:
    """The folder of this network namespace, without mounting anything; None where it is not there."""
    reached = bpf.mounted_bpffs(bpffs)
    folder = None if reached is None else reached / namespace_name()
    return folder if folder is not None and folder.is_dir() else None


class PinFolder:
    """See the module. Raises: KernelError, where no bpffs can be mounted."""

    def __init__(self, bpffs: Path, traits: Traits) -> None:
        self._bpffs, self._traits = bpffs, traits
        self._open()

    def _open(self) -> None:
        self._reached = bpf.durable_bpffs(self._bpffs)
        self._path = self._reached / namespace_name()
        self._path.mkdir(mode=0o700, exist_ok=True)

    def of(self, index: int) -> Path:
        """The folder of an interface, whether it exists or not."""
        return self._path / f"{_PREFIX}{index}"

    @property
    def host(self) -> Path:
        """The folder of what belongs to no single interface."""
        return self._path / _HOST

    def renew(self) -> bool:
        """Mount the bpffs again if others took it away; whether that was so. Pins are then to be made anew."""
        if bpf.is_current(self._bpffs, self._reached):
            return False
        self._open()
        return True

    def left(self) -> Sequence[str]:
        """Indices, as text, of the interfaces that have pins."""
        return [folder.name.removeprefix(_PREFIX) for folder in sorted(self._path.glob(f"{_PREFIX}*"))]

    def sweep(self, wanted: Collection[int]) -> None:
        """Take off what an earlier agent left on other interfaces; unpin what has lost its interface, anywhere."""
        names = {self.of(index).name for index in wanted}
        for folder in sorted(self._path.iterdir()):
            if folder.name not in names and folder != self.host:
                self._remove(folder)
        for folder in self._reached.glob(f"netns-*/{_PREFIX}*"):
            if folder.parent != self._path and is_dead(folder):
                remove_folder(folder)
                if not any(folder.parent.glob(f"{_PREFIX}*")):  # its lanes and tables would keep their memory for ever
                    remove_folder(folder.parent / self.host.name)
                    folder.parent.rmdir()

    def remove(self) -> Sequence[str]:
        """Take everything off and remove the folder, and the bpffs if nobody else uses it; what `left` had said."""
        left = self.left()
        if not self._path.exists():  # removed before
            return left
        for folder in sorted(self._path.iterdir()):
            self._remove(folder)
        self._path.rmdir()
        bpf.unmount_bpffs(self._bpffs)
        return left

    def fall_silent(self) -> None:
        """Have all interfaces pass everything, as good as at one moment: what is taken off after that, one hook after
        another, would else drop what it saw one direction of.

        Because: roots whose slot is empty let packets pass (bpf/root.bpf.c).
        """
        slots = [bpf.open_pin(path) for path in self._path.glob(f"{_PREFIX}*/*slot")]
        try:
            for slot in slots:
                bpf.delete(slot, bytes(4))
        finally:
            for slot in slots:
                os.close(slot)

    def _remove(self, folder: Path) -> None:
        index = folder.name.removeprefix(_PREFIX)
        if not index.isdigit():
            remove_folder(folder)
            return
        programs = Programs(self._traits)
        hooks = Hooks.adopt(folder, int(index), programs)
        # of what is not whole, links go with their pins, and filters by their handle
        (hooks or Hooks(folder, int(index), programs)).detach()
