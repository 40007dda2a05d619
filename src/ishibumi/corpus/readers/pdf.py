"""PDF → one row a file: lines joined to paragraphs, words that were parted at a line end joined, page edges dropped."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.source import (
    MAX_DOCUMENT_BYTES,
    MAX_FILE_BYTES,
    Item,
    NotRead,
    Row,
    Source,
    too_large,
    unreadable,
)
from ishibumi.settings import ColumnSettings

SUFFIXES = (".pdf",)
EDGE_LINES = 3  # so many lines at the top and at the bottom of a page may be headers and footers
FULL_SHARE = 0.8  # a line that fills less of the width of its page ends its paragraph

_HYPHEN = "\ufffe"  # pdfium puts it where a word was parted at a line end
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60]")
_NEW_PARAGRAPH = re.compile(r"[\u3000•・■●○◆◇□※]|\d+[.)．] |[-–] |第\d+[章節条]")


def read_pdf(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The document as one row; what repeats at the edge of more than half of its pages is NotRead.

    The title in the file's properties counts if it also stands on the first page. Raises InputError for a file with a
    password, and for one without text, such as a scan.
    """
    import pypdfium2 as pdfium

    data = source.local or source.read_bytes(limit=MAX_FILE_BYTES)
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        raise unreadable(source.name, "it needs a password" if "assword" in str(error) else "not a PDF") from None
    with closing(document):
        pages = list(_pages(document, source.name))
        title = document.get_metadata_dict().get("Title", "").strip()
    if not any(pages):
        raise unreadable(source.name, "a PDF without text (a scan? Recognise its text first)")
    first = "".join(pages[0]).replace(" ", "")
    for line in _drop_edges(pages):
        yield NotRead(f"{source.name}: {short(line)}", "page_header_or_footer", is_part=True)
    text = "\n".join(_paragraphs([line for page in pages for line in page]))
    known = title if title and title.replace(" ", "") in first else None
    yield Row(text, known, None, None, f"{source.name}:1", source.stem)


def _pages(document: Any, name: str) -> Iterator[list[str]]:
    """The lines of each page."""
    num_characters = 0
    for page in document:
        with closing(page), closing(page.get_textpage()) as text_page:
            num_characters += text_page.count_chars()
            if num_characters > MAX_DOCUMENT_BYTES:
                raise too_large(name)
            yield [line for line in text_page.get_text_range().splitlines() if line.strip()]


def _drop_edges(pages: list[list[str]]) -> list[str]:
    """Take the lines off `pages` that repeat, but for their numbers, on more than half; returns them as on one page."""
    counts = Counter(key for page in pages for key in {_key(line) for line in _edges(page)})
    repeated = {key for key, count in counts.items() if count > 1 and count > len(pages) / 2}
    dropped: dict[str, str] = {}
    for page in pages:
        for at in (0, -1):
            for _ in range(EDGE_LINES):
                if page and _key(page[at]) in repeated:
                    dropped.setdefault(_key(page[at]), page.pop(at))
    return list(dropped.values())


def _edges(page: list[str]) -> list[str]:
    return [*page[:EDGE_LINES], *page[-EDGE_LINES:]]


def _key(line: str) -> str:
    return re.sub(r"\d+", "0", line.strip())


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Lines joined until one ends before the edge, or the next begins as a paragraph does."""
    widths = sorted(_width(part) for line in lines for part in line.split(_HYPHEN))
    full = FULL_SHARE * widths[int(0.95 * (len(widths) - 1))] if widths else 0.0
    held = ""
    for line in lines:
        if held and _NEW_PARAGRAPH.match(line):
            yield held
            held = ""
        needs_space = held and not (_WIDE.match(held[-1]) or _WIDE.match(line[0]))
        held += (" " if needs_space and not held.endswith(" ") else "") + line.replace(_HYPHEN, "")
        if _width(line.rpartition(_HYPHEN)[2]) < full:
            yield held
            held = ""
    if held:
        yield held


def _width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in line)
