"""The whole path, stage by stage. Run → run_dir/{corpus,knowledge,cpt,sft,exam,report}/.

Each function makes one stage and returns its artifact; a stage is made anew only when its fingerprint, which is made of
its settings and of the fingerprints before it, has changed.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ishibumi import artifacts
from ishibumi.artifacts import Artifact, fingerprint, write_jsonl
from ishibumi.asking import hold_out_replay, passes_of
from ishibumi.config import Run, describe
from ishibumi.corpus.chat_data import Conversation, read_conversations
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import load_documents, read_documents, write_corpus
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.corpus.texts import read_texts
from ishibumi.errors import UsageError
from ishibumi.exam.questions import for_documents, read_questions
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
from ishibumi.memory import release
from ishibumi.models.load import base_identity, find_base, load_model, load_untrained
from ishibumi.report_stage import fill_report
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.saved import keep_share, put_on_sibling, save_merged
from ishibumi.training.sft import sft_examples, sft_mix
from ishibumi.training.stage import run_stage

STAGES = ("corpus", "knowledge", "cpt", "sft", "exam", "report")
FORMAT = 1  # raise it when a change of code makes old stages wrong


class Watch(Protocol):
    """Who is told what happens, and who may stop it; the library itself prints nothing."""

    def stage_started(self, stage: str) -> None:
        """A stage that must be made begins."""

    def stage_finished(self, stage: str, manifest: dict[str, Any], reused: bool) -> None:
        """A stage is done, or was there already."""

    def step(self, stage: str, record: Any) -> None:
        """One optimizer step (trainer.StepRecord)."""

    def answered(self, arm: str, done: int, total: int) -> None:
        """So many questions of an arm, or prompts of a generator, have been answered."""

    def should_stop(self) -> bool:
        """Whether the user asked to stop."""
        ...


class Silent:
    """Watches nothing."""

    def stage_started(self, stage: str) -> None: ...
    def stage_finished(self, stage: str, manifest: dict[str, Any], reused: bool) -> None: ...
    def step(self, stage: str, record: Any) -> None: ...
    def answered(self, arm: str, done: int, total: int) -> None: ...
    def should_stop(self) -> bool:
        """Never."""
        return False


SILENT: Watch = Silent()


def run(run: Run, *, watch: Watch = SILENT, until: str = STAGES[-1]) -> Path:
    """Make every stage up to `until` whose inputs changed; returns the run directory.

    Raises UsageError for an unknown stage, ArtifactError where another process works in the directory, and whatever
    the stages raise. A stopped or failed run goes on where it was when called again.
    """
    if until not in STAGES:
        raise UsageError(f'There is no stage "{until}". Stages: {", ".join(STAGES)}.')
    makers = (build_corpus, make_knowledge, continue_pretraining, tune_chat, evaluate, write_report)
    with artifacts.lock(run.run_dir):
        for maker in makers[: STAGES.index(until) + 1]:
            maker(run, watch=watch)
    return run.run_dir


def build_corpus(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """documents → corpus/documents.jsonl, with a report of everything that was left out."""
    settings = run.settings.documents
    paths = [run.resolve(p) for p in settings.paths]

    def work(directory: Path) -> dict[str, Any]:
        corpus = read_documents(paths, settings)
        write_corpus(corpus, directory)
        return {"documents": len(corpus.documents), "left_out": {k: v["count"] for k, v in corpus.report.items()}}

    files = local_files(paths)
    return _stage(run, "corpus", watch, [settings.model_dump(), [path.name for path in files], *files], work)


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
        documents = load_documents(_path(run, "corpus"))
        items, counts = _made_items(run, documents, watch)
        telling = without_common_answers(items, len(documents))
        unleaked, leaked = remove_leaks(
            telling, [*(q.question for q in read_questions(exam_paths)), *free_wordings(run)]
        )
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
        documents, chats = load_documents(_path(run, "corpus")), _conversations(run)
        refuse_leaks(run, documents, chats, own_questions(run))
        model = load_model(settings.model, run.base_dir)
        items, (replay, held_out) = load_items(_path(run, "knowledge")), hold_out_replay(run, read_texts(replay_paths))
        examples = cpt_examples(model, documents, items, replay, chats, settings)
        manifest = run_stage(
            model,
            examples,
            cpt_mix(settings),
            settings.cpt,
            directory,
            seed=settings.seed,
            on_step=lambda record: watch.step("cpt", record),
            should_stop=watch.should_stop,
            passes=passes_of(run, model, documents, items, held_out),
        )
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
    return _stage(run, "cpt", watch, [*inputs, *_existing(_chat_paths(run))], work)


def tune_chat(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """cpt + chats → sft/adapter and sft/model, the finished model."""
    settings, instruct = run.settings, run.settings.model.instruct

    def work(directory: Path) -> dict[str, Any]:
        model = load_model(settings.model, run.base_dir, weights=_path(run, "cpt") / "model")
        if instruct:
            engraved, model = model, load_untrained(settings.model, run.base_dir)
            put_on_sibling(model, load_model(settings.model, run.base_dir), engraved)
        manifest: dict[str, Any] = {"steps": 0}
        chats = _conversations(run)
        if settings.sft.epochs > 0 and chats:
            manifest = run_stage(
                model,
                sft_examples(
                    model, load_documents(_path(run, "corpus")), load_items(_path(run, "knowledge")), chats, settings
                ),
                sft_mix(settings),
                settings.sft,
                directory,
                seed=settings.seed + 1,
                on_step=lambda record: watch.step("sft", record),
                should_stop=watch.should_stop,
            )
        if settings.sft.kept < 1:
            keep_share(model, load_untrained(settings.model, run.base_dir), settings.sft.kept)
        save_merged(directory / "model", model)
        return manifest

    inputs = [settings.sft.model_dump(), settings.chat.model_dump(), settings.seed, _of(run, "cpt")]
    inputs += [base_identity(instruct, run.base_dir)] if instruct else []
    return _stage(run, "sft", watch, [*inputs, *_existing(_chat_paths(run))], work)


def evaluate(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """sft + exam questions + general text → exam/: answers of every arm and perplexity before and after.

    What the untouched base says is a stage of its own, before/, which a change of training leaves as it is.
    """
    exam = run.settings.exam
    paths = [run.resolve(p) for p in (*exam.questions, *exam.general, *exam.free_questions, *exam.choices, *exam.facts)]
    model = [run.settings.model.model_dump(exclude={"instruct"}), base_identity(run.settings.model.base, run.base_dir)]
    of_base = exam.model_dump(exclude={"scale", "free_questions", "behaviour"})
    inputs = [of_base, model, run.settings.seed, _of(run, "corpus"), _of(run, "knowledge"), *_existing(paths)]
    _stage(run, "before", watch, inputs, lambda d: hold_exam(run, untrained_side(run), d, watch.answered))

    def work(directory: Path) -> dict[str, Any]:
        for file in _path(run, "before").glob(COPIED):
            shutil.copy(file, directory)
        return hold_exam(run, trained_side(run), directory, watch.answered)

    inputs = [exam.model_dump(), run.settings.model.model_dump(), _of(run, "sft"), _of(run, "before")]
    return _stage(run, "exam", watch, inputs, work)


def write_report(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """Everything before → report/report.html and report/summary.json."""

    def work(directory: Path) -> dict[str, Any]:
        questions = exam_questions(run, load_documents(_path(run, "corpus")))
        return fill_report(run, run.run_dir, questions, directory)

    inputs = [run.settings.model_dump(), run.origins, _of(run, "exam"), _of(run, "knowledge")]
    return _stage(run, "report", watch, inputs, work)


def check(run: Run) -> list[str]:
    """What a run would do, as lines of text; reads all inputs and trains nothing. Raises what a run would raise."""
    settings = run.settings
    corpus = read_documents([run.resolve(p) for p in settings.documents.paths], settings.documents)
    read_texts([run.resolve(p) for p in [*settings.replay.paths, *settings.exam.general]])
    questions = own_questions(run)
    free_wordings(run)
    skills_of(run)
    kept, num_other = for_documents(questions, {d.id for d in corpus.documents})
    chats = _conversations(run)
    refuse_leaks(run, corpus.documents, chats, questions)
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
        for name, rules in (("columns", corpus.columns), ("changed", corpus.changes))
        for what, told in rules.items()
    ]
    lines = [f"{row.key} = {row.value or '(not set)'}  ({row.origin})" for row in describe(run)]
    return [
        *lines,
        *reading,
        f"documents: {len(corpus.documents)}; left out: {left_out}",
        f"conversations: {len(chats)}",
        f"exam questions: {len(kept)}; about other documents: {num_other}"
        if settings.exam.questions
        else "exam questions: none given; some generated ones are kept out of training (exam.generated_share)",
        f"base model: {base}",
        f"results: {run.run_dir}",
    ]


def _stage(
    run: Run, stage: str, watch: Watch, inputs: Sequence[Any], work: Callable[[Path], dict[str, Any]]
) -> Artifact:
    path, wanted = _path(run, stage), fingerprint(FORMAT, stage, *inputs)
    with contextlib.ExitStack() as held:
        if run.store and stage != STAGES[-1]:
            path = held.enter_context(artifacts.shared(path, run.store / f"{stage}-{wanted[:16]}"))
        reused = artifacts.is_current(path, wanted)
        if not reused:
            watch.stage_started(stage)
        artifact = artifacts.build(path, wanted, work)
    if not reused:
        release()
    watch.stage_finished(stage, artifact.manifest, reused)
    return artifact


def _path(run: Run, stage: str) -> Path:
    return run.run_dir / stage


def _of(run: Run, stage: str) -> str:
    return artifacts.load(_path(run, stage)).fingerprint


def _existing(paths: Sequence[Path]) -> list[Path]:
    """Files to hash; the stage's own reader tells of those that are missing."""
    return [p for p in paths if p.is_file()]


def _chat_paths(run: Run) -> list[Path]:
    return [run.resolve(source.path) for source in run.settings.chat.sources]


def _conversations(run: Run) -> list[Conversation]:
    counts = [source.count for source in run.settings.chat.sources]
    return read_conversations(list(zip(_chat_paths(run), counts, strict=True)), run.settings.seed)
