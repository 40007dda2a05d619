"""What a stage leaves behind: the adapter in PEFT's format, and at the end the merged model."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from ishibumi.artifacts import disk_errors, write_json
from ishibumi.errors import ModelError
from ishibumi.models.load import LoadedModel
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import LoraLinear, Trainable, is_named
from ishibumi.training.distributed import full, rank


def save_adapter(
    directory: Path, network: nn.Module, trainables: Sequence[Trainable], settings: TrainSettings, base: str
) -> None:
    """Write adapter_model.safetensors and adapter_config.json as PEFT reads them (modules_to_save: the full ones).

    All processes gather the matrices; the first writes.

    A matrix under two names, as tied embeddings are, is written under both: PEFT 0.21 looks for both.
    """
    tensors: dict[str, torch.Tensor] = {}
    in_full: list[str] = []
    for t in trainables:
        if isinstance(t.module, LoraLinear):
            tensors[f"{t.name}.lora_A.weight"] = t.module.lora_A.detach()
            tensors[f"{t.name}.lora_B.weight"] = t.module.lora_B.detach()
        else:
            names = [n for n, m in network.named_modules() if getattr(m, "weight", None) is t.weight]
            tensors |= {f"{name}.weight": t.weight.detach().clone() for name in names}
            in_full += names
    lora = [t.name for t in trainables if t.kind == "lora"]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha * settings.learned_scale,
        "use_rslora": settings.rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [target for target in settings.targets if any(is_named(name, target) for name in lora)],
        "modules_to_save": in_full or None,
        "ensure_weight_tying": len(in_full) > sum(t.kind == "full" for t in trainables),
        "inference_mode": True,
    }
    on_cpu = {f"base_model.model.{name}": full(tensor).contiguous().cpu() for name, tensor in tensors.items()}
    if rank() > 0:
        return
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        save_file(on_cpu, directory / "adapter_model.safetensors")
        write_json(directory / "adapter_config.json", config)


@torch.no_grad()
def keep_share(model: LoadedModel, base: LoadedModel, share: float) -> None:
    """Go back towards the base: its weights + `share` of what is different now. The base may be on another device."""
    before = dict(base.network.named_parameters())
    for name, weight in model.network.named_parameters():  # a tied matrix once
        weight.copy_(torch.lerp(before[name].to(weight.device).float(), weight.float(), share))


@torch.no_grad()
def put_on_sibling(sibling: LoadedModel, base: LoadedModel, engraved: LoadedModel) -> None:
    """Add what training changed in the base to a sibling of it, such as its instruct model.

    Raises ModelError where a changed matrix has no counterpart of its shape there.
    """
    before, after = (dict(model.network.named_parameters()) for model in (base, engraved))
    there = dict(sibling.network.named_parameters())
    for name in before:
        if torch.equal(before[name], after[name]):
            continue
        if name not in there or there[name].shape != before[name].shape:
            found = list(there[name].shape) if name in there else "nothing"
            raise ModelError(
                f"{sibling.name} is no sibling of {base.name}: {name} is {list(before[name].shape)}, there {found}.",
                hint="Set model.instruct to the instruct model that was made from this very base.",
                hint_ja="model.instruct には、この基盤モデルから作られた指示モデルを指定してください。",
            )
        there[name].add_((after[name].float() - before[name].float()).to(there[name].dtype))


def save_merged(directory: Path, model: LoadedModel) -> None:
    """Write the whole model as transformers loads it, tokenizer and chat template included."""
    with disk_errors(directory):
        model.network.save_pretrained(directory)  # type: ignore[operator]
        model.tokenizer.save_pretrained(directory)
