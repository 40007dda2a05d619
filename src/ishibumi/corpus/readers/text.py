"""Plain text and Markdown → one row a file."""

import re
from collections.abc import Iterator

from ishibumi.corpus.readers.encoding import read_text
from ishibumi.corpus.readers.source import Item, Row, Source
from ishibumi.settings import ColumnSettings

SUFFIXES = (".txt", ".md", ".markdown")

_FRONT_MATTER = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)\n", re.DOTALL)
_FIELD = re.compile(r"^(title|date|created|updated|url|id):[ \t]*(['\"]?)(.+?)\2[ \t]*$", re.MULTILINE)
_HEADING = re.compile(r"\s*#[ \t]+(.+?)[ \t]*#*\n")
_EMPHASIS = re.compile(r"(\*\*|__)(?=\S)([^*_\n]+?)(?<=\S)\1")
_MARKS = re.compile(r"^ {0,3}#{1,6}[ \t]+|^[ \t]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+[ \t:-]*\n", re.MULTILINE)


def read_plain(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The file as one row. Of Markdown the front matter's title, date, url and id are read, else a # title line.

    Marks of emphasis and headings and the line under a table's head are taken off, for nobody says them.
    """
    text = read_text(source)
    fields: dict[str, str] = {}
    if source.suffix != ".txt":
        front = _FRONT_MATTER.match(text)
        if front:
            fields = {found[1]: found[3] for found in _FIELD.finditer(front[1])}
            text = text[front.end() :]
        heading = _HEADING.match(text)
        if heading and fields.setdefault("title", heading[1]) == heading[1]:
            text = text[heading.end() :]
        text = _MARKS.sub("", _EMPHASIS.sub(r"\2", text))
    yield Row(
        text,
        fields.get("title"),
        fields.get("date", fields.get("created", fields.get("updated"))),
        fields.get("id"),
        f"{source.name}:1",
        source.stem,
        fields.get("url"),
        f"front matter or heading: {', '.join(fields)}" if fields else "",
    )
