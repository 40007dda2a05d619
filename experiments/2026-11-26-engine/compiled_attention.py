"""Which attention gives the plain layers' gradients when it is compiled. Prints ‖compiled − plain‖ / ‖plain‖ on a GPU.

PYTHONPATH=src python experiments/2026-11-26-engine/compiled_attention.py
"""

import math
import sys
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

sys.path.insert(0, "benchmarks")
import shapes

from ishibumi.settings import CptSettings
from ishibumi.training import attention, compiled
from ishibumi.training.adapters import attach
from ishibumi.training.batches import Batch


def batch(row_tokens: int, num_rows: int, text: int, num_pad: int = 0) -> Batch:
    place = torch.arange(row_tokens).expand(num_rows, -1)
    segments, positions = place // text, place % text
    ids = torch.randint(10, 200_000, (num_rows, row_tokens), generator=torch.Generator().manual_seed(1))
    weights = (positions > 0).float()
    weights[:, row_tokens - num_pad :] = 0
    return Batch(ids, segments, torch.zeros_like(ids), positions, weights).to(torch.device("cuda"))


def variant(name: str) -> Any:
    def forward(module: Any, q: Any, k: Any, v: Any, mask: Any, scaling: float | None = None, **_: Any) -> Any:
        n = q.shape[1] // k.shape[1]
        if "gqa" not in name:
            k, v = (x.repeat_interleave(n, 1) for x in (k, v))
        if "additive" in name:
            mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill(~mask, -1e4)
        if "expanded" in name:
            mask = mask.expand(-1, q.shape[1], -1, -1).contiguous()
        if "no mask" in name:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa="gqa" in name)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa="gqa" in name)
        return out.transpose(1, 2).contiguous(), None

    return forward


def main() -> None:
    network = shapes.network("270m", "cuda")
    network.model.layers = network.model.layers[4:7]  # sliding, full, sliding
    network.config.layer_types = network.config.layer_types[4:7]
    network.config.num_hidden_layers = 3
    settings = CptSettings.model_validate({"targets": shapes.LINEAR})
    trainables = attach(network, settings, 0)
    for layer in network.model.layers:  # as trained: queries and keys that see sharply
        for norm in (layer.self_attn.q_norm, layer.self_attn.k_norm):
            torch.nn.init.constant_(norm.weight, 2.0)
    cases = {
        "texts of 128": batch(512, 8, 128),
        "texts of 100, 12 pad": batch(512, 2, 100, 12),
        "one text": batch(512, 8, 512),
    }
    names = ["transformers' sdpa", "boolean mask", "additive mask", "boolean mask expanded", "no mask", "blockwise"]
    for name in names:
        AttentionInterface.register(f"probe {name}", variant(name))
        for case, texts in cases.items():
            found = []
            for _ in range(2):
                with compiled.compiled_layers(network):
                    if name == "blockwise":
                        with attention.blockwise_attention(network):
                            found.append(compiled.gradient_difference(network, trainables, texts))
                    elif name == "transformers' sdpa":
                        found.append(compiled.gradient_difference(network, trainables, texts))
                    else:
                        with attention._implementation(network, f"probe {name}"):
                            found.append(compiled.gradient_difference(network, trainables, texts))
            note = "" if "no mask" not in name else "  (other attention than the plain one's unless one text)"
            print(f"{torch.__version__} {name:24} {case:22} {found[0]:.3g} {found[1]:.3g}{note}", flush=True)
            assert not math.isinf(found[0])


if __name__ == "__main__":
    main()
