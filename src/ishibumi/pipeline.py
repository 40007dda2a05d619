"""The whole path, stage by stage. Run → run_dir/{corpus,knowledge,cpt,sft,exam,report}/.

Each function makes one stage and returns its artifact; a stage is made anew only when its fingerprint, which is made of
its settings and of the fingerprints before it, has changed.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ishibumi import artifacts
from ishibumi.artifacts import Artifact, write_jsonl
from ishibumi.config import Run, describe
from ishibumi.corpus.chat_data import ChatData, Conversation, read_conversations
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import iterate_documents, load_documents, read_documents
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.corpus.texts import read_texts
from ishibumi.corpus_stage import SILENT, Watch, build_corpus, make_stage, stage_path, wanted_fingerprint
from ishibumi.errors import Stopped, UsageError
from ishibumi.exam.questions import for_documents
from ishibumi.exam.sit import COPIED
from ishibumi.exam_stage import (
    exam_questions,
    free_wordings,
    hold_exam,
    own_questions,
    skills_of,
    trained_side,
    untrained_side,
)
from ishibumi.knowledge.generator import items_of, without_common_answers
from ishibumi.knowledge.held_out import hold_out
from ishibumi.knowledge.items import HELD_OUT_FILE, Item, load_items
from ishibumi.knowledge.leaks import remove_leaks
from ishibumi.knowledge.writer_endpoint import check_endpoint
from ishibumi.knowledge.written import Writer, what_counts, write_items
from ishibumi.leak_check import refuse_leaks
from ishibumi.loggers import check_loggers, logging_to
from ishibumi.models.load import LoadedModel, base_identity, find_base, load_model, load_untrained, pick_device
from ishibumi.report_stage import fill_report
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.distributed import first_says, joined, num_ranks, rank, wait
from ishibumi.training.fitting import forecast_lines, stage_forecast, usable_bytes
from ishibumi.training.rehearsal import rehearsal_texts
from ishibumi.training.saved import keep_share, put_on_sibling, save_merged
from ishibumi.training.sft import sft_examples, sft_mix
from ishibumi.training.splitting import whole
from ishibumi.training.stage import run_stage
from ishibumi.training.stop_gate import require_trained_template
from ishibumi.training.trainer import StepRecord

STAGES = ("corpus", "knowledge", "cpt", "sft", "exam", "report")
TRAINING_STAGES = ("cpt", "sft")  # several processes do these together
NUM_TOGETHER = STAGES.index("sft") + 1  # after these stages the first process goes on alone


def run(run: Run, *, watch: Watch = SILENT, until: str = STAGES[-1]) -> Path:
    """Make every stage up to `until` whose inputs changed; returns the run directory.

    Raises UsageError for an unknown stage, ArtifactError where another process works in the directory, and whatever
    the stages raise. A stopped or failed run goes on where it was when called again. Where torchrun started several
    processes, all train, the first does everything else, and the others come back after training.
    """
    if until not in STAGES:
        raise UsageError(f'There is no stage "{until}". Stages: {", ".join(STAGES)}.')
    makers = (_read_documents, make_knowledge, continue_pretraining, tune_chat, evaluate, write_report)
    check_loggers(run.settings.machine.log_to)
    wanted = makers[: STAGES.index(until) + 1]
    with contextlib.ExitStack() as held:
        with joined(run.settings.model.device) as number:
            if number == 0:
                held.enter_context(artifacts.lock(run.run_dir))
            for maker in wanted[:NUM_TOGETHER]:
                maker(run, watch=watch)
        for maker in wanted[NUM_TOGETHER:] if number == 0 else ():
            maker(run, watch=watch)
    return run.run_dir


def _read_documents(run: Run, *, watch: Watch) -> Artifact:
    """The corpus stage, which the first of several processes makes."""
    if rank() == 0:
        build_corpus(run, watch=watch)
    wait()
    return artifacts.load(stage_path(run, "corpus"))


def make_knowledge(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """corpus → knowledge/items.jsonl: views and questions, none of which repeats the exam's wording.

    Without exam questions some shapes of question are left for the exam, in knowledge/held_out.jsonl.
    """
    settings = run.settings.knowledge
    share = 0.0 if run.settings.exam.questions else run.settings.exam.generated_share
    exam_paths = [run.resolve(p) for p in run.settings.exam.questions]
    if "endpoint" in settings.generator:
        check_endpoint(settings.endpoint)

    def work(directory: Path) -> dict[str, Any]:
        documents = list(trained_documents(run))
        items, counts = _made_items(run, documents, watch)
        telling = without_common_answers(items, len(documents))
        asked = [*(q.question for q in own_questions(run)), *free_wordings(run)]
        unleaked, leaked = remove_leaks(telling, asked)
        kept, held_out = hold_out(unleaked, share=share, seed=run.settings.seed)
        write_jsonl(directory / "items.jsonl", map(asdict, kept))
        write_jsonl(directory / HELD_OUT_FILE, map(asdict, held_out))
        kinds = {kind: sum(item.kind == kind for item in kept) for kind in ("view", "question")}
        refused = counts.pop("refused") + Counter({"common answer": len(items) - len(telling)})
        left_out = {"left_out_as_exam_wording": len(leaked), "kept_for_exam": len(unleaked) - len(kept)}
        return {**kinds, "refused": dict(refused), **counts, **left_out}

    writes_itself = "model" in settings.generator
    base = base_identity(settings.model.base or run.settings.model.base, run.base_dir) if writes_itself else None
    inputs = [what_counts(settings), base, run.settings.seed, _of(run, "corpus"), *_existing(exam_paths)]
    inputs += free_wordings(run)
    inputs += [f"held out {share}"] if share else []  # runs with an exam of their own are not made anew for this
    return _stage(run, "knowledge", watch, inputs, work)


def _made_items(run: Run, documents: Sequence[Document], watch: Watch) -> tuple[list[Item], dict[str, Any]]:
    """The items of all documents from every generator, and the counts of what was refused, written and not asked."""
    settings, items, refused = run.settings.knowledge, list[Item](), Counter[str]()
    counts: dict[str, Any] = {"written": {}, "prompts_not_asked": 0}
    views, wordings = settings.views_per_document, settings.wordings_per_fact
    if "rules" in settings.generator:
        for document in documents:
            made, faults = items_of(
                document, views_per_document=views, wordings_per_fact=wordings, seed=run.settings.seed
            )
            items += made
            refused += faults
    writers: list[Writer] = [name for name in ("model", "endpoint") if name in settings.generator]
    for writer in writers:
        written = write_items(
            writer,
            documents,
            settings,
            model=run.settings.model,
            base_dir=run.base_dir,
            seed=run.settings.seed,
            on_reply=partial(watch.answered, writer),
        )
        items += written.items
        refused += written.refused
        counts["written"] |= written.by_kind
        counts["prompts_not_asked"] += written.num_not_asked
    return items, {"refused": refused, **counts}


def continue_pretraining(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """corpus + knowledge + replay + chats → cpt/adapter, with history and proof of what trained."""
    settings = run.settings
    replay_paths = [run.resolve(p) for p in settings.replay.paths]

    def work(directory: Path) -> dict[str, Any]:
        chats = _conversations(run, directory)
        refuse_leaks(run, trained_documents(run), chats, own_questions(run))
        model, split_on = _load_to_train(run)
        require_trained_template(model, settings.cpt.targets)
        items, replay = load_items(stage_path(run, "knowledge")), read_texts(replay_paths)
        if settings.replay.rehearsal_texts:
            replay += _rehearsal(run, model, replay, directory, watch)
        examples = cpt_examples(model, trained_documents(run), items, replay, chats, settings)
        with _telling(run, "cpt", watch) as on_step:
            manifest = run_stage(
                model,
                examples,
                cpt_mix(settings),
                settings.cpt,
                directory,
                seed=settings.seed,
                on_step=on_step,
                should_stop=watch.should_stop,
                split_on=split_on,
            )
        model = whole(model)
        if rank() == 0:
            save_merged(directory / "model", model)
        return manifest

    parts = (settings.documents, settings.replay, settings.chat, settings.cpt)
    sections = [settings.model.model_dump(exclude={"instruct"}), *(part.model_dump() for part in parts)]
    inputs = [
        sections,
        settings.seed,
        _of(run, "knowledge"),
        base_identity(settings.model.base, run.base_dir),
        *_existing(replay_paths),
    ]
    return _stage(run, "cpt", watch, [*inputs, *local_files(_chat_paths(run))], work)


def tune_chat(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """cpt + chats → sft/adapter and sft/model, the finished model."""
    settings = run.settings

    def work(directory: Path) -> dict[str, Any]:
        model, split_on = _load_engraved(run)
        manifest: dict[str, Any] = {"steps": 0}
        chats = _conversations(run, directory)
        if settings.sft.epochs > 0 and chats:
            require_trained_template(model, [*settings.cpt.targets, *settings.sft.targets])
            documents, items = load_documents(stage_path(run, "corpus")), load_items(stage_path(run, "knowledge"))
            examples = sft_examples(model, documents, items, chats, settings)
            with _telling(run, "sft", watch) as on_step:
                manifest = run_stage(
                    model,
                    examples,
                    sft_mix(settings),
                    settings.sft,
                    directory,
                    seed=settings.seed + 1,
                    on_step=on_step,
                    should_stop=watch.should_stop,
                    split_on=split_on,
                )
        model = whole(model)
        if rank() == 0:
            if settings.sft.kept < 1:
                keep_share(model, load_untrained(settings.model, run.base_dir, model.device), settings.sft.kept)
            save_merged(directory / "model", model)
        return manifest

    inputs = [settings.sft.model_dump(), settings.chat.model_dump(), settings.seed, _of(run, "cpt")]
    inputs += [base_identity(settings.model.instruct, run.base_dir)] if settings.model.instruct else []
    return _stage(run, "sft", watch, [*inputs, *local_files(_chat_paths(run))], work)


def evaluate(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """sft + exam questions + general text → exam/: answers of every arm and perplexity before and after.

    What the untouched base says is a stage of its own, before/, which a change of training leaves as it is.
    """
    exam = run.settings.exam
    paths = [run.resolve(p) for p in (*exam.questions, *exam.general, *exam.free_questions, *exam.choices, *exam.facts)]
    model = [run.settings.model.model_dump(exclude={"instruct"}), base_identity(run.settings.model.base, run.base_dir)]
    of_base = exam.model_dump(exclude={"scale", "free_questions", "behaviour"})
    inputs = [of_base, model, run.settings.seed, _of(run, "corpus"), _of(run, "knowledge"), *_existing(paths)]
    _stage(run, "before", watch, inputs, lambda directory: hold_exam(run, untrained_side(run), directory, watch))

    def work(directory: Path) -> dict[str, Any]:
        for file in stage_path(run, "before").glob(COPIED):
            shutil.copy(file, directory)
        return hold_exam(run, trained_side(run), directory, watch)

    inputs = [exam.model_dump(), run.settings.model.model_dump(), _of(run, "sft"), _of(run, "before")]
    return _stage(run, "exam", watch, inputs, work)


def write_report(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """Everything before → report/report.html and report/summary.json."""

    def work(directory: Path) -> dict[str, Any]:
        questions = exam_questions(run, load_documents(stage_path(run, "corpus")))
        return fill_report(run, run.run_dir, questions, directory)

    inputs = [run.settings.model_dump(), run.origins, _of(run, "exam"), _of(run, "knowledge")]
    return _stage(run, "report", watch, inputs, work)


def check(run: Run) -> list[str]:
    """What a run would do, as lines of text; reads all inputs and trains nothing. Raises what a run would raise."""
    settings = run.settings
    check_loggers(settings.machine.log_to)
    corpus = read_documents([run.resolve(p) for p in settings.documents.paths], settings.documents)
    read_texts([run.resolve(p) for p in [*settings.replay.paths, *settings.exam.general]])
    questions = own_questions(run)
    free_wordings(run)
    skills_of(run)
    kept, num_other = for_documents(questions, {d.id for d in corpus.documents})
    chats = _chat_data(run)
    trained = [document for document in corpus.documents if _is_trained(run, document)]
    refuse_leaks(run, trained, chats.conversations, questions)
    base = find_base(settings.model.base, run.base_dir)
    if settings.model.instruct:
        find_base(settings.model.instruct, run.base_dir)
    if "endpoint" in settings.knowledge.generator:
        check_endpoint(settings.knowledge.endpoint)
    if "model" in settings.knowledge.generator:
        find_base(settings.knowledge.model.base or settings.model.base, run.base_dir)
    left_out = ", ".join(f"{reason} {left['count']}" for reason, left in corpus.report.items()) or "none"
    reading = [
        f"{name} {what}: {told['count']} (such as {told['examples'][0]})"
        for name, rules in (
            ("columns", corpus.columns),
            ("changed", corpus.changes),
            ("conversation left out:", chats.left_out),
            ("conversation noticed:", chats.suspected),
        )
        for what, told in rules.items()
    ]
    lines = [f"{row.key} = {row.value or '(not set)'}  ({row.origin})" for row in describe(run)]
    return [
        *lines,
        *reading,
        f"documents: {len(corpus.documents)}; left out: {left_out}",
        f"documents that are trained: {len(trained)}; "
        f"after documents.train_until: {len(corpus.documents) - len(trained)}",
        f"conversations: {len(chats.conversations)}",
        f"exam questions: {len(kept)}; about other documents: {num_other}"
        if settings.exam.questions
        else "exam questions: none given; some generated ones are kept out of training (exam.generated_share)",
        f"base model: {base}",
        *forecast_lines(settings, base, has_chats=bool(chats)),
        f"results: {run.run_dir}",
    ]


def trained_documents(run: Run) -> Iterator[Document]:
    """The documents of the corpus but those after documents.train_until, which are for the exam alone."""
    yield from (d for d in iterate_documents(stage_path(run, "corpus")) if _is_trained(run, d))


def _is_trained(run: Run, document: Document) -> bool:
    last = run.settings.documents.train_until
    return last is None or document.date is None or document.date <= last


def _stage(
    run: Run, stage: str, watch: Watch, inputs: Sequence[Any], work: Callable[[Path], dict[str, Any]]
) -> Artifact:
    """The stage, made by one process; of several the first does it, and all of them the training."""
    if num_ranks() == 1:
        return make_stage(run, stage, watch, inputs, work)
    path = stage_path(run, stage)
    to_do = first_says(artifacts.is_to_do(path, wanted_fingerprint(stage, inputs)))
    if rank() == 0:
        make_stage(run, stage, watch, inputs, work)
    elif to_do and stage in TRAINING_STAGES:
        work(artifacts.partial_of(path))
    wait()
    return artifacts.load(path)


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
    return not first_says(needed <= usable_bytes(pick_device(settings.model.device)))


def _load_to_train(run: Run, weights: Path | None = None) -> tuple[LoadedModel, torch.device | None]:
    """A model to train, and the device that its weights are to be split on, if they are."""
    settings = run.settings.model
    if not _splits(run):
        return load_model(settings, run.base_dir, weights=weights), None
    device = torch.device("cpu" if rank() == 0 else "meta")
    return load_model(settings, run.base_dir, weights=weights, device=device), pick_device(settings.device)


def _load_engraved(run: Run) -> tuple[LoadedModel, torch.device | None]:
    """What chat tuning starts from: the engraved base, or the instruct sibling with what was engraved on it."""
    settings = run.settings.model
    engraved, split_on = _load_to_train(run, weights=stage_path(run, "cpt") / "model")
    if not settings.instruct:
        return engraved, split_on
    sibling = load_untrained(settings, run.base_dir, engraved.device)
    if engraved.device.type != "meta":
        put_on_sibling(sibling, load_model(settings, run.base_dir, device=engraved.device), engraved)
    return sibling, split_on


def _rehearsal(run: Run, model: LoadedModel, beginnings: Sequence[str], directory: Path, watch: Watch) -> list[str]:
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
    )
    if rank() == 0:
        draw()
    wait()
    return draw()


def _of(run: Run, stage: str) -> str:
    return artifacts.load(stage_path(run, stage)).fingerprint


def _existing(paths: Sequence[Path]) -> list[Path]:
    """Files to hash; the stage's own reader tells of those that are missing."""
    return [p for p in paths if p.is_file()]


def _chat_paths(run: Run) -> list[Path]:
    return [run.resolve(source.path) for source in run.settings.chat.sources]


def _conversations(run: Run, directory: Path) -> list[Conversation]:
    """The conversations to learn from; what was left out and noticed is written into the stage's `directory`."""
    data = _chat_data(run)
    if run.settings.chat.sources and rank() == 0:
        artifacts.write_json(directory / "chats.json", {"left_out": data.left_out, "noticed": data.suspected})
    return data.conversations


def _chat_data(run: Run) -> ChatData:
    chat = run.settings.chat
    sources = [(run.resolve(source.path), source.count) for source in chat.sources]
    return read_conversations(sources, run.settings.seed, chat)
