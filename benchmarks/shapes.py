"""Networks with random weights in the shapes of real ones, and random texts: speed and memory need no download."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FIRST_WORD = 10  # smaller ids are special


def config(shape: str) -> Any:
    """The configuration of "13b" (llm-jp-3 13.7B), "1.5b" (Qwen 2.5's sizes) or "270m" (Gemma 3)."""
    from transformers import Gemma3TextConfig, LlamaConfig

    ids: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 4, "use_cache": False}
    if shape == "270m":
        kinds = ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(18)]
        return Gemma3TextConfig(
            vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18, num_attention_heads=4,
            num_key_value_heads=1, head_dim=256, query_pre_attn_scalar=256, sliding_window=512, layer_types=kinds,
            max_position_embeddings=32_768, **ids,
        )  # fmt: skip
    sizes = {
        "13b": {"hidden_size": 5120, "intermediate_size": 13_824, "num_hidden_layers": 40, "num_attention_heads": 40},
        "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
        "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    }[shape]
    return LlamaConfig(
        vocab_size=512 if shape == "tiny" else 99_584, max_position_embeddings=4096, rms_norm_eps=1e-5,
        num_key_value_heads=sizes["num_attention_heads"], tie_word_embeddings=False, **sizes, **ids,
    )  # fmt: skip


def config_70b() -> Any:
    """The configuration of Llama 3's 70B, with the vocabulary and the shared keys and values that it has."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=128_256, hidden_size=8192, intermediate_size=28_672, num_hidden_layers=80, num_attention_heads=64,
        num_key_value_heads=8, tie_word_embeddings=False,
    )  # fmt: skip


def network(shape: str, device: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The network, the same at every call on one kind of device."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        made = AutoModelForCausalLM.from_config(config(shape), attn_implementation="sdpa")
    torch.set_default_dtype(torch.float32)
    return made.to(dtype).eval()


def rows(shape: str, num_rows: int, row_tokens: int) -> np.ndarray:
    """Random texts of one row each, (num_rows, row_tokens)."""
    random = np.random.default_rng(0)
    return random.integers(FIRST_WORD, config(shape).vocab_size, (num_rows, row_tokens), dtype=np.int64)


def save(shape: str, directory: Path) -> None:
    """The network with a tokenizer, as peers load it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    network(shape, "cuda").save_pretrained(directory, max_shard_size="5GB")
    special = ["<unk>", "<s>", "</s>", "<mask>", "<pad>"]
    words = {w: i for i, w in enumerate([*special, *(f"w{i}" for i in range(5, 1000))])}  # no text is read
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(directory)
