"""Which change mended the compiled gradients: 18 layers, two rows of 512 tokens in texts of 128, where they were 7 off.

PYTHONPATH=src python experiments/2026-11-26-engine/which_fix.py
"""

import sys
from typing import Any

import torch

sys.path[:0] = ["benchmarks", "experiments/2026-11-26-engine"]
import compiled_attention as probe  # noqa: E402
import shapes  # noqa: E402

from ishibumi.settings import CptSettings  # noqa: E402
from ishibumi.training import attention, compiled  # noqa: E402
from ishibumi.training.adapters import LoraLinear, attach  # noqa: E402


def main() -> None:
    network = shapes.network("270m", "cuda")
    trainables = attach(network, CptSettings.model_validate({"targets": shapes.LINEAR, "rank": 128, "alpha": 256}), 0)
    cases: list[tuple[str, Any, bool]] = [
        ("addmm with alpha, mix-order on", probe.with_alpha, True),
        ("addmm with alpha, mix-order off", probe.with_alpha, False),
        ("sum, mix-order on", probe.summed, True),
        ("sum, mix-order off", probe.summed, False),
    ]
    for name, lora, mixed in cases:
        LoraLinear.forward = lora
        compiled.COMPILER_OPTIONS["triton.mix_order_reduction"] = mixed
        with compiled.compiled_layers(network), attention.blockwise_attention(network):
            found = compiled.gradient_difference(network, trainables, probe.batch(2))
        print(f"{torch.__version__} blockwise, {name}: {found[0]:.3g} (rounding alone {found[1]:.3g})", flush=True)


if __name__ == "__main__":
    main()
