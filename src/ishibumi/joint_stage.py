"""How a stage is made by one process or by several that torchrun started. (run, stage, inputs, work) → Artifact."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ishibumi import artifacts
from ishibumi.artifacts import TRAINING_STAGES, Artifact
from ishibumi.config import Run
from ishibumi.corpus_stage import Watch, make_stage, stage_path, wanted_fingerprint
from ishibumi.training.distributed import first_says, num_ranks, rank, wait


def made_together(
    run: Run, stage: str, watch: Watch, inputs: Sequence[Any], work: Callable[[Path], dict[str, Any]]
) -> Artifact:
    """The stage, made by one process; of several the first does it, and all of them the training."""
    if num_ranks() == 1:
        return make_stage(run, stage, watch, inputs, work)
    path = stage_path(run, stage)
    to_do = first_says(artifacts.is_to_do(path, wanted_fingerprint(stage, inputs)))
    if rank() == 0:
        make_stage(run, stage, watch, inputs, work)
    elif to_do and stage in TRAINING_STAGES:
        work(artifacts.partial_of(path))
    wait()
    return artifacts.load(path)


def fingerprint_of(run: Run, stage: str) -> str:
    """The fingerprint of a finished stage."""
    return artifacts.load(stage_path(run, stage)).fingerprint


def existing(paths: Sequence[Path]) -> list[Path]:
    """Those of the files to hash that are there; the stage's own reader tells of those that are missing."""
    return [p for p in paths if p.is_file()]
