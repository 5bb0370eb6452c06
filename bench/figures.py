"""Figures and what they are held against: pure. Nothing here measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict


class Unmeasured(Exception):
    """Something that could not be measured, and why."""


class Record(TypedDict):
    """A figure as build/bench.json has it."""

    name: str
    unit: str
    min: float
    median: float
    n: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured thing. `baselines`: an empty program's samples, interleaved with these. `note`: for the reader."""

    name: str
    unit: str
    samples: tuple[float, ...]
    baselines: tuple[float, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.name}: no samples")

    @property
    def least(self) -> float:
        """The smallest sample: what the thing costs when nobody disturbs it."""
        return min(self.samples)

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def above_empty(self) -> float | None:
        """Smallest sample above the smallest of the empty program."""
        return self.least - min(self.baselines) if self.baselines else None

    def record(self) -> Record:
        """For build/bench.json."""
        return {
            "name": self.name,
            "unit": self.unit,
            "min": round(self.least, 3),
            "median": round(self.middle, 3),
            "n": len(self.samples),
        }


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that could not be had, while others of its group could."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two figures of one run, whole test runs, smallest samples: at most `bound` times the `base`, with what
    the figure `plus` adds to that."""

    base: str
    bound: float
    plus: str | None = None


@dataclass(frozen=True, slots=True)
class AboveEmpty:
    """At most `bound` ns above the empty program of the same interleaved run, with what the figure `plus` adds."""

    bound: float
    plus: str | None = None


@dataclass(frozen=True, slots=True)
class AtMost:
    """A median of at most `bound` in the figure's unit."""

    bound: float


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A median of at least `bound` in the figure's unit."""

    bound: float


@dataclass(frozen=True, slots=True)
class MoreThan:
    """A median above that of the figure `base`."""

    base: str


Goal = Ratio | AboveEmpty | AtMost | AtLeast | MoreThan


@dataclass(frozen=True, slots=True)
class Judgement:
    """A goal held against a figure."""

    goal: str
    found: str
    is_met: bool


def judge(goal: Goal, figure: Figure, figures: Mapping[str, Figure]) -> Judgement | None:
    """None where the figure that the goal compares with was not measured."""
    match goal:
        case Ratio(base, bound, plus):
            if base not in figures or (plus is not None and plus not in figures):
                return None
            ratio = figure.least / (figures[base].least + (figures[plus].middle if plus is not None else 0))
            return Judgement(f"<= {bound:g} x {base.removeprefix('xdp.')}", f"{ratio:.2f} x", ratio <= bound)
        case AboveEmpty(bound, plus):
            above = figure.above_empty
            if above is None or (plus is not None and plus not in figures):
                return None
            if plus is not None:
                above += figures[plus].middle
            return Judgement(f"<= {bound:g} ns above empty", f"+{above:.0f} ns", above <= bound)
        case AtMost(bound):
            middle = figure.middle
            return Judgement(f"<= {bound:g} {figure.unit}", f"{middle:.4g} {figure.unit}", middle <= bound)
        case AtLeast(bound):
            middle = figure.middle
            return Judgement(f">= {bound:g} {figure.unit}", f"{middle:.3g} {figure.unit}", middle >= bound)
        case MoreThan(base):
            if base not in figures:
                return None
            middle, other = figure.middle, figures[base].middle
            return Judgement(f"> {base}", f"{middle:.3g} and {other:.3g} {figure.unit}", middle > other)


def pooled(figures: Sequence[Figure]) -> Sequence[Figure]:
    """The figures, those of one name as one: every group measures the empty program for itself."""
    found: dict[str, Figure] = {}
    for figure in figures:
        known = found.get(figure.name)
        if known is not None:
            figure = Figure(figure.name, figure.unit, known.samples + figure.samples, note=figure.note)
        found[figure.name] = figure
    return list(found.values())
