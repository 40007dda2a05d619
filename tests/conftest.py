"""What several test files share: tiny models on disk, made once a process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# One thread a process, set before torch is imported: tests run side by side, and tiny products gain nothing from more.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tiny
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave tests marked gpu out where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """kind → the directory of the tiny model of that kind."""
    made: dict[str, Path] = {}

    def directory(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny.save(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return directory
