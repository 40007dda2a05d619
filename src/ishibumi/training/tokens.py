"""TokenStore: the texts of a stage as token ids on disk, memory-mapped. Examples → ids.npy, learned.npy, offsets.npy.

An example is one text that attends only to itself. Its mask says which tokens are learned:

    document   <bos> 2026年… を下した。 <eos>        all but the first
    question   <bos> ### 質問: … ### 回答: 2-1 <eos>  only «2-1 <eos>»

Questions that begin alike are stored as one example, a trunk with branches that do not see one another: each branch
sees what it would see on its own, and the beginning is computed once.

    <bos> 決勝で 、 | 得点者 は? 回答: A <eos> | 会場 は? 回答: B <eos>
      0    0    0     1   1   1   1   1     2   2   2   2   2       ← branches
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

Source = Literal["document", "view", "question", "replay", "chat"]
SOURCES: tuple[Source, ...] = ("document", "view", "question", "replay", "chat")


@dataclass(frozen=True)
class Example:
    """One text in tokens; `learned[i]` is whether token i is predicted and learned; `document_id` may be empty.

    `branches[i]` is 0 in the trunk; left empty, all of it is trunk.
    """

    ids: list[int]
    learned: list[bool]
    document_id: str
    source: Source
    branches: list[int] = field(default_factory=list[int])


@dataclass(frozen=True)
class TokenStore:
    """Examples of N texts with M tokens in all; offsets (N+1,) says where they begin, sources (N,) what they are."""

    ids: np.ndarray
    learned: np.ndarray
    branches: np.ndarray
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

    def branches_of(self, index: int) -> np.ndarray:
        """The branch of each token of an example, 0 in the trunk."""
        return self.branches[int(self.offsets[index]) : int(self.offsets[index + 1])]

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
    branches = np.fromiter((b for e in examples for b in e.branches or [0] * len(e.ids)), np.int16, int(offsets[-1]))
    np.save(directory / "branches.npy", branches)
    np.save(directory / "offsets.npy", offsets)
    np.save(directory / "sources.npy", np.array([SOURCES.index(e.source) for e in examples], dtype=np.int8))
    (directory / "document_ids.txt").write_text("\n".join(e.document_id for e in examples), encoding="utf-8")


def open_tokens(directory: Path) -> TokenStore:
    """The stored examples, memory-mapped."""
    arrays = {
        n: np.load(directory / f"{n}.npy", mmap_mode="r") for n in ("ids", "learned", "branches", "offsets", "sources")
    }
    names = (directory / "document_ids.txt").read_text(encoding="utf-8").split("\n")
    return TokenStore(**arrays, document_ids=names)


def share_beginnings(questions: Sequence[Example], max_tokens: int) -> list[Example]:
    """The questions of each document joined where they begin alike, as trunks with branches of at most `max_tokens`.

    Sorted by their tokens, neighbours share the most. A question joins the group before it if that saves tokens.
    """
    groups: list[list[Example]] = []
    for question in sorted(questions, key=lambda e: (e.document_id, e.ids)):
        group = groups[-1] if groups else []
        joined = [*group, question]
        fits = group and group[0].document_id == question.document_id and _joined_size(joined) <= max_tokens
        if fits and _trunk_size(joined) * len(group) >= _trunk_size(group) * (len(group) - 1):
            group.append(question)
        else:
            groups.append([question])
    return [_joined(group) for group in groups]


def _trunk_size(group: Sequence[Example]) -> int:
    """Tokens that all begin with; each keeps a token or more of its prompt, to predict its first answer token."""
    first, last = group[0], group[-1]  # sorted: what these two share, all share
    limit = min(e.learned.index(True) for e in group) - 1
    shared = next((i for i, (a, b) in enumerate(zip(first.ids, last.ids, strict=False)) if a != b), limit)
    return min(shared, limit)


def _joined_size(group: Sequence[Example]) -> int:
    trunk = _trunk_size(group)
    return trunk + sum(len(e.ids) - trunk for e in group)


def _joined(group: Sequence[Example]) -> Example:
    if len(group) == 1:
        return group[0]
    trunk = _trunk_size(group)
    ids, learned, branches = group[0].ids[:trunk], [False] * trunk, [0] * trunk
    for number, example in enumerate(group, start=1):
        ids = ids + example.ids[trunk:]
        learned = learned + example.learned[trunk:]
        branches = branches + [number] * (len(example.ids) - trunk)
    return Example(ids, learned, group[0].document_id, "question", branches)
