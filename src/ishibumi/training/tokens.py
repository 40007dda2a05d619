"""TokenStore: the texts of a stage as token ids on disk, memory-mapped. Examples → ids.npy, learned.npy, offsets.npy.

An example is one text that attends only to itself. Its mask says which tokens are learned:

    document   <bos> 2026年… を下した。 <eos>        all but the first
    question   <bos> ### 質問: … ### 回答: 2-1 <eos>  only «2-1 <eos>»

Questions that begin alike are stored as one example, a trunk with branches that do not see one another: each branch
sees what it would see on its own, and the beginning is computed once.

    <bos> 決勝で 、 | 得点者 は? 回答: A <eos> | 会場 は? 回答: B <eos>
      0    0    0     1   1   1   1   1     2   2   2   2   2       ← branches
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

Source = Literal["document", "view", "question", "replay", "chat"]
SOURCES: tuple[Source, ...] = ("document", "view", "question", "replay", "chat")
HELD_VALUES = 2**16


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
    """Examples of at most `row_tokens`, and how many were too long (see `fitted`)."""
    num_long = 0
    fitting: list[Example] = []
    for example in examples:
        num_long += len(example.ids) > row_tokens
        fitting += fitted(example, row_tokens)
    return fitting, num_long


def fitted(example: Example, row_tokens: int) -> list[Example]:
    """The example in pieces of at most `row_tokens`.

    A long text goes on in a further example; a question or chat that does not fit is left out, because a cut
    reply would teach not to stop.
    """
    size = len(example.ids)
    if size <= row_tokens:
        return [example]
    if example.source in ("question", "chat"):
        return []
    return [
        Example(
            example.ids[c : c + row_tokens],
            [False, *example.learned[c + 1 : c + row_tokens]],
            example.document_id,
            example.source,
        )
        for c in range(0, size, row_tokens)
        if size - c > 1
    ]


@dataclass
class Stored:
    """What `store_examples` met: texts of each source in rows, all texts, and those longer than a row."""

    num_texts: Counter[str] = field(default_factory=Counter[str])
    num_examples: int = 0
    num_long: int = 0


def store_examples(
    directory: Path, examples: Iterable[Example], row_tokens: int, *, max_shared: int | None = None
) -> Stored:
    """Store the examples in pieces that fit a row, one by one: memory does not follow their number.

    Only the questions are held, which share their beginnings in groups of at most `max_shared` tokens; they come last.
    """
    told = Stored()

    def pieces() -> Iterator[Example]:
        questions: list[Example] = []
        for example in examples:
            told.num_examples += 1
            told.num_long += len(example.ids) > row_tokens
            for piece in fitted(example, row_tokens):
                told.num_texts[piece.source] += 1
                if piece.source != "question":
                    yield piece
                    continue
                questions.append(piece)
        yield from share_beginnings(questions, max_shared or row_tokens)

    write_tokens(directory, pieces())
    return told


def write_tokens(directory: Path, examples: Iterable[Example]) -> None:
    """Store the examples as arrays in `directory`, one by one."""
    with contextlib.ExitStack() as files:

        def column(name: str, kind: type[np.generic]) -> "_Column":
            return files.enter_context(_Column(directory / f"{name}.npy", kind))

        ids, learned, branches = column("ids", np.int32), column("learned", np.bool_), column("branches", np.int16)
        offsets, sources = column("offsets", np.int64), column("sources", np.int8)
        names = files.enter_context((directory / "document_ids.txt").open("w", encoding="utf-8"))
        offsets.append([0])
        num_tokens = 0
        for number, example in enumerate(examples):
            num_tokens += len(example.ids)
            ids.append(example.ids)
            learned.append(example.learned)
            branches.append(example.branches or [0] * len(example.ids))
            offsets.append([num_tokens])
            sources.append([SOURCES.index(example.source)])
            names.write(f"\n{example.document_id}" if number else example.document_id)


class _Column:
    """A .npy file that grows; NumPy's header leaves room for the length, which is written at the end."""

    def __init__(self, path: Path, kind: type[np.generic]) -> None:
        self._kind, self._length, self._held = np.dtype(kind), 0, list[Any]()
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: Sequence[Any]) -> None:
        """Add values at the end."""
        self._held += values
        if len(self._held) >= HELD_VALUES:
            self._flush()

    def __enter__(self) -> "_Column":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _flush(self) -> None:
        self._file.write(np.array(self._held, dtype=self._kind).tobytes())
        self._length += len(self._held)
        self._held = []

    def _write_header(self) -> None:
        about = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (self._length,)}
        np.lib.format.write_array_header_1_0(self._file, about)


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
