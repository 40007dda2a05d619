"""Parquet and Arrow files → rows, a batch at a time; of the columns only those that are used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ishibumi.corpus.readers.columns import chosen_columns
from ishibumi.corpus.readers.source import MAX_DOCUMENT_BYTES, MAX_FILE_BYTES, Objects, Source, too_large
from ishibumi.settings import ColumnSettings

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".arrow", ".feather")
ROWS_AT_ONCE = 1024


def read_columnar(source: Source, columns: ColumnSettings | None) -> Objects:
    """The rows; their origin is «file#number»."""
    import pyarrow as pa

    number = 0
    local = source.local
    with pa.memory_map(str(local)) if local else pa.BufferReader(source.read_bytes(limit=MAX_FILE_BYTES)) as file:
        for batch in _of_parquet(file, source, columns) if source.suffix == ".parquet" else _of_arrow(file):
            for values in batch.to_pylist():
                number += 1
                yield f"{source.name}#{number}", values


def _of_parquet(file: Any, source: Source, columns: ColumnSettings | None) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group)
        if rows.total_byte_size > MAX_DOCUMENT_BYTES * max(1, rows.num_rows):
            raise too_large(f"{source.name}#1")
    used: list[str] | None = None
    if columns is not None:
        chosen = chosen_columns(tuple(parquet.schema_arrow.names), columns).by_field  # type: ignore[arg-type]
        if chosen["text"]:  # else all names are read, so that the message can list them
            used = list(dict.fromkeys(name for found in chosen.values() for name in found))
    yield from parquet.iter_batches(ROWS_AT_ONCE, columns=used)


def _of_arrow(file: Any) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    except pa.ArrowInvalid:
        file.seek(0)
        batches = iter(pa.ipc.open_stream(file))
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)
