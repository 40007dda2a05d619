"""The command line: what it imports, what it refuses, and the exit code of each."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ishibumi import artifacts, config
from ishibumi.cli import app

VERBS = [
    "init",
    "run",
    "check",
    "corpus",
    "cpt",
    "sft",
    "evaluate",
    "sweep",
    "report",
    "chat",
    "export",
    "serve",
    "show",
    "fetch",
    "bundle",
]
NEWS = [
    {"id": "a", "text": "スペインが優勝\n　スペインが決勝でアルゼンチンを２－０で破った。", "date": "2026-07-19"},
    {"id": "b", "text": "Spain win\nSpain beat Argentina 2-0 in the final.", "date": "2026-07-19"},
]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors in English; what the CLI puts into the environment is taken back after each test."""
    for name, value in {"LC_ALL": "C.UTF-8", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A settings file with two documents beside it."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in NEWS)
    (tmp_path / "news.jsonl").write_text("".join(lines), encoding="utf-8")
    path = tmp_path / "ishibumi.toml"
    path.write_text('[documents]\npaths = ["news.jsonl"]\n')
    return path


def call(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "ishibumi", *map(str, arguments)]


def test_help_lists_the_verbs_in_run_order_without_heavy_imports() -> None:
    code = (
        "import sys\nfrom ishibumi.cli import app\napp(['--help'], standalone_mode=False)\nprint(*sorted(sys.modules))"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[0] for line in lines[lines.index("Commands:") + 1 : -1]] == VERBS
    heavy = {"torch", "transformers", "numpy", "pydantic", "rich", "jinja2", "sudachipy"}
    heavy |= {"pyarrow", "selectolax", "pypdfium2", "openpyxl"}
    assert heavy & set(lines[-1].split()) == set()


def test_help_answers_in_half_a_second() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run(command("--help"), capture_output=True, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 0.5


def test_wrong_settings_exit_2_with_line_nearest_name_and_nothing_on_stdout(tmp_path: Path, settings: Path) -> None:
    settings.write_text("[cpt]\nrnak = 3\n")
    code, out, err = call("run", settings)
    assert (code, out) == (2, "")
    assert err.startswith(f"ishibumi: {settings}:2: unknown setting cpt.rnak. Did you mean cpt.rank? In [cpt]: method")
    assert err.splitlines()[-1].startswith("What to do: ")
    settings.write_text('[cpt]\nrank = "3"\n')
    assert call("check", settings)[::2] == (
        2,
        f'ishibumi: {settings}:2: cpt.rank = "3" does not fit. It takes a whole number at least 1 and at most 4096: '
        "LoRA rank r.\nWhat to do: Correct this and run the same command again. ishibumi init DIR writes a file that "
        "explains settings.\n",
    )
    missing = tmp_path / "no.toml"
    code, out, err = call("corpus", missing)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == f"ishibumi: No settings file {missing}. TOML files in {tmp_path}: ishibumi.toml."


def test_a_flag_out_of_range_or_without_a_value_exits_2(settings: Path) -> None:
    code, _, err = call("cpt", settings, "--set", "cpt.learning_rate=5")
    assert code == 2
    assert err.splitlines()[0] == (
        "ishibumi: --set cpt.learning_rate=5: cpt.learning_rate = 5 is out of range. "
        "It takes a number above 0 and at most 1: peak learning rate."
    )
    code, _, err = call("cpt", settings, "--set", "cpt.epochs")
    assert (code, err.splitlines()[0]) == (2, "ishibumi: --set cpt.epochs: there is no = in it.")
    assert call("cpt", settings, "--no-such-flag")[0] == 2
    assert call("crpus", settings)[0] == 2


def test_the_hint_is_japanese_for_a_japanese_locale(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    err = call("corpus", settings, "--set", "seed=-1")[2]
    assert err.splitlines()[-1].startswith("対処: ここを直して同じコマンドを実行してください。")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"text": "abc\n', ':1: not JSON (Unterminated string at column 10): {"text": "abc'),
        (
            b'{"text": "\xff"}\n',
            ": unknown encoding. Tried: UTF-8, UTF-16 (with its mark), CP932 (Shift_JIS), EUC-JP, ISO-2022-JP.",
        ),
        (
            b'{"text": "A text without any date at all."}\n',
            ":1: this document has no date, and its prefix «News of {date}:»",
        ),
        (b'{"text": ""}\n', ": no document is left. Left out: empty 1 (such as "),
        (None, ". Files in "),
    ],
)
def test_bad_documents_exit_1_and_leave_no_corpus(settings: Path, data: bytes | None, message: str) -> None:
    news = settings.with_name("news.jsonl")
    if data is None:
        news.rename(news.with_name("old.jsonl"))
    else:
        news.write_bytes(data)
    code, out, err = call("corpus", settings)
    assert (code, out) == (1, "")
    assert f"ishibumi: {'' if data else 'No file '}{news}{message}" in err
    assert not (settings.parent / "run" / "corpus").exists()


def test_show_gives_each_document_one_line_where_there_is_no_title(settings: Path) -> None:
    settings.with_name("news.jsonl").write_text(
        '{"id": "a", "text": "一行目。\\n二行目はそれより少しだけ長い文です。", "date": "2026-07-19"}\n'
    )
    assert call("corpus", settings)[0] == 0
    assert call("show", settings)[1] == "a\t2026-07-19\t一行目。 二行目はそれより少しだけ長い文です。\n"


def test_corpus_then_show(settings: Path) -> None:
    code, out, err = call("corpus", settings, "--run-dir", settings.parent / "elsewhere")
    assert (code, out) == (0, f"{settings.parent / 'elsewhere'}\n")
    assert "documents 2" in err
    arguments = [settings, "--run-dir", settings.parent / "elsewhere"]
    assert call("show", *arguments)[1] == "a\t2026-07-19\tスペインが優勝\nb\t2026-07-19\tSpain win\n"
    parts = {part: call("show", *arguments, "a", "--part", part)[1] for part in ("raw", "cleaned", "prefixed", "items")}
    assert parts == {
        "raw": NEWS[0]["text"] + "\n",
        "cleaned": "スペインが決勝でアルゼンチンを2－0で破った。\n",
        "prefixed": "2026年7月19日のニュース:スペインが決勝でアルゼンチンを2－0で破った。\n",
        "items": "(none: this run has made no items)\n",
    }
    lines = call("show", *arguments, "a")[1].splitlines()
    assert lines[0] == f"a  2026-07-19  ja  {settings.with_name('news.jsonl')}:1"
    assert [line for line in lines if line.startswith("---")] == ["--- raw", "--- cleaned", "--- prefixed", "--- items"]
    settings.with_name("news.jsonl").unlink()
    gone = f"{settings.with_name('news.jsonl')}:1 no longer holds this document."
    assert call("show", *arguments, "a", "--part", "raw")[::2] == (
        1,
        f"ishibumi: {gone}\nWhat to do: Run ishibumi corpus again.\n",
    )
    assert f"--- raw\n({gone})\n\n--- cleaned\n" in call("show", *arguments, "a")[1]
    code, _, err = call("show", *arguments, "aa")
    assert (code, err.splitlines()[0]) == (2, 'ishibumi: No document "aa" among the 2 of this run. Did you mean a?')


def test_show_before_there_is_a_corpus_exits_1(settings: Path) -> None:
    code, _, err = call("show", settings, "a")
    run_dir = settings.parent / "run"
    assert code == 1
    assert err.splitlines()[0] == f"ishibumi: {run_dir / 'corpus'} is not a finished stage. In {run_dir}: nothing."


def test_an_unchanged_corpus_is_not_made_again(settings: Path) -> None:
    assert call("corpus", settings)[0] == 0
    assert "unchanged" in call("corpus", settings)[2]
    with settings.with_name("news.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "A third document, of the next day.", "date": "2026-07-20"}) + "\n")
    assert "documents 3" in call("corpus", settings)[2]


def test_a_second_run_on_the_same_directory_exits_1(settings: Path) -> None:
    run_dir = settings.parent / "run"
    with artifacts.lock(run_dir):
        code, out, err = call("corpus", settings)
    assert (code, out) == (1, "")
    assert err.splitlines()[0] == f"ishibumi: {run_dir} is in use by process {os.getpid()}."


def test_a_full_disk_exits_1_with_nothing_half_written_and_the_same_command_goes_on(settings: Path) -> None:
    def at_most_300_bytes_a_file() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    failed = subprocess.run(
        command("corpus", settings), capture_output=True, text=True, preexec_fn=at_most_300_bytes_a_file
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert f"Cannot write {settings.parent / 'run' / 'corpus'}" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (settings.parent / "run" / "corpus").exists()
    assert call("corpus", settings)[0] == 0


def test_ctrl_c_exits_130_and_tells_how_to_go_on(settings: Path) -> None:
    news = settings.with_name("news.jsonl")
    news.unlink()
    os.mkfifo(news)  # reading it waits for ever
    with subprocess.Popen(command("corpus", settings), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("▶ corpus")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert err == (
        f"Stopped. What is finished is kept; the same command goes on: python -m ishibumi corpus {settings}\n"
    )


def test_init_writes_settings_that_load_and_never_overwrites(tmp_path: Path) -> None:
    code, out, err = call("init", tmp_path / "new")
    path = tmp_path / "new" / "ishibumi.toml"
    assert (code, out) == (0, "")
    assert err == f"Wrote {path}. Put your documents where it says, then: python -m ishibumi check {path}\n"
    text = path.read_text(encoding="utf-8")
    assert config.load(path).settings.documents.paths == ["news.jsonl"]
    code, _, err = call("init", tmp_path / "new")
    assert (code, err.splitlines()[0]) == (2, f"ishibumi: {path} is already there and is not overwritten.")
    assert path.read_text(encoding="utf-8") == text


def test_init_says_in_both_languages_that_paths_may_be_folders(tmp_path: Path) -> None:
    call("init", tmp_path)
    written = (tmp_path / "ishibumi.toml").read_text(encoding="utf-8")
    assert "# files, folders, globs and archives" in written and "# 文書のファイルやフォルダ。" in written


def test_what_init_shows_behind_a_hash_is_what_counts(tmp_path: Path) -> None:
    call("init", tmp_path)
    path = tmp_path / "ishibumi.toml"
    shown = config.load(path).settings
    text = path.read_text(encoding="utf-8")
    uncommented = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line and line[2].islower() else line
        for line in text.splitlines()
        if "  # an example; unset, none is left out  例。未指定なら、どれも除かない" not in line
    )
    assert len(tomllib.loads(uncommented)["cpt"]) >= 4
    path.write_text(uncommented, encoding="utf-8")
    assert config.load(path).settings == shown


@pytest.mark.parametrize("verb", ["run", "check"])
def test_documents_that_are_not_there_are_told_before_pytorch_is_imported(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "ishibumi.toml"
    path.write_text('[model]\nbase = "none"\n[documents]\npaths = ["nwes/*.jsonl"]\n')
    words = [sys.executable, "-X", "importtime", "-m", "ishibumi", verb, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nwes" in done.stderr.splitlines()[-2]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "ishibumi.corpus.readers.files" in imported and "torch" not in imported
