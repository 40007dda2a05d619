"""Files → parts on disk, each made by itself: by this process, by others beside it, or on another machine.

A block is some files in their order, 4 MB or more, the same wherever it is worked out. Its part is four files:

    00007.jsonl    the documents, cleaned and split, a line each
    00007.npy      a row of INDEX for each document before it was split
    00007.sketches.npy    only where near duplicates are looked for
    00007.json     what was left out and changed; written last, so a part that has it is complete
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ishibumi.corpus.documents import Corpus, Document
from ishibumi.corpus.near_duplicates import sketches
from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.files import SUFFIXES, items_in
from ishibumi.corpus.readers.inputs import FileToRead, FoundFile, find_files
from ishibumi.corpus.readers.source import NotRead
from ishibumi.corpus.report import count
from ishibumi.corpus.rows import document_of
from ishibumi.corpus.split import split_long
from ishibumi.errors import InputError, IshibumiError
from ishibumi.settings import DocumentSettings

BLOCK_BYTES = 4 * 2**20
MAX_PROCESSES = 8  # each takes some 200 MB
SKETCHED_AT_ONCE = 256
# The digests of what a document says and of its id, the bytes and lines that it takes, whether its file gives the id.
INDEX = np.dtype([("content", "S16"), ("id", "S16"), ("num_bytes", "u4"), ("num_lines", "u4"), ("has_own_id", "?")])

Block = list[FoundFile]


def blocks_of(paths: Sequence[Path]) -> list[Block]:
    """The files at `paths` in blocks. Raises InputError for a path that is not there."""
    blocks: list[Block] = []
    num_bytes = BLOCK_BYTES
    for found in find_files(paths, readable=SUFFIXES):
        if num_bytes >= BLOCK_BYTES:
            blocks.append([])
            num_bytes = 0
        blocks[-1].append(found)
        num_bytes += found.path.stat().st_size if isinstance(found, FileToRead) and found.path.is_file() else 0
    return blocks or [[]]


def make_parts(
    paths: Sequence[Path], settings: DocumentSettings, directory: Path, shard: tuple[int, int] = (1, 1)
) -> list[Path]:
    """The parts of all blocks in order, made where they are missing; shard (i, n) makes only every nth, from the ith.

    Processes beside this one help. Raises InputError as the reading of the blocks in order does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    blocks = blocks_of(paths)
    names = [directory / f"{number:05}" for number in range(len(blocks))]
    mine = range(shard[0] - 1, len(blocks), shard[1])
    num_missing = sum(not is_made(names[number]) for number in mine)
    num_processes = min(len(os.sched_getaffinity(0)), MAX_PROCESSES, num_missing)
    if num_processes > 1:
        _make_beside(paths, settings, directory, [(shard[0] + shard[1] * n, shard[1] * num_processes)
                                                  for n in range(num_processes)])  # fmt: skip
    for number in mine:
        if not is_made(names[number]):
            make_part(blocks[number], settings, names[number])
    return names


def is_made(name: Path) -> bool:
    """Whether the part is complete."""
    return name.with_suffix(".json").exists()


def make_part(block: Block, settings: DocumentSettings, name: Path) -> None:
    """Write the part of a block. Raises InputError for what cannot be read, unless settings.on_bad is skip."""
    tally = Corpus()
    index: list[tuple[bytes, bytes, int, int, bool]] = []
    sketched: list[np.ndarray] = []
    texts: list[str] = []
    lines_path = name.with_suffix(f".{os.getpid()}.tmp")
    with lines_path.open("wb") as lines:
        for document, has_own_id in _documents(block, settings, tally):
            parts = [part.as_line().encode() for part in _split(document, settings, tally)]
            lines.writelines(parts)
            content = f"{document.title}\0{document.text}\0{document.date}"
            index.append((digest(content), digest(document.id), sum(map(len, parts)), len(parts), has_own_id))
            if settings.near_duplicates is not None:
                texts.append(document.text)
            if len(texts) == SKETCHED_AT_ONCE:
                sketched.append(sketches(texts))
                texts = []
    lines_path.replace(name.with_suffix(".jsonl"))
    if settings.near_duplicates is not None:
        np.save(name.with_suffix(".sketches.npy"), np.concatenate([*sketched, sketches(texts)]))
    np.save(name.with_suffix(".npy"), np.array(index, dtype=INDEX))
    lines_path.write_text(json.dumps([tally.report, tally.changes, tally.columns], ensure_ascii=False))
    lines_path.replace(name.with_suffix(".json"))


def digest(text: str) -> bytes:
    """16 bytes that stand for `text`."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _documents(block: Block, settings: DocumentSettings, tally: Corpus) -> Iterator[tuple[Document, bool]]:
    """The documents of a block, and whether the file gave the id; the rest is counted in `tally`."""
    for item in (item for found in block for item in items_in(found, settings.columns)):
        try:
            if isinstance(item, InputError):
                raise item
            if isinstance(item, NotRead):
                count(tally.changes if item.is_part else tally.report, item.reason, item.origin)
                continue
            document = document_of(item, settings, tally)
        except InputError as error:
            if settings.on_bad == "stop":
                raise
            count(tally.report, "bad", error.message)
            continue
        if document:
            yield document, item.id is not None


def _split(document: Document, settings: DocumentSettings, tally: Corpus) -> list[Document]:
    """The document, or its parts if it is too long."""
    if len(document.text) <= settings.max_characters:
        return [document]
    texts = split_long(document.text, settings.max_characters)
    told = f"{document.origin}: {len(document.text)} characters, {len(texts)} parts"
    count(tally.changes, "split", f"{told}, from «{short(texts[0], length=20)}»")
    ids = [document.id, *(f"{document.id}#{number}" for number in range(2, len(texts) + 1))]
    return [replace(document, id=part_id, text=text) for part_id, text in zip(ids, texts, strict=True)]


def _make_beside(
    paths: Sequence[Path], settings: DocumentSettings, directory: Path, shards: Sequence[tuple[int, int]]
) -> None:
    """Make the parts of each shard in a process of its own, until all are done or one could not go on.

    What is missing then, the caller makes itself, in order, and so meets the first error as if it had been alone.
    (Not a pool of multiprocessing, which would run the user's script once more in each process.)
    """
    job = json.dumps([[str(path) for path in paths], settings.model_dump(mode="json"), str(directory)])
    command = [sys.executable, "-m", "ishibumi.corpus.parts"]
    workers = [
        subprocess.Popen([*command, f"{i}/{n}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for i, n in shards
    ]
    try:
        for worker in workers:
            assert worker.stdin
            worker.stdin.write(job)
            worker.stdin.close()
        while any(worker.poll() is None for worker in workers) and not any(worker.poll() for worker in workers):
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _work(argument: str, job: Any) -> None:
    """Make the parts of shard «i/n», as long as the process that asked for them lives."""
    paths, values, directory = job
    settings, parent = DocumentSettings.model_validate(values), os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    first, step = map(int, argument.split("/"))
    blocks = blocks_of([Path(path) for path in paths])
    for number in range(first - 1, len(blocks), step):
        name = Path(directory) / f"{number:05}"
        if os.getppid() == parent and not is_made(name):
            make_part(blocks[number], settings, name)


if __name__ == "__main__":
    try:
        _work(sys.argv[1], json.load(sys.stdin))
    except IshibumiError:
        sys.exit(1)  # told by the parent, which comes to the same block
