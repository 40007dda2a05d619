"""Document: one dated text with its title. paths → reader rows → Documents. Corpus: all of them, and the report."""

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from ishibumi.corpus.report import Report

_ENCODER = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True)
class Document:
    """One text to engrave.

    `text` is the body without its title; `origin` is «file:line» for messages; `language` is "ja" or "en". Of a
    document that was split, the parts after the first are called `id`#2, `id`#3, ….
    """

    id: str
    text: str
    title: str | None
    date: dt.date | None
    language: str
    origin: str
    url: str | None = None

    def as_line(self) -> str:
        """The document as a line of JSON."""
        values = self.__dict__ | {"date": self.date.isoformat() if self.date else None}
        return _ENCODER.encode(values) + "\n"

    @classmethod
    def of_line(cls, line: str | bytes) -> "Document":
        """The document that `as_line` wrote."""
        values: dict[str, Any] = json.loads(line)
        date = values.pop("date")
        return cls(**values, date=dt.date.fromisoformat(date) if date else None)


@dataclass(frozen=True)
class Corpus:
    """The documents to engrave, in the order of the files, and what was left out, by reason.

    Reasons in `report`: empty, too_short, other_language, before_since, after_until, no_date (where since or until is
    set), duplicate, near_duplicate, bad (what cannot be read, where documents.on_bad is skip), and of files nobody
    named other_format, hidden_file, about_the_dataset, not_a_file, archive_in_archive; of wiki pages redirect,
    other_namespace. `changes` has the same for what was changed in documents or taken off them, `columns` for how the
    columns of the files were read.
    """

    documents: list[Document] = field(default_factory=list[Document])
    report: Report = field(repr=False, default_factory=Report)
    changes: Report = field(repr=False, default_factory=Report)
    columns: Report = field(repr=False, default_factory=Report)
