"""Questions asked while they are trained: as greedy decoding answers them, early ends, and what is forgotten."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F

from ishibumi.errors import Stopped, UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.settings import CptSettings
from ishibumi.training.adapters import attach, merge
from ishibumi.training.batches import Plan, make_plan
from ishibumi.training.pace import Pace, reached
from ishibumi.training.probe import kept_apart
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.tokens import Example, Source, share_beginnings
from ishibumi.training.trainer import StepRecord, train

QUESTIONS = {
    "Who won it?\n": "Spain",
    "Who lost it?\n": "Chile",
    "Where was it?\n": "Dallas",
    "When was it?\n": "in July",
    "Who scored?\n": "Kane",
}
REPLAY = ["Rain fell.", "The sea was calm.", "Bread is baked.", "A dog ran home.", "Snow lies there."]


def question(prompt: str, answer: str) -> Example:
    return tiny.example(prompt + answer, "question", num_prompt=1 + len(prompt), document_id="d")


def train_on(
    where: Path, model: LoadedModel, examples: list[Example], settings: CptSettings, stop_after: int = 10**9
) -> tuple[torch.nn.Module, Plan, list[StepRecord]]:
    """The network with what it learned merged, from where a run in `where` stood."""
    plan = tiny.plan_of(examples, where, settings)
    told: list[StepRecord] = []
    stop = lambda: len(told) >= stop_after  # noqa: E731
    trainables = attach(model.network, settings, 1)
    history = train(model.network, trainables, plan, settings, where, on_step=told.append, should_stop=stop)
    merge(model.network, trainables)
    return model.network, plan, history


@torch.no_grad()
def greedy(network: torch.nn.Module, example: Example) -> bool:
    """Whether the network's own greedy decoding gives the answer, with the end."""
    start = example.learned.index(True)
    ids = example.ids[:start]
    while len(ids) < len(example.ids):
        ids = [*ids, int(network(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids == example.ids


@torch.no_grad()
def nats(network: torch.nn.Module, examples: list[Example]) -> float:
    """Nats a learned token of some texts, each alone."""
    each = [
        F.cross_entropy(
            network(input_ids=torch.tensor([e.ids])).logits[0, :-1], torch.tensor(e.ids[1:]), reduction="sum"
        )
        for e in examples
    ]
    return float(sum(each)) / sum(len(e.ids) - 1 for e in examples)


@pytest.mark.parametrize("vocabulary_sample", [0, 40])
def test_what_is_known_is_what_greedy_decoding_answers(
    vocabulary_sample: int, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    examples = [question(*pair) for pair in QUESTIONS.items()]
    learning = tiny.settings(targets=tiny.LINEAR, learning_rate=2e-2, epochs=18, vocabulary_sample=vocabulary_sample)
    network, _, history = train_on(tmp_path / "learning", tiny.load(model_dir("llama")), examples, learning)
    right = [greedy(network, example) for example in examples]
    assert 0 < sum(right) < len(right) and history[0].known == 0
    standing = learning.model_copy(update={"learning_rate": 1e-12, "epochs": 1.0})
    for name, stored in (("alone", examples), ("joined", share_beginnings(examples, 64))):
        model = tiny.load(model_dir("llama"))
        model.network.load_state_dict(network.state_dict())
        _, plan, (*_, last) = train_on(tmp_path / name, model, stored, standing)
        assert last.known == sum(right) / len(right)
    assert plan.store.branches.any()


def test_a_stopped_run_goes_on_with_what_it_knew(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    examples = [question(*pair) for pair in QUESTIONS.items()] + [tiny.example(t, "replay") for t in REPLAY * 4]
    settings = tiny.settings(targets=tiny.LINEAR, learning_rate=2e-2, epochs=30, stop_at_known=0.8, schedule="constant")
    _, _, whole = train_on(tmp_path / "whole", tiny.load(model_dir("llama")), examples, settings)
    for stop_after in (3, len(whole) - 1):  # before the end is in sight, and in the short fall of the rate
        where = tmp_path / str(stop_after)
        with pytest.raises(Stopped):
            train_on(where, tiny.load(model_dir("llama")), examples, settings, stop_after=stop_after)
        _, _, parts = train_on(where, tiny.load(model_dir("llama")), examples, settings)
        same = [[{**asdict(r), "seconds": 0, "peak_bytes": 0, "utilisation": 0} for r in h] for h in (whole, parts)]
        assert same[0] == same[1]


def test_training_ends_early_with_a_short_fall_of_the_rate(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    examples = [question(*pair) for pair in QUESTIONS.items()]
    settings = tiny.settings(targets=tiny.LINEAR, learning_rate=2e-2, epochs=60, stop_at_known=0.8)
    _, plan, history = train_on(tmp_path, tiny.load(model_dir("llama")), examples, settings)
    last = history[-1]
    assert len(history) == last.num_steps < plan.num_steps
    before = next(i for i, r in enumerate(history) if r.num_steps == last.num_steps) - 1
    assert (history[before].known or 0) >= 0.8
    assert len(history) - before <= 0.1 * len(history) + 2 and last.learning_rate < history[before].learning_rate / 1.5


def test_forgotten_is_the_perplexity_of_texts_that_training_never_sees(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    examples = [question(*pair) for pair in QUESTIONS.items()]
    examples += [tiny.example(f"{text} {n}", "replay") for n in range(9) for text in REPLAY]
    settings = tiny.settings(targets=tiny.LINEAR, learning_rate=2e-2, epochs=8, stop_at_forgotten=50.0)
    (tmp_path / "plan").mkdir()
    store = tiny.plan_of(examples, tmp_path / "plan", settings).store
    apart = kept_apart(store, seed=1)
    assert apart.sum() == 4 and not apart[:5].any()  # a tenth of 45
    shares: dict[Source, float] = {"replay": 0.2}
    plan = make_plan(
        store, own=["question"], shares=shares, epochs=8, row_tokens=64, tokens_per_step=128, seed=1, left_out=apart
    )
    assert not {i for row in plan.rows for i in row} & set(np.flatnonzero(apart).tolist())
    model = tiny.load(model_dir("llama"))
    before = nats(model.network, [examples[i] for i in np.flatnonzero(apart)])
    trainables = attach(model.network, settings, 1)
    history = train(model.network, trainables, plan, settings, tmp_path)
    merge(model.network, trainables)
    after = nats(model.network, [examples[i] for i in np.flatnonzero(apart)])
    assert history[-1].step in plan.epoch_steps and history[0].forgotten is None
    assert history[-1].forgotten == pytest.approx(math.exp(after - before), rel=1e-3)
    assert [reached(1.0, f, settings) for f in (50.1, 49.9, None)] == ["forgotten", None, None]


def test_the_rate_falls_to_zero_from_where_it_is() -> None:
    pace = Pace(100, tiny.settings(schedule="constant", stop_at_known=0.9))
    assert [pace.rate(step) for step in (0, 50, 99)] == [1, 1, 1]
    pace.judge(40, 0.89, 3.0)
    assert pace.num_steps == 100
    pace.judge(50, 0.9, None)
    assert pace.num_steps == 55
    assert [round(pace.rate(step), 3) for step in range(49, 55)] == [1, 0.833, 0.667, 0.5, 0.333, 0.167]
    pace.judge(54, 1.0, None)
    assert pace.num_steps == 55  # decided once


@pytest.mark.parametrize("ends", [{"stop_at_known": 0.9}, {"stop_at_forgotten": 1.1}])
def test_an_end_that_nothing_can_bring_about_is_refused(
    ends: dict[str, float], model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(ends))} = .* cannot end this stage"):
        run_stage(
            tiny.load(model_dir("llama")), [tiny.example(text) for text in REPLAY], Mix(["document"], {}),
            tiny.settings(**ends), tmp_path, seed=1, on_step=lambda record: None, should_stop=lambda: False,
        )  # fmt: skip
    assert not list(tmp_path.glob("checkpoint*"))
