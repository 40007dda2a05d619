"""What each of several processes does in test_distributed.py: torchrun … many.py TASK MODEL DIRECTORY KIND."""

import json
import sys
from pathlib import Path
from typing import Any

import tiny
import torch

from ishibumi.errors import Stopped
from ishibumi.training.distributed import joined, rank, whole
from ishibumi.training.saved import save_merged
from ishibumi.training.stage import Mix, run_stage

TEXTS = ["Spain beat Argentina 1-0.", "Kane scored twice in Dallas.", "東京で雨が降った。", "The final was in July."]
TARGETS = ["q_proj", "down_proj", "embed_tokens", "lm_head"]


def stage(base: Path, directory: Path, *, is_split: bool, stop_after: int | None = None, **values: Any) -> None:
    """Train on the texts, and leave adapter, history and the merged model in `directory`."""
    device = ("cpu" if rank() == 0 else "meta") if is_split else "cpu"
    model = tiny.load(base, device=device)
    seen: list[Any] = []
    chosen = tiny.settings(targets=TARGETS, epochs=4, tokens_per_step=192, tokens_per_pass=64, **values)
    if rank() == 0:
        directory.mkdir(exist_ok=True)
    run_stage(
        model, [tiny.example(t * n) for n in (1, 2) for t in TEXTS], Mix(("document",), {}), chosen, directory, seed=1,
        on_step=seen.append, should_stop=lambda: len(seen) == stop_after,
        split_on=torch.device("cpu") if is_split else None,
    )  # fmt: skip
    finished = whole(model)
    if rank() == 0:
        save_merged(directory / "model", finished)


if __name__ == "__main__":
    base, directory, task = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    with joined("cpu"):
        try:
            stage(base, directory, **task)
        except Stopped:
            print("stopped")
