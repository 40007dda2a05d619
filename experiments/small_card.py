"""ishibumi as on a GPU with less memory: what it may see and take is held to so many GiB. GiB + arguments → ishibumi.

python experiments/small_card.py 2.5 run SETTINGS.toml --set cpt.precision=nf4 …
"""

import dataclasses
import sys
from types import SimpleNamespace
from typing import Any

import torch

from ishibumi.cli import main


@dataclasses.dataclass(frozen=True)
class Held:
    """What torch tells of the GPU, with `held` bytes as its memory."""

    held: int
    properties: Any
    free: Any

    def told(self, device: Any = None) -> SimpleNamespace:
        """torch.cuda.get_device_properties."""
        real = self.properties(device)
        names = (name for name in dir(real) if not name.startswith("_"))
        return SimpleNamespace(**{name: getattr(real, name) for name in names} | {"total_memory": self.held})

    def left(self, device: Any = None) -> tuple[int, int]:
        """torch.cuda.mem_get_info: (free, total)."""
        return min(self.free(device)[0], self.held - torch.cuda.memory_reserved(device)), self.held


if __name__ == "__main__":
    gib = float(sys.argv.pop(1))
    total = torch.cuda.get_device_properties(0).total_memory
    held = Held(int(gib * 2**30), torch.cuda.get_device_properties, torch.cuda.mem_get_info)
    torch.cuda.set_per_process_memory_fraction(held.held / total)
    torch.cuda.get_device_properties, torch.cuda.mem_get_info = held.told, held.left
    try:
        main()
    finally:
        print(f"peak: allocated {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB, reserved", end=" ")
        print(f"{torch.cuda.max_memory_reserved() / 2**30:.2f} of {gib} GiB")
