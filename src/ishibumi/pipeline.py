"""The whole path, stage by stage. Run → run_dir/{corpus,knowledge,cpt,sft,exam,report}/.

Each function makes one stage and returns its artifact; a stage is made anew only when its fingerprint, which is made of
its settings and of the fingerprints before it, has changed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from ishibumi import artifacts
from ishibumi.artifacts import Artifact, fingerprint, write_jsonl
from ishibumi.config import Run, describe
from ishibumi.corpus.chat_data import Conversation, read_conversations
from ishibumi.corpus.clean import language_of
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import load_documents, read_documents, write_corpus
from ishibumi.corpus.readers.inputs import local_files
from ishibumi.corpus.texts import read_texts
from ishibumi.errors import UsageError
from ishibumi.exam.questions import Question, for_documents, read_questions
from ishibumi.exam.sit import Side, sit_exam
from ishibumi.knowledge.generator import items_of, without_common_answers
from ishibumi.knowledge.items import Item, load_items
from ishibumi.knowledge.leaks import remove_leaks
from ishibumi.models.load import find_base, load_finished, load_model
from ishibumi.report_stage import fill_report
from ishibumi.settings import Arm
from ishibumi.training.cpt import cpt_examples, cpt_mix
from ishibumi.training.saved import save_merged
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
        """So many questions of an arm have been answered."""

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
    """corpus → knowledge/items.jsonl: views and questions, none of which repeats the exam's wording."""
    settings = run.settings.knowledge
    exam_paths = [run.resolve(p) for p in run.settings.exam.questions]

    def work(directory: Path) -> dict[str, Any]:
        documents = load_documents(_path(run, "corpus"))
        items, refused = _made_items(run, documents) if settings.generator == "rules" else ([], {})
        kept, leaked = remove_leaks(items, [q.question for q in read_questions(exam_paths)])
        write_jsonl(directory / "items.jsonl", map(asdict, kept))
        kinds = {kind: sum(item.kind == kind for item in kept) for kind in ("view", "question")}
        return {**kinds, "refused": refused, "left_out_as_exam_wording": len(leaked)}

    inputs = [settings.model_dump(), run.settings.seed, _of(run, "corpus"), *_existing(exam_paths)]
    return _stage(run, "knowledge", watch, inputs, work)


def _made_items(run: Run, documents: Sequence[Document]) -> tuple[list[Item], dict[str, int]]:
    """The items of all documents, and how many were refused by reason."""
    settings = run.settings.knowledge
    made = [
        items_of(
            document,
            views_per_document=settings.views_per_document,
            wordings_per_fact=settings.wordings_per_fact,
            seed=run.settings.seed,
        )
        for document in documents
    ]
    items = [item for of_document, _ in made for item in of_document]
    telling = without_common_answers(items, len(documents))
    refused = sum((counts for _, counts in made), Counter({"common answer": len(items) - len(telling)}))
    return telling, dict(refused)


def continue_pretraining(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """corpus + knowledge + replay + chats → cpt/adapter, with history and proof of what trained."""
    settings = run.settings
    replay_paths = [run.resolve(p) for p in settings.replay.paths]

    def work(directory: Path) -> dict[str, Any]:
        model = load_model(settings.model, run.base_dir)
        examples = cpt_examples(
            model,
            load_documents(_path(run, "corpus")),
            load_items(_path(run, "knowledge")),
            read_texts(replay_paths),
            _conversations(run),
            settings,
        )
        manifest = run_stage(
            model,
            examples,
            cpt_mix(settings),
            settings.cpt,
            directory,
            seed=settings.seed,
            on_step=lambda record: watch.step("cpt", record),
            should_stop=watch.should_stop,
        )
        save_merged(directory / "model", model)
        return manifest

    parts = (settings.model, settings.documents, settings.replay, settings.chat, settings.cpt)
    sections = [part.model_dump() for part in parts]
    inputs = [sections, settings.seed, _of(run, "knowledge"), _base_identity(run), *_existing(replay_paths)]
    return _stage(run, "cpt", watch, [*inputs, *_existing(_chat_paths(run))], work)


def tune_chat(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """cpt + chats → sft/adapter and sft/model, the finished model."""
    settings = run.settings

    def work(directory: Path) -> dict[str, Any]:
        model = load_model(settings.model, run.base_dir, weights=_path(run, "cpt") / "model")
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
        save_merged(directory / "model", model)
        return manifest

    inputs = [settings.sft.model_dump(), settings.chat.model_dump(), settings.seed, _of(run, "cpt")]
    return _stage(run, "sft", watch, [*inputs, *_existing(_chat_paths(run))], work)


def evaluate(run: Run, *, watch: Watch = SILENT) -> Artifact:
    """sft + exam questions + general text → exam/: answers of every arm and perplexity before and after."""
    settings = run.settings.exam
    question_paths = [run.resolve(p) for p in settings.questions]
    general_paths = [run.resolve(p) for p in settings.general]

    def work(directory: Path) -> dict[str, Any]:
        documents = {d.id: d for d in load_documents(_path(run, "corpus"))}
        questions, num_left_out = for_documents(read_questions(question_paths), documents)
        general: dict[str, list[str]] = {}
        for text in read_texts(general_paths):
            general.setdefault(language_of(text), []).append(text)
        sit_exam(exam_sides(run), questions, documents, general, settings, directory, watch.answered)
        return {"questions": len(questions), "questions_about_other_documents": num_left_out}

    inputs = [settings.model_dump(), run.settings.model.model_dump(), _of(run, "sft"), _of(run, "corpus")]
    return _stage(run, "exam", watch, [*inputs, *_existing([*question_paths, *general_paths])], work)


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
    questions = read_questions([run.resolve(p) for p in settings.exam.questions])
    kept, num_other = for_documents(questions, {d.id for d in corpus.documents})
    chats = _conversations(run)
    base = find_base(settings.model.base, run.base_dir)
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
        f"exam questions: {len(kept)}; about other documents: {num_other}",
        f"base model: {base}",
        f"results: {run.run_dir}",
    ]


def exam_sides(run: Run) -> list[Side]:
    """The base with its arms, and the finished model with its."""
    untrained: tuple[Arm, ...] = tuple(a for a in run.settings.exam.arms if a in ("base", "retrieval"))
    trained: tuple[Arm, ...] = tuple(a for a in run.settings.exam.arms if a not in untrained)
    return [
        Side("before", lambda: load_model(run.settings.model, run.base_dir), untrained),
        Side("after", lambda: load_finished(run.settings.model, run.run_dir), trained),
    ]


def exam_questions(run: Run, documents: Sequence[Document]) -> list[Question]:
    """The exam's questions about these documents."""
    questions = read_questions([run.resolve(p) for p in run.settings.exam.questions])
    return for_documents(questions, {d.id for d in documents})[0]


def _stage(
    run: Run, stage: str, watch: Watch, inputs: Sequence[Any], work: Callable[[Path], dict[str, Any]]
) -> Artifact:
    path = _path(run, stage)
    wanted = fingerprint(FORMAT, stage, *inputs)
    reused = artifacts.is_current(path, wanted)
    if not reused:
        watch.stage_started(stage)
    artifact = artifacts.build(path, wanted, work)
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


def _base_identity(run: Run) -> list[Any]:
    """Names, sizes and times of the base model's files: hashing gigabytes at every start would take minutes."""
    files = sorted(p for p in find_base(run.settings.model.base, run.base_dir).iterdir() if p.is_file())
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
