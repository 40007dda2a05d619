"""Facts that the base knew: does the trained model still answer them? file → [Fact] → right or wrong, before and after.

Known is what the untouched base answers right after worked examples; the trained model is asked in the very same way,
so that what is measured is the fact and not the form. Files: NIILC's XML, or JSON lines {"question": …, "answers": …}.
"""

import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ishibumi.artifacts import read_jsonl
from ishibumi.corpus.clean import language_of
from ishibumi.errors import InputError
from ishibumi.exam.evaluate import few_shot_text
from ishibumi.exam.forgetting import text_ids
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import Question
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.settings import ExamSettings

MAX_NEW_TOKENS = 24


@dataclass(frozen=True)
class Fact:
    """A question with all its right answers."""

    id: str
    question: str
    answers: tuple[str, ...]


def read_facts(path: Path, count: int, seed: int) -> list[Fact]:
    """`count` of the file's questions that have an answer, drawn by seed. Raises InputError for another format."""
    try:
        if path.suffix == ".xml":
            asked = [
                Fact(str(q.get("id")), q.findtext("text") or "", tuple(a.text for a in q.iter("answer") if a.text))
                for q in ElementTree.parse(path).getroot().iter("question")
            ]
        else:
            rows = enumerate(read_jsonl(path))
            asked = [Fact(str(row.get("id", n)), row["question"], tuple(row["answers"])) for n, row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ElementTree.ParseError) as error:
        raise InputError(
            f"{path} is no file of facts: {error!r}",
            hint='It may be XML as NIILC has it, or a line {"question": "…", "answers": ["…"]} for each fact.',
            hint_ja='NIILC の XML か、1行に {"question": "…", "answers": ["…"]} を書いた JSON Lines を使ってください。',
        ) from None
    found = [fact for fact in asked if fact.question and any(c.isalnum() for a in fact.answers for c in a)]
    return random.Random(f"{seed} facts").sample(found, min(count, len(found)))


def answer_facts(model: LoadedModel, facts: Sequence[Fact], settings: ExamSettings) -> dict[str, bool]:
    """Fact id → whether the reply after worked examples has one of the answers."""
    questions = [
        Question(f.id, "", language_of(f.question), f.question, f.answers[0], f.answers[1:], "") for f in facts
    ]
    replies = generate_replies(
        model,
        [text_ids(model, few_shot_text(question, settings.shots)) for question in questions],
        max_new_tokens=MAX_NEW_TOKENS,
        batch_size=settings.batch_questions,
        stop_texts=("\n",),
    )
    return {q.id: contains_answer(r.text.strip(), q) for q, r in zip(questions, replies, strict=True)}
