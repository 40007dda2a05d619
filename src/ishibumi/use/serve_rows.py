"""Rows: replies in the making that share each pass through the model. They join and leave between token steps.

All rows end at the right, as in models.generate; one that joins is padded to the others' length, or they to its:

    row 1   a b c d e f g      attention mask  1 1 1 1 1 1 1
    row 2   . . h i j k l                      0 0 1 1 1 1 1
    joins   . . . . x y z                      0 0 0 0 1 1 1

A new prompt is read in pieces, one a step, so that a long one holds nobody up.

Axes: B rows, T tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from transformers import DynamicCache

from ishibumi.models.generate import drawn_tokens, new_cache
from ishibumi.models.load import LoadedModel
from ishibumi.models.rows import left_padded
from ishibumi.use.serve_reply import Piece, Reply, Token, Wish

READ_AT_ONCE = 512  # tokens of a prompt in one step, over all rows that join


def stream(model: LoadedModel, wish: Wish) -> Iterator[Piece]:
    """The pieces of one reply, made alone: what a server says to a single client."""
    pieces: list[Piece] = []
    rows = Rows(model)
    rows.join([Reply(wish, model, pieces.append)])
    while len(rows):
        rows.step()
        yield from pieces
        pieces.clear()


class Rows:
    """The replies that one network makes at the same time, with their key-value cache."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._running: list[Reply] = []
        self._ids_BT = torch.empty(0)  # the last token of each running row
        self._mask_BT = torch.empty(0)
        self._cache = new_cache(model)
        self._joining: list[Reply] = []
        self._reading: Iterator[bool] | None = None

    def __len__(self) -> int:
        return len(self._running) + len(self._joining)

    @property
    def replies(self) -> list[Reply]:
        """Every reply in the making."""
        return [*self._running, *self._joining]

    @property
    def can_join(self) -> bool:
        """Whether no prompts are being read just now."""
        return self._reading is None

    def join(self, replies: Sequence[Reply]) -> None:
        """Begin to read these prompts; `step` goes on with it."""
        assert self.can_join
        self._joining = list(replies)
        self._reading = self._read()

    @torch.inference_mode()
    def step(self) -> None:
        """Read a piece of the prompts that join, choose one token for every running row, and let go of who is done."""
        self._leave()
        if self._running:
            self._mask_BT = F.pad(self._mask_BT, (0, 1), value=1)
            positions_BT = self._mask_BT.sum(-1, keepdim=True) - 1
            self._choose(self._running, self._forward(self._ids_BT, self._mask_BT, positions_BT, self._cache))
        if self._reading is not None and not any(reply.is_wanted for reply in self._joining):
            self._reading, self._joining = None, []
        elif self._reading is not None and not next(self._reading, False):
            self._reading = None
        self._leave()

    def _forward(
        self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, positions_BT: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        found = self._model.network(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return found.logits[:, -1]

    def _read(self) -> Iterator[bool]:
        """Read the joining prompts, with True after each piece; then choose their first tokens and let them join."""
        ids_BT, mask_BT = left_padded([reply.wish.prompt_ids for reply in self._joining], self._model.device)
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
        cache, length = new_cache(self._model), ids_BT.shape[1]
        size = max(1, READ_AT_ONCE // len(self._joining))
        logits_BV = torch.empty(0)
        for start in range(0, length, size):
            end = min(start + size, length)
            piece = slice(start, end)
            logits_BV = self._forward(ids_BT[:, piece], mask_BT[:, :end], positions_BT[:, piece], cache)
            if end < length:
                yield True
        running = len(self._running)
        if running:
            length = max(mask_BT.shape[1], self._mask_BT.shape[1])
            mask_BT = torch.cat([_left_pad(self._mask_BT, length), _left_pad(mask_BT, length)])
            cache = _joined(self._cache, cache)
        self._running, self._joining = [*self._running, *self._joining], []
        self._cache, self._mask_BT = cache, mask_BT
        new = self._running[running:]
        before = self._ids_BT[:running]
        self._choose(new, logits_BV)
        self._ids_BT = torch.cat([before, self._ids_BT]) if running else self._ids_BT

    def _choose(self, replies: Sequence[Reply], logits_BV: torch.Tensor) -> None:
        """Give each reply its next token, and keep these as the next input."""
        next_B = logits_BV.argmax(-1)
        drawn = [b for b, reply in enumerate(replies) if reply.wish.temperature > 0]
        if drawn:
            next_B[drawn] = _drawn(logits_BV[drawn], [replies[b] for b in drawn])
        self._ids_BT = next_B[:, None]
        for reply, token in zip(replies, _told([reply.wish for reply in replies], next_B, logits_BV), strict=True):
            reply.take(token)

    def _leave(self) -> None:
        """Take out the rows that are done or not wanted any more, and padding that no row needs."""
        keep = [b for b, reply in enumerate(self._running) if reply.finish is None and reply.is_wanted]
        if len(keep) == len(self._running):
            return
        self._running = [self._running[b] for b in keep]
        if not keep:
            self._cache = new_cache(self._model)
            return
        kept = torch.tensor(keep, device=self._model.device)
        self._cache.batch_select_indices(kept)
        self._ids_BT, self._mask_BT = self._ids_BT[kept], self._mask_BT[kept]
        num_padding = int(self._mask_BT.any(0).int().argmax())
        if num_padding:
            self._mask_BT = self._mask_BT[:, num_padding:]
            _cut_left(self._cache, self._mask_BT.shape[1])


def _drawn(logits_BV: torch.Tensor, replies: Sequence[Reply]) -> torch.Tensor:
    """A token for each row, drawn at its temperature from the fewest tokens that together have top_p."""
    heat_B1 = torch.tensor([[reply.wish.temperature] for reply in replies], device=logits_BV.device)
    logits_BV = logits_BV.float() / heat_B1
    for b, reply in enumerate(replies):
        if reply.wish.top_p < 1:
            p_V, order_V = logits_BV[b].softmax(-1).sort(descending=True)
            logits_BV[b, order_V[p_V.cumsum(-1) - p_V >= reply.wish.top_p]] = -torch.inf
    return drawn_tokens(logits_BV, [reply.random.random() for reply in replies])[0]


def _told(wishes: Sequence[Wish], next_B: torch.Tensor, logits_BV: torch.Tensor) -> list[Token]:
    """The tokens, with what the model gave them and the likeliest others where that is asked for.

    Row by row, which a CPU's cache holds: 17 ms for 32 rows of a vocabulary of 262,144 instead of 33.
    """
    tokens = [Token(token_id) for token_id in next_B.tolist()]
    asking = [b for b, wish in enumerate(wishes) if wish.num_logprobs is not None]
    chosen: list[torch.Tensor] = []
    tops: list[tuple[tuple[int, float], ...]] = []
    for b in asking:
        logprobs_V = logits_BV[b].float().log_softmax(-1)
        chosen.append(logprobs_V.gather(0, next_B[b : b + 1]))
        tops.append(_likeliest(logprobs_V, wishes[b].num_logprobs or 0))
    logprobs = torch.cat(chosen).tolist() if chosen else []  # one transfer for all
    for b, logprob, top in zip(asking, logprobs, tops, strict=True):
        tokens[b] = Token(tokens[b].id, logprob, top)
    return tokens


def _likeliest(logprobs_V: torch.Tensor, num: int) -> tuple[tuple[int, float], ...]:
    if not num:
        return ()
    top = logprobs_V.topk(num)
    return tuple(zip(top.indices.tolist(), top.values.tolist(), strict=True))


def _left_pad(mask_BT: torch.Tensor, length: int) -> torch.Tensor:
    return F.pad(mask_BT, (length - mask_BT.shape[1], 0))


def _joined(first: DynamicCache, second: DynamicCache) -> DynamicCache:
    """One cache with the rows of both. Layers with a sliding window keep the newest tokens only, which stand right."""
    for layer, other in zip(first.layers, second.layers, strict=True):
        a: Any = layer
        b: Any = other
        length = max(a.keys.shape[-2], b.keys.shape[-2])
        for name in ("keys", "values"):
            both = [F.pad(x, (0, 0, length - x.shape[-2], 0)) for x in (getattr(a, name), getattr(b, name))]
            setattr(a, name, torch.cat(both))
        if a.is_sliding:
            a.cumulative_length = max(a.cumulative_length, b.cumulative_length)
    return first


def _cut_left(cache: DynamicCache, length: int) -> None:
    """Keep the last `length` tokens."""
    for each in cache.layers:
        layer: Any = each
        num_kept = min(length, layer.sliding_window - 1) if layer.is_sliding else length
        layer.keys, layer.values = layer.keys[:, :, -num_kept:], layer.values[:, :, -num_kept:]
        if layer.is_sliding:
            layer.cumulative_length = length
