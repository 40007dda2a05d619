"""What the GPU can do at best with a 13.7B model's shapes: products in bf16 and fp8, attention, turning, copying.

    python benchmarks/ceilings.py

A step's floor is what these leave of it. Prints lines of JSON; takes half a minute.
"""

import json
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from triton.testing import do_bench

TOKENS, HIDDEN, INNER, RANK, ROWS, HEADS = 8192, 5120, 13_824, 128, 4, 40
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


def main() -> None:
    """Measure all, the most telling first."""
    for size_in, size_out in ((HIDDEN, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN)):
        products(size_in, size_out)
    attention()
    for size_in, size_out in ((HIDDEN, RANK), (HIDDEN, 3 * RANK), (INNER, RANK), (RANK, HIDDEN), (RANK, INNER)):
        product(random(TOKENS, size_in), random(size_out, size_in).T, "LoRA")
    grad, low = random(TOKENS, INNER), random(TOKENS, RANK)
    product(grad.T, low, "LoRA, gradient of B")
    product(random(TOKENS, HIDDEN).T, random(TOKENS, 99_584), "head, gradient")
    weight = random(INNER, HIDDEN).to(torch.float8_e4m3fn)
    turn = torch.compile(lambda w: w.T.contiguous())
    report("turning fp8 weights, compiled", lambda: turn(weight), num_bytes=2 * weight.numel())
    report("turning fp8 weights, plain", lambda: weight.T.contiguous(), num_bytes=2 * weight.numel())
    report("copying", lambda: grad.clone(), num_bytes=4 * grad.numel())


def products(size_in: int, size_out: int) -> None:
    """A frozen matrix's product: bf16, fp8 with scales for rows and outputs, fp8 with one scale for all."""
    x, weight = random(TOKENS, size_in), random(size_out, size_in)
    product(x, weight.T, "bf16, forward")
    product(random(TOKENS, size_out), weight, "bf16, backward")
    x8, weight8 = x.to(torch.float8_e4m3fn), weight.to(torch.float8_e4m3fn)
    rows, outputs = torch.ones(TOKENS, 1, device="cuda"), torch.ones(1, size_out, device="cuda")
    one = torch.ones((), device="cuda")
    for name, scales in (("rows", (rows, outputs)), ("one", (one, one))):
        for fast in (True, False):
            scaled: dict[str, Any] = {"scale_a": scales[0], "scale_b": scales[1], "use_fast_accum": fast}
            report(
                f"fp8, scales: {name}, fast accumulation: {fast}, {size_in} → {size_out}",
                lambda scaled=scaled: torch._scaled_mm(x8, weight8.T, out_dtype=torch.bfloat16, **scaled),
                flops=2.0 * TOKENS * size_in * size_out,
            )


def attention() -> None:
    """Causal attention over rows of 2,048, forward and backward together."""
    q, k, v = (random(ROWS, 2048, HEADS, 128).transpose(1, 2).requires_grad_() for _ in range(3))
    blocks = create_block_mask(lambda _, __, seeing, seen: seeing >= seen, None, None, 2048, 2048, device="cuda")
    flex = torch.compile(flex_attention)
    kernels: dict[str, Callable[[], Any]] = {"flex": lambda: flex(q, k, v, block_mask=blocks)}
    for name, backend in BACKENDS.items():

        def chosen(backend: SDPBackend = backend) -> Any:
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        kernels[name] = chosen
    grad = random(ROWS, 2048, HEADS, 128).transpose(1, 2)
    for name, work in kernels.items():
        flops = 12.0 * ROWS * HEADS * 1024 * 2048 * 128  # two products forward, four backward, half of each seen
        report(f"attention, {name}", lambda work=work: torch.autograd.grad(work(), (q, k, v), grad), flops=flops)


def product(a: torch.Tensor, b: torch.Tensor, name: str) -> None:
    """Time a @ b."""
    report(f"{name} {tuple(a.shape)} · {tuple(b.shape)}", lambda: a @ b, flops=2.0 * a.numel() * b.shape[1])


def random(*shape: int) -> torch.Tensor:
    """Numbers in bf16."""
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def report(name: str, work: Callable[[], Any], flops: float = 0.0, num_bytes: float = 0.0) -> None:
    """Print the median time and what it means; a kernel that this machine lacks is told as such."""
    try:
        seconds = do_bench(work, warmup=20, rep=150, return_mode="median") / 1e3
    except RuntimeError as error:
        print(json.dumps({"name": name, "failed": str(error)[:200]}), flush=True)
        return
    found = {"name": name, "µs": round(seconds * 1e6, 1)}
    found |= {"TFLOP/s": round(flops / seconds / 1e12)} if flops else {}
    found |= {"GB/s": round(num_bytes / seconds / 1e9)} if num_bytes else {}
    print(json.dumps(found, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
