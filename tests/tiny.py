"""Tiny networks with random weights, and tokenizers made here; saved as safetensors and loaded as users' models are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ishibumi.models.load import LoadedModel, load_model
from ishibumi.settings import CptSettings, ModelSettings
from ishibumi.training.batches import Batch, Plan, make_plan
from ishibumi.training.tokens import Example, Source, open_tokens, write_tokens

KINDS = ("llama", "qwen2", "qwen3", "gemma3")
TIED = {"llama": False, "qwen2": True, "qwen3": True, "gemma3": True, "unigram": False}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WINDOW = 6  # of Gemma's sliding layers, shorter than the texts of the tests


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """258 tokens: every byte, then <s> and </s>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*alphabet, "<s>", "</s>"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Pieces with scores as llm-jp has them; what no piece covers becomes bytes."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [(word, -5.0) for word in ("東京", "です", "首都", "質問", "回答", "###", "▁", "は", ":", "？", "。")]
    inner = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def network(kind: str, *, vocabulary: int = 258, **changes: Any) -> Any:
    """A network of two layers, with weights large enough that its replies differ; `changes` go into its config."""
    torch.manual_seed(1)
    common: dict[str, Any] = {
        "vocab_size": vocabulary, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "initializer_range": 0.2,
        "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": None,
        "tie_word_embeddings": TIED.get(kind, False), **changes,
    }  # fmt: skip
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**common))
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**common, head_dim=8))
    if kind == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        return Gemma3ForCausalLM(
            Gemma3TextConfig(**common, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW, layer_types=layers)
        )
    return LlamaForCausalLM(LlamaConfig(**common))


def save(kind: str, directory: Path) -> Path:
    """The directory, with the model of this kind and its tokenizer in it."""
    tokenizer = unigram_tokenizer() if kind == "unigram" else byte_tokenizer()
    network(kind, vocabulary=len(tokenizer)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def load(directory: Path, dtype: str = "float32", device: str | None = None) -> LoadedModel:
    """The model in the directory, on the CPU."""
    settings = ModelSettings.model_validate({"base": str(directory), "device": "cpu", "dtype": dtype})
    return load_model(settings, directory, device=torch.device(device) if device else None)


def example(text: str, source: Any = "document", *, num_prompt: int = 1, document_id: str = "") -> Example:
    """A text of the byte tokenizer between <s> and </s>, of which all but the first `num_prompt` tokens are learned."""
    ids = [256, *byte_tokenizer()(text, add_special_tokens=False)["input_ids"], 257]
    return Example(ids, [i >= num_prompt for i in range(len(ids))], document_id or f"doc-{text[:4]}", source)


def settings(**values: Any) -> CptSettings:
    """Settings for rows of 64 tokens, two rows a step, without warm-up."""
    base = {
        "rank": 4, "alpha": 8, "learning_rate": 1e-2, "embedding_learning_rate": 1e-3, "epochs": 2, "row_tokens": 64,
        "tokens_per_step": 128, "warmup_share": 0.0,
    }  # fmt: skip
    return CptSettings.model_validate(base | values)


def plan_of(examples: Sequence[Example], directory: Path, chosen: CptSettings, seed: int = 1) -> Plan:
    """The plan of a stage that trains on all these examples."""
    directory.mkdir(parents=True, exist_ok=True)
    write_tokens(directory, list(examples))
    own: list[Source] = sorted({e.source for e in examples})
    return make_plan(
        open_tokens(directory), own=own, shares={}, epochs=chosen.epochs, row_tokens=chosen.row_tokens,
        tokens_per_step=chosen.tokens_per_step, seed=seed, answer_weight=chosen.answer_weight,
    )  # fmt: skip


def batch_of(plan: Plan) -> Batch:
    """All rows of a plan as one batch."""
    (batch,) = replace(plan, rows_per_step=len(plan.rows)).passes(plan.rows, 10**9)
    return batch
