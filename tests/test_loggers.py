"""The figures of every step reach what machine.log_to names, and nothing is imported that is not named."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_pipeline

from ishibumi import artifacts
from ishibumi.loggers import FIGURES


@pytest.fixture
def project(model_dir: Callable[[str], Path], tmp_path: Path) -> Path:
    return test_pipeline.write_project(tmp_path, model_dir("llama"))


def test_tensorboard_gets_every_figure_of_every_step(project: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = test_pipeline.call("sft", project, "--set", 'machine.log_to=["tensorboard"]')
    assert code == 0, err
    written = EventAccumulator(str(project.parent / "run" / "logs" / "tensorboard")).Reload()
    tags: Any = written.Tags()
    assert set(tags["scalars"]) == {f"{stage}/{figure}" for stage in ("cpt", "sft") for figure in FIGURES}
    for stage in ("cpt", "sft"):
        history = artifacts.read_jsonl(project.parent / "run" / stage / "history.jsonl")
        for figure in ("loss", "utilisation", "peak_bytes"):
            wanted = [(row["step"], pytest.approx(row[figure], rel=1e-6)) for row in history]
            assert [(event.step, event.value) for event in written.Scalars(f"{stage}/{figure}")] == wanted
        assert all(0 < row["utilisation"] < 1 and row["peak_bytes"] > 50e6 for row in history)


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra wandb is not installed")
def test_wandb_writes_a_run_to_this_machine_alone(project: Path) -> None:
    flags = ["--set", 'machine.log_to=["wandb"]', "--set", "sft.epochs=0"]
    done = subprocess.run([sys.executable, "-m", "ishibumi", "cpt", str(project), *flags], capture_output=True)
    assert done.returncode == 0, done.stderr
    (found,) = (project.parent / "run" / "logs" / "wandb").glob("wandb/offline-run-*/run-*.wandb")
    assert b"cpt/gradient_norm" in found.read_bytes()


def test_a_logger_that_is_missing_is_refused_with_the_line_that_installs_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "wandb" else real(name, *rest))
    for verb in ("check", "run"):
        code, out, err = test_pipeline.call(verb, project, "--set", 'machine.log_to=["wandb"]')
        assert (code, out) == (2, "")
        assert err == (
            "ishibumi: machine.log_to names wandb, which is not installed.\nWhat to do: pip install 'ishibumi[wandb]'\n"
        )


def test_loggers_are_imported_only_when_they_are_named() -> None:
    code = "import sys, ishibumi.pipeline; print({'tensorboard', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
