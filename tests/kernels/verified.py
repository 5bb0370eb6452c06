"""T-COR-2: what the verifier says of every program, by loader.c, which runs here and in emulated guests.

The budget is half of what Linux verifies for one program, and seven eighths of its stack. Every program knows every
policy, so that the largest configuration is the largest generation: each size has programs of its own.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tortie.dataplane.ebpf.pages import OBJECTS, SIZES
from tortie.kernel import bpf

INSTRUCTIONS, STACK_BYTES, LOAD_MS = 500_000, 448, 2_000
_HERE = Path(__file__).parent
WORK = _HERE.parents[1] / "build" / "kernels"
LOADER, CASES = WORK / "loader", WORK / "cases"


@dataclass(frozen=True, slots=True)
class Verified:
    """A program that was loaded. Units: `stack` bytes of the deepest calls, `took` ms."""

    program: str
    pages: int
    has_frags: bool
    instructions: int
    stack: int
    took: float

    def over(self, *, load_ms: float = LOAD_MS) -> str:
        """How it exceeds the budget, in words; nothing if it does not."""
        found = {
            f"{self.instructions} instructions of {INSTRUCTIONS}": not 0 < self.instructions < INSTRUCTIONS,
            f"{self.stack} bytes of stack of {STACK_BYTES}": not 0 < self.stack < STACK_BYTES,
            f"{self.took:.0f} ms of {load_ms:.0f}": self.took >= load_ms,
        }
        return "; ".join(what for what, is_over in found.items() if is_over)


def cases(wanted: Sequence[int]) -> Iterator[str]:
    """Lines for the loader: object, program, pages, whether packets may be in several buffers; of those sizes."""
    for path in sorted(OBJECTS.glob("*.bpf.o")):
        with bpf.ObjectFile(path) as obj:
            sizes = wanted if "lanes" in obj.map_names else (1,)
            for program in obj.program_names:
                flags = (
                    ("-", "frags") if program in ("xdp_root", "xdp_policy", "xdp_answer", "front_policy") else ("-",)
                )
                yield from (f"{path} {program} {size} {flag}" for size in sizes for flag in flags)


def prepare(sizes: Sequence[int] = SIZES) -> None:
    """Compile the loader, and write what it loads."""
    WORK.mkdir(parents=True, exist_ok=True)
    words = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(LOADER), str(_HERE / "loader.c")]
    done = subprocess.run([*words, "-lbpf", "-lelf", "-lz"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    CASES.write_text("\n".join(cases(sizes)) + "\n")


def read(said: str) -> list[Verified]:
    """What the loader said of all programs. Raises: AssertionError where one was refused, or it did not come to its
    end."""
    lines = said.splitlines()
    assert not (refused := [line for line in lines if line.startswith("refused ")]), f"{refused}\n{said}"
    count = len(CASES.read_text().splitlines())
    assert f"programs {count} refused 0" in lines, said
    found = []
    for line in lines:
        if line.startswith("loaded "):
            _, program, pages, flag, instructions, stack, took = line.split()
            found.append(
                Verified(program, int(pages), flag == "frags", int(instructions), int(stack), float(took)),
            )
    lacking = sum(line.startswith("lacks ") for line in lines)
    assert len(found) + lacking == count, said
    return found


def table(found: list[Verified]) -> str:
    """The largest of each program: instructions, stack, time."""
    largest = {
        name: (
            max(one.instructions for one in found if one.program == name),
            max(one.stack for one in found if one.program == name),
            max(one.took for one in found if one.program == name),
        )
        for name in dict.fromkeys(one.program for one in found)
    }
    return "\n".join(f"  {name:14} {a:7} instructions, {b:3} B, {c:.0f} ms" for name, (a, b, c) in largest.items())
