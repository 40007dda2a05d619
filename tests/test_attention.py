"""Packed rows: every text has the hidden states that it has on its own, whatever stands beside it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from transformers import MistralConfig

from ishibumi.errors import ModelError
from ishibumi.training.adapters import attach
from ishibumi.training.attention import (
    block_masks,
    blockwise_attention,
    causal_attention,
    has_one_text_a_row,
    hidden_states,
    spanned_attention,
)
from ishibumi.training.batches import Batch
from ishibumi.training.steps import batch_nll_sum
from ishibumi.training.tokens import share_beginnings
from ishibumi.training.vocabulary import Vocabulary

TEXTS = ["Spain beat Argentina", "東京で雨", "a", "The final was played in July."]


def packed(directory: Path, texts: list[str]) -> Batch:
    settings = tiny.settings(row_tokens=96, epochs=1)
    return tiny.batch_of(tiny.plan_of([tiny.example(t) for t in texts], directory, settings))


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_packed_texts_have_the_states_that_they_have_alone(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    network = tiny.load(model_dir(kind)).network
    batch = packed(tmp_path, TEXTS)
    hidden_RTD = hidden_states(network, batch)
    num_found = 0
    for row, segment in {(r, int(s)) for r in range(len(batch.ids_RT)) for s in batch.segments_RT[r]}:
        here = batch.segments_RT[row] == segment
        ids = batch.ids_RT[row][here]
        if int(ids[0]) != 256:  # padding
            continue
        alone = network.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]  # type: ignore[operator]
        torch.testing.assert_close(hidden_RTD[row][here], alone, rtol=1e-4, atol=1e-5)
        num_found += 1
    assert num_found == len(TEXTS)
    assert max(len(t.encode()) for t in TEXTS) > tiny.WINDOW


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_attention_in_spans_gives_the_states_and_gradients_of_masked_attention(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ishibumi.training.attention.SPAN", 16)  # rows of 96 tokens: spans begin and end within texts
    network = tiny.load(model_dir(kind)).network
    trainables = attach(network, tiny.settings(targets=["q_proj", "k_proj", "v_proj"], method="full"), 1)
    batch = packed(tmp_path, TEXTS)

    def found() -> list[torch.Tensor]:
        hidden_RTD = hidden_states(network, batch)
        parameters = [p for t in trainables for p in t.parameters]
        return [hidden_RTD, *torch.autograd.grad(hidden_RTD.square().sum(), parameters)]

    masked = found()
    with spanned_attention(network):
        for a, b in zip(found(), masked, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_a_changed_text_changes_no_other_text_of_its_row(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    network = tiny.load(model_dir(kind)).network
    batch = packed(tmp_path, ["first text", "second text", "third"])
    assert len(batch.ids_RT) == 1
    changed = replace(batch, ids_RT=batch.ids_RT.clone())
    second = batch.segments_RT[0] == 1
    changed.ids_RT[0, second] = 65
    before, after = hidden_states(network, batch)[0], hidden_states(network, changed)[0]
    assert torch.equal(before[~second], after[~second])
    assert not torch.allclose(before[second], after[second], atol=1e-2)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_blockwise_attention_sees_what_masks_let_it_see(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    network = tiny.load(model_dir(kind)).network
    questions = [tiny.example(q, "question", num_prompt=len(q) - 3, document_id="d") for q in QUESTIONS]
    joined = share_beginnings(questions, 150)
    settings = tiny.settings(row_tokens=200, epochs=1)
    batch = tiny.batch_of(tiny.plan_of([*joined, *map(tiny.example, TEXTS)], tmp_path, settings))
    assert batch.branches_RT.any() and len(batch.segments_RT.unique()) > 3
    wanted = hidden_states(network, batch)
    with blockwise_attention(network):
        got = hidden_states(network, batch)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(hidden_states(network, batch), wanted)  # and the block leaves nothing behind


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@torch.no_grad()
def test_rows_of_one_text_need_no_mask(kind: str, model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    network = tiny.load(model_dir(kind)).network
    settings = tiny.settings(row_tokens=32, epochs=1)
    plan = tiny.plan_of([tiny.example(t) for t in (TEXTS[0], TEXTS[3])], tmp_path, settings)
    assert has_one_text_a_row(network.config, plan)
    batch = tiny.batch_of(plan)
    wanted = hidden_states(network, batch)
    with causal_attention(network):
        got = hidden_states(network, batch)
    is_text = batch.weights_RT > 0
    torch.testing.assert_close(got[is_text], wanted[is_text], rtol=1e-4, atol=1e-5)
    assert int(is_text.sum()) == sum(len(t) + 1 for t in (TEXTS[0], TEXTS[3]))


def test_packed_texts_shared_beginnings_and_windows_need_one(tmp_path: Path) -> None:
    llama, gemma = tiny.network("llama").config, tiny.network("gemma3").config
    settings = tiny.settings(row_tokens=96, epochs=1)
    packed_plan = tiny.plan_of([tiny.example(t) for t in TEXTS], tmp_path / "packed", settings)
    questions = [tiny.example(q, "question", num_prompt=len(q) - 3, document_id="d") for q in QUESTIONS]
    shared = tiny.plan_of(share_beginnings(questions, 150), tmp_path / "shared", tiny.settings(row_tokens=200))
    one = tiny.plan_of([tiny.example(TEXTS[0])], tmp_path / "one", settings)
    assert [len(row) > 1 for row in packed_plan.rows] == [True]
    assert [len(row) for row in shared.rows] == [1] * len(shared.rows)
    found = [has_one_text_a_row(config, p) for config, p in ((llama, packed_plan), (llama, shared), (gemma, one))]
    assert (*found, has_one_text_a_row(llama, one)) == (False, False, False, True)


@pytest.mark.parametrize("sampled", [False, True])
def test_tokens_that_fill_a_batch_up_change_neither_loss_nor_gradient(
    sampled: bool, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny.load(model_dir("gemma3"))
    settings = tiny.settings(row_tokens=96, epochs=1, targets=["q_proj"])
    plan = tiny.plan_of([tiny.example(t, num_prompt=3) for t in TEXTS[:2] + TEXTS[3:]], tmp_path, settings)
    batch, trainables = tiny.batch_of(plan), attach(model.network, settings, 1)
    torch.nn.init.normal_(trainables[0].parameters[1])
    head = model.network.get_output_embeddings().weight  # type: ignore[operator]
    words = Vocabulary(plan.store, head, 40, 1).words(0) if sampled else None

    def found(num_learned: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        loss = batch_nll_sum(model.network, batch, words, num_learned)
        return loss.detach(), torch.autograd.grad(loss, trainables[0].parameters[0])[0]

    num = int((batch.weights_RT > 0).sum())
    assert plan.most_learned(10**6) == num < batch.ids_RT.numel() - 20
    (loss, grad), (same_loss, same_grad) = found(None), found(num + 20)
    torch.testing.assert_close(same_loss, loss)
    torch.testing.assert_close(same_grad, grad)


def test_the_masks_are_those_that_are_drawn() -> None:
    ids = torch.zeros(1, 5, dtype=torch.long)
    segments, positions = torch.tensor([[0, 0, 0, 1, 1]]), torch.tensor([[0, 1, 2, 0, 1]])
    batch = Batch(ids, segments, ids, positions, ids.float())
    config = tiny.network("gemma3").config
    config.sliding_window = 2
    masks = block_masks(config, batch)
    assert masks["full_attention"][0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]
    assert masks["sliding_attention"][0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]
    # Mistral names no kinds of layers, but its window counts for all of them.
    assert torch.equal(block_masks(MistralConfig(sliding_window=2), batch), masks["sliding_attention"])


QUESTIONS = [
    "In the final of July, who scored?\nTorres",
    "In the final of July, who lost?\nArgentina",
    "In the final of June?\nX",
]


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_questions_that_share_their_beginning_are_learned_as_if_alone(
    kind: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    network = tiny.load(model_dir(kind)).network
    settings = tiny.settings(row_tokens=128, epochs=1)
    questions = [
        tiny.example(q, "question", num_prompt=len(q.partition("\n")[0]) + 2, document_id="d") for q in QUESTIONS
    ]
    joined = share_beginnings(questions, 128)
    assert (len(joined), max(joined[0].branches)) == (1, 3)
    one = batch_nll_sum(network, tiny.batch_of(tiny.plan_of(joined, tmp_path / "joined", settings)))
    each = [
        batch_nll_sum(network, tiny.batch_of(tiny.plan_of([q], tmp_path / str(n), settings)))
        for n, q in enumerate(questions)
    ]
    torch.testing.assert_close(one, torch.stack(each).sum(), rtol=1e-5, atol=1e-4)


def test_branches_see_the_trunk_and_themselves() -> None:
    ids, branches = torch.zeros(1, 6, dtype=torch.long), torch.tensor([[0, 0, 1, 1, 2, 2]])
    batch = Batch(ids, ids, branches, torch.tensor([[0, 1, 2, 3, 2, 3]]), ids.float())
    masks = block_masks(tiny.network("gemma3").config, batch)
    assert masks["full_attention"][0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 1],
    ]


def test_layers_that_carry_a_state_from_text_to_text_are_refused() -> None:
    config = tiny.network("qwen3").config
    config.layer_types = ["linear_attention", "full_attention"]
    zeros = torch.zeros(1, 5, dtype=torch.long)
    with pytest.raises(ModelError, match="layers of kind linear_attention"):
        block_masks(config, Batch(zeros, zeros, zeros, zeros, zeros.float()))
