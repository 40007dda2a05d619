"""Where a step's time on the GPU goes: products, LoRA, attention, loss, optimizer, … and the kernels that take longest.

    python benchmarks/profile_step.py ishibumi --shape 13b --full embed_tokens lm_head --precision fp8 --optimizer small
    python benchmarks/profile_step.py --read trace.json --rank 128

The arguments are those of one.py, and --out, a file that gets a line of JSON for each part and kernel.
"""

import argparse
import json
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_STEPS, NUM_BEFORE = 3, 4  # profiled, and before them
NUM_KERNELS = 25
PRODUCTS = {"aten::mm": 0, "aten::_scaled_mm": 0, "aten::addmm": 1}  # the first factor's place


@dataclass(frozen=True)
class Work:
    """A kernel or copy: when it ran (µs), what it is part of, and the operations of a product."""

    name: str
    began: float
    seconds: float
    part: str
    flops: float


def main() -> None:
    """Profile and print; --read takes a trace that is there."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--num-steps", type=int, default=NUM_STEPS)
    args, rest = parser.parse_known_args()
    ranks = argparse.ArgumentParser(add_help=False)
    ranks.add_argument("--rank", type=int, default=128)
    rank = ranks.parse_known_args(rest)[0].rank
    with tempfile.TemporaryDirectory() as directory:
        trace = args.read or profiled(rest, Path(directory) / "trace.json", args.num_steps)
        works = read(json.loads(trace.read_text())["traceEvents"], rank)
    rows = table(works, args.num_steps) + kernels(works, args.num_steps)
    for row in rows:
        print(f"{row['ms']:9.2f} ms {row['share']:6.1%} {row['calls']:8.1f} × {row.get('tflops', ''):>7} {row['name']}")
    if args.out:
        with args.out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"of": " ".join(rest), **row}) + "\n" for row in rows)


def profiled(arguments: list[str], path: Path, num_steps: int) -> Path:
    """A trace of `num_steps` steps, none begun before it and none unfinished."""
    import one
    import torch
    from torch.profiler import ProfilerActivity, profile

    args = one.parser().parse_args(arguments)
    args.steps = NUM_BEFORE + num_steps + 2
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    profiler = profile(activities=kinds, record_shapes=True)

    def on_step(record: Any) -> None:  # a GPU is told of a step while it is at the next
        if record.step in (NUM_BEFORE, NUM_BEFORE + num_steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            profiler.start() if record.step == NUM_BEFORE else profiler.stop()

    one.with_ishibumi(args, on_step)
    profiler.export_chrome_trace(str(path))
    return path


def read(events: list[dict[str, Any]], rank: int) -> list[Work]:
    """All that the GPU did, by its place among the operations that launched it."""
    spans = [e for e in events if e.get("cat") in ("cpu_op", "user_annotation")]
    launches = [e for e in events if e.get("cat") in ("cuda_runtime", "cuda_driver") and "args" in e]
    around = enclosing(spans, launches)
    works: list[Work] = []
    for e in events:
        if e.get("cat") not in ("kernel", "gpu_memcpy", "gpu_memset"):
            continue
        launch, ops = around.get(e["args"].get("correlation"), ("", []))
        factors = next((f for f in map(factors_of, reversed(ops)) if f), [])
        part, flops = part_of(e["name"], launch, [o["name"] for o in ops], factors, rank)
        works.append(Work(e["name"], e["ts"], e["dur"] / 1e6, part, flops))
    return works


def enclosing(
    spans: list[dict[str, Any]], launches: list[dict[str, Any]]
) -> dict[int, tuple[str, list[dict[str, Any]]]]:
    """For each launch's number: its name and the operations around it, outermost first."""
    found: dict[int, tuple[str, list[dict[str, Any]]]] = {}
    by_thread: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for e in [*spans, *launches]:
        by_thread[e["tid"]].append(e)
    numbers = {id(e) for e in launches}
    for of_thread in by_thread.values():
        open_ops: list[dict[str, Any]] = []
        for e in sorted(of_thread, key=lambda e: (e["ts"], -e.get("dur", 0))):
            while open_ops and open_ops[-1]["ts"] + open_ops[-1]["dur"] < e["ts"]:
                open_ops.pop()
            if id(e) in numbers:
                found[e["args"].get("correlation")] = e["name"], list(open_ops)
            else:
                open_ops.append(e)
    return found


def factors_of(op: dict[str, Any]) -> list[list[int]]:
    """The sizes of the two matrices that an operation multiplies."""
    first = PRODUCTS.get(op["name"])
    sizes = op.get("args", {}).get("Input Dims", [])
    return sizes[first : first + 2] if first is not None else []


def part_of(kernel: str, launch: str, ops: list[str], factors: list[list[int]], rank: int) -> tuple[str, float]:
    """What a kernel is part of, and its operations if it is a product."""
    name, around = kernel.lower(), " ".join(ops)
    flops = 2.0 * math.prod(factors[0]) * factors[1][-1] if len(factors) == 2 else 0.0
    if "GraphLaunch" in launch:
        return "optimizer", 0.0
    if "_CrossEntropySum" in around:
        return "head and loss", flops
    if "AccumulateGrad" in around:
        return "gradients added up", 0.0
    if "embedding" in around.lower():
        return "embedding", 0.0
    if any(word in name for word in ("flash", "fmha", "cudnn", "flex", "attention", "sdpa")):
        return "attention", 0.0
    if flops:
        is_lora = any(size in (rank, 2 * rank, 3 * rank) for sizes in factors for size in sizes)
        return ("LoRA products" if is_lora else "base products"), flops
    if "amax" in name or "float8" in name or "e4m3" in name:
        return "rounding to fp8, with what is fused", 0.0
    if name.startswith(("memcpy", "memset")):
        return "copies", 0.0
    return "norms, activations, sums", 0.0


def table(works: list[Work], num_steps: int) -> list[dict[str, Any]]:
    """A row for each part, the longest first, and how long the GPU had nothing to do."""
    total = span(works)
    parts: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        parts[work.part].append(work)
    rows = [row(f"[{part}]", of_part, num_steps, total) for part, of_part in parts.items()]
    idle = total - busy(works)
    ends = {"ms": idle * 1e3 / num_steps, "share": idle / max(total, 1e-9), "calls": 0, "name": "[idle]"}
    whole = {"ms": total * 1e3 / num_steps, "share": 1.0, "calls": len(works) / num_steps, "name": "[step]"}
    return [*sorted(rows, key=lambda r: -r["ms"]), ends, whole]


def kernels(works: list[Work], num_steps: int) -> list[dict[str, Any]]:
    """A row for each of the kernels that take longest."""
    by_name: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_name[f"{work.part}: {work.name[:110]}"].append(work)
    rows = [row(name, of_name, num_steps, span(works)) for name, of_name in by_name.items()]
    return sorted(rows, key=lambda r: -r["ms"])[:NUM_KERNELS]


def row(name: str, works: list[Work], num_steps: int, total: float) -> dict[str, Any]:
    """Milliseconds a step, share of the step, launches, operations a second."""
    seconds, flops = sum(w.seconds for w in works), sum(w.flops for w in works)
    found: dict[str, Any] = {"ms": seconds * 1e3 / num_steps, "share": seconds / max(total, 1e-9)}
    found |= {"calls": len(works) / num_steps, "name": name}
    return found | ({"tflops": f"{flops / seconds / 1e12:.0f} T/s"} if flops else {})


def span(works: list[Work]) -> float:
    """Seconds from the first kernel's begin to the last one's end."""
    return max((w.began / 1e6 + w.seconds for w in works), default=0) - min((w.began / 1e6 for w in works), default=0)


def busy(works: Iterable[Work]) -> float:
    """Seconds in which at least one kernel ran."""
    seconds, until = 0.0, 0.0
    for work in sorted(works, key=lambda w: w.began):
        end = work.began / 1e6 + work.seconds
        seconds += max(0.0, end - max(until, work.began / 1e6))
        until = max(until, end)
    return seconds


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
