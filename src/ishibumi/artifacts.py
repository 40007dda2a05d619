"""Stage directories: complete or absent, and known by the fingerprint of what went in.

A stage works in `<name>.partial/`, which a later run with the same fingerprint takes up again, writes `manifest.json`
last and is renamed to `<name>/`. A finished stage is reused only when its fingerprint matches.
"""

import contextlib
import datetime as dt
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ishibumi.errors import ArtifactError

# In the order in which they are made; torchrun's processes do those of training together.
STAGES = ("corpus", "knowledge", "cpt", "sft", "before", "exam", "report")
TRAINING_STAGES = ("cpt", "sft")
MANIFEST = "manifest.json"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its directory and what its manifest says."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """The hash of everything that this stage was made from."""
        return str(self.manifest["fingerprint"])


def fingerprint(*parts: Any) -> str:
    """A hash of JSON-like values; a Path stands for the bytes of its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str, ensure_ascii=False).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def load(path: Path) -> Artifact:
    """The finished stage at `path`. Raises ArtifactError where it is absent or incomplete."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except FileNotFoundError:
        present = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise ArtifactError(
            f"{path} is not a finished stage. In {path.parent}: {', '.join(present) or 'nothing'}.",
            hint="Run the stages before it: ishibumi run SETTINGS.toml",
            hint_ja="先に前の段階を実行してください: ishibumi run 設定.toml",
        ) from None
    except json.JSONDecodeError as error:
        raise ArtifactError(
            f"{path / MANIFEST} is damaged: {error}",
            hint=f"Delete {path} and run again.",
            hint_ja=f"{path} を消して、もう一度実行してください。",
        ) from None
    return Artifact(path, manifest)


def is_current(path: Path, wanted: str) -> bool:
    """Whether `path` is finished and was made from exactly `wanted`."""
    return (path / MANIFEST).exists() and load(path).fingerprint == wanted


def partial_of(path: Path) -> Path:
    """Where a stage is made until it is whole."""
    return path.with_name(path.name + ".partial")


def is_to_do(path: Path, wanted: str) -> bool:
    """Whether `build` will call its work."""
    return not (is_current(path, wanted) or is_current(partial_of(path), wanted))


def build(path: Path, wanted: str, work: Callable[[Path], dict[str, Any]]) -> Artifact:
    """The stage at `path` for fingerprint `wanted`: reused if current, else made by `work(partial_directory)`.

    `work` returns what the manifest keeps (counts, settings). If it raises, the partial directory stays for the next
    try with the same fingerprint, and an older finished stage is left as it was.
    """
    if is_current(path, wanted):
        return load(path)
    partial = partial_of(path)
    with disk_errors(path):
        if not is_current(partial, wanted):  # else: killed just before the renaming
            _fill(partial, path.name, wanted, work)
        _replace_directory(partial, path)
    return load(path)


def _fill(partial: Path, stage: str, wanted: str, work: Callable[[Path], dict[str, Any]]) -> None:
    """Do the work in the partial directory, from where an earlier try with the same fingerprint left it."""
    mark = partial / "fingerprint"
    if partial.exists() and not (mark.exists() and mark.read_text() == wanted):
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    mark.write_text(wanted)
    started = dt.datetime.now(dt.UTC)
    manifest = {"stage": stage, "fingerprint": wanted, "started": started.isoformat(), **work(partial)}
    manifest["seconds"] = round((dt.datetime.now(dt.UTC) - started).total_seconds(), 1)
    write_json(partial / MANIFEST, manifest)
    mark.unlink()


def _replace_directory(new: Path, path: Path) -> None:
    old = path.with_name(path.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if path.is_symlink():  # to a stage that several runs have: another stage takes its place in this run only
        path.unlink()
    elif path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, default=str) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The value of a JSON file that ishibumi wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_jsonl(path: Path) -> list[Any]:
    """The values of a JSON lines file that ishibumi wrote."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_text(path: Path, text: str) -> None:
    """Write `text` to a temporary name, flush it to disk, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    with disk_errors(path):
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an ArtifactError that names `path`."""
    try:
        yield
    except Exception as error:
        if not _is_of_disk(error):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ArtifactError(
            f"Cannot write {path}: {reason}.",
            hint="Free space or set run_dir to another disk, then run the same command: it goes on where it stopped.",
            hint_ja="空き容量を作るか run_dir を別のディスクにして、同じコマンドをもう一度実行すると続きから進みます。",
        ) from error


def _is_of_disk(error: Exception) -> bool:
    """Whether a disk is full or not writable. safetensors, tokenizers and NumPy tell the reason in words only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_ERRORS
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) in DISK_ERRORS if found else "requested and" in str(error)


@contextlib.contextmanager
def shared(path: Path, kept: Path) -> Iterator[Path]:
    """`kept`, where a stage of several runs lives, held for this process; `path` becomes a link to it."""
    with lock(kept.with_name(kept.name + ".lock"), wait=True):
        if not (path.is_symlink() and path.resolve() == kept.resolve()):
            if path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path)
            path.symlink_to(os.path.relpath(kept, path.parent))
        yield kept


@contextlib.contextmanager
def lock(run_dir: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `run_dir` for this process. Raises ArtifactError at once if another one has it, or waits for it."""
    with disk_errors(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
        file = (run_dir / ".lock").open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise ArtifactError(
                f"{run_dir} is in use by process {file.read().strip() or 'unknown'}.",
                hint="Wait for it, stop it, or give this run another run_dir.",
                hint_ja="終わるのを待つか、止めるか、run_dir に別の場所を指定してください。",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
