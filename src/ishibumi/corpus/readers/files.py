"""Paths → what stands in them, one by one: the reader for each format, and one place where each failure gets words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ishibumi.corpus.readers import docx, html, jsonl, mail, mediawiki, parquet, pdf, tables, text, xlsx
from ishibumi.corpus.readers.columns import row_of
from ishibumi.corpus.readers.inputs import FileToRead, FoundFile, find_files, sources_in
from ishibumi.corpus.readers.source import Item, Objects, Reader, Row, Source, TableReader, guarded, unreadable
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings

TABLE_READERS: dict[str, TableReader] = {
    **dict.fromkeys(jsonl.SUFFIXES, jsonl.read_json),
    **dict.fromkeys(tables.SUFFIXES, tables.read_table),
    **dict.fromkeys(parquet.SUFFIXES, parquet.read_columnar),
    **dict.fromkeys(xlsx.SUFFIXES, xlsx.read_workbook),
}
READERS: dict[str, Reader] = {
    **dict.fromkeys(TABLE_READERS, lambda source, columns: _table_rows(source, columns)),
    **dict.fromkeys(text.SUFFIXES, text.read_plain),
    **dict.fromkeys(html.SUFFIXES, html.read_html),
    **dict.fromkeys(pdf.SUFFIXES, pdf.read_pdf),
    **dict.fromkeys(docx.SUFFIXES, docx.read_docx),
    **dict.fromkeys(mediawiki.SUFFIXES, mediawiki.read_mediawiki),
    **dict.fromkeys(mail.SUFFIXES, mail.read_mail),
}
SUFFIXES = tuple(READERS)
MAX_BAD_IN_SUCCESSION = 10_000  # after so many bad rows the rest of a file is not worth the time
ALL_COLUMNS = ColumnSettings()


def read_items(paths: Sequence[Path], columns: ColumnSettings = ALL_COLUMNS) -> Iterator[Item]:
    """The rows of `paths` in order, and in their places what is not read: NotRead by a rule, InputError if broken.

    Raises InputError for a path that is not there or that names a format that cannot be read.
    """
    for found in find_files(paths, readable=SUFFIXES):
        yield from items_in(found, columns)


def refuse_absent(paths: Sequence[Path]) -> None:
    """Raise InputError for the first of `paths` that is not there, matches nothing or is of no kind that is read."""
    for path in paths:
        next(find_files([path], readable=SUFFIXES), None)


def items_in(found: FoundFile, columns: ColumnSettings) -> Iterator[Item]:
    """What stands in one file, its rows and in their places what is not read; or `found` itself if it is no file."""
    for source in sources_in(found, readable=SUFFIXES) if isinstance(found, FileToRead) else (found,):
        if isinstance(source, Source):
            yield from _while_hopeful(guarded(READERS[source.suffix](source, columns), source.name), source.name)
        else:
            yield source


def _while_hopeful(items: Iterator[Item], name: str) -> Iterator[Item]:
    num_bad = 0
    for item in items:
        yield item
        num_bad = num_bad + 1 if isinstance(item, InputError) else 0
        if num_bad == MAX_BAD_IN_SUCCESSION:
            yield unreadable(name, f"{num_bad} bad rows in succession; the rest of the file was left out")
            return


def read_rows(path: Path, columns: ColumnSettings = ALL_COLUMNS) -> Iterator[Row]:
    """The rows of `path`, in its order; a text file is one row. Raises InputError that names file and line."""
    for item in read_items([path], columns):
        if isinstance(item, InputError):
            raise item
        if isinstance(item, Row):
            yield item


def read_objects(path: Path) -> Objects:
    """The named values of each row of JSON lines, JSON, CSV, Parquet, Arrow or Excel, after its «file:line».

    In a folder or archive other files are passed over. Raises InputError for a path that is not there.
    """
    readable = tuple(TABLE_READERS)
    for file in find_files([path], readable=readable):
        for source in sources_in(file, readable=readable) if isinstance(file, FileToRead) else (file,):
            if isinstance(source, InputError):
                yield str(path), source
            elif isinstance(source, Source):
                for found in guarded(TABLE_READERS[source.suffix](source, None), source.name):
                    yield (source.name, found) if isinstance(found, InputError) else found


def _table_rows(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    for origin, values in TABLE_READERS[source.suffix](source, columns):
        yield values if isinstance(values, InputError) else row_of(values, source, origin, columns)
