"""A name becomes a model: a directory, a GGUF file, a package, a hub id in the cache; and never a pickle."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen3Config

from ishibumi import artifacts
from ishibumi.errors import ArtifactError, ModelError
from ishibumi.models.load import find_base, head_size, load_finished, load_model, number_format, pick_device
from ishibumi.settings import ModelSettings

IDS = torch.tensor([[1, 70, 71, 90]])
HEADS, KV_HEADS = 4, 2


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS).logits.float()


def settings(base: object, **values: str) -> ModelSettings:
    return ModelSettings.model_validate({"base": str(base), "device": "cpu", "dtype": "float32", **values})


def write_gguf(path: Path) -> torch.nn.Module:
    """Write a tiny Llama as a GGUF file; returns the network that it holds."""
    tokenizer = tiny.unigram_tokenizer()
    network = tiny.network("llama", vocabulary=len(tokenizer))
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(network.config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokenizer))
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0 if i < 3 else -float(i) for i in range(len(pieces))])
    types = [gguf.TokenType.BYTE if p.startswith("<0x") else gguf.TokenType.NORMAL for p in pieces]
    types[:3] = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in network.state_dict().items():
        values = tensor.numpy()
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp turns pairs, transformers turns halves
            heads = HEADS if "q_proj" in name else KV_HEADS
            values = values.reshape(heads, 2, -1, 32).swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(str(names.get_name(name, try_suffixes=(".weight",))), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return network


def test_a_directory_is_loaded_relative_to_the_settings(model_dir: Callable[[str], Path]) -> None:
    directory = model_dir("gemma3")
    model = load_model(settings(directory.name), directory.parent)
    torch.testing.assert_close(logits(model.network), logits(tiny.network("gemma3").eval()))
    assert (model.name, model.device, model.network.training) == (directory.name, torch.device("cpu"), False)
    assert model.format.stop_ids == {257}


def test_the_number_format_is_the_one_that_is_set(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"), "bfloat16")
    assert {p.dtype for p in model.network.parameters()} == {torch.bfloat16}


def test_the_size_of_a_head_is_the_one_that_is_told_or_a_share_of_the_hidden_size() -> None:
    assert head_size(Qwen2Config(hidden_size=32, num_attention_heads=4)) == 8
    assert head_size(Qwen3Config(hidden_size=32, num_attention_heads=4, head_dim=16)) == 16


def test_a_gguf_file_is_converted_once_and_has_the_same_logits(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    wanted = logits(write_gguf(path).bfloat16().float().eval())
    model = load_model(settings("tiny.gguf"), tmp_path)
    torch.testing.assert_close(logits(model.network), wanted, rtol=1e-3, atol=1e-3)
    assert model.tokenizer.eos_token == "</s>"
    assert model.tokenizer.convert_ids_to_tokens(model.tokenizer("東京", add_special_tokens=False)["input_ids"])
    (converted,) = (tmp_path / "cache" / "ishibumi").iterdir()
    before = (converted / "model.safetensors").stat().st_mtime_ns
    assert find_base("tiny.gguf", tmp_path) == converted
    assert (converted / "model.safetensors").stat().st_mtime_ns == before


def test_a_package_with_assemble_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "inside.gguf")
    (tmp_path / "tiny_q8.py").write_text(
        "import shutil\nfrom pathlib import Path\n"
        "def assemble(target):\n    print('joining')\n"
        f"    return shutil.copy({str(tmp_path / 'inside.gguf')!r}, target)\n"
    )
    (tmp_path / "tiny_empty.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    model = load_model(settings("tiny-q8"), tmp_path)
    assert logits(model.network).shape == (1, 4, len(tiny.unigram_tokenizer()))
    with pytest.raises(ModelError, match=r"tiny_empty has no assemble\(\)"):
        find_base("tiny-empty", tmp_path)
    for name in ("tiny_q8", "tiny_empty"):
        sys.modules.pop(name)


def test_a_hub_id_is_found_in_the_cache_and_only_there(tmp_path: Path) -> None:
    folder, commit = tmp_path / "hub" / "models--owner--tiny", "0123456789abcdef0123456789abcdef01234567"
    tiny.save("llama", folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    assert find_base("owner/tiny", tmp_path) == folder / "snapshots" / commit
    assert load_model(settings("owner/tiny"), tmp_path).name == "owner/tiny"


@pytest.mark.parametrize("name", ["owner/none", "no-such-package", "Qwen2.5-0.5B", "a b", "x.safetensors"])
def test_a_name_that_leads_nowhere_says_where_it_was_looked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_base(name, tmp_path)
    assert caught.value.message.startswith(f"No base model «{name}»: not a directory or .gguf file (")
    assert f"ishibumi fetch {name}" in caught.value.hint and caught.value.hint_ja


def test_a_path_that_leads_nowhere_tells_what_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "models" / "gemma").mkdir(parents=True)
    (tmp_path / "models" / "notes.txt").touch()
    with pytest.raises(ModelError, match=r"There is no model directory .*gema") as caught:
        find_base("./models/gema", tmp_path)
    assert caught.value.hint == f"Check model.base. In {tmp_path / 'models'}: gemma."
    with pytest.raises(ModelError) as caught:
        find_base("../none/gemma", tmp_path)
    assert "no directory and no .gguf file" in caught.value.hint and "pip" not in caught.value.hint_ja


def test_a_missing_gguf_and_a_broken_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"There is no model file .*none\.gguf"):
        find_base("none.gguf", tmp_path)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF is not what this is")
    with pytest.raises(ModelError, match=r"Cannot read the GGUF file .*broken\.gguf"):
        find_base("broken.gguf", tmp_path)
    assert list((tmp_path / "cache" / "ishibumi").glob("*")) == []


def test_pickled_weights_are_refused_before_they_are_opened(tmp_path: Path, model_dir: Callable[[str], Path]) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((model_dir("llama") / name).read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"whatever runs when it is opened")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model\.bin\), which can run code") as caught:
        load_model(settings(folder), tmp_path)
    assert caught.value.hint and caught.value.hint_ja
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"has no \*\.safetensors file\. Files there: config\.json, tokenizer"):
        load_model(settings(folder), tmp_path)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "remote")
    config = artifacts.read_json(folder / "config.json")
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "run.C", "AutoModelForCausalLM": "run.M"}}
    artifacts.write_json(folder / "config.json", config)
    (folder / "run.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match=r"Cannot load .*remote as a text-generation model"):
        load_model(settings(folder), tmp_path)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    with pytest.raises(ModelError, match=r"Cannot load .*damaged as a text-generation model"):
        load_model(settings(folder), tmp_path)


def test_weights_that_are_in_no_file_are_not_left_to_chance(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "half")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights of its model, such as model\.layers\.1\.mlp\.up_proj"):
        load_model(settings(folder), tmp_path)
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(5, 5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"Cannot load .*half as a text-generation model"):
        load_model(settings(folder), tmp_path)


def test_more_end_tokens_of_the_generation_config_count(tmp_path: Path) -> None:
    folder = tiny.save("llama", tmp_path / "ends")
    artifacts.write_json(folder / "generation_config.json", {"eos_token_id": [257, 9]})
    assert load_model(settings(folder), tmp_path).format.stop_ids == {257, 9}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_and_auto_takes_the_cpu() -> None:
    with pytest.raises(ModelError, match=r'model\.device is "cuda" but PyTorch sees no GPU') as caught:
        pick_device("cuda")
    assert caught.value.hint and caught.value.hint_ja
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


def test_a_run_that_is_not_finished_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"sft is not a finished stage"):
        load_finished(settings("x"), tmp_path)


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "wanted"), [(True, False, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")]
)
def test_auto_takes_the_number_format_that_the_processor_computes_in(
    amx: bool, avx512_bf16: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    assert number_format(ModelSettings(device="cpu")) == wanted
    assert number_format(ModelSettings(device="cpu", dtype="bfloat16")) == "bfloat16"
