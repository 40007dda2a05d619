"""Peers and ishibumi in one job on one GPU, and a table of what they did.

    python benchmarks/compare.py 270m --out results.jsonl
    python benchmarks/compare.py 13b --out results.jsonl --only ishibumi

Every row is a process of its own (one.py), so that no trainer's patches or memory reach another. A row that fails or
takes longer than --limit seconds is told as such. Ratios are to Unsloth's default of the same group.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FULL = "--full embed_tokens lm_head"
BIG, SMALL = "--rows 16 --row-tokens 512 --steps 40", "--rows 2 --row-tokens 512 --steps 120"
WIDE = f"--rows 4 --row-tokens 2048 --steps 9 {FULL}"
NF4 = f"{WIDE} --rows 1 --precision nf4 --recompute full"
CARD = 16  # GiB of the card that the 4-bit row is for
SMALL_FP8 = f"ishibumi {WIDE} --optimizer small --precision fp8"
ROWS = {
    # shape: (group, name, one.py's arguments)
    "270m": [
        ("8,192 tokens a step", "Unsloth, default", f"unsloth {BIG} --recompute full"),
        ("8,192 tokens a step", "Unsloth, no checkpointing", f"unsloth {BIG}"),
        ("8,192 tokens a step", "transformers + PEFT", f"peft {BIG}"),
        ("8,192 tokens a step", "transformers + PEFT + Liger", f"peft --liger {BIG}"),
        ("8,192 tokens a step", "ishibumi, compiled", f"ishibumi {BIG}"),
        ("8,192 tokens a step", "ishibumi, compiled, packed texts", f"ishibumi {BIG} --text-tokens 128"),
        ("8,192 tokens a step", "ishibumi, compiled, 16,384 words a step", f"ishibumi {BIG} --vocabulary-sample 16384"),
        ("8,192 tokens a step", "ishibumi, compiled, no CUDA graph", f"ishibumi {BIG} --no-graph"),
        ("8,192 tokens a step", "ishibumi, plain layers", f"ishibumi {BIG} --compile never"),
        ("8,192 tokens a step", "ishibumi, plain, no CUDA graph", f"ishibumi {BIG} --compile never --no-graph"),
        ("1,024 tokens a step", "Unsloth, default", f"unsloth {SMALL} --recompute full"),
        ("1,024 tokens a step", "Unsloth, no checkpointing", f"unsloth {SMALL}"),
        ("1,024 tokens a step", "ishibumi, compiled", f"ishibumi {SMALL}"),
        ("1,024 tokens a step", "ishibumi, plain layers", f"ishibumi {SMALL} --compile never"),
        ("1,024 tokens a step", "ishibumi, compiled, packed texts", f"ishibumi {SMALL} --text-tokens 128"),
    ],
    "13b": [
        ("4 × 2,048", "Unsloth, default", f"unsloth {WIDE} --recompute full"),
        ("4 × 2,048", "Unsloth, no checkpointing", f"unsloth {WIDE}"),
        ("4 × 2,048", "ishibumi, bf16", f"ishibumi {WIDE} --optimizer small"),
        ("4 × 2,048", "ishibumi, fp8", f"ishibumi {WIDE} --optimizer small --precision fp8"),
        (
            "4 × 2,048",
            "ishibumi, fp8, recomputed",
            f"ishibumi {WIDE} --optimizer small --precision fp8 --recompute full",
        ),
        ("4 × 2,048", "ishibumi, bf16, recomputed", f"ishibumi {WIDE} --optimizer small --recompute full"),
        ("4 × 2,048", "transformers + PEFT, checkpointing", f"peft {WIDE} --recompute full"),
        ("4 × 2,048", "transformers + PEFT + Liger, checkpointing", f"peft --liger {WIDE} --recompute full"),
        ("1 × 2,048", "Unsloth, default, 4-bit", f"unsloth {NF4}"),
        ("1 × 2,048", "ishibumi, nf4", f"ishibumi {NF4} --optimizer offloaded --gpu-gib {CARD}"),
        ("1 × 2,048", "ishibumi, nf4, moments on the GPU", f"ishibumi {NF4} --optimizer small"),
    ],
    # The most telling first: measured and profiled, then what each part buys by leaving it out.
    "13b-parts": [
        ("4 × 2,048", "ishibumi, fp8", f"profile {SMALL_FP8}"),
        ("4 × 2,048", "Unsloth, default", f"unsloth {WIDE} --recompute full"),
        ("4 × 2,048", "ishibumi, fp8, within 45 GiB", f"profile {SMALL_FP8} --recompute auto --gpu-gib 45"),
        ("4 × 2,048", "ishibumi, bf16", f"profile ishibumi {WIDE} --optimizer small"),
        ("4 × 2,048", "ishibumi, fp8, weights turned at every step", f"{SMALL_FP8} --without turned"),
        ("4 × 2,048", "ishibumi, fp8, blockwise attention", f"{SMALL_FP8} --without causal"),
        ("4 × 2,048", "ishibumi, fp8, every A by itself", f"{SMALL_FP8} --without together"),
        ("1 × 2,048", "ishibumi, nf4", f"ishibumi {NF4} --optimizer offloaded --gpu-gib {CARD}"),
        ("1 × 2,048", "Unsloth, default, 4-bit", f"unsloth {NF4}"),
        ("1 × 2,048", "ishibumi, nf4, moments on the GPU", f"ishibumi {NF4} --optimizer small"),
        ("4 × 2,048", "ishibumi, fp8, layers computed twice", f"{SMALL_FP8} --recompute full"),
        (
            "4 × 2,048",
            "ishibumi, fp8, whole layers computed twice",
            f"{SMALL_FP8} --recompute full --without inside",
        ),
        ("4 × 2,048", "ishibumi, bf16, products' inputs kept", f"ishibumi {WIDE} --optimizer small --without again"),
        ("4 × 2,048", "ishibumi, fp8, tuned kernels", f"{SMALL_FP8} --tune coordinate_descent_tuning"),
        ("4 × 2,048", "ishibumi, fp8, tuned products", f"{SMALL_FP8} --tune max_autotune"),
        ("4 × 2,048", "Unsloth, no checkpointing", f"unsloth {WIDE}"),
    ],
    "tiny": [
        ("CPU", "ishibumi", "ishibumi --rows 2 --row-tokens 64 --rank 4 --compile never"),
        ("CPU", "ishibumi, nf4", "ishibumi --rows 2 --row-tokens 64 --rank 4 --compile never --precision nf4"),
    ],
}


# Where ishibumi's first row fails, parts that may be why are left out, there and in the rows after it.
RETRIES = [
    "", "--without causal", "--without causal together", "--without causal together again inside turned",
]  # fmt: skip


def main() -> None:
    """Run the rows of a shape and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(ROWS))
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"), help="file that gets a line of JSON a row")
    parser.add_argument("--only", default="", help="rows in whose name this regular expression is found")
    parser.add_argument("--skip", type=int, default=0, help="so many rows are done already")
    parser.add_argument("--limit", type=float, default=240, help="seconds a row may take")
    parser.add_argument("--total", type=float, default=1e9, help="seconds after which no row is started")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="where the network for peers is saved")
    args = parser.parse_args()
    shape = args.shape.partition("-")[0]
    checkpoint = args.scratch / f"ishibumi-bench-{shape}"
    rows = [row for row in ROWS[args.shape] if re.search(args.only, row[1], re.I)][args.skip :]
    found: list[dict[str, Any]] = []
    began = time.monotonic()
    retries = list(RETRIES)
    for group, name, command in rows:
        if time.monotonic() - began > args.total:
            break
        extra = f" --checkpoint {checkpoint}" if command.startswith("unsloth") else ""
        if extra and not (checkpoint / "config.json").exists():
            run(f"save --shape {shape}{extra}", args.limit)
        command = f"{command} --shape {shape}{extra}"
        while True:
            told = f"{command} {retries[0]}" if "ishibumi" in command else command
            result = {"group": group, "name": name, "command": told, **run(told, args.limit, args.out)}
            if "failed" not in result and told != command:
                retries = retries[:1]
            if "failed" not in result or told == command or len(retries) == 1:
                break
            print(json.dumps(result), flush=True)
            retries.pop(0)
        found.append(result)
        print(json.dumps(result), flush=True)
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
    print(table(found))


def run(command: str, limit: float, out: Path | None = None) -> dict[str, Any]:
    """What one.py found, or the end of what it said before it failed; a profile goes into a file beside `out`."""
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "UNSLOTH_DISABLE_STATISTICS": "1",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    program, words = "one.py", command.split()
    if words[0] == "profile" and out is not None:
        program, words = "profile_step.py", [*words[1:], "--out", str(out.with_suffix(".profile.jsonl"))]
    words = [sys.executable, str(HERE / program), *words]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"longer than {limit:.0f} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if program != "one.py":
        print(done.stdout.partition("RESULT ")[2][-6000:], flush=True)
    if lines:
        return dict(json.loads(lines[-1].removeprefix("RESULT ")))
    return {} if done.returncode == 0 else {"failed": (done.stderr or done.stdout)[-1500:]}


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: tokens/s, peak memory, ratio to Unsloth's default, first and last loss."""
    lines: list[str] = []
    for group in dict.fromkeys(row["group"] for row in found):
        rows = [row for row in found if row["group"] == group]
        unsloth = next((r.get("tokens_per_second") for r in rows if r["name"].startswith("Unsloth, default")), None)
        lines += ["", f"| {group} | tokens/s | × Unsloth | peak GiB | loss, first and last |", "|---|---|---|---|---|"]
        for row in rows:
            if "failed" in row:
                lines.append(f"| {row['name']} | failed: {row['failed'].strip().splitlines()[-1][:80]} | | | |")
                continue
            ratio = f"{row['tokens_per_second'] / unsloth:.2f}" if unsloth else ""
            losses = f"{row['loss_first']:.3f} → {row['loss_last']:.3f}"
            lines.append(f"| {row['name']} | {row['tokens_per_second']:,} | {ratio} | {row['peak_gib']} | {losses} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
