"""The distance to the base on replay, and the engraved change on a sibling: exact, against plain PyTorch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import torch.nn.functional as F
from test_pipeline import call, write_project

from ishibumi.errors import ModelError, UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.training import kl
from ishibumi.training.adapters import Trainable, attach, merge
from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Plan
from ishibumi.training.kl import adapters_off, replay_kl_sum
from ishibumi.training.saved import put_on_sibling
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.trainer import train
from ishibumi.training.vocabulary import Vocabulary

EXAMPLES = [
    tiny.example("Spain beat Argentina."),
    tiny.example("東京で雨。", "replay"),
    tiny.example("It rains.", "replay"),
]


def stirred(directory: Path, where: Path) -> tuple[LoadedModel, list[Trainable], Plan]:
    """A model whose adapters are no longer zero, and a plan over the examples."""
    settings = tiny.settings(targets=["q_proj", "up_proj"], epochs=1)
    model = tiny.load(directory)
    trainables = attach(model.network, settings, 1)
    for trainable in trainables:
        with torch.no_grad():
            trainable.parameters[1].normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    return model, trainables, tiny.plan_of(EXAMPLES, where, settings)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_the_distance_and_its_gradient_are_those_of_two_plain_networks(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kl, "TOKENS_AT_ONCE", 7)  # several parts
    model, trainables, plan = stirred(model_dir(kind), tmp_path)
    base = tiny.load(model_dir(kind))
    batch = tiny.batch_of(plan)
    parameters = [p for t in trainables for p in t.parameters]
    ours = replay_kl_sum(model.network, trainables, batch, hidden_states(model.network, batch), None)
    gradients = torch.autograd.grad(3 * ours, parameters)
    wanted = torch.zeros(())
    for example in EXAMPLES[1:]:
        ids = torch.tensor([example.ids])
        log_q, log_p = (m.network(input_ids=ids).logits[0, :-1].log_softmax(-1) for m in (model, base))
        wanted = wanted + F.kl_div(log_q, log_p, log_target=True, reduction="sum")
    assert float(ours.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4) and float(wanted.detach()) > 0.1
    for one, other in zip(gradients, torch.autograd.grad(3 * wanted, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    network: Any = model.network
    sample = Vocabulary(plan.store, network.lm_head.weight, 10**6, 1).words(0)
    over_all = replay_kl_sum(model.network, trainables, batch, hidden_states(model.network, batch), sample)
    assert float(over_all.detach()) == pytest.approx(float(ours.detach()), rel=1e-4)


def test_without_adapters_it_is_the_base_and_afterwards_it_is_not(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model, trainables, plan = stirred(model_dir("qwen3"), tmp_path)
    batch, base = tiny.batch_of(plan), tiny.load(model_dir("qwen3"))
    with torch.no_grad():
        wanted, engraved = hidden_states(base.network, batch), hidden_states(model.network, batch)
        with adapters_off(trainables):
            assert torch.equal(hidden_states(model.network, batch), wanted)
        assert torch.equal(hidden_states(model.network, batch), engraved) and not torch.equal(engraved, wanted)
        only = replace(batch, is_replay_RT=torch.zeros_like(batch.is_replay_RT))
        assert float(replay_kl_sum(model.network, trainables, only, engraved, None)) == 0


def test_a_weight_on_the_distance_keeps_the_model_nearer_to_its_base(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    distances: list[float] = []
    for weight in (0.0, 10.0):
        settings = tiny.settings(targets=["q_proj", "up_proj"], epochs=12)
        model = tiny.load(model_dir("llama"))
        plan = replace(tiny.plan_of(EXAMPLES, tmp_path / str(weight), settings), kl_weight=weight)
        trainables = attach(model.network, settings, 1)
        train(model.network, trainables, plan, settings, tmp_path / str(weight))
        batch = tiny.batch_of(replace(plan, rows=plan.rows[:1]))
        hidden = hidden_states(model.network, batch)
        distances.append(float(replay_kl_sum(model.network, trainables, batch, hidden, None).detach()))
    assert 0 < distances[1] < distances[0] / 2


def test_a_distance_needs_adapters(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    settings = tiny.settings(targets=["q_proj", "embed_tokens"])
    with pytest.raises(UsageError, match=r"but model\.embed_tokens trains in full") as raised:
        run_stage(
            tiny.load(model_dir("llama")), EXAMPLES, Mix(("document",), {"replay": 0.5}, 1.0), settings, tmp_path,
            seed=1, on_step=lambda _: None, should_stop=lambda: False,
        )  # fmt: skip
    assert "embed_tokens" in raised.value.hint and "embed_tokens" in raised.value.hint_ja


def sibling_of(model: LoadedModel) -> LoadedModel:
    """The model with other weights, as an instruct model has them."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def test_what_was_engraved_in_the_base_speaks_from_its_sibling(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    """The sibling with the change added has the logits of the sibling with the very adapters on it."""
    directory = model_dir("gemma3")
    engraved, trainables, _ = stirred(directory, tmp_path)
    with_adapters = sibling_of(tiny.load(directory))
    theirs = attach(with_adapters.network, tiny.settings(targets=["q_proj", "up_proj"]), 1)
    with torch.no_grad():
        for mine, other in zip(trainables, theirs, strict=True):
            for a, b in zip(mine.parameters, other.parameters, strict=True):
                b.copy_(a)
    merge(engraved.network, trainables)
    put = sibling_of(tiny.load(directory))
    ids = torch.tensor([EXAMPLES[0].ids])
    with torch.no_grad():
        before = put.network(input_ids=ids).logits
        put_on_sibling(put, tiny.load(directory), engraved)
        logits, wanted = put.network(input_ids=ids).logits, with_adapters.network(input_ids=ids).logits
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)
    assert float((logits - before).abs().max()) > 0.1


def test_another_model_is_no_sibling(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    engraved, trainables, _ = stirred(model_dir("llama"), tmp_path)
    merge(engraved.network, trainables)
    other = tiny.load(model_dir("gemma3"))
    with torch.no_grad():
        del other.network.model.layers[1]  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=r"is no sibling of .*: model\.layers\.1\."):
        put_on_sibling(other, tiny.load(model_dir("llama")), engraved)


def test_a_run_ends_on_the_sibling(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    path = write_project(tmp_path, model_dir("llama"))
    sibling = sibling_of(tiny.load(model_dir("llama")))
    for part in (sibling.network, sibling.tokenizer):
        part.save_pretrained(tmp_path / "instruct")  # type: ignore[operator]
    flags = ("--set", "sft.epochs=0", "--set", "sft.kept=1", "--set", 'exam.arms=["engraved"]')
    assert call("run", path, *flags)[0] == 0
    code, _, err = call("run", path, *flags, "--set", "model.instruct=instruct", "--set", "replay.kl_weight=0")
    assert code == 0 and "✓ cpt        unchanged" in err and "✓ before     unchanged" in err and "▶ sft" in err, err
    cpt, sft = (tiny.load(tmp_path / "run" / stage / "model") for stage in ("cpt", "sft"))
    base = tiny.load(model_dir("llama"))
    for name, there in sft.network.named_parameters():
        change = dict(cpt.network.named_parameters())[name] - dict(base.network.named_parameters())[name]
        torch.testing.assert_close(there, dict(sibling.network.named_parameters())[name] + change)
    code, _, err = call("check", path, "--set", "model.instruct=none/such")
    assert code == 1 and "none/such" in err
