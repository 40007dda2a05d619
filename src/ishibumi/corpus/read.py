"""Paths → clean dated Documents without repeats, and a count of everything that was left out and why.

paths ─▶ parts, block by block (parts.py) ─▶ merged in order: repeats left out, ids made unique ─▶ documents.jsonl
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ishibumi.artifacts import disk_errors, read_json, write_json
from ishibumi.corpus.clean import prefix_fields
from ishibumi.corpus.documents import Corpus, Document
from ishibumi.corpus.near_duplicates import near_duplicates
from ishibumi.corpus.parts import digest, make_parts
from ishibumi.corpus.readers.columns import BRACES
from ishibumi.corpus.report import Report, add, count, in_words
from ishibumi.errors import InputError, UsageError
from ishibumi.settings import DocumentSettings

DOCUMENTS_FILE = "documents.jsonl"
REPORT_FILE = "report.json"
READING_FILE = "reading.json"


def read_documents(paths: Sequence[Path], settings: DocumentSettings) -> Corpus:
    """The documents in `paths`, cleaned, dated and filtered as `settings` says.

    Raises InputError for a path that is not there, for what cannot be read (unless settings.on_bad is skip), and when
    nothing is left; UsageError when `paths` is empty.
    """
    with tempfile.TemporaryDirectory() as directory:
        return replace(write_corpus(paths, settings, Path(directory)), documents=load_documents(Path(directory)))


def write_corpus(
    paths: Sequence[Path], settings: DocumentSettings, directory: Path, parts_dir: Path | None = None
) -> Corpus:
    """Write documents.jsonl, report.json and reading.json into `directory`; returns the report without documents.

    Parts that lie in `parts_dir` are taken as they are. Memory does not follow the number of documents, but for some
    100 bytes each (600 where near duplicates are looked for). Raises what `read_documents` does.
    """
    require_usable(paths, settings)
    with disk_errors(directory):
        parts = make_parts(paths, settings, parts_dir or directory / "parts")
        corpus = _merged(parts, settings, directory / DOCUMENTS_FILE)
    if not (directory / DOCUMENTS_FILE).stat().st_size:
        raise _nothing_left(paths, corpus.report)
    _refuse_unknown(settings, list(corpus.columns))
    write_json(directory / REPORT_FILE, corpus.report)
    write_json(directory / READING_FILE, {"columns": corpus.columns, "changes": corpus.changes})
    if parts_dir is None:
        shutil.rmtree(directory / "parts")
    return corpus


def require_usable(paths: Sequence[Path], settings: DocumentSettings) -> None:
    """Raise UsageError, before a long read, where no path is named or a prefix is wrong."""
    if not paths:
        raise UsageError(
            "documents.paths names no file: there is nothing to engrave.",
            hint='Set [documents] paths = ["news.jsonl"] in the settings file.',
            hint_ja='設定ファイルに [documents] paths = ["news.jsonl"] のように書いてください。',
        )
    for language in ("ja", "en"):
        prefix_fields(settings, language)


def _refuse_unknown(settings: DocumentSettings, read: list[str]) -> None:
    """Raise InputError for a column of documents.columns that no file has; `read` says how the files were read."""
    named = [(field, name) for field, said in settings.columns if said for name in BRACES.findall(said) or [said]]
    for field, name in named:
        if not any(re.search(rf"= {re.escape(name)}(?:[,;]|$)", words) for words in read):
            told = "; ".join(read[:3]) or "no columns"
            raise InputError(
                f'No document has the column "{name}" that documents.columns.{field} names. Read were: {told}.',
                hint=f"Correct documents.columns.{field}, or leave it out: usual names are recognised.",
                hint_ja=f"documents.columns.{field} を直すか、消してください。よくある名前なら自動で見分けます。",
            )


def load_documents(directory: Path) -> list[Document]:
    """The documents that `write_corpus` wrote into `directory`."""
    return list(iterate_documents(directory))


def iterate_documents(directory: Path) -> Iterator[Document]:
    """The documents that `write_corpus` wrote into `directory`, one by one."""
    with (directory / DOCUMENTS_FILE).open(encoding="utf-8") as lines:
        yield from map(Document.of_line, lines)


class _Lines:
    """The lines of all parts, by the number of the document that they belong to."""

    def __init__(self, parts: Sequence[Path]) -> None:
        indices = [np.load(part.with_suffix(".npy")) for part in parts]
        self.index: np.ndarray = np.concatenate(indices)
        self._parts = parts
        self._first = np.cumsum([0, *map(len, indices)])  # document numbers at which the parts begin
        self._start = np.concatenate(
            [np.cumsum(index["num_bytes"], dtype=np.int64) - index["num_bytes"] for index in indices]
        )

    def read(self, number: int) -> bytes:
        """The lines of one document."""
        part = int(np.searchsorted(self._first, number, side="right")) - 1
        with self._parts[part].with_suffix(".jsonl").open("rb") as file:
            file.seek(int(self._start[number]))
            return file.read(int(self.index["num_bytes"][number]))

    def origin(self, number: int) -> str:
        """«file:line» of one document."""
        return str(json.loads(self.read(number).partition(b"\n")[0])["origin"])

    def write(self, kept: np.ndarray, renamed: dict[int, str], file: BinaryIO) -> None:
        """Copy the lines of the documents that are `kept`, some with another id."""
        as_they_are = kept.copy()
        as_they_are[list(renamed)] = False
        for part, first, end in zip(self._parts, self._first, self._first[1:], strict=False):
            with part.with_suffix(".jsonl").open("rb") as lines:
                if as_they_are[first:end].all():
                    shutil.copyfileobj(lines, file)
                    continue
                for number in range(first, end):
                    own = lines.read(int(self.index["num_bytes"][number]))
                    if kept[number]:
                        file.write(_with_id(own, renamed[number]) if number in renamed else own)


def _merged(parts: Sequence[Path], settings: DocumentSettings, path: Path) -> Corpus:
    """Write the documents of all parts to `path`, but for those that repeat an earlier one."""
    corpus = Corpus()
    for part in parts:
        for whole, own in zip(
            (corpus.report, corpus.changes, corpus.columns), read_json(part.with_suffix(".json")), strict=True
        ):
            add(whole, own)
    lines = _Lines(parts)
    first = _first_of(lines.index["content"])
    kept = first == np.arange(len(first))
    for number in np.flatnonzero(~kept).tolist():
        count(corpus.report, "duplicate", lambda n=number: f"{lines.origin(n)} repeats {lines.origin(first[n])}")
    if settings.near_duplicates is not None:
        alike = near_duplicates(_sketches(parts, kept), settings.near_duplicates)
        numbers = np.flatnonzero(kept)
        for late, (early, share) in alike.items():
            kept[numbers[late]] = False
            pair = numbers[late], numbers[early]
            count(corpus.report, "near_duplicate",
                  lambda p=pair, s=share: f"{lines.origin(p[0])} is {s:.0%} like {lines.origin(p[1])}")  # fmt: skip
    renamed = _unique_ids(lines, kept, settings, corpus.report)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        lines.write(kept, renamed, file)
    temporary.replace(path)
    return corpus


def _first_of(keys: np.ndarray) -> np.ndarray:
    """For each key the place where it first stands."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first[inverse]


def _sketches(parts: Sequence[Path], kept: np.ndarray) -> np.ndarray:
    rows = np.concatenate([np.load(part.with_suffix(".sketches.npy")) for part in parts])
    return rows if kept.all() else rows[kept]


def _unique_ids(lines: _Lines, kept: np.ndarray, settings: DocumentSettings, report: Report) -> dict[int, str]:
    """New ids, `ID`~2, ~3, …, for documents whose file gives none and whose own is taken.

    Two documents with the same id from their files are an error: raised, or counted and left out, as on_bad says.
    """
    numbers = np.flatnonzero(kept)
    ids = lines.index["id"][numbers]
    first = _first_of(ids)
    renamed: dict[int, str] = {}
    clashing = np.flatnonzero(first != np.arange(len(first)))
    taken = set(ids.tolist()) if len(clashing) else set[bytes]()
    for place in clashing:
        number, earlier = int(numbers[place]), int(numbers[first[place]])
        document = Document.of_line(lines.read(number).partition(b"\n")[0])
        if lines.index["has_own_id"][number]:
            error = _same_id(document, lines.origin(earlier))
            if settings.on_bad == "stop":
                raise error
            count(report, "bad", error.message)
            kept[number] = False
            continue
        suffix = 2
        while digest(f"{document.id}~{suffix}").rstrip(b"\0") in taken:
            suffix += 1
        renamed[number] = f"{document.id}~{suffix}"
        taken.add(digest(renamed[number]).rstrip(b"\0"))  # as NumPy gives bytes back
    return renamed


def _with_id(lines: bytes, new: str) -> bytes:
    """The lines of a document, with another id: it, and of further parts `new`#2, ….."""
    documents = [Document.of_line(line) for line in lines.splitlines()]
    ids = [new, *(f"{new}#{number}" for number in range(2, len(documents) + 1))]
    return b"".join(replace(d, id=own).as_line().encode() for d, own in zip(documents, ids, strict=True))


def _same_id(document: Document, earlier: str) -> InputError:
    return InputError(
        f"{document.origin}: the id {document.id} is already that of {earlier}.",
        hint="Give each document an id of its own, or leave the id column out.",
        hint_ja="文書ごとに別の id を付けるか、id 列をなくしてください。",
    )


def _nothing_left(paths: Sequence[Path], report: Report) -> InputError:
    names = ", ".join(str(path) for path in paths)
    if not report:
        return InputError(
            f"{names}: no documents in it.",
            hint='Each line of a .jsonl file is one document: {"text": "…", "date": "2024-09-01"}',
            hint_ja='.jsonl ファイルは1行が1文書です: {"text": "…", "date": "2024-09-01"}',
        )
    return InputError(
        f"{names}: no document is left. Left out: {in_words(report)}.",
        hint="Check documents.since, until and min_characters, and the texts themselves.",
        hint_ja="documents.since、until、min_characters と、文書そのものを確かめてください。",
    )
