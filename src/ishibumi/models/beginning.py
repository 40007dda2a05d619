"""What many prompts begin with alike, read once. [token ids] → keys and values → the cache of a batch.

Worked examples are most of an exam's prompt and the same in all. A row of a batch reads the last tokens of its prompt,
as many as the other rows; before them stand the keys and values of as much of the shared beginning as is left. So rows
end together, and what is no prompt is all at the left, where no window of a layer with sliding attention counts it:

    . . b b b | b q q q        b: beginning, q: the prompt's own, .: nothing
    b b b b b | q q q q

Axes: B prompts in a batch, H heads, T tokens of the beginning, C of them in the cache, D head size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache, DynamicCache

from ishibumi.models.load import LoadedModel

WORTH_READING = 32  # tokens: fewer are read with each prompt


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with alike, at least one less than each has; 0 where it is not worth it."""
    if len(prompts) < 2:
        return 0
    low, high = min(prompts, key=tuple), max(prompts, key=tuple)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    same = min(same, min(map(len, prompts)) - 1)
    return same if same >= WORTH_READING else 0


class Beginning:
    """The keys and values of a beginning in every layer, (1, H, T, D) each."""

    @torch.inference_mode()
    def __init__(self, model: LoadedModel, ids: Sequence[int]) -> None:
        cache = DynamicCache()  # its layers keep everything, those with a sliding window too
        ids_1T = torch.tensor([ids], device=model.device)
        model.network(input_ids=ids_1T, past_key_values=cache, use_cache=True, logits_to_keep=1)
        layers: Any = cache.layers
        self.layers = [(layer.keys, layer.values) for layer in layers]
        self.num_tokens = len(ids)

    @torch.inference_mode()
    def fill(self, cache: Cache, lengths: Sequence[int]) -> None:
        """Put the first tokens into an empty cache, so many for each row, at the right."""
        longest = max(lengths)
        place_BC = torch.tensor([[max(0, i - longest + n) for i in range(longest)] for n in lengths])
        for number, (keys, values) in enumerate(self.layers):
            at_BC = place_BC.to(keys.device)
            cache.update(*(kept[0][:, at_BC].transpose(0, 1).contiguous() for kept in (keys, values)), number)
