"""JSON lines and JSON lists → objects, each with its file:line. Both are read as streams."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO, cast

from ishibumi.corpus.readers.columns import kind_of, short
from ishibumi.corpus.readers.encoding import lines_of, open_text
from ishibumi.corpus.readers.source import MAX_DOCUMENT_BYTES, Objects, Source, reason_of, too_large
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings

SUFFIXES = (".jsonl", ".ndjson", ".json")

_SPACE = re.compile(r"[ \t\n\r\ufeff]*")
_DECODER = json.JSONDecoder()
_CHUNK_CHARACTERS = 2**18


def read_json(source: Source, columns: ColumnSettings | None) -> Objects:
    """The objects of a JSON lines file or of a JSON list, each after its «file:line» (in a list: «file#number»)."""
    with open_text(source) as text:
        found = _list_values(text, source.name) if source.suffix == ".json" else _line_values(text, source.name)
        for origin, value in found:
            if isinstance(value, dict | InputError):
                yield origin, cast(dict[str, Any] | InputError, value)
                continue
            yield (
                origin,
                InputError(
                    f"{origin}: not an object but {kind_of(value)}: {short(json.dumps(value, ensure_ascii=False))}",
                    hint='Each row is an object such as {"text": "…", "date": "2024-09-01"}.',
                    hint_ja='各行は {"text": "…", "date": "2024-09-01"} のようなオブジェクトにしてください。',
                ),
            )


def _line_values(text: TextIO, name: str) -> Iterator[tuple[str, Any]]:
    # Lines end at \n only: splitlines() would also cut at the U+2028 that JSON strings may hold as it is.
    for number, line in lines_of(text, name):
        origin = f"{name}:{number}"
        if isinstance(line, InputError):
            yield origin, line
        elif not line.isspace():
            try:
                yield origin, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield origin, _not_json(origin, line, error)


def _list_values(text: TextIO, name: str) -> Iterator[tuple[str, Any]]:
    window = _Window(text, name)
    if window.next_character() != "[":  # JSON lines under the name .json are common
        while window.next_character():
            origin = f"{name}:{window.line}"
            yield origin, window.value()
        return
    number = 0
    window.skip("[")
    while window.next_character() != "]":
        if number:
            window.skip(",")
        number += 1
        yield f"{name}#{number}", window.value()
    window.skip("]")
    if window.next_character():
        raise window.refused("Extra data")


class _Window:
    """The part of a JSON text that is being read; `line` is that of the place reached."""

    def __init__(self, text: TextIO, name: str) -> None:
        self.line = 1
        self._text, self._name = text, name
        self._held, self._at, self._is_end = "", 0, False
        self._column = 0  # characters of this line before `_held`

    def next_character(self) -> str:
        """The next that is no space, "" at the end."""
        while True:
            end = cast(re.Match[str], _SPACE.match(self._held, self._at)).end()
            self._forward(end)
            if self._at < len(self._held) or not self._fill():
                return self._held[self._at : self._at + 1]

    def skip(self, mark: str) -> None:
        """Step over `mark`. Raises InputError if something else is next."""
        if self.next_character() != mark:
            raise self.refused(f"Expecting '{mark}' delimiter")
        self._forward(self._at + 1)

    def value(self) -> Any:
        """The next value. Raises InputError if it is not JSON or longer than a document can be."""
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
                if end < len(self._held) or not self._fill():  # a number may go on
                    break
            except (ValueError, RecursionError) as error:
                if len(self._held) - self._at > MAX_DOCUMENT_BYTES:
                    raise too_large(f"{self._name}:{self.line}") from None
                if isinstance(error, RecursionError) or not self._fill():
                    raise self._error(error) from None
        if end - self._at > MAX_DOCUMENT_BYTES:
            raise too_large(f"{self._name}:{self.line}")
        self._forward(end)
        return value

    def refused(self, reason: str) -> InputError:
        """The error for what stands here."""
        return self._error(json.JSONDecodeError(reason, self._held, self._at))

    def _fill(self) -> bool:
        """Read as much again as is held; whether there was more."""
        more = self._text.read(max(_CHUNK_CHARACTERS, len(self._held) - self._at))
        if more:
            self._column = self._column_at(self._at)
            self._held, self._at = self._held[self._at :] + more, 0
        return bool(more)

    def _forward(self, end: int) -> None:
        self.line += self._held.count("\n", self._at, end)
        self._at = end

    def _column_at(self, place: int) -> int:
        """Characters before `place` on its line."""
        start = self._held.rfind("\n", 0, place)
        return place - start - 1 if start >= 0 else self._column + place

    def _error(self, error: Exception) -> InputError:
        place = error.pos if isinstance(error, json.JSONDecodeError) else self._at
        number = self.line + self._held.count("\n", self._at, place)
        start, end = self._held.rfind("\n", 0, place) + 1, self._held.find("\n", place)
        line = self._held[start : end if end >= 0 else None]
        return _not_json(f"{self._name}:{number}", line, error, column=self._column_at(place) + 1)


def _not_json(origin: str, line: str, error: Exception, *, column: int = 0) -> InputError:
    reason = reason_of(error)
    if isinstance(error, json.JSONDecodeError):
        reason = f"{error.msg.removesuffix(' starting at')} at column {column or error.colno}"
    return InputError(
        f"{origin}: not JSON ({reason}): {short(line[:1000])}",
        hint="Correct or remove this line. Each line is one JSON object; line breaks in a text are written \\n.",
        hint_ja="この行を直すか消してください。1行に1つの JSON オブジェクトを書き、文中の改行は \\n と書きます。",
    )
