"""`tortie counters`."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping

import click

from tortie.apps.agent.answers import CountersAnswer
from tortie.apps.ctl.counting import Name, Wanted, columns, rates, reading, speed, totals
from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.show import out, out_json, printable, table
from tortie.apps.ctl.target import choose
from tortie.apps.moments import utc

HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
Show = Callable[[CountersAnswer, Mapping[Name, float | None]], None]


@click.command()
@with_target
@click.option("-w", "--watch", is_flag=True, help="Show totals and rates again and again, until ^C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    metavar="S",
    help="Seconds between two readings of --watch (default: 1).",
)
@click.option("--interface", default="", metavar="NAME", help="Only counters of this interface.")
@click.option("--policy", default="", metavar="NAME", help="Only rules of this policy, profile or endpoint.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the output.")
def command(watch: bool, interval: float, interface: str, policy: str, output: str) -> int:
    """Show how many packets met each rule, and how many each reason; rules count from 0 in their document's list.

    With --watch and -o json, one line of JSON for each reading.

    \b
    Examples:
      tortie counters --policy ssh-only
      tortie counters -w --interface eth0
    """
    target, wanted = choose(choice()), Wanted(interface, policy)
    if watch:
        follow(lambda: wanted.of(target.counters(everything=False)), interval, _shower(output, interval))
        return 0  # ^C is how a watch ends
    found = wanted.of(target.counters(everything=True))
    if output == "json":
        out_json(found)
    elif counted := totals(found):
        out(table(columns(counted, None, _sorted(counted))))
    else:
        out("Nothing is counted" + (" that was asked for." if interface or policy else " yet."))
    return 0


def follow(read: Callable[[], CountersAnswer], interval_s: float, show: Show) -> None:
    """Read and show until interrupted; a reading that takes long makes the next one late, not more of them."""
    before: dict[Name, int] | None = None
    read_at = 0.0
    try:
        while True:
            answer, now = read(), time.monotonic()
            counted = totals(answer)
            show(answer, rates(counted, before, now - read_at))
            before, read_at = counted, now
            time.sleep(interval_s)
    except KeyboardInterrupt:
        if sys.stdout.isatty():  # the terminal shows ^C where the cursor is
            sys.stdout.write("\n")


def _sorted(counted: Mapping[Name, int]) -> list[Name]:
    return sorted(counted, key=lambda name: (-counted[name], name))


def _shower(output: str, interval_s: float) -> Show:
    if output == "json":
        return _show_json
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        sys.stdout.write(HOME + CLEAR_REST)
        return lambda answer, speeds: _redraw(answer, speeds, interval_s)
    return _show_lines


def _show_json(answer: CountersAnswer, speeds: Mapping[Name, float | None]) -> None:
    sys.stdout.write(json.dumps(reading(utc(time.time()), answer, speeds)) + "\n")
    sys.stdout.flush()


def _show_lines(answer: CountersAnswer, speeds: Mapping[Name, float | None]) -> None:
    """What grew since the reading before; the first time everything that ever counted."""
    counted, at = totals(answer), utc(time.time())
    for name in _sorted(counted):
        if counted[name] and speeds[name] != 0:
            interface, direction, met = name
            out(f"{at} {interface} {direction} {met}: {counted[name]} packets, {speed(speeds[name])} per s")
    sys.stdout.flush()


def _redraw(answer: CountersAnswer, speeds: Mapping[Name, float | None], interval_s: float) -> None:
    """One screen over the one before, without a blank one in between; what grows is bold unless NO_COLOR is set."""
    size = shutil.get_terminal_size()
    counted = totals(answer)
    names = _sorted(counted)
    room = max(1, size.lines - 4)
    shown = names[:room]
    rest = f"   and {len(names) - room} more counters" if len(names) > room else ""
    lines = [f"{utc(time.time())}{rest}   every {interval_s:g} s, ^C ends", ""]
    grows = [False, False]
    if shown:
        heading, *rows = table(columns(counted, speeds, shown)).split("\n")
        lines += [heading, *rows]
        grows += [False, *(bool(speeds[name]) for name in shown)]
    else:
        lines.append("Nothing is counted yet.")
        grows.append(False)
    has_color = not os.environ.get("NO_COLOR")
    text = "\n".join(
        (BOLD + cut + PLAIN if is_growing and has_color else cut) + CLEAR_LINE
        for cut, is_growing in zip((printable(line)[: size.columns] for line in lines), grows, strict=True)
    )
    sys.stdout.write(f"{HOME}{text}\n{CLEAR_REST}")
    sys.stdout.flush()
