"""How layers are computed: compiled or plain, with their intermediate results kept or made again, in which format.

A compiler can be wrong: torch 2.11 compiled LoRA's addmm to gradients of 1e9 on a GPU, where plain layers give 6. So
the first batch goes through both, and training goes on with plain layers where they differ.
"""

import contextlib
import functools
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
import torch._functorch.config as functorch_config
from torch import nn
from torch._inductor.compile_fx import compile_fx
from torch.utils.checkpoint import checkpoint

from ishibumi.models.load import LoadedModel, head_size
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import Trainable
from ishibumi.training.attention import (
    blockwise_attention,
    causal_attention,
    has_one_text_a_row,
    hidden_states,
    masked_attention,
    spanned_attention,
)
from ishibumi.training.batches import Batch, Plan
from ishibumi.training.compiler import has_compiler
from ishibumi.training.distributed import greatest, is_split, num_ranks
from ishibumi.training.loss import COMPILER_OPTIONS, GPU_LOGITS
from ishibumi.training.precision import EightBitLinear, frozen_in, largest_inputs, precision_on
from ishibumi.training.steps import batch_nll_sum

# Of the gradient's size: bf16 keeps 8 bits, and the two add in another order (0.01 to 0.03). Deep networks and fp8 make
# more of it, so three times what rounding alone does may pass; a wrong gradient is off by more than its own size.
TOLERANCE = 0.05
# One rounding tells little: rows that begin with BOS gave Gemma 0.1 to 0.6, for the same weights and texts.
NUM_ROUNDINGS = 3
# Compiling takes about 40 s on two cores and saves about 0.6 ms a token there (Gemma 3 270M).
MIN_TOKENS = 100_000
# About 20 s on one H200; it saves 4 to 8 µs a token where steps are recorded, 43 µs at 13.7 B.
MIN_TOKENS_GPU = 4_000_000
MIN_TOKENS_GPU_WIDE = 500_000
WIDE = 2048  # hidden size
MEMORY_SHARE = 0.95  # of a GPU's free memory; the rest is lost between blocks
RECOMPUTES_INSIDE = True  # the compiler makes again what the way back needs, instead of whole layers
KEEPS_TURNED = True  # fp8 weights a second time, where there is memory enough
KEEPS_INPUTS = False  # whether compiled layers keep inputs of products that are cheap to make again


@contextlib.contextmanager
def prepared(
    model: LoadedModel, trainables: list[Trainable], plan: Plan, settings: TrainSettings
) -> Iterator[dict[str, Any]]:
    """The network as it trains best, for as long as the block lasts; gives what was chosen.

    Merging swaps modules, which a compiled layer would not notice: leave the block first.
    """
    network, is_gpu = model.network, model.device.type == "cuda"
    precision = precision_on(settings.precision, model.device, is_split=is_split(network))
    with contextlib.ExitStack() as layers:
        first = next(plan.passes(plan.rows_of_step(0), settings.tokens_per_pass, num_ranks())).to(model.device)
        largest = largest_inputs(network, lambda: hidden_states(network, first)) if precision == "int8" else None
        layers.enter_context(frozen_in(network, precision, largest))
        if not is_gpu:
            layers.enter_context(spanned_attention(network))
        is_compiled = compiles(model, plan, settings.compile)
        num_layers, num_again = len(_layers(network)), 0
        if settings.recompute == "full":
            num_again = num_layers
        if is_gpu and settings.recompute == "auto":
            num_again = num_computed_again(model, trainables, plan, settings, is_compiled)
        if is_gpu and precision == "fp8" and num_again == 0 and KEEPS_TURNED:
            _keep_turned(model, bytes_left(model, trainables, plan, settings, is_compiled))
        difference = None
        if is_compiled:
            how = layers.enter_context(contextlib.ExitStack())
            how.enter_context(compiled_layers(network, num_again if RECOMPUTES_INSIDE else 0))
            if is_gpu:
                is_causal = has_one_text_a_row(network.config, plan)
                how.enter_context(causal_attention(network) if is_causal else blockwise_attention(network))
            difference = gradient_difference(network, trainables, first)
            is_compiled = difference[0] <= min(1, max(TOLERANCE, 3 * difference[1]))
            if not is_compiled:
                how.close()
        if not is_compiled or not RECOMPUTES_INSIDE:
            layers.enter_context(recomputed_layers(network, num_again))
        yield {
            "compiled": is_compiled,
            "compiled_gradient_difference": difference,
            "precision": precision,
            "recompute": {0: "none", num_layers: "full"}.get(num_again, f"{num_again} of {num_layers} layers"),
        }


def compiles(model: LoadedModel, plan: Plan, choice: Literal["auto", "always", "never"]) -> bool:
    """Whether to compile: a compiler is there and it is wanted, or by "auto" there are tokens enough for it to pay."""
    is_gpu = model.device.type == "cuda"
    hidden_size: int = model.network.config.hidden_size  # type: ignore[union-attr, assignment]
    on_gpu = MIN_TOKENS_GPU if hidden_size < WIDE else MIN_TOKENS_GPU_WIDE
    pays = len(plan.rows) * plan.row_tokens >= (on_gpu if is_gpu else MIN_TOKENS)
    return has_compiler(is_gpu=is_gpu) and (choice == "always" or (choice == "auto" and pays))


def num_computed_again(
    model: LoadedModel, trainables: Sequence[Trainable], plan: Plan, settings: TrainSettings, is_compiled: bool
) -> int:
    """How many layers must be computed twice for the rest to fit in the GPU's memory."""
    lacking = -bytes_left(model, trainables, plan, settings, is_compiled)
    inputs = 2 * _tokens(plan, settings) * model.network.config.hidden_size  # type: ignore[union-attr, operator]
    saved = _kept_by_layer(model, plan, settings, is_compiled) - inputs
    return greatest(max(0, min(len(_layers(model.network)), math.ceil(lacking / saved))))


def bytes_left(
    model: LoadedModel, trainables: Sequence[Trainable], plan: Plan, settings: TrainSettings, is_compiled: bool
) -> float:
    """The GPU's memory that is left where every layer keeps its results; negative where there is too little."""
    network: Any = model.network
    in_use, cached = torch.cuda.memory_allocated(model.device), torch.cuda.memory_reserved(model.device)
    free = torch.cuda.mem_get_info(model.device)[0] + cached - in_use
    if settings.gpu_gib is not None:
        free = min(free, settings.gpu_gib * 2**30 - in_use)
    kept = _kept_by_layer(model, plan, settings, is_compiled)
    trained = sum(p.numel() for t in trainables for p in t.parameters)
    head = network.get_output_embeddings().weight
    logits = min(_tokens(plan, settings) * len(head), GPU_LOGITS)
    # Logits and their gradient, the head's in fp32 and bf16; later a layer's results and their gradients.
    at_once = max(4 * logits + (8 * head.numel() if head.requires_grad else 0), 2.5 * kept)
    # bytes a trained number, for gradient, master and moments
    beside = {"adamw": 20, "small": 8, "offloaded": 2}[settings.optimizer]
    return MEMORY_SHARE * free - beside * trained - at_once - kept * len(_layers(network))


def _kept_by_layer(model: LoadedModel, plan: Plan, settings: TrainSettings, is_compiled: bool) -> float:
    """Bytes that a layer keeps for the way back; plain ones keep twice as much."""
    config: Any = model.network.config
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    numbers = 3 * config.hidden_size + heads * head_size(config) + 2 * config.intermediate_size + 8 * settings.rank
    return 2 * numbers * _tokens(plan, settings) * (1 if is_compiled else 2)


def _tokens(plan: Plan, settings: TrainSettings) -> int:
    return plan.rows_per_pass(settings.tokens_per_pass, num_ranks()) * plan.row_tokens


def _keep_turned(model: LoadedModel, free: float) -> None:
    rounded = [m for m in model.network.modules() if isinstance(m, EightBitLinear)]
    if sum(m.weight_OI.nbytes for m in rounded) < free:
        for module in rounded:
            module.keep_turned()


@contextlib.contextmanager
def compiled_layers(network: nn.Module, num_again: int = 0) -> Iterator[None]:
    """Every decoder layer compiled for as long as the block lasts; the layers are alike, so the first serves all.

    The first `num_again` keep their input only: what the way back needs is computed once more, and nothing else is.
    """
    torch._dynamo.config.cache_size_limit = 64
    layers = _layers(network)
    with _compiled(layers[:num_again], share_kept=0.0), _compiled(layers[num_again:], share_kept=1.0):
        try:
            yield
        finally:
            torch._dynamo.reset()  # what it keeps would hold this network's weights beside the next stage's
            gc.collect()


def _compiled(layers: Sequence[nn.Module], share_kept: float) -> Any:
    def build(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        # Inputs of products that elementwise operations make from what is kept are made again: a fifth less memory.
        with functorch_config.patch(
            activation_memory_budget=share_kept, ban_recompute_materialized_backward=KEEPS_INPUTS
        ):
            return compile_fx(graph, inputs, config_patches=COMPILER_OPTIONS)  # type: ignore[arg-type, return-value]

    return _forwards(layers, lambda forward: torch.compile(forward, dynamic=False, backend=build))


@contextlib.contextmanager
def recomputed_layers(network: nn.Module, num_again: int | None = None) -> Iterator[None]:
    """The first `num_again` layers, or all, keep their input only, and are computed once more on the way back."""
    again = functools.partial(functools.partial, checkpoint, use_reentrant=False, preserve_rng_state=False)
    with _forwards(_layers(network)[:num_again], again):
        yield


def _layers(network: nn.Module) -> list[nn.Module]:
    return list(network.base_model.layers)  # type: ignore[union-attr, arg-type]


@contextlib.contextmanager
def _forwards(layers: Sequence[nn.Module], change: Any) -> Iterator[None]:
    """Each layer's forward changed, and changed back at the end."""
    before = [vars(layer).get("forward") for layer in layers]
    for layer in layers:
        layer.forward = change(layer.forward)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


def gradient_difference(network: nn.Module, trainables: Sequence[Trainable], batch: Batch) -> tuple[float, float]:
    """‖compiled − plain‖ / ‖plain‖ over the gradients of the trainables for one batch; leaves no gradient behind.

    And the greatest of a few such differences of plain layers whose results were rounded once more: what rounding alone
    does in this network.
    """
    parameters = [p for trainable in trainables for p in trainable.parameters]
    started = [p.detach().clone() for p in parameters]
    _stir(parameters)  # LoRA's B starts at zero, and then A gets no gradient that could be wrong

    def gradients() -> list[torch.Tensor]:
        batch_nll_sum(network, batch).backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for p in parameters:
            p.grad = None
        return found

    compiled = gradients()
    with torch.compiler.set_stance("force_eager"), masked_attention(network), recomputed_layers(network):
        plain = gradients()
        difference = _distance(compiled, plain)
        del compiled
        roundings: list[float] = []
        for seed in range(NUM_ROUNDINGS):
            noise = torch.Generator(batch.ids_RT.device).manual_seed(seed)
            hooks = [
                layer.register_forward_hook(functools.partial(_rounded_again, noise)) for layer in _layers(network)
            ]
            roundings.append(_distance(gradients(), plain))
            for hook in hooks:
                hook.remove()
    with torch.no_grad():
        for p, start in zip(parameters, started, strict=True):
            p.copy_(start)
    return difference, max(roundings)


def _rounded_again(noise: torch.Generator, _: nn.Module, __: Any, out: torch.Tensor) -> torch.Tensor:
    return out * (1 + torch.finfo(out.dtype).eps / 2 * torch.empty_like(out).uniform_(-1, 1, generator=noise))


def _distance(these: list[torch.Tensor], those: list[torch.Tensor]) -> float:
    different = sum(float((a.float() - b.float()).square().sum()) for a, b in zip(these, those, strict=True))
    return math.sqrt(different / sum(float(b.float().square().sum()) for b in those))


@torch.no_grad()
def _stir(parameters: Sequence[nn.Parameter]) -> None:
    for p in parameters:
        if not p.any():
            p.normal_(std=0.01, generator=torch.Generator(p.device).manual_seed(0))
