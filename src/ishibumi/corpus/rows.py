"""A reader's row → a clean dated Document, or a reason to leave it out. Each row by itself, wherever it is read."""

import datetime as dt
import re

from ishibumi.corpus.clean import clean_text, language_of, language_share, prefix_for, split_title
from ishibumi.corpus.dates import date_alone, date_in_name, date_line, parse_date
from ishibumi.corpus.documents import Corpus, Document
from ishibumi.corpus.personal import mask_personal
from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.source import Row
from ishibumi.corpus.report import Report, count, writable
from ishibumi.errors import InputError
from ishibumi.settings import DocumentSettings

_LINE_NUMBER = re.compile(r"[:#]\d+$")


def document_of(row: Row, settings: DocumentSettings, tally: Corpus) -> Document | None:
    """The document of a row; None, and a count in `tally`, where it is left out. Raises InputError for a bad one."""
    document = _document(row, settings, tally.changes)
    if row.columns:
        count(tally.columns, row.columns, document.origin)
    reason = _reason_to_leave(document, settings)
    if reason:
        count(tally.report, reason, f"{document.origin}: {short(document.text, length=40)}")
        return None
    if settings.prefix_share > 0 and (document.date is None or document.title is None):
        prefix_for(document, settings)  # raises where the date or title it needs is missing
    return document


def prefixed(document: Document, settings: DocumentSettings, with_prefix: bool) -> str:
    """The text that is trained: «2024年9月1日のニュース:本文» or «News of September 1, 2024: body», or bare."""
    return (prefix_for(document, settings) if with_prefix else "") + document.text


def _document(row: Row, settings: DocumentSettings, changes: Report) -> Document:
    origin = writable(row.origin)

    def changed(rule: str, around: str) -> None:
        count(changes, rule, lambda: f"{origin}: {short(around)}")

    text = mask_personal(clean_text(row.text, changed), settings.mask, changed)
    title, body = split_title(text)
    if row.title is not None:
        # The title has a column of its own. It may stand on the first line too.
        title = mask_personal(clean_text(row.title).replace("\n", " "), settings.mask, changed) or None
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
    """The date of a row: its own, or that of a line «Published: …», in the name of its file, or alone on a line."""
    value = row.date
    if value is None:
        value = date_line(text)
        if value is None:
            date = date_in_name(_LINE_NUMBER.sub("", row.origin).replace("\\", "/").rpartition("/")[2])
            if date:
                count(changes, "date_from_file_name", f"{row.origin}: {date}")
            elif date := date_alone(text):
                count(changes, "date_from_text", f"{row.origin}: {date}")
            return date
        count(changes, "date_from_text", f"{row.origin}: {short(value)}")
    try:
        date = parse_date(value)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{row.origin}: there is no date {short(str(value))} ({error}).",
            hint='Correct the date, or set documents.on_bad = "skip" to count such documents and go on.',
            hint_ja='日付を直してください。documents.on_bad = "skip" とすれば、数えたうえで飛ばします。',
        ) from None
    if date is None:
        raise InputError(
            f"{row.origin}: cannot read the date {short(str(value))}.",
            hint="Write it as 2024-09-01, 2024年9月1日 or 令和6年9月1日.",
            hint_ja="2024-09-01、2024年9月1日、令和6年9月1日 のいずれかの形で書いてください。",
        )
    if date > dt.date.today() + dt.timedelta(days=1):
        count(changes, "date_in_the_future", f"{row.origin}: {date}")
    return date


def _reason_to_leave(document: Document, settings: DocumentSettings) -> str:
    """Why `document` is left out, or nothing."""
    if not document.text:
        return "empty"
    if len(document.text) < settings.min_characters:
        return "too_short"
    least = settings.min_language_share
    if least and language_share(document.text, document.language) < least:
        return "other_language"
    if document.date is None:
        return "no_date" if settings.since or settings.until else ""
    if settings.since and document.date < settings.since:
        return "before_since"
    if settings.until and document.date > settings.until:
        return "after_until"
    return ""
