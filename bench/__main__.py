"""The command: measures group after group, prints the table and writes the file. Exit code 1: something unmeasured.

Whether goals are met is shown, not asserted: machines differ, and so does what else they do.
"""

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import (
    assertions,
    changes,
    commands,
    cost,
    dataplanes,
    drops,
    fleet,
    life,
    modes,
    policytests,
    rates,
    redis,
    restore,
)
from bench.figures import Figure, Missing, pooled
from bench.table import show
from fleet import Fleet

Measure = Callable[[], Sequence[Figure | Missing]]
OUTPUT = Path("build/bench.json")


def groups(*, is_quick: bool) -> dict[str, Measure]:
    """Every group by its name, in the order in which they are measured."""
    rounds = 11 if is_quick else 21
    found: dict[str, Measure] = {
        name: partial(cost.measure, group, rounds) for name, group in cost.groups(is_quick=is_quick).items()
    }
    found["allow"] = partial(cost.measure_allow, rounds)
    found["drops"] = partial(drops.measure, *((5, 10_000) if is_quick else (15, drops.MEMBERS)))
    found["redis"] = partial(redis.measure, *((5, 2_000) if is_quick else (31, 5_000)))
    found["modes"] = partial(modes.measure, *((5, 2_000) if is_quick else (21, 5_000)))
    found["apply"] = partial(changes.measure, *((6, 4) if is_quick else (24, 12)))
    found["restore"] = partial(restore.measure, 3 if is_quick else 15)
    found["dataplanes"] = partial(dataplanes.measure, 2 if is_quick else 7)
    found["rates"] = partial(rates.measure, 2 if is_quick else 9)
    found["agent"] = partial(life.measure, *((2, 5) if is_quick else (7, 21)))
    found["commands"] = partial(commands.measure, *((5, 1, 1_000) if is_quick else (25, 3, 10_000)))
    found["test"] = partial(policytests.measure, 3 if is_quick else 11)
    found["assert"] = partial(assertions.measure, 3 if is_quick else 11)
    found["fleet"] = partial(fleet.measure, *_fleet(is_quick=is_quick))
    return found


def _fleet(*, is_quick: bool) -> tuple[Fleet, Fleet, int, int, int]:
    return (fleet.QUICK, fleet.QUICK_TENTH, 50, 1, 2) if is_quick else (fleet.LARGE, fleet.TENTH, 300, 3, 12)


def main() -> int:
    """The exit code."""
    arguments = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = list(groups(is_quick=False))
    arguments.add_argument("--quick", action="store_true", help="fewer and smaller: does everything work?")
    arguments.add_argument("--only", action="append", choices=names, metavar="GROUP", help=", ".join(names))
    arguments.add_argument("--output", type=Path, default=OUTPUT, help=f"where the figures go (default: {OUTPUT})")
    given = arguments.parse_args()
    if os.geteuid() != 0:
        arguments.error("programs and namespaces need root: run it as root")
    given.output.parent.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"{_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}")

    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name, measure in groups(is_quick=given.quick).items():
        if given.only and name not in given.only:
            continue
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            for one in measure():
                if isinstance(one, Figure):
                    figures.append(one)
                else:
                    failed[one.name] = one.why
        except Exception:
            # One group that fails must not take the others' figures with it; the exit code tells.
            failed[name] = "see above"
            traceback.print_exc()
    found = pooled(figures)
    show(found, console)
    given.output.write_text(json.dumps([figure.record() for figure in found], indent=1) + "\n")
    console.print(f"\nwritten to {given.output}")
    if failed:
        for name, why in failed.items():
            console.print(f"[red]not measured: {name}:[/] {why}")
    return 1 if failed else 0


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())
