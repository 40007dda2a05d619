"""A TOML table checked against the settings, each fault told with its line, the nearest name and what is allowed."""

import datetime as dt
import difflib
import json
import tomllib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ishibumi.errors import UsageError
from ishibumi.settings import Settings

Location = tuple[int | str, ...]

RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
MAX_ERRORS_SHOWN = 8


def check_table(table: dict[str, Any], *, name: str, text: str | None = None) -> None:
    """Raise UsageError if a key of `table` is unknown or a value does not fit.

    `name` stands before each message; `text` is the TOML text that the table was read from, for line numbers.
    """
    try:
        Settings.model_validate(table, strict=True)
    except ValidationError as error:
        found = [(line_of(text, e["loc"]) if text else 0, e) for e in error.errors(include_url=False)]
        found.sort(key=lambda pair: pair[0])
        messages = [f"{place(name, line)}: {_explain(e)}" for line, e in found[:MAX_ERRORS_SHOWN]]
        if len(found) > MAX_ERRORS_SHOWN:
            messages.append(f"… and {len(found) - MAX_ERRORS_SHOWN} more.")
        raise UsageError(
            "\n".join(messages),
            hint="Correct this and run the same command again. ishibumi init DIR writes a file that explains settings.",
            hint_ja="ここを直して同じコマンドを実行してください。ishibumi init で、説明つきのひな形を作れます。",
        ) from None


def place(name: str, line: int) -> str:
    """«file:line», or the name alone where there is no line."""
    return f"{name}:{line}" if line else name


def toml_value(value: Any) -> str:
    """`value` as TOML writes it, on one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        table = cast(Mapping[str, Any], value)
        return "{" + ", ".join(f"{key} = {toml_value(item)}" for key, item in table.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in cast(Sequence[Any], value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings have JSON's escapes
    return str(value).lower() if isinstance(value, bool) else str(value)


def _section_of(info: FieldInfo) -> type[BaseModel] | None:
    return info.annotation if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel) else None


def fields_by_key(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting of `model` that has a value of its own, by dotted key."""
    fields: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        section = _section_of(info)
        fields |= fields_by_key(section, f"{prefix}{name}.") if section else {prefix + name: info}
    return fields


def takes(info: FieldInfo) -> str:
    """What a setting takes, in words: «a whole number at least 1 and at most 4096»."""
    return _type_words(info.annotation) + _range_words(info)


def _type_words(annotation: Any) -> str:
    words: dict[Any, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: 'a text in "quotes"',
        dt.date: "a date such as 2024-09-01, without quotes",
    }
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(toml_value(a) for a in arguments)
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type_words(a) for a in arguments if a is not type(None))
    if get_origin(annotation) is list:
        return f"a list, each entry {_type_words(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a table with {', '.join(annotation.model_fields)}"
    return words[annotation]


def _range_words(info: FieldInfo) -> str:
    bounds: list[str] = []
    for item in info.metadata:
        match item:
            case Ge(ge=bound):
                bounds.append(f"at least {bound}")
            case Gt(gt=bound):
                bounds.append(f"above {bound}")
            case Le(le=bound):
                bounds.append(f"at most {bound}")
            case Lt(lt=bound):
                bounds.append(f"below {bound}")
            case _:
                pass
    return " " + " and ".join(bounds) if bounds else ""


def _explain(error: ErrorDetails) -> str:
    location, value = error["loc"], error["input"]
    key = _dotted(location)
    parent, info = _find_field(location)
    if error["type"] == "extra_forbidden":
        return _unknown(location, value, parent)
    if error["type"] == "missing":
        return f"{_dotted(location[:-1])} lacks {location[-1]}, {takes(info)}: {info.description}."
    words = takes(info) if not isinstance(location[-1], int) else _type_words(get_args(info.annotation)[0])
    what = "is out of range" if error["type"] in RANGE_ERRORS else "does not fit"
    section = _section_of(info)
    if section:
        return f"{key} = {_shown(value)} {what}: [{key}] is a section with {', '.join(section.model_fields)}."
    return f"{key} = {_shown(value)} {what}. It takes {words}: {info.description}."


def _unknown(location: Location, value: Any, parent: type[BaseModel]) -> str:
    """«unknown setting cpt.learning_rat. Did you mean cpt.learning_rate? In [cpt]: method, rank, …»"""
    *path, name = location
    section = _dotted(tuple(path))
    prefix = f"{section}." if section else ""
    near = did_you_mean(str(name), list(parent.model_fields), prefix)
    same_name = [key for key in fields_by_key(Settings) if key.split(".")[-1] == name]
    if same_name:
        near = f" Did you mean {' or '.join(same_name)}?"
    kind = "section" if isinstance(value, dict) else "setting"
    where = f"In [{section}]" if section else "Sections and settings at the top"
    return f"unknown {kind} {prefix}{name}.{near} {where}: {', '.join(parent.model_fields)}."


def did_you_mean(name: str, names: list[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {prefix}{near[0]}?" if near else ""


def _find_field(location: Location) -> tuple[type[BaseModel], FieldInfo]:
    """The model that the last name of `location` belongs to, and the last field on the way that exists."""
    model: type[BaseModel] = Settings
    info = Settings.model_fields["recipe"]
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            info = model.model_fields[part]
            inner = _section_of(info) or next(iter(get_args(info.annotation)), None)
            if part != location[-1] and isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return model, info


def _dotted(location: Location) -> str:
    """«chat.sources[1].count» for ("chat", "sources", 1, "count")."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).removeprefix(".")


def _shown(value: Any) -> str:
    shown = toml_value(value)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def line_of(text: str, location: Location) -> int:
    """The line (from 1) of the statement in a TOML text that first sets `location`, or its nearest parent.

    tomllib gives no positions. So it parses ever longer beginnings of the text: the key first exists at the end of
    its statement, which began right after the longest shorter beginning that was TOML too.
    """
    lines = text.splitlines(keepends=True)
    while location and not _has(tomllib.loads(text), location):
        location = location[:-1]
    start = 1
    for end in range(1, len(lines) + 1):
        try:
            table = tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(table, location):
            return start
        start = end + 1
    return 1


def _has(value: Any, location: Location) -> bool:
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
