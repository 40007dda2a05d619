"""What a sweep tries: «cpt.rank=32,64» and «cpt.learning_rate=1e-4..1e-3» → axes → settings of each trial.

A trial is a run with some other settings, in a directory of its own that is named after them.
"""

import hashlib
import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ishibumi.errors import UsageError

Chosen = dict[str, str]  # setting → value as TOML writes it
SEPARATE = re.compile(r",(?![^\[]*\])(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")  # a comma outside of brackets and quotes
NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
MAX_NAME = 100


@dataclass(frozen=True)
class Axis:
    """A setting with the values to try, or with the ends of a range to draw from."""

    key: str
    values: tuple[str, ...] = ()
    ends: tuple[float, float] | None = None
    is_whole: bool = False


def read_axes(arguments: Sequence[str]) -> list[Axis]:
    """The axes that the arguments name. Raises UsageError for one that cannot be read or a setting named twice."""
    axes = [_axis(argument) for argument in arguments]
    keys = [axis.key for axis in axes]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise UsageError(f"{', '.join(twice)} is swept twice.", hint="Name all its values in one argument.")
    return axes


def _axis(argument: str) -> Axis:
    key, equals, text = (part.strip() for part in argument.partition("="))
    values = tuple(dict.fromkeys(value.strip() for value in SEPARATE.split(text)))
    if not (key and equals and all(values)):
        raise UsageError(
            f"«{argument}» names no values to try.",
            hint="Write 'cpt.rank=32,64' or, with --trials, a range: 'cpt.learning_rate=1e-4..1e-3'",
            hint_ja="'cpt.rank=32,64' のように値を並べるか、--trials とともに範囲 'cpt.learning_rate=1e-4..1e-3' を"
            "指定してください。",
        )
    if found := re.fullmatch(rf"({NUMBER})\.\.({NUMBER})", text):
        low, high = (tomllib.loads(f"value = {end}")["value"] for end in found.groups())
        if not low < high:
            raise UsageError(f"«{argument}»: the range does not rise.", hint="Write the smaller end first.")
        return Axis(key, (), (low, high), isinstance(low, int) and isinstance(high, int))
    return Axis(key, values)


def grid(axes: Sequence[Axis]) -> list[Chosen]:
    """Every combination, the last axis fastest. Raises UsageError for a range, which has no end of values."""
    if ranges := [axis.key for axis in axes if axis.ends]:
        raise UsageError(
            f"{', '.join(ranges)} is a range, from which a grid cannot take every value.",
            hint="Say how many trials: --trials 20, or list the values.",
            hint_ja="--trials 20 のように試行数を指定するか、値を並べてください。",
        )
    combinations = itertools.product(*(axis.values for axis in axes))
    return [dict(zip((axis.key for axis in axes), values, strict=True)) for values in combinations]


def suggested(axes: Sequence[Axis], trial: Any) -> Chosen:
    """What an Optuna trial tries; ranges above zero are drawn evenly by ratio and rounded to three figures."""
    chosen: Chosen = {}
    for axis in axes:
        if axis.ends is None:
            chosen[axis.key] = trial.suggest_categorical(axis.key, list(axis.values))
            continue
        low, high = axis.ends
        draw = trial.suggest_int if axis.is_whole else trial.suggest_float
        chosen[axis.key] = f"{draw(axis.key, low, high, log=low > 0):{'d' if axis.is_whole else '.3g'}}"
    return chosen


def trial_name(chosen: Mapping[str, str]) -> str:
    """A directory's name for these settings: «cpt.rank=32,seed=2», cut and made unique where it is long."""
    name = ",".join(f"{key}={value}" for key, value in chosen.items())
    plain = re.sub(r"[^\w.,=+-]+", "_", name)
    if plain == name and len(name) <= MAX_NAME:
        return name
    return f"{plain[:MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
