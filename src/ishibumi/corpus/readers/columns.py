"""A row of named values → Row: which column is the text, the title, the date, the url and the id.

A table of records has no column of text. There the settings give sentences with columns in braces, which are filled in:

text = "{product} weighs {weight}. It costs {price}."     a sentence of which a value is empty is left out
"""

import datetime as dt
import functools
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ishibumi.corpus.readers.source import Row, Source
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings

# The names of a column in the files that such data comes in, small letters; the first that a row has counts.
NAMES = {
    "text": (
        "text", "本文", "body", "content", "article", "記事", "記事本文", "内容", "テキスト", "document", "passage",
    ),
    "title": ("title", "見出し", "タイトル", "headline", "題名", "表題", "件名", "subject"),
    "date": (
        "date", "日付", "published", "published_at", "公開日", "公開日時", "掲載日", "配信日", "配信日時", "発行日",
        "投稿日",
        "publish_date", "published_date", "pub_date", "pubdate", "datetime", "日時", "created_at", "timestamp",
    ),
    "url": ("url", "リンク", "link", "source_url", "uri"),
    "id": ("id", "doc_id", "document_id", "article_id", "記事id", "文書id"),
}  # fmt: skip


MAX_TOLD = 4  # columns that a proposed text tells of the first one
BRACES = re.compile(r"\{([^{}]+)\}")
_SENTENCES = re.compile(r"(?:\{[^{}]*\}|[^{}。.!?！？\n]|[.!?](?!\s|$))*(?:[。！？]+|[.!?]+(?=\s|$)|\n|$)\s*")


@dataclass(frozen=True)
class _Chosen:
    """The columns of a file that each field is read from, the same in words, and sentences that are to be filled in."""

    by_field: dict[str, tuple[str, ...]]
    shown: str
    sentences: dict[str, tuple[str, ...]]


def row_of(values: Mapping[str, Any], source: Source, origin: str, columns: ColumnSettings) -> Row | InputError:
    """The Row in `values`, or the error for one that has no text, or something else where a text or number must be."""
    try:
        chosen = chosen_columns(tuple(values), columns)  # type: ignore[arg-type]
        if not chosen.by_field["text"]:
            raise _no_text(origin, list(values), columns)
        name = chosen.by_field["text"][0]
        text = _filled(values, chosen.sentences["text"], origin) if "text" in chosen.sentences else values[name]
        if text is not None and not isinstance(text, str) and text == text:
            raise InputError(
                f"{origin}: {name} is {kind_of(text)}, not a text: {_json(text)}",
                hint="Write the text as one string, or name its column in [documents.columns].",
                hint_ja="本文を1つの文字列にするか、[documents.columns] でその列を指定してください。",
            )
        title, date, url, row_id = (
            _filled(values, chosen.sentences[field], origin)
            if field in chosen.sentences
            else _scalar(values, chosen.by_field[field], origin)
            for field in ("title", "date", "url", "id")
        )
    except InputError as error:
        return error
    return Row(
        text if isinstance(text, str) else "",
        _text(title),
        date,
        _text(row_id),
        origin,
        f"{source.stem}-{origin[len(source.name) + 1 :]}",
        _text(url),
        chosen.shown,
    )


@functools.lru_cache(maxsize=1024)
def chosen_columns(names: tuple[str, ...], columns: ColumnSettings) -> _Chosen:
    """Which of the columns `names` each field is read from, the first that is not empty, or is filled in with."""
    plain = {name: unicodedata.normalize("NFKC", name).strip().lower() for name in names}
    by_field: dict[str, tuple[str, ...]] = {}
    sentences: dict[str, tuple[str, ...]] = {}
    for field, known in NAMES.items():
        wanted = getattr(columns, field)
        if wanted not in names and (inside := tuple(n for n in BRACES.findall(wanted or "") if n in names)):
            by_field[field], sentences[field] = inside, tuple(s for s in _SENTENCES.findall(wanted) if s.strip())
        elif wanted in names or wanted == "":
            by_field[field] = (wanted,) if wanted else ()
        else:  # of files in one folder, some may not have the column that is named
            by_field[field] = tuple(n for k in known for n in names if plain[n] == k)
    used = [(f, name) for f, found in by_field.items() for name in found[: None if f in sentences else 1]]
    shown = ", ".join(f"{field} = {name}" for field, name in used)
    unused = [name for name in names if all(name != n for _, n in used)]
    return _Chosen(by_field, shown + (f"; not used: {short(', '.join(unused))}" if unused else ""), sentences)


def short(text: str, *, length: int = 60) -> str:
    """`text` on one line, cut to `length` characters for a message."""
    line = " ".join(text[: 20 * length].split())
    return line if len(line) <= length else line[: length - 1] + "…"


def kind_of(value: Any) -> str:
    """A JSON value's kind in words: «a list»."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")


def _filled(values: Mapping[str, Any], sentences: tuple[str, ...], origin: str) -> str | None:
    """The sentences with the values in their braces, without those of which one is empty; None if none is left."""
    out: list[str] = []
    for sentence in sentences:
        found = {name: _scalar(values, (name,) if name in values else (), origin) for name in BRACES.findall(sentence)}
        if None not in found.values():
            out.append(BRACES.sub(lambda m, found=found: _plain(found[m[1]]), sentence))
    return "".join(out).strip() or None


def _plain(value: str | int | float | None) -> str:
    """A value as people write it: 4000, not 4000.0 as Excel has it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _text(value: str | int | float | None) -> str | None:
    return None if value is None else str(value)


def _scalar(values: Mapping[str, Any], names: tuple[str, ...], origin: str) -> str | int | float | None:
    """The first of the columns `names` that is not empty."""
    for name in names:
        value = values[name]
        if value is None or value == "" or value != value:
            continue
        if isinstance(value, dt.date):
            return value.isoformat()
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(
                f"{origin}: {name} is {kind_of(value)}: {_json(value)}",
                hint=f"Write {name} as a text or a number.",
                hint_ja=f"{name} は文字列か数値で書いてください。",
            )
        return value
    return None


def _json(value: Any) -> str:
    return short(json.dumps(value, ensure_ascii=False, default=str))


def _no_text(origin: str, names: list[str], columns: ColumnSettings) -> InputError:
    named = [] if columns.text is None else [f'"{columns.text}" (documents.columns.text)']
    known = ", ".join([*named, *(() if columns.text == "" else NAMES["text"])])
    return InputError(
        f"{origin}: no text. Columns here: {short(', '.join(names), length=300) or 'none'}. Read as text: {known}.",
        hint='Name the column that holds the text: [documents.columns] text = "NAME". For a table of records write '
        f"sentences with its columns in braces, such as: text = '{_told(names) or 'The price of {name} is {price}.'}'",
        hint_ja='本文の列を指定してください: [documents.columns] text = "列の名前"。台帳のような表では、'
        f"列を中かっこに入れた文を書いてください: text = '{_told(names) or '{品名}の価格は{価格}です。'}'",
    )


def _told(names: list[str]) -> str:
    """Sentences that tell the first columns of a table of records, the first one as what the others are of."""
    known = {"番号", "連番", "no", "no.", "#", *(name for field in ("date", "url", "id") for name in NAMES[field])}
    own = [name for name in names if name.strip().lower() not in known and not re.search(r"['{}\n]", name)]
    if len(own) < 2:
        return ""
    subject, *others = own[: 1 + MAX_TOLD]
    is_japanese = re.search("[\u3041-\u30ff\u4e00-\u9fff]", "".join(own))
    form = "{{{s}}}の{o}は{{{o}}}です。" if is_japanese else "The {o} of {{{s}}} is {{{o}}}. "
    return "".join(form.format(s=subject, o=other) for other in others).strip()
