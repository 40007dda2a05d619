"""The first stage, and how every stage is made once. documents → run_dir/corpus/

Kept apart from the other stages: it needs no model, so that `ishibumi corpus` starts in a second, on any machine.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ishibumi import artifacts
from ishibumi.artifacts import Artifact, fingerprint
from ishibumi.config import Run
from ishibumi.corpus.parts import make_parts
from ishibumi.corpus.read import DOCUMENTS_FILE, require_usable, write_corpus
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.memory import release

FORMAT = 1  # raise it when a change of code makes old stages wrong


class Watch(Protocol):
    """Who is told what happens, and who may stop it; the library itself prints nothing."""

    def stage_started(self, stage: str) -> None:
        """A stage that must be made begins."""

    def stage_finished(self, stage: str, manifest: dict[str, Any], reused: bool) -> None:
        """A stage is done, or was there already."""

    def step(self, stage: str, record: Any) -> None:
        """One optimizer step (trainer.StepRecord)."""

    def answered(self, arm: str, done: int, total: int) -> None:
        """So many questions of an arm, or prompts of a generator, have been answered."""

    def should_stop(self) -> bool:
        """Whether the user asked to stop."""
        return False


class Silent(Watch):
    """Watches nothing and never stops, as its base does."""


SILENT: Watch = Silent()


def run_corpus(run: Run, *, watch: Watch = SILENT) -> Path:
    """Make the corpus stage alone; returns the run directory."""
    with artifacts.lock(run.run_dir):
        build_corpus(run, watch=watch)
    return run.run_dir


def build_corpus(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """documents → corpus/documents.jsonl, with a report of everything that was left out."""
    inputs = _inputs(run)

    def work(directory: Path) -> dict[str, Any]:
        corpus = write_corpus(_paths(run), run.settings.documents, directory, _parts_dir(run, inputs))
        with (directory / DOCUMENTS_FILE).open("rb") as lines:
            num_documents = sum(1 for _ in lines)
        return {"documents": num_documents, "left_out": {k: v["count"] for k, v in corpus.report.items()}}

    artifact = make_stage(run, "corpus", watch, inputs, work)
    for parts_dir in run.run_dir.glob("corpus.parts-*"):
        shutil.rmtree(parts_dir)
    return artifact


def prepare_shard(run: Run, shard: tuple[int, int]) -> Path:
    """Read and clean shard i of n of the documents, for `build_corpus` to take up; returns where its parts lie.

    Shards may be made at the same time, by processes of one machine or of several that share the run directory.
    """
    require_usable(_paths(run), run.settings.documents)
    inputs = _inputs(run)
    directory = _parts_dir(run, inputs)
    if not artifacts.is_current(stage_path(run, "corpus"), wanted_fingerprint("corpus", inputs)):
        with artifacts.disk_errors(directory):
            make_parts(_paths(run), run.settings.documents, directory, shard)
    return directory


def make_stage(
    run: Run, stage: str, watch: Watch, inputs: Sequence[Any], work: Callable[[Path], dict[str, Any]]
) -> Artifact:
    """The stage as `work` makes it, or as it is there if it was made from the same `inputs`."""
    path, wanted = stage_path(run, stage), wanted_fingerprint(stage, inputs)
    with contextlib.ExitStack() as held:
        if run.store and stage != "report":
            path = held.enter_context(artifacts.shared(path, run.store / f"{stage}-{wanted[:16]}"))
        reused = artifacts.is_current(path, wanted)
        if not reused:
            watch.stage_started(stage)
        artifact = artifacts.build(path, wanted, work)
    if not reused:
        release()
    watch.stage_finished(stage, artifact.manifest, reused)
    return artifact


def stage_path(run: Run, stage: str) -> Path:
    """The directory of a finished stage."""
    return run.run_dir / stage


def _paths(run: Run) -> list[Path]:
    return [run.resolve(path) for path in run.settings.documents.paths]


def _inputs(run: Run) -> list[Any]:
    files = local_files(_paths(run))
    return [run.settings.documents.model_dump(), [path.name for path in files], *files]


def _parts_dir(run: Run, inputs: Sequence[Any]) -> Path:
    return run.run_dir / f"corpus.parts-{wanted_fingerprint('corpus', inputs)[:12]}"


def wanted_fingerprint(stage: str, inputs: Sequence[Any]) -> str:
    """The fingerprint of a stage that is made from `inputs`."""
    return fingerprint(FORMAT, stage, *inputs)
