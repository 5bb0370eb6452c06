"""What the elements of the connection table mean, and whether one that another version left can be read.

    host/flows4
    host/layout-<digest>    the same map again, under a name that says what its elements mean

A table that means something else nobody here can read, and without it connections would be cut: it is left alone, and
so is what judges by it (decision 18). One without such a name is of a version before there were any.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tortie.dataplane.ebpf.compile import digest
from tortie.dataplane.ebpf.generation import CLOCK_SHIFT
from tortie.dataplane.ebpf.pages import OBJECTS
from tortie.dataplane.ebpf.shared import FLOW_MAPS, SHARED_MAPS, SharedMap
from tortie.kernel import bpf
from tortie.kernel.errors import KernelError

_MARK = "layout-"


class Shape(NamedTuple):
    """What a map is made with, beside its size."""

    type: int
    key_size: int
    value_size: int
    flags: int


@cache
def shapes() -> Mapping[str, Shape]:
    """What the maps are made of, as the programs want them."""
    with bpf.ObjectFile(OBJECTS / "egress.bpf.o") as obj:
        return {
            name: Shape(
                bpf.LRU_HASH if name.startswith("opening") else bpf.HASH,
                obj.key_size(name),
                obj.value_size(name),
                0 if name.startswith("opening") else bpf.NO_PREALLOC,
            )
            for name in SHARED_MAPS
        }


@cache
def meaning() -> str:
    """What elements of the table mean, as a digest: where their fields are, and what flags and states stand for."""
    with bpf.ObjectFile(OBJECTS / "egress.bpf.o") as obj:
        structs = [obj.layout(name) for name in ("flow", "flow_key4", "flow_key6")]
        enums = [obj.enum(name) for name in ("flow_state", "flow_flag")]
        parts = (structs, enums, sorted(shapes().items()), CLOCK_SHIFT)
    return digest([repr(parts).encode()]).hex()[:16]


def require_known(folder: Path) -> None:
    """Raises: KernelError, where another version left a table that this one cannot read; nothing is changed."""
    left = {name: info for name in FLOW_MAPS if (info := _pinned(folder / name)) is not None}
    marks = [path for path in folder.glob(f"{_MARK}*") if path.name != _MARK + meaning()]
    others = {info.id for path in marks if (info := _pinned(path)) is not None}  # one of a table before has another id
    is_other = "flows4" in left and left["flows4"].id in others
    if is_other or any(not fits(info, shapes()[name]) for name, info in left.items()):
        raise KernelError(
            "bpf",
            f"connection table in {folder}",
            0,
            "another version of tortie made it, and this one cannot read it; what that version enforces was left as it "
            "is. Start that version again; or, if nothing may be enforced meanwhile, run `tortie agent cleanup` and "
            "start this one, which takes over the connections that the kernel knows",
        )


def mark(folder: Path, table: SharedMap) -> None:
    """Have the pin that says what the elements mean, and no older one."""
    wanted = folder / f"{_MARK}{meaning()}"
    found = _pinned(wanted)
    if found is None or found.id != table.id:
        bpf.pin_over(table.fd, wanted)
    for path in folder.glob(f"{_MARK}*"):
        if path != wanted:
            path.unlink(missing_ok=True)


def _pinned(path: Path) -> bpf.MapInfo | None:
    """What the kernel says of the map that is pinned there; None where none is."""
    if not path.exists():
        return None
    with bpf.borrowed(bpf.open_pin(path)) as fd:
        return bpf.map_info(fd)


def fits(info: bpf.MapInfo, shape: Shape) -> bool:
    """Whether keys and values have the right size."""
    return (info.key_size, info.value_size) == (shape.key_size, shape.value_size)
