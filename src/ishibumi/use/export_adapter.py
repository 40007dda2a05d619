"""What both stages learned as one adapter. run/cpt/adapter + run/sft/adapter → Learned → a directory for PEFT.

Each stage has a LoRA pair of its own, and `sft.kept` takes the sum a part of the way back to the base. One pair of rank
r1 + r2 does the same: A = [A1; A2] and B = kept · [s1·B1, s2·B2], so that B·A = kept · (s1·B1·A1 + s2·B2·A2). A matrix
that a stage trained in full is taken from the finished model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ishibumi.artifacts import read_json, write_json
from ishibumi.config import Run
from ishibumi.errors import UsageError
from ishibumi.training.adapters import EMBEDDINGS, LoraLinear, leaf

_PREFIX = "base_model.model."


@dataclass(frozen=True)
class Learned:
    """All that a run changed in its base. `pairs`: module → A (r, in) and B (out, r) with its scale in it, in fp32;
    `full`: module → its finished weight, a tied one under both names."""

    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    full: Mapping[str, torch.Tensor]


def read_learned(run: Run) -> Learned:
    """What the stages of a finished run learned, put together."""
    kept = run.settings.sft.kept
    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    full: set[str] = set()
    for directory in (run.run_dir / stage / "adapter" for stage in ("cpt", "sft")):
        if not directory.exists():  # no chat tuning
            continue
        config, tensors = (
            read_json(directory / "adapter_config.json"),
            load_file(directory / "adapter_model.safetensors"),
        )
        scale = kept * config["lora_alpha"] / config["r"] ** (0.5 if config.get("use_rslora") else 1)
        for key in tensors:
            module = key.removeprefix(_PREFIX).removesuffix(".weight")
            if module.endswith(".lora_A"):
                module = module.removesuffix(".lora_A")
                a, b = tensors[key], tensors[key.replace("lora_A", "lora_B")]
                pairs.setdefault(module, []).append((a.float(), scale * b.float()))
            elif not module.endswith(".lora_B"):
                full.add(module)
    joined = {
        name: (torch.cat([a for a, _ in of_module]), torch.cat([b for _, b in of_module], dim=1))
        for name, of_module in pairs.items()
        if name not in full
    }
    return Learned(joined, _finished_weights(run.run_dir / "sft" / "model", full))


def _finished_weights(model_dir: Path, modules: set[str]) -> dict[str, torch.Tensor]:
    """The weights of these modules in a model's files, where a tied lm_head is only embed_tokens."""
    found: dict[str, torch.Tensor] = {}
    for file in model_dir.glob("*.safetensors"):
        with safe_open(file, "pt") as stored:
            found |= {key: stored.get_tensor(key) for key in stored.keys() if key.removesuffix(".weight") in modules}  # noqa: SIM118
    embedding = next((w for key, w in found.items() if "embed_tokens" in key), None)
    weights = {module: found.get(f"{module}.weight", embedding) for module in modules}
    return {module: weight.clone() for module, weight in weights.items() if weight is not None}


def save_for_peft(learned: Learned, directory: Path, base: str) -> None:
    """Write adapter_config.json and adapter_model.safetensors. Raises UsageError where layers were trained in full."""
    if layers := sorted({leaf(name) for name in learned.full} - set(EMBEDDINGS)):
        raise UsageError(
            f"This run trained {', '.join(layers)} in full (method = full): that is no adapter but a whole model.",
            hint="Use --format merged.",
            hint_ja="--format merged を使ってください。",
        )
    ranks = {name: len(a) for name, (a, _) in learned.pairs.items()}
    rank = max(ranks.values(), default=1)
    others = {name: r for name, r in ranks.items() if r != rank}
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,  # the pairs hold their scale: alpha / r is 1 everywhere
        "rank_pattern": others,
        "alpha_pattern": others,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({leaf(name) for name in ranks}),
        "modules_to_save": sorted(learned.full) or None,
        "ensure_weight_tying": len(learned.full) == len(EMBEDDINGS) and torch.equal(*learned.full.values()),
        "inference_mode": True,
    }
    tensors = {f"{name}.lora_A.weight": a for name, (a, _) in learned.pairs.items()}
    tensors |= {f"{name}.lora_B.weight": b for name, (_, b) in learned.pairs.items()}
    tensors |= {f"{name}.weight": weight for name, weight in learned.full.items()}
    save_file({_PREFIX + name: t.contiguous() for name, t in tensors.items()}, directory / "adapter_model.safetensors")
    write_json(directory / "adapter_config.json", config)


@torch.no_grad()
def attach_learned(network: nn.Module, learned: Learned) -> None:
    """Put the pairs beside the base's matrices, and the matrices trained in full in their place."""
    for name, weight in learned.full.items():
        network.get_submodule(name).weight.copy_(weight)  # type: ignore[operator,union-attr]
    for name, (a, b) in learned.pairs.items():
        module = network.get_submodule(name)
        assert isinstance(module, nn.Linear)
        lora = LoraLinear(module, len(a), 1.0, torch.Generator())  # the pairs hold their scale
        lora.lora_A.copy_(a)
        lora.lora_B.copy_(b)
        network.set_submodule(name, lora)


@torch.no_grad()
def merge_learned(network: nn.Module) -> None:
    """Add the pairs that `attach_learned` attached to their matrices, and take them out."""
    for name, module in [*network.named_modules()]:
        if isinstance(module, LoraLinear):
            module.base.weight.add_(module.delta())
            network.set_submodule(name, module.base)
