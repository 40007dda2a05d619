"""The edge of the command line: settings with flags, errors as words and exit codes, Ctrl-C, and the last words."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ishibumi.errors import IshibumiError, UsageError

if TYPE_CHECKING:
    from ishibumi.config import Run
    from ishibumi.display import Display

STOPPED = {
    "en": "Stopped. What is finished is kept; the same command goes on: {command}",
    "ja": "停止しました。終わった分は残っています。同じコマンドで続けられます: {command}",
}
DONE = {
    "en": "The report: {report}\nTo chat with the result: {chat}",
    "ja": "レポート: {report}\n結果と話すには: {chat}",
}


@contextlib.contextmanager
def edge(*, offline: bool = True, can_go_on: bool = False) -> Iterator["Display"]:
    """Where errors become words and exit codes. Sets the hub offline before anything can import it."""
    from ishibumi.display import Display

    if offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    display = Display()
    try:
        with display:
            yield display
    except IshibumiError as error:
        display.show_error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        if can_go_on:
            display.note(STOPPED[display.language].format(command=command(*sys.argv[1:])))
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our stdout, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def load_run(settings: Path, set_: list[str] | None, run_dir: Path | None) -> "Run":
    """The run of a settings file with the command's flags."""
    from ishibumi import config

    return config.load(settings, overrides_of(set_, run_dir))


def load_run_to_read(settings: Path, set_: list[str] | None, run_dir: Path | None) -> "Run":
    """The same where documents are read: a path that leads nowhere is refused before PyTorch is imported."""
    from ishibumi.corpus.readers.files import refuse_absent

    run = load_run(settings, set_, run_dir)
    refuse_absent([run.resolve(path) for path in run.settings.documents.paths])
    return run


def overrides_of(set_: list[str] | None, run_dir: Path | None) -> dict[str, str]:
    """Key → value of --set and --run-dir. Raises UsageError for a flag without =."""
    overrides: dict[str, str] = {}
    for flag in set_ or []:
        key, equals, value = flag.partition("=")
        if not equals:
            raise UsageError(
                f"--set {flag}: there is no = in it.",
                hint="Write --set KEY=VALUE, for example --set cpt.epochs=2",
                hint_ja="--set キー=値 の形で書いてください。例: --set cpt.epochs=2",
            )
        overrides[key.strip()] = value.strip()
    if run_dir is not None:
        overrides["run_dir"] = str(run_dir.absolute())  # a flag's path is relative to where the user stands
    return overrides


@contextlib.contextmanager
def stopping(display: "Display") -> Iterator[None]:
    """Ctrl-C asks training to stop with a checkpoint for as long as the block lasts."""
    default_handler = signal.signal(signal.SIGINT, lambda *_: display.ask_to_stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, default_handler)


def command(*arguments: str) -> str:
    """A line to type: ishibumi as it was called just now, with other arguments."""
    program = sys.argv[0]
    if Path(program).name != "ishibumi":
        words = ["python", "-m", "ishibumi"]
    else:
        words = ["ishibumi"] if shutil.which("ishibumi") == program else [program]
    return shlex.join([*words, *arguments])


def arguments_again(settings: Path, set_: list[str] | None, run_dir: Path | None) -> list[str]:
    """The same arguments for the next command."""
    flags = [part for flag in set_ or [] for part in ("--set", flag)]
    return [str(settings), *flags, *(["--run-dir", str(run_dir)] if run_dir else [])]


def tell_result(display: "Display", result_dir: Path, chat_command: str) -> None:
    """Print the exam's tables, where the report is, and what to type next."""
    summary = json.loads((result_dir / "report" / "summary.json").read_text(encoding="utf-8"))
    from ishibumi.exam.tables import exam_tables, forgetting_table

    forgotten = forgetting_table(summary["skills"], summary["perplexity_ratio"], display.language)
    for title, header, rows in [*exam_tables(summary["arms"], display.language), *forgotten]:
        display.table(title, header, rows)
    report = result_dir / "report" / "report.html"
    display.note(DONE[display.language].format(report=report, chat=chat_command))
