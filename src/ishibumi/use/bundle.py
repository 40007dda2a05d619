"""What a machine without any network needs, in one tar file. run → OUT.tar, with an install script and hashes.

    wheels/  every package, for one platform and Python        base/, instruct/, writer/  the models
    run/     what the run left, if it is there                 inputs/  the files that the settings name
    ishibumi.toml   the run's settings, with the paths above   install, SHA256SUMS

Beside `fetch` the only command that uses the network: pip does, to load the packages.
"""

import importlib.metadata
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import ishibumi
from ishibumi.artifacts import disk_errors, write_text
from ishibumi.config import Run, recipe_names
from ishibumi.config_errors import fields_by_key, toml_value
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.errors import InputError, UsageError
from ishibumi.models.load import find_base
from ishibumi.settings import Settings
from ishibumi.use.export import sha256_of

EXAM_PATHS = tuple(f"exam.{name}" for name in ("questions", "free_questions", "general", "choices", "facts"))
PATHS = ("documents.paths", "replay.paths", *EXAM_PATHS)
FOLDERS = {"model.base": "base", "model.instruct": "instruct", "knowledge.model.base": "writer"}
NOT_NEEDED = shutil.ignore_patterns(".lock", "*.partial", "*.old", "checkpoint*")
PICKLES = shutil.ignore_patterns("*.bin", "*.pt", "*.pth", "*.ckpt")
INSTALL = """#!/bin/sh
# Checks every file, then installs from wheels/ into .venv. No network. PYTHON=python{python} ./install
set -eu
cd "$(dirname "$0")"
if ! sha256sum --check --quiet SHA256SUMS; then
  echo 'A file is damaged: copy the bundle again. 壊れたファイルがあります。コピーし直してください。' >&2
  exit 1
fi
PYTHON=${{PYTHON:-python{python}}}
"$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != ({comma}) and "These packages are for Python {python}.")'
"$PYTHON" -m venv .venv
.venv/bin/python -m pip install --quiet --no-index --find-links wheels {requirement}
echo 'Installed. Next / 次のコマンド:'
echo "  $PWD/.venv/bin/ishibumi {verb} $PWD/ishibumi.toml"
"""


def bundle(
    run: Run, out: Path, *, platform: str, python: str, extras: Sequence[str] = (), wheels: Path | None = None
) -> Path:
    """Write the bundle to `out`, whole or not at all; `wheels` is a folder of packages that were loaded before.

    Raises UsageError where pip finds no package for the platform, InputError for a missing file of the settings.
    """
    if not re.fullmatch(r"3\.\d+", python):
        raise UsageError(f"--python {python}: not a version such as 3.11.")
    models = _models(run)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with disk_errors(out):
        (partial / "wheels").mkdir(parents=True)
        if wheels:
            shutil.copytree(wheels, partial / "wheels", dirs_exist_ok=True)
        else:
            _load_wheels(partial / "wheels", platform, python, extras)
        for name, folder in _folders(models).items():
            shutil.copytree(find_base(name, run.base_dir), partial / folder, ignore=PICKLES)
        if run.run_dir.exists():
            shutil.copytree(run.run_dir, partial / "run", ignore=NOT_NEEDED)
        write_text(partial / "ishibumi.toml", _settings(run, partial))
        verb = "chat" if (partial / "run" / "sft").exists() else "run"
        requirement = shlex.quote(f"ishibumi[{','.join(extras)}]" if extras else "ishibumi")
        script = INSTALL.format(python=python, comma=python.replace(".", ", "), requirement=requirement, verb=verb)
        write_text(partial / "install", script)
        (partial / "install").chmod(0o755)
        write_text(partial / "SHA256SUMS", "".join(f"{h}  {name}\n" for name, h in sha256_of(partial).items()))
        unfinished = partial / ".tar"
        with tarfile.open(unfinished, "w") as archive:
            for path in sorted(p for p in partial.rglob("*") if p.is_file() and p != unfinished):
                archive.add(path, f"{out.stem}/{path.relative_to(partial).as_posix()}")
        unfinished.rename(out)
    shutil.rmtree(partial)
    return out


def _models(run: Run) -> dict[str, str]:
    """Setting → the model that it names, of those that a run loads."""
    model, knowledge = run.settings.model, run.settings.knowledge
    writer = knowledge.model.base if "model" in knowledge.generator else None
    named = {"model.base": model.base, "model.instruct": model.instruct, "knowledge.model.base": writer}
    return {key: name for key, name in named.items() if name}


def _folders(models: dict[str, str]) -> dict[str, str]:
    """Model → its folder, that of the first setting which names it: it is in the bundle once."""
    return {name: FOLDERS[key] for key, name in reversed(models.items())}


def _settings(run: Run, partial: Path) -> str:
    """The settings as a file, with every input copied into the bundle and named as it stands there."""
    lines: list[str] = []
    places = itertools.count()
    recipe = run.settings.recipe if run.settings.recipe in recipe_names() else "mixed"
    models = _models(run)
    named = {key: _folders(models)[name] for key, name in models.items()}
    changed: dict[str, Any] = {"recipe": recipe, "run_dir": "run", **named}
    for key in fields_by_key(Settings):
        value: Any = attrgetter(key)(run.settings)
        if key in PATHS:
            value = [place for path in value for place in _copied(run, path, partial, places)]
        elif key == "chat.sources":
            sources = [(source, _copied(run, source.path, partial, places)) for source in value]
            value = [source.model_copy(update={"path": place}) for source, found in sources for place in found]
        elif key == "knowledge.cache" and run.resolve(value).exists():  # else a server would be asked that is not there
            (value,) = _copied(run, value, partial, places)
        value = changed.get(key, value)
        if value is not None:
            lines.append(f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def _copied(run: Run, path: str, partial: Path, places: Iterator[int]) -> list[str]:
    """Copy what a path of the settings stands for; returns its new names. Each gets a folder, so that names stay."""
    source = run.resolve(path)
    found = [source] if source.exists() else local_files([source])
    if not found:
        raise InputError(
            f"{source} is named in the settings and is not there.",
            hint="Correct the path, and run the same command again.",
            hint_ja="パスを直して、同じコマンドをもう一度実行してください。",
        )
    names: list[str] = []
    for one in found:
        place = partial / "inputs" / str(next(places)) / one.name
        place.parent.mkdir(parents=True)
        shutil.copytree(one, place) if one.is_dir() else shutil.copy2(one, place)
        names.append(place.relative_to(partial).as_posix())
    return names


def _load_wheels(directory: Path, platform: str, python: str, extras: Sequence[str]) -> None:
    """Let pip load ishibumi and all it needs, as wheels for the platform, in the versions that work here."""
    checkout = Path(ishibumi.__file__).parents[2]
    requirement = f"ishibumi=={ishibumi.__version__}"
    if (checkout / "pyproject.toml").exists():
        _pip("wheel", "--no-deps", "--wheel-dir", str(directory), str(checkout))
        requirement = str(next(directory.glob("ishibumi-*.whl")))
    requirement += f"[{','.join(extras)}]" if extras else ""
    constraints = directory / "constraints.txt"
    write_text(constraints, "\n".join(_installed()) + "\n")
    platforms = [flag for name in _compatible(platform) for flag in ("--platform", name)]
    wanted = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    _pip("download", *wanted, "--constraint", str(constraints), "--dest", str(directory), requirement)


def _compatible(platform: str) -> list[str]:
    """The platform tags that such a machine takes: older C libraries, too, which pip does not work out itself."""
    found = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", platform)
    if not found:
        return [platform]
    minor, machine = int(found[1]), found[2]
    older = [f"manylinux_2_{n}_{machine}" for n in range(minor, 4, -1)]
    return [*older, *(f"{name}_{machine}" for name in ("manylinux2014", "manylinux2010", "manylinux1", "linux"))]


def _installed() -> list[str]:
    """The versions that are installed here, without the builds of a local index such as +cpu."""
    found = importlib.metadata.distributions()
    return sorted({f"{d.name}=={d.version.partition('+')[0]}" for d in found if d.name not in ("ishibumi", "pip")})


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise UsageError(
            f"The packages cannot be loaded: {reasons[-1]}",
            hint=f"Try another --platform or --python. The command was: {shlex.join(command)}",
            hint_ja=f"--platform や --python を変えてみてください。実行したコマンド: {shlex.join(command)}",
        )
