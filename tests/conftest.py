"""What several test files share: tiny models on disk, made once a process."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """kind → the directory of the tiny model of that kind."""
    made: dict[str, Path] = {}

    def directory(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny.save(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    return directory
