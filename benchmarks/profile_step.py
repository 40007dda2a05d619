"""Where a step's time on the GPU goes: products, LoRA, attention, loss, optimizer, … and the kernels that take longest.

    python benchmarks/profile_step.py ishibumi --shape 13b --full embed_tokens lm_head --precision fp8 --optimizer small
    python benchmarks/profile_step.py ishibumi --read trace.json

The arguments are those of one.py, whose line it prints first, and --out, a file that gets a line of JSON for each part
and kernel.
"""

import argparse
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import one

NUM_STEPS = 3  # profiled, after those that one.py measures
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
    """Measure as one.py does, then profile some more steps; --read takes a trace that is there."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--out", type=Path)
    options.add_argument("--read", type=Path)
    given, rest = options.parse_known_args()
    args = one.parser().parse_args(rest)
    with tempfile.TemporaryDirectory() as directory:
        trace = given.read or profiled(args, Path(directory) / "trace.json")
        works = read(json.loads(trace.read_text())["traceEvents"], args.rank)
    rows = table(works) + kernels(works)
    for row in rows:
        print(f"{row['ms']:9.2f} ms {row['share']:6.1%} {row['calls']:8.1f} × {row.get('tflops', ''):>9} {row['name']}")
    if given.out:
        with given.out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"of": " ".join(rest), **row}) + "\n" for row in rows)


def profiled(args: argparse.Namespace, path: Path) -> Path:
    """A trace of some steps, none begun before it and none unfinished."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    began = time.monotonic()
    args.more_steps = 1 + NUM_STEPS
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    profiler = profile(activities=kinds, record_shapes=True)

    def on_step(record: Any) -> None:
        """A GPU is told of a step while it is at the next, which is awaited."""
        if record.step not in (args.steps, args.steps + NUM_STEPS):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if record.step == args.steps:
            profiler.start()
        else:
            profiler.stop()

    one.print_result(args, one.with_ishibumi(args, on_step), began)
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


def table(works: list[Work]) -> list[dict[str, Any]]:
    """A row for each part, the longest first, and how long the GPU had nothing to do."""
    total = span(works)
    parts: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        parts[work.part].append(work)
    rows = [row(f"[{part}]", of_part, total) for part, of_part in parts.items()]
    idle = total - busy(works)
    ends = {"ms": idle * 1e3 / NUM_STEPS, "share": idle / max(total, 1e-9), "calls": 0, "name": "[idle]"}
    whole = {"ms": total * 1e3 / NUM_STEPS, "share": 1.0, "calls": len(works) / NUM_STEPS, "name": "[step]"}
    return [*sorted(rows, key=lambda r: -r["ms"]), ends, whole]


def kernels(works: list[Work]) -> list[dict[str, Any]]:
    """A row for each of the kernels that take longest."""
    by_name: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_name[f"{work.part}: {work.name[:110]}"].append(work)
    rows = [row(name, of_name, span(works)) for name, of_name in by_name.items()]
    return sorted(rows, key=lambda r: -r["ms"])[:NUM_KERNELS]


def row(name: str, works: list[Work], total: float) -> dict[str, Any]:
    """Milliseconds a step, share of the step, launches, operations a second."""
    seconds, flops = sum(w.seconds for w in works), sum(w.flops for w in works)
    found: dict[str, Any] = {"ms": seconds * 1e3 / NUM_STEPS, "share": seconds / max(total, 1e-9)}
    found |= {"calls": len(works) / NUM_STEPS, "name": name}
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
    main()
