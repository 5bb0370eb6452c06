"""The classifier's compiler under the address and undefined behaviour sanitizers, fed with random policies."""

import subprocess
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from struct import pack

import pytest

from bpf.untracked import plan_of
from strategies import random_case
from tortie.dataplane.ebpf._tables import ffi
from tortie.dataplane.ebpf.compile import BACKENDS, Block
from tortie.dataplane.ebpf.members import Members
from tortie.dataplane.ebpf.terms import SetAtom
from tortie.model.address import Net
from tortie.model.policy import Stage

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "extensions" / f"{name}.c" for name in ("tables", "address", "service", "decision", "rows", "arena")]
ADD_SET, ADD_BLOCK, COMPILE, CHANGE, FREE = range(1, 6)
_SET_FLAG = 1 << 31
TERM = ffi.sizeof("struct term")


class Recording:
    """Calls into api.h as bytes, in the order of replay.c."""

    def __init__(self) -> None:
        self.data = bytearray()

    def numbers(self, *values: int) -> None:
        self.data += pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))

    def tables(self, tiers: Sequence[Sequence[Block]], members: Mapping[SetAtom, Members]) -> list[SetAtom]:
        """Sets and blocks as Classifier adds them; the sets have the numbers of all atoms before them."""
        atoms: dict[SetAtom, int] = {}
        used = 0
        for tier in tiers:
            for position, block in enumerate(tier):
                for atom in block.sets:
                    if atom not in atoms:
                        nets4, nets6 = members[atom]
                        self.numbers(ADD_SET, len(nets4) // 12, len(nets6) // 24)
                        self.data += nets4 + nets6
                        atoms[atom], used = used, used + 1
                pool = [block.net_atoms + (n ^ _SET_FLAG) if n & _SET_FLAG else n for n in array("I", block.pool)]
                sets = [atoms[atom] for atom in block.sets]
                self.numbers(ADD_BLOCK, position == 0, len(pool), len(sets), len(block.terms) // TERM)
                self.numbers(len(block.nets4) // 12, len(block.nets6) // 24, block.net_atoms, block.rules)
                self.data += block.terms
                self.numbers(*pool)
                self.data += block.nets4 + block.nets6
                self.numbers(*sets)
                used += block.net_atoms
        self.set_numbers = list(atoms.values())
        return list(atoms)

    def change(self, net: Net, atom: int, *, is_member: bool) -> None:
        self.numbers(CHANGE, net.version, atom, is_member)
        high, low = net.address >> 64, net.address & (1 << 64) - 1
        self.numbers(high, high >> 32, low, low >> 32)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """replay.c with the compiler's sources, sanitized."""
    made = tmp_path_factory.mktemp("replay") / "replay"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall", "-Werror"]
    include = ["-I", ROOT / "extensions"]
    subprocess.run(["gcc", *flags, *include, Path(__file__).with_name("replay.c"), *SOURCES, "-o", made], check=True)
    return made


def run(replay: Path, recording: Recording, folder: Path) -> list[str]:
    path = folder / "recording"
    path.write_bytes(recording.data)
    done = subprocess.run([replay, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr[:2000]) == (0, ""), done.stderr[:2000]
    return done.stdout.splitlines()


@pytest.mark.parametrize("backend", BACKENDS)
def test_random_policies_and_changes_touch_no_memory_but_their_own(replay: Path, tmp_path: Path, backend: str) -> None:
    recording = Recording()
    cases = 120
    for seed in range(cases):
        rng = Random(seed)
        case = random_case(rng, rng.choice((1, 4, 16, 60)))
        plan, _ = plan_of(case)
        recording.tables(plan.stages[Stage.UNTRACKED], plan.members)
        recording.numbers(COMPILE, BACKENDS[backend], rng.choice((0, 64, 4096, 65536)))
        for _ in range(40 if recording.set_numbers else 0):
            version = rng.choice((4, 6))
            base = 0x0A000000 if version == 4 else 0xFD << 120
            address = rng.choice((rng.getrandbits(32), base + rng.randrange(30)))
            net = Net(version, address, 32 if version == 4 else 128)
            recording.change(net, rng.choice(recording.set_numbers), is_member=rng.random() < 0.6)
        recording.numbers(FREE)
    lines = run(replay, recording, tmp_path)
    assert sum(line.startswith("compiled") for line in lines) == cases
    if backend != "bits":
        assert lines.count("changed 0") > 100


def test_refused_policies_leave_nothing_behind(replay: Path, tmp_path: Path) -> None:
    """Failures jump out of the middle of the work; the leak check of the sanitizer sees what they leave."""
    recording = Recording()
    rng = Random(5)
    case = random_case(rng, 400)
    plan, _ = plan_of(case)
    tiers = plan.stages[Stage.UNTRACKED]
    for _ in range(2):
        for _ in range(32768 // max(1, sum(len(b.terms) // TERM for tier in tiers for b in tier)) + 1):
            recording.tables(tiers, plan.members)
        recording.numbers(COMPILE, BACKENDS["bits"], 0)
        recording.numbers(FREE)
    lines = run(replay, recording, tmp_path)
    assert [line for line in lines if line.startswith("refused")] == ["refused -4"] * 2
