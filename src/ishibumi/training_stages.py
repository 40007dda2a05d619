"""The two stages that train. knowledge/ + replay + chats → cpt/ → sft/model, the finished model."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from ishibumi import artifacts
from ishibumi.artifacts import Artifact
from ishibumi.config import Run
from ishibumi.corpus.chat_data import ChatData, Conversation, read_conversations
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.corpus.texts import read_texts
from ishibumi.corpus_stage import SILENT, Watch, stage_path
from ishibumi.errors import Stopped
from ishibumi.exam_stage import own_questions
from ishibumi.joint_stage import existing, fingerprint_of, made_together
from ishibumi.knowledge.items import load_items
from ishibumi.knowledge_stage import trained_documents
from ishibumi.leak_check import refuse_leaks
from ishibumi.loggers import logging_to
from ishibumi.memory import release
from ishibumi.models.load import LoadedModel, base_identity, find_base, load_model, load_untrained, pick_device
from ishibumi.settings import TrainSettings
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.distributed import first_says, num_ranks, rank, wait
from ishibumi.training.fitting import rehearsal_plan, stage_forecast, usable_bytes
from ishibumi.training.precision import Precision, frozen_in
from ishibumi.training.rehearsal import BATCH, rehearsal_texts
from ishibumi.training.saved import keep_share, put_on_sibling, save_merged
from ishibumi.training.sft import sft_examples, sft_mix
from ishibumi.training.splitting import whole
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.stop_gate import require_trained_template
from ishibumi.training.tokens import Example
from ishibumi.training.trainer import StepRecord
from ishibumi.training.waiting import move_unrounded, waits


def continue_pretraining(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """corpus + knowledge + replay + chats → cpt/adapter, with history and proof of what trained."""
    settings = run.settings
    replay_paths = [run.resolve(p) for p in settings.replay.paths]

    def work(directory: Path) -> dict[str, Any]:
        chats = _conversations(run, directory)
        refuse_leaks(run, trained_documents(run), chats, own_questions(run))
        rehearses = settings.replay.rehearsal_texts > 0
        precision, texts_at_once = _rehearsal_plan(run) if rehearses else ("bf16", 0)
        load = partial(load_model, settings.model, run.base_dir, None)
        is_whole = rehearses and precision == "bf16"
        model, split_on = _load_to_train(run, settings.cpt, load, is_whole=is_whole)
        require_trained_template(model, settings.cpt.targets)
        items, replay = load_items(stage_path(run, "knowledge")), read_texts(replay_paths)
        if rehearses:
            with frozen_in(model.network, precision):
                replay += _rehearsal(run, model, replay, directory, watch, texts_at_once)
        examples = cpt_examples(model, trained_documents(run), items, replay, chats, settings)
        manifest = _train(run, "cpt", model, examples, cpt_mix(settings), directory, watch, split_on)
        model = whole(model)
        if rank() == 0:
            save_merged(directory / "model", model)
        return manifest | ({"rehearsal_precision": precision} if rehearses else {})

    parts = (settings.documents, settings.replay, settings.chat, settings.cpt)
    sections = [settings.model.model_dump(exclude={"instruct"}), *(part.model_dump() for part in parts)]
    inputs = [
        sections,
        settings.seed,
        fingerprint_of(run, "knowledge"),
        base_identity(settings.model.base, run.base_dir),
        *existing(replay_paths),
    ]
    return made_together(run, "cpt", watch, [*inputs, *local_files(_chat_paths(run))], work)


def tune_chat(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """cpt + chats → sft/adapter and sft/model, the finished model."""
    settings = run.settings

    def work(directory: Path) -> dict[str, Any]:
        manifest: dict[str, Any] = {"steps": 0}
        chats = _conversations(run, directory)
        trains = settings.sft.epochs > 0 and len(chats) > 0
        load = partial(_load_engraved, run)
        model, split_on = _load_to_train(run, settings.sft, load) if trains else (load(_first_alone()), None)
        if trains:
            require_trained_template(model, [*settings.cpt.targets, *settings.sft.targets])
            documents, items = load_documents(stage_path(run, "corpus")), load_items(stage_path(run, "knowledge"))
            examples = sft_examples(model, documents, items, chats, settings)
            manifest = _train(run, "sft", model, examples, sft_mix(settings), directory, watch, split_on)
        model = whole(model)
        if rank() == 0:
            if settings.sft.kept < 1:
                is_small = waits(settings.sft, model.device)
                device = torch.device("cpu") if is_small else model.device
                keep_share(model, load_untrained(settings.model, run.base_dir, device), settings.sft.kept)
            save_merged(directory / "model", model)
        return manifest

    inputs = [settings.sft.model_dump(), settings.chat.model_dump(), settings.seed, fingerprint_of(run, "cpt")]
    inputs += [base_identity(settings.model.instruct, run.base_dir)] if settings.model.instruct else []
    return made_together(run, "sft", watch, [*inputs, *local_files(_chat_paths(run))], work)


def _train(
    run: Run,
    stage: Literal["cpt", "sft"],
    model: LoadedModel,
    examples: Iterable[Example],
    mix: Mix,
    directory: Path,
    watch: Watch,
    split_on: torch.device | None,
) -> dict[str, Any]:
    """Train the model in place; returns what the stage's manifest keeps."""
    settings: TrainSettings = run.settings.cpt if stage == "cpt" else run.settings.sft
    with _telling(run, stage, watch) as on_step:
        manifest = run_stage(
            model,
            examples,
            mix,
            settings,
            directory,
            seed=run.settings.seed + (stage == "sft"),
            on_step=on_step,
            should_stop=watch.should_stop,
            split_on=split_on,
        )
    release()  # before other weights are loaded beside these
    return manifest


@contextlib.contextmanager
def _telling(run: Run, stage: str, watch: Watch) -> Iterator[Callable[[StepRecord], None]]:
    """A function that tells each step to the watch and, in the first process, to the loggers of machine.log_to."""
    names = run.settings.machine.log_to if rank() == 0 else []
    with logging_to(names, run.run_dir / "logs", stage) as log:

        def on_step(record: StepRecord) -> None:
            watch.step(stage, record)
            log(record)

        yield on_step


def _splits(run: Run) -> bool:
    """Whether the processes share one copy of the weights; by "auto" if cpt does not fit with a whole one."""
    settings, num = run.settings, num_ranks()
    if num == 1 or settings.machine.split != "auto":
        return num > 1 and settings.machine.split == "always"
    base = find_base(settings.model.base, run.base_dir)
    needed = stage_forecast(settings.model, base, settings.cpt, num_ranks=num).peak
    return not first_says(needed <= usable_bytes(pick_device(settings.model.device), settings.cpt.gpu_gib))


def _load_to_train(
    run: Run, settings: TrainSettings, load: Callable[[torch.device], LoadedModel], *, is_whole: bool = False
) -> tuple[LoadedModel, torch.device | None]:
    """What `load` gives on a device, to train, and the device that its weights are to be split on, if they are.

    Matrices that a GPU is to have in fewer bits wait in the CPU's memory, unless the GPU is to have the whole first.
    """
    device = pick_device(run.settings.model.device)
    if _splits(run):
        return load(_first_alone()), device
    if is_whole or not waits(settings, device):
        return load(device), None
    model = load(torch.device("cpu"))
    move_unrounded(model.network, settings.precision, device)
    return model, None


def _first_alone() -> torch.device:
    """The CPU for the first process, and none for the others, whose networks stay empty."""
    return torch.device("cpu" if rank() == 0 else "meta")


def _load_engraved(run: Run, device: torch.device) -> LoadedModel:
    """What chat tuning starts from: the engraved base, or the instruct sibling with what was engraved on it."""
    settings = run.settings.model
    engraved = load_model(settings, run.base_dir, stage_path(run, "cpt") / "model", device)
    if not settings.instruct:
        return engraved
    sibling = load_untrained(settings, run.base_dir, device)
    if device.type != "meta":
        put_on_sibling(sibling, load_model(settings, run.base_dir, device=device), engraved)
    return sibling


def _rehearsal_plan(run: Run) -> tuple[Precision, int]:
    """The format of the base's matrices while it writes rehearsal texts, and how many it writes at once."""
    if _splits(run):  # then it writes in the first process's CPU
        return "bf16", BATCH[0]
    return rehearsal_plan(run.settings, find_base(run.settings.model.base, run.base_dir))


def _rehearsal(
    run: Run, model: LoadedModel, beginnings: Sequence[str], directory: Path, watch: Watch, texts_at_once: int
) -> list[str]:
    """The texts that the base writes itself; the first of several processes draws them, the others read them."""

    def on_text(done: int, count: int) -> None:
        watch.answered("rehearsal", done, count)
        if watch.should_stop():
            raise Stopped(
                f"Stopped after {done} of {count} rehearsal texts.",
                hint="The same command goes on from here.",
                hint_ja="同じコマンドを実行すると、ここから続けます。",
            )

    draw = partial(
        rehearsal_texts,
        model,
        beginnings,
        directory,
        count=run.settings.replay.rehearsal_texts,
        seed=run.settings.seed,
        on_text=on_text,
        batch_size=texts_at_once,
    )
    if rank() == 0:
        draw()
    wait()
    return draw()


def _chat_paths(run: Run) -> list[Path]:
    return [run.resolve(source.path) for source in run.settings.chat.sources]


def _conversations(run: Run, directory: Path) -> list[Conversation]:
    """The conversations to learn from; what was left out and noticed is written into the stage's `directory`."""
    data = chat_data(run)
    if run.settings.chat.sources and rank() == 0:
        artifacts.write_json(directory / "chats.json", {"left_out": data.left_out, "noticed": data.suspected})
    return data.conversations


def chat_data(run: Run) -> ChatData:
    """All conversations of chat.sources, and what was left out of them."""
    chat = run.settings.chat
    sources = [(run.resolve(source.path), source.count) for source in chat.sources]
    return read_conversations(sources, run.settings.seed, chat)
