"""Files → clean dated Documents, with a count of everything that was left out and why. rows → Corpus."""

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ishibumi.artifacts import read_jsonl, write_json, write_jsonl
from ishibumi.corpus.clean import clean_text, language_of, prefix_fields, prefix_for, split_title
from ishibumi.corpus.dates import date_in_name, date_line, parse_date
from ishibumi.corpus.documents import Document
from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.files import read_items
from ishibumi.corpus.readers.source import NotRead, Row
from ishibumi.corpus.report import Report, count, in_words, writable
from ishibumi.corpus.split import split_long
from ishibumi.errors import InputError, UsageError
from ishibumi.settings import DocumentSettings

DOCUMENTS_FILE = "documents.jsonl"
REPORT_FILE = "report.json"
READING_FILE = "reading.json"
_LINE_NUMBER = re.compile(r"[:#]\d+$")


@dataclass(frozen=True)
class Corpus:
    """The documents to engrave, in the order of the files, and what was left out, by reason.

    Reasons in `report`: empty, too_short, before_since, after_until, no_date (where since or until is set), duplicate,
    bad (what cannot be read, where documents.on_bad is skip), and of files nobody named other_format, hidden_file,
    about_the_dataset, not_a_file, archive_in_archive; of wiki pages redirect, other_namespace. `changes` has the same
    for what was changed in documents or taken off them, `columns` for how the columns of the files were read.
    """

    documents: list[Document]
    report: Report = field(repr=False)
    changes: Report = field(repr=False, default_factory=Report)
    columns: Report = field(repr=False, default_factory=Report)


def read_documents(paths: Sequence[Path], settings: DocumentSettings) -> Corpus:
    """The documents in `paths`, cleaned, dated and filtered as `settings` says.

    Raises InputError for a path that is not there, for what cannot be read (unless settings.on_bad is skip), and when
    nothing is left; UsageError when `paths` is empty.
    """
    corpus = Corpus([], {})
    corpus.documents.extend(stream_documents(paths, settings, corpus))
    return corpus


def stream_documents(paths: Sequence[Path], settings: DocumentSettings, tally: Corpus) -> Iterator[Document]:
    """The documents of `read_documents` one by one; what is told of them is counted in `tally` on the way.

    Of the documents that went by only a digest, the id and the origin are held.
    """
    if not paths:
        raise UsageError(
            "documents.paths names no file: there is nothing to engrave.",
            hint='Set [documents] paths = ["news.jsonl"] in the settings file.',
            hint_ja='設定ファイルに [documents] paths = ["news.jsonl"] のように書いてください。',
        )
    for language in ("ja", "en"):
        prefix_fields(settings, language)  # a wrong prefix is told before a long read
    num_documents = 0
    seen = _Seen({}, {})
    for item in read_items(paths, settings.columns):
        try:
            if isinstance(item, InputError):
                raise item
            if isinstance(item, NotRead):
                count(tally.changes if item.is_part else tally.report, item.reason, item.origin)
                continue
            document = _kept(item, settings, seen, tally)
        except InputError as error:
            if settings.on_bad == "stop":
                raise
            count(tally.report, "bad", error.message)
            continue
        for part in _parts(document, settings, tally) if document else ():
            num_documents += 1
            yield part
    if not num_documents:
        raise _nothing_left(paths, tally.report)


@dataclass(frozen=True)
class _Seen:
    """The origin of each document so far, by digest of its content and by id."""

    by_content: dict[bytes, str]
    by_id: dict[str, str]


def _kept(row: Row, settings: DocumentSettings, seen: _Seen, tally: Corpus) -> Document | None:
    """The document of a row; None, and a count, where it is left out. Raises InputError where it cannot be used."""
    document = _document(row, settings, tally.changes)
    if row.columns:
        count(tally.columns, row.columns, document.origin)
    reason = _reason_to_leave(document, settings)
    if reason:
        count(tally.report, reason, f"{document.origin}: {short(document.text, length=40)}")
        return None
    if settings.prefix_share > 0:
        prefix_for(document, settings)  # raises where the date or title it needs is missing
    content = f"{document.title}\0{document.text}\0{document.date}"
    digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
    first = seen.by_content.setdefault(digest, document.origin)
    if first is not document.origin:
        count(tally.report, "duplicate", f"{document.origin} repeats {first}")
        return None
    if row.id is None:
        document = replace(document, id=_free_id(document.id, seen.by_id))
    _require_new_id(document, seen.by_id)
    return document


def _parts(document: Document, settings: DocumentSettings, tally: Corpus) -> list[Document]:
    """The document, or its parts if it is too long."""
    if len(document.text) <= settings.max_characters:
        return [document]
    texts = split_long(document.text, settings.max_characters)
    count(tally.changes, "split", f"{document.origin}: {len(document.text)} characters, {len(texts)} parts")
    ids = [document.id, *(f"{document.id}#{number}" for number in range(2, len(texts) + 1))]
    return [replace(document, id=part_id, text=text) for part_id, text in zip(ids, texts, strict=True)]


def prefixed(document: Document, settings: DocumentSettings, with_prefix: bool) -> str:
    """The text that is trained: «2024年9月1日のニュース:本文» or «News of September 1, 2024: body», or bare."""
    return (prefix_for(document, settings) if with_prefix else "") + document.text


def write_corpus(corpus: Corpus, directory: Path) -> None:
    """Write the documents, the report, and what was changed and which columns were read, into `directory`."""
    write_jsonl(directory / DOCUMENTS_FILE, (asdict(document) for document in corpus.documents))
    write_json(directory / REPORT_FILE, corpus.report)
    write_json(directory / READING_FILE, {"columns": corpus.columns, "changes": corpus.changes})


def load_documents(directory: Path) -> list[Document]:
    """The documents that `write_corpus` wrote into `directory`."""
    return [_loaded(values) for values in read_jsonl(directory / DOCUMENTS_FILE)]


def _loaded(values: dict[str, Any]) -> Document:
    date = values.pop("date")
    return Document(**values, date=dt.date.fromisoformat(date) if date else None)


def _document(row: Row, settings: DocumentSettings, changes: Report) -> Document:
    origin = writable(row.origin)
    text = clean_text(row.text, lambda rule, around: count(changes, rule, f"{origin}: {short(around)}"))
    title, body = split_title(text)
    if row.title is not None:
        # The title has a column of its own. It may stand on the first line too.
        title = clean_text(row.title).replace("\n", " ") or None
        first, _, rest = text.partition("\n")
        body = rest.lstrip("\n") if first == title and rest.strip() else text
    return Document(
        id=writable(row.id or row.default_id),
        text=body if settings.remove_title else text,
        title=title,
        date=_date(row, text, changes),
        language=language_of(text),
        origin=origin,
        url=writable(row.url) if row.url else None,
    )


def _date(row: Row, text: str, changes: Report) -> dt.date | None:
    """The date of a row: its own, or that of a line «Published: …», or that in the name of its file."""
    value = row.date
    if value is None:
        value = date_line(text)
        if value is None:
            date = date_in_name(_LINE_NUMBER.sub("", row.origin).replace("\\", "/").rpartition("/")[2])
            if date:
                count(changes, "date_from_file_name", f"{writable(row.origin)}: {date}")
            return date
        count(changes, "date_from_text", f"{writable(row.origin)}: {short(value)}")
    try:
        date = parse_date(value)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{row.origin}: there is no date {short(str(value))} ({error}).",
            hint="Correct the date.",
            hint_ja="日付を直してください。",
        ) from None
    if date is None:
        raise InputError(
            f"{row.origin}: cannot read the date {short(str(value))}.",
            hint="Write it as 2024-09-01, 2024年9月1日 or 令和6年9月1日.",
            hint_ja="2024-09-01、2024年9月1日、令和6年9月1日 のいずれかの形で書いてください。",
        )
    if date > dt.date.today() + dt.timedelta(days=1):
        count(changes, "date_in_the_future", f"{writable(row.origin)}: {date}")
    return date


def _free_id(wanted: str, taken: dict[str, str]) -> str:
    """`wanted`, or `wanted`~2, ~3, … if it is taken: ids that no file gives must not collide."""
    number, free = 1, wanted
    while free in taken:
        number += 1
        free = f"{wanted}~{number}"
    return free


def _reason_to_leave(document: Document, settings: DocumentSettings) -> str:
    """Why `document` is left out, or nothing."""
    if not document.text:
        return "empty"
    if len(document.text) < settings.min_characters:
        return "too_short"
    if document.date is None:
        return "no_date" if settings.since or settings.until else ""
    if settings.since and document.date < settings.since:
        return "before_since"
    if settings.until and document.date > settings.until:
        return "after_until"
    return ""


def _require_new_id(document: Document, origins_by_id: dict[str, str]) -> None:
    first = origins_by_id.setdefault(document.id, document.origin)
    if first != document.origin:
        raise InputError(
            f"{document.origin}: the id {document.id} is already that of {first}.",
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
