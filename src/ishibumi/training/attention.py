"""The network's body over packed rows: Batch → hidden states, where no text sees another.

Axes: R rows, T tokens, D hidden size.
"""

from typing import Any

import torch
from torch import nn

from ishibumi.errors import ModelError
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

    Raises ModelError for layers of another kind than full or sliding attention.

        segments 0 0 1:   1 . .
                          1 1 .
                          . . 1
    """
    same = batch.segments_RT[:, :, None] == batch.segments_RT[:, None, :]
    seen_from, seen = batch.branches_RT[:, :, None], batch.branches_RT[:, None, :]
    same = same & ((seen == 0) | (seen == seen_from))
    row_tokens = batch.ids_RT.shape[1]
    full = (same & torch.ones(row_tokens, row_tokens, dtype=torch.bool, device=same.device).tril())[:, None]
    distance = (batch.positions_RT[:, :, None] - batch.positions_RT[:, None, :])[:, None]
    window = getattr(config, "sliding_window", None)
    near = full if window is None else full & (distance < window)
    kinds = getattr(config, "layer_types", None)
    if not kinds:
        return near  # Mistral: one window for all layers; Llama: none
    masks = {"full_attention": full, "sliding_attention": near}
    if unknown := sorted(set(kinds) - set(masks)):
        raise ModelError(
            f"The model has layers of kind {', '.join(unknown)}, in which packed texts would see one another.",
            hint="Use a Llama, Qwen 2, Qwen 3 or Gemma 3 model.",
            hint_ja="Llama、Qwen 2、Qwen 3、Gemma 3 系のモデルを使ってください。",
        )
    return masks
