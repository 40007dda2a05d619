"""docs/reference/settings.md from the fields of settings.py. () → Markdown.

python docs/make_settings_reference.py > docs/reference/settings.md
"""

import tomllib
from importlib import resources
from typing import Any

from ishibumi.config import recipe_names
from ishibumi.config_errors import fields_by_key, takes, toml_value
from ishibumi.settings import Settings

HEAD = """# Settings

Made by `docs/make_settings_reference.py` from `settings.py`; change it there.

A value comes from the default, the recipe, the settings file or `--set`, the later over the earlier; `ishibumi check`
prints each with its origin. The recipes' columns show what they set, and are empty where the default stands. Paths are
relative to the settings file. An unknown key or a value out of range is refused with its line and what it takes.
"""


def settings_reference() -> str:
    """A table for each section, a row for each setting."""
    recipes = {name: _recipe(name) for name in recipe_names()}
    lines, section = [HEAD.rstrip()], None
    for key, info in fields_by_key(Settings).items():
        *parents, name = key.split(".")
        if parents != section:
            section = parents
            lines += ["", f"## {_heading(parents)}", "", _row("setting", "default", *recipes, "meaning", "takes")]
            lines.append(_row(*["---"] * (len(recipes) + 4)))
        default = "" if info.default is None else _code(info.default)
        of_recipes = [_set_by(recipe, key) for recipe in recipes.values()]
        lines.append(_row(f"`{name}`", default, *of_recipes, info.description or "", takes(info)))
    return "\n".join(lines) + "\n"


def _recipe(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("ishibumi") / "recipes" / f"{name}.toml").read_text(encoding="utf-8"))


def _set_by(recipe: Any, key: str) -> str:
    """The value that a recipe gives to a dotted key, empty if none."""
    for name in key.split("."):
        if name not in recipe:
            return ""
        recipe = recipe[name]
    return _code(recipe)


def _heading(parents: list[str]) -> str:
    """«[cpt]: continued pretraining, which engraves» from the section's docstring."""
    if not parents:
        return "The run"
    section: Any = Settings
    for name in parents:
        section = section.model_fields[name].annotation
    return (section.__doc__ or "").rstrip(".")


def _code(value: Any) -> str:
    return f"`{toml_value(value)}`"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(settings_reference(), end="")
