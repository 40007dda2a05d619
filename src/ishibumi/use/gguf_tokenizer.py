"""A tokenizer of the tokenizers library → the same one in GGUF's words.

    BPE over bytes (Qwen, Llama 3)             gpt2    pieces and merges; llama.cpp knows the splitting rule by its name
    BPE with byte fallback (Gemma, Llama 2)    llama   a piece's score is the place of its merge: earlier is higher
    Unigram with byte fallback (llm-jp)        plamo2  the likeliest pieces by score; llama.cpp's only such search with
                                                       byte fallback. Its pieces have spaces where others have ▁

Whether the ids are the same is proved afterwards, on texts (export_proof).
"""

import json
from typing import Any

import gguf
from gguf import TokenType

from ishibumi.errors import UsageError

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How a text is split before merging → llama.cpp's name of the rule. "" is ByteLevel's own expression, that of GPT-2.
SPLITTING = {"": "gpt-2", rf"{_WORDS}|\p{{N}}|{_REST}": "qwen2", rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}": "llama-bpe"}


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any, end_id: int, num_words: int) -> None:
    """Write pieces, special tokens and chat template. Raises UsageError for a kind that llama.cpp does not have."""
    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = _kind_of(inner)
    writer.add_tokenizer_model(kind)
    pieces = _pieces(tokenizer, num_words)
    writer.add_token_types(_types(inner, pieces))
    if kind == "gpt2":
        writer.add_tokenizer_pre(_splitting(inner))
        writer.add_token_merges([" ".join(pair) for pair in _merges(inner)])
    else:
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(_unigram_scores(inner, pieces) if kind == "plamo2" else _merge_scores(inner, pieces))
        writer.add_add_space_prefix(_has_space_prefix(inner))
    writer.add_token_list([piece.replace("▁", " ") for piece in pieces] if kind == "plamo2" else pieces)
    _add_special(writer, tokenizer, end_id)


def adds_start(tokenizer: Any) -> bool:
    """Whether the tokenizer itself puts its start token before a text."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def _add_special(writer: gguf.GGUFWriter, tokenizer: Any, end_id: int) -> None:
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_eot_token_id(end_id)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(adds_start(tokenizer))
    writer.add_add_eos_token(False)
    writer.add_chat_template(tokenizer.chat_template)


def _kind_of(inner: dict[str, Any]) -> str:
    model = inner["model"]
    if model["type"] == "BPE" and _byte_level(inner):
        return "gpt2"
    if model["type"] == "BPE" and model.get("byte_fallback"):
        return "llama"
    if model["type"] == "Unigram" and model.get("byte_fallback") and not _has_space_prefix(inner):
        return "plamo2"
    raise _no_such(f"{model['type']}, byte_fallback {model.get('byte_fallback')}")


def _no_such(what: str) -> UsageError:
    return UsageError(
        f"llama.cpp has no tokenizer of this kind: {what}. It has BPE over bytes, split as by "
        f"{', '.join(SPLITTING.values())}; BPE with byte_fallback; "
        "Unigram with byte_fallback and without a space put before the text.",
        hint="Use --format merged, and a server that reads it, such as vLLM.",
        hint_ja="--format merged で書き出し、vLLM など対応するサーバーを使ってください。",
    )


def _pieces(tokenizer: Any, num_words: int) -> list[str]:
    """All pieces by id; ids of the network that no piece has get a name of their own."""
    by_id = {index: piece for piece, index in tokenizer.get_vocab().items()}
    return [by_id.get(index, f"[PAD{index}]") for index in range(num_words)]


def _types(inner: dict[str, Any], pieces: list[str]) -> list[TokenType]:
    added = {token["id"]: token["special"] for token in inner["added_tokens"]}
    known = {index for index, piece in enumerate(pieces) if piece != f"[PAD{index}]"}
    unknown = inner["model"].get("unk_token") or inner["model"].get("unk_id")

    def type_of(index: int, piece: str) -> TokenType:
        if index not in known:
            return TokenType.UNUSED
        if unknown is not None and unknown in (piece, index):
            return TokenType.UNKNOWN
        if inner["model"].get("byte_fallback") and _is_byte(piece):
            return TokenType.BYTE
        if index in added:
            return TokenType.CONTROL if added[index] else TokenType.USER_DEFINED
        return TokenType.NORMAL

    return [type_of(index, piece) for index, piece in enumerate(pieces)]


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _merges(inner: dict[str, Any]) -> list[list[str]]:
    merges: list[Any] = inner["model"]["merges"]
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]


def _merge_scores(inner: dict[str, Any], pieces: list[str]) -> list[float]:
    """llama.cpp joins the two neighbours whose piece has the highest score: minus the place of its first merge."""
    place: dict[str, int] = {}
    for rank, pair in enumerate(_merges(inner)):
        place.setdefault("".join(pair), rank)
    last = len(place)
    return [-float(place.get(piece, last)) for piece in pieces]


def _unigram_scores(inner: dict[str, Any], pieces: list[str]) -> list[float]:
    scores = dict(inner["model"]["vocab"])
    return [float(scores.get(piece, 0.0)) for piece in pieces]


def _steps(inner: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, with sequences laid open."""

    def opened(step: dict[str, Any] | None) -> list[dict[str, Any]]:
        if step is None:
            return []
        nested = step.get("normalizers") or step.get("pretokenizers")
        return [s for one in nested for s in opened(one)] if nested else [step]

    return opened(inner[part])


def _byte_level(inner: dict[str, Any]) -> dict[str, Any] | None:
    return next((step for step in _steps(inner, "pre_tokenizer") if step["type"] == "ByteLevel"), None)


def _splitting(inner: dict[str, Any]) -> str:
    byte_level = _byte_level(inner)
    split = [s["pattern"].get("Regex") for s in _steps(inner, "pre_tokenizer") if s["type"] == "Split"]
    pattern = split[0] if len(split) == 1 else None
    if not split and byte_level and byte_level["use_regex"]:
        pattern = ""
    if pattern not in SPLITTING:
        raise _no_such(f"BPE over bytes, split as by {split or 'nothing'}")
    return SPLITTING[pattern]


def _has_space_prefix(inner: dict[str, Any]) -> bool:
    if any(step["type"] == "Prepend" for step in _steps(inner, "normalizer")):
        return True
    metaspace = [step for step in _steps(inner, "pre_tokenizer") if step["type"] == "Metaspace"]
    return any(step.get("prepend_scheme", "always") != "never" for step in metaspace)
