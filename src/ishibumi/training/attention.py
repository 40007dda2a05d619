"""The network's body over packed rows: Batch → hidden states, where no text sees another.

Axes: R rows, T tokens, D hidden size.
"""

from typing import Any

import torch
from torch import nn

from ishibumi.training.batches import Batch


def hidden_states(network: nn.Module, batch: Batch) -> torch.Tensor:
    """Hidden states before the head, (R, T, D); each text's are those that it has on its own."""
    output = network.base_model(  # type: ignore[operator]
        input_ids=batch.ids_RT,
        position_ids=batch.positions_RT,
        attention_mask=block_masks(network.config, batch),
        use_cache=False,
    )
    return output.last_hidden_state  # type: ignore[no-any-return]


def block_masks(config: Any, batch: Batch) -> Any:
    """What may be seen, as transformers takes it: (R, 1, T, T), or one such mask for each kind of layer.

        segments 0 0 1:   1 . .
                          1 1 .
                          . . 1
    """
    same = batch.segments_RT[:, :, None] == batch.segments_RT[:, None, :]
    row_tokens = batch.ids_RT.shape[1]
    full = (same & torch.ones(row_tokens, row_tokens, dtype=torch.bool, device=same.device).tril())[:, None]
    kinds = set(getattr(config, "layer_types", None) or [])
    if not kinds:
        return full
    masks = {"full_attention": full}
    if "sliding_attention" in kinds:
        distance = batch.positions_RT[:, :, None] - batch.positions_RT[:, None, :]
        masks["sliding_attention"] = full & (distance < config.sliding_window)[:, None]
    return masks
