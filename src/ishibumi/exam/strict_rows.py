"""Rows of a file that all must be of one form. path → {id: row}, or InputError with the line and what it needs."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.files import read_objects
from ishibumi.errors import InputError


class StrictRow(BaseModel):
    """A frozen row: a number is no text, and the other way round. Further fields are passed over."""

    model_config = ConfigDict(frozen=True, strict=True, str_strip_whitespace=True)

    id: int | str | None = None  # without one a row is known by its number, from 0


Row = TypeVar("Row", bound=StrictRow)


def rows_by_id(path: Path, form: type[Row], example: str) -> dict[str, Row]:
    """The rows of a file of JSON lines, or another table; `example` is what a line may look like.

    Raises InputError, with file and line, for a row of another form and an id that is used twice, and for no rows.
    """
    found: dict[str, Row] = {}
    for number, (origin, values) in enumerate(read_objects(path)):
        if isinstance(values, InputError):
            raise values
        try:
            row = form.model_validate(values)
        except ValidationError as error:
            raise malformed(origin, _fault(error), example) from None
        name = str(number if row.id is None else row.id)
        if name in found:
            raise malformed(origin, f"the id {name} is used twice", example)
        found[name] = row
    if not found:
        raise malformed(str(path), "there are no rows", example)
    return found


def malformed(place: str, fault: str, example: str) -> InputError:
    """The error for what stands at «file:line»."""
    return InputError(
        f"{place}: {fault}.", hint=f"A line may look like {example}", hint_ja=f"1行の書き方の例: {example}"
    )


def _fault(error: ValidationError) -> str:
    """«label is 7: Input should be less than or equal to 4»."""
    first: Any = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{name} is missing"
    return f"{name} is {short(json.dumps(first['input'], ensure_ascii=False, default=str))}: {first['msg']}"
