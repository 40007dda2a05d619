"""Losses after some hundred steps on real text, against transformers + PEFT in fp32 from the same start.

    python benchmarks/losses.py examples/worldcup2026/*.jsonl

The network has Gemma 3 270M's shape and random weights, its words are the text's bytes: nothing is downloaded. Prints
the mean loss of the last 20 steps and how far it is from fp32's.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shapes
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

from ishibumi.models.load import LoadedModel
from ishibumi.settings import CptSettings
from ishibumi.training.adapters import Trainable, attach
from ishibumi.training.batches import Plan
from ishibumi.training.compiled import prepared
from ishibumi.training.tokens import SOURCES, TokenStore
from ishibumi.training.trainer import train

NUM_STEPS, ROWS, ROW_TOKENS = 200, 4, 512
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE = "270m" if DEVICE == "cuda" else "tiny"
VARIANTS: list[dict[str, Any]] = [
    {"compile": "never"},
    {"compile": "always"},
    {"precision": "fp8", "compile": "always"},
    {"precision": "nf4", "compile": "never"},
    {"optimizer": "small", "compile": "never"},
]


def main() -> None:
    text = b"".join(Path(name).read_bytes() for name in sys.argv[1:])
    size = NUM_STEPS * ROWS * ROW_TOKENS
    ids = (np.frombuffer(text * (1 + size // len(text)), dtype=np.uint8)[:size].astype(np.int64)) + shapes.FIRST_WORD
    wanted = statistics.mean(reference(ids)[-20:])
    print(f"transformers + PEFT, fp32: {wanted:.4f}", flush=True)
    for variant in VARIANTS:
        losses, how = ours(ids, variant)
        last = statistics.mean(losses[-20:])
        print(f"{variant}: {losses[0]:.4f} → {last:.4f}, {last / wanted - 1:+.2%}  {how}", flush=True)


def chosen(**values: Any) -> CptSettings:
    return CptSettings.model_validate({
        "rank": 64, "alpha": 128, "targets": shapes.LINEAR, "learning_rate": 1e-3, "row_tokens": ROW_TOKENS,
        "tokens_per_step": ROWS * ROW_TOKENS, "schedule": "constant", "warmup_share": 0, "checkpoint_seconds": 1e9,
        **values,
    })  # fmt: skip


def ours(ids: np.ndarray, variant: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    model = LoadedModel(shapes.network(SHAPE, DEVICE), None, None, SHAPE)  # type: ignore[arg-type]
    settings = chosen(**variant)
    num = len(ids) // ROW_TOKENS
    offsets = np.arange(num + 1) * ROW_TOKENS
    learned = np.ones(len(ids), dtype=bool)
    learned[offsets[:-1]] = False
    sources = np.full(num, SOURCES.index("document"), dtype=np.int8)
    store = TokenStore(ids, learned, np.zeros(len(ids), np.int16), offsets, sources, [""] * num)
    plan = Plan(store, ROW_TOKENS, [[i] for i in range(num)], ROWS, [num], 1.0, 0)
    trainables = attach(model.network, settings, 0)
    with prepared(model, trainables, plan, settings) as how, tempfile.TemporaryDirectory() as directory:
        return [r.loss for r in train(model.network, trainables, plan, settings, Path(directory))], how


def reference(ids: np.ndarray) -> list[float]:
    torch.backends.cuda.matmul.allow_tf32 = False
    network = shapes.network(SHAPE, DEVICE).float()  # the same bf16 weights, computed with in fp32
    settings = chosen()
    model: Any = get_peft_model(
        network, LoraConfig(r=settings.rank, lora_alpha=int(settings.alpha), target_modules=settings.targets)
    )
    set_peft_model_state_dict(model, starts(settings))
    parameters = [p for p in model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    losses: list[float] = []
    for batch in torch.from_numpy(ids).to(DEVICE).view(NUM_STEPS, ROWS, ROW_TOKENS):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        adamw.step()
        adamw.zero_grad()
        losses.append(loss.item())
    return losses


def starts(settings: CptSettings) -> dict[str, torch.Tensor]:
    trainables: list[Trainable] = attach(shapes.network(SHAPE, DEVICE), settings, 0)
    found: dict[str, torch.Tensor] = {}
    for t in trainables:
        for name, parameter in zip(("lora_A", "lora_B"), t.parameters, strict=True):
            found[f"base_model.model.{t.name}.{name}.weight"] = parameter.detach().float()
    return found


if __name__ == "__main__":
    main()
