"""Seconds a token for replies made together on a CPU, with packed matrices and without.

python experiments/decode_speed.py examples/worldcup2026/ishibumi.toml
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ishibumi.config import load
from ishibumi.models import generate
from ishibumi.models.load import load_model

NUM_TOKENS = 24


def main() -> None:
    """Print a line for each number of replies."""
    run = load(Path(sys.argv[1]), {})
    model = load_model(run.settings.model, run.base_dir)
    prompt = list(model.tokenizer("今日の天気は")["input_ids"])
    for number in (4, 8, 16, 32, 64):
        packed, plain = seconds(model, [prompt] * number), float("inf")
        with without_packing():
            plain = seconds(model, [prompt] * number)
        print(
            f"{number} replies: {packed:.3f} s a token packed, {plain:.3f} s plain, {plain / packed:.1f} times",
            flush=True,
        )


def seconds(model: generate.LoadedModel, prompts: list[list[int]]) -> float:
    """Of a token of all replies; the best of two, what packing costs at the start included."""
    took: list[float] = []
    for _ in range(2):
        began = time.perf_counter()
        generate.generate_replies(model, prompts, max_new_tokens=NUM_TOKENS, batch_size=len(prompts))
        took.append((time.perf_counter() - began) / NUM_TOKENS)
    return min(took)


@contextlib.contextmanager
def without_packing() -> Iterator[None]:
    """No matrix is packed."""
    generate.WORTH_PACKING, before = 10**9, generate.WORTH_PACKING
    yield
    generate.WORTH_PACKING = before


if __name__ == "__main__":
    main()
