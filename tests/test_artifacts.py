"""Stage directories: complete or absent, reused only for the same inputs, and held by one process at a time."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from ishibumi import artifacts
from ishibumi.artifacts import build, fingerprint, is_current, load, lock, write_json, write_jsonl
from ishibumi.errors import ArtifactError


def work(*written: str) -> Callable[[Path], dict[str, Any]]:
    def write(directory: Path) -> dict[str, Any]:
        for name in written:
            (directory / name).write_text(name)
        return {"count": len(written)}

    return write


def fail(directory: Path) -> dict[str, Any]:
    (directory / "half").write_text("so far")
    raise KeyError("broken")


def test_a_stage_is_made_once_for_a_fingerprint_and_replaced_for_another(tmp_path: Path) -> None:
    path = tmp_path / "stage"
    made = build(path, "one", work("a", "b"))
    assert (made.fingerprint, made.manifest["count"], made.manifest["stage"]) == ("one", 2, "stage")
    assert sorted(p.name for p in path.iterdir()) == ["a", "b", "manifest.json"]
    assert build(path, "one", fail) == made
    assert build(path, "two", work("c")).manifest["count"] == 1
    assert sorted(p.name for p in path.iterdir()) == ["c", "manifest.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_a_failed_stage_is_taken_up_only_for_the_same_fingerprint(tmp_path: Path) -> None:
    path, partial = tmp_path / "stage", tmp_path / "stage.partial"
    build(path, "old", work("a"))
    with pytest.raises(KeyError):
        build(path, "new", fail)
    assert load(path).fingerprint == "old"
    assert (partial / "half").exists() and not (partial / "manifest.json").exists()
    seen: list[list[str]] = []

    def look(directory: Path) -> dict[str, Any]:
        seen.append(sorted(p.name for p in directory.iterdir()))
        raise KeyError("again")

    for wanted in ("new", "other"):
        with pytest.raises(KeyError):
            build(path, wanted, look)
    assert seen == [["fingerprint", "half"], ["fingerprint"]]
    build(path, "other", work("b"))
    assert sorted(p.name for p in path.iterdir()) == ["b", "manifest.json"]
    assert not partial.exists()


def test_the_manifest_comes_last_and_a_stage_killed_before_its_renaming_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stage"

    def killed(*_: Path) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "_replace_directory", killed)
        with pytest.raises(SystemExit):
            build(path, "one", work("a"))
    newest = max((tmp_path / "stage.partial").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert newest.name == "manifest.json"
    assert not is_current(path, "one")
    assert build(path, "one", fail).manifest["count"] == 1


def test_what_is_absent_or_damaged_is_told(tmp_path: Path) -> None:
    build(tmp_path / "corpus", "x", work())
    with pytest.raises(ArtifactError, match=r"sft is not a finished stage\. In .*: corpus\.") as caught:
        load(tmp_path / "sft")
    assert caught.value.hint and caught.value.hint_ja
    (tmp_path / "corpus" / "manifest.json").write_text('{"fingerpr')
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged: ") as caught:
        is_current(tmp_path / "corpus", "x")
    assert caught.value.hint and caught.value.hint_ja


def test_a_fingerprint_changes_with_values_order_and_file_contents(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a")
    base = fingerprint("x", {"a": 1, "b": 2}, file)
    assert base == fingerprint("x", {"b": 2, "a": 1}, file)
    assert len({base, fingerprint({"a": 1, "b": 2}, "x", file), fingerprint("x", {"a": 1, "b": 3}, file)}) == 3
    file.write_text("b")
    assert fingerprint("x", {"a": 1, "b": 2}, file) != base
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


HOLD = """
import sys
from pathlib import Path
from ishibumi.artifacts import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_is_held_by_one_process_and_free_after_its_death(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError) as caught, lock(tmp_path):
            pass
        assert caught.value.message == f"{tmp_path} is in use by process {process.pid}."
        assert caught.value.hint and caught.value.hint_ja
        process.send_signal(signal.SIGKILL)
    with lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"a": 1}])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"Cannot write .*rows\.jsonl: No space left on device\.") as caught:
        write_jsonl(path, [{"a": 2}])
    assert caught.value.hint and caught.value.hint_ja
    assert path.read_text() == '{"a": 1}\n'


FULL = """
import resource, sys
from pathlib import Path
import numpy as np, torch
sys.path.insert(0, {tests!r})
import tiny
from ishibumi.artifacts import build, disk_errors
from ishibumi.errors import ArtifactError
from ishibumi.training.checkpoint import save_checkpoint
from ishibumi.training.saved import save_merged

where, model = Path({where!r}), tiny.load(Path({model!r}))
writers = {{
    "weights": lambda d: save_merged(d, model),
    "array": lambda d: np.save(d / "a.npy", np.zeros(100_000)),
    "checkpoint": lambda d: save_checkpoint(d, {{"a": torch.zeros(100_000)}}, step=1),
}}
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
for name, write in writers.items():
    try:
        build(where / name, "x", write)
    except ArtifactError as error:
        print(name, error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
try:
    with disk_errors(where / "tokenizer"):
        model.tokenizer.save_pretrained(where / "tokenizer")
except ArtifactError as error:
    print("tokenizer", error.message)
"""


def test_whatever_library_writes_a_full_disk_is_told_in_the_same_words(
    tmp_path: Path, model_dir: Callable[[str], Path]
) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    code = FULL.format(tests=str(Path(tiny.__file__).parent), where=str(tmp_path), model=str(model_dir("llama")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["weights", "array", "checkpoint", "tokenizer"], done.stderr
    for line in lines:
        name = line.split()[0]
        assert line.startswith(f"{name} Cannot write {tmp_path / name}")
        assert not (tmp_path / name / "manifest.json").exists()


def test_json_is_written_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "碑", "n": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "name": "碑",\n "n": 1\n}\n'
