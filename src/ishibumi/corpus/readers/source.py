"""Source: one file to read, on disk or inside an archive, as a stream with limits. Row: one document in it.

Nothing is unpacked to disk, so no name in an archive can write anywhere; what unpacks to too much is refused.
"""

import importlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar, cast

from ishibumi.errors import InputError, IshibumiError, UsageError
from ishibumi.settings import ColumnSettings

MAX_DOCUMENT_BYTES = 16 * 2**20  # a longer line, value or text file is no document that anybody wrote
MAX_FILE_BYTES = 512 * 2**20  # PDF, DOCX, XLSX and Parquet in an archive: they hold pictures, or many documents
MAX_RATIO = 200  # text shrinks to a tenth, repetitive logs to a fiftieth; a zip bomb to a thousandth
FREE_BYTES = 16 * 2**20  # so much may come out whatever the ratio


@dataclass(frozen=True, slots=True)
class Row:
    """One document of a file, as it stands there.

    `origin` is «file:line»; `id` is None where the file gives none, and then `default_id` counts; `columns` says which
    columns were read, and as what, for the report.
    """

    text: str
    title: str | None
    date: str | int | float | None
    id: str | None
    origin: str
    default_id: str
    url: str | None = None
    columns: str = ""


@dataclass(frozen=True)
class NotRead:
    """What a rule leaves out: a file, or a part of one, such as the line at the top of each page.

    `reason` is the rule's name in the report, `origin` says where and, of a part, what.
    """

    origin: str
    reason: str
    is_part: bool = False


T = TypeVar("T")
# The named values of each row of a table, after its «file:line»; the error for a row that has none.
Objects = Iterator[tuple[str, "dict[str, Any] | InputError"]]
# An error that is yielded is about one row: the rows after it can still be read. One that is raised ends its file.
Item = Row | NotRead | InputError


@dataclass(frozen=True)
class Source:
    """One file: `name` is for messages («news.zip!/2024/a.jsonl»), `path` has the suffix that tells the format.

    `stem` begins the ids of its documents. `open` may be called once; `local` is the file itself if it lies bare on
    disk.
    """

    name: str
    path: PurePath
    stem: str
    open: Callable[[], BinaryIO] = field(repr=False)
    local: Path | None = None

    @property
    def suffix(self) -> str:
        """«.html», in small letters."""
        return self.path.suffix.lower()

    def read_bytes(self, *, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """All bytes. Raises InputError if they are more than `limit`."""
        with self.open() as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise too_large(self.name, limit=limit)
        return data


Reader = Callable[[Source, ColumnSettings], Iterator[Item]]
# `columns` says which columns are needed; None: all.
TableReader = Callable[[Source, ColumnSettings | None], Objects]


class Metered(io.RawIOBase):
    """The bytes of `head` and then of `inner`, unpacked from `packed_bytes`; refuses what grows out of proportion."""

    def __init__(self, inner: BinaryIO, name: str, *, packed: BinaryIO | None, packed_bytes: int | None, head: bytes):
        super().__init__()
        self._inner, self._packed, self._name, self._head = inner, packed, name, io.BytesIO(head)
        self._left = None if packed_bytes is None else FREE_BYTES + MAX_RATIO * packed_bytes

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer`; 0 at the end. Raises InputError past the limit."""
        data = self._head.read(len(buffer)) or self._inner.read(len(buffer))
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise bomb(self._name)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the streams below too."""
        self._inner.close()
        if self._packed:
            self._packed.close()
        super().close()


def metered(
    inner: BinaryIO,
    name: str,
    *,
    packed: BinaryIO | None = None,
    packed_bytes: int | None = None,
    head: bytes = b"",
) -> BinaryIO:
    """A buffered `Metered`, which closes `inner` and the stream `packed` that it unpacks."""
    raw = Metered(inner, name, packed=packed, packed_bytes=packed_bytes, head=head)
    return cast(BinaryIO, io.BufferedReader(raw, buffer_size=2**18))


def guarded(items: Iterator[T], name: str) -> Iterator[T | InputError]:
    """`items` until one cannot be read; then, as the last, the error that says why.

    A parser of foreign bytes may raise anything, so everything is caught; the cause stays on the error.
    """
    try:
        yield from items
    except InputError as error:
        yield error
    except IshibumiError:
        raise
    except Exception as error:
        refused = unreadable(name, reason_of(error))
        refused.__cause__ = error
        yield refused


def reason_of(error: Exception) -> str:
    """Why, on one line: the error's own words, or its kind where it has none."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are not {error.encoding} ({error.object[error.start : error.start + 8].hex(' ')})"
    words = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return words[:200] or type(error).__name__


def optional(module: str, extra: str, name: str) -> Any:
    """A module of an optional extra that reading `name` needs. Raises UsageError with the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(
            f"{name}: reading it needs the package {module}, which is not installed.",
            hint=f"pip install 'ishibumi[{extra}]'",
        ) from None


def unreadable(name: str, reason: str) -> InputError:
    """The error for a file or part of it that cannot be read."""
    return InputError(
        f"{name}: cannot be read: {reason}.",
        hint='Repair or remove it, or set documents.on_bad = "skip" to count it and go on.',
        hint_ja='直すか外してください。documents.on_bad = "skip" とすれば、数えたうえで飛ばします。',
    )


def too_large(name: str, *, limit: int = MAX_DOCUMENT_BYTES) -> InputError:
    """The error for one line, value or file that is longer than a document can be."""
    return unreadable(name, f"more than {limit // 2**20} MB for one document")


def bomb(name: str) -> InputError:
    """The error for an archive or compressed file that unpacks to too much."""
    return unreadable(name, f"it unpacks to more than {MAX_RATIO} times its size (a zip bomb?)")
