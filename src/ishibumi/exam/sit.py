"""The exam stage: who sits it, and what was forgotten. models + questions + general text → answers on disk.

Answers are stored arm by arm, so that a stopped exam goes on with the arm it was in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ishibumi.artifacts import read_json, read_jsonl, write_json, write_jsonl
from ishibumi.corpus.documents import Document
from ishibumi.exam.evaluate import FROM_MEMORY, Answer, run_arm
from ishibumi.exam.forgetting import Perplexity, perplexity
from ishibumi.exam.free import NAME as FREE_ANSWERS
from ishibumi.exam.free import answer_freely
from ishibumi.exam.free_questions import FreeQuestion
from ishibumi.exam.questions import TRAINING, Question
from ishibumi.exam.skills import Skills, measure_skills, path_of
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Arm, ExamSettings

NO_SKILLS = Skills()
OnAnswers = Callable[[str, int, int], None]
COPIED = "*_*.json*"  # what a side writes: answers_base.jsonl, perplexity_before.json


@dataclass(frozen=True)
class Side:
    """One of the two models, loaded only when something is left to ask it."""

    name: str  # "before" | "after"
    load: Callable[[], LoadedModel]
    arms: tuple[Arm, ...]


def sit_exam(
    side: Side,
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    general: Mapping[str, Sequence[str]],
    settings: ExamSettings,
    directory: Path,
    on_answers: OnAnswers,
    free: Sequence[FreeQuestion] = (),
    skills: Skills = NO_SKILLS,
) -> None:
    """Write answers_<arm>.jsonl and perplexity_<side>.json of a side into `directory`; what is there stays.

    The trained side answers the `free` questions, too; `skills` are asked of both.
    """
    arms: list[Arm] = [a for a in side.arms if questions and not (directory / f"answers_{a}.jsonl").exists()]
    wants_perplexity = bool(general) and not (directory / f"perplexity_{side.name}.json").exists()
    asks_freely = bool(free) and side.name == "after" and not (directory / FREE_ANSWERS).exists()
    has_skills = skills != NO_SKILLS or (settings.behaviour and side.name == "after")
    wants_skills = has_skills and not path_of(directory, side.name).exists()
    if not (arms or wants_perplexity or asks_freely or wants_skills):
        return
    model = side.load()
    for arm in arms:
        # Training's questions show how well its wording is remembered; arms that read would tell nothing of it.
        asked = questions if arm in FROM_MEMORY else [q for q in questions if q.split != TRAINING]
        answers = run_arm(arm, model, asked, documents, settings, partial(on_answers, arm)) if asked else []
        write_jsonl(directory / f"answers_{arm}.jsonl", map(asdict, answers))
    if asks_freely:
        answer_freely(model, free, directory)
    if wants_skills:
        measure_skills(model, skills, side.name, settings, directory)
    if wants_perplexity:
        measured = {language: asdict(perplexity(model, texts)) for language, texts in general.items()}
        write_json(directory / f"perplexity_{side.name}.json", measured)


def load_answers(directory: Path) -> list[Answer]:
    """All answers that `sit_exam` wrote."""
    return [Answer(**row) for path in sorted(directory.glob("answers_*.jsonl")) for row in read_jsonl(path)]


def load_perplexities(directory: Path) -> dict[str, dict[str, Perplexity]]:
    """side → language → perplexity, as `sit_exam` wrote them."""
    found: dict[str, dict[str, Perplexity]] = {}
    for path in sorted(directory.glob("perplexity_*.json")):
        rows: dict[str, dict[str, Any]] = read_json(path)
        found[path.stem.removeprefix("perplexity_")] = {k: Perplexity(**v) for k, v in rows.items()}
    return found
