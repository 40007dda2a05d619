"""CSV and TSV → rows. The first line names the columns."""

import csv
from functools import partial

from ishibumi.corpus.readers.encoding import open_text
from ishibumi.corpus.readers.source import MAX_DOCUMENT_BYTES, Objects, Source, reason_of, unreadable
from ishibumi.settings import ColumnSettings

SUFFIXES = (".csv", ".tsv")


def read_table(source: Source, columns: ColumnSettings | None) -> Objects:
    """The rows under the header. The separator is a tab in .tsv, else the most frequent of , ; and tab in the header.

    Raises InputError for a file that breaks the rules of quoting, as then no later row can be trusted.
    """
    csv.field_size_limit(MAX_DOCUMENT_BYTES)
    with open_text(source, newline="") as text:
        lines = iter(partial(text.readline, MAX_DOCUMENT_BYTES), "")  # a longer line ends in a field that is too long
        header_line = next(lines, "")
        separator = "\t" if source.suffix == ".tsv" else max(",;\t", key=header_line.count)
        start = 1
        try:
            header = next(csv.reader([header_line], delimiter=separator, strict=True), [])
            reader = csv.reader(lines, delimiter=separator, strict=True)
            start = 2
            for values in reader:
                origin, start = f"{source.name}:{start}", reader.line_num + 2
                if len(values) > len(header):
                    reason = f"{len(values)} values, but the header names {len(header)} columns"
                    yield origin, unreadable(origin, reason)
                elif values:
                    yield origin, dict(zip(header, values, strict=False))
        except csv.Error as error:
            raise unreadable(f"{source.name}:{start}", f"not CSV: {reason_of(error)}") from None
