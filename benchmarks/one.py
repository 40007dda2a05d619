"""Train a few steps with one trainer and print one line of JSON. compare.py starts it, once for each row of its table.

python benchmarks/one.py ishibumi --shape 270m --rows 8 --row-tokens 512
python benchmarks/one.py unsloth --shape 13b --rows 4 --row-tokens 2048 --checkpoint /dev/shm/13b
"""

import argparse
import importlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUM_WARM_UP = 3  # steps that the median leaves out
# Parts of ishibumi's speed that can be left out: (module, constant, its value then).
WITHOUT: dict[str, tuple[str, str, Any]] = {
    "causal": ("attention", "CAUSAL_KERNELS", False),  # blockwise attention for rows of one text, too
    "turned": ("compiled", "KEEPS_TURNED", False),  # fp8 weights are turned at every step
    "inside": ("compiled", "RECOMPUTES_INSIDE", False),  # whole layers are computed again, around the compiler
    "again": ("compiled", "KEEPS_INPUTS", True),  # inputs of products are kept
    "together": ("adapters", "ONE_INPUT", ()),  # every A reads its input by itself
}


def main() -> None:
    """Run the trainer that the command line names."""
    args = parser().parse_args()
    if args.trainer == "save":
        import shapes

        shapes.save(args.shape, args.checkpoint)
        return
    began = time.monotonic()
    run: Callable[[argparse.Namespace], dict[str, Any]] = {
        "ishibumi": with_ishibumi, "unsloth": with_unsloth, "peft": with_peft,
    }[args.trainer]  # fmt: skip
    print_result(args, run(args), began)


def print_result(args: argparse.Namespace, found: dict[str, Any], began: float) -> None:
    """One line: the median of the steps after those to warm up, memory, losses."""
    import torch

    from ishibumi.memory import peak_bytes

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seconds = statistics.median(found.pop("seconds")[NUM_WARM_UP : args.steps])
    losses = found.pop("losses")
    found |= {
        "trainer": args.trainer,
        "tokens_per_second": round(args.rows * args.row_tokens / seconds),
        "seconds_per_step": round(seconds, 4),
        "peak_gib": round(found.get("peak_bytes", peak_bytes(device)) / 2**30, 1),
        "loss_first": round(losses[0], 4),
        "loss_last": round(losses[args.steps - 1], 4),
        "wall_seconds": round(time.monotonic() - began),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    print("RESULT " + json.dumps(found), flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer", choices=["ishibumi", "unsloth", "peft", "save"])
    parser.add_argument("--shape", default="270m")
    parser.add_argument("--rows", type=int, default=4, help="rows a step, all in one pass")
    parser.add_argument("--row-tokens", type=int, default=2048)
    parser.add_argument("--text-tokens", type=int, default=0, help="ishibumi: pack texts of this length; 0: a row each")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--more-steps", type=int, default=0, help="ishibumi: steps after those that are measured")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--full", nargs="*", default=[], help="modules that train in full")
    parser.add_argument("--checkpoint", type=Path, help="directory of the saved network (unsloth, save)")
    parser.add_argument("--recompute", default="none", help="ishibumi: none, full, auto; peers: none, full")
    parser.add_argument("--precision", default="bf16", help="frozen weights: bf16, fp8, nf4")
    parser.add_argument("--compile", default="always", help="ishibumi: always, never, auto")
    parser.add_argument("--optimizer", default="adamw", help="ishibumi: adamw, small, offloaded")
    parser.add_argument("--vocabulary-sample", type=int, default=0)
    parser.add_argument("--liger", action="store_true")
    parser.add_argument("--no-graph", action="store_true", help="ishibumi: launch every kernel by itself")
    parser.add_argument("--gpu-gib", type=float, help="ishibumi: GiB of the GPU that training may use")
    parser.add_argument("--tune", nargs="*", default=[], help="ishibumi: options of the compiler to switch on")
    parser.add_argument(
        "--without", nargs="*", default=[], action="extend", choices=sorted(WITHOUT), help="parts to leave out"
    )
    return parser


def with_ishibumi(args: argparse.Namespace, on_step: Callable[[Any], None] = lambda record: None) -> dict[str, Any]:
    """ishibumi's own loop, with nothing left out but reading documents and writing results."""
    import numpy as np
    import shapes
    import torch

    from ishibumi.models.load import LoadedModel
    from ishibumi.settings import CptSettings
    from ishibumi.training import loss, steps
    from ishibumi.training.adapters import attach
    from ishibumi.training.batches import Plan
    from ishibumi.training.compiled import prepared
    from ishibumi.training.tokens import SOURCES, TokenStore
    from ishibumi.training.trainer import train

    if args.no_graph:
        steps.GRAPH_WORK = 0
    loss.COMPILER_OPTIONS.update(dict.fromkeys(args.tune, True))
    for name in args.without:
        module, constant, value = WITHOUT[name]
        setattr(importlib.import_module(f"ishibumi.training.{module}"), constant, value)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = LoadedModel(shapes.network(args.shape, device), None, None, args.shape)  # type: ignore[arg-type]
    ids = shapes.rows(args.shape, args.rows * (args.steps + args.more_steps), args.row_tokens)
    size = args.text_tokens or args.row_tokens
    texts_a_row = args.row_tokens // size
    num_texts = len(ids) * texts_a_row
    offsets = np.arange(num_texts + 1) * size
    learned = np.ones(ids.size, dtype=bool)
    learned[offsets[:-1]] = False
    sources = np.full(num_texts, SOURCES.index("document"), dtype=np.int8)
    store = TokenStore(ids.reshape(-1), learned, np.zeros(ids.size, np.int16), offsets, sources, [""] * num_texts)
    rows = [list(range(r * texts_a_row, (r + 1) * texts_a_row)) for r in range(len(ids))]
    plan = Plan(store, args.row_tokens, rows, args.rows, [len(rows)], 1.0, 0)
    tokens = args.rows * args.row_tokens
    settings = CptSettings.model_validate({
        "rank": args.rank, "alpha": 2 * args.rank, "targets": shapes.LINEAR + args.full, "learning_rate": 3e-4,
        "row_tokens": args.row_tokens, "tokens_per_step": tokens, "tokens_per_pass": tokens, "schedule": "constant",
        "warmup_share": 0, "checkpoint_seconds": 1e9, "precision": args.precision, "recompute": args.recompute,
        "compile": args.compile, "optimizer": args.optimizer,
        "vocabulary_sample": args.vocabulary_sample, "gpu_gib": args.gpu_gib,
    })  # fmt: skip
    trainables = attach(model.network, settings, 0)
    with prepared(model, trainables, plan, settings) as how, tempfile.TemporaryDirectory() as directory:
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        history = train(model.network, trainables, plan, settings, Path(directory), on_step=on_step)
    # Memory is read where training ends: then what stood in 8 or 4 bits comes back.
    seconds, losses = [r.seconds for r in history], [r.loss for r in history]
    return {"seconds": seconds, "losses": losses, "peak_bytes": history[-1].peak_bytes, **how}


def with_unsloth(args: argparse.Namespace) -> dict[str, Any]:
    """Unsloth as its documentation sets it up: its checkpointing unless told not to, and its 8-bit AdamW."""
    from unsloth import FastLanguageModel  # noqa: I001  (first, for it changes the others)

    import bitsandbytes
    import shapes
    import torch

    model, _ = FastLanguageModel.from_pretrained(
        str(args.checkpoint), max_seq_length=args.row_tokens, dtype=torch.bfloat16, load_in_4bit=args.precision == "nf4"
    )
    model = FastLanguageModel.get_peft_model(
        model, r=args.rank, lora_alpha=2 * args.rank, lora_dropout=0, bias="none", random_state=0,
        target_modules=shapes.LINEAR + args.full,
        use_gradient_checkpointing=False if args.recompute == "none" else "unsloth",
    )  # fmt: skip
    model.train()
    optimizer = bitsandbytes.optim.AdamW8bit([p for p in model.parameters() if p.requires_grad], lr=3e-4)
    return _loop(args, model, optimizer, torch.autocast("cuda", dtype=torch.bfloat16))


def with_peft(args: argparse.Namespace) -> dict[str, Any]:
    """transformers + PEFT in bf16 with a fused AdamW, and Liger's kernels if asked for."""
    import shapes
    import torch
    from peft import LoraConfig, get_peft_model

    network = shapes.network(args.shape, "cuda")
    if args.liger:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=network)
    lora = LoraConfig(
        r=args.rank, lora_alpha=2 * args.rank, target_modules=shapes.LINEAR, modules_to_save=args.full or None,
        task_type="CAUSAL_LM",
    )  # fmt: skip
    model: Any = get_peft_model(network, lora)
    if args.recompute == "full":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    for parameter in model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-4, fused=True)
    return _loop(args, model, optimizer, torch.autocast("cuda", enabled=False))


def _loop(args: argparse.Namespace, model: Any, optimizer: Any, autocast: Any) -> dict[str, Any]:
    import shapes
    import torch

    ids = torch.from_numpy(shapes.rows(args.shape, args.rows * args.steps, args.row_tokens)).cuda()
    seconds: list[float] = []
    losses: list[float] = []
    torch.cuda.reset_peak_memory_stats()
    for batch in ids.split(args.rows):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with autocast:
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        losses.append(loss.item())
    return {"seconds": seconds, "losses": losses}


if __name__ == "__main__":
    main()
