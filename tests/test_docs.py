"""What the documentation says is what the program does: commands, settings, files, figures in both languages."""

import ast
import inspect
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

import ishibumi
from ishibumi import config
from ishibumi.cli import app
from ishibumi.config_errors import fields_by_key
from ishibumi.corpus.chat_data import read_conversations
from ishibumi.corpus.read import read_documents
from ishibumi.exam.questions import read_questions
from ishibumi.settings import DocumentSettings, Settings

ROOT = Path(__file__).parents[1]
ENGLISH, JAPANESE = (ROOT / name for name in ("README.md", "README.ja.md"))
READMES = (ENGLISH, JAPANESE)
EXAMPLE = ROOT / "examples" / "worldcup2026"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("Makefile")])
HOSTS = {"ai.google.dev", "creativecommons.org", "www.apache.org", "github.com"}

Block = tuple[str, str]  # (language of the fence, text)


def blocks(page: Path) -> list[Block]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def tables(text: str) -> list[list[list[str]]]:
    found = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.M)
    return [[[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()] for table in found]


def commands(page: Path, program: str) -> list[list[str]]:
    """The words after `program` in every command line, in fences and in running text, comments taken off."""
    lines = [line for language, text in blocks(page) if language == "sh" for line in text.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    found = [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]
    return [words[1:] for words in found]


def bare(block: Block) -> str:
    """A block without what is translated: comments, and what stands behind a name in the list of files."""
    language, text = block
    if language == "text":
        return str(text.count("\n"))
    return re.sub(r"\s+#.*" if language != "python" else r"  # .*", "", text)


def test_readmes_put_the_command_and_the_results_early_and_stay_short() -> None:
    for page in READMES:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert next(n for n, line in enumerate(lines, start=1) if line.startswith("make demo")) <= 20
        assert next(n for n, line in enumerate(lines, start=1) if line == "<!-- /results -->") <= 60
        assert len(lines) < 150


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_every_command_line_of_the_readme_parses(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    found = commands(page, "ishibumi")
    assert [words[0] for words in found] == ["init", "check", "run", "chat", "export", "sweep", "show", "fetch"]
    for verb, *arguments in found:
        group.commands[verb].make_context(verb, arguments)  # raises for an unknown option or a missing argument


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_every_make_target_and_linked_file_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    named = [words[0] for words in commands(page, "make")]
    assert set(named) == {"demo", "demo-full", "compare", "test"}
    assert set(named) <= targets
    links = re.findall(r"\]\((?!http)([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_clean_leaves_the_inputs_of_the_examples_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    kept = [tmp_path / path.relative_to(ROOT) for path in ROOT.glob("examples/*/*.toml")]
    for path in kept:
        for result in ("run", "run-gpu"):
            (path.parent / result / "report").mkdir(parents=True, exist_ok=True)
        path.touch()
    subprocess.run(["make", "--silent", "clean"], cwd=tmp_path, check=True)
    assert sorted(p for p in tmp_path.rglob("*") if not p.is_dir()) == sorted([*kept, tmp_path / "Makefile"])
    assert {path.parent.name for path in kept} == {p.name for p in (tmp_path / "examples").iterdir()}
    assert not any(p.is_dir() for p in tmp_path.glob("examples/*/*"))


def test_both_readmes_have_the_same_shape_and_figures() -> None:
    english, japanese = (page.read_text(encoding="utf-8") for page in READMES)

    def headings(text: str) -> list[str]:
        return re.findall(r"^#+ ", text, flags=re.M)

    assert headings(prose(ENGLISH)) == headings(prose(JAPANESE))
    assert [(block[0], bare(block)) for block in blocks(ENGLISH)] == [
        (block[0], bare(block)) for block in blocks(JAPANESE)
    ]
    shapes = [[[len(row) for row in table] for table in tables(text)] for text in (english, japanese)]
    assert shapes[0] == shapes[1]
    values = [[row[1:] for table in tables(text) for row in table] for text in (english, japanese)]
    numbers = [[re.findall(r"\d+(?:\.\d+)?|\?", " ".join(row)) for row in rows] for rows in values]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_settings_in_the_readme_exist_and_are_valid(page: Path, tmp_path: Path) -> None:
    fields = fields_by_key(Settings)
    sections = {key.split(".")[0] for key in fields if "." in key}
    named = re.findall(r"`(?:--set )?([a-z]+)\.(\w+)(?:=[^`]*)?`", prose(page))
    keys = [f"{section}.{name}" for section, name in named if section in sections]
    assert keys and [key for key in keys if key not in fields] == []
    settings = tmp_path / "ishibumi.toml"
    settings.write_text(next(text for language, text in blocks(page) if language == "toml"), encoding="utf-8")
    flags = dict(flag.split("=", 1) for flag in re.findall(r"--set ([^\s`]+=[^\s`]+)", prose(page)))
    assert flags == {"cpt.epochs": "2"}
    assert config.load(settings, flags).settings.documents.paths == ["news.jsonl"]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_table_of_recipes_has_their_values(page: Path, tmp_path: Path) -> None:
    recipes = config.recipe_names()
    header = [f"`{name}`" for name in recipes]
    table = next(t for t in tables(page.read_text(encoding="utf-8")) if t[0][1:] == header)
    settings = tmp_path / "ishibumi.toml"
    settings.write_text("", encoding="utf-8")
    for name, cells in zip(recipes, zip(*(row[1:] for row in table[2:]), strict=True), strict=True):
        run = config.load(settings, {"recipe": name})
        values = {row.key: row.value for row in config.describe(run)}
        for key, cell in zip((row[0].strip("`") for row in table[2:]), cells, strict=True):
            value = tomllib.loads(f"v = {values[key]}")["v"]
            value = value[0] if isinstance(value, list) else value  # a list of one may be written without [ ]
            assert cell == value if isinstance(value, str) else float(cell) == value, f"{key} of {name}"


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_rows_of_json_are_read_as_what_they_are(page: Path, tmp_path: Path) -> None:
    rows = [line for language, text in blocks(page) if language == "json" for line in text.splitlines()]
    paths = [tmp_path / name for name in ("news.jsonl", "chat.jsonl", "questions.jsonl")]
    for path, row in zip(paths, rows, strict=True):
        path.write_text(row + "\n", encoding="utf-8")
    documents = read_documents([paths[0]], DocumentSettings()).documents
    assert [(d.id, d.title, d.language, str(d.date)) for d in documents] == [
        ("n1", "南町図書館が開館", "ja", "2024-09-01")
    ]
    assert [m["role"] for c in read_conversations([(paths[1], None)], seed=1).conversations for m in c.messages] == [
        "user",
        "assistant",
    ]
    assert [(q.document_id, q.accept) for q in read_questions([paths[2]])] == [("n1", ("90,000冊",))]


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_python_example_calls_public_functions_with_arguments_that_they_take(page: Path) -> None:
    source = next(text for language, text in blocks(page) if language == "python")
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    called: list[str] = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "ib":
            called.append(call.func.attr)
            assert call.func.attr in ishibumi.__all__
            inspect.signature(getattr(ishibumi, call.func.attr)).bind(
                *call.args, **{str(keyword.arg): keyword.value for keyword in call.keywords}
            )
    assert sorted(called) == ["generate_replies", "load_finished", "load_settings", "run"]
    assert [name for name in re.findall(r"\bib\.(\w+)", source) if name not in ishibumi.__all__] == []


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_files_that_a_run_leaves_are_named_in_the_code(page: Path) -> None:
    package = ROOT / "src" / "ishibumi"
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    listing = next(text for language, text in blocks(page) if language == "text" and text.startswith("run/"))
    files = re.findall(r"[\w*]+\.(?:jsonl|json|html)\b", listing)
    assert len(files) == 9
    written = {"answers_*.jsonl": 'f"answers_{arm}.jsonl"', "perplexity_*.json": 'f"perplexity_{side.name}.json"'}
    assert [name for name in files if written.get(name, f'"{name}"') not in code] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_another_host_or_a_path_of_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    hosts = re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|org|net|io|co|dev|ai)\b", text)
    assert set(hosts) <= HOSTS
    assert re.findall(r"""(?:^|[\s"'(`=])(/\w[\w.-]*/[\w./-]*)""", text, flags=re.M) == []


def test_the_settings_reference_is_current() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_settings_reference.py"))["settings_reference"]()
    assert made == (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")


def test_the_examples_settings_name_every_article_and_question() -> None:
    demo, full = (config.load(EXAMPLE / name) for name in ("ishibumi.toml", "full.toml"))
    articles = {path.name for path in EXAMPLE.glob("*.jsonl") if not path.name.startswith("questions")}
    assert set(full.settings.documents.paths) == articles
    assert set(full.settings.exam.questions) == {path.name for path in EXAMPLE.glob("questions*.jsonl")}
    assert demo.run_dir != full.run_dir
    named = [run.resolve(p) for run in (demo, full) for p in [
        *run.settings.documents.paths, *run.settings.replay.paths, *run.settings.exam.questions,
        *run.settings.exam.general, *(source.path for source in run.settings.chat.sources),
    ]]  # fmt: skip
    assert [path for path in named if not path.is_file()] == []


def test_the_counts_that_the_pages_give_are_those_of_the_example() -> None:
    counts = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLE.glob("*.jsonl")}
    knockout = read_documents([EXAMPLE / "knockout_ja.jsonl"], DocumentSettings()).documents
    knockout_ids = {document.id for document in knockout}
    asked = [q for q in read_questions([EXAMPLE / "questions_ja.jsonl"]) if q.document_id in knockout_ids]
    num_articles = sum(count for name, count in counts.items() if not name.startswith("questions"))
    for page in READMES:
        text = page.read_text(encoding="utf-8")
        row = tables(text[text.index("<!-- results -->") :])[0][0][0]
        assert re.findall(r"\d+", row)[:2] == [str(len(knockout_ids)), str(len(asked))]
        assert str(num_articles) in text
    shown = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert f"{counts['group_ja']} and {counts['group_en']} articles" in shown
    assert f"{counts['questions_ja']} and {counts['questions_en']} questions" in shown
