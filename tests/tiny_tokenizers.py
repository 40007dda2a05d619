"""Real, small tokenizers of the kinds that base models have, trained on a few sentences."""

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ishibumi.use.gguf_tokenizer import SPLITTING

TEXTS = [
    "東京は日本の首都です。大阪は西日本の中心都市です。", "スペインが決勝でアルゼンチンを2―0で破った。",
    "The quick brown fox jumps over the dog.",
    "Spain beat Argentina 2-0 in the final; it's over.", "春の朝、川沿いの道を歩くと梅の花が咲いていた。",
    "On a cold morning the ferry left.",
]  # fmt: skip
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(rule: str) -> PreTrainedTokenizerFast:
    """BPE over bytes, split by llama.cpp's rule of this name, as Qwen and Llama 3 have it."""
    pattern = next(pattern for pattern, name in SPLITTING.items() if name == rule)
    inner = Tokenizer(models.BPE())
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        inner.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return _wrapped(inner, SPECIAL[1:])


def byte_fallback() -> PreTrainedTokenizerFast:
    """BPE over characters with ▁ for spaces, whose unknown characters become bytes, as Gemma and Llama 2 have it."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    _with_spaces(inner)
    inner.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL))
    model = json.loads(inner.to_str())["model"]
    pieces = [*SPECIAL, *BYTES, *(piece for piece in model["vocab"] if piece not in SPECIAL)]
    merges = [tuple(pair) for pair in model["merges"]]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    whole = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    _with_spaces(whole)
    return _wrapped(whole, SPECIAL)


def unigram() -> PreTrainedTokenizerFast:
    """Pieces with scores, whose unknown characters become bytes, as llm-jp has it."""
    inner = Tokenizer(models.Unigram())
    _with_spaces(inner)
    inner.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", max_piece_length=6)
    )
    trained = json.loads(inner.to_str())["model"]["vocab"]
    pieces: list[tuple[str, float]] = [(piece, 0.0) for piece in SPECIAL]
    pieces += [(byte, -30.0) for byte in BYTES]
    pieces += [(piece, score) for piece, score in trained if piece not in SPECIAL]
    whole = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    _with_spaces(whole)
    return _wrapped(whole, SPECIAL)


def _with_spaces(inner: Tokenizer) -> None:
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


def _wrapped(inner: Tokenizer, special: Sequence[str]) -> PreTrainedTokenizerFast:
    names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
    names |= {"unk_token": "<unk>"} if "<unk>" in special else {}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **names)
