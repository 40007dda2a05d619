"""Forgetting: how much harder general text became for the model. texts → Perplexity, before and after.

Axes: B texts in a batch, T tokens, V vocabulary.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from ishibumi.models.load import LoadedModel

MAX_TEXT_TOKENS = 512
# A Gemma vocabulary has 262,144 entries: the logits of one 512-token text in bf16 are 256 MiB, their fp32 copy is made
# in pieces of 64 tokens, 64 MiB.
MAX_LOGIT_BYTES = 512 * 2**20
TOKENS_PER_PIECE = 64


@dataclass(frozen=True)
class Perplexity:
    """The summed negative log-likelihood (nats) of `num_tokens` predicted tokens in `num_texts` texts."""

    nll_sum: float
    num_tokens: int
    num_texts: int
    num_cut: int  # texts of which only the first MAX_TEXT_TOKENS tokens counted

    @property
    def value(self) -> float:
        """exp of the mean negative log-likelihood a token; nan without tokens, inf where it overflows."""
        if not self.num_tokens:
            return math.nan
        mean = self.nll_sum / self.num_tokens
        return math.exp(mean) if mean < 700 else math.inf


def perplexity(model: LoadedModel, texts: Sequence[str], *, batch_tokens: int = 4096) -> Perplexity:
    """How surprised the model is by `texts`: each after BOS (where the tokenizer has one), its first 512 tokens.

    At most `batch_tokens` padded tokens go through the model at once, fewer where their logits would pass 512 MiB.
    """
    whole = [text_ids(model, text) for text in texts]
    rows = sorted((ids[:MAX_TEXT_TOKENS] for ids in whole if len(ids) > 1), key=len)
    nll_sum = sum(_batch_nll(model, batch) for batch in _batches(rows, tokens_at_once(model, batch_tokens)))
    num_cut = sum(len(ids) > MAX_TEXT_TOKENS for ids in whole)
    return Perplexity(nll_sum, sum(len(ids) - 1 for ids in rows), len(rows), num_cut)


def compared(
    sides: Mapping[str, Mapping[str, Perplexity]],
) -> list[tuple[str, Perplexity, Perplexity, float]]:
    """(language, before, after, after / before) for every language with tokens on the sides "before" and "after".

    A ratio of 1 is unharmed, 1.15 is 15 % more surprised.
    """
    found: list[tuple[str, Perplexity, Perplexity, float]] = []
    for language, before in sides.get("before", {}).items():
        after = sides.get("after", {}).get(language)
        if after and before.num_tokens:
            assert before.num_tokens == after.num_tokens
            found.append((language, before, after, after.value / before.value))
    return found


def text_ids(model: LoadedModel, text: str) -> list[int]:
    """Token ids of plain text after BOS, without an end token (some tokenizers would add one)."""
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    start = model.tokenizer.bos_token_id
    return ids if start is None else [int(start), *ids]


def tokens_at_once(model: LoadedModel, batch_tokens: int) -> int:
    """`batch_tokens`, or as many tokens as have 512 MiB of logits."""
    network: Any = model.network
    head = network.get_output_embeddings().weight
    return max(1, min(batch_tokens, MAX_LOGIT_BYTES // (head.shape[0] * head.element_size())))


def _batches(rows: Sequence[Sequence[int]], num_tokens: int) -> Iterator[list[Sequence[int]]]:
    """Rows, sorted by length, in batches of at most `num_tokens` after padding; a longer row goes alone."""
    batch: list[Sequence[int]] = []
    for row in rows:
        if batch and len(row) * (len(batch) + 1) > num_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.inference_mode()
def _batch_nll(model: LoadedModel, rows: Sequence[Sequence[int]]) -> float:
    longest = max(len(row) for row in rows)
    ids_BT = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    logits_BTV = model.network(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits[:, :-1]
    targets_BT = ids_BT[:, 1:].masked_fill(mask_BT[:, 1:] == 0, -100)
    pieces = zip(
        logits_BTV.flatten(0, 1).split(TOKENS_PER_PIECE), targets_BT.flatten().split(TOKENS_PER_PIECE), strict=True
    )
    nlls = [F.cross_entropy(logits.float(), targets, ignore_index=-100, reduction="sum") for logits, targets in pieces]
    return float(torch.stack(nlls).double().sum())
