"""Bytes of a text file → text. Strict: a wrong guess would be engraved for good, so what does not fit is refused."""

import codecs
import contextlib
import io
import re
from collections.abc import Iterator
from typing import TextIO

from ishibumi.corpus.readers.source import MAX_DOCUMENT_BYTES, Source, metered, too_large
from ishibumi.errors import InputError

TRIED = "UTF-8, UTF-16 (with its mark), CP932 (Shift_JIS), EUC-JP, ISO-2022-JP"
SAMPLE_BYTES = 16 * 2**20  # the encoding is told from so much; what follows is read strictly in that encoding

_CHUNK_CHARACTERS = 2**20

# A letter or mark of Japanese that is set as wide as it is high; no space is written beside it.
WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60]"

# ISO-2022-JP: characters of two bytes, to the next escape or the line's end; or the escape back to ASCII.
_JIS = re.compile(rb"\x1b\$[@B]((?:[!-~]{2})*)(?=[\x1b\r\n]|$)|\x1b\([BJ]")

FULL_WIDTH_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
HALF_WIDTH_KANA = re.compile(r"[｡-ﾟ]")


def read_text(source: Source) -> str:
    """The text of a whole file with \\n line ends. Raises InputError for bytes in an unknown encoding, or too many."""
    return decode(source.read_bytes(), origin=source.name).replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def open_text(source: Source, *, newline: str | None = None) -> Iterator[TextIO]:
    """The text of a file as a stream, by default with \\n line ends.

    Raises InputError for bytes in an unknown encoding; reading raises UnicodeDecodeError where later bytes do not fit.
    """
    with source.open() as stream:
        head = stream.read(SAMPLE_BYTES)
        encoding = encoding_of(head, origin=source.name, whole=len(head) < SAMPLE_BYTES)
        with io.TextIOWrapper(metered(stream, source.name, head=head), encoding=encoding, newline=newline) as text:
            yield text


def decode(data: bytes, *, origin: str) -> str:
    """`data` as text; raises InputError naming `origin` and the encodings that were tried."""
    if b"\x1b$" in data and data.isascii() and _decoded(data, "iso2022_jp", whole=True) is None:
        text = _decoded(_JIS.sub(_as_cp932, data), "cp932", whole=True)  # with ①, ㈱ or 髙, as Outlook writes it
        if text and "\x1b" not in text:
            return text
    return data.decode(encoding_of(data, origin=origin))


def encoding_of(data: bytes, *, origin: str, whole: bool = True) -> str:
    """The encoding that all of `data` fits (its last character may be cut unless `whole`). Raises InputError."""
    has_utf16_mark = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    has_escapes = b"\x1b$" in data and data.isascii()
    encoding = "utf-16" if has_utf16_mark else "iso2022_jp" if has_escapes else "utf-8-sig"
    if _decoded(data, encoding, whole) is not None:
        return encoding
    # EUC-JP bytes are mostly valid CP932 (as half-width kana) and Latin-1 letters can be valid in both, so it is not
    # enough that a text decodes: it must also look like Japanese, which has kana everywhere.
    scores = {encoding: _japanese_score(_decoded(data, encoding, whole) or "") for encoding in ("cp932", "euc_jp")}
    best = max(scores, key=lambda encoding: scores[encoding])
    if scores[best] > 0:
        return best
    raise InputError(
        f"{origin}: unknown encoding. Tried: {TRIED}. First bytes: {data[:16].hex(' ')}.",
        hint="Convert it to UTF-8, for example: iconv -f ENCODING -t UTF-8 OLD > NEW",
        hint_ja="UTF-8 に変換してください。例: iconv -f 元の文字コード -t UTF-8 元のファイル > 新しいファイル",
    )


def lines_of(text: TextIO, name: str) -> Iterator[tuple[int, str | InputError]]:
    """Each line that is not empty, without its \\n, after its number from 1; the error for one that is too long."""
    number, pieces, num_held = 1, list[str](), 0
    while chunk := text.read(_CHUNK_CHARACTERS):
        first, *rest = chunk.split("\n")
        num_held += len(first)
        pieces = [*pieces, first] if num_held <= MAX_DOCUMENT_BYTES else []
        if not rest:
            continue
        yield from _line(pieces, num_held, name, number)
        *lines, last = rest
        if any(lines):  # a million empty lines pass quickly
            yield from ((number + at, line) for at, line in enumerate(lines, start=1) if line)
        number, pieces, num_held = number + len(rest), [last], len(last)
    yield from _line(pieces, num_held, name, number)


def _line(pieces: list[str], num_characters: int, name: str, number: int) -> Iterator[tuple[int, str | InputError]]:
    if num_characters > MAX_DOCUMENT_BYTES:
        yield number, too_large(f"{name}:{number}")
    elif num_characters:
        yield number, "".join(pieces)


def _decoded(data: bytes, encoding: str, whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
    except UnicodeDecodeError:
        return None


def _as_cp932(run: re.Match[bytes]) -> bytes:
    """The same characters in CP932, which has more of them."""
    pairs = zip((run[1] or b"")[::2], (run[1] or b"")[1::2], strict=True)
    return b"".join(
        bytes([(a + 1) // 2 + (0x70 if a < 0x5F else 0xB0), b + (0x1F + (b >= 0x60) if a % 2 else 0x7E)])
        for a, b in pairs
    )


def _japanese_score(text: str) -> int:
    """Full-width kana less half-width kana: positive for Japanese prose, negative for EUC-JP read as CP932."""
    return len(FULL_WIDTH_KANA.findall(text)) - len(HALF_WIDTH_KANA.findall(text))
