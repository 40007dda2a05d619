"""What `check` foretells for the rows that were measured on H200s: no GPU is needed. → a Markdown table.

    python benchmarks/foretold.py

Measured figures are those of h200-2026-11-26.md.
"""

import copy
from functools import partial
from typing import Any

import shapes
from transformers import LlamaConfig

from ishibumi.models.load import empty_network
from ishibumi.settings import CptSettings
from ishibumi.training.fitting import GPU_SHARE, seconds_to_expect
from ishibumi.training.flops import GPU_PEAKS
from ishibumi.training.forecast import forecast

USABLE = int(GPU_SHARE * 140 * 2**30)  # of one H200
WHOLE = ["embed_tokens", "lm_head"]
# name, shape, GPUs, rows a GPU, settings, measured GiB and seconds a step
ROWS: list[tuple[str, str, int, int, dict[str, Any], float, float]] = [
    ("270M", "270m", 1, 4, {"targets": shapes.LINEAR}, 6.0, 8192 / 230_350),
    ("13.7B bf16", "13b", 1, 4, {"optimizer": "small"}, 79.0, 0.895),
    ("13.7B fp8", "13b", 1, 4, {"optimizer": "small", "precision": "fp8"}, 79.0, 0.625),
    ("13.7B bf16, split over 4", "13b", 4, 4, {"recompute": "full"}, 22.7, 1.28),
    ("70B bf16, split over 4", "70b", 4, 2, {"recompute": "full", "rank": 16, "targets": shapes.LINEAR}, 49.8, 3.161),
]


def main() -> None:
    """Print the table."""
    print("| | foretold GiB | measured | | foretold s a step | measured | |\n|---|---|---|---|---|---|---|")
    for name, shape, num_gpus, rows, values, measured, seconds in ROWS:
        tokens = 2048 * rows
        settings = CptSettings.model_validate({
            "rank": 128, "alpha": 256, "targets": shapes.LINEAR + WHOLE, "row_tokens": 2048, "recompute": "none",
            "tokens_per_step": tokens * num_gpus, "tokens_per_pass": tokens, **values,
        })  # fmt: skip
        config = shapes.config_70b() if shape == "70b" else shapes.config(shape)
        num_layers = config.num_hidden_layers
        found = forecast(
            partial(network, config), num_layers, settings, is_gpu=True, is_compiled=True, num_ranks=num_gpus
        )
        if num_gpus > 1:
            found = found.split(num_gpus, num_layers)
        found = found.with_turned(USABLE)
        again = 4 / 3 if settings.recompute == "full" else 1
        work = (found.flops - found.flops_in_8_bits) + found.flops_in_8_bits / 2
        told = again * seconds_to_expect(work / GPU_PEAKS["H200"] / num_gpus, "cuda", config.hidden_size)
        gib = found.peak / 2**30
        print(
            f"| {name} | {gib:.1f} | {measured} | {gib / measured - 1:+.0%} | {told:.3f} | {seconds:.3f} "
            f"| {told / seconds - 1:+.0%} |"
        )


def network(config: LlamaConfig, num_layers: int) -> Any:
    """The shape with so many layers."""
    config = copy.deepcopy(config)
    config.num_hidden_layers = num_layers
    return empty_network(config, "bfloat16", "cpu")


if __name__ == "__main__":
    main()
