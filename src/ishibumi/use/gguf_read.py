"""A GGUF file as llama.cpp reads it: its token ids, its logits, its replies. GGUF file → LlamaCpp.

The package xllamacpp carries the whole of llama.cpp in one library, C interface included (llama.h). That is called here
rather than its server: no socket, and the logits of every token. Two of its functions take structures by value whose
later fields change from version to version; they are passed on as llama.cpp filled them, save for the first field.
"""

import ctypes as c
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ishibumi.errors import ModelError, UsageError

CHUNK = 128  # tokens whose logits are kept at once: 128 × 262,144 words × 4 bytes = 128 MiB
Logits = np.ndarray[Any, np.dtype[np.float32]]


class _Params(c.Structure):
    """llama_model_params or llama_context_params: 1,024 bytes hold either, as returned and as passed on the stack."""

    _fields_ = (("n_ctx", c.c_uint32), ("second", c.c_uint32), ("rest", c.c_uint64 * 127))


class _Batch(c.Structure):
    """llama_batch, as llama.h has it."""

    _fields_ = (
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    )


_PATH, _PTR, _INT, _BOOL = c.c_char_p, c.c_void_p, c.c_int32, c.c_bool
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "llama_log_set": (None, [_PTR, _PTR]),
    "llama_model_default_params": (_Params, []),
    "llama_context_default_params": (_Params, []),
    "llama_model_load_from_file": (_PTR, [_PATH, _Params]),
    "llama_init_from_model": (_PTR, [_PTR, _Params]),
    "llama_model_get_vocab": (_PTR, [_PTR]),
    "llama_vocab_n_tokens": (_INT, [_PTR]),
    "llama_vocab_is_eog": (_BOOL, [_PTR, _INT]),
    "llama_set_n_threads": (None, [_PTR, _INT, _INT]),
    "llama_tokenize": (_INT, [_PTR, _PATH, _INT, c.POINTER(c.c_int32), _INT, _BOOL, _BOOL]),
    "llama_batch_init": (_Batch, [_INT, _INT, _INT]),
    "llama_batch_free": (None, [_Batch]),
    "llama_decode": (_INT, [_PTR, _Batch]),
    "llama_get_logits_ith": (c.POINTER(c.c_float), [_PTR, _INT]),
    "llama_get_memory": (_PTR, [_PTR]),
    "llama_memory_clear": (None, [_PTR, _BOOL]),
    "llama_free": (None, [_PTR]),
    "llama_model_free": (None, [_PTR]),
    "ggml_quantize_chunk": (c.c_size_t, [_INT, _PTR, _PTR, c.c_int64, c.c_int64, c.c_int64, _PTR]),
}
_SILENT = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)  # must outlive the library's use of it


def llama_cpp() -> Any:
    """llama.cpp's C library, silent. Raises UsageError with the line to type where xllamacpp is not installed."""
    try:
        library = c.CDLL(str(importlib.import_module("xllamacpp.xllamacpp").__file__))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"GGUF files are proved by reading them with llama.cpp, which is not usable here: {error}.",
            hint="pip install 'ishibumi[llamacpp]'",
            hint_ja="pip install 'ishibumi[llamacpp]' を実行してください。",
        ) from error
    library.llama_log_set(_SILENT, None)
    return library


class LlamaCpp:
    """An open GGUF file; `with LlamaCpp(path) as reader`. More threads than free cores would stall it."""

    def __init__(self, path: Path, *, window: int = 2048, num_threads: int = 1) -> None:
        self.library = llama_cpp()
        library = self.library
        self._model = library.llama_model_load_from_file(str(path).encode(), library.llama_model_default_params())
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}.")
        params = library.llama_context_default_params()
        params.n_ctx = window
        self._context = library.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(f"llama.cpp has no room for {path} with a window of {window} tokens.")
        library.llama_set_n_threads(self._context, num_threads, num_threads)
        self._vocab = library.llama_model_get_vocab(self._model)
        self.num_words = int(library.llama_vocab_n_tokens(self._vocab))
        self._batch = library.llama_batch_init(CHUNK, 0, 1)

    def __enter__(self) -> "LlamaCpp":
        return self

    def __exit__(self, *_: object) -> None:
        self.library.llama_batch_free(self._batch)
        self.library.llama_free(self._context)
        self.library.llama_model_free(self._model)

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text; special tokens that are written out in it are read as such, nothing is added."""
        raw = text.encode()
        ids = (c.c_int32 * (len(raw) + 8))()
        count = self.library.llama_tokenize(self._vocab, raw, len(raw), ids, len(ids), False, True)
        return list(ids[:count])

    def ends(self, token: int) -> bool:
        """Whether llama.cpp stops at this token."""
        return bool(self.library.llama_vocab_is_eog(self._vocab, token))

    def logits(self, ids: Sequence[int]) -> Iterator[Logits]:
        """The logits after each token of a text, in pieces (tokens, words)."""
        self.library.llama_memory_clear(self.library.llama_get_memory(self._context), True)
        for start in range(0, len(ids), CHUNK):
            yield self._decode(ids[start : start + CHUNK], start, keep_all=True)

    def mean_loss(self, texts: Sequence[Sequence[int]]) -> float:
        """The mean negative log-likelihood (nats) of all tokens but each text's first."""
        nll, count = 0.0, 0
        for ids in texts:
            logits = np.concatenate(list(self.logits(ids[:-1]))).astype(np.float64)
            top = logits.max(-1)
            logsum = top + np.log(np.exp(logits - top[:, None]).sum(-1))
            nll += float((logsum - logits[np.arange(len(logits)), ids[1:]]).sum())
            count += len(logits)
        return nll / count

    def reply(self, prompt: Sequence[int], max_new_tokens: int) -> tuple[list[int], bool]:
        """The greedy reply to a prompt, without its end, and whether it stopped by itself."""
        *_, logits = self.logits(prompt)
        said: list[int] = []
        while len(said) < max_new_tokens:
            token = int(logits[-1].argmax())
            if self.ends(token):
                return said, True
            said.append(token)
            logits = self._decode([token], len(prompt) + len(said) - 1, keep_all=False)
        return said, False

    def _decode(self, ids: Sequence[int], start: int, *, keep_all: bool) -> Logits:
        batch = self._batch
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, start + i, 1, 0
            batch.logits[i] = keep_all or i == len(ids) - 1
        failed = self.library.llama_decode(self._context, batch)
        if failed:
            raise ModelError(f"llama.cpp failed to decode {start + len(ids)} tokens (code {failed}).")
        places = range(len(ids)) if keep_all else [len(ids) - 1]
        rows = [self.library.llama_get_logits_ith(self._context, i) for i in places]
        return np.stack([np.ctypeslib.as_array(row, (self.num_words,)) for row in rows])
