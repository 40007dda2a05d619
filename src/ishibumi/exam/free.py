"""Questions with long answers, graded figure by figure. (model, [FreeQuestion]) → [FreeAnswer] → free_answers.jsonl."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.exam.evaluate import Answer
from ishibumi.exam.figures import grade_figures
from ishibumi.exam.free_questions import FreeQuestion
from ishibumi.knowledge.citation import split_citation
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel

NAME = "free_answers.jsonl"
MAX_NEW_TOKENS = 512


@dataclass(frozen=True)
class FreeAnswer:
    """A reply and the document it names; `figures` are (id, ja, en, verdict, whether the published reply has it).

    `asked`: for ids of figures, the exam's questions that ask for them alone.
    """

    question: str
    reply: str
    cited: str
    stopped: bool
    figures: list[tuple[str, str, str, str, bool]]
    published_ja: str
    published_en: str
    asked: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def answer_freely(model: LoadedModel, questions: Sequence[FreeQuestion], directory: Path) -> None:
    """Ask the trained model, grade, and write `NAME` into `directory`."""
    prompts = [model.format.prompt_ids([{"role": "user", "content": q.question}]) for q in questions]
    replies = generate_replies(model, prompts, max_new_tokens=MAX_NEW_TOKENS, batch_size=8)
    answers: list[FreeAnswer] = []
    for question, reply in zip(questions, replies, strict=True):
        cited, quoted, text = split_citation(reply.text.strip())
        verdicts = {graded.id: graded.verdict for graded in grade_figures(f"{quoted}\n{text}".strip(), question)}
        published = question.published_reply
        rows = [(f.id, f.ja, f.en, verdicts[f.id], f.id in published.right) for f in question.figures]
        told = f"{quoted} {text}".strip()
        asked = {figure.id: list(figure.asked) for figure in question.figures if figure.asked}
        answers.append(
            FreeAnswer(question.question, told, cited, reply.stopped, rows, published.ja, published.en, asked)
        )
    write_jsonl(directory / NAME, map(asdict, answers))


def load_free_answers(directory: Path) -> list[FreeAnswer]:
    """What `answer_freely` wrote; nothing where no free questions were asked."""
    path = directory / NAME
    return [FreeAnswer(**row) for row in read_jsonl(path)] if path.exists() else []


def known_figures(answers: Sequence[FreeAnswer], exam: Sequence[Answer]) -> dict[str, bool]:
    """For each figure that the exam asks for alone, whether the engraved model has all those questions right."""
    is_right = {answer.question_id: answer.contains for answer in exam if answer.arm == "engraved"}
    alone = {figure: ids for answer in answers for figure, ids in answer.asked.items() if is_right.keys() >= set(ids)}
    return {figure: all(is_right[i] for i in ids) for figure, ids in alone.items()}


def count_figures(answers: Sequence[FreeAnswer], exam: Sequence[Answer] = ()) -> dict[str, int]:
    """How many figures there are, and how many of them the model and the published reply have right.

    And how many the `exam` asks for alone, with how many of those are right there.
    """
    figures = [figure for answer in answers for figure in answer.figures]
    known = known_figures(answers, exam)
    return {
        "figures": len(figures),
        "right": sum(verdict == "right" for *_, verdict, _ in figures),
        "wrong": sum(verdict == "wrong" for *_, verdict, _ in figures),
        "published_right": sum(published for *_, published in figures),
        "asked_alone": len(known),
        "asked_alone_right": sum(known.values()),
    }
