"""The engine: one thread that makes all replies. Wishes wait here until a model's rows have room.

submit (any thread) → waiting → Rows, one set for each network → pieces to whoever asked
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ishibumi.models.load import LoadedModel
from ishibumi.use.serve_reply import Piece, Reply, Wish
from ishibumi.use.serve_rows import Rows


@dataclass(frozen=True)
class Limits:
    """What the server takes on; beyond it a request is refused at once.

    `num_rows` replies are made together and `num_waiting` wait. `cache_tokens` bounds memory: rows × the longest that
    any of them may become (18 KiB a token for Gemma 3 270M). `context_tokens` is the longest prompt with its reply.
    """

    num_rows: int = 32
    num_waiting: int = 128
    cache_tokens: int = 65_536
    context_tokens: int = 8192
    body_bytes: int = 262_144
    body_seconds: float = 10.0


class Busy(Exception):
    """The queue is full."""


@dataclass
class _Lane:
    """One network: who waits for it and who is answered."""

    model: LoadedModel
    rows: Rows
    waiting: deque[Reply] = field(default_factory=deque[Reply])

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or len(self.rows))


@dataclass
class Counts:
    """What happened since the start, for /metrics."""

    replies: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    abandoned: int = 0


class Engine:
    """Answers wishes until it is stopped; make one a process."""

    def __init__(self, models: Mapping[str, LoadedModel], limits: Limits) -> None:
        self.counts = Counts()
        self._limits = limits
        self._lanes = {name: _Lane(model, Rows(model)) for name, model in models.items()}
        self._wake = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, network: str, wishes: list[Wish], on_piece: Callable[[int, Piece], None]) -> list[Reply]:
        """Queue wishes that belong together; `on_piece` gets the number of the wish and is called in another thread.

        Raises Busy where the queue has no room for all of them.
        """
        lane = self._lanes[network]
        replies = [
            Reply(wish, lane.model, lambda piece, n=number: on_piece(n, piece)) for number, wish in enumerate(wishes)
        ]
        with self._wake:
            if self._is_stopped or self.num_waiting + len(wishes) > self._limits.num_waiting:
                self.counts.refused += len(wishes)
                raise Busy
            lane.waiting.extend(replies)
            self._wake.notify()
        return replies

    @property
    def num_waiting(self) -> int:
        """How many replies have not been begun."""
        return sum(len(lane.waiting) for lane in self._lanes.values())

    @property
    def num_running(self) -> int:
        """How many replies are being made."""
        return sum(len(lane.rows) for lane in self._lanes.values())

    def stop(self) -> None:
        """End the thread after the step in hand; replies that are not done end with an error."""
        with self._wake:
            self._is_stopped = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._is_stopped or any(lane.has_work for lane in self._lanes.values()))
                if self._is_stopped:
                    break
                for lane in self._lanes.values():
                    self._admit(lane)
            for lane in self._lanes.values():
                if len(lane.rows):
                    self._step(lane)
        for lane in self._lanes.values():
            self._fail(lane, "The server was stopped.")

    def _admit(self, lane: _Lane) -> None:
        """Let those in who fit, first come first served."""
        if not lane.rows.can_join:
            return
        fitting: list[Reply] = []
        longest = max((_size(reply.wish) for reply in lane.rows.replies), default=0)
        while lane.waiting and len(lane.rows) + len(fitting) < self._limits.num_rows:
            reply = lane.waiting[0]
            if not reply.is_wanted:
                self.counts.abandoned += 1
                lane.waiting.popleft()
                continue
            longest, num_rows = max(longest, _size(reply.wish)), len(lane.rows) + len(fitting) + 1
            if num_rows > 1 and num_rows * longest > self._limits.cache_tokens:
                break
            fitting.append(lane.waiting.popleft())
        if fitting:
            self.counts.prompt_tokens += sum(len(reply.wish.prompt_ids) for reply in fitting)
            lane.rows.join(fitting)

    def _step(self, lane: _Lane) -> None:
        before = lane.rows.replies
        num_before = sum(reply.num_tokens for reply in before)
        try:
            lane.rows.step()
        except RuntimeError as error:  # torch: out of memory, above all; the next requests may fit
            self._fail(lane, f"The model failed: {str(error).splitlines()[0]}")
            return
        self.counts.reply_tokens += sum(reply.num_tokens for reply in before) - num_before
        self.counts.replies += sum(reply.finish is not None for reply in before)
        self.counts.abandoned += sum(reply.finish is None and not reply.is_wanted for reply in before)

    def _fail(self, lane: _Lane, reason: str) -> None:
        for reply in [*lane.rows.replies, *lane.waiting]:
            reply.on_piece(Piece("", error=reason))
        lane.waiting.clear()
        lane.rows = Rows(lane.model)


def _size(wish: Wish) -> int:
    return len(wish.prompt_ids) + wish.max_tokens
