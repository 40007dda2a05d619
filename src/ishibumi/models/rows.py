"""Prompts that are answered together: token ids → logits of the next token, step by step, with what was read kept.

All rows end at the right, so each step adds one column to all of them. Here keys and values grow, and rows that are
done leave at once: what suits a CPU. In models.recorded they have fixed places: what suits a GPU.

Axes: B rows, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from transformers import Cache, DynamicCache

from ishibumi.models.beginning import Beginning


class Rows(Protocol):
    """A batch of replies in the making."""

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, beginning: Beginning | None) -> torch.Tensor:
        """Read the prompts, less what `beginning` has read; the logits (B, V) of their first new tokens."""
        ...

    def new_cache(self) -> DynamicCache:
        """An empty cache for prompts that are to join."""
        ...

    def join(self, cache: DynamicCache, mask_BT: torch.Tensor) -> None:
        """Let rows join that have been read into a new cache, (B, T) tokens as the mask says; they come last."""
        ...

    def step(self, next_B: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row; the logits (B, V) of those after it, for the caller to use up."""
        ...

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with these rows only, in this order."""
        ...


class GrowingRows:
    """Rows whose keys and values grow token by token; layers with a sliding window keep its tokens only."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network: Any = network
        self._cache, self._mask_BT = self.new_cache(), torch.empty(0, 0)

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, beginning: Beginning | None) -> torch.Tensor:
        """Read the prompts; any number of tokens may follow."""
        self._cache = self.new_cache()
        ids_BT, self._mask_BT, positions_BT = unread(prompts, beginning, self._cache, self._network.device)
        return last_logits(self._network, ids_BT, self._mask_BT, positions_BT, self._cache)

    def new_cache(self) -> DynamicCache:
        """An empty cache with the layers of this network."""
        return DynamicCache(config=self._network.config)

    def join(self, cache: DynamicCache, mask_BT: torch.Tensor) -> None:
        """Let rows join: the shorter ones are padded at the left."""
        if len(self._mask_BT):
            length = max(mask_BT.shape[1], self._mask_BT.shape[1])
            mask_BT = torch.cat([left_pad(self._mask_BT, length), left_pad(mask_BT, length)])
            cache = _joined(self._cache, cache)
        self._cache, self._mask_BT = cache, mask_BT

    def step(self, next_B: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row."""
        self._mask_BT = F.pad(self._mask_BT, (0, 1), value=1)
        positions_B1 = self._mask_BT.sum(-1, keepdim=True) - 1
        return last_logits(self._network, next_B[:, None], self._mask_BT, positions_B1, self._cache)

    def keep(self, kept: Sequence[int]) -> None:
        """Let the other rows go, so that the rest goes faster, and padding that no row needs any more."""
        if not kept:
            self._cache, self._mask_BT = self.new_cache(), torch.empty(0, 0)
            return
        kept_B = torch.tensor(kept, device=self._network.device)
        self._cache.batch_select_indices(kept_B)
        self._mask_BT = self._mask_BT[kept_B]
        if num_padding := num_left_of_all(self._mask_BT):
            self._mask_BT = self._mask_BT[:, num_padding:]
            _cut_left(self._cache, self._mask_BT.shape[1])


def unread(
    prompts: Sequence[Sequence[int]], beginning: Beginning | None, cache: Cache, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is left to read of the prompts when `beginning` has been put into the empty cache.

    Its ids and positions, (B, T) of the longest rest, and the mask of what is no padding, over all columns.
    """
    ids_BT, mask_BT = left_padded(prompts, device)
    num_read = max(map(len, prompts)) - (beginning.num_tokens if beginning else 0)
    if beginning:
        beginning.fill(cache, [len(prompt) - num_read for prompt in prompts])
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    return ids_BT[:, -num_read:], mask_BT, positions_BT[:, -num_read:]


def last_logits(
    network: Any, ids_BT: torch.Tensor, mask: Any, positions_BT: torch.Tensor, cache: Cache
) -> torch.Tensor:
    """The logits (B, V) behind the last of these tokens, whose keys and values go into the cache."""
    found = network(
        input_ids=ids_BT,
        attention_mask=mask,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    logits_BV: torch.Tensor = found.logits[:, -1]
    return logits_BV


def left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids that all end at the right, and the mask of what is no padding."""
    longest = max(len(p) for p in prompts)
    ids = [[0] * (longest - len(p)) + list(p) for p in prompts]
    mask = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def left_pad(mask_BT: torch.Tensor, length: int) -> torch.Tensor:
    """The mask of rows that are padded to this length."""
    return F.pad(mask_BT, (length - mask_BT.shape[1], 0))


def num_left_of_all(mask_BT: torch.Tensor) -> int:
    """How many columns stand left of all rows' tokens."""
    return int(mask_BT.any(0).int().argmax())


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
