"""Optimizer: gradients → moved weights. AdamW on fp32 masters, so that small updates are not lost in bf16.

The model's own parameters only carry the number format of the products; after each step they are copies of the masters.
For an fp32 model the masters are the parameters themselves.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_map_only

from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import Trainable
from ishibumi.training.distributed import full, local, rank, split_as
from ishibumi.training.small_adamw import SmallAdamW

BETAS = (0.9, 0.99)  # few steps: the second moment must settle within them


class Optimizer:
    """AdamW with a learning rate for each trainable, over masters of its parameters. Nothing here waits for a GPU."""

    def __init__(self, trainables: Sequence[Trainable], settings: TrainSettings, resident_bytes: int = 0) -> None:
        """`resident_bytes` of what is offloaded stay on the GPU."""
        self.settings = settings
        self.pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
        self.names: list[str] = []  # of each pair's module
        self.reached: set[str] = set()  # those that a gradient has come to
        groups: dict[float, list[torch.Tensor]] = {}
        all_parameters = [p for t in trainables for p in t.parameters]  # pieces of split ones keep fp32 masters
        is_small = settings.optimizer != "adamw" and not any(isinstance(p, DTensor) for p in all_parameters)
        for trainable in trainables:
            for parameter in trainable.parameters:
                is_own = parameter.dtype == torch.float32 or is_small
                master = parameter if is_own else parameter.detach().float().requires_grad_(True)
                master.grad = None if is_own else torch.zeros_like(master)
                self.pairs.append((parameter, master))
                self.names.append(trainable.name)
                groups.setdefault(trainable.learning_rate, []).append(master)
        device = self.pairs[0][0].device
        rates = {peak: torch.tensor(peak, device=device) for peak in groups}
        # 1 from the first loss or gradient on that is not finite: AdamW then leaves the weights as they are.
        self.failed = torch.zeros((), device=device)
        with_rates = [{"params": masters, "lr": rates[peak], "peak": peak} for peak, masters in groups.items()]
        self.adamw: torch.optim.AdamW | SmallAdamW
        if is_small and all(p.dtype == torch.bfloat16 for p, _ in self.pairs):
            decay, offloaded = settings.weight_decay, settings.optimizer == "offloaded"
            self.adamw = SmallAdamW(
                with_rates, BETAS, decay, self.failed, offloaded=offloaded, resident_bytes=resident_bytes
            )
        else:
            is_gpu, decay = device.type == "cuda", settings.weight_decay
            self.adamw = torch.optim.AdamW(with_rates, betas=BETAS, weight_decay=decay, fused=True, capturable=is_gpu)
            self.adamw.found_inf = self.failed  # type: ignore[attr-defined]

    @property
    def is_offloaded(self) -> bool:
        """Whether a GPU's memory is short: what it has no room for comes from the CPU's piece by piece."""
        return isinstance(self.adamw, SmallAdamW) and self.adamw.is_offloaded

    def collect_gradients(self) -> None:
        """Add the model's gradients to the masters' in fp32; call it after every backward pass."""
        self.reached |= {n for n, (p, _) in zip(self.names, self.pairs, strict=True) if p.grad is not None}
        found = [(p, m) for p, m in self.pairs if p is not m and p.grad is not None]
        if found:
            torch._foreach_add_([m.grad for _, m in found], [p.grad for p, _ in found])  # type: ignore[arg-type]
        for parameter, _ in found:
            parameter.grad = None

    def untouched(self) -> list[str]:
        """The modules that no gradient has reached."""
        return sorted(set(self.names) - self.reached)

    @property
    def masters(self) -> list[torch.Tensor]:
        """The matrices that AdamW moves."""
        return [master for _, master in self.pairs]

    def zero_gradients(self) -> None:
        """Forget the gradients; they keep their memory, where a recorded step finds them again, unless it is short."""
        if self.is_offloaded:
            for master in self.masters:
                master.grad = None
            return
        torch._foreach_zero_([m.grad for m in self.masters if m.grad is not None])  # type: ignore[attr-defined]

    def set_rates(self, share_of_peak: float) -> None:
        """Every learning rate at `share_of_peak` of its peak."""
        for group in self.adamw.param_groups:
            group["lr"].fill_(group["peak"] * share_of_peak)

    def step(self, loss: torch.Tensor) -> torch.Tensor:
        """Clip the gradients to clip_norm and move the weights; returns (loss, the norm that the gradient had).

        The weights stay where loss or norm is not finite, now or in a step before.
        """
        norm = full(nn.utils.clip_grad_norm_(self.masters, self.settings.clip_norm))
        figures = torch.stack([loss, norm.float()])
        torch.maximum(self.failed, (~figures.isfinite()).any().float(), out=self.failed)
        self.adamw.step()
        self.zero_gradients()
        self._copy_to_model()
        return figures

    @torch.no_grad()
    def _copy_to_model(self) -> None:
        copies = [(p, m) for p, m in self.pairs if p is not m]
        if copies:
            torch._foreach_copy_([local(p) for p, _ in copies], [local(m) for _, m in copies])  # type: ignore[arg-type]

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit, whole: any number of processes can take it up."""
        state = {"masters": [master.detach() for master in self.masters], "adamw": self.adamw.state_dict()}
        return tree_map_only(torch.Tensor, _whole, state)  # type: ignore[no-any-return]

    @torch.no_grad()
    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        for master, stored in zip(self.masters, state["masters"], strict=True):
            master.copy_(split_as(stored, master))
        grouped = [master for group in self.adamw.param_groups for master in group["params"]]
        for i, of in state["adamw"].get("state", {}).items():
            of |= {name: split_as(t, grouped[i]) for name, t in of.items() if name != "step"}
        self.adamw.load_state_dict(state["adamw"])
        for group in self.adamw.param_groups:
            group["lr"] = group["lr"].to(self.failed.device)
        self._copy_to_model()


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """A split tensor in one piece on the first process's CPU, one by one: the whole state need not fit on a GPU."""
    if not isinstance(tensor, DTensor):
        return tensor.detach()
    gathered = full(tensor).detach()
    return gathered.cpu() if rank() == 0 else gathered.new_empty(0)
