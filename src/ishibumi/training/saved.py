"""What a stage leaves behind: the adapter in PEFT's format, and at the end the merged model."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file


from ishibumi.artifacts import disk_errors
from ishibumi.models.load import LoadedModel
from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import LoraLinear, Trainable, leaf


def save_adapter(directory: Path, trainables: Sequence[Trainable], settings: TrainSettings, base: str) -> None:
    """Write adapter_model.safetensors and adapter_config.json as PEFT reads them (modules_to_save: the full ones)."""
    tensors: dict[str, torch.Tensor] = {}
    for t in trainables:
        if isinstance(t.module, LoraLinear):
            tensors[f"base_model.model.{t.name}.lora_A.weight"] = t.module.lora_A.detach()
            tensors[f"base_model.model.{t.name}.lora_B.weight"] = t.module.lora_B.detach()
        else:
            tensors[f"base_model.model.{t.name}.weight"] = t.module.weight.detach()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({leaf(t.name) for t in trainables if t.kind == "lora"}),
        "modules_to_save": sorted({leaf(t.name) for t in trainables if t.kind == "full"}) or None,
        "ensure_weight_tying": True,
        "inference_mode": True,
    }
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, directory / "adapter_model.safetensors")
        (directory / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")


def save_merged(directory: Path, model: LoadedModel) -> None:
    """Write the whole model as transformers loads it, tokenizer and chat template included."""
    with disk_errors(directory):
        model.network.save_pretrained(directory)  # type: ignore[operator]
        model.tokenizer.save_pretrained(directory)
