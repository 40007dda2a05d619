"""The network's body over packed rows: Batch → hidden states, where no text sees another.

Axes: R rows, T tokens, D hidden size.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface

from ishibumi.errors import ModelError
from ishibumi.models.attending import attending
from ishibumi.training.batches import Batch, Plan

CAUSAL_KERNELS = True  # where every row has one text
BLOCKWISE, CAUSAL, SPANNED = "ishibumi_blockwise", "ishibumi_causal", "ishibumi_spanned"
SPAN = 128  # tokens that a CPU goes through together
# The fastest first; the first has not to do with masks.
KERNELS = [
    SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH,
]  # fmt: skip


def hidden_states(network: nn.Module, batch: Batch) -> torch.Tensor:
    """Hidden states before the head, (R, T, D); each text's are those that it has on its own."""
    implementation = network.config._attn_implementation  # type: ignore[union-attr]
    masks: Any = None if implementation == CAUSAL else block_masks(network.config, batch)
    if implementation in (BLOCKWISE, SPANNED):
        made = _blocks if implementation == BLOCKWISE else partial(_hiding, dtype=network.dtype)  # type: ignore[arg-type]
        masks = {kind: made(m) for kind, m in masks.items()} if isinstance(masks, dict) else made(masks)
    output = network.base_model(  # type: ignore[operator]
        input_ids=batch.ids_RT,
        position_ids=batch.positions_RT,
        attention_mask=masks,
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


@contextlib.contextmanager
def blockwise_attention(network: nn.Module) -> Iterator[None]:
    """Attention that leaves out what no token of a block sees, for as long as the block lasts; fast when compiled.

    PyTorch's flex attention; compiled masked attention was further from the plain gradients (0.06 against 0.02).
    """
    AttentionInterface.register(BLOCKWISE, _attention)
    with attending(network, BLOCKWISE):
        yield


def has_one_text_a_row(config: Any, plan: Plan) -> bool:
    """Whether every token sees all that stand before it in its row: no mask is needed then."""
    is_plain = CAUSAL_KERNELS and not plan.store.branches.any() and all(len(row) <= 1 for row in plan.rows)
    return is_plain and (getattr(config, "sliding_window", None) or plan.row_tokens) >= plan.row_tokens


@contextlib.contextmanager
def causal_attention(network: nn.Module) -> Iterator[None]:
    """Attention for rows of one text each, for as long as the block lasts: cuDNN's kernels know these best."""
    AttentionInterface.register(CAUSAL, _causal)
    with attending(network, CAUSAL), sdpa_kernel(KERNELS, set_priority=True):
        yield


@contextlib.contextmanager
def spanned_attention(network: nn.Module) -> Iterator[None]:
    """Attention of a CPU that leaves out what no token of a span sees, for as long as the block lasts."""
    AttentionInterface.register(SPANNED, _spanned)
    with attending(network, SPANNED):
        yield


@contextlib.contextmanager
def masked_attention(network: nn.Module) -> Iterator[None]:
    """Plain attention with a mask for every pair of tokens."""
    with attending(network, "sdpa"), sdpa_kernel(KERNELS[1:]):
        yield


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: BlockMask,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Heads first in, tokens first out, as transformers wants it."""
    shared = key.shape[1] != query.shape[1]
    out = flex_attention(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=shared)
    assert isinstance(out, torch.Tensor)
    return out.transpose(1, 2).contiguous(), None


def _causal(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Heads first in, tokens first out."""
    shared = key.shape[1] != query.shape[1]
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=shared)
    return out.transpose(1, 2).contiguous(), None


def _spanned(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Heads first in, tokens first out."""
    num_heads, head_size = query.shape[1], query.shape[-1]
    key, value = (x.repeat_interleave(num_heads // x.shape[1], 1) for x in (key, value))
    out, _ = _attend(query, key, value, attention_mask, scaling or head_size**-0.5)
    return out.transpose(1, 2).contiguous(), None


_Slices = tuple[slice, ...]


@torch.library.custom_op("ishibumi::attend_in_spans", mutates_args=())
def _attend(
    query_RHTD: torch.Tensor, key_RHTD: torch.Tensor, value_RHTD: torch.Tensor, hiding_R1TT: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the queries of every span read from the keys between the first that one of them sees and the last.

    And the log of each token's summed weights, for the way back.
    """
    out_RHTD, logs_RHT = torch.empty_like(query_RHTD), _logs_like(query_RHTD)
    for queries, keys, both in _spans(hiding_R1TT):
        out_RHTD[queries], logs_RHT[queries] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query_RHTD[queries], key_RHTD[keys], value_RHTD[keys], attn_mask=hiding_R1TT[both], scale=scale
        )
    return out_RHTD, logs_RHT


@torch.library.custom_op("ishibumi::attend_in_spans_backward", mutates_args=())
def _attend_backward(
    grad_RHTD: torch.Tensor,
    query_RHTD: torch.Tensor,
    key_RHTD: torch.Tensor,
    value_RHTD: torch.Tensor,
    hiding_R1TT: torch.Tensor,
    out_RHTD: torch.Tensor,
    logs_RHT: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of queries, keys and values."""
    grad_query, grad_key, grad_value = (torch.zeros_like(x) for x in (query_RHTD, key_RHTD, value_RHTD))
    for queries, keys, both in _spans(hiding_R1TT):
        of_query, of_key, of_value = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad_RHTD[queries], query_RHTD[queries], key_RHTD[keys], value_RHTD[keys], out_RHTD[queries],
            logs_RHT[queries], 0.0, False, attn_mask=hiding_R1TT[both], scale=scale,
        )  # fmt: skip
        grad_query[queries] = of_query
        grad_key[keys] += of_key
        grad_value[keys] += of_value
    return grad_query, grad_key, grad_value


def _spans(hiding_R1TT: torch.Tensor) -> Iterator[tuple[_Slices, _Slices, _Slices]]:
    """For every span of every row: its queries, the keys that they see, and both in the mask."""
    num_tokens = hiding_R1TT.shape[-1]
    for r, hiding_TT in enumerate(hiding_R1TT[:, 0]):
        row, heads = slice(r, r + 1), slice(None)
        for start in range(0, num_tokens, SPAN):
            end = min(start + SPAN, num_tokens)
            first = int((hiding_TT[start:end] == 0).any(0).int().argmax())
            queries, keys = slice(start, end), slice(first, end)
            yield (row, heads, queries), (row, heads, keys), (row, heads, queries, keys)


def _logs_like(query_RHTD: torch.Tensor) -> torch.Tensor:
    return query_RHTD.new_empty(query_RHTD.shape[:3], dtype=torch.promote_types(query_RHTD.dtype, torch.float32))


@_attend.register_fake
def _(query: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(query), _logs_like(query)


@_attend_backward.register_fake
def _(
    _: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *__: Any
) -> tuple[torch.Tensor, ...]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    *tensors, ctx.scale = inputs
    ctx.save_for_backward(*tensors, *output)


def _go_back(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return *_attend_backward(grad.contiguous(), *ctx.saved_tensors, ctx.scale), None, None


_attend.register_autograd(_go_back, setup_context=_keep)


def _hiding(mask_R1TT: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores: −∞ where nothing may be seen."""
    return torch.zeros_like(mask_R1TT, dtype=dtype).masked_fill_(~mask_R1TT, -torch.inf)


def _blocks(mask_R1TT: torch.Tensor) -> BlockMask:
    mask_RTT = mask_R1TT.squeeze(1)  # an index 0 would be a copy from the CPU, which no graph can hold
    num_rows, num_tokens, _ = mask_RTT.shape

    def sees(row: torch.Tensor, head: torch.Tensor, seeing: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return mask_RTT[row, seeing, seen]

    return create_block_mask(sees, num_rows, None, num_tokens, num_tokens, device=mask_RTT.device)  # type: ignore[arg-type]
