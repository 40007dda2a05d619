"""Packed rows: every text has the hidden states that it has on its own, whatever stands beside it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from transformers import MistralConfig

from ishibumi.errors import ModelError
from ishibumi.training.attention import block_masks, hidden_states
from ishibumi.training.batches import Batch
from ishibumi.training.tokens import share_beginnings
from ishibumi.training.trainer import batch_nll_sum

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


def test_the_masks_are_those_that_are_drawn() -> None:
    ids = torch.zeros(1, 5, dtype=torch.long)
    segments, positions = torch.tensor([[0, 0, 0, 1, 1]]), torch.tensor([[0, 1, 2, 0, 1]])
    batch = Batch(ids, segments, ids, positions, ids.float(), ids > 0)
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
    batch = Batch(ids, ids, branches, torch.tensor([[0, 1, 2, 3, 2, 3]]), ids.float(), ids > 0)
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
        block_masks(config, Batch(zeros, zeros, zeros, zeros, zeros.float(), zeros > 0))
