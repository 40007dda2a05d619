"""Where the figures of training go besides history.jsonl: names of machine.log_to → a function that takes each step.

TensorBoard and Weights & Biases are imported only when they are asked for. W&B writes to this machine alone, unless the
environment says WANDB_MODE=online.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ishibumi.errors import UsageError
from ishibumi.settings import Logger

FIGURES = ("loss", "gradient_norm", "learning_rate", "tokens", "seconds", "utilisation", "peak_bytes")
Log = Callable[[Any], None]  # takes a trainer.StepRecord


def check_loggers(names: Sequence[Logger]) -> None:
    """Raise UsageError for a logger that is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            install = f"pip install 'ishibumi[{name}]'"
            raise UsageError(f"machine.log_to names {name}, which is not installed.", hint=install, hint_ja=install)


@contextlib.contextmanager
def logging_to(names: Sequence[Logger], directory: Path, stage: str) -> Iterator[Log]:
    """A function that gives each step of a stage to all that are named; their files are in `directory`."""
    start = {"tensorboard": _tensorboard, "wandb": _wandb}
    with contextlib.ExitStack() as opened:
        writers = [opened.enter_context(start[name](directory / name, stage)) for name in names]

        def log(record: Any) -> None:
            values = {figure: getattr(record, figure) for figure in FIGURES}
            for write in writers:
                write(record.step, {figure: float(value) for figure, value in values.items() if value is not None})

        yield log


@contextlib.contextmanager
def _tensorboard(directory: Path, stage: str) -> Iterator[Callable[[int, dict[str, float]], None]]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(directory)) as writer:

        def write(step: int, values: dict[str, float]) -> None:
            for figure, value in values.items():
                writer.add_scalar(f"{stage}/{figure}", value, step)

        yield write


@contextlib.contextmanager
def _wandb(directory: Path, stage: str) -> Iterator[Callable[[int, dict[str, float]], None]]:
    import wandb  # pyright: ignore[reportMissingImports]  # an extra that few install

    directory.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE", "offline")
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
    with wandb.init(project="ishibumi", job_type=stage, dir=str(directory), mode=mode, settings=quiet) as run:  # type: ignore[arg-type]
        yield lambda step, values: run.log({f"{stage}/{figure}": value for figure, value in values.items()}, step=step)
