"""Questions with long answers, graded figure by figure. (model, [FreeQuestion]) → [FreeAnswer] → free_answers.jsonl."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.exam.figures import grade_figures
from ishibumi.exam.free_questions import FreeQuestion
from ishibumi.knowledge.citation import split_citation
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel

NAME = "free_answers.jsonl"
MAX_NEW_TOKENS = 512


@dataclass(frozen=True)
class FreeAnswer:
    """A reply and the document it names; `figures` are (id, ja, en, verdict, whether the published reply has it)."""

    question: str
    reply: str
    cited: str
    stopped: bool
    figures: list[tuple[str, str, str, str, bool]]
    published_ja: str
    published_en: str


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
        answers.append(FreeAnswer(question.question, told, cited, reply.stopped, rows, published.ja, published.en))
    write_jsonl(directory / NAME, map(asdict, answers))


def load_free_answers(directory: Path) -> list[FreeAnswer]:
    """What `answer_freely` wrote; nothing where no free questions were asked."""
    path = directory / NAME
    return [FreeAnswer(**row) for row in read_jsonl(path)] if path.exists() else []


def count_figures(answers: Sequence[FreeAnswer]) -> dict[str, int]:
    """How many figures there are, and how many of them the model and the published reply have right."""
    figures = [figure for answer in answers for figure in answer.figures]
    return {
        "figures": len(figures),
        "right": sum(verdict == "right" for *_, verdict, _ in figures),
        "wrong": sum(verdict == "wrong" for *_, verdict, _ in figures),
        "published_right": sum(published for *_, published in figures),
    }
