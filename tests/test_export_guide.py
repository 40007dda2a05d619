"""The guide on exports: its commands are the program's, and both languages have the same ones."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
from test_docs import blocks, commands, tables

from ishibumi.cli import app

GUIDES = [Path(__file__).parents[1] / "docs" / "guides" / name for name in ("export.md", "export.ja.md")]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_command_line_parses(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    found = [words for words in commands(page, "ishibumi") if len(words) > 1]
    assert [words[0] for words in found] == ["export", "export", "export", "bundle"]
    for verb, *arguments in found:
        group.commands[verb].make_context(verb, arguments)


def test_both_languages_have_the_same_commands_and_table() -> None:
    english, japanese = GUIDES
    assert blocks(english) == blocks(japanese)
    shapes = [[len(row) for table in tables(page.read_text(encoding="utf-8")) for row in table] for page in GUIDES]
    assert shapes[0] == shapes[1]
