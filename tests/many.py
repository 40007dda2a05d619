"""What the processes of test_distributed.py do: torchrun … many.py DIRECTORY TASKS.json, or `stage` in one process."""

import json
import sys
from pathlib import Path
from typing import Any

import tiny
import torch

from ishibumi.errors import Stopped
from ishibumi.training.distributed import joined, rank
from ishibumi.training.saved import save_merged
from ishibumi.training.splitting import whole
from ishibumi.training.stage import Mix, run_stage

TEXTS = ["Spain beat Argentina 1-0.", "Kane scored twice in Dallas.", "東京で雨が降った。", "The final was in July."]
TARGETS = ["q_proj", "down_proj", "embed_tokens", "lm_head"]
ROWS = {
    "epochs": 4,
    "tokens_per_step": 192,
    "tokens_per_pass": 64,
}  # 3 rows a step, 1 a pass: two processes get 2 and 1


def stage(
    base: Path, directory: Path, *, is_split: bool, stop_after: int | None = None, dtype: str = "float32", **values: Any
) -> None:
    """Train on the texts, and leave adapter, history and the merged model in `directory`; or a checkpoint."""
    model = tiny.load(base, dtype, device="meta" if is_split and rank() > 0 else "cpu")
    seen: list[Any] = []
    directory.mkdir(exist_ok=True)
    try:
        run_stage(
            model, [tiny.example(t * n) for n in (1, 2) for t in TEXTS], Mix(("document",), {}),
            tiny.settings(**({"targets": TARGETS} | ROWS | values)), directory, seed=1,
            on_step=seen.append, should_stop=lambda: len(seen) == stop_after,
            split_on=torch.device("cpu") if is_split else None,
        )  # fmt: skip
    except Stopped:
        return
    finished = whole(model)
    if rank() == 0:
        save_merged(directory / "model", finished)


if __name__ == "__main__":
    tasks = json.loads(Path(sys.argv[1]).read_text())
    with joined("cpu"):
        for task in tasks:
            stage(Path(task.pop("base")), Path(task.pop("directory")), **task)
