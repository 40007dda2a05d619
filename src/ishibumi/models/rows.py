"""Prompts that are answered together: token ids → logits of the next token, step by step, with what was read kept.

All rows end at the right, so each step adds one column to all of them. Here keys and values grow, and rows that are
done leave at once: what suits a CPU. In models.recorded they have fixed places: what suits a GPU.

Axes: B rows, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from transformers import Cache, DynamicCache

from ishibumi.models.beginning import Beginning


class Rows(Protocol):
    """A batch of replies in the making."""

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, beginning: Beginning | None) -> torch.Tensor:
        """Read the prompts, less what `beginning` has read; the logits (B, V) of their first new tokens."""
        ...

    def step(self, next_B: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row; the logits (B, V) of those after it, for the caller to use up."""
        ...

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with these rows only, at least one, in this order."""
        ...


class GrowingRows:
    """Rows whose keys and values grow token by token; layers with a sliding window keep its tokens only."""

    def __init__(self, network: torch.nn.Module) -> None:
        self._network: Any = network

    def begin(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, beginning: Beginning | None) -> torch.Tensor:
        """Read the prompts; any number of tokens may follow."""
        self._cache = DynamicCache(config=self._network.config)
        ids_BT, self._mask_BT, positions_BT = unread(prompts, beginning, self._cache, self._network.device)
        self._position_B1 = positions_BT[:, -1:]
        return last_logits(self._network, ids_BT, self._mask_BT, positions_BT, self._cache)

    def step(self, next_B: torch.Tensor) -> torch.Tensor:
        """Read one more token of each row."""
        self._mask_BT = torch.cat([self._mask_BT, self._mask_BT.new_ones(len(next_B), 1)], dim=1)
        self._position_B1 = self._position_B1 + 1
        return last_logits(self._network, next_B[:, None], self._mask_BT, self._position_B1, self._cache)

    def keep(self, kept: Sequence[int]) -> None:
        """Let the other rows go, so that the rest goes faster."""
        kept_B = torch.tensor(kept, device=self._network.device)
        self._cache.batch_select_indices(kept_B)
        self._mask_BT, self._position_B1 = self._mask_BT[kept_B], self._position_B1[kept_B]


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
