"""The exam of a run: what is asked, and the two models that are asked. Run + finished stages → files in exam/."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ishibumi.config import Run
from ishibumi.corpus.clean import language_of
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import load_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.corpus_stage import Watch, stage_path
from ishibumi.exam.choices import read_choices
from ishibumi.exam.drawn import drawn_questions
from ishibumi.exam.evaluate import UNTRAINED_ARMS
from ishibumi.exam.free_questions import read_free_questions
from ishibumi.exam.known import read_facts
from ishibumi.exam.questions import GENERATED, TRAINING, Question, for_documents, read_questions
from ishibumi.exam.sit import Side, sit_exam
from ishibumi.exam.skills import Skills
from ishibumi.knowledge.items import load_held_out, load_items
from ishibumi.models.load import LoadedModel, load_finished, load_model, load_untrained
from ishibumi.settings import Arm
from ishibumi.training.asked import load_to_ask
from ishibumi.training.precision import Precision
from ishibumi.training.saved import keep_share

MAX_GENERATED = 200  # generated questions that are asked: enough for an interval of ±7 points


def hold_exam(run: Run, side: Side, directory: Path, watch: Watch) -> dict[str, Any]:
    """Examine one of the two models and write what it said into `directory`; returns what the manifest keeps."""
    settings = run.settings.exam
    documents = {d.id: d for d in load_documents(stage_path(run, "corpus"))}
    questions = exam_questions(run, list(documents.values()))
    general: dict[str, list[str]] = {}
    for text in read_texts([run.resolve(path) for path in settings.general]):
        general.setdefault(language_of(text), []).append(text)
    free = [q for path in settings.free_questions for q in read_free_questions(run.resolve(path))]
    skills = skills_of(run)
    sit_exam(side, questions, documents, general, settings, directory, watch.answered, free, skills)
    num_left_out = for_documents(own_questions(run), documents)[1]
    splits = Counter(question.split for question in questions)
    return {"questions": dict(splits), "questions_about_other_documents": num_left_out}


def skills_of(run: Run) -> Skills:
    """What else is asked, to see what was lost: exam.skill_questions of every file."""
    settings, seed = run.settings.exam, run.settings.seed
    choices = [c for path in settings.choices for c in read_choices(run.resolve(path), settings.skill_questions, seed)]
    facts = [f for path in settings.facts for f in read_facts(run.resolve(path), settings.skill_questions, seed)]
    return Skills(tuple(choices), tuple(facts))


def untrained_side(run: Run, precision: Precision) -> Side:
    """The base with its arms, its matrices in this format."""
    settings = run.settings
    load = partial(load_model, settings.model, run.base_dir, None)
    arms: tuple[Arm, ...] = tuple(a for a in settings.exam.arms if a in UNTRAINED_ARMS)
    return Side("before", lambda: load_to_ask(load, settings.model, precision), arms)


def trained_side(run: Run, precision: Precision) -> Side:
    """The finished model, or the part of it that exam.scale says, with its arms, its matrices in this format."""
    settings = run.settings

    def load(device: torch.device) -> LoadedModel:
        model = load_finished(settings.model, run.run_dir, device)
        if settings.exam.scale != 1:
            keep_share(model, load_untrained(settings.model, run.base_dir, device), settings.exam.scale)
        return model

    arms: tuple[Arm, ...] = tuple(a for a in settings.exam.arms if a not in UNTRAINED_ARMS)
    return Side("after", lambda: load_to_ask(load, settings.model, precision), arms)


def exam_questions(run: Run, documents: Sequence[Document]) -> list[Question]:
    """The exam's questions about these documents, and those that are drawn from what the run generated."""
    by_id, settings, seed = {d.id: d for d in documents}, run.settings.exam, run.settings.seed
    knowledge = stage_path(run, "knowledge")
    own = for_documents(own_questions(run), by_id)[0]
    held_out = [] if settings.questions else load_held_out(knowledge)
    return [
        *own,
        *drawn_questions(held_out, by_id, split=GENERATED, count=MAX_GENERATED, seed=seed),
        *drawn_questions(load_items(knowledge), by_id, split=TRAINING, count=settings.training_questions, seed=seed),
    ]


def free_wordings(run: Run) -> list[str]:
    """The free questions' wordings."""
    paths = [run.resolve(path) for path in run.settings.exam.free_questions]
    return [question.question for path in paths for question in read_free_questions(path)]


def own_questions(run: Run) -> list[Question]:
    """The questions of the files that exam.questions names."""
    return read_questions([run.resolve(p) for p in run.settings.exam.questions])
