"""Word documents (.docx) → one row a file: paragraphs and tables of the body, without furigana and deleted text.

Headers, footers, comments and footnotes lie in other parts of the file and are not read.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, cast
from xml.etree.ElementTree import Element

from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.source import (
    MAX_FILE_BYTES,
    Item,
    NotRead,
    Row,
    Source,
    bomb,
    metered,
    too_large,
    unreadable,
)
from ishibumi.corpus.readers.xml import elements
from ishibumi.settings import ColumnSettings

SUFFIXES = (".docx",)
MAX_UNPACKED_BYTES = 256 * 2**20  # the XML in one office file
MAX_BODY_BYTES = 32 * 2**20  # that of the text of a Word file: some 5,000 pages

_MARKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DROPPED = {"pPr", "moveFrom", "Fallback"}  # tab stops, text that was moved away, a picture of what stands beside
_ROW_MARKS = {"tc": "\0", "tr": "\1"}
_TITLE_STYLES = {"Title", "Heading1", "1", "a3"}  # the last two are those of a Japanese Word


def office_archive(source: Source) -> zipfile.ZipFile:
    """The parts of a .docx or .xlsx file. Raises InputError for one with a password, and for a zip bomb."""
    data = source.read_bytes(limit=MAX_FILE_BYTES)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise unreadable(source.name, "it has a password, or is a file of Office 97")
    archive = zipfile.ZipFile(io.BytesIO(data))
    if sum(part.file_size for part in archive.infolist() if part.filename.endswith(".xml")) > MAX_UNPACKED_BYTES:
        raise bomb(source.name)
    return archive


def read_docx(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The document as one row; a first paragraph with the style of a title is its title."""
    lines: list[str] = []
    furigana: list[str] = []
    title: str | None = None
    with office_archive(source) as archive:
        part = archive.getinfo("word/document.xml")
        if part.file_size > MAX_BODY_BYTES:
            raise too_large(source.name, limit=MAX_BODY_BYTES)
        stream = metered(cast(BinaryIO, archive.open(part)), source.name, packed_bytes=part.compress_size)
        with stream:
            for local, element in elements(stream, source.name, wanted=frozenset({"p", "tc", "tr"})):
                if local == "p":
                    style, text = _style(element), _text(element, furigana)
                    if title is None and not any(lines) and text and style in _TITLE_STYLES:
                        title = text
                    else:
                        lines += ["", text] if style.startswith("Heading") else [text]
                elif local in _ROW_MARKS:
                    lines.append(_ROW_MARKS[local])
                if local in ("p", "tr"):
                    element.clear()
    if furigana:
        yield NotRead(f"{source.name}: {short(' '.join(furigana))}", "furigana", is_part=True)
    text = "\n".join(lines)
    # A cell's paragraphs, then its mark: the cells of a row on one line.
    text = re.sub("\n*\0\n*", "\t", text)
    text = re.sub("\t*\n?\1\n?", "\n", text)
    yield Row(text, title, None, None, f"{source.name}:1", source.stem)


def _style(paragraph: Element) -> str:
    properties = paragraph.find("{*}pPr/{*}pStyle")
    return next((v for k, v in properties.items() if k.endswith("}val")), "") if properties is not None else ""


def _text(paragraph: Element, furigana: list[str]) -> str:
    """The text of a paragraph; a stack, as an attacker's file may nest deeper than Python's."""
    pieces: list[str] = []
    waiting = [paragraph]
    while waiting:
        element = waiting.pop()
        local = element.tag.rpartition("}")[2]
        if local == "rt":
            furigana.append("".join(element.itertext()))
        elif local == "t":
            pieces.append(element.text or "")
        elif local not in _DROPPED:
            pieces.append(_MARKS.get(local, ""))
            waiting += reversed(element)
    return "".join(pieces)
