"""Benchmarks: every row of a table is a command that its program understands."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("compare", "one"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("modules")
def test_every_rows_command_is_understood() -> None:
    from compare import ROWS  # pyright: ignore[reportMissingImports]
    from one import parser  # pyright: ignore[reportMissingImports]

    commands = [command.split() for rows in ROWS.values() for _, _, command in rows]
    assert len(commands) > 40
    for words in commands:
        parser().parse_args(words[1:] if words[0] == "profile" else words)
    names = [(shape, group, name) for shape, rows in ROWS.items() for group, name, _ in rows]
    assert len(set(names)) == len(names)
