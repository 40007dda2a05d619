"""Runs side by side, as a Markdown table: python experiments/compare.py RUN_DIR RUN_DIR …

Reads report/summary.json of each run: the shares of the exam's arms with 95 % intervals, perplexity of general text
after / before, and the time of each stage.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ARMS = ("base", "retrieval", "engraved", "engraved_retrieval", "gold_passage")
SPLITS = ("reversed", "combined", "unanswerable", "generated", "training")
TRAINING = ("cpt", "sft")


def side_by_side(summaries: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table with a column a run."""
    rows = [["", *(summary["recipe"] for summary in summaries)]]
    for arm in ARMS:
        rows.append([f"exam, {arm}", *(_share(summary["arms"].get(arm)) for summary in summaries)])
    for group in ("asked", "document_only"):
        engraved = [summary["arms"].get("engraved", {}).get("by_asked", {}).get(group) for summary in summaries]
        rows.append([f"engraved, {group}", *(_share(row and {"all": row}) for row in engraved)])
    for split in SPLITS:
        engraved = [summary["arms"].get("engraved", {}).get("by_split", {}).get(split) for summary in summaries]
        if any(engraved):
            rows.append([f"engraved, {split}", *(_share(row and {"all": row}) for row in engraved)])
    rows.append(["replies that stop", *(_stopped(summary["arms"].get("engraved")) for summary in summaries)])
    for language in sorted({language for summary in summaries for language in summary["perplexity_ratio"]}):
        ratios = [summary["perplexity_ratio"].get(language) for summary in summaries]
        rows.append([f"perplexity after / before, {language}", *(f"{r:.3f}" if r else "-" for r in ratios)])
    minutes = [sum(summary["seconds"].get(stage, 0) for stage in TRAINING) / 60 for summary in summaries]
    rows.append(["minutes of training", *(f"{value:.1f}" for value in minutes)])
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _share(arm: Mapping[str, Any] | None) -> str:
    if not arm:
        return "-"
    contains = arm["all"]["contains"]
    return f"{contains['mean']:.1%} ({contains['low']:.1%} to {contains['high']:.1%}), n = {arm['all']['n']}"


def _stopped(arm: Mapping[str, Any] | None) -> str:
    return f"{arm['all']['stopped']:.1%}" if arm else "-"


if __name__ == "__main__":
    paths = [Path(directory) / "report" / "summary.json" for directory in sys.argv[1:]]
    print(side_by_side([json.loads(path.read_text(encoding="utf-8")) for path in paths]))
