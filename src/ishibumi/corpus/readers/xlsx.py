"""Excel workbooks (.xlsx) → rows: each sheet is a table whose first line names the columns."""

import warnings
from typing import Any

from ishibumi.corpus.readers.docx import office_archive
from ishibumi.corpus.readers.source import Objects, Source, optional
from ishibumi.settings import ColumnSettings

SUFFIXES = (".xlsx",)
MAX_COLUMNS = 256


def read_workbook(source: Source, columns: ColumnSettings | None) -> Objects:
    """The rows of every sheet; formulas count as the value that was last computed."""
    openpyxl = optional("openpyxl", "docs", source.name)
    with office_archive(source) as archive:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of drawings and rules for input, which are not read
            book: Any = openpyxl.load_workbook(archive.fp, read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what the file says of its size may be wrong
            rows = sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True)
            header: list[str] = []
            for number, values in enumerate(rows, start=1):
                if not any(value is not None for value in values):
                    continue
                if not header:
                    header = ["" if value is None else str(value) for value in values]
                    continue
                origin = f"{source.name}:{sheet.title}:{number}"
                yield origin, {name: value for name, value in zip(header, values, strict=False) if name}
