"""Facts that the base knew: does the trained model still answer them? file → [Fact] → right or wrong, before and after.

Known is what the untouched base answers right after worked examples; the trained model is asked in the very same way,
so that what is measured is the fact and not the form. Files: NIILC's XML, or JSON lines {"question": …, "answers": …}.
"""

import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ishibumi.corpus.clean import language_of
from ishibumi.exam.evaluate import few_shot_text
from ishibumi.exam.forgetting import text_ids
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import Question
from ishibumi.exam.strict_rows import StrictRow, malformed, rows_by_id
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.settings import ExamSettings

MAX_NEW_TOKENS = 24
EXAMPLE = '{"question": "日本の首都は？", "answers": ["東京", "東京都"]}'
XML_EXAMPLE = '<question id="N-1"><text>日本の首都は？</text><answers><answer>東京</answer></answers></question>'
_Text = Annotated[str, Field(pattern=r"\w")]


@dataclass(frozen=True)
class Fact:
    """A question with all its right answers."""

    id: str
    question: str
    answers: tuple[str, ...]


class _Row(StrictRow):
    """A line of a file of facts."""

    question: _Text
    answers: list[_Text] = Field(min_length=1)


def read_facts(path: Path, count: int, seed: int) -> list[Fact]:
    """`count` of the file's questions that have an answer, drawn by seed.

    Raises InputError for another format, with the line where it is one of JSON lines.
    """
    if path.suffix == ".xml":
        found = _niilc(path)
    else:
        rows = rows_by_id(path, _Row, EXAMPLE)
        found = [Fact(name, row.question, tuple(row.answers)) for name, row in rows.items()]
    return random.Random(f"{seed} facts").sample(found, min(count, len(found)))


def _niilc(path: Path) -> list[Fact]:
    """The questions of NIILC's XML that have an answer; some have none."""
    try:
        questions = list(ElementTree.parse(path).getroot().iter("question"))
    except (OSError, ElementTree.ParseError) as error:
        raise malformed(str(path), f"not NIILC's XML ({error})", XML_EXAMPLE) from None
    found: dict[str, Fact] = {}
    for number, question in enumerate(questions):
        name, text = question.get("id") or str(number), question.findtext("text") or ""
        answers = tuple(answer.text for answer in question.iter("answer") if answer.text)
        if name in found:
            raise malformed(str(path), f"the id {name} is used twice", XML_EXAMPLE)
        if text and any(c.isalnum() for a in answers for c in a):
            found[name] = Fact(name, text, answers)
    if not found:
        raise malformed(str(path), "no question of NIILC's XML with an answer", XML_EXAMPLE)
    return list(found.values())


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
