"""What a person sees: steps with check marks on standard error as they happen, then one table on standard output."""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

SCREEN_LINES, SCREEN_COLUMNS = 24, 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement about the lab, what was measured before and after, and whether it holds."""

    name: str
    before: str
    after: str
    evidence: str
    holds: bool
    expected: str
    """What had to be found; shown if it was not."""


class Report:
    """The steps so far, and the claims that they bore out or not."""

    def __init__(self) -> None:
        # rich knows terminals, widths and NO_COLOR; elsewhere the text is plain.
        self._progress = Console(stderr=True, highlight=False, soft_wrap=True)
        self.claims: list[Claim] = []

    def title(self, text: str) -> None:
        """A new part of the story."""
        self._progress.print(Text(f"\n{text}", style="bold"))

    def step(self, text: str) -> None:
        """Something was done."""
        self._progress.print(Text.assemble(("  ✔ ", "green"), text))

    def note(self, text: str) -> None:
        """Something worth knowing, that proves nothing."""
        self._progress.print(Text(f"    {text}", style="dim"))

    def screen(self, text: str) -> None:
        """A document, or what a command printed: as it is, but cut to a screen."""
        lines = [part for line in text.rstrip().splitlines() for part in _wrapped(line)]
        cut = [f"... and {len(lines) - SCREEN_LINES + 1} lines more"] if len(lines) > SCREEN_LINES else []
        for line in [*lines[: SCREEN_LINES - len(cut)], *cut]:
            self._progress.print(Text(f"    │ {line}".rstrip(), style="cyan"))

    def problem(self, text: str) -> None:
        """Something went wrong."""
        self._progress.print(Text.assemble(("  ✘ ", "bold red"), text))

    def claim(self, claim: Claim) -> None:
        """Something was measured; it goes into the table."""
        self.claims.append(claim)
        if claim.holds:
            self.step(f"{claim.name}: {claim.after}")
            self.note(claim.evidence)
        else:
            self.problem(f"{claim.name}: found {claim.after} ({claim.evidence}); expected {claim.expected}")

    @property
    def failed(self) -> Sequence[Claim]:
        """Claims that do not hold."""
        return [claim for claim in self.claims if not claim.holds]

    def table(self) -> None:
        """Every claim, on standard output."""
        heading = ("", "claim", "before", "after", "evidence")
        rows = [("✔" if one.holds else "✘", one.name, one.before, one.after, one.evidence) for one in self.claims]
        console = Console()
        if not console.is_terminal:
            _plain([heading, *rows])
            return
        drawn = Table(*heading, show_lines=True)
        for row, one in zip(rows, self.claims, strict=True):
            drawn.add_row(*(Text(cell) for cell in row), style=None if one.holds else "bold red")
        console.print()
        console.print(drawn)


def _wrapped(line: str) -> list[str]:
    """The line, in as many as it takes."""
    line = line.rstrip()
    return textwrap.wrap(line, SCREEN_COLUMNS, subsequent_indent=" " * 8) if len(line) > SCREEN_COLUMNS else [line]


def _plain(rows: Sequence[tuple[str, ...]]) -> None:
    """Aligned columns, one line a row: for pipes and logs."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(f"{line.rstrip()}\n")
