"""Rows: replies in the making that share each pass through the model. They join and leave between token steps.

All rows end at the right, as in models.generate; one that joins is padded to the others' length, or they to its:

    row 1   a b c d e f g      attention mask  1 1 1 1 1 1 1
    row 2   . . h i j k l                      0 0 1 1 1 1 1
    joins   . . . . x y z                      0 0 0 0 1 1 1

A new prompt is read in pieces, one a step, so that a long one holds nobody up.

Axes: B rows, T tokens, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch

from ishibumi.models.generate import drawn_tokens, rows_of
from ishibumi.models.load import LoadedModel
from ishibumi.models.rows import last_logits, left_padded
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
        self._last_B = torch.empty(0)  # token of each running row
        self._rows = rows_of(model.network)
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
            self._choose(self._running, self._rows.step(self._last_B))
        if self._reading is not None and not any(reply.is_wanted for reply in self._joining):
            self._reading, self._joining = None, []
        elif self._reading is not None and not next(self._reading, False):
            self._reading = None
        self._leave()

    def _read(self) -> Iterator[bool]:
        """Read the joining prompts, with True after each piece; then choose their first tokens and let them join."""
        ids_BT, mask_BT = left_padded([reply.wish.prompt_ids for reply in self._joining], self._model.device)
        positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
        cache, length = self._rows.new_cache(), ids_BT.shape[1]
        size = max(1, READ_AT_ONCE // len(self._joining))
        logits_BV = torch.empty(0)
        for start in range(0, length, size):
            end = min(start + size, length)
            piece = slice(start, end)
            logits_BV = last_logits(
                self._model.network, ids_BT[:, piece], mask_BT[:, :end], positions_BT[:, piece], cache
            )
            if end < length:
                yield True
        self._rows.join(cache, mask_BT)
        new, before = self._joining, self._last_B[: len(self._running)]
        self._running, self._joining = [*self._running, *new], []
        self._choose(new, logits_BV)
        self._last_B = torch.cat([before, self._last_B]) if len(before) else self._last_B

    def _choose(self, replies: Sequence[Reply], logits_BV: torch.Tensor) -> None:
        """Give each reply its next token, and keep these as the next input."""
        next_B = logits_BV.argmax(-1)
        drawn = [b for b, reply in enumerate(replies) if reply.wish.temperature > 0]
        if drawn:
            next_B[drawn] = _drawn(logits_BV[drawn], [replies[b] for b in drawn])
        self._last_B = next_B
        for reply, token in zip(replies, _told([reply.wish for reply in replies], next_B, logits_BV), strict=True):
            reply.take(token)

    def _leave(self) -> None:
        """Take out the rows that are done or not wanted any more, and padding that no row needs."""
        keep = [b for b, reply in enumerate(self._running) if reply.finish is None and reply.is_wanted]
        if len(keep) == len(self._running):
            return
        self._running = [self._running[b] for b in keep]
        self._rows.keep(keep)
        self._last_B = self._last_B[keep]


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
