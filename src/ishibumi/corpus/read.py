"""Files → clean dated Documents, with a count of everything that was left out and why. rows → Corpus."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from ishibumi.artifacts import read_jsonl, write_json, write_jsonl
from ishibumi.corpus.clean import clean_text, language_of, prefix_fields, prefix_for, split_title
from ishibumi.corpus.dates import parse_date
from ishibumi.corpus.documents import Document
from ishibumi.corpus.readers.jsonl import Row, read_rows, short
from ishibumi.errors import InputError, UsageError
from ishibumi.settings import DocumentSettings

DOCUMENTS_FILE = "documents.jsonl"
REPORT_FILE = "report.json"
MAX_EXAMPLES = 5


class Left(TypedDict):
    """How many documents were left out for one reason, and the first few as «file:line: text»."""

    count: int
    examples: list[str]


@dataclass(frozen=True)
class Corpus:
    """The documents to engrave, in the order of the files, and what was left out, by reason.

    Reasons: empty, too_short, before_since, after_until, no_date (where since or until is set), duplicate.
    """

    documents: list[Document]
    report: dict[str, Left] = field(repr=False)


def read_documents(paths: Sequence[Path], settings: DocumentSettings) -> Corpus:
    """The documents in `paths`, cleaned, dated and filtered as `settings` says.

    Raises InputError for a file or row that cannot be read, a date that is not one, two different documents with one
    id, and when nothing is left; UsageError when `paths` is empty.
    """
    if not paths:
        raise UsageError(
            "documents.paths names no file: there is nothing to engrave.",
            hint='Set [documents] paths = ["news.jsonl"] in the settings file.',
            hint_ja='設定ファイルに [documents] paths = ["news.jsonl"] のように書いてください。',
        )
    for language in ("ja", "en"):
        prefix_fields(settings, language)  # a wrong prefix is told before a long read
    found = (_document(row, path, settings) for path in paths for row in read_rows(path))
    documents, report = _sorted_out(found, settings)
    if not documents:
        raise _nothing_left(paths, report)
    return Corpus(documents, report)


def _sorted_out(found: Iterable[Document], settings: DocumentSettings) -> tuple[list[Document], dict[str, Left]]:
    """The documents to keep, and the others counted by reason."""
    documents: list[Document] = []
    report: dict[str, Left] = {}
    origins_by_id: dict[str, str] = {}
    origins_by_content: dict[tuple[str | None, str, dt.date | None], str] = {}
    for document in found:
        reason = _reason_to_leave(document, settings)
        if reason:
            _count(report, reason, f"{document.origin}: {short(document.text, length=40)}")
            continue
        if settings.prefix_share > 0:
            prefix_for(document, settings)  # raises where the date or title it needs is missing
        first = origins_by_content.setdefault((document.title, document.text, document.date), document.origin)
        if first != document.origin:
            _count(report, "duplicate", f"{document.origin} repeats {first}")
            continue
        _require_new_id(document, origins_by_id)
        documents.append(document)
    return documents, report


def prefixed(document: Document, settings: DocumentSettings, with_prefix: bool) -> str:
    """The text that is trained: «2024年9月1日のニュース:本文» or «News of September 1, 2024: body», or bare."""
    return (prefix_for(document, settings) if with_prefix else "") + document.text


def write_corpus(corpus: Corpus, directory: Path) -> None:
    """Write the documents and the report into `directory`."""
    write_jsonl(directory / DOCUMENTS_FILE, (asdict(document) for document in corpus.documents))
    write_json(directory / REPORT_FILE, corpus.report)


def load_documents(directory: Path) -> list[Document]:
    """The documents that `write_corpus` wrote into `directory`."""
    return [_loaded(values) for values in read_jsonl(directory / DOCUMENTS_FILE)]


def _loaded(values: dict[str, Any]) -> Document:
    date = values.pop("date")
    return Document(**values, date=dt.date.fromisoformat(date) if date else None)


def _document(row: Row, path: Path, settings: DocumentSettings) -> Document:
    text = clean_text(row.text)
    title, body = split_title(text)
    if row.title is not None:
        # The title has a column of its own. It may stand on the first line too.
        title = clean_text(row.title).replace("\n", " ") or None
        first, _, rest = text.partition("\n")
        body = rest.lstrip("\n") if first == title and rest.strip() else text
    line = row.origin.replace("#", ":").rsplit(":", 1)[1]
    return Document(
        id=row.id or f"{path.stem}-{line}",
        text=body if settings.remove_title else text,
        title=title,
        date=_date(row),
        language=language_of(text),
        origin=row.origin,
    )


def _date(row: Row) -> dt.date | None:
    if row.date is None:
        return None
    try:
        date = parse_date(row.date)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{row.origin}: there is no date {row.date} ({error}).",
            hint="Correct the date.",
            hint_ja="日付を直してください。",
        ) from None
    if date is None:
        raise InputError(
            f"{row.origin}: cannot read the date {short(str(row.date))}.",
            hint="Write it as 2024-09-01, 2024年9月1日 or 令和6年9月1日.",
            hint_ja="2024-09-01、2024年9月1日、令和6年9月1日 のいずれかの形で書いてください。",
        )
    return date


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


def _count(report: dict[str, Left], reason: str, example: str) -> None:
    left = report.setdefault(reason, {"count": 0, "examples": []})
    left["count"] += 1
    if len(left["examples"]) < MAX_EXAMPLES:
        left["examples"].append(example)


def _nothing_left(paths: Sequence[Path], report: dict[str, Left]) -> InputError:
    names = ", ".join(str(path) for path in paths)
    if not report:
        return InputError(
            f"{names}: no documents in it.",
            hint='Each line of a .jsonl file is one document: {"text": "…", "date": "2024-09-01"}',
            hint_ja='.jsonl ファイルは1行が1文書です: {"text": "…", "date": "2024-09-01"}',
        )
    reasons = "; ".join(f"{reason} {left['count']} (such as {left['examples'][0]})" for reason, left in report.items())
    return InputError(
        f"{names}: no document is left. Left out: {reasons}.",
        hint="Check documents.since, until and min_characters, and the texts themselves.",
        hint_ja="documents.since、until、min_characters と、文書そのものを確かめてください。",
    )
