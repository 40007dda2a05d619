"""JSON lines, JSON lists and plain text files → rows, each with its file:line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ishibumi.corpus.readers.encoding import read_text
from ishibumi.errors import InputError

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TEXT_SUFFIXES = (".txt", ".md")
SUFFIXES = JSON_SUFFIXES + TEXT_SUFFIXES

# The names of a column in the files that such data comes in; the first that a row has counts.
TEXT_COLUMNS = ("text", "本文", "body", "content")
TITLE_COLUMNS = ("title", "見出し", "タイトル", "headline")
DATE_COLUMNS = ("date", "日付", "published", "published_at")
ID_COLUMNS = ("id",)


@dataclass(frozen=True)
class Row:
    """One row of a file, as it stands there. `id` is None where the row has none; `origin` is «file:line»."""

    text: str
    title: str | None
    date: str | int | float | None
    id: str | None
    origin: str


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of `path`, in its order; a .txt or .md file is one row. Raises InputError that names file and line."""
    if path.suffix.lower() in TEXT_SUFFIXES:
        yield Row(read_text(path, readable=SUFFIXES), None, None, path.stem, f"{path}:1")
        return
    for origin, values in read_objects(path, readable=SUFFIXES):
        yield _row(values, origin)


def read_objects(path: Path, *, readable: tuple[str, ...] = JSON_SUFFIXES) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON lines file or of a JSON list, each after its «file:line» (in a list: «file#number»)."""
    text = read_text(path, readable=readable)
    values = _list_values(path, text) if path.suffix.lower() == ".json" else _line_values(path, text)
    for origin, value in values:
        if not isinstance(value, dict):
            raise InputError(
                f"{origin}: not an object but {_kind(value)}: {short(json.dumps(value, ensure_ascii=False))}",
                hint='Each row is an object such as {"text": "…", "date": "2024-09-01"}.',
                hint_ja='各行は {"text": "…", "date": "2024-09-01"} のようなオブジェクトにしてください。',
            )
        yield origin, cast(dict[str, Any], value)


def short(text: str, *, length: int = 60) -> str:
    """`text` on one line, cut to `length` characters for a message."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _line_values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    # Split at \n only: splitlines() would also cut at the U+2028 that JSON strings may hold as it is.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise _not_json(f"{path}:{number}", line, error) from None


def _list_values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines under the name .json are common
            yield from _line_values(path, text)
            return
        raise _not_json(f"{path}:{error.lineno}", text.split("\n")[error.lineno - 1], error) from None
    rows = cast(list[Any], values if isinstance(values, list) else [values])
    yield from ((f"{path}#{number}", value) for number, value in enumerate(rows, start=1))


def _not_json(origin: str, line: str, error: json.JSONDecodeError) -> InputError:
    return InputError(
        f"{origin}: not JSON ({error.msg.removesuffix(' starting at')} at column {error.colno}): {short(line)}",
        hint="Correct or remove this line. Each line is one JSON object; line breaks in a text are written \\n.",
        hint_ja="この行を直すか消してください。1行に1つの JSON オブジェクトを書き、文中の改行は \\n と書きます。",
    )


def _row(values: dict[str, Any], origin: str) -> Row:
    names = [name for name in TEXT_COLUMNS if name in values]
    if not names:
        raise InputError(
            f"{origin}: no text. Columns here: {', '.join(values) or 'none'}. Read as text: {', '.join(TEXT_COLUMNS)}.",
            hint="Rename the column that holds the text to text.",
            hint_ja="本文の列の名前を text にしてください。",
        )
    text = values[names[0]]
    if text is not None and not isinstance(text, str):
        raise InputError(
            f"{origin}: {names[0]} is {_kind(text)}, not a text: {short(json.dumps(text, ensure_ascii=False))}",
            hint="Write the text as one JSON string.",
            hint_ja="本文を1つの JSON 文字列として書いてください。",
        )
    title, date, row_id = (_scalar(values, names, origin) for names in (TITLE_COLUMNS, DATE_COLUMNS, ID_COLUMNS))
    return Row(text or "", None if title is None else str(title), date, None if row_id is None else str(row_id), origin)


def _scalar(values: dict[str, Any], names: tuple[str, ...], origin: str) -> str | int | float | None:
    """The first of the columns `names` that is there and not empty."""
    for name in names:
        value = values.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(
                f"{origin}: {name} is {_kind(value)}: {short(json.dumps(value, ensure_ascii=False))}",
                hint=f"Write {name} as a text or a number.",
                hint_ja=f"{name} は文字列か数値で書いてください。",
            )
        return value
    return None


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")
