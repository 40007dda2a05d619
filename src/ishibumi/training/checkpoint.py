"""Checkpoint: where training stood, whole or not at all. Optimizer state + history ↔ one file."""

from pathlib import Path
from typing import Any

import torch

from ishibumi.artifacts import disk_errors

NAME = "checkpoint.pt"


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write `state` to a temporary name, then rename."""
    temporary = directory / (NAME + ".tmp")
    with disk_errors(directory / NAME):
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise OSError(28, f"No space left on device ({error})") from error
        temporary.replace(directory / NAME)


def load_checkpoint(directory: Path, device: torch.device) -> dict[str, Any] | None:
    """The last whole checkpoint, or None. Only tensors and plain values are read back."""
    path = directory / NAME
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
