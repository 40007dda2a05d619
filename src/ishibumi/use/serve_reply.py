"""One reply in the making: token after token → pieces of text that can be shown at once. Wish → Reply → Piece."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ishibumi.models.load import LoadedModel

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Wish:
    """What is asked for: a prompt's token ids and how the reply is chosen. Temperature 0 takes the likeliest token.

    `num_logprobs` likeliest tokens are told beside each token of the reply; 0 tells its own log-probability alone, None
    no probabilities at all.
    """

    prompt_ids: list[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop_texts: tuple[str, ...] = ()
    num_logprobs: int | None = None


@dataclass(frozen=True)
class Token:
    """A chosen token; `logprob` and `top` are log-probabilities in nats, where the wish asks for them."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What one step adds: text that no later token changes, the tokens, and how the reply ended if it did.

    `error` says that the reply cannot go on, and why.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    error: str = ""


@dataclass
class Reply:
    """A reply under way. Pieces go to `on_piece`; `is_wanted` is cleared by whoever no longer waits for it."""

    wish: Wish
    model: LoadedModel
    on_piece: Callable[[Piece], None]
    is_wanted: bool = True
    ids: list[int] = field(default_factory=list[int])
    finish: Finish | None = None
    _told: int = 0  # characters

    def __post_init__(self) -> None:
        self.random = random.Random(self.wish.seed)

    def take(self, token: Token) -> None:
        """Add a token and tell the text that is now certain; sets `finish` where the reply ends."""
        if token.id in self.model.format.stop_ids:
            self.finish = "stop"
        else:
            self.ids.append(token.id)
        text = str(self.model.tokenizer.decode(self.ids, skip_special_tokens=True))
        cuts = [text.index(stop) for stop in self.wish.stop_texts if stop in text]
        if cuts:
            text, self.finish = text[: min(cuts)], "stop"
        elif self.finish is None and self.num_tokens >= self.wish.max_tokens:
            self.finish = "length"
        certain = len(text) if self.finish else len(text) - _uncertain(text, self.wish.stop_texts)
        told, self._told = self._told, max(self._told, certain)
        self.on_piece(Piece(text[told : self._told], (token,), self.finish))

    @property
    def num_tokens(self) -> int:
        """How many tokens were chosen, without an end token."""
        return len(self.ids)


def _uncertain(text: str, stop_texts: tuple[str, ...]) -> int:
    """How many characters at the end may still change: half a character, or what may be the start of a stop text."""
    if text.endswith("\ufffd"):
        return len(text) - len(text.rstrip("\ufffd"))
    starts = (n for stop in stop_texts for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return max(starts, default=0)
