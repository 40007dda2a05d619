"""Loss curves as SVG geometry. history rows of one stage → Curve.

The drawing is 1000 wide and 100 high and is stretched by the page; labels are HTML beside it, so that they stay
readable on a phone. y grows downwards in SVG.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 1000, 100
MAX_POINTS = 800  # more than a screen shows


@dataclass(frozen=True)
class Tick:
    """A label at a place in percent of the axis, from the left or from the top."""

    percent: float
    label: str


@dataclass(frozen=True)
class Curve:
    """One stage's chart: SVG point lists, axis labels and the figures of its caption."""

    stage: str
    raw: str
    smooth: str
    known: str  # share of the training questions that are answered, 0 at the bottom, all at the top; "" without any
    rate: str
    y_ticks: list[Tick]
    x_ticks: list[Tick]
    epochs: list[Tick]
    first_loss: float
    last_loss: float
    num_steps: int
    num_tokens: int
    peak_rate: float
    last_known: float | None


def loss_curve(stage: str, rows: Sequence[Mapping[str, Any]], epoch_steps: Sequence[int]) -> Curve:
    """The chart of one stage; `rows` in step order, `epoch_steps` the steps (from 1) in which an epoch ends."""
    losses = [float(row["loss"]) for row in rows]
    known = [row.get("known") for row in rows]  # None before the first question
    rates = [float(row["learning_rate"]) for row in rows]
    smooth = smoothed(losses, max(len(losses) // 40, min(5, len(losses) // 8 + 1)))
    # A few outliers may leave the frame; zero stays in it.
    top = max(*sorted(losses)[: max(1, math.ceil(0.99 * len(losses)))], max(smooth)) or 1.0
    return Curve(
        stage=stage,
        raw=_points(losses, top),
        smooth=_points(smooth, top),
        known=_points([share or 0.0 for share in known], 1.0) if known[-1] is not None else "",
        rate=_points([*rates], max(rates) * 1.05 or 1.0),
        y_ticks=[Tick(100 - 100 * value / top, f"{value:g}") for value in nice_range(0, top) if value <= top],
        x_ticks=[Tick(100 * _x(step - 1, len(rows)), f"{step:,}") for step in _step_ticks(len(rows))],
        epochs=_epochs(epoch_steps, len(rows)),
        first_loss=smooth[0],
        last_loss=smooth[-1],
        num_steps=len(rows),
        num_tokens=int(rows[-1]["tokens"]),
        peak_rate=max(rates),
        last_known=known[-1],
    )


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Means over the last `window` values, so that a step down shows where it happens and not before."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    starts = [max(0, end - window) for end in range(1, len(values) + 1)]
    return [(sums[end] - sums[start]) / (end - start) for end, start in enumerate(starts, start=1)]


def nice_range(low: float, high: float) -> list[float]:
    """Three to seven round values from at most `low` to at least `high`."""
    span = max(high - low, 1e-3)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, 10) for k in range(first, max(last, first + 1) + 1)]


def _x(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 0.5


def _points(values: Sequence[float], top: float) -> str:
    every = -(-len(values) // MAX_POINTS)
    chosen = sorted({*range(0, len(values), every), len(values) - 1})
    if len(chosen) == 1:  # one step: a short level line
        y = HEIGHT * (1 - min(1.0, values[0] / top))
        return f"480,{y:.2f} 520,{y:.2f}"
    return " ".join(f"{WIDTH * _x(i, len(values)):.1f},{HEIGHT * (1 - min(1.0, values[i] / top)):.2f}" for i in chosen)


def _step_ticks(count: int) -> list[int]:
    """The first and the last step and round numbers between, none of them too near the last."""
    between = [int(tick) for tick in nice_range(0, count) if 1 < tick < 0.75 * count and tick == int(tick)]
    return sorted({1, *between, count})


def _epochs(epoch_steps: Sequence[int], count: int) -> list[Tick]:
    """Marks at the ends of epochs; of many, only as many labels as fit."""
    ends = [(number, step) for number, step in enumerate(epoch_steps, start=1) if 1 <= step <= count]
    every = -(-len(ends) // 10) or 1
    return [
        Tick(100 * _x(step - 1, count), str(number) if number % every == 0 or len(ends) <= 10 else "")
        for number, step in ends
    ]
