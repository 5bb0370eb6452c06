"""Writes what loader.c loads: every root, and every policy program for every size of generation."""

import shutil
import sys
from pathlib import Path

from tortie.dataplane.ebpf.pages import OBJECTS, SIZES
from tortie.dataplane.ebpf.programs import DOORS
from tortie.kernel import bpf


def main(folder: Path) -> None:
    """Fill the folder; the guest sees it as /cases."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in ("root", *DOORS):
        shutil.copy(OBJECTS / f"{name}.bpf.o", folder)
        with bpf.ObjectFile(OBJECTS / f"{name}.bpf.o") as obj:
            sizes = (0,) if name == "root" else SIZES
            lines += [f"/cases/{name}.bpf.o {program} {size}" for program in obj.program_names for size in sizes]
    (folder / "list").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
