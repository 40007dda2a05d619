"""Training on several GPUs of one machine, random weights: tokens/s and memory a GPU, whole weights and split ones.

    python benchmarks/multi_gpu.py                     # 13b on 1, 2, 4 GPUs, 70b split over 4: those that are there
    python benchmarks/multi_gpu.py --only 70b --out results.jsonl
    torchrun --standalone --nproc-per-node 2 benchmarks/multi_gpu.py --shape 13b --split     # one of them

Every GPU has the same rows a step: with n GPUs a step has n times the tokens.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NUM_WARM_UP = 3  # steps that the median leaves out
# name, processes, flags; as many layers are computed twice as the smallest GPU asks for
FP8 = "--shape 13b --precision fp8 --optimizer small --recompute auto"
TABLE = [
    ("13b, fp8", 4, FP8),
    ("13b, fp8", 1, FP8),
    ("70b, bf16, split", 4, "--shape 70b --split --recompute full --rank 16 --full --rows 2 --steps 6"),
    ("13b, fp8", 2, FP8),
    ("13b, bf16, split", 4, "--shape 13b --split --recompute full"),
]


def main() -> None:
    """One configuration inside torchrun; the whole table outside."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="13b", help="13b, 70b, 1.5b, tiny")
    parser.add_argument("--rows", type=int, default=4, help="rows a step and process")
    parser.add_argument("--row-tokens", type=int, default=2048)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--full", nargs="*", default=["embed_tokens", "lm_head"], help="modules that train in full")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--recompute", default="none")
    parser.add_argument("--compile", default="always")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--only", default="", help="rows of the table whose name has this in it")
    parser.add_argument("--limit", type=float, default=150, help="seconds that a row of the table may take")
    parser.add_argument("--out", type=Path, help="file that gets a line of JSON a row")
    args = parser.parse_args()
    if "RANK" in os.environ:
        one(args)
        return
    import torch

    for name, processes, flags in TABLE:
        if processes <= torch.cuda.device_count() and args.only in name:
            found = {"name": name, **started(processes, flags.split(), args.limit)}
            print(json.dumps(found), flush=True)
            if args.out:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")


def started(processes: int, flags: list[str], limit: float) -> dict[str, Any]:
    """What torchrun's first process found, or the end of what was said before a failure."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", __file__, *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "4", "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    with subprocess.Popen(
        [sys.executable, *launch], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            said, errors = run.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            run.terminate()  # torchrun ends its processes, which would go on without it
            said, errors = run.communicate()
    lines = [line for line in said.splitlines() if line.startswith("RESULT ")]
    return json.loads(lines[0].removeprefix("RESULT ")) if lines else {"processes": processes, "failed": errors[-2000:]}


def one(args: argparse.Namespace) -> None:
    """Train with ishibumi's own loop and print a line of JSON in the first process."""
    import shapes
    import torch

    from ishibumi.models.load import LoadedModel, empty_network
    from ishibumi.settings import CptSettings
    from ishibumi.training.adapters import attach
    from ishibumi.training.compiled import prepared
    from ishibumi.training.distributed import joined, num_ranks, rank
    from ishibumi.training.splitting import split_shapes
    from ishibumi.training.trainer import train

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = shapes.config_70b() if args.shape == "70b" else shapes.config(args.shape)
    with joined(device.type):
        tokens = args.rows * args.row_tokens
        settings = CptSettings.model_validate({
            "rank": args.rank, "alpha": 2 * args.rank, "targets": shapes.LINEAR + args.full, "learning_rate": 3e-4,
            "row_tokens": args.row_tokens, "tokens_per_step": tokens * num_ranks(), "tokens_per_pass": tokens,
            "schedule": "constant", "warmup_share": 0, "checkpoint_seconds": 1e9, "recompute": args.recompute,
            "compile": args.compile, "precision": args.precision, "optimizer": args.optimizer,
        })  # fmt: skip
        torch.manual_seed(0)  # whole weights are the same in all processes
        network = empty_network(config, "bfloat16", "meta" if args.split else device.type)
        trainables = attach(network, settings, 0)
        if args.split:
            split_shapes(network, device)
            fill(network, config)
        plan = plan_of(shapes.rows("tiny", args.rows * num_ranks() * args.steps, args.row_tokens), settings)
        model = LoadedModel(network.eval(), None, None, args.shape)  # type: ignore[arg-type]
        with prepared(model, trainables, plan, settings) as how, tempfile.TemporaryDirectory() as directory:
            history = train(network, trainables, plan, settings, Path(directory))
        seconds = statistics.median(r.seconds for r in history[NUM_WARM_UP:])
        found = {
            "shape": args.shape, "processes": num_ranks(), "split": args.split, "rows": args.rows,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "tokens_per_second": round(tokens * num_ranks() / seconds), "seconds_per_step": round(seconds, 3),
            "utilisation": history[-1].utilisation, "peak_gib": round(history[-1].peak_bytes / 2**30, 1),
            "loss_first": history[0].loss, "loss_last": history[-1].loss, **how,
        }  # fmt: skip
        if rank() == 0:
            print("RESULT " + json.dumps(found), flush=True)


def plan_of(ids: Any, settings: Any) -> Any:
    """A plan of one text a row."""
    import numpy as np

    from ishibumi.training.batches import Plan
    from ishibumi.training.tokens import SOURCES, TokenStore

    num_rows, row_tokens = ids.shape
    offsets = np.arange(num_rows + 1) * row_tokens
    learned = np.ones(ids.size, dtype=bool)
    learned[offsets[:-1]] = False
    sources = np.full(num_rows, SOURCES.index("document"), dtype=np.int8)
    store = TokenStore(ids.reshape(-1), learned, np.zeros(ids.size, np.int16), offsets, sources, [""] * num_rows)
    rows = [[r] for r in range(num_rows)]
    return Plan(store, row_tokens, rows, settings.tokens_per_step // row_tokens, [num_rows], 1.0, 0)


def fill(network: Any, config: Any) -> None:
    """Random numbers in every process's share; what is not learned from (rotary tables, norms) as it must be."""
    import torch
    from torch.distributed.tensor import DTensor
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    torch.manual_seed(int(os.environ["RANK"]))
    for name, parameter in network.named_parameters():
        assert isinstance(parameter, DTensor)
        local = parameter.to_local().detach()
        if name.endswith("lora_B"):
            local.zero_()
        elif parameter.dim() == 1:
            local.fill_(1)
        else:
            local.normal_(0, 0.02)
    right = LlamaRotaryEmbedding(config)
    for name, buffer in network.base_model.rotary_emb.named_buffers():
        buffer.copy_(right.get_buffer(name))


if __name__ == "__main__":
    main()
