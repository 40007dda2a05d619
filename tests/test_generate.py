"""Replies: a batch says what each prompt alone would get."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from ishibumi.models.beginning import shared_length
from ishibumi.models.chat_format import ChatFormat
from ishibumi.models.generate import BLOCK, Reply, Sampling, drawn_tokens, generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.models.recorded import can_record

PROMPTS = ["Who scored the first goal of the final?", "a", "東京の天気は", "Spain", "Where was it played?"]


def prompts(model: LoadedModel) -> list[list[int]]:
    return [[256, *model.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in PROMPTS]


def theirs(model: LoadedModel, ids: list[int], num_new: int, stop_ids: list[int]) -> list[int]:
    """What transformers generates for one prompt."""
    network: Any = model.network
    out = network.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
        max_new_tokens=num_new, eos_token_id=stop_ids, pad_token_id=0,
    )  # fmt: skip
    return out[0, len(ids) :].tolist()


def stopping_at(model: LoadedModel, *stop_ids: int) -> LoadedModel:
    form = ChatFormat(model.tokenizer, model.format.end_id, frozenset(stop_ids))
    return LoadedModel(model.network, model.tokenizer, form, model.name)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_batch_says_what_each_prompt_alone_gets(kind: str, batch_size: int, model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir(kind))
    free = [theirs(model, ids, 12, [257]) for ids in prompts(model)]
    # A token that some replies come to makes them leave the batch early.
    stop = free[0][4]
    model = stopping_at(model, 257, stop)
    wanted = [theirs(model, ids, 12, [257, stop]) for ids in prompts(model)]
    assert len({len(ids) for ids in wanted}) > 1
    replies = generate_replies(model, prompts(model), max_new_tokens=12, batch_size=batch_size)
    assert [r.num_tokens for r in replies] == [len(ids) for ids in wanted]
    assert [r.stopped for r in replies] == [ids[-1] in (257, stop) for ids in wanted]
    said = [ids[:-1] if ids[-1] in (257, stop) else ids for ids in wanted]
    texts = [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in said]
    assert [r.text for r in replies] == texts


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_reply_tells_how_likely_its_tokens_were(kind: str, batch_size: int, model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir(kind))
    replies = generate_replies(model, prompts(model), max_new_tokens=7, batch_size=batch_size)
    for ids, reply in zip(prompts(model), replies, strict=True):
        new_ids = theirs(model, ids, 7, [257])
        with torch.inference_mode():
            logits = model.network(input_ids=torch.tensor([[*ids, *new_ids]])).logits[0, len(ids) - 1 : -1]
        logprobs = logits.log_softmax(-1)[range(len(new_ids)), new_ids]
        assert reply.mean_logprob == pytest.approx(float(logprobs.mean()), abs=1e-4)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_rows_in_fixed_places_say_what_growing_ones_say(
    kind: str, batch_size: int, device: str, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.load(model_dir(kind))
    model.network.to(device)
    alike = model.tokenizer("What all of these begin with, and long. " * 2)["input_ids"]
    for asked in (prompts(model), [[*alike, *ids] for ids in (*prompts(model), [65] * 40)]):
        num_new = 140 if batch_size == 1 else 40  # the former are more than come together
        said: list[list[Reply]] = []
        for is_recorded in (False, True):
            monkeypatch.setattr("ishibumi.models.generate.can_record", lambda _, it=is_recorded: it)
            free = generate_replies(model, asked, max_new_tokens=6, batch_size=batch_size)
            stops = stopping_at(model, 257, model.tokenizer.encode(free[0].text)[5])
            said.append(generate_replies(stops, asked, max_new_tokens=num_new, batch_size=batch_size))
        for reply, other in zip(*said, strict=True):
            assert (reply.text, reply.stopped, reply.num_tokens) == (other.text, other.stopped, other.num_tokens)
            assert reply.mean_logprob == pytest.approx(other.mean_logprob, abs=1e-4)


def test_steps_are_recorded_on_a_gpu_for_families_that_are_known(model_dir: Callable[[str], Path]) -> None:
    network = tiny.load(model_dir("llama")).network
    assert not can_record(network)  # on a CPU

    class OnGpu(torch.nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config = config

        def parameters(self, recurse: bool = True) -> Any:
            return iter([type("Weight", (), {"is_cuda": True})()])

    assert all(can_record(OnGpu(tiny.network(kind).config)) for kind in tiny.KINDS)
    stretched = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    assert not can_record(OnGpu(tiny.network("llama", rope_parameters=stretched).config))
    other = tiny.network("llama").config
    other.model_type = "mixtral"
    assert not can_record(OnGpu(other))


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_beginning_that_is_read_once_changes_no_reply(
    kind: str, batch_size: int, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny.load(model_dir(kind))
    window = getattr(model.network.config, "sliding_window", None) or 0
    alike = model.tokenizer("What all of these begin with, and long. " * (2 + window // 32))["input_ids"]
    asked = [[*alike, *ids] for ids in (*prompts(model), [65] * 70)]
    assert shared_length(asked) >= len(alike) > window
    read: list[int] = []
    forward = model.network.forward

    def counting(*args: Any, **given: Any) -> Any:
        read.append(given["input_ids"].numel())
        return forward(*args, **given)

    monkeypatch.setattr(model.network, "forward", counting)
    together = generate_replies(model, asked, max_new_tokens=12, batch_size=batch_size)
    monkeypatch.undo()
    assert read[0] == shared_length(asked)
    assert max(read[1:]) <= batch_size * 71
    for ids, reply in zip(asked, together, strict=True):
        (alone,) = generate_replies(model, [ids], max_new_tokens=12, batch_size=1)
        assert (reply.text, reply.num_tokens) == (alone.text, alone.num_tokens)
        assert reply.mean_logprob == pytest.approx(alone.mean_logprob, abs=1e-4)


def test_a_short_beginning_is_not_worth_it() -> None:
    assert shared_length([]) == shared_length([[1] * 100]) == shared_length([[1] * 31 + [2], [1] * 31 + [3]]) == 0
    assert shared_length([[1] * 60, [1] * 60 + [2], [1] * 70]) == 59


def test_a_reply_ends_before_the_first_stop_text(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    (free,) = generate_replies(model, prompts(model)[:1], max_new_tokens=20, batch_size=1)
    stop = free.text[5:7]
    (cut,) = generate_replies(model, prompts(model)[:1], max_new_tokens=20, batch_size=1, stop_texts=("no such", stop))
    assert cut.text == free.text[: free.text.index(stop)]
    assert (cut.stopped, free.stopped) == (True, False)
    assert cut.num_tokens < free.num_tokens == 20


def test_progress_counts_prompts_and_the_order_is_kept(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("qwen3"))
    seen: list[tuple[int, int]] = []
    replies = generate_replies(
        model, prompts(model), max_new_tokens=3, batch_size=2, on_batch=lambda done, total: seen.append((done, total))
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]
    alone = [generate_replies(model, [ids], max_new_tokens=3, batch_size=1)[0] for ids in prompts(model)]
    assert [(r.text, r.stopped, r.num_tokens) for r in replies] == [(r.text, r.stopped, r.num_tokens) for r in alone]
    assert generate_replies(model, [], max_new_tokens=3, batch_size=2) == []


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_drawn_reply_depends_on_its_seed_and_not_on_its_batch(kind: str, model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir(kind))

    def drawn(batch_size: int, seeds: list[int], temperature: float = 1.0) -> list[str]:
        sampling = Sampling(temperature, seeds)
        texts = generate_replies(model, prompts(model), max_new_tokens=8, batch_size=batch_size, sampling=sampling)
        return [reply.text for reply in texts]

    together = drawn(5, [1, 2, 3, 4, 5])
    assert together == drawn(1, [1, 2, 3, 4, 5]) == drawn(2, [1, 2, 3, 4, 5])
    other = drawn(5, [1, 2, 3, 4, 6])
    assert other[:4] == together[:4] and other[4] != together[4]
    greedy = [reply.text for reply in generate_replies(model, prompts(model), max_new_tokens=8, batch_size=5)]
    assert drawn(5, [1, 2, 3, 4, 5], temperature=1e-4) == greedy != together


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits_BV = torch.tensor([[0.1, 0.6, 0.0, 0.3]]).log().expand(1000, -1)
    tokens, logprobs = drawn_tokens(logits_BV, [n / 1000 for n in range(1000)])
    assert logprobs[0].exp().item() == pytest.approx(0.1)
    assert tokens.bincount(minlength=4).tolist() == pytest.approx([100, 600, 0, 300], abs=1)
    assert drawn_tokens(torch.tensor([[0.0, float("-inf")]]), [0.9999999])[0].tolist() == [0]


def test_draws_over_several_blocks_fall_where_one_running_sum_puts_them() -> None:
    torch.manual_seed(0)
    logits_BV = 3 * torch.randn(2000, 1300)  # 2 blocks and a part
    draws = torch.rand(2000, dtype=torch.float64)
    summed_BV = logits_BV.double().softmax(-1).cumsum(-1)
    wanted = (summed_BV <= draws[:, None]).sum(-1)
    tokens, _ = drawn_tokens(logits_BV, draws.tolist())
    assert (tokens == wanted).float().mean() > 0.999  # sums in fp32 may move a border
    assert int(tokens.max()) < 1300 and len(set((tokens // BLOCK).tolist())) == 3
