"""Which matrices train, and the proof that they did. network + settings → Trainables → moved, merged.

Linear modules get a LoRA pair (method "lora") or train themselves (method "full"); embed_tokens and lm_head always
train in full: LoRA on tied embeddings merges to another model (PEFT 0.21, issue 2777), while one parameter under two
names is tied by itself. Everything is in the model's own number format; fp32 masters are the optimizer's business.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ishibumi.errors import TrainingError, UsageError
from ishibumi.settings import TrainSettings
from ishibumi.training.distributed import full, split_as

EMBEDDINGS = ("embed_tokens", "lm_head")
ONE_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # modules that read the same hidden states


class OneInput:
    """The pairs of a layer that read one input: their A's are one product, which reads that input once."""

    def __init__(self, pairs: "Sequence[LoraLinear]") -> None:
        self.pairs = pairs
        self.x: torch.Tensor | None = None
        self.lows: list[torch.Tensor] = []

    def low(self, place: int, x: torch.Tensor) -> torch.Tensor:
        """A(x) of the pair at this place, made with the first and used up with the last."""
        if self.x is not x:
            together = F.linear(x, torch.cat([p.lora_A for p in self.pairs]))
            self.x, self.lows = x, list(together.chunk(len(self.pairs), -1))
        found = self.lows[place]
        if place == len(self.pairs) - 1:
            self.x, self.lows = None, []
        return found


class LoraLinear(nn.Module):
    """base(x) + scale · B(A(x)). A (r, in) starts random, B (out, r) at zero; base is frozen."""

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        scale: float,
        generator: torch.Generator,
        device: torch.device | None = None,
    ) -> None:
        """The pair goes to the device; base may wait elsewhere."""
        super().__init__()
        self.base = base
        self.scale = scale
        self.one_input: OneInput | None = None  # shared with its neighbours
        self.place = 0  # among them
        bound = 1 / base.in_features**0.5  # kaiming_uniform(a=√5), as in the LoRA paper's code
        start = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        device, dtype = device or base.weight.device, base.weight.dtype
        self.lora_A = nn.Parameter(start.to(device, dtype))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank).to(device, dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out)."""
        out = self.base(x)
        low = F.linear(x, self.lora_A) if self.one_input is None else self.one_input.low(self.place, x)
        if x.is_cuda:  # joined with what follows when compiled; addmm with an alpha compiles to wrong gradients (2.11)
            return out + F.linear(self.scale * low, self.lora_B)  # scaled where it is small
        return torch.addmm(out.flatten(0, -2), low.flatten(0, -2), self.lora_B.T, alpha=self.scale).view(out.shape)

    @torch.no_grad()
    def delta(self) -> torch.Tensor:
        """What the pair adds to the weight, (out, in) in fp32."""
        return self.scale * self.lora_B.float() @ self.lora_A.float()


@dataclass(frozen=True)
class Trainable:
    """One matrix that trains. `start` is a copy of the original of a matrix that trains in full, in CPU memory."""

    name: str
    module: nn.Linear | nn.Embedding | LoraLinear
    learning_rate: float
    start: torch.Tensor | None

    @property
    def kind(self) -> str:
        """ "lora" or "full"."""
        return "lora" if isinstance(self.module, LoraLinear) else "full"

    @property
    def weight(self) -> nn.Parameter:
        """The original matrix: frozen beside a LoRA pair, or the one that trains."""
        weight = self.module.base.weight if isinstance(self.module, LoraLinear) else self.module.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimizer moves."""
        if isinstance(self.module, LoraLinear):
            return [self.module.lora_A, self.module.lora_B]
        return [self.weight]

    @torch.no_grad()
    def moved(self) -> float:
        """‖change‖ / ‖original‖, Frobenius norms."""
        if isinstance(self.module, LoraLinear):
            delta = self.module.delta()
            return float(delta.norm() / self.weight.to(delta.device).float().norm())
        assert self.start is not None
        return float((full(self.weight).cpu().float() - self.start.float()).norm() / self.start.float().norm())


def attach(network: nn.Module, settings: TrainSettings, seed: int) -> list[Trainable]:
    """Make the settings' targets trainable and freeze the rest. Raises UsageError for a target that matches nothing."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    modules = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Embedding)}
    generator = torch.Generator().manual_seed(seed)
    trainables: list[Trainable] = []
    for target in settings.targets:
        names = [n for n in modules if is_named(n, target)]
        if not names:
            raise _no_match(target, modules)
        for name in names:
            if not any(name == t.name or modules[name].weight is t.weight for t in trainables):  # tied: train it once
                trainables.append(_make_trainable(network, name, modules[name], settings, generator))
    join_inputs(network)
    return trainables


def join_inputs(network: nn.Module) -> None:
    """Let the pairs of every layer that read one input share its product."""
    for parent in network.modules():
        for names in ONE_INPUT:
            pairs = [pair for n in names if isinstance(pair := getattr(parent, n, None), LoraLinear)]
            one_input = OneInput(pairs) if len(pairs) > 1 else None
            for place, pair in enumerate(pairs):
                pair.one_input, pair.place = one_input, place


def is_named(name: str, target: str) -> bool:
    """Whether a target means the module of this name: the whole name or its last parts, as PEFT reads them."""
    return name == target or name.endswith("." + target)


def leaf(name: str) -> str:
    """The last part of a module's name."""
    return name.rpartition(".")[2]


def _no_match(target: str, names: Iterable[str]) -> UsageError:
    have = sorted({leaf(n) for n in names})
    return UsageError(
        f'No module matches the target "{target}". Modules that can train: {", ".join(have)}.',
        hint=f"Set targets to some of them, for example targets = {have[:2]}.",
        hint_ja=f"targets には、この中から指定してください(例: targets = {have[:2]})。",
    )


def _make_trainable(
    network: nn.Module, name: str, module: nn.Linear | nn.Embedding, settings: TrainSettings, generator: torch.Generator
) -> Trainable:
    is_embedding = leaf(name) in EMBEDDINGS
    rate = settings.embedding_learning_rate if is_embedding else settings.learning_rate
    if is_embedding or settings.method == "full" or isinstance(module, nn.Embedding):
        module.weight.requires_grad_(True)
        where = "meta" if module.weight.is_meta else "cpu"
        start = torch.empty_like(module.weight, device=where, requires_grad=False).copy_(module.weight.detach())
        return Trainable(name, module, rate, start)
    # rsLoRA (arXiv 2312.03732): by the root, a higher rank does not make updates smaller.
    scale = settings.alpha / (math.sqrt(settings.rank) if settings.rslora else settings.rank)
    lora = LoraLinear(module, settings.rank, scale, generator, next(network.parameters()).device)
    network.set_submodule(name, lora)
    return Trainable(name, lora, rate, None)


@torch.no_grad()
def scale_learned(trainables: Iterable[Trainable], scale: float) -> None:
    """Keep `scale` of every change: pairs count for so much, matrices that train in full go so far from their start."""
    for t in trainables:
        if isinstance(t.module, LoraLinear):
            t.module.scale *= scale
        elif t.start is not None:
            t.weight.copy_(split_as(torch.lerp(t.start.float(), full(t.weight).cpu().float(), scale), t.weight))


def prove_trained(network: nn.Module, trainables: list[Trainable]) -> list[dict[str, object]]:
    """A row for every matrix that trained: name, kind, size, learning rate, how far it moved.

    Raises TrainingError for a matrix that did not move, and for a parameter that could train but was not asked to.
    """
    rows: list[dict[str, object]] = []
    for t in trainables:
        moved = t.moved()
        if not moved > 0:
            raise TrainingError(
                f"{t.name} was to train at learning rate {t.learning_rate:g} but did not move (change {moved}).",
                hint="Its module gets no gradient in this model, or the learning rate is too small: see its targets.",
                hint_ja="このモジュールには勾配が届かないか、学習率が小さすぎます。"
                "targets と learning_rate を見直してください。",
            )
        size = sum(p.numel() for p in t.parameters)
        rows.append(
            {"name": t.name, "kind": t.kind, "parameters": size, "learning_rate": t.learning_rate, "moved": moved}
        )
    asked = {id(p) for t in trainables for p in t.parameters}
    stray = [name for name, p in network.named_parameters() if p.requires_grad and id(p) not in asked]
    if stray:
        raise TrainingError(f"These parameters trained without being asked to: {', '.join(stray[:5])}.")
    return rows


@torch.no_grad()
def merge(network: nn.Module, trainables: list[Trainable]) -> None:
    """Write what the pairs learned into the plain weights and take the pairs out again.

    A matrix that waits elsewhere comes to its pair's device by itself and goes back.
    """
    for t in trainables:
        if isinstance(t.module, LoraLinear):
            base = t.module.base
            delta = t.module.delta()
            base.weight.copy_(base.weight.to(delta.device).float() + delta)
            network.set_submodule(t.name, base)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
