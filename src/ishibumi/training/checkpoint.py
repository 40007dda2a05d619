"""Checkpoints: where training stood after some steps, whole or not at all. Optimizer state + history ↔ files.

checkpoint-00000120.pt  checkpoint-00000180.pt        the last few steps at which there was time for one
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from ishibumi.artifacts import disk_errors

NAME = "checkpoint-{step:08}.pt"
ANY = "checkpoint-*.pt"


def save_checkpoint(directory: Path, state: dict[str, Any], *, step: int, kept: int = 2) -> None:
    """Write `state` to a temporary name, rename it, and remove all but the last `kept`."""
    path = directory / NAME.format(step=step)
    temporary = path.with_suffix(".tmp")
    with disk_errors(path):
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise OSError(28, f"No space left on device ({error})") from error
        temporary.replace(path)
    for old in checkpoints(directory)[:-kept]:
        old.unlink()


def load_checkpoint(directory: Path) -> dict[str, Any] | None:
    """The last checkpoint that can be read, or None. Only tensors and plain values are read back.

    It comes into the CPU's memory: a GPU holds the state that it is to replace, and need not have room for two.
    """
    for path in reversed(checkpoints(directory)):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile):
            continue  # a disk lost a part of it: the one before is as good, a little earlier
        return state
    return None


def checkpoints(directory: Path) -> list[Path]:
    """All checkpoints in a directory, the oldest first."""
    return sorted(directory.glob(ANY))


def remove_checkpoints(directory: Path) -> None:
    """Leave none, nor one that was being written."""
    for path in (*checkpoints(directory), *directory.glob("checkpoint-*.tmp")):
        path.unlink()
