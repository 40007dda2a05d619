"""The guide «Your documents» in both languages: its commands parse, its settings load, its chat rows are read."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from test_docs import blocks, prose

from ishibumi import config
from ishibumi.cli import app
from ishibumi.config_errors import fields_by_key
from ishibumi.corpus.chat_shapes import messages_of
from ishibumi.corpus.readers.files import SUFFIXES
from ishibumi.corpus.readers.inputs import ARCHIVE_SUFFIXES, UNPACK
from ishibumi.settings import Settings

GUIDES = sorted(Path(__file__).parents[1].glob("docs/guides/documents*.md"))


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_commands_parse_and_settings_load(page: Path, tmp_path: Path) -> None:
    group: Any = typer.main.get_command(app)
    lines = [line for language, text in blocks(page) if language == "sh" for line in text.splitlines()]
    lines += [
        found.replace(" ID", " x") for found in re.findall(r"`(ishibumi [^`]+)`", page.read_text(encoding="utf-8"))
    ]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("ishibumi ")]
    assert len(commands) >= 8
    for _, verb, *arguments in commands:
        group.commands[verb].make_context(verb, arguments)
    for language, text in blocks(page):
        if language == "toml":
            path = tmp_path / "ishibumi.toml"
            path.write_text(text, encoding="utf-8")
            config.load(path)
    keys = set(re.findall(r"`((?:documents|chat|model)\.\w+)", prose(page)))
    assert keys - set(fields_by_key(Settings)) == {"documents.jsonl"}  # the file


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_every_row_of_chat_is_read_and_every_format_is_named(page: Path) -> None:
    (rows,) = [text.splitlines() for language, text in blocks(page) if language == "json"]
    assert [messages_of(json.loads(row))[-2:] for row in rows] == 5 * [
        [{"role": "user", "content": "首都は？"}, {"role": "assistant", "content": "東京です。"}]
    ]
    named = set(re.findall(r"`(\.[a-z0-9]+)`", page.read_text(encoding="utf-8")))
    known = {*SUFFIXES, *ARCHIVE_SUFFIXES, *UNPACK}
    assert named <= known
    assert known - named == {".ndjson", ".feather", ".xhtml", ".markdown", ".tgz"} | {
        s for s in known if s.count(".") > 1
    }


def test_both_languages_show_the_same() -> None:
    def shown(page: Path) -> list[str]:
        return [re.sub(r"[ ]+#.*|(?<=\S)   +.*", "", text) for _, text in blocks(page)]

    english, japanese = ({p.name: p for p in GUIDES}[name] for name in ("documents.md", "documents.ja.md"))
    assert shown(english) == shown(japanese)
    headings = [re.findall(r"^#+ ", prose(page), flags=re.M) for page in (english, japanese)]
    assert headings[0] == headings[1]
