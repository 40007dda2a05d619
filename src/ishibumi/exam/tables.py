"""The exam's further tables for the terminal: by split, differences between arms, honesty. summary → rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any

from ishibumi.display import ARMS
from ishibumi.exam.summary import SPLIT_ORDER

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows

WORDS_JA = {
    "How it was asked": "問い方ごとの正答（答えのない問いは「分からない」と答えた割合）",
    "arm": "受験者",
    "held_out": "別の言い方",
    "generated": "自動生成の問い",
    "reversed": "逆向き",
    "combined": "複数の文書",
    "unanswerable": "答えのない問い",
    "training": "訓練の文面",
    "Differences": "差（対応のある比較）",
    "first − second": "前者 − 後者",
    "points": "ポイント",
    "95 % interval": "95 % 信頼区間",
    "Does it know what it does not know?": "知らないことを知っているか",
    "refuses the unanswerable": "答えのない問いを断る",
    "refuses the answerable": "答えのある問いを断る",
    "surer when right (50 % is chance)": "正答の方が確信が高い（50 % は偶然）",
    "calibration error": "確信と正答率のずれ",
}


def further_tables(arms: Mapping[str, Mapping[str, Any]], language: str) -> list[Table]:
    """The tables that this exam has something to put in: «How it was asked» needs two splits or more."""
    tables = [_by_split(arms, language), _differences(arms, language), _honesty(arms, language)]
    return [table for table in tables if table[2]]


def _by_split(arms: Mapping[str, Mapping[str, Any]], language: str) -> Table:
    rows_of = {arm: of_arm["by_split"] for arm, of_arm in arms.items()}
    sizes = {name: row["n"] for splits in rows_of.values() for name, row in splits.items()}
    names = [name for name in SPLIT_ORDER if name in sizes]
    rows = [
        [_arm(arm, language), *(_percent(splits[n]["contains"]) if n in splits else "-" for n in names)]
        for arm, splits in rows_of.items()
    ]
    header = [_word("arm", language), *(f"{_word(name, language)} ({sizes[name]})" for name in names)]
    return _word("How it was asked", language), header, rows if len(names) > 1 else []


def _differences(arms: Mapping[str, Mapping[str, Any]], language: str) -> Table:
    rows = [
        [
            f"{_arm(arm, language)} − {_arm(other, language)}",
            f"{100 * difference['mean']:+.0f}",
            f"{100 * difference['low']:+.0f} … {100 * difference['high']:+.0f}",
        ]
        for arm, of_arm in arms.items()
        for other, difference in of_arm["differences"].items()
    ]
    return _word("Differences", language), _words(("first − second", "points", "95 % interval"), language), rows


def _honesty(arms: Mapping[str, Mapping[str, Any]], language: str) -> Table:
    keys = ("refused_unanswerable", "refused_answerable", "separation", "calibration_error")
    rows = [
        [_arm(arm, language), *(_percent(of_arm["honesty"][key]) for key in keys)]
        for arm, of_arm in arms.items()
        if of_arm["honesty"]["separation"] is not None or of_arm["honesty"]["refused_unanswerable"] is not None
    ]
    columns = ("arm", "refuses the unanswerable", "refuses the answerable", "surer when right (50 % is chance)")
    header = _words((*columns, "calibration error"), language)
    return _word("Does it know what it does not know?", language), header, rows


def _arm(arm: str, language: str) -> str:
    return ARMS[language].get(arm, arm)


def _words(words: Sequence[str], language: str) -> list[str]:
    return [_word(word, language) for word in words]


def _word(word: str, language: str) -> str:
    return WORDS_JA[word] if language == "ja" else word.replace("_", " ")


def _percent(share: float | Mapping[str, float] | None) -> str:
    """A share, or the mean of an interval."""
    if share is None:
        return "-"
    return f"{100 * (share['mean'] if isinstance(share, Mapping) else share):.0f} %"
