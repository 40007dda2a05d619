"""Bytes alive: what tensors hold at any moment, counted as operations make them and let go of them."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the tensors that operations make inside the `with`: `now` and, at most, `peak`.

    Views share their storage, which counts once. What an operation needs inside itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            self._seen.add(key)
            weakref.finalize(storage, self._let_go, key, storage.nbytes()).atexit = False
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def _let_go(self, key: int, num_bytes: int) -> None:
        self._seen.discard(key)
        self.now -= num_bytes
