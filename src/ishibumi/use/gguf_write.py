"""A finished model's directory → one GGUF file: hyperparameters, tensors in llama.cpp's order and number formats.

Tensors go through one at a time, from safetensors to the file, so that the whole model is never in memory.
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors import safe_open
from transformers import AutoConfig

from ishibumi.errors import UsageError
from ishibumi.models.load import head_size
from ishibumi.use.gguf_read import llama_cpp
from ishibumi.use.gguf_tokenizer import add_tokenizer

Quantization = Literal["f32", "bf16", "q8_0", "q4_k_m"]
ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma3_text": gguf.MODEL_ARCH.GEMMA3,
}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_k_m": gguf.LlamaFileType.MOSTLY_Q4_K_M,
}
# What stands in for a format whose blocks do not divide a row, as in llama.cpp; a row of 640 holds 2.5 blocks of 256.
STANDS_IN = {Type.Q4_K: Type.Q5_0, Type.Q6_K: Type.Q8_0, Type.Q5_0: Type.F16, Type.Q8_0: Type.F16}


@dataclass(frozen=True)
class _Tensor:
    """One tensor: where it is, what llama.cpp calls it and how it is stored there."""

    file: Path
    source: str
    name: str
    shape: tuple[int, ...]
    type: Type

    @property
    def num_bytes(self) -> int:
        """Its size in the file."""
        values_per_block, bytes_per_block = gguf.GGML_QUANT_SIZES[self.type]
        return int(np.prod(self.shape)) // values_per_block * bytes_per_block


def architecture(config: Any) -> gguf.MODEL_ARCH:
    """llama.cpp's name for the model's architecture. Raises UsageError for one that cannot be exported."""
    if config.model_type not in ARCHITECTURES:
        raise UsageError(
            f'A model of type "{config.model_type}" cannot be exported. Types that can: {", ".join(ARCHITECTURES)}.',
            hint="Use the model that the run left in sft/model as it is: transformers reads it.",
            hint_ja="実行が sft/model に残したモデルは、そのまま transformers で読めます。",
        )
    return ARCHITECTURES[config.model_type]


def write_gguf(model_dir: Path, tokenizer: Any, end_id: int, quantization: Quantization, path: Path, name: str) -> None:
    """Write the model in `model_dir` to `path`. `end_id` ends a reply; the chat template goes into the file.

    Raises UsageError for an architecture, a kind of rotation or a tokenizer that llama.cpp would read as another one.
    """
    config = AutoConfig.from_pretrained(model_dir, local_files_only=True)
    arch = architecture(config)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[quantization])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_parameters(writer, config)
    add_tokenizer(writer, tokenizer, end_id, int(config.vocab_size))
    frequencies = _llama3_frequencies(config)
    tensors = list(_tensors(model_dir, config, arch, quantization))
    for name, array in frequencies.items():
        writer.add_tensor_info(name, array.shape, array.dtype, array.nbytes)
    for t in tensors:
        writer.add_tensor_info(t.name, t.shape, np.dtype(np.float32), t.num_bytes, t.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for array in frequencies.values():
        writer.write_tensor_data(array)
    for t in tensors:
        writer.write_tensor_data(_stored(_weights(t, config), t.type))
    writer.close()


def _add_parameters(writer: gguf.GGUFWriter, config: Any) -> None:
    numbers = head_size(config)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(numbers)
    writer.add_value_length(numbers)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(numbers)
    rope = config.rope_parameters
    if config.model_type == "gemma3_text":
        _add_gemma(writer, config)
        rope, sliding = rope["full_attention"], rope["sliding_attention"]
        writer.add_rope_freq_base_swa(sliding["rope_theta"])
    elif getattr(config, "use_sliding_window", False):
        raise _cannot(config, "use_sliding_window", True, "False")
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] not in ("default", "llama3"):
        raise _cannot(config, "rope_type", rope["rope_type"], "default, linear, llama3")


def _add_gemma(writer: gguf.GGUFWriter, config: Any) -> None:
    """The window and every how many layers one sees all; llama.cpp takes the rest of Gemma 3 for granted."""
    kinds = config.layer_types
    period = kinds.index("full_attention") + 1 if "full_attention" in kinds else 0
    regular = ["full_attention" if period and i % period == period - 1 else kinds[0] for i in range(len(kinds))]
    if kinds != regular:
        raise _cannot(config, "layer_types", kinds, "a full_attention layer after every n others")
    scale = config.hidden_size // config.num_attention_heads if config.num_hidden_layers == 62 else head_size(config)
    if config.query_pre_attn_scalar != scale:
        raise _cannot(config, "query_pre_attn_scalar", config.query_pre_attn_scalar, str(scale))
    if config.attn_logit_softcapping or config.final_logit_softcapping or config.use_bidirectional_attention:
        raise _cannot(config, "softcapping or bidirectional attention", "set", "none")
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern(period)


def _cannot(config: Any, what: str, value: object, possible: str) -> UsageError:
    return UsageError(
        f"llama.cpp would compute this {config.model_type} model otherwise: {what} is {value}. Possible: {possible}.",
        hint="Use --format merged, and a server that reads it, such as vLLM.",
        hint_ja="--format merged で書き出し、vLLM など対応するサーバーを使ってください。",
    )


def _tensors(model_dir: Path, config: Any, arch: gguf.MODEL_ARCH, quantization: Quantization) -> Iterator[_Tensor]:
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    is_tied = bool(config.tie_word_embeddings)
    for file in sorted(model_dir.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            for source in sorted(stored.keys()):
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if source == "lm_head.weight" and is_tied:
                    continue
                if name is None:
                    raise _cannot(config, "a tensor", source, "those of the plain architecture")
                shape = tuple(stored.get_slice(source).get_shape())
                yield _Tensor(file, source, name, shape, _type_of(name, shape, config, quantization))


def _type_of(name: str, shape: tuple[int, ...], config: Any, quantization: Quantization) -> Type:
    """The number format of a tensor. q4_k_m is llama.cpp's mixture: six bits where four would do most harm."""
    if len(shape) < 2 or quantization == "f32":
        return Type.F32
    if quantization == "bf16":
        return Type.BF16
    wanted = Type.Q8_0
    if quantization == "q4_k_m":
        is_head = name == ("token_embd.weight" if config.tie_word_embeddings else "output.weight")
        is_sensitive = name.endswith(("attn_v.weight", "ffn_down.weight"))
        finer = is_head or (is_sensitive and _needs_more_bits(int(name.split(".")[1]), config.num_hidden_layers))
        wanted = Type.Q6_K if finer else Type.Q4_K
    while shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0]:
        wanted = STANDS_IN[wanted]
    return wanted


def _needs_more_bits(layer: int, num_layers: int) -> bool:
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2


def _weights(t: _Tensor, config: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The tensor in fp32, in llama.cpp's layout."""
    with safe_open(t.file, "pt") as stored:
        weight: torch.Tensor = stored.get_tensor(t.source).float()
    if config.model_type == "gemma3_text" and t.source.endswith("norm.weight"):
        weight = weight + 1  # Gemma multiplies by 1 + w, llama.cpp by w
    if config.model_type == "llama" and ".q_proj." in t.source:
        weight = _paired(weight, config.num_attention_heads)
    if config.model_type == "llama" and ".k_proj." in t.source:
        weight = _paired(weight, config.num_key_value_heads)
    return weight.contiguous().numpy()


def _paired(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Rows as llama.cpp rotates them for Llama: dimension i next to i + half, where transformers has halves."""
    return (
        weight.view(num_heads, 2, weight.shape[0] // num_heads // 2, *weight.shape[1:])
        .transpose(1, 2)
        .reshape_as(weight)
    )


def _stored(weight: np.ndarray[Any, np.dtype[np.float32]], kind: Type) -> np.ndarray[Any, Any]:
    """The tensor's bytes in its number format. gguf packs all but the K formats, which llama.cpp packs itself."""
    if kind not in (Type.Q4_K, Type.Q6_K):
        return gguf.quants.quantize(weight, kind)
    rows, columns = weight.shape
    packed = np.empty((rows, gguf.quants.quant_shape_to_byte_shape((columns,), kind)[0]), dtype=np.uint8)
    source, target = (array.ctypes.data_as(ctypes.c_void_p) for array in (weight, packed))
    written = llama_cpp().ggml_quantize_chunk(int(kind), source, target, 0, rows, columns, None)
    assert written == packed.nbytes
    return packed


def _llama3_frequencies(config: Any) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """The tensor of what Llama 3 divides the frequency of each rotated pair by; nothing for other rotations.

    Fast pairs keep theirs, slow ones turn `factor` times slower, those between go over smoothly.
    """
    rope = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return {}
    numbers = head_size(config)
    wavelength = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, numbers, 2) / numbers)
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    turns = rope["original_max_position_embeddings"] / wavelength
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return {"rope_freqs.weight": (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)}
