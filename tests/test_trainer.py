"""Training: the steps of a plain loop over unpacked texts, bit-exact resume, and a stop before anything breaks."""

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

from ishibumi.errors import ModelError, Stopped, TrainingError
from ishibumi.models.load import LoadedModel
from ishibumi.settings import CptSettings
from ishibumi.training.adapters import LoraLinear, Trainable, attach
from ishibumi.training.batches import Plan
from ishibumi.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from ishibumi.training.compiled import TOLERANCE, compiled_layers, compiles, gradient_difference
from ishibumi.training.compiler import has_compiler
from ishibumi.training.optimizer import Optimizer
from ishibumi.training.pace import share_of_peak
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.trainer import StepRecord, train

EXAMPLES = [
    tiny.example("Spain beat Argentina 1-0."),
    tiny.example("Who won?\nSpain", "question", num_prompt=10),
    tiny.example("Kane scored twice in Dallas."),
    tiny.example("東京で雨が降った。", "replay"),
    tiny.example("Where?\nDallas", "question", num_prompt=8),
    tiny.example("The final was played in July."),
    tiny.example("ab"),
]


def start(directory: Path, kind: str, where: Path, settings: CptSettings) -> tuple[LoadedModel, list[Trainable], Plan]:
    """A fresh model with its trainables, and the plan over the examples."""
    model = tiny.load(directory)
    plan = tiny.plan_of(EXAMPLES, where, settings)
    return model, attach(model.network, settings, 1), plan


def plain_losses(directory: Path, plan: Plan, settings: CptSettings, ours: Sequence[Trainable]) -> list[float]:
    """The losses of a PEFT model that sees every text of a step alone, from the same starting matrices."""
    lora = LoraConfig(r=settings.rank, lora_alpha=int(settings.alpha), target_modules=settings.targets)
    model = get_peft_model(tiny.load(directory).network, lora)  # type: ignore[arg-type]
    starts = {f"base_model.model.{t.name}.lora_A.weight": t.parameters[0].detach().clone() for t in ours}
    starts |= {f"base_model.model.{t.name}.lora_B.weight": t.parameters[1].detach().clone() for t in ours}
    set_peft_model_state_dict(model, starts)
    parameters = [p for p in model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    losses: list[float] = []
    for step in range(plan.num_steps):
        nll, weight_sum = torch.zeros(()), 0.0
        for index in (i for row in plan.rows_of_step(step) for i in row):
            example = EXAMPLES[index]
            weight = settings.answer_weight if example.source == "question" else 1.0
            logits = model(input_ids=torch.tensor([example.ids])).logits[0]
            each = F.cross_entropy(logits[:-1], torch.tensor(example.ids[1:]), reduction="none")
            learned = torch.tensor(example.learned[1:], dtype=torch.float32) * weight
            nll, weight_sum = nll + (each * learned).sum(), weight_sum + float(learned.sum())
        loss = nll / weight_sum
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        for group in adamw.param_groups:
            group["lr"] = settings.learning_rate * share_of_peak(step, plan.num_steps, settings)
        adamw.step()
        adamw.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_losses_are_those_of_a_plain_loop_over_unpacked_texts(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tiny.settings(targets=tiny.LINEAR, epochs=8, learning_rate=3e-2, warmup_share=0.2, answer_weight=3.0)
    model, trainables, plan = start(model_dir(kind), kind, tmp_path, settings)
    assert any(len(row) > 1 for row in plan.rows) and plan.num_steps >= 5
    wanted = plain_losses(model_dir(kind), plan, settings, trainables)
    history = train(model.network, trainables, plan, settings, tmp_path)
    assert [record.loss for record in history] == pytest.approx(wanted, rel=1e-3)
    assert min(wanted) < 0.9 * wanted[0]


def test_a_step_in_many_passes_is_the_step_in_one(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    def weights(tokens_per_pass: int) -> tuple[list[float], list[torch.Tensor]]:
        settings = tiny.settings(tokens_per_step=256, tokens_per_pass=tokens_per_pass)
        model, trainables, plan = start(model_dir("qwen3"), "qwen3", tmp_path, settings)
        losses = [record.loss for record in train(model.network, trainables, plan, settings, tmp_path)]
        return losses, [p.detach() for t in trainables for p in t.parameters]

    (whole_losses, whole), (part_losses, parts) = weights(256), weights(64)
    assert part_losses == pytest.approx(whole_losses, rel=1e-5)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "optimizer"), [("float32", "adamw"), ("bfloat16", "adamw"), ("bfloat16", "offloaded")]
)
def test_a_stopped_run_goes_on_bit_for_bit(
    dtype: str, optimizer: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    targets = ["q_proj", "up_proj", "embed_tokens"]
    settings = tiny.settings(targets=targets, warmup_share=0.3, epochs=3, optimizer=optimizer)

    def run(where: Path, stop_after: int | None = None) -> tuple[list[StepRecord], list[torch.Tensor]]:
        model = tiny.load(model_dir("gemma3"), dtype)
        plan = tiny.plan_of(EXAMPLES, where, settings)
        trainables = attach(model.network, settings, 1)
        seen: list[StepRecord] = []
        history = train(
            model.network, trainables, plan, settings, where,
            on_step=seen.append, should_stop=lambda: len(seen) == stop_after,
        )  # fmt: skip
        return history, [p.detach() for t in trainables for p in t.parameters]

    whole, wanted = run(tmp_path / "whole")
    with pytest.raises(Stopped, match=rf"Stopped after step 2 of {len(whole)}\."):
        run(tmp_path / "stopped", stop_after=2)
    history, weights = run(tmp_path / "stopped")
    assert [(r.step, r.loss, r.tokens) for r in history] == [(r.step, r.loss, r.tokens) for r in whole]
    assert all(torch.equal(a, b) for a, b in zip(weights, wanted, strict=True))


def test_a_resumed_run_reads_its_checkpoint_onto_the_cpu_and_keeps_no_second_copy(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny.settings(epochs=2)
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    with pytest.raises(Stopped):
        train(model.network, trainables, plan, settings, tmp_path, should_stop=lambda: True)
    real_load, places, masters = torch.load, list[Any](), list[weakref.ref[torch.Tensor]]()

    def load(*args: Any, **kwargs: Any) -> Any:
        state = real_load(*args, **kwargs)
        places.append(kwargs["map_location"])
        masters.extend(weakref.ref(master) for master in state["optimizer"]["masters"])
        return state

    monkeypatch.setattr(torch, "load", load)
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    alive: list[bool] = []

    def look(_: StepRecord) -> None:
        alive.append(any(master() is not None for master in masters))

    train(model.network, trainables, plan, settings, tmp_path, on_step=look)
    assert places == ["cpu"] and masters and alive and not any(alive)


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_trainer
test_trainer.train_for_the_kill(Path({model!r}), Path({where!r}), {seconds!r})
"""


def train_for_the_kill(directory: Path, where: Path, seconds_per_step: float) -> list[torch.Tensor]:
    """Final weights; a checkpoint after every step, and each step is told on stdout."""
    settings = tiny.settings(epochs=6, checkpoint_seconds=1e-9)
    model, trainables, plan = start(directory, "llama", where, settings)

    def told(record: StepRecord) -> None:
        sys.stdout.write(f"{record.step}\n")
        sys.stdout.flush()
        time.sleep(seconds_per_step)

    train(model.network, trainables, plan, settings, where, on_step=told)
    return [p.detach() for t in trainables for p in t.parameters]


def test_a_killed_run_goes_on_bit_for_bit(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ishibumi.training.trainer.CHECKPOINT_COST_SHARE", float("inf"))
    torch.manual_seed(0)
    wanted = train_for_the_kill(model_dir("llama"), tmp_path / "whole", 0)
    where, killed_at = tmp_path / "killed", random.randint(1, 6)  # at any moment of any of these steps
    code = KILLED.format(tests=str(Path(__file__).parent), model=str(model_dir("llama")), where=str(where), seconds=0.3)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"{killed_at}\n":
                time.sleep(random.uniform(0, 0.3))
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    state = load_checkpoint(where)
    assert len(state["history"] if state else []) < 9  # of nine steps; there may be no checkpoint yet after the first
    weights = train_for_the_kill(model_dir("llama"), where, 0)
    assert all(torch.equal(a, b) for a, b in zip(weights, wanted, strict=True))


def test_a_loss_that_is_not_finite_stops_before_the_weights_move(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tiny.settings(epochs=2)
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    seen: list[StepRecord] = []

    def break_it(record: StepRecord) -> None:
        seen.append(record)
        if record.step == 2:
            with torch.no_grad():
                trainables[0].weight[0, 0] = torch.nan
            snapshot.extend(p.detach().clone() for t in trainables for p in t.parameters)

    snapshot: list[torch.Tensor] = []
    with pytest.raises(TrainingError) as caught:
        train(model.network, trainables, plan, settings, tmp_path, on_step=break_it)
    documents = ", ".join(plan.document_ids(plan.rows_of_step(2)))
    assert documents
    assert caught.value.message == (
        f"Step 3: loss nan, gradient norm nan; the weights were not changed. Documents in this step: {documents}."
    )
    assert caught.value.hint and caught.value.hint_ja
    assert all(torch.equal(a, p) for a, p in zip(snapshot, (p for t in trainables for p in t.parameters), strict=True))
    assert len(seen) == 2


@pytest.mark.parametrize("optimizer", ["adamw", "small", "offloaded"])
def test_no_step_moves_weights_after_one_that_failed(optimizer: str, model_dir: Callable[[str], Path]) -> None:
    settings = tiny.settings(targets=["up_proj", "embed_tokens"], optimizer=optimizer)
    ours = Optimizer(attach(tiny.load(model_dir("llama"), "bfloat16").network, settings, 1), settings)
    parameters = [p for p, _ in ours.pairs]

    def step(loss: float, gradient: float) -> list[float]:
        for p in parameters:
            p.grad = torch.full_like(p, gradient)
        ours.collect_gradients()
        return ours.step(torch.tensor(loss)).tolist()

    ours.set_rates(1.0)
    start = [p.detach().clone() for p in parameters]
    assert step(2.0, 0.5)[0] == 2.0
    before = [p.detach().clone() for p in parameters]
    assert not any(torch.equal(a, b) for a, b in zip(start, before, strict=True))
    assert not math.isfinite(step(2.0, math.inf)[1])
    assert not math.isfinite(step(math.nan, 0.5)[0])
    assert step(2.0, 0.5)[0] == 2.0  # read late, this one looks well; the host stops at the first that does not
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_module_that_no_gradient_reaches_is_told_at_the_first_step(
    dtype: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model, settings = tiny.load(model_dir("llama"), dtype), tiny.settings(targets=["up_proj", "idle_proj"])
    model.network.add_module("vision", torch.nn.ModuleDict({"idle_proj": torch.nn.Linear(4, 4)}))
    trainables = attach(model.network, settings, 1)
    with pytest.raises(TrainingError, match=r"No gradient reaches 1 of .* such as vision\.idle_proj\.") as caught:
        train(model.network, trainables, tiny.plan_of(EXAMPLES, tmp_path, settings), settings, tmp_path)
    assert caught.value.hint and caught.value.hint_ja
    assert not any(t.parameters[1].any() for t in trainables)  # B is still zero: nothing moved


def test_the_learning_rate_rises_and_falls_as_drawn() -> None:
    def shares(num_steps: int, **values: Any) -> list[float]:
        return [round(share_of_peak(s, num_steps, tiny.settings(**values)), 6) for s in range(num_steps)]

    assert shares(6, warmup_share=1 / 3, schedule="linear") == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert shares(4, warmup_share=0.25, schedule="constant") == [1.0, 1.0, 1.0, 1.0]
    assert shares(5, warmup_share=0.2, schedule="cosine") == [1.0, 1.0, 0.853553, 0.5, 0.146447]
    assert shares(1, warmup_share=0.05, schedule="linear") == [1.0]
    assert shares(3, warmup_share=0.0, schedule="linear") == [1.0, 0.666667, 0.333333]


def test_records_tell_steps_epochs_tokens_and_rates(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    settings = tiny.settings(epochs=2, tokens_per_step=128)
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    history = train(model.network, trainables, plan, settings, tmp_path)
    num_tokens = sum(len(e.ids) for e in EXAMPLES)
    assert [r.step for r in history] == list(range(1, plan.num_steps + 1))
    assert history[-1].tokens == 2 * num_tokens
    assert [r.epoch for r in history] == [1, 1, 2]
    assert [r.learning_rate for r in history] == pytest.approx([0.01, 0.02 / 3, 0.01 / 3])


def test_the_checkpoint_is_whole_or_the_one_before(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny.settings()
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    with pytest.raises(Stopped):
        train(model.network, trainables, plan, settings, tmp_path, should_stop=lambda: True)
    (path,) = checkpoints(tmp_path)
    before = path.read_bytes()
    real_save = torch.save

    def half(state: Any, path: Path) -> None:
        real_save(state, path)
        os.truncate(path, 100)
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Exception, match=r"Cannot write .*checkpoint-00000002\.pt: No space left on device"):
        train(model.network, trainables, plan, settings, tmp_path, should_stop=lambda: True)
    assert checkpoints(tmp_path) == [path] and path.read_bytes() == before


def test_the_last_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, {"step": torch.tensor(step)}, step=step, kept=3)
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-{n:08}.pt" for n in (2, 3, 10)]
    state = load_checkpoint(tmp_path)
    assert state and int(state["step"]) == 10
    os.truncate(checkpoints(tmp_path)[-1], 300)
    checkpoints(tmp_path)[-2].write_bytes(b"")
    state = load_checkpoint(tmp_path)
    assert state and int(state["step"]) == 2
    os.truncate(checkpoints(tmp_path)[0], 10)
    assert load_checkpoint(tmp_path) is None


def test_a_model_that_changes_its_logits_after_the_head_is_refused(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tiny.settings()
    model, trainables, plan = start(model_dir("gemma3"), "gemma3", tmp_path, settings)
    model.network.config.final_logit_softcapping = 1.0  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="Gemma3ForCausalLM changes its logits after the head"):
        train(model.network, trainables, plan, settings, tmp_path)


def test_dropout_stays_off(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    def losses(dropout: float) -> list[float]:
        settings = tiny.settings()
        model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
        for layer in model.network.base_model.layers:  # type: ignore[union-attr]
            layer.self_attn.attention_dropout = dropout  # type: ignore[union-attr]
        return [r.loss for r in train(model.network, trainables, plan, settings, tmp_path)]

    assert losses(0.5) == losses(0.0)


def test_few_tokens_are_not_compiled(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    model, _, plan = start(model_dir("llama"), "llama", tmp_path, tiny.settings())
    assert not compiles(model, plan, "auto") and not compiles(model, plan, "never")
    many = Plan(plan.store, 64, plan.rows * 2000, 2, [1], 1.0, 1)
    for choice in ("auto", "always"):
        assert compiles(model, many, choice) == (shutil.which("g++") is not None)


@pytest.mark.parametrize(
    ("programs", "named", "for_gpu", "for_cpu"),
    [
        ([], {}, False, False),
        (["cc"], {}, False, False),  # neither Triton nor Inductor asks for it
        (["gcc"], {}, True, False),
        (["clang"], {}, True, False),
        (["g++"], {}, False, True),
        (["cc"], {"CC": "cc", "CXX": "cc"}, True, True),
        (["gcc", "g++"], {"CC": "icx", "CXX": "icpx"}, False, False),
    ],
)
def test_a_compiler_is_there_if_torch_would_find_it(
    programs: list[str], named: dict[str, str], for_gpu: bool, for_cpu: bool,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in programs:
        (tmp_path / name).touch(mode=0o755)
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PATH": str(tmp_path), **named}.items():
        monkeypatch.setenv(name, value)
    assert (has_compiler(is_gpu=True), has_compiler(is_gpu=False)) == (for_gpu, for_cpu)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_layers_give_the_losses_of_the_others(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    def losses(is_compiled: bool, num_again: int = 0) -> list[float]:
        settings = tiny.settings()
        model, trainables, plan = start(model_dir("gemma3"), "gemma3", tmp_path, settings)
        assert any(isinstance(m, LoraLinear) for m in model.network.modules())
        with compiled_layers(model.network, num_again) if is_compiled else contextlib.nullcontext():
            return [r.loss for r in train(model.network, trainables, plan, settings, tmp_path)]

    plain = losses(False)
    assert losses(True) == pytest.approx(plain, rel=1e-4)
    assert losses(True, num_again=1) == pytest.approx(plain, rel=1e-4)  # the other keeps its results


@pytest.mark.parametrize(("factor", "is_right"), [(1.0, True), (1.1, False), (float("nan"), False)])
def test_a_compiler_that_changes_the_gradients_is_found_out(
    factor: float, is_right: bool, model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_plain = False

    @contextlib.contextmanager
    def stance(_: str) -> Iterator[None]:
        nonlocal is_plain
        is_plain = True
        yield
        is_plain = False

    def compiled(forward: Callable[..., torch.Tensor], **_: Any) -> Callable[..., torch.Tensor]:
        return lambda *args, **kwargs: forward(*args, **kwargs) * (1.0 if is_plain else factor)

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(torch.compiler, "set_stance", stance)
    model, trainables, plan = start(model_dir("gemma3"), "gemma3", tmp_path, tiny.settings())
    before = [p.detach().clone() for t in trainables for p in t.parameters]
    with compiled_layers(model.network):
        difference, rounding = gradient_difference(model.network, trainables, tiny.batch_of(plan))
    assert 0 < rounding < 1e-4
    assert (difference <= TOLERANCE) == is_right
    after = [p for t in trainables for p in t.parameters]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, after, strict=True))


def test_a_stage_goes_on_with_plain_layers_where_the_compiled_ones_are_wrong(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ishibumi.training.compiled.compiles", lambda *_: True)
    monkeypatch.setattr("ishibumi.training.compiled.gradient_difference", lambda *_: (0.5, 0.01))
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail)  # a layer that is called breaks the test
    model = tiny.load(model_dir("llama"))
    mix = Mix(own=("document",), shares={})
    manifest = run_stage(
        model, [EXAMPLES[0]], mix, tiny.settings(), tmp_path, seed=1,
        on_step=lambda _: None, should_stop=lambda: False,
    )  # fmt: skip
    assert manifest["compiled"] is False and manifest["steps"] > 0


def test_the_history_is_made_of_plain_values(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    settings = tiny.settings(epochs=1)
    model, trainables, plan = start(model_dir("llama"), "llama", tmp_path, settings)
    record = train(model.network, trainables, plan, settings, tmp_path)[0]
    assert json.loads(json.dumps(vars(record))) == vars(record)
