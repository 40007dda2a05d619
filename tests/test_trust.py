"""How far a reply can be trusted, from its tokens and the exam's pools."""

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_pipeline import write_project

from ishibumi import config
from ishibumi.artifacts import MANIFEST, read_json, write_json
from ishibumi.config import Run
from ishibumi.exam.share_right import Pool
from ishibumi.use.serve_reply import Token
from ishibumi.use.trust import Trust, exam_pools, sentence, trust_in

POOLS = (Pool(0.2, 0.1, 10), Pool(0.5, 0.61, 10))


def change(path: Path, **values: Any) -> None:
    write_json(path, {**read_json(path), **values})


def give_pools(run_dir: Path, pools: Sequence[Pool] | None) -> None:
    """Let the exam of a run have said this; None stands for a run from before it could."""
    path = run_dir / "report" / "summary.json"
    summary = read_json(path)
    honesty = summary["arms"]["engraved"]["honesty"]
    honesty.pop("calibration", None)
    if pools is not None:
        honesty["calibration"] = [dataclasses.asdict(pool) for pool in pools]
    write_json(path, summary)
    touch(run_dir / "report")


def touch(stage: Path) -> None:
    """A later time of change, as a stage that was made anew has."""
    manifest = stage / MANIFEST
    later = manifest.stat().st_mtime_ns + 10**9
    os.utime(manifest, ns=(later, later))


@pytest.fixture
def run(tmp_path: Path, model_dir: Callable[[str], Path]) -> Run:
    """A run of which only the two stages are there that say what can be trusted."""
    found = config.load(write_project(tmp_path, model_dir("llama")))
    for stage, started in (("sft", "2026-11-27T07:00:00+00:00"), ("report", "2026-11-27T08:00:00+00:00")):
        (found.run_dir / stage).mkdir(parents=True)
        write_json(found.run_dir / stage / MANIFEST, {"started": started})
    summary = {"arms": {"engraved": {"honesty": {}}}, "settings": [{"key": "exam.scale", "value": "1.0"}]}
    write_json(found.run_dir / "report" / "summary.json", summary)
    give_pools(found.run_dir, POOLS)
    return found


def test_confidence_is_the_geometric_mean_and_the_exam_says_what_it_is_worth(run: Run) -> None:
    tokens = [Token(1, math.log(0.9)), Token(2, math.log(0.4))]
    told, unsure = trust_in(run, tokens), trust_in(run, [Token(1, math.log(0.3))])
    assert told and (told.confidence, told.share_right) == (pytest.approx(0.6), 0.61)
    assert unsure and (unsure.confidence, unsure.share_right) == (pytest.approx(0.3), 0.1)
    # Nothing was said, or no log-probabilities were asked for.
    assert trust_in(run, []) is None and trust_in(run, [Token(1), Token(2, -0.1)]) is None


def test_an_exam_that_says_nothing_or_is_of_another_model_is_not_used(run: Run) -> None:
    sure = [Token(1, 0.0)]
    assert exam_pools(run.run_dir) == POOLS
    for pools in (None, ()):
        give_pools(run.run_dir, pools)
        assert trust_in(run, sure) == Trust(1.0, None)
    give_pools(run.run_dir, POOLS)
    change(run.run_dir / "report" / "summary.json", settings=[{"key": "exam.scale", "value": "0.5"}])
    touch(run.run_dir / "report")
    assert exam_pools(run.run_dir) == ()
    change(run.run_dir / "report" / "summary.json", settings=[])
    change(run.run_dir / "sft" / MANIFEST, started="2026-11-27T09:00:00+00:00")
    touch(run.run_dir / "sft")
    assert exam_pools(run.run_dir) == ()
    change(run.run_dir / "sft" / MANIFEST, started="2026-11-27T07:30:00+00:00")
    touch(run.run_dir / "sft")
    assert exam_pools(run.run_dir) == POOLS
    (run.run_dir / "report" / MANIFEST).write_text("{")
    touch(run.run_dir / "report")
    assert exam_pools(run.run_dir) == ()
    shutil.rmtree(run.run_dir / "report")
    assert trust_in(run, sure) == Trust(1.0, None)


def test_the_sentence_is_in_the_runs_language_and_promises_no_certainty() -> None:
    assert sentence(Trust(0.43, 0.61), "ja") == "確信 43 %。試験では、このくらい確かな答えの 61 % が正解でした。"
    assert sentence(Trust(0.9996, 1.0), "en") == (
        "Confidence 99.9 %: of the exam's answers as sure as this, 100 % were right."
    )
    assert sentence(Trust(0.43, None), "ja") == ""
    assert json.dumps(dataclasses.asdict(Trust(0.5, None))) == '{"confidence": 0.5, "share_right": null}'
