"""Every command but fetch and bundle, one after another in a process that may not leave this machine.

Python's audit events tell of each connection and each name that is looked up, whatever library asks; where the system
allows it, the process is in a network namespace without any route, too, which also holds for libraries in C.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tiny
import tiny_tokenizers
import typer.main
from test_pipeline import call as call_here
from test_pipeline import write_project

from ishibumi.cli import app

MAY_USE_IT = {"fetch", "bundle"}
CAUGHT = 97
# Written without a library: the hook is there before anything else is imported, and cannot be taken out again.
WATCHED = f"""
import json, os, sys
def watch(event, arguments):
    host = ""
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0] or ""
    if host not in ("", "localhost", "127.0.0.1", "::1"):
        os.write(2, f"{{event}} {{host}}".encode())
        os._exit({CAUGHT})
sys.addaudithook(watch)
from typer.testing import CliRunner
from ishibumi.cli import app
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, words, input="首都は？\\n/quit\\n")
    assert done.exit_code == 0, (words, done.stderr, done.exception)
    print(words[0])
"""


def prefix() -> list[str]:
    """The words that put a command into a namespace without a network, where that is possible."""
    words = ["unshare", "--net", "--"]
    usable = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True).returncode == 0
    return words if usable else []


def call(commands: list[list[str]], cwd: Path, before: list[str]) -> subprocess.CompletedProcess[str]:
    program = [*before, sys.executable, "-c", WATCHED, json.dumps(commands)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    return subprocess.run(program, cwd=cwd, capture_output=True, text=True, env=environment | {"LC_ALL": "C.UTF-8"})


def test_no_command_but_fetch_and_bundle_reaches_another_machine(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    tiny.network("llama", vocabulary=len(tokenizer), eos_token_id=2).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    write_project(tmp_path, tmp_path / "base")
    stages = [[verb] for verb in ("check", "corpus", "cpt", "sft", "evaluate", "report", "run", "show", "chat")]
    exports = [["export", "--format", form, "--out", form] for form in ("adapter", "merged", "gguf")]
    done = call([["init", "new"], *stages, *exports, ["sweep", "ishibumi.toml", "exam.scale=0.5"]], tmp_path, prefix())
    assert done.returncode == 0, done.stderr
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(done.stdout.split()) == verbs - MAY_USE_IT - {"serve"}  # which listens until it is stopped


def test_the_watch_sees_a_command_that_does(tmp_path: Path) -> None:
    done = call([["fetch", "owner/model", "there"]], tmp_path, [])
    assert done.returncode == CAUGHT and done.stderr.startswith("socket.getaddrinfo ")


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/ishibumi-outside.txt", "a/../../outside.txt"])
def test_an_archive_of_documents_writes_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_project(folder, tmp_path / "base")
    with zipfile.ZipFile(folder / "news.zip", "w") as archive:
        archive.writestr(name, "これは外に書こうとする文書です。2024年9月1日の出来事。")
    before = sorted(tmp_path.rglob("*"))
    flags = ["--set", 'documents.paths=["news.jsonl", "news.zip"]', "--set", "documents.on_bad=skip"]
    assert call_here("corpus", folder / "ishibumi.toml", *flags)[0] == 0
    after = [p for p in sorted(tmp_path.rglob("*")) if folder / "run" not in (p, *p.parents)]
    assert after == before and not Path("/tmp/ishibumi-outside.txt").exists()
