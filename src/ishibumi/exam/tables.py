"""The exam's further tables for the terminal: by split, differences between arms, honesty. summary → rows of text."""

from collections.abc import Mapping
from typing import Any

from ishibumi.display import ARMS
from ishibumi.exam.report import skill_rows
from ishibumi.exam.report_text import TEXT
from ishibumi.exam.summary import split_sizes

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows
HONESTY = ("refused_unanswerable", "refused_answerable", "separation", "calibration_error")


def further_tables(arms: Mapping[str, Mapping[str, Any]], language: str) -> list[Table]:
    """The tables that this exam has something to put in: the one of splits needs two or more."""

    def word(key: str) -> str:
        return TEXT[key][language == "ja"]

    name = ARMS[language]
    sizes = split_sizes(arms)
    by_split = [
        [name[arm], *(_percent(of_arm["by_split"].get(split, {}).get("contains")) for split in sizes)]
        for arm, of_arm in arms.items()
        if len(sizes) > 1
    ]
    differences = [
        [f"{name[arm]} − {name[other]}", *(f"{100 * row[part]:+.0f}" for part in ("mean", "low", "high"))]
        for arm, of_arm in arms.items()
        for other, row in of_arm["differences"].items()
    ]
    honesty = [
        [name[arm], *(_percent(of_arm["honesty"][key]) for key in HONESTY)]
        for arm, of_arm in arms.items()
        if of_arm["honesty"]["calibration_error"] is not None or of_arm["honesty"]["refused_unanswerable"]
    ]
    headers = (
        [word("condition"), *(f"{word(f'split_{split}')} ({size})" for split, size in sizes.items())],
        [word("condition"), word("points"), "2.5 %", "97.5 %"],
        [word("condition"), *map(word, HONESTY)],
    )
    titles, rows = map(word, ("splits", "differences", "honesty")), (by_split, differences, honesty)
    return [table for table in zip(titles, headers, rows, strict=True) if table[2]]


def forgetting_table(skills: Mapping[str, Any], ratios: Mapping[str, float], language: str) -> list[Table]:
    """What was forgotten, by every measure that this run has; no table where it has none."""

    def word(key: str) -> str:
        return TEXT[key][language == "ja"]

    rows = [
        [f"{word('perplexity')}, {word(f'language_{name}')}", "", f"× {ratio:.2f}", ""]
        for name, ratio in ratios.items()
    ]
    rows += [[word(name), before, after, change] for name, _, before, after, change in skill_rows(skills)]
    header = [word(key) for key in ("skill", "before", "after", "change")]
    return [(word("forgetting"), header, rows)] if rows else []


def _percent(share: float | Mapping[str, float] | None) -> str:
    """A share, or the mean of an interval."""
    if share is None:
        return "-"
    return f"{100 * (share['mean'] if isinstance(share, Mapping) else share):.0f} %"
