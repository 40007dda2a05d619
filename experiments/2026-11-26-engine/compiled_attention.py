"""Why compiled layers gave wrong gradients on a GPU: ‖compiled − plain‖ / ‖plain‖, with parts exchanged one by one.

PYTHONPATH=src python experiments/2026-11-26-engine/compiled_attention.py
"""

import contextlib
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, "benchmarks")
import shapes

from ishibumi.settings import CptSettings
from ishibumi.training import attention, compiled
from ishibumi.training.adapters import LoraLinear, attach
from ishibumi.training.batches import Batch
from ishibumi.training.steps import batch_nll_sum

COMPILE = torch.compile


def batch(num_rows: int, row_tokens: int = 512, text: int = 128) -> Batch:
    place = torch.arange(row_tokens).expand(num_rows, -1)
    segments, positions = place // text, place % text
    ids = torch.randint(10, 200_000, (num_rows, row_tokens), generator=torch.Generator().manual_seed(1))
    tensors = ids, segments, torch.zeros_like(ids), positions.contiguous(), (positions > 0).float()
    return Batch(*tensors).to(torch.device("cuda"))


def with_alpha(self: LoraLinear, x: torch.Tensor) -> torch.Tensor:
    out, low = self.base(x), F.linear(x, self.lora_A)
    return torch.addmm(out.flatten(0, -2), low.flatten(0, -2), self.lora_B.T, alpha=self.scale).view(out.shape)


def scaled_low(self: LoraLinear, x: torch.Tensor) -> torch.Tensor:
    out, low = self.base(x), F.linear(x, self.lora_A) * self.scale
    return torch.addmm(out.flatten(0, -2), low.flatten(0, -2), self.lora_B.T).view(out.shape)


def summed(self: LoraLinear, x: torch.Tensor) -> torch.Tensor:
    return self.base(x) + self.scale * F.linear(F.linear(x, self.lora_A), self.lora_B)


def main() -> None:
    network = shapes.network("270m", "cuda")
    network.model.layers = network.model.layers[4:7]  # sliding, full, sliding
    network.config.layer_types = network.config.layer_types[4:7]
    network.config.num_hidden_layers = 3
    trainables = attach(network, CptSettings.model_validate({"targets": shapes.LINEAR}), 0)
    named: dict[str, nn.Parameter] = {}
    for t in trainables:
        for name, p in zip("AB", t.parameters, strict=True):
            named[f"{t.name.removeprefix('model.layers.')}.{name}"] = p
    compiled._stir(list(named.values()))

    def gradients(texts: Batch) -> dict[str, torch.Tensor]:
        batch_nll_sum(network, texts).backward()
        found = {name: p.grad.float() for name, p in named.items() if p.grad is not None}
        for p in named.values():
            p.grad = None
        return found

    def off(found: dict[str, torch.Tensor], plain: dict[str, torch.Tensor]) -> float:
        different = sum(float((found[n] - plain[n]).square().sum()) for n in plain)
        return (different / sum(float(g.square().sum()) for g in plain.values())) ** 0.5

    plain: dict[int, dict[str, torch.Tensor]] = {}

    def row(name: str, num_rows: int, lora: Any, blockwise: bool, options: Any = None, **other: Any) -> None:
        LoraLinear.forward = lora
        texts = batch(num_rows)
        if num_rows not in plain:
            plain[num_rows] = gradients(texts)
            print(f"plain twice {num_rows}: {off(gradients(texts), plain[num_rows]):.2g}")
        chosen = {"options": {"triton.mix_order_reduction": True} | (options or {})} | other
        torch.compile = lambda f, **k: COMPILE(
            f, **({"dynamic": False} | ({} if "backend" in other else chosen) | other)
        )
        began = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(compiled.compiled_layers(network))
                if blockwise:
                    stack.enter_context(attention.blockwise_attention(network))
                found = [gradients(texts), gradients(texts)]
        except Exception as error:
            print(f"{name:44} rows {num_rows}: {type(error).__name__} {str(error)[:150]}", flush=True)
            return
        finally:
            torch.compile = COMPILE
        text = " ".join(f"{off(f, plain[num_rows]):.3g}" for f in found)
        print(f"{name:44} rows {num_rows}: {text}   {time.monotonic() - began:.1f} s", flush=True)
        if name == "the bug":
            for n, g in plain[num_rows].items():
                print(f"    {n:28} {float((found[1][n] - g).norm() / g.norm()):.3g}")

    row("the bug", 2, with_alpha, False)
    off_ = {"triton.mix_order_reduction": False}
    row("alpha, masked, mix_order_reduction off", 2, with_alpha, False, off_)
    row("summed, blockwise, mix_order_reduction off", 2, summed, True, off_)
    row("summed, blockwise, off, 16 rows", 16, summed, True, off_)
    row("summed, blockwise", 2, summed, True)
    row("summed, masked", 2, summed, False)
    row("scaled low, masked", 2, scaled_low, False)
    row("alpha, blockwise", 2, with_alpha, True)
    row("alpha, masked, 16 rows", 16, with_alpha, False)
    row("summed, blockwise, 16 rows", 16, summed, True)
    row("alpha, masked, aot_eager", 2, with_alpha, False, backend="aot_eager")
    for key in ("comprehensive_padding", "allow_buffer_reuse", "inplace_buffers", "shape_padding"):
        row(f"alpha, masked, {key} off", 2, with_alpha, False, {key: False})


if __name__ == "__main__":
    main()
