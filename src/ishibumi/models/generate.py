"""Replies: token ids of prompts → greedy or sampled text, in batches.

Axes: B prompts in a batch, T tokens, V vocabulary.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ishibumi.models.beginning import Beginning, shared_length
from ishibumi.models.load import LoadedModel
from ishibumi.models.packing import packed
from ishibumi.models.recorded import RecordedRows, can_record
from ishibumi.models.rows import GrowingRows, Rows

OnBatch = Callable[[int, int], None]
BLOCK = 512  # tokens of a vocabulary
WORTH_PACKING = 4  # prompts: fewer are made while the matrices are put in order


@dataclass(frozen=True)
class Reply:
    """What the model said; `stopped` is whether it ended by itself.

    `mean_logprob` is the mean log-probability (nats) of its tokens, the end token included: 0 is certain. A server does
    not tell it.
    """

    text: str
    stopped: bool
    num_tokens: int
    mean_logprob: float | None = None


@dataclass(frozen=True)
class Sampling:
    """Replies drawn at random; each prompt has a seed of its own, so that its reply does not depend on its batch."""

    temperature: float
    seeds: Sequence[int]


def generate_replies(
    model: LoadedModel,
    prompts_ids: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    stop_texts: tuple[str, ...] = (),
    on_batch: OnBatch | None = None,
    sampling: Sampling | None = None,
) -> list[Reply]:
    """Replies in the prompts' order, greedy or as `sampling` says, cut at an end token or before one of `stop_texts`.

    Prompts of like length share a batch; `on_batch(done, total)` is called after each. What all prompts begin with is
    read once.
    """
    order = sorted(range(len(prompts_ids)), key=lambda i: len(prompts_ids[i]))
    replies: dict[int, Reply] = {}
    num_shared = shared_length(prompts_ids)
    with packed(model.network) if len(order) >= WORTH_PACKING else contextlib.nullcontext():
        beginning = Beginning(model, prompts_ids[0][:num_shared]) if num_shared else None
        rows = rows_of(model.network)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            drawn = Sampling(sampling.temperature, [sampling.seeds[i] for i in chosen]) if sampling else None
            asked = [prompts_ids[i] for i in chosen]
            said = _decode_batch(model, rows, asked, beginning, max_new_tokens, stop_texts, drawn)
            replies |= {i: _finish(model, *of_prompt, stop_texts) for i, of_prompt in zip(chosen, said, strict=True)}
            if on_batch:
                on_batch(len(replies), len(order))
    return [replies[i] for i in range(len(prompts_ids))]


@torch.inference_mode()
def _decode_batch(
    model: LoadedModel,
    rows: Rows,
    prompts: Sequence[Sequence[int]],
    beginning: Beginning | None,
    max_new_tokens: int,
    stop_texts: tuple[str, ...],
    sampling: Sampling | None,
) -> list[tuple[list[int], list[float]]]:
    """New token ids of each prompt, with their log-probabilities. Finished prompts leave the batch."""
    randoms = [random.Random(seed) for seed in sampling.seeds] if sampling else []
    said: list[tuple[list[int], list[float]]] = [([], []) for _ in prompts]
    alive = list(range(len(prompts)))
    logits_BV = rows.begin(prompts, max_new_tokens, beginning)
    while True:
        if sampling:
            draws = [randoms[row].random() for row in alive]
            next_B, logprobs_B = drawn_tokens(logits_BV / sampling.temperature, draws)
        else:
            next_B, logprobs_B = _likeliest(logits_BV)
        for row, token, logprob in zip(alive, next_B.tolist(), logprobs_B.tolist(), strict=True):
            said[row][0].append(token)
            said[row][1].append(logprob)
        going = [k for k, row in enumerate(alive) if not _is_finished(model, said[row][0], stop_texts)]
        if not going or len(said[alive[going[0]]][0]) == max_new_tokens:
            return said
        if len(going) < len(alive):
            rows.keep(going)
            next_B = next_B[going]
            alive = [alive[k] for k in going]
        logits_BV = rows.step(next_B)


def _likeliest(logits_BV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest token of each row and its log-probability; `logits_BV` is used up.

    Its logit is the largest, so its probability is 1 / Σ exp(logit − largest). Only the sum is kept in fp32: an fp32
    copy of 32 rows of a vocabulary of 262,144 would be 32 MiB a token.
    """
    top_B, next_B = logits_BV.max(-1)
    return next_B, -logits_BV.sub_(top_B[:, None]).exp_().sum(-1, dtype=torch.float32).log()


def drawn_tokens(logits_BV: torch.Tensor, draws: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """For each row the token in whose part of the summed probabilities its draw, in [0, 1), falls; and their logs.

    First the block of tokens, then the token in it: one running sum over a whole vocabulary takes a CPU longer.
    """
    p_BV = logits_BV.float().softmax(-1)
    p_BKW = F.pad(p_BV, (0, -p_BV.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
    block_B, draws_B = _drawn(p_BKW.sum(-1), torch.tensor(draws, dtype=torch.float64, device=p_BV.device))
    token_B, _ = _drawn(p_BKW[torch.arange(len(p_BKW), device=p_BV.device), block_B], draws_B)
    next_B = block_B * BLOCK + token_B
    return next_B, p_BV.gather(-1, next_B[:, None]).squeeze(1).log()


def _drawn(p_BN: torch.Tensor, draws_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each row in whose part of the row's sum the draw falls, and where in that part, in [0, 1)."""
    summed_BN = p_BN.double().cumsum(-1)
    at_B1 = draws_B[:, None] * summed_BN[:, -1:]
    place_B1 = (summed_BN <= at_B1).sum(-1, keepdim=True).clamp(max=p_BN.shape[-1] - 1)
    before_B1 = summed_BN.gather(-1, place_B1) - p_BN.gather(-1, place_B1)
    inside_B1 = ((at_B1 - before_B1) / p_BN.gather(-1, place_B1)).clamp(0, 1 - 1e-12)
    return place_B1.squeeze(1), inside_B1.squeeze(1)


def rows_of(network: torch.nn.Module) -> Rows:
    """Rows for this network, in the way that suits where it is."""
    return RecordedRows(network) if can_record(network) else GrowingRows(network)


def _is_finished(model: LoadedModel, ids: list[int], stop_texts: tuple[str, ...]) -> bool:
    """Whether the newest token ends the reply, or ends a stop text, which is no longer in tokens than in bytes."""
    if ids[-1] in model.format.stop_ids:
        return True
    if not stop_texts:
        return False
    newest = model.tokenizer.decode(ids[-max(len(text.encode()) for text in stop_texts) - 4 :])
    return any(text in newest for text in stop_texts)


def _finish(model: LoadedModel, ids: list[int], logprobs: list[float], stop_texts: tuple[str, ...]) -> Reply:
    stopped = ids[-1] in model.format.stop_ids
    text = model.tokenizer.decode(ids[:-1] if stopped else ids, skip_special_tokens=True)
    cuts = [text.index(s) for s in stop_texts if s in text]
    said = text[: min(cuts)] if cuts else text
    return Reply(said, stopped or bool(cuts), len(ids), sum(logprobs) / len(logprobs))
