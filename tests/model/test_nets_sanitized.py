"""The reader of networks in C steps nowhere out of bounds, whatever it is given, and answers as it does in Python."""

import subprocess
from array import array
from pathlib import Path
from random import Random

from tortie.model._nets import ffi, lib

HERE = Path(__file__).parent
SOURCES = [HERE / "nets_replay.c", HERE.parents[1] / "extensions/nets.c"]
PIECES = (
    "10.0.0.1",
    "10.0.0.0/8",
    "255.255.255.255/32",
    "0.0.0.0/0",
    "1.2.3",
    "1.2.3.4/",
    "01.2.3.4",
    "1.2.3.4/33",
    "\n",
    ".",
    "/",
    "",
)
CASES = 3_000


def text_of(rng: Random) -> bytes:
    """Lines that are mostly right; some are cut off anywhere."""
    text = "\n".join(rng.choice(PIECES if rng.random() < 0.2 else PIECES[:4]) for _ in range(rng.randrange(1, 9)))
    return text[: rng.randrange(len(text) + 1)].encode() if rng.random() < 0.3 else text.encode()


def test_no_text_leads_out_of_bounds(tmp_path: Path) -> None:
    program = tmp_path / "replay"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, *SOURCES, "-o", program], check=True)
    rng, given, expected = Random(4), bytearray(), list[int]()
    for _ in range(CASES):
        text = text_of(rng)
        lines = text.count(b"\n") + 1
        given += b"%d %d\n" % (len(text), lines) + text
        room = array("Q", bytes(8 * lines))
        expected.append(lib.nets_parse4(text, len(text), ffi.from_buffer("uint64_t[]", room, require_writable=True)))
    done = subprocess.run([program], input=bytes(given), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert [int(line) for line in done.stdout.split()] == expected
    assert {-1, 0, 1, 4} <= set(expected)
