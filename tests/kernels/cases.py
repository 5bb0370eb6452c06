"""Writes what loader.c loads: generations of random policies in every back end, as objects, constants and sizes."""

import shutil
import sys
from pathlib import Path
from random import Random

from bpf.test_verifier import every_dimension
from bpf.untracked import plan_of
from strategies import random_case
from tortie.dataplane.ebpf.classifiers import Classifiers
from tortie.dataplane.ebpf.generation import OBJECTS, describe
from tortie.kernel import bpf

SIZES = ((1, 1), (2, 10), (3, 60), (4, 200))
"""Seed and number of rules."""


def main(folder: Path) -> None:
    """Fill the folder; the guest sees it as /cases."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"/cases/root.bpf.o {name} - 0 root" for name in ("xdp_root", "tc_root", "tc_mark", "xdp_empty")]
    for name in ("root", "xdp", "tc"):
        shutil.copy(OBJECTS / f"{name}.bpf.o", folder)
    for door in ("xdp", "tc"):
        for backend in ("auto", "folded", "bits"):
            for size, case in [
                *((size, random_case(Random(seed), size)) for seed, size in SIZES),
                *(((60_000, every_dimension(60)),) if backend != "auto" else ()),
            ]:
                plan, _ = plan_of(case)
                classifiers = Classifiers(plan.stages, plan.members, backend=backend)
                with bpf.ObjectFile(OBJECTS / f"{door}.bpf.o") as obj:
                    constants, sizes = describe(obj, plan, classifiers)
                    file = f"{door}.{backend}.{size}"
                    (folder / file).write_bytes(constants)
                    words = " ".join(f"{name}={entries}" for name, entries in sizes.items())
                    offset, _ = obj.variable("cfg")
                lines.append(f"/cases/{door}.bpf.o {door}_policy /cases/{file} {offset} {backend}.{size} {words}")
    (folder / "list").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
