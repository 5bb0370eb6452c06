"""The figures as a table that a person reads: what was measured, the goal, and whether it is met."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, judge
from bench.goals import GOALS


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print every figure, its goal and the verdict."""
    by_name = {figure.name: figure for figure in figures}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("figure", no_wrap=True)
    for heading in ("min", "median", "above empty", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("goal", "found", ""):
        table.add_column(heading, no_wrap=True)
    table.add_column("note", overflow="fold")
    group = ""
    for figure in figures:
        if group and group != _group(figure):
            table.add_section()
            table.add_row()
        group = _group(figure)
        judgements = [found for goal in GOALS.get(figure.name, ()) if (found := judge(goal, figure, by_name))]
        above = f"+{figure.above_empty:.0f}" if figure.above_empty is not None else ""
        table.add_row(
            figure.name,
            f"{_number(figure.least, figure.unit)} {figure.unit}",
            f"{_number(figure.middle, figure.unit)} {figure.unit}",
            above,
            str(len(figure.samples)),
            "\n".join(found.goal for found in judgements),
            "\n".join(found.found for found in judgements),
            "\n".join("[green]met[/]" if found.is_met else "[red]missed[/]" for found in judgements),
            figure.note,
        )
    console.print(table)


def _group(figure: Figure) -> str:
    return ".".join(figure.name.split(".")[:2]) if figure.name.startswith("xdp") else figure.name.split(".")[0]


def _number(value: float, unit: str) -> str:
    if unit in ("x", "Mpps"):
        return f"{value:.2f}"
    return f"{value:.0f}" if value.is_integer() or value >= 100 else f"{value:.1f}"
