"""How far a reply can be trusted: its tokens → its confidence, and the share right of the exam's answers as sure.

Both are of the finished model as the exam asked it: the likeliest tokens, and nothing drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ishibumi import artifacts
from ishibumi.artifacts import MANIFEST, read_json
from ishibumi.config import Run
from ishibumi.errors import ArtifactError
from ishibumi.exam.share_right import Pool, share_right_at
from ishibumi.use.serve_reply import Token

SENTENCE = {
    "ja": "確信 {confidence} %。試験では、このくらい確かな答えの {share} % が正解でした。",
    "en": "Confidence {confidence} %: of the exam's answers as sure as this, {share} % were right.",
}


@dataclass(frozen=True)
class Trust:
    """The geometric mean of the probabilities of a reply's tokens, its end included; and what the exam says of it.

    `share_right` is None where the run has no exam, or one with too few replies.
    """

    confidence: float
    share_right: float | None


def trust_in(run: Run, tokens: Sequence[Token]) -> Trust | None:
    """What a reply of these tokens deserves; None where their log-probabilities were not asked for."""
    logprobs = [token.logprob for token in tokens if token.logprob is not None]
    if not logprobs or len(logprobs) < len(tokens):
        return None
    confidence = math.exp(sum(logprobs) / len(logprobs))
    return Trust(confidence, share_right_at(exam_pools(run.run_dir), confidence))


def sentence(trust: Trust, language: str) -> str:
    """The line under a reply; empty where the exam says nothing."""
    if trust.share_right is None:
        return ""
    return SENTENCE[language].format(confidence=_percent(trust.confidence), share=_percent(trust.share_right))


def exam_pools(run_dir: Path) -> tuple[Pool, ...]:
    """The pools of the exam that the finished model sat; none where there was none, or it was of another model."""
    try:
        changed = tuple((run_dir / stage / MANIFEST).stat().st_mtime_ns for stage in ("sft", "report"))
        return _pools(run_dir, changed)
    except (FileNotFoundError, ArtifactError):  # not there, or a damaged manifest: a reply needs neither
        return ()


@lru_cache(maxsize=1)
def _pools(run_dir: Path, changed: tuple[int, ...]) -> tuple[Pool, ...]:
    del changed  # part of the key: a report that was made anew is read anew
    finished, report = (artifacts.load(run_dir / stage) for stage in ("sft", "report"))
    summary = read_json(report.path / "summary.json")
    is_older = report.manifest["started"] < finished.manifest["started"]  # chat tuning was done again since
    values = {row["key"]: row["value"] for row in summary["settings"]}
    if is_older or float(values.get("exam.scale", 1)) != 1:  # only a part of the model sat that exam
        return ()
    rows = summary["arms"].get("engraved", {}).get("honesty", {}).get("calibration")  # older runs have none
    return tuple(Pool(**row) for row in rows or ())


def _percent(share: float) -> str:
    """«43»; «99.6» where rounding would promise certainty."""
    value = 100 * share
    return f"{min(value, 99.9):.1f}" if 99 <= value < 100 else f"{value:.0f}"
