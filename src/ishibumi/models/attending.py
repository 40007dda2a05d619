"""Which attention a network computes, for as long as a block lasts."""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn


@contextlib.contextmanager
def attending(network: nn.Module, name: str) -> Iterator[None]:
    """The network with the attention that transformers knows under this name."""
    config: Any = network.config
    before, config._attn_implementation = config._attn_implementation, name
    try:
        yield
    finally:
        config._attn_implementation = before
