"""ishibumi and a plain transformers + PEFT loop on a CPU, on the rows of a run: speed, memory, loss.

    python benchmarks/cpu.py examples/worldcup2026/ishibumi.toml examples/worldcup2026/run/cpt --out cpu.jsonl

The run's directory gives the tokens, the settings give the rest; every row is a process of its own. The peer gets the
same rows of 512 tokens with the same tokens learned, over the whole vocabulary. Its passages see one another, and
ishibumi normalises over a sample of words, so losses are comparable only within one trainer.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ishibumi.config import load
from ishibumi.memory import peak_bytes
from ishibumi.models.load import load_model
from ishibumi.training.adapters import attach
from ishibumi.training.batches import Plan, make_plan
from ishibumi.training.compiled import prepared
from ishibumi.training.cpt import cpt_mix
from ishibumi.training.tokens import open_tokens
from ishibumi.training.trainer import train

TRAINERS: dict[str, dict[str, str]] = {
    "peft-bf16": {"model.dtype": "bfloat16"},
    "peft-fp32": {"model.dtype": "float32"},
    "fp32": {"model.dtype": "float32", "cpt.precision": "bf16"},
    "fp32-whole-vocabulary": {"model.dtype": "float32", "cpt.precision": "bf16", "cpt.vocabulary_sample": "0"},
    "int8": {"model.dtype": "float32", "cpt.precision": "int8"},
}
NUM_WARM_UP = 2  # steps that the median leaves out


def main() -> None:
    """Every trainer in turn; a line of JSON each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=Path)
    parser.add_argument("tokens", type=Path, help="a run's directory cpt/")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=list(TRAINERS), choices=list(TRAINERS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", choices=list(TRAINERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps({"trainer": args.one, **measured(args.one, args)}))
        return
    for name in args.only:
        command = [sys.executable, __file__, args.settings, args.tokens, "--one", name, "--steps", str(args.steps)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        print(line, flush=True)
        if args.out:
            with args.out.open("a") as out:
                out.write(line + "\n")


def measured(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of the median step, the peak of the process's memory, the losses."""
    run = load(args.settings, TRAINERS[name])
    settings = run.settings.cpt
    mix = cpt_mix(run.settings)
    plan = make_plan(
        open_tokens(args.tokens), own=mix.own, shares=mix.shares, epochs=settings.epochs,
        row_tokens=settings.row_tokens, tokens_per_step=settings.tokens_per_step, seed=run.settings.seed,
        max_tokens=args.steps * settings.tokens_per_step, answer_weight=settings.answer_weight,
    )  # fmt: skip
    model = load_model(run.settings.model, run.base_dir)
    if name.startswith("peft"):
        seconds, losses = with_peft(model.network, plan, settings)
    else:
        trainables = attach(model.network, settings, run.settings.seed)
        settings = settings.model_copy(update={"compile": "always"})
        with prepared(model, trainables, plan, settings) as how, tempfile.TemporaryDirectory() as directory:
            history = train(model.network, trainables, plan, settings, Path(directory))
        print(how, file=sys.stderr)
        seconds, losses = [r.seconds for r in history], [r.loss for r in history]
    tokens = plan.num_tokens(plan.rows) / plan.num_steps
    return {
        "tokens_per_second": round(tokens / statistics.median(seconds[NUM_WARM_UP:])),
        "seconds_per_step": round(statistics.median(seconds[NUM_WARM_UP:]), 2),
        "peak_gib": round(peak_bytes(torch.device("cpu")) / 2**30, 2),
        "loss_first": round(losses[0], 4),
        "loss_last": round(losses[-1], 4),
        "threads": torch.get_num_threads(),
    }


def with_peft(network: Any, plan: Plan, settings: Any) -> tuple[list[float], list[float]]:
    """The loop that one writes first: PEFT's LoRA, the model's own loss, AdamW, clipping."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.targets), task_type="CAUSAL_LM"
    )
    model: Any = get_peft_model(network, lora)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate)
    seconds: list[float] = []
    losses: list[float] = []
    for step in range(plan.num_steps):
        began = time.monotonic()
        (batch,) = replace(plan, answer_weight=1.0).passes(plan.rows_of_step(step), settings.tokens_per_pass)
        labels = batch.ids_RT.masked_fill(batch.weights_RT == 0, -100)
        loss = model(input_ids=batch.ids_RT, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.monotonic() - began)
        losses.append(float(loss.detach()))
    return seconds, losses


if __name__ == "__main__":
    main()
