"""The command line: one verb a command, in the order of a run. Only the verb that is called imports what it needs."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ishibumi.cli_edge import (
    arguments_again,
    command,
    edge,
    load_run,
    load_run_to_read,
    overrides_of,
    stopping,
    tell_result,
)
from ishibumi.errors import UsageError

app = typer.Typer(
    name="ishibumi",
    help="Engrave new knowledge into a language model, make it a chat model, and prove what it learned and forgot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SettingsFile = Annotated[Path, typer.Argument(metavar="SETTINGS.toml", help="The settings file of the run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value for a setting, such as cpt.epochs=2. Repeatable."),
]
RunDirOption = Annotated[
    Path | None, typer.Option("--run-dir", metavar="DIR", help="Where the results go, instead of the file's run_dir.")
]
DEFAULT_SETTINGS = Path("ishibumi.toml")

EXPORTING = {
    "en": "Writing {directory}, reading it again and comparing. Minutes for a small model on a CPU.",
    "ja": "{directory} に書き出し、読み直して比較します。小さなモデルでも CPU では数分かかります。",
}
SERVING = {
    "en": {
        True: "The page: {address}   OpenAI's protocol: {address}v1   Ctrl-C ends.",
        False: "No finished model yet. The page shows how training goes: {address}   Ctrl-C ends.",
    },
    "ja": {
        True: "ページ: {address}   OpenAI 互換 API: {address}v1   Ctrl-C で終わります。",
        False: "モデルはまだ仕上がっていません。学習の様子はページで見られます: {address}   Ctrl-C で終わります。",
    },
}
WRITTEN = {
    "en": "Wrote {path}. Put your documents where it says, then: {command}",
    "ja": "{path} を書きました。文書を置いてから、次を実行してください: {command}",
}


@app.command()
def init(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write ishibumi.toml.")]) -> None:
    """Write a commented settings file to start from."""
    with edge() as display:
        from ishibumi import artifacts, config
        from ishibumi.starter import starter_settings

        path = directory / DEFAULT_SETTINGS
        if path.exists():
            raise UsageError(
                f"{path} is already there and is not overwritten.",
                hint="Name another directory, or move the file away.",
                hint_ja="別のディレクトリを指定するか、そのファイルを移動してください。",
            )
        values = {row.key: row.value for row in config.describe(config.defaults(path))}
        with artifacts.disk_errors(path):
            directory.mkdir(parents=True, exist_ok=True)
        artifacts.write_text(path, starter_settings(values))
        display.note(WRITTEN[display.language].format(path=path, command=command("check", str(path))))


@app.command()
def run(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Do every stage whose inputs changed, to the report."""
    _run_until("report", settings, set_, run_dir)


@app.command()
def check(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Read all inputs, say what a run would do, train nothing."""
    with edge():
        loaded = load_run_to_read(settings, set_, run_dir)
        from ishibumi.checking import check as what_it_would_do

        for line in what_it_would_do(loaded):
            print(line)


@app.command()
def corpus(
    settings: SettingsFile = DEFAULT_SETTINGS,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do only the Ith of N shares; corpus without it joins them.")
    ] = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Read, clean and date the documents.

    For many documents, processes or machines that share the run directory may each do a share of the work first.
    """
    if shard is None:
        _run_until("corpus", settings, set_, run_dir)
        return
    with edge():
        number, _, num_shards = shard.partition("/")
        if not (number.isdecimal() and num_shards.isdecimal() and 1 <= int(number) <= int(num_shards)):
            raise UsageError(
                f"--shard {shard} is no share of the work.",
                hint="Write --shard I/N with I from 1 to N, for example --shard 3/8",
                hint_ja="--shard 3/8 のように、1 から N までの番号と N を書いてください。",
            )
        from ishibumi.corpus_stage import prepare_shard

        print(prepare_shard(load_run(settings, set_, run_dir), (int(number), int(num_shards))))


@app.command()
def cpt(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Engrave: continued pretraining.

    Stages before it that are missing or out of date are done first.
    """
    _run_until("cpt", settings, set_, run_dir)


@app.command()
def sft(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Tune the engraved model for chat.

    Stages before it that are missing or out of date are done first.
    """
    _run_until("sft", settings, set_, run_dir)


@app.command()
def evaluate(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Hold the exam and measure what was forgotten.

    Stages before it that are missing or out of date are done first.
    """
    _run_until("exam", settings, set_, run_dir)


@app.command()
def sweep(
    settings: SettingsFile,
    axes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=A,B", help="Values to try, or with --trials a range, cpt.learning_rate=1e-4..1e-3."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Search with Optuna so many times, instead of every combination.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each configuration.")] = 1,
    parallel: Annotated[
        int | None, typer.Option(min=1, help="Trials at once; without it one for each GPU, or one.")
    ] = None,
    scales: Annotated[
        str | None, typer.Option(metavar="A,B", help="Shares of what was learned, as exam.scale: nothing trains again.")
    ] = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Try many settings: learned against forgotten, in a table and a picture.

    Of the exam's arms, base and engraved are asked. What is finished is kept; the same command goes on.
    """
    with edge(can_go_on=True) as display:
        from ishibumi.sweep_plan import grid, read_axes

        chosen = read_axes([*(axes or []), *([f"exam.scale={scales}"] if scales else [])])
        from ishibumi.exam.sweep_page import table_of
        from ishibumi.sweep import begin, sweep_grid
        from ishibumi.sweep_search import sweep_search
        from ishibumi.sweep_workers import visible_gpus

        begun = begin(settings, overrides_of(set_, run_dir), seeds)
        at_once = parallel or max(1, len(visible_gpus()))
        with stopping(display):
            if trials:
                result = sweep_search(begun, chosen, trials, parallel=at_once, watch=display)
            else:
                result = sweep_grid(begun, grid(chosen), parallel=at_once, watch=display)
        display.table(str(begun.directory / "sweep.html"), *table_of(result.points, display.language))
        print(begun.directory)
        result.refuse_failed(begun.directory)


@app.command()
def report(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Write report.html.

    Stages before it that are missing or out of date are done first.
    """
    _run_until("report", settings, set_, run_dir)


@app.command()
def chat(settings: SettingsFile = DEFAULT_SETTINGS, set_: SetOption = None, run_dir: RunDirOption = None) -> None:
    """Talk with the finished model."""
    with edge():
        loaded = load_run(settings, set_, run_dir)
        from ishibumi.use.chat import chat as talk

        talk(loaded)


@app.command()
def export(
    settings: SettingsFile = DEFAULT_SETTINGS,
    format_: Annotated[
        Literal["adapter", "merged", "gguf"],
        typer.Option("--format", help="For PEFT; for transformers and vLLM; for llama.cpp and Ollama."),
    ] = "merged",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to put it; else beside the run.")] = None,
    quantization: Annotated[
        Literal["f32", "bf16", "q8_0", "q4_k_m"] | None,
        typer.Option(help="The number format; the last two for gguf only. bf16, or a merged model's own, if left out."),
    ] = None,
    base_license: Annotated[str, typer.Option(metavar="TEXT", help="The base model's licence, for the card.")] = "",
    data_license: Annotated[str, typer.Option(metavar="TEXT", help="The documents' licence, for the card.")] = "",
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Write the finished model for other programs, and prove it equal.

    It is loaded again and compared with the model that sat the exam before it counts as done.
    """
    with edge() as display:
        loaded = load_run(settings, set_, run_dir)
        from ishibumi import artifacts
        from ishibumi.use.export import Licences
        from ishibumi.use.export import export as write_export

        artifacts.load(loaded.run_dir / "sft")  # refused before anything is said
        kind = format_ if format_ == "adapter" else f"{format_}-{quantization or 'bf16'}"
        directory = out or loaded.run_dir.with_name(f"{loaded.run_dir.name}-{kind}")
        licences = Licences(base_license, data_license)
        display.note(EXPORTING[display.language].format(directory=directory))
        made = write_export(loaded, format_, directory, quantization=quantization, licences=licences)
        for what, value in made.manifest["proof"].items():
            display.note(f"  {what}: {value:.3g}" if isinstance(value, float) else f"  {what}: {value}")
        print(made.path)


@app.command()
def serve(
    settings: SettingsFile = DEFAULT_SETTINGS,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's need an API key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Serve the finished model: a page in the browser, and OpenAI's protocol.

    While the run is not finished the page shows how training goes. An API key is read from ISHIBUMI_API_KEY.
    """
    with edge() as display:
        loaded = load_run(settings, set_, run_dir)
        from ishibumi.exam_stage import exam_questions
        from ishibumi.use.serve import serve as serve_run
        from ishibumi.use.serve_guard import KEY_VARIABLE

        def tell(address: str, finished: bool) -> None:
            display.note(SERVING[display.language][finished].format(address=address))

        serve_run(
            loaded,
            lambda documents: exam_questions(loaded, list(documents)),
            host=host,
            port=port,
            key=os.environ.get(KEY_VARIABLE) or None,
            tell=tell,
        )


@app.command()
def show(
    settings: SettingsFile = DEFAULT_SETTINGS,
    document: Annotated[
        str | None, typer.Argument(metavar="ID", help="A document or an item; all documents are listed without it.")
    ] = None,
    part: Annotated[
        Literal["all", "raw", "cleaned", "prefixed", "items"],
        typer.Option(help="As it is read, cleaned or trained, or what was made from it."),
    ] = "all",
    mask: Annotated[
        bool, typer.Option("--mask", help="The tokens of a document, item or conversation, and which are learned.")
    ] = False,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Print a document as it is read, cleaned and trained.

    Also what was made from it: other wordings and questions, whose ids lead back to it.
    """
    with edge():
        loaded = load_run(settings, set_, run_dir)
        from ishibumi.corpus.readers.columns import short
        from ishibumi.use.show import PARTS, list_documents
        from ishibumi.use.show import show as shown

        if document is None:
            for entry in list_documents(loaded):
                print(entry.id, entry.date or "-", entry.title or short(entry.text, length=40), sep="\t")
        elif mask:
            from rich.console import Console

            from ishibumi.use.mask import show_mask

            Console(highlight=False, soft_wrap=True).print(show_mask(loaded, document))
        else:
            print(shown(loaded, document, PARTS if part == "all" else (part,)))


@app.command()
def fetch(
    hub_id: Annotated[str, typer.Argument(metavar="HUB_ID", help="OWNER/MODEL on the hub.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it.")],
) -> None:
    """Load a model from the hub into a directory.

    The only command that uses the hub. Weights come as safetensors; pickle files are left out.
    """
    with edge(offline=False):
        from ishibumi.models.fetch import fetch_model

        print(fetch_model(hub_id, directory))


@app.command()
def bundle(
    out: Annotated[Path, typer.Argument(metavar="OUT.tar", help="The file to write.")],
    settings: SettingsFile = DEFAULT_SETTINGS,
    platform: Annotated[str, typer.Option(help="The machine's platform.")] = "manylinux_2_28_x86_64",
    python: Annotated[str, typer.Option(help="The machine's Python.")] = "3.11",
    extras: Annotated[list[str] | None, typer.Option("--extra", help="An extra to install. Repeatable.")] = None,
    wheels: Annotated[Path | None, typer.Option(metavar="DIR", help="Packages that were loaded before.")] = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
) -> None:
    """Pack packages, base model, inputs and run for a machine without a network.

    pip loads the packages. On the other machine: tar xf OUT.tar, then the script install in it.
    """
    with edge():
        loaded = load_run(settings, set_, run_dir)
        from ishibumi.use.bundle import bundle as pack

        print(pack(loaded, out, platform=platform, python=python, extras=extras or (), wheels=wheels))


def main() -> None:
    """Run the command line; the exit code is 0 done, 1 failed, 2 usage, 130 stopped."""
    app()


def _run_until(stage: str, settings: Path, set_: list[str] | None, run_dir: Path | None) -> None:
    with edge(can_go_on=True) as display:
        loaded = load_run_to_read(settings, set_, run_dir)
        if stage == "corpus":
            from ishibumi.corpus_stage import run_corpus as make
        else:
            from ishibumi.pipeline import run as run_stages

            make = partial(run_stages, until=stage)
        if int(os.environ.get("RANK", "0")) > 0:  # torchrun's further processes: the first speaks and stops for all
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if stage != "corpus":
                make(loaded)
            return
        with stopping(display):
            result_dir = make(loaded, watch=display)
        if stage == "report":
            tell_result(display, result_dir, command("chat", *arguments_again(settings, set_, run_dir)))
        print(result_dir)
