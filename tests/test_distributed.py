"""Two processes give what one gives: the same losses, weights and files, with whole weights and with split ones."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import many
import pytest
import test_pipeline
import torch
from safetensors.torch import load_file

from ishibumi import artifacts
from ishibumi.errors import UsageError
from ishibumi.training.batches import Plan
from ishibumi.training.checkpoint import checkpoints
from ishibumi.training.distributed import share_of_rows
from ishibumi.training.splitting import enough_rows

pytestmark = pytest.mark.timeout(600)  # two processes that import PyTorch, on two cores
HERE = Path(__file__).parent
STOPPED = 3  # of eight steps
# name → (kind of model, what the two processes do)
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "whole-gemma3": ("gemma3", {"is_split": False}),
    "split-gemma3": ("gemma3", {"is_split": True}),
    "split-llama": ("llama", {"is_split": True}),
    "split-full": ("llama", {"is_split": True, "method": "full", "learned_scale": 0.5}),
    "split-sampled": ("qwen3", {"is_split": True, "targets": ["q_proj", "up_proj"], "vocabulary_sample": 50}),
    "split-bf16": ("llama", {"is_split": True, "dtype": "bfloat16"}),
    "stopped-whole": ("gemma3", {"is_split": False, "stop_after": STOPPED}),
    "stopped-split": ("gemma3", {"is_split": True, "stop_after": STOPPED}),
    "taken-up": ("llama", {"is_split": True}),
}


def torchrun(*arguments: str | Path, processes: int = 2) -> "subprocess.CompletedProcess[str]":
    """A command in so many processes of this machine."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
         *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, model_dir: Callable[[str], Path]) -> Path:
    """The directories that two processes have filled, one a task; «taken-up» goes on from one process's checkpoint."""
    where = tmp_path_factory.mktemp("two")
    many.stage(model_dir("llama"), where / "taken-up", is_split=False, stop_after=STOPPED)
    tasks = [{"base": str(model_dir(kind)), "directory": str(where / n), **task} for n, (kind, task) in TASKS.items()]
    (where / "tasks.json").write_text(json.dumps(tasks))
    finished = torchrun(HERE / "many.py", where / "tasks.json")
    assert finished.returncode == 0, finished.stderr
    return where


def result(directory: Path) -> tuple[list[float], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Losses, adapter and merged weights of a stage."""
    losses = [row["loss"] for row in artifacts.read_jsonl(directory / "history.jsonl")]
    adapter = load_file(directory / "adapter" / "adapter_model.safetensors")
    return losses, adapter, load_file(directory / "model" / "model.safetensors")


def assert_same(directories: Sequence[Path]) -> None:
    (losses, *weights), (wanted_losses, *wanted_weights) = map(result, directories)
    assert len(wanted_losses) == 8 and losses == pytest.approx(wanted_losses, rel=1e-5)
    for ours, wanted in zip(weights, wanted_weights, strict=True):
        assert ours.keys() == wanted.keys()
        for name, matrix in wanted.items():
            torch.testing.assert_close(ours[name], matrix, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["whole-gemma3", "split-gemma3", "split-llama", "split-full", "split-sampled"])
def test_two_processes_train_to_what_one_trains_to(
    name: str, done: Path, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    kind, task = TASKS[name]
    alone: dict[str, Any] = {**task, "is_split": False}
    many.stage(model_dir(kind), tmp_path / "one", **alone)
    assert_same([done / name, tmp_path / "one"])


def test_split_bf16_weights_have_the_losses_of_whole_ones(
    done: Path, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    many.stage(model_dir("llama"), tmp_path / "one", is_split=False, dtype="bfloat16")
    losses = [result(directory)[0] for directory in (done / "split-bf16", tmp_path / "one")]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


@pytest.mark.parametrize("name", ["stopped-whole", "stopped-split"])
def test_one_process_goes_on_from_the_checkpoint_of_two(
    name: str, done: Path, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    assert len(torch.load(checkpoints(done / name)[-1], weights_only=True)["history"]) == STOPPED
    many.stage(model_dir("gemma3"), done / name, is_split=False)
    many.stage(model_dir("gemma3"), tmp_path / "one", is_split=False)
    assert_same([done / name, tmp_path / "one"])


def test_two_processes_go_on_from_the_checkpoint_of_one(
    done: Path, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    many.stage(model_dir("llama"), tmp_path / "one", is_split=False)
    assert_same([done / "taken-up", tmp_path / "one"])


def test_torchrun_makes_the_stages_that_one_process_makes(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    settings = test_pipeline.write_project(tmp_path, model_dir("gemma3"))
    exact = ("--set", "cpt.precision=bf16", "--set", "sft.precision=bf16")  # split matrices are not rounded to int8
    split = (*exact, "--set", "machine.split=always")
    finished = torchrun("-m", "ishibumi", "sft", settings, *split, "--run-dir", tmp_path / "2")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == f"{tmp_path / '2'}\n"  # the first process alone speaks
    assert test_pipeline.made_and_kept(finished.stderr) == (["corpus", "knowledge", "cpt", "sft"], [])
    code, _, err = test_pipeline.call("sft", settings, *exact, "--run-dir", tmp_path / "1")
    assert code == 0, err
    for stage in ("cpt", "sft"):
        one, two = (result(tmp_path / number / stage) for number in "12")
        assert two[0] == pytest.approx(one[0], rel=1e-5)
        assert all(torch.allclose(two[2][name], one[2][name], atol=1e-5) for name in one[2])


def test_rows_are_dealt_out_and_a_step_of_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("distributed", "splitting"):
        monkeypatch.setattr(f"ishibumi.training.{module}.num_ranks", lambda: 2)
    rows = [[number] for number in range(5)]
    dealt: list[list[list[int]]] = []
    for number in range(2):
        monkeypatch.setattr("ishibumi.training.distributed.rank", lambda number=number: number)
        dealt.append(share_of_rows(rows))
    assert dealt == [[[0], [2], [4]], [[1], [3], []]]
    plan = Plan(store=None, row_tokens=512, rows=rows, rows_per_step=1, epoch_rows=[5], answer_weight=1.0, seed=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"A step has 1 rows of 512 tokens, too few for 2 processes\.") as caught:
        enough_rows(plan)
    assert "1024" in caught.value.hint and "1024" in caught.value.hint_ja
