"""TokenStore: the texts of a stage as token ids on disk, memory-mapped. Examples → ids.npy, learned.npy, offsets.npy.

An example is one text that attends only to itself. Its mask says which tokens are learned:

    document   <bos> 2026年… を下した。 <eos>        all but the first
    question   <bos> ### 質問: … ### 回答: 2-1 <eos>  only «2-1 <eos>»
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Source = Literal["document", "view", "question", "replay", "chat"]
SOURCES: tuple[Source, ...] = ("document", "view", "question", "replay", "chat")


@dataclass(frozen=True)
class Example:
    """One text in tokens; `learned[i]` is whether token i is predicted and learned; `document_id` may be empty."""

    ids: list[int]
    learned: list[bool]
    document_id: str
    source: Source


@dataclass(frozen=True)
class TokenStore:
    """Examples of N texts with M tokens in all. ids (M,) int32, learned (M,) bool, offsets (N+1,) int64, sources (N,)."""

    ids: np.ndarray
    learned: np.ndarray
    offsets: np.ndarray
    sources: np.ndarray
    document_ids: list[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, (N,)."""
        return np.diff(self.offsets)

    def example(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and learned mask of one example."""
        span = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.ids[span], self.learned[span]

    def of_source(self, source: Source) -> np.ndarray:
        """Indices of the examples of one source."""
        return np.flatnonzero(self.sources == SOURCES.index(source))


def whole_text(ids: list[int], bos: int | None, eos: int, document_id: str, source: Source) -> Example:
    """An example of a plain text: every token but the leading one is learned, the end included."""
    start = [] if bos is None or ids[:1] == [bos] else [bos]
    all_ids = [*start, *ids, eos]
    return Example(all_ids, [False] + [True] * (len(all_ids) - 1), document_id, source)


def fit_rows(examples: Iterable[Example], row_tokens: int) -> tuple[list[Example], int]:
    """Examples of at most `row_tokens`, and how many were too long.

    A long text goes on in a further example; a question or chat that does not fit is left out, because a cut
    reply would teach not to stop.
    """
    fitting: list[Example] = []
    num_long = 0
    for example in examples:
        size = len(example.ids)
        num_long += size > row_tokens
        if size <= row_tokens:
            fitting.append(example)
        elif example.source not in ("question", "chat"):
            cuts = range(0, size, row_tokens)
            fitting += [
                Example(
                    example.ids[c : c + row_tokens],
                    [False, *example.learned[c + 1 : c + row_tokens]],
                    example.document_id,
                    example.source,
                )
                for c in cuts
                if size - c > 1
            ]
    return fitting, num_long


def write_tokens(directory: Path, examples: list[Example]) -> None:
    """Store the examples as arrays in `directory`."""
    offsets = np.zeros(len(examples) + 1, dtype=np.int64)
    np.cumsum([len(e.ids) for e in examples], out=offsets[1:])
    ids = np.fromiter((i for e in examples for i in e.ids), dtype=np.int32, count=int(offsets[-1]))
    learned = np.fromiter((x for e in examples for x in e.learned), dtype=np.bool_, count=int(offsets[-1]))
    np.save(directory / "ids.npy", ids)
    np.save(directory / "learned.npy", learned)
    np.save(directory / "offsets.npy", offsets)
    np.save(directory / "sources.npy", np.array([SOURCES.index(e.source) for e in examples], dtype=np.int8))
    (directory / "document_ids.txt").write_text("\n".join(e.document_id for e in examples), encoding="utf-8")


def open_tokens(directory: Path) -> TokenStore:
    """The stored examples, memory-mapped."""
    arrays = {n: np.load(directory / f"{n}.npy", mmap_mode="r") for n in ("ids", "learned", "offsets", "sources")}
    names = (directory / "document_ids.txt").read_text(encoding="utf-8").split("\n")
    return TokenStore(**arrays, document_ids=names)
