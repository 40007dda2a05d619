"""Exports of finished runs of tiny models: read again as a stranger would, each is the model that sat the exam."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_tokenizers
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from test_pipeline import alone, call, write_project
from transformers import AutoModelForCausalLM, AutoTokenizer

from ishibumi import artifacts, config
from ishibumi.errors import UsageError
from ishibumi.use import export as export_module
from ishibumi.use.export import export, sha256_of

RECIPES = {
    # Both stages, other matrices in each, the tied embedding in full, and a part of the way back to the base.
    "gemma3": {"cpt.targets": '["q_proj", "down_proj", "embed_tokens", "lm_head"]', "cpt.learned_scale": "0.8"},
    "llama": {"cpt.rank": "3", "cpt.rslora": "true"},
    "qwen3": {"cpt.method": "full", "cpt.learning_rate": "0.001"},
}
TOKENIZERS = {"gemma3": tiny_tokenizers.byte_fallback, "llama": tiny_tokenizers.unigram,
              "qwen3": lambda: tiny_tokenizers.byte_level("qwen2")}  # fmt: skip
COMMON = {"sft.kept": "0.9", "cpt.max_tokens": "1500", "sft.max_tokens": "600", "cpt.learning_rate": "0.01",
          "sft.learning_rate": "0.01"}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], config.Run]:
    """kind → a run that has been done up to the finished model."""
    made: dict[str, config.Run] = {}

    def run_of(kind: str) -> config.Run:
        if kind not in made:
            directory = tmp_path_factory.mktemp(kind)
            tokenizer = TOKENIZERS[kind]()
            tiny.network(kind, vocabulary=len(tokenizer), eos_token_id=2).save_pretrained(directory / "base")
            tokenizer.save_pretrained(directory / "base")
            path = write_project(directory, directory / "base")
            flags = COMMON | RECIPES[kind]
            code, _, err = call("sft", path, *(p for k, v in flags.items() for p in ("--set", f"{k}={v}")))
            assert code == 0, err
            made[kind] = config.load(path, flags)
        return made[kind]

    return run_of


def logits(network: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=torch.tensor([ids])).logits


@pytest.mark.parametrize("kind", ["gemma3", "llama"])
def test_the_adapter_on_the_base_is_the_finished_model_for_peft(
    kind: str, finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    run = finished(kind)
    with alone():
        made = export(run, "adapter", tmp_path / "out")
    network = AutoModelForCausalLM.from_pretrained(run.settings.model.base, dtype=torch.float32)
    before = logits(network, [1, 5, 9, 300])
    network = PeftModel.from_pretrained(network, made.path).eval()
    end = AutoModelForCausalLM.from_pretrained(run.run_dir / "sft" / "model", dtype=torch.float32)
    wanted = logits(end, [1, 5, 9, 300])
    assert (before - wanted).norm() / wanted.norm() > 0.01
    assert (logits(network, [1, 5, 9, 300]) - wanted).norm() / wanted.norm() < 1e-5
    assert AutoTokenizer.from_pretrained(made.path).chat_template
    ranks = artifacts.read_json(made.path / "adapter_config.json")
    assert ranks["r"] == ranks["lora_alpha"] == {"gemma3": 8, "llama": 7}[kind]


@pytest.mark.parametrize("kind", ["gemma3", "llama"])
@pytest.mark.parametrize("quantization", ["bf16", "f32"])
def test_a_merged_model_reloads_plainly_and_stays_tied(
    kind: str, quantization: Any, finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    run = finished(kind)
    with alone():
        made = export(run, "merged", tmp_path / "out", quantization=quantization)
    network: Any = AutoModelForCausalLM.from_pretrained(made.path, dtype=torch.float32)
    is_tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
    assert is_tied == made.manifest["proof"]["tied"] == (kind == "gemma3")
    assert ("lm_head.weight" in load_file(made.path / "model.safetensors")) == (kind == "llama")
    assert made.manifest["proof"]["logits_of_files_against_adapter"] < 1e-4
    assert made.manifest["files"] == sha256_of(made.path) and "model.safetensors" in made.manifest["files"]
    # The run computed in fp32, and its weights stay as they are; the card says so in both languages.
    assert {weight.dtype for weight in load_file(made.path / "model.safetensors").values()} == {torch.float32}
    assert (made.path / "README.md").read_text(encoding="utf-8").count("| merged, f32 |") == 2


@pytest.mark.parametrize("quantization", ["bf16", "q8_0", "q4_k_m"])
def test_a_gguf_comes_with_modelfile_card_and_proof(
    quantization: str, finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")
    run = finished("llama")
    flags = [p for k, v in (COMMON | RECIPES["llama"]).items() for p in ("--set", f"{k}={v}")]
    options = ["--format", "gguf", "--quantization", quantization, "--data-license", "CC0-1.0"]
    code, out, err = call("export", run.path, *options, *flags, "--out", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n"), err
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["Modelfile", "README.md", "manifest.json", f"model-{quantization}.gguf"]
    proof = artifacts.load(tmp_path / "out").manifest["proof"]
    assert proof["strings_with_equal_token_ids"] == 200 and proof["replies"] == 8
    assert "mean_loss_in_llama_cpp" in err
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    wanted = [
        "| Documents | 3, 2026-06-29 – 2026-07-19 |",
        "| 文書のライセンス | CC0-1.0 |",
        "記載なし (--base-license)",
    ]
    wanted += ["not measured in this run", f"| Format | gguf, {quantization} |", "cpt: "]
    for words in wanted:
        assert words in card


def test_the_card_tells_exam_and_forgetting_where_they_were_measured(
    finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    run = finished("gemma3")
    shutil.copytree(run.path.parent, tmp_path / "copy")
    flags = [p for k, v in (COMMON | RECIPES["gemma3"]).items() for p in ("--set", f"{k}={v}")]
    path = tmp_path / "copy" / "ishibumi.toml"
    assert call("run", path, *flags)[0] == 0
    assert call("export", path, *flags, "--format", "adapter", "--out", tmp_path / "out")[0] == 0
    summary = json.loads((tmp_path / "copy" / "run" / "report" / "summary.json").read_text(encoding="utf-8"))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"this model {summary['arms']['engraved']['all']['contains']['mean']:.0%}" in card
    assert f"ja {summary['perplexity_ratio']['ja']:.2f}" in card and "Gemma Terms of Use" in card


def test_a_run_that_trained_whole_matrices_has_no_adapter_but_a_merged_model(
    finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    run = finished("qwen3")
    with alone(), pytest.raises(UsageError, match=r"trained down_proj, gate_proj, .* in full"):
        export(run, "adapter", tmp_path / "out")
    with alone():
        made = export(run, "merged", tmp_path / "out", quantization="f32")
    assert made.manifest["proof"]["logits_of_files_against_exam_model"] < 1e-4


def test_an_adapter_that_is_not_the_finished_models_is_refused_and_nothing_is_left_at_out(
    finished: Callable[[str], config.Run], tmp_path: Path
) -> None:
    run = finished("llama")
    shutil.copytree(run.path.parent, tmp_path / "copy")
    file = tmp_path / "copy" / "run" / "sft" / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, file)
    flags = [p for k, v in (COMMON | RECIPES["llama"]).items() for p in ("--set", f"{k}={v}")]
    for form in ("adapter", "merged"):
        code, out, err = call(
            "export", tmp_path / "copy" / "ishibumi.toml", *flags, "--format", form, "--out", tmp_path / "out"
        )
        assert (code, out) == (1, "") and "The export is not the finished model: " in err
        assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    finished: Callable[[str], config.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished("llama").path
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    code, _, err = call("export", path, "--out", tmp_path / "mine")
    assert code == 2 and "is there already and is not an export." in err
    assert (tmp_path / "mine" / "thesis.txt").exists()
    code, _, err = call("export", path, "--format", "adapter", "--quantization", "q8_0", "--out", tmp_path / "out")
    assert code == 2 and "An adapter is written as it was trained, not in q8_0." in err
    code, _, err = call("export", path, "--quantization", "q8_0", "--out", tmp_path / "out")
    assert code == 2 and "A merged model cannot be q8_0." in err
    code, _, err = call("export", path, "--run-dir", tmp_path / "none", "--out", tmp_path / "out")
    assert code == 1 and "is not a finished stage." in err
    monkeypatch.setattr(export_module.importlib.util, "find_spec", lambda _: None)
    code, _, err = call("export", path, "--format", "adapter", "--out", tmp_path / "out")
    assert code == 2 and "pip install 'ishibumi[peft]'" in err
    assert not (tmp_path / "out").exists()
