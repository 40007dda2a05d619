"""PDF → one row a file: its paragraphs, without the headers and footers of its pages."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.pdf_edges import drop_edges
from ishibumi.corpus.readers.pdf_lines import Line, page_lines
from ishibumi.corpus.readers.pdf_paragraphs import paragraphs
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


def read_pdf(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The document as one row; headers and footers of its pages are NotRead.

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
    first = "".join(line.text for line in pages[0]).replace(" ", "")
    pages, edges = drop_edges(pages)
    for line in edges:
        yield NotRead(f"{source.name}: {short(line)}", "page_header_or_footer", is_part=True)
    text = paragraphs(pages)
    known = title if title and title.replace(" ", "") in first else None
    yield Row(text, known, None, None, f"{source.name}:1", source.stem)


def _pages(document: Any, name: str) -> Iterator[list[Line]]:
    """The lines of each page."""
    num_characters = 0
    for page in document:
        with closing(page), closing(page.get_textpage()) as text_page:
            num_characters += text_page.count_chars()
            if num_characters > MAX_DOCUMENT_BYTES:
                raise too_large(name)
            yield page_lines(page, text_page)
