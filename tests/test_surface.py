"""What users build on: settings, verbs, public functions. A change here is meant, and told in the CHANGELOG.

After a change that is meant: python tests/test_surface.py > tests/surface.txt
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ishibumi
from ishibumi.config_errors import fields_by_key, takes, toml_value
from ishibumi.settings import Settings

HERE = Path(__file__).parent
PACKAGE = Path(ishibumi.__file__).parent
# The path that a document takes. A folder imports only from those before it; modules at the top that are not of the
# frame (cli, pipeline, …) may import all.
FOLDERS = ["models", "corpus", "knowledge", "training", "exam", "use"]
FRAME = ["errors", "settings", "config_errors", "config", "artifacts", "display", "memory"]


def surface() -> str:
    """The settings with default and range, the verbs with their options, and the public names."""
    lines = ["# settings: key = default (what it takes)"]
    for key, info in fields_by_key(Settings).items():
        default = "" if info.default is None else toml_value(info.default)
        lines.append(f"{key} = {default} ({takes(info)})".replace("=  (", "= ("))
    lines += ["", "# verbs and their parameters", *_verbs()]
    lines += ["", "# import ishibumi", *sorted(ishibumi.__all__)]
    return "\n".join(lines) + "\n"


def _verbs() -> Iterator[str]:
    """The verbs as the source has them: function and parameters."""
    tree = ast.parse((PACKAGE / "cli.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any("app.command" in ast.unparse(d) for d in node.decorator_list):
            yield f"{node.name} {' '.join(argument.arg for argument in node.args.args)}"


def _modules() -> dict[str, Path]:
    """Dotted name below ishibumi → file."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): p for p in paths}


def _imported(path: Path) -> set[str]:
    """The modules of ishibumi that a file imports, also inside functions, as «folder.module»."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("ishibumi.") for name in found if name.startswith("ishibumi.")}


def test_the_surface_is_the_one_that_is_written_down() -> None:
    assert surface() == (HERE / "surface.txt").read_text(encoding="utf-8")


def test_a_folder_imports_only_from_the_folders_before_it() -> None:
    wrong: list[str] = []
    for name, path in _modules().items():
        folder = name.split(".")[0]
        if folder not in FOLDERS:
            continue
        allowed = {*FRAME, *FOLDERS[: FOLDERS.index(folder) + 1], "__version__"}
        wrong += [f"{name} imports {other}" for other in sorted(_imported(path)) if other.split(".")[0] not in allowed]
    assert wrong == []


def test_the_frame_imports_nothing_but_the_frame() -> None:
    modules = _modules()
    wrong = {name: sorted(o for o in _imported(modules[name]) if o.split(".")[0] not in FRAME) for name in FRAME}
    assert wrong == {name: [] for name in FRAME}


def test_only_the_edge_writes_to_the_terminal() -> None:
    edge = {"display", "cli", "cli_edge", "use.chat"}
    writes = re.compile(r"\bprint\(|sys\.std(out|err)\b")
    found = [name for name, path in _modules().items() if writes.search(path.read_text(encoding="utf-8"))]
    assert set(found) <= edge


def test_every_setting_says_what_it_is() -> None:
    fields = fields_by_key(Settings)
    assert [key for key, info in fields.items() if not info.description] == []


if __name__ == "__main__":
    print(surface(), end="")
