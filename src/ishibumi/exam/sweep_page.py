"""What came of many trials: learned against forgotten. Trials' summaries → Points → sweep.tsv, sweep.html.

On the front stands a point that no other beats in one without losing in the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ishibumi.artifacts import read_json, write_text
from ishibumi.errors import UsageError
from ishibumi.exam.interval import Interval
from ishibumi.exam.report import render_page
from ishibumi.exam.report_charts import nice_range
from ishibumi.exam.report_text import word_in

WIDTH, HEIGHT = 960, 520
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 20, 52  # what stands around the frame


@dataclass(frozen=True)
class Point:
    """A configuration: what it learned (share of the exam) and forgot (worst perplexity ratio), means over its seeds.

    The ends of the interval are means over seeds, too. `each` has (forgotten, learned) of every seed; `further` are
    other figures of the summary by name.
    """

    settings: Mapping[str, str]
    run_dirs: tuple[Path, ...]
    learned: Interval
    forgotten: float
    each: tuple[tuple[float, float], ...]
    minutes: float
    further: Mapping[str, float]
    is_front: bool = False

    @property
    def label(self) -> str:
        """«rank 32, learning_rate 3e-4»: only the last part of each setting's name."""
        named = (f"{key.rpartition('.')[2]} {value.strip(chr(34))}" for key, value in self.settings.items())
        return ", ".join(named) or "–"

    def score(self, budget: float) -> float:
        """One figure to search by: what was learned, less what perplexity exceeds the budget by."""
        return self.learned.mean - max(0.0, self.forgotten - budget)


def point_of(settings: Mapping[str, str], run_dirs: Sequence[Path]) -> Point | None:
    """The point of a configuration from those of its runs that are finished; None if there is none."""
    done = tuple(d for d in run_dirs if (d / "report" / "summary.json").exists())
    if not done:
        return None
    summaries = [_summary(d) for d in done]
    shares = [s["arms"]["engraved"]["all"]["contains"] for s in summaries]
    ratios = [max(s["perplexity_ratio"].values()) for s in summaries]
    return Point(
        settings,
        done,
        Interval(*(_mean([share[end] for share in shares]) for end in ("mean", "low", "high"))),
        _mean(ratios),
        tuple((ratio, share["mean"]) for ratio, share in zip(ratios, shares, strict=True)),
        _mean([sum(s["seconds"].values()) / 60 for s in summaries]),
        {name: _mean([_further(s)[name] for s in summaries]) for name in _further(summaries[0])},
    )


def _summary(run_dir: Path) -> dict[str, Any]:
    """A finished run's summary. Raises UsageError where it has not both figures of a point."""
    summary: dict[str, Any] = read_json(run_dir / "report" / "summary.json")
    has_exam, has_ratio = "engraved" in summary["arms"], bool(summary["perplexity_ratio"])
    if not (has_exam and has_ratio):
        lacking = "no measure of forgetting" if has_exam else "no exam of the engraved model"
        raise UsageError(
            f"{run_dir} has {lacking}.",
            hint="Set exam.general and exam.questions, and let the arm engraved sit the exam.",
            hint_ja="exam.general と exam.questions を指定し、exam.arms に engraved を入れてください。",
        )
    return summary


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _further(summary: Mapping[str, Any]) -> dict[str, float]:
    engraved = summary["arms"]["engraved"]
    splits = {f"split_{name}": row["contains"]["mean"] for name, row in engraved["by_split"].items()}
    splits.pop(f"split_{engraved['split']}", None)
    skills = {f"skill_{name}": row["after"] for name, row in summary["skills"].items() if name != "behaviour"}
    skills = {name: after["mean"] if isinstance(after, dict) else after for name, after in skills.items()}
    return {**splits, "stopped": engraved["all"]["stopped"], **skills}


def with_front(points: Sequence[Point]) -> list[Point]:
    """The points, best learned first, those on the front marked."""

    def is_beaten(p: Point) -> bool:
        return any(
            o.learned.mean >= p.learned.mean and o.forgotten <= p.forgotten
            and (o.learned.mean > p.learned.mean or o.forgotten < p.forgotten)
            for o in points
        )  # fmt: skip

    ordered = sorted(points, key=lambda p: (-p.learned.mean, p.forgotten))
    return [replace(p, is_front=not is_beaten(p)) for p in ordered]


def table_of(points: Sequence[Point], language: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the terminal's table, a row a configuration; a star marks the front."""
    word = partial(word_in, language)
    header = [word("settings"), word("learned"), word("forgotten"), *map(word, _names(points)), word("minutes_each")]
    rows = [
        [
            f"{'★' if p.is_front else ' '} {p.label}" + (f" ×{len(p.each)}" if len(p.each) > 1 else ""),
            f"{100 * p.learned.mean:.0f} % ({100 * p.learned.low:.0f}-{100 * p.learned.high:.0f})",
            f"{p.forgotten:.3f}",
            *(f"{100 * p.further[name]:.0f} %" if name in p.further else "-" for name in _names(points)),
            f"{p.minutes:.1f}",
        ]
        for p in points
    ]
    return header, rows


def _names(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(name for p in points for name in p.further))


def write_sweep(directory: Path, points: Sequence[Point], budget: float, language: str) -> None:
    """Write sweep.tsv, a row a configuration, and sweep.html with the picture."""
    keys = list(dict.fromkeys(key for p in points for key in p.settings))
    header = [*keys, "seeds", "learned", "low", "high", "perplexity_ratio", *_names(points), "minutes", "front", "runs"]
    rows = [
        [
            *(p.settings.get(key, "") for key in keys),
            str(len(p.each)),
            *(f"{value:.4f}" for value in (p.learned.mean, p.learned.low, p.learned.high, p.forgotten)),
            *(f"{p.further[name]:.4f}" if name in p.further else "" for name in _names(points)),
            f"{p.minutes:.2f}",
            "yes" if p.is_front else "no",
            " ".join(d.name for d in p.run_dirs),
        ]
        for p in points
    ]
    write_text(directory / "sweep.tsv", "".join("\t".join(row) + "\n" for row in [header, *rows]))
    write_text(directory / "sweep.html", render_sweep(points, budget, language))


def render_sweep(points: Sequence[Point], budget: float, language: str) -> str:
    """The page: the picture, and the same figures as a table."""
    picture = Picture.of(points, budget)
    return render_page("sweep.html.jinja", points=points, names=_names(points), picture=picture, language=language)


@dataclass(frozen=True)
class Mark:
    """A point in the picture: its number, place, whisker, the places of its seeds, and where its label stands."""

    number: int
    point: Point
    x: float
    y: float
    low: float
    high: float
    each: list[tuple[float, float]]
    label: tuple[float, float, str] | None  # x, y, "start" or "end"


@dataclass(frozen=True)
class Picture:
    """Places in a drawing of WIDTH × HEIGHT; y grows downwards."""

    marks: list[Mark]
    front: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    budget: float | None
    frame: tuple[int, int, int, int] = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)

    @staticmethod
    def of(points: Sequence[Point], budget: float) -> "Picture":
        """The picture of points, in the order in which they are numbered from 1."""
        ratios = [ratio for p in points for ratio, _ in p.each] or [1.0]
        shares = [share for p in points for share in (p.learned.low, p.learned.high, *(s for _, s in p.each))] or [0.0]
        xs, ys = nice_range(min(1.0, *ratios), max(1.02, *ratios)), nice_range(min(shares), max(shares))

        def x(ratio: float) -> float:
            return LEFT + (ratio - xs[0]) / (xs[-1] - xs[0]) * (WIDTH - LEFT - RIGHT)

        def y(share: float) -> float:
            return HEIGHT - BOTTOM - (share - ys[0]) / (ys[-1] - ys[0]) * (HEIGHT - TOP - BOTTOM)

        places = [(x(p.forgotten), y(p.learned.mean)) for p in points]
        labels = _labels(places, [p.label for p in points])
        marks = [
            Mark(
                n + 1, p, *places[n], y(p.learned.low), y(p.learned.high),
                [(x(r), y(s)) for r, s in p.each] if len(p.each) > 1 else [], labels[n],
            )
            for n, p in enumerate(points)
        ]  # fmt: skip
        on_front = sorted((place for place, p in zip(places, points, strict=True) if p.is_front))
        return Picture(
            marks,
            " ".join(f"{'L' if i else 'M'}{px:.1f} {py:.1f}" for i, (px, py) in enumerate(on_front)),
            [(x(tick), f"{tick:.{2 if xs[1] - xs[0] >= 0.01 else 3}f}") for tick in xs],
            [(y(tick), f"{100 * tick:.0f}%") for tick in ys],
            x(budget) if xs[0] < budget < xs[-1] else None,
        )


def _labels(places: Sequence[tuple[float, float]], texts: Sequence[str]) -> list[tuple[float, float, str] | None]:
    """A place for each label beside its point, best first, where no other label or point is; None if there is none."""
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in places]
    found: list[tuple[float, float, str] | None] = []
    for (px, py), text in zip(places, texts, strict=True):
        width = sum(13 if ord(c) > 0x2E80 else 6.6 for c in text) + 18
        choices = [(px + 11, dy, "start") for dy in (4, -9, 17, -22, 30)] + [(px - 11, dy, "end") for dy in (4, -9, 17)]
        place = None
        for at, dy, anchor in choices:
            left = at if anchor == "start" else at - width
            box = (left, py + dy - 11, left + width, py + dy + 3)
            inside = box[0] > LEFT and box[2] < WIDTH - RIGHT + 20 and box[1] > 0 and box[3] < HEIGHT - BOTTOM
            apart = all(box[2] < t[0] or t[2] < box[0] or box[3] < t[1] or t[3] < box[1] for t in taken)
            if inside and apart:
                place = (at, py + dy, anchor)
                taken.append(box)
                break
        found.append(place)
    return found
