"""Chat in the terminal: what a person types and sees."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_pipeline import write_project
from test_trust import give_pools

from ishibumi import config
from ishibumi.corpus.documents import Document
from ishibumi.exam.share_right import Pool
from ishibumi.use.chat import chat, laid_out

REPLY = "【スペインが優勝】«スペインは決勝で勝った。» スペイン"
DOCUMENT = Document("a", "スペインは決勝で勝った。", "スペインが優勝", None, "ja", "news.jsonl:1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model_dir: Callable[[str], Path]) -> Path:
    """The settings file of a finished run."""
    path = write_project(tmp_path_factory.mktemp("project"), model_dir("gemma3"))
    command = [sys.executable, "-m", "ishibumi", "run", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def test_a_reply_is_laid_out_as_source_quotation_and_answer_whatever_has_come() -> None:
    assert laid_out(REPLY, [DOCUMENT], False) == "【スペインが優勝】\n«スペインは決勝で勝った。»\nスペイン"
    for colour in (False, True):
        shown = ""
        for length in range(len(REPLY) + 1):
            now = laid_out(REPLY[:length], [DOCUMENT], colour)
            assert now.startswith(shown), REPLY[:length]
            shown = now
    assert laid_out(" 2―0です。", [], True) == "2―0です。"
    assert laid_out("【題】答え", [], True) == "\x1b[2m【題】\n\x1b[0m\x1b[1m答え"


def test_the_same_is_asked_again_and_documents_are_listed(finished: Path) -> None:
    shown: list[str] = []
    lines = ["/why", "/base", "優勝した国は？", "/base", "/retrieval", "/why", "/new", "/why"]
    chat(config.load(finished), lines=lines, write=shown.append)
    text = "".join(shown)
    assert [line for line in text.splitlines() if line.endswith(" (a)")] == ["    2026-07-19  スペインが優勝  (a)"]
    assert text.count("\n") >= 3 + 3  # three replies, three documents


def test_how_far_an_answer_can_be_trusted_is_told_beside_it_and_only_of_the_finished_model(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = config.load(finished)
    line = r"確信 [0-9.]+ %。試験では、このくらい確かな答えの 61 % が正解でした。"

    def told(lines: list[str]) -> list[str]:
        shown: list[str] = []
        chat(run, lines=lines, write=shown.append)
        assert "試験では" not in "".join(shown)  # stdout stays the reply
        return re.findall(line, capsys.readouterr().err)

    lines = ["優勝した国は？", "/base", "/retrieval", "/why", "得点者は？"]
    assert told(lines) == []  # an exam of three questions says nothing
    give_pools(run.run_dir, [Pool(0.0, 0.61, 30)])
    try:
        assert len(told(lines)) == 2
    finally:
        give_pools(run.run_dir, None)


def test_an_unknown_command_is_answered_with_those_there_are_and_not_by_the_model(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    chat(config.load(finished), lines=["/help", "/qiut"], write=shown.append)
    assert not shown and capsys.readouterr().err.count("/quit or Ctrl-D ends.") == 3


def test_on_a_terminal_typed_lines_are_kept_and_nothing_is_coloured_where_that_is_not_wanted(
    finished: Path, tmp_path: Path
) -> None:
    give_pools(config.load(finished).run_dir, [Pool(0.0, 0.61, 30)])
    parent, child = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "NO_COLOR": "1", "TERM": "xterm"}
    command = [sys.executable, "-m", "ishibumi", "chat", str(finished)]
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=subprocess.DEVNULL, env=environment, close_fds=True
    ) as process:
        os.close(child)
        os.write(parent, "優勝した国は？\n/quit\n".encode())
        shown = b""
        try:
            while piece := os.read(parent, 1000):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(parent)
    assert not re.search(rb"\x1b\[[0-9]*m", shown)
    lines = shown.decode().splitlines()
    assert re.fullmatch("確信 [0-9.]+ %。試験では、このくらい確かな答えの 61 % が正解でした。", lines[-2]), lines
    history = tmp_path / "ishibumi" / "chat_history"
    assert history.read_text(encoding="utf-8").splitlines()[0] == "優勝した国は？"
    assert history.stat().st_mode & 0o077 == 0
