"""Rows whose every step is a recorded CUDA graph: a GPU that makes replies waits for launches, hundreds a token.

Keys and values, the token, its position and column stay in the same places, so that a step can be played again. It is
recorded for a number of rows, all or a quarter or a quarter of that, and of columns, of which 128 come at a time. The
first step of a size is computed as usual, because a second may never come; the second is recorded.

    column      0 1 2 3 4 5 . .      attention sees columns up to `at`, where the step writes, that are no padding
    row 1       a b c d e f          and, in layers with a sliding window, no more than its tokens
    row 2       . . g h i j
                          at

Axes: B rows, C columns, H heads of keys, G heads of queries for each of them, T tokens, V vocabulary, D head size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from ishibumi.models.attending import attending
from ishibumi.models.beginning import Beginning
from ishibumi.models.load import head_size
from ishibumi.models.rows import last_logits, left_pad, num_left_of_all, unread

GROUPED = "ishibumi_grouped"
COLUMNS, FEWER = 128, 4  # columns that come together; of so many rows one must be left before steps have fewer
KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")  # whose step is known to be the same each time
HIDDEN = -torch.inf

Part = tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]  # rows' mask (B, T), and each layer's keys, values


def can_record(network: nn.Module) -> bool:
    """Whether the network is on a GPU and of a family whose steps can be recorded."""
    config: Any = network.config
    rope = str(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None))
    is_fixed = not any(kind in rope for kind in ("dynamic", "longrope"))  # those look at the positions
    return next(network.parameters()).is_cuda and config.model_type in FAMILIES and is_fixed


class RecordedRows:
    """Rows in fixed places; they stay there for the next batch where it is no larger."""

    def __init__(self, network: nn.Module) -> None:
        self._network: Any = network
        self._layers: list[FixedLayer] = []
        self._max_rows = self._max_columns = 0
        self._slot_B = torch.empty(0)
        AttentionInterface.register(GROUPED, _grouped)

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, beginning: Beginning | None) -> torch.Tensor:
        """Read the prompts, which at most `max_new_tokens` follow."""
        length = max(map(len, prompts))
        if len(prompts) > self._max_rows or length + max_new_tokens > self._max_columns:
            self._make_room(len(prompts), length + max_new_tokens)
        for layer in self._layers:
            layer.begin(len(prompts))
        ids_BT, mask_BT, positions_BT = unread(prompts, beginning, self._cache, self._network.device)
        logits_BV = last_logits(self._network, ids_BT, mask_BT, positions_BT, self._cache)
        self._start(mask_BT)
        return logits_BV

    def new_cache(self) -> DynamicCache:
        """An empty cache whose layers keep everything, those with a sliding window too."""
        return DynamicCache()

    def join(self, cache: DynamicCache, mask_BT: torch.Tensor) -> None:
        """Let rows join; all get places anew, as far to the left as they go."""
        layers: Any = cache.layers
        self._place([*self._running(), (mask_BT, [(layer.keys, layer.values) for layer in layers])])

    def _running(self) -> list[Part]:
        """What the rows in the making have read."""
        if not len(self._slot_B):
            return []
        here = slice(self._length)
        read = [(of.room_keys[self._slot_B, :, here], of.room_values[self._slot_B, :, here]) for of in self._layers]
        return [((self._hidden_BC[self._slot_B, here] == 0).long(), read)]

    def _place(self, parts: Sequence[Part]) -> None:
        """Give the rows of all parts their places, with room for some more of them and for more tokens."""
        length = max(mask_BT.shape[1] for mask_BT, _ in parts)
        mask_BT = torch.cat([left_pad(mask_BT, length) for mask_BT, _ in parts])
        mask_BT = mask_BT[:, num_left_of_all(mask_BT) :]
        length = mask_BT.shape[1]
        num_rows = 1 << (len(mask_BT) - 1).bit_length()
        if num_rows > self._max_rows or length >= self._max_columns:  # as much as is needed now, whatever was before
            self._make_room(num_rows, length + max(COLUMNS, length // 2))
        first = 0
        for of_part, read in parts:
            rows, num_read = slice(first, first + len(of_part)), min(of_part.shape[1], length)
            for layer, (keys, values) in zip(self._layers, read, strict=True):
                layer.room_keys[rows, :, length - num_read : length] = keys[:, :, -num_read:]
                layer.room_values[rows, :, length - num_read : length] = values[:, :, -num_read:]
            first += len(of_part)
        self._start(mask_BT)

    def _start(self, mask_BT: torch.Tensor) -> None:
        """Be ready for the first step of rows that have their places."""
        num_rows, self._length = mask_BT.shape
        self._slot_B = torch.arange(num_rows, device=self._at_1.device)
        self._num_rows = self._size(num_rows)
        self._at_1.fill_(self._length)
        self._hidden_BC.fill_(HIDDEN)
        self._hidden_BC[:num_rows, : self._length].masked_fill_(mask_BT.bool(), 0)
        self._position_B1[:num_rows] = mask_BT.sum(-1, keepdim=True)

    def step(self, next_B: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row."""
        if self._length == self._max_columns:
            self._place(self._running())
        self._ids_B1[self._slot_B, 0] = next_B
        self._length += 1
        size = self._num_rows, min(self._max_columns, -(-self._length // COLUMNS) * COLUMNS)
        if size in self._graphs:
            graph, logits_BV = self._graphs[size]
            graph.replay()
        else:
            logits_BV = self._first_steps(size)
        return logits_BV if len(next_B) == len(logits_BV) else logits_BV[self._slot_B]

    def keep(self, kept: Sequence[int]) -> None:
        """Let the other rows idle, and leave them out of the steps once so many do that it is worth moving the rest."""
        num_kept = len(kept)
        self._slot_B = self._slot_B[torch.tensor(kept, dtype=torch.int64, device=self._at_1.device)]
        size = self._size(num_kept)
        if size == self._num_rows or not kept:
            return
        for layer in self._layers:
            for room in (layer.room_keys, layer.room_values):
                room[:num_kept, :, : self._length] = room[self._slot_B, :, : self._length]
        for places in (self._hidden_BC, self._position_B1):
            places[:num_kept] = places[self._slot_B]
        self._slot_B, self._num_rows = torch.arange(num_kept, device=self._at_1.device), size

    def _make_room(self, num_rows: int, num_columns: int) -> None:
        """New places for so many rows and columns; what is in the old ones goes."""
        self._layers, self._cache = [], Cache(layers=[])  # the old places go before there are new ones
        self._graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._met: set[tuple[int, int]] = set()
        self._max_rows, self._max_columns = num_rows, -(-num_columns // COLUMNS) * COLUMNS
        config, weight = self._network.config, next(self._network.parameters())
        made = {"device": weight.device, "dtype": self._network.dtype}
        self._at_1 = torch.zeros(1, dtype=torch.int64, device=weight.device)
        self._ids_B1 = torch.zeros(num_rows, 1, dtype=torch.int64, device=weight.device)
        self._position_B1 = torch.zeros_like(self._ids_B1)
        self._hidden_BC = torch.zeros(num_rows, self._max_columns, **made)
        self._column_C = torch.arange(self._max_columns, device=weight.device)
        shape = num_rows, config.num_key_value_heads, self._max_columns, head_size(config)
        self._layers = [FixedLayer(shape, self._at_1, **made) for _ in range(config.num_hidden_layers)]
        self._cache = Cache(layers=list(self._layers))

    def _size(self, num_rows: int) -> int:
        """The rows of a step that computes so many: all there is room for, a quarter of them, or a quarter of that."""
        size = self._max_rows
        while size > 1 and -(-size // FEWER) >= num_rows:
            size = -(-size // FEWER)
        return size

    def _first_steps(self, size: tuple[int, int]) -> torch.Tensor:
        """A step of a size that is not recorded: the first as usual, the second while it is recorded."""
        for layer in self._layers:
            layer.size = size
        with attending(self._network, GROUPED), sdpa_kernel(KERNELS):
            if size not in self._met or not self._at_1.is_cuda:
                self._met.add(size)
                return self._forward(*size)
            self._graphs[size] = self._recorded(size)
        graph, logits_BV = self._graphs[size]
        graph.replay()
        return logits_BV

    def _recorded(self, size: tuple[int, int]) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """The step as a graph, and where it will leave its logits; all graphs share their memory."""
        pool = next(iter(self._graphs.values()))[0].pool() if self._graphs else None
        graph, stream, now = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(now)
        with torch.cuda.stream(stream):  # not torch.cuda.graph, which collects garbage and empties caches each time
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            logits_BV = self._forward(*size)
            graph.capture_end()
        now.wait_stream(stream)
        return graph, logits_BV

    def _forward(self, num_rows: int, num_columns: int) -> torch.Tensor:
        """The logits (B, V) after the tokens in their places; then the places are those of the next column."""
        self._hidden_BC[:num_rows].index_fill_(1, self._at_1, 0)
        position_B1 = self._position_B1[:num_rows]
        masks = self._masks(self._hidden_BC[:num_rows, None, None, :num_columns], self._column_C[:num_columns])
        logits_BV = last_logits(self._network, self._ids_B1[:num_rows], masks, position_B1, self._cache)
        position_B1 += 1
        self._at_1 += 1
        return logits_BV

    def _masks(self, full: torch.Tensor, column_C: torch.Tensor) -> Any:
        """What is added to the scores (B, 1, 1, C), as transformers takes it: for each kind of layer or for all."""
        config = self._network.config
        window = getattr(config, "sliding_window", None)
        near = full if window is None else full.masked_fill(column_C <= self._at_1 - window, HIDDEN)
        kinds = getattr(config, "layer_types", None)
        return {"full_attention": full, "sliding_attention": near} if kinds else near


class FixedLayer(DynamicLayer):
    """Keys and values of a layer, (B, H, C, D): while prompts are read they fill up, then one column a step changes."""

    def __init__(self, shape: tuple[int, ...], at_1: torch.Tensor, **made: Any) -> None:
        super().__init__()
        self.room_keys, self.room_values = torch.zeros(shape, **made), torch.zeros(shape, **made)
        self.at_1 = at_1
        self.is_initialized = True
        self.begin(0)

    def begin(self, num_rows: int) -> None:
        """Nothing is read yet; the next tokens are those of so many prompts."""
        self.size, self.filled = (num_rows, 0), 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        """Put (B, H, T, D) into their places; returns all that may be seen."""
        (num_rows, num_columns), rooms = self.size, (self.room_keys, self.room_values)
        if num_columns:
            for room, states in zip(rooms, (key_states, value_states), strict=True):
                room[:num_rows].index_copy_(2, self.at_1, states)
            return tuple(room[:num_rows, :, :num_columns] for room in rooms)
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        for room, states in zip(rooms, (key_states, value_states), strict=True):
            room[:num_rows, :, start : self.filled] = states
        return tuple(room[:num_rows, :, : self.filled] for room in rooms)

    def get_seq_length(self) -> int:
        """Columns of the prompts that are read."""
        return self.filled


def _grouped(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor,
    scaling: float | None = None, **_: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attention (B, 1, H × G, D) of one token a row: the heads that share keys are that head's queries."""
    query_BHGD = query.reshape(len(query), key.shape[1], -1, query.shape[-1])
    mask = attention_mask.expand(-1, -1, query_BHGD.shape[2], -1)
    out_BHGD = F.scaled_dot_product_attention(query_BHGD, key, value, attn_mask=mask, scale=scaling)
    return out_BHGD.reshape(len(query), 1, -1, out_BHGD.shape[-1]), None
