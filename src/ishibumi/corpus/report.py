"""Report: what a rule left out or changed, counted, with the first few cases. Nothing is dropped without it."""

from collections.abc import Callable
from typing import TypedDict

MAX_EXAMPLES = 5


class Left(TypedDict):
    """How often a rule applied, and the first few cases as «file:line: text»."""

    count: int
    examples: list[str]


Report = dict[str, Left]


def count(report: Report, rule: str, example: str | Callable[[], str]) -> None:
    """Count one more case of `rule`. A rule that applies to most documents gives its example as a function."""
    left = report.setdefault(rule, {"count": 0, "examples": []})
    left["count"] += 1
    if len(left["examples"]) < MAX_EXAMPLES:
        left["examples"].append(writable(example if isinstance(example, str) else example()))


def add(report: Report, other: Report) -> None:
    """Count what `other` holds, which came after what is in `report`."""
    for rule, more in other.items():
        left = report.setdefault(rule, {"count": 0, "examples": []})
        left["count"] += more["count"]
        left["examples"] += more["examples"][: MAX_EXAMPLES - len(left["examples"])]


def in_words(report: Report) -> str:
    """«empty 2 (such as a.jsonl:1: ); too_short 1 (such as …)»."""
    return "; ".join(f"{rule} {left['count']} (such as {left['examples'][0]})" for rule, left in report.items())


def writable(text: str) -> str:
    """`text` with a ? for each half of a broken pair, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode()
