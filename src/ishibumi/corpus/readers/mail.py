"""Mail (.eml, .mbox) → one row a message: subject, date and the text that is shown."""

import email
import email.header
from collections.abc import Iterator
from email.message import Message

from ishibumi.corpus.readers.encoding import decode
from ishibumi.corpus.readers.html import page_of
from ishibumi.corpus.readers.source import Item, Row, Source, reason_of, too_large, unreadable
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings

SUFFIXES = (".eml", ".mbox")
MAX_MESSAGE_BYTES = 64 * 2**20  # with what is attached


def read_mail(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The messages; one that cannot be read is an InputError among them."""
    if source.suffix == ".eml":
        yield _message(source.read_bytes(limit=MAX_MESSAGE_BYTES), f"{source.name}:1", source.stem)
        return
    for line, data in _messages(source):
        origin, stem = f"{source.name}:{line}", f"{source.stem}-{line}"
        yield data if isinstance(data, InputError) else _message(data, origin, stem)


def _messages(source: Source) -> Iterator[tuple[int, bytes | InputError]]:
    """(line of its beginning, bytes) for each message of an mbox."""
    with source.open() as stream:
        held: list[bytes] = []
        num_bytes, start, number, is_border = 0, 0, 0, True
        while line := stream.readline(MAX_MESSAGE_BYTES):
            number += 1
            if is_border and line.startswith(b"From "):
                if start:
                    yield start, _whole(held, f"{source.name}:{start}")
                held, num_bytes, start = [], 0, number
            elif not start:
                raise unreadable(f"{source.name}:{number}", "not an mbox, which begins with a line «From …»")
            elif num_bytes <= MAX_MESSAGE_BYTES:
                held.append(line[1:] if line.startswith(b">From ") else line)
                num_bytes += len(line)
            is_border = line in (b"\n", b"\r\n")
        if start:
            yield start, _whole(held, f"{source.name}:{start}")


def _whole(lines: list[bytes], origin: str) -> bytes | InputError:
    data = b"".join(lines)
    return too_large(origin, limit=MAX_MESSAGE_BYTES) if len(data) > MAX_MESSAGE_BYTES else data


def _message(data: bytes, origin: str, stem: str) -> Row | InputError:
    try:
        message = email.message_from_bytes(data)
        kinds = {part.get_content_type(): part for part in reversed(list(message.walk())) if _is_body(part)}
        title, date = _header(message, "Subject", origin), _header(message, "Date", origin)
        if "text/plain" in kinds:
            text = _content(kinds["text/plain"], origin)
        elif "text/html" in kinds:
            text = page_of(_content(kinds["text/html"], origin), name=origin).text
        else:
            return unreadable(origin, "the message has no text")
    except InputError as error:
        return error
    except Exception as error:  # the parser of foreign bytes may raise anything
        return unreadable(origin, reason_of(error))
    return Row(text, title, date, None, origin, stem, columns="title = Subject, date = Date")


def _is_body(part: Message) -> bool:
    return not part.is_multipart() and part.get_content_disposition() != "attachment"


def _header(message: Message, name: str, origin: str) -> str | None:
    value = message[name]
    if value is None:
        return None
    pieces = email.header.decode_header(value)
    words = [_decoded(p.encode() if isinstance(p, str) else p, charset, origin) for p, charset in pieces]
    return "".join(words).strip() or None


def _content(part: Message, origin: str) -> str:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return _decoded(data, part.get_content_charset(), origin)


def _decoded(data: bytes, charset: str | None, origin: str) -> str:
    """The text in the encoding that a part or header names; told by its bytes if none is named, known or fits."""
    try:
        return data.decode(charset) if charset else decode(data, origin=origin)
    except (UnicodeDecodeError, LookupError):
        return decode(data, origin=origin)
