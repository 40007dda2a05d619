"""Losses after some hundred steps on real text, against transformers + PEFT in fp32 from the same start.

    python benchmarks/losses.py examples/worldcup2026/knockout_*.jsonl
    python benchmarks/losses.py --model gemma-3-270m --learning-rate 2e-4 --seeds 3 DOCUMENTS.jsonl …

With --model, a directory of weights and tokenizer, 102,400 tokens are learned: a text that is longer is met once, one
that is shorter again and again. Without it the network has Gemma 3 270M's shape and random weights and its words are
the text's bytes: nothing is downloaded. Prints the mean loss of the last 20 steps and how far it is from fp32's. A seed
is another start of the adapters and another order of the rows.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapes
import torch
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer

from ishibumi.corpus.texts import read_texts
from ishibumi.models.load import LoadedModel
from ishibumi.settings import CptSettings
from ishibumi.training.adapters import Trainable, attach
from ishibumi.training.batches import Plan
from ishibumi.training.compiled import prepared
from ishibumi.training.tokens import SOURCES, TokenStore
from ishibumi.training.trainer import train

NUM_STEPS, ROWS, ROW_TOKENS = 200, 2, 256
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
    """fp32 first, then each variant: a line of text and, with --out, one of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file that gets a line of JSON a variant and seed")
    args = parser.parse_args()
    text = "\n".join(read_texts(args.texts))
    ratios: dict[str, list[float]] = {}
    for seed in range(args.seeds):
        task = Task(learned_ids(text, args.model, seed), args.model, args.learning_rate, seed)
        wanted = statistics.mean(reference(task)[-20:])
        print(f"seed {seed}, transformers + PEFT, fp32: {wanted:.4f}", flush=True)
        for variant in VARIANTS:
            began = time.monotonic()
            losses, how = ours(task, variant)
            last = statistics.mean(losses[-20:])
            ratios.setdefault(str(variant), []).append(last / wanted - 1)
            print(f"{variant}: {losses[0]:.4f} → {last:.4f}, {last / wanted - 1:+.2%}  {how}", flush=True)
            if args.out:
                found = {
                    "seed": seed,
                    "learning_rate": args.learning_rate,
                    "reference": wanted,
                    "loss_first": losses[0],
                    "loss_last": last,
                    "seconds": time.monotonic() - began,
                }
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"variant": variant, **found, **how}) + "\n")
    for name, found in ratios.items():
        print(f"mean of {args.seeds}: {name}: {statistics.mean(found):+.2%}")


@dataclass(frozen=True)
class Task:
    """What every trainer gets: token ids of all steps, the start of the network, the rate, the adapters' seed."""

    ids: np.ndarray
    model: Path | None
    learning_rate: float
    seed: int


def learned_ids(text: str, model: Path | None, seed: int) -> np.ndarray:
    """Tokens for all steps, from the beginning again where the text ends; rows in the seed's order."""
    size = NUM_STEPS * ROWS * ROW_TOKENS
    if model is None:
        found = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64) + shapes.FIRST_WORD
    else:
        found = np.array(AutoTokenizer.from_pretrained(model)(text)["input_ids"], dtype=np.int64)
    print(f"{len(found):,} tokens, {size:,} are learned", flush=True)
    rows = np.resize(found, size).reshape(-1, ROW_TOKENS)
    return rows[np.random.default_rng(seed).permutation(len(rows))].ravel() if seed else rows.ravel()


def network(model: Path | None) -> Any:
    """The weights of the directory in bf16, or random ones."""
    if model is None:
        return shapes.network(SHAPE, DEVICE)
    loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16, attn_implementation="sdpa")
    return loaded.to(DEVICE).eval()


def chosen(**values: Any) -> CptSettings:
    return CptSettings.model_validate({
        "rank": 64, "alpha": 128, "targets": shapes.LINEAR, "row_tokens": ROW_TOKENS,
        "tokens_per_step": ROWS * ROW_TOKENS, "schedule": "constant", "warmup_share": 0, "checkpoint_seconds": 1e9,
        **values,
    })  # fmt: skip


def ours(task: Task, variant: dict[str, Any]) -> tuple[list[float], dict[str, Any]]:
    model = LoadedModel(network(task.model), None, None, SHAPE)  # type: ignore[arg-type]
    settings = chosen(learning_rate=task.learning_rate, **variant)
    ids = task.ids
    num = len(ids) // ROW_TOKENS
    offsets = np.arange(num + 1) * ROW_TOKENS
    learned = np.ones(len(ids), dtype=bool)
    learned[offsets[:-1]] = False
    sources = np.full(num, SOURCES.index("document"), dtype=np.int8)
    store = TokenStore(ids, learned, np.zeros(len(ids), np.int16), offsets, sources, [""] * num)
    plan = Plan(store, ROW_TOKENS, [[i] for i in range(num)], ROWS, [num], 1.0, 0)
    trainables = attach(model.network, settings, task.seed)
    with prepared(model, trainables, plan, settings) as how, tempfile.TemporaryDirectory() as scratch:
        return [r.loss for r in train(model.network, trainables, plan, settings, Path(scratch))], how


def reference(task: Task) -> list[float]:
    torch.backends.cuda.matmul.allow_tf32 = False
    start = network(task.model)
    settings = chosen(learning_rate=task.learning_rate)
    pairs = starts(attach(start, settings, task.seed))
    start = network(task.model).float()  # the same bf16 weights, computed with in fp32
    model: Any = get_peft_model(
        start, LoraConfig(r=settings.rank, lora_alpha=int(settings.alpha), target_modules=settings.targets)
    )
    set_peft_model_state_dict(model, pairs)
    parameters = [p for p in model.parameters() if p.requires_grad]
    adamw = torch.optim.AdamW(parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    losses: list[float] = []
    for batch in torch.from_numpy(task.ids).to(DEVICE).view(NUM_STEPS, ROWS, ROW_TOKENS):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        adamw.step()
        adamw.zero_grad()
        losses.append(loss.item())
    return losses


def starts(trainables: list[Trainable]) -> dict[str, torch.Tensor]:
    """The pairs that ours starts from, as PEFT names them."""
    found: dict[str, torch.Tensor] = {}
    for t in trainables:
        for name, parameter in zip(("lora_A", "lora_B"), t.parameters, strict=True):
            found[f"base_model.model.{t.name}.{name}.weight"] = parameter.detach().float()
    return found


if __name__ == "__main__":
    main()
