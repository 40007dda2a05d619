"""Settings of a run with the origin of each value. defaults < recipe < settings file < flags → Run.

Every layer is checked on its own, so that an error names the very line or flag that is wrong.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from ishibumi.config_errors import check_table, did_you_mean, fields_by_key, line_of, toml_value
from ishibumi.errors import UsageError
from ishibumi.settings import Settings

Table = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The settings of a run and where each came from.

    `origins` maps each dotted key to "default", "recipe NAME", "file" or "flag"; `path` is the settings file. Runs with
    the same `store` keep their stages there by fingerprint, so that each is made once.
    """

    settings: Settings
    origins: dict[str, str] = field(repr=False)
    path: Path
    base_dir: Path
    store: Path | None = None

    def resolve(self, relative: str) -> Path:
        """The path that a setting names: relative to the settings file, `~` expanded, an absolute one as it is."""
        return self.base_dir / Path(relative).expanduser()

    @property
    def run_dir(self) -> Path:
        """The directory of the results."""
        return self.resolve(self.settings.run_dir)


@dataclass(frozen=True)
class SettingRow:
    """One line of the table of settings; `value` is as TOML would write it, empty where nothing is set."""

    key: str
    value: str
    origin: str
    description: str


@dataclass(frozen=True)
class _Layer:
    """One source of settings: `origin` for the table, `name` and `text` for messages (no text: not a TOML file)."""

    origin: str
    name: str
    table: Table
    text: str | None = None


def load(path: Path | str, overrides: Mapping[str, str] | None = None) -> Run:
    """The run that the settings file `path` describes, with `overrides` (dotted key → TOML value) on top.

    Raises UsageError for a file that cannot be read, an unknown key and a value of the wrong type or range, naming
    file, line and what is allowed.
    """
    path = Path(path)
    return _combined(_file_layer(path, "file", str(path)), path, overrides or {})


def defaults(path: Path) -> Run:
    """The run of an empty settings file at `path`: the default recipe and nothing else."""
    return _combined(_Layer("file", str(path), {}), path, {})


def _combined(file: _Layer, path: Path, overrides: Mapping[str, str]) -> Run:
    flags = [_flag_layer(key, value) for key, value in overrides.items()]
    for layer in [file, *flags]:
        check_table(layer.table, name=layer.name, text=layer.text)
    recipe = _recipe_layer(_over_all([file, *flags]).get("recipe", Settings.model_fields["recipe"].default), path)
    check_table(recipe.table, name=recipe.name, text=recipe.text)
    layers = [recipe, file, *flags]
    origins = dict.fromkeys(fields_by_key(Settings), "default")
    for layer in layers:
        origins.update((key, layer.origin) for key in _leaves(layer.table))
    return Run(Settings.model_validate(_over_all(layers), strict=True), origins, path, path.parent)


def describe(run: Run) -> list[SettingRow]:
    """Every setting with its value, where the value came from, and the sentence that explains it."""
    rows: list[SettingRow] = []
    for key, info in fields_by_key(Settings).items():
        value = attrgetter(key)(run.settings)
        shown = "" if value is None else toml_value(value)
        rows.append(SettingRow(key, shown, run.origins[key], info.description or ""))
    return rows


def recipe_names() -> list[str]:
    """The recipes that come with ishibumi."""
    return sorted(entry.name.removesuffix(".toml") for entry in _recipe_folder().iterdir())


def _recipe_folder() -> Traversable:
    return resources.files("ishibumi") / "recipes"


# --- reading the layers -------------------------------------------------------------------------------------------


def _file_layer(path: Path, origin: str, name: str) -> _Layer:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        found = sorted(p.name for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise UsageError(
            f"No settings file {path}. TOML files in {path.parent}: {', '.join(found) or 'none'}.",
            hint="ishibumi init DIR writes one to start from.",
            hint_ja="ishibumi init ディレクトリ で、ひな形を作れます。",
        ) from None
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a directory, not a settings file.",
            hint=f"Name the file: {path / 'ishibumi.toml'}",
            hint_ja=f"ファイルを指定してください: {path / 'ishibumi.toml'}",
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 (byte {error.start}). TOML files are always UTF-8.",
            hint="Save it as UTF-8.",
            hint_ja="UTF-8 で保存し直してください。",
        ) from None
    return _text_layer(text, origin, name)


def _text_layer(text: str, origin: str, name: str) -> _Layer:
    try:
        return _Layer(origin, name, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as error:
        lines = text.splitlines()
        found = re.search(r"at line (\d+)", str(error))
        number = int(found[1]) if found else max(1, len(lines))
        shown = lines[number - 1].strip() if number <= len(lines) else ""
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise UsageError(
            f"{name}:{number}: not TOML: {reason}: {shown[:80]}",
            hint='A setting is written key = value, with texts in "quotes" and sections as [name].',
            hint_ja='設定は key = value の形で書き、文字列は "引用符" で囲み、節は [name] と書きます。',
        ) from None


def _recipe_layer(recipe: str, settings_path: Path) -> _Layer:
    if recipe.endswith(".toml"):
        layer = _file_layer(settings_path.parent / Path(recipe).expanduser(), f"recipe {recipe}", f"recipe {recipe}")
    elif recipe in recipe_names():
        text = (_recipe_folder() / f"{recipe}.toml").read_text(encoding="utf-8")
        layer = _text_layer(text, f"recipe {recipe}", f"recipe {recipe}")
    else:
        raise UsageError(
            f'No recipe "{recipe}".{did_you_mean(recipe, recipe_names())} Recipes: {", ".join(recipe_names())}.',
            hint="Set recipe to one of these, or to the path of a TOML file of your own (ending in .toml).",
            hint_ja="recipe にはこのどれか、または自分の TOML ファイル（.toml）のパスを指定してください。",
        )
    if "recipe" in layer.table:
        raise UsageError(
            f"{layer.name}:{line_of(layer.text or '', ('recipe',))}: a recipe cannot name another recipe.",
            hint="Take this line out.",
            hint_ja="この行を消してください。",
        )
    return layer


def _flag_layer(key: str, value: str) -> _Layer:
    """The layer of `--set key=value`; a bare word is a text, and so is anything given to a setting that is a text."""
    name = f"--set {key}={value}"
    parts = key.strip().split(".")
    if not all(parts):
        raise UsageError(
            f"{name}: no setting is named.",
            hint="Write --set section.key=value, for example --set cpt.epochs=2",
            hint_ja="--set 節.キー=値 の形で書いてください。例: --set cpt.epochs=2",
        )
    parsed: Any = value
    info = fields_by_key(Settings).get(".".join(parts))
    try:
        table = tomllib.loads(f"value = {value}")
        is_text = info is not None and info.annotation is str and not isinstance(table["value"], str)
        if list(table) == ["value"] and not is_text:
            parsed = table["value"]
    except tomllib.TOMLDecodeError:
        pass  # not TOML: a bare word such as a path
    for part in reversed(parts):
        parsed = {part: parsed}
    return _Layer("flag", name, parsed)


def _over_all(layers: Iterable[_Layer]) -> Table:
    """The tables of `layers`, the later over the earlier, section by section; lists are replaced as a whole."""
    table: Table = {}
    for layer in layers:
        table = _over(table, layer.table)
    return table


def _over(low: Table, high: Table) -> Table:
    result = dict(low)
    for key, value in high.items():
        is_section = isinstance(value, dict) and isinstance(low.get(key), dict)
        result[key] = _over(low[key], cast(Table, value)) if is_section else value
    return result


def _leaves(table: Table, prefix: str = "") -> list[str]:
    """The dotted keys of a checked table."""
    keys: list[str] = []
    for name, value in table.items():
        keys += _leaves(cast(Table, value), f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return keys
