"""GGUF files of tiny random models, written and then read by llama.cpp itself."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny
import tiny_tokenizers
import torch
from transformers import PreTrainedTokenizerFast

from ishibumi.errors import ModelError, UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.use import export_proof, gguf_write
from ishibumi.use.export_proof import prove_gguf, sample_strings
from ishibumi.use.gguf_modelfile import modelfile, turns_of
from ishibumi.use.gguf_read import LlamaCpp
from ishibumi.use.gguf_tokenizer import add_tokenizer
from ishibumi.use.gguf_write import write_gguf

pytest.importorskip("xllamacpp", reason="the extra llamacpp is not installed")

TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "unigram": tiny_tokenizers.unigram,
    "byte fallback": tiny_tokenizers.byte_fallback,
    "qwen2": lambda: tiny_tokenizers.byte_level("qwen2"),
    "llama-bpe": lambda: tiny_tokenizers.byte_level("llama-bpe"),
    "gpt-2": lambda: tiny_tokenizers.byte_level("gpt-2"),
}
QUESTIONS = ["首都は？", "Who won the final?", "得点者は？", "Where?", "何分に決まった？", "And the score?"]


def save(directory: Path, kind: str, tokenizer: str, **changes: Any) -> LoadedModel:
    """A random model of this kind with this tokenizer, saved and loaded as a user's is."""
    made = TOKENIZERS[tokenizer]()
    network = tiny.network(kind, vocabulary=len(made) + 3, eos_token_id=made.eos_token_id, **changes)
    with torch.no_grad():
        for name, weight in network.named_parameters():  # norms that do something, so that a wrong one is seen
            if "norm" in name:
                weight.add_(0.3 * torch.randn(weight.shape))
    network.save_pretrained(directory)
    made.save_pretrained(directory)
    return tiny.load(directory)


def written(model: LoadedModel, directory: Path, quantization: gguf_write.Quantization) -> Path:
    path = directory / "model.gguf"
    write_gguf(directory, model.tokenizer, model.format.end_id, quantization, path, "tiny")
    return path


@pytest.mark.parametrize("is_tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("kind", "tokenizer"),
    [("llama", "unigram"), ("qwen2", "qwen2"), ("qwen3", "llama-bpe"), ("gemma3", "byte fallback"), ("llama", "gpt-2")],
)
def test_llama_cpp_reads_the_same_ids_and_computes_the_same_loss(
    kind: str, tokenizer: str, is_tied: bool, tmp_path: Path
) -> None:
    model = save(tmp_path, kind, tokenizer, tie_word_embeddings=is_tied)
    proof = prove_gguf(written(model, tmp_path, "f32"), model, "f32", sample_strings([]), QUESTIONS)
    assert proof["strings_with_equal_token_ids"] == 200
    assert proof["mean_loss_in_llama_cpp"] == pytest.approx(proof["mean_loss"], rel=1e-4)
    assert proof["replies_equal"] >= 3  # some may differ where two words are as likely


@pytest.mark.parametrize("quantization", ["bf16", "q8_0"])
def test_rounded_formats_stay_within_their_limits(quantization: gguf_write.Quantization, tmp_path: Path) -> None:
    model = save(tmp_path, "qwen3", "qwen2")
    proof = prove_gguf(written(model, tmp_path, quantization), model, quantization, sample_strings([]), QUESTIONS)
    limit = export_proof.LOSS_LIMITS[quantization]
    assert 0 < abs(proof["mean_loss_in_llama_cpp"] / proof["mean_loss"] - 1) < limit


def test_q4_k_m_is_llama_cpps_mixture(tmp_path: Path) -> None:
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3}
    model = save(tmp_path, "llama", "qwen2", **sizes)
    path = written(model, tmp_path, "q4_k_m")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert types["token_embd.weight"] == types["blk.0.attn_q.weight"] == "Q4_K"
    assert types["output.weight"] == types["blk.2.ffn_down.weight"] == types["blk.2.attn_v.weight"] == "Q6_K"
    assert types["blk.0.attn_v.weight"] == "Q4_K" and types["output_norm.weight"] == "F32"
    with LlamaCpp(path) as reader:
        ids = reader.token_ids(tiny_tokenizers.TEXTS[0])
        mean_loss = reader.mean_loss([ids])
    assert mean_loss == pytest.approx(-_mean_logprob(model, ids), rel=0.05)


def test_rows_that_blocks_of_256_do_not_divide_get_the_formats_that_llama_cpp_gives_them(tmp_path: Path) -> None:
    model = save(tmp_path, "gemma3", "byte fallback")  # rows of 32
    tensors = gguf.GGUFReader(written(model, tmp_path, "q4_k_m")).tensors
    types = {tensor.name: tensor.tensor_type.name for tensor in tensors}
    assert (types["token_embd.weight"], types["blk.0.attn_q.weight"]) == ("Q8_0", "Q5_0")


def test_llama3s_rotation_is_computed_alike(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
    model = save(tmp_path, "llama", "llama-bpe", rope_parameters=rope, max_position_embeddings=256, head_dim=16)
    with LlamaCpp(written(model, tmp_path, "f32"), window=256) as reader:
        ids = reader.token_ids(tiny_tokenizers.TEXTS[0] * 4)
        assert len(ids) > 64
        assert reader.mean_loss([ids]) == pytest.approx(-_mean_logprob(model, ids), rel=1e-4)


def test_replies_stop_in_llama_cpp_where_they_stop_here(tmp_path: Path) -> None:
    model = save(tmp_path, "llama", "unigram")
    network: Any = model.network
    with torch.no_grad():
        network.lm_head.weight[model.format.end_id] *= 4  # an end that comes soon
    network.save_pretrained(tmp_path)
    path = written(model, tmp_path, "f32")
    questions = [text[:12] for text in tiny_tokenizers.TEXTS]
    proof = prove_gguf(path, model, "f32", sample_strings([]), questions)
    assert proof["replies_stopped"] > 1
    # Random weights have near ties, which llama.cpp's half-precision cache may decide in another way.
    assert abs(proof["replies_stopped"] - proof["replies_stopped_in_llama_cpp"]) <= 1
    end = model.format.end_id
    with LlamaCpp(path) as reader:
        assert reader.ends(end) and not reader.ends(end + 1)


def test_llama_cpps_own_server_writes_conversations_by_the_template_in_the_file(tmp_path: Path) -> None:
    xllamacpp: Any = pytest.importorskip("xllamacpp")
    model = save(tmp_path, "qwen3", "qwen2")
    params = xllamacpp.CommonParams()
    params.model.path = str(written(model, tmp_path, "f32"))
    params.n_ctx, params.n_parallel, params.warmup, params.use_jinja, params.verbosity = 512, 1, False, True, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    messages = [
        {"role": "system", "content": "短く。"}, {"role": "user", "content": "首都は？"},
        {"role": "assistant", "content": "東京。"}, {"role": "user", "content": "Who won?"},
    ]  # fmt: skip
    reply = xllamacpp.Server(params).handle_chat_completions({"messages": messages, "max_tokens": 1})
    assert reply["usage"]["prompt_tokens"] == len(model.format.prompt_ids(messages))


def test_a_file_with_other_weights_or_another_tokenizer_is_no_proof(tmp_path: Path) -> None:
    model = save(tmp_path, "qwen2", "qwen2")
    path = written(model, tmp_path, "f32")
    with torch.no_grad():
        next(iter(model.network.parameters())).mul_(1.05)
    with pytest.raises(ModelError, match="the mean loss differs by"):
        prove_gguf(path, model, "f32", sample_strings([]), QUESTIONS)
    other = save(tmp_path / "other", "qwen2", "gpt-2")
    with pytest.raises(ModelError, match=r"llama.cpp reads .* as the tokens"):
        prove_gguf(path, other, "f32", sample_strings([]), QUESTIONS)


def test_an_unknown_architecture_rotation_or_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    model = save(tmp_path, "llama", "qwen2", rope_parameters={"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0})
    with pytest.raises(UsageError, match=r"rope_type is yarn. Possible: default, linear, llama3"):
        written(model, tmp_path, "f32")
    config: Any = model.network.config
    config.model_type = "mamba"
    with pytest.raises(
        UsageError, match=r'"mamba" cannot be exported. Types that can: llama, qwen2, qwen3, gemma3_text'
    ):
        gguf_write.architecture(config)
    writer = gguf.GGUFWriter(tmp_path / "none.gguf", "llama")
    with pytest.raises(UsageError, match="BPE over bytes, split as by nothing"):
        add_tokenizer(writer, tiny.byte_tokenizer(), 257, 258)


def test_the_modelfile_has_the_templates_words_in_ollamas_language(tmp_path: Path) -> None:
    model = save(tmp_path, "llama", "unigram")
    turns = turns_of(model.format)
    assert (turns.start, turns.user, turns.reply_end) == ("<s>", ("### 質問:\n", "\n\n### 回答:\n"), "</s>\n\n")
    text = modelfile(model.format, "model-q8_0.gguf")
    assert text == (
        "FROM ./model-q8_0.gguf\nPARAMETER temperature 0\n"
        'TEMPLATE """<s>{{ if .System }}{{ .System }}\n\n{{ else }}{{ end }}{{ range .Messages }}'
        '{{ if eq .Role "user" }}### 質問:\n{{ .Content }}\n\n### 回答:\n'
        '{{ else if eq .Role "assistant" }}{{ .Content }}</s>\n\n{{ end }}{{ end }}"""\n'
        'PARAMETER stop "</s>"\nPARAMETER stop "### 質問:"\n'
    )


def test_a_template_with_a_default_system_text_keeps_it(tmp_path: Path) -> None:
    model = save(tmp_path, "qwen2", "qwen2")
    model.tokenizer.chat_template = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    turns = turns_of(model.format)
    assert turns.opening == "<|im_start|>system\nBe kind.<|im_end|>\n"
    assert turns.user == ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    model.tokenizer.chat_template = "{% for m in messages %}{{ loop.index }}:{{ m.content }}{% endfor %}"
    with pytest.raises(ModelError, match="more than put fixed words"):
        turns_of(model.format)


def _mean_logprob(model: LoadedModel, ids: list[int]) -> float:
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([ids])).logits[0, :-1].double()
    chosen = logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])
    assert math.isfinite(float(chosen.mean()))
    return float(chosen.mean())
