"""Document: one dated text with its title. paths → reader rows → Documents."""

import datetime as dt
from dataclasses import dataclass


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
