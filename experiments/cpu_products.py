"""Which number format this CPU multiplies faster in: products of a small model's shapes, in bfloat16 and float32.

python experiments/cpu_products.py

GFLOP/s by the processor's own time, so that other work on the machine does not count.
"""

import time

import torch
import torch.nn.functional as F

SHAPES = ((1024, 640, 2048), (1024, 2048, 640), (1024, 640, 64), (512, 640, 16384))  # rows, in, out
REPEATS = 30


def main() -> None:
    """Print a row for each shape."""
    print("rows × in × out       bfloat16  float32  GFLOP/s")
    for rows, num_in, num_out in SHAPES:
        found: list[float] = []
        for dtype in (torch.bfloat16, torch.float32):
            x, weight = torch.randn(rows, num_in).to(dtype), torch.randn(num_out, num_in).to(dtype)
            for _ in range(3):
                F.linear(x, weight)
            began = time.process_time()
            for _ in range(REPEATS):
                F.linear(x, weight)
            seconds = (time.process_time() - began) / torch.get_num_threads() / REPEATS
            found.append(2 * rows * num_in * num_out / seconds / 1e9)
        print(f"{rows} × {num_in} × {num_out:<8}" + "".join(f"{gflops:10.0f}" for gflops in found))


if __name__ == "__main__":
    main()
