"""The exam in the terminal: shares, splits, differences, honesty, withholding, forgetting. summary → rows of text."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ishibumi.display import ARMS
from ishibumi.exam.report import skill_rows
from ishibumi.exam.report_text import word_in
from ishibumi.exam.summary import ASKED, DOCUMENT_ONLY, split_sizes

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows
WITHHELD = ("right", "wrong", "unanswerable")
HONESTY = ("refused_unanswerable", "refused_answerable", "separation", "calibration_error")


def exam_tables(arms: Mapping[str, Mapping[str, Any]], language: str) -> list[Table]:
    """The tables that this exam has something to put in: the one of splits needs two or more."""
    word, name = partial(word_in, language), ARMS[language]
    shares = [[name[arm], *_shares(of_arm)] for arm, of_arm in arms.items()]
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
    engraved = arms["engraved"]["honesty"] if "engraved" in arms else {}
    withheld = [
        [f"{100 * row['below']:.1f} %", *(_percent(row[key]) for key in WITHHELD)]
        for row in engraved.get("withheld") or ()  # runs of before have none
    ]
    headers = (
        [word(key) for key in ("condition", "contains", "asked", "document_only", "exact", "stopped", "questions")],
        [word("condition"), *(f"{word(f'split_{split}')} ({size})" for split, size in sizes.items())],
        [word("condition"), word("points"), "2.5 %", "97.5 %"],
        [word("condition"), *map(word, HONESTY)],
        [word(f"withheld_{key}") for key in ("below", *WITHHELD)],
    )
    titles = map(word, ("arms", "splits", "differences", "honesty", "withheld"))
    rows = (shares, by_split, differences, honesty, withheld)
    return [table for table in zip(titles, headers, rows, strict=True) if table[2]]


def _shares(of_arm: Mapping[str, Any]) -> list[str]:
    """What an arm has right, with its 95 % interval, in which facts, and how its replies end."""
    overall, by_asked = of_arm["all"], of_arm["by_asked"]
    low, high = (100 * overall["contains"][end] for end in ("low", "high"))
    return [
        f"{_percent(overall['contains'])} ({low:.0f}-{high:.0f})",
        *(_percent(by_asked.get(group, {}).get("contains")) for group in (ASKED, DOCUMENT_ONLY)),
        _percent(overall["exact"]),
        _percent(overall["stopped"]),
        str(overall["n"]),
    ]


def forgetting_table(skills: Mapping[str, Any], ratios: Mapping[str, float], language: str) -> list[Table]:
    """What was forgotten, by every measure that this run has; no table where it has none."""
    word = partial(word_in, language)
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
