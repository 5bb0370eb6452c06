"""Writes what loader.c loads: generations of random policies in every back end, as objects, constants and sizes."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from struct import pack

from bpf.test_verifier import every_dimension, every_stage
from bpf.untracked import MARK
from strategies import Case, random_case, random_normal_case
from tortie.dataplane.ebpf.classifiers import Classifiers
from tortie.dataplane.ebpf.generation import (
    DOORS,
    OBJECTS,
    OPTIONAL_MAPS,
    SHARED_MAPS,
    SharedMap,
    TrackingPlan,
    describe,
)
from tortie.dataplane.ebpf.plan import Planner
from tortie.kernel import bpf
from tortie.model.packet import Direction

SIZES = ((1, 1), (2, 10), (3, 60), (4, 200))
"""Seed and number of rules."""
LARGE = 60
"""Rules of the largest program: more of them make larger tables, and no more instructions."""
BACKENDS = ("auto", "folded", "bits")
TRACKING = TrackingPlan({name: SharedMap(-1, 0) for name in SHARED_MAPS})
SHARED_SIZE = 1024


def main(folder: Path) -> None:
    """Fill the folder; the guest sees it as /cases."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("root", *DOORS):
        shutil.copy(OBJECTS / f"{name}.bpf.o", folder)
    roots = ("xdp_root", "tc_root", "tc_out", "tc_mark", "xdp_empty")
    lines = [f"/cases/root.bpf.o {name} - root" for name in roots]
    for door in DOORS:
        for backend in BACKENDS:
            if door != "egress":
                lines += [_line(folder, door, backend, size, case, None) for size, case in _untracked(backend)]
            lines += [_line(folder, door, backend, size, case, TRACKING) for size, case in _tracked(backend)]
    (folder / "list").write_text("\n".join(lines) + "\n")


def _untracked(backend: str) -> Iterator[tuple[str, Case]]:
    for seed, size in SIZES:
        yield str(size), random_case(Random(seed), size)
    if backend != "auto":
        yield "all", every_dimension(LARGE)


def _tracked(backend: str) -> Iterator[tuple[str, Case]]:
    for seed, size in SIZES:
        yield f"tracked.{size}", random_normal_case(Random(seed), size)
    yield "tracked.all", every_stage(4 if backend == "auto" else LARGE)


def _line(folder: Path, door: str, backend: str, size: str, case: Case, tracking: TrackingPlan | None) -> str:
    """What loader.c has to do for one generation: as Generation does."""
    direction = Direction.EGRESS if door == "egress" else Direction.INGRESS
    plan, _ = Planner().plan(case.endpoint, direction, case.sets, case.failsafes, tracking)
    classifiers = Classifiers(plan.stages, plan.members, backend=backend)
    file = f"{door}.{backend}.{size}"
    with bpf.ObjectFile(OBJECTS / f"{door}.bpf.o") as obj:
        constants, sizes = describe(obj, plan, classifiers)
        values = {"cfg": constants, "mark_bit": MARK.to_bytes(4, "little")}
        records = (pack("=II", obj.variable(name)[0], len(value)) + value for name, value in values.items())
        (folder / file).write_bytes(b"".join(records))
    if tracking is not None:
        sizes |= dict.fromkeys(SHARED_MAPS, SHARED_SIZE)
    sizes = dict.fromkeys(OPTIONAL_MAPS, 0) | sizes
    words = " ".join(f"{name}={entries}" for name, entries in sizes.items())
    return f"/cases/{door}.bpf.o {door}_policy /cases/{file} {backend}.{size} {words}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
