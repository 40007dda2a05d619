"""FreeQuestion: a question with a long answer, and the figures looked for in it. free_questions.jsonl → [FreeQuestion].

A figure is right when all its claims are. A claim is about a number (`Number`) or about words (`Words`):

    {"name": "石破", "scope": "決選投票", "unit": "票", "value": 215}       215票 is 石破's, in the runoff
    {"name": "国民民主党", "unit": "議席", "value": 28, "before": 7}        and it came from 7, or by 21 more
    {"name": "石破", "words": ["勝利", "当選"], "against": ["敗れ"]}        it is 石破 of whom that is said
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ishibumi.errors import InputError


class _Row(BaseModel):
    """A frozen row that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Number(_Row):
    """`value`, counted in `unit`, belongs to `name`; with `before`, the old value or the change is told too.

    With `scope`, only numbers under that heading of the question count. `parts`: the names whose total this name is.
    """

    name: str
    unit: str
    value: int
    before: int | None = None
    scope: str | None = None
    parts: tuple[str, ...] = ()


class Words(_Row):
    """One of `words` is said and none of `against`, both regular expressions; of `name`, where there is one.

    What is said against the `rival` is said for the name.
    Only words count whose stretch of text, up to the next such word, has one of `near`; a clause with one of
    `elsewhere` says nothing against. `number`: to tell this is right too. `optional`: not to say it is right too.
    """

    words: tuple[str, ...] = Field(min_length=1)
    against: tuple[str, ...] = ()
    name: str | None = None
    rival: str | None = None
    scope: str | None = None
    near: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    number: Number | None = None
    optional: bool = False


Claim = Number | Words


class Figure(_Row):
    """One figure of the answer, described in both languages; right when all its claims are.

    `asked`: ids of the exam's own questions that together ask for it alone, so that a figure which a reply leaves out
    is not taken for one that the model does not know.
    """

    id: str
    ja: str
    en: str
    claims: tuple[Claim, ...] = Field(min_length=1)
    asked: tuple[str, ...] = ()


class PublishedReply(_Row):
    """What a published model answered, in our words, and the ids of the figures that it had right."""

    ja: str
    en: str
    right: tuple[str, ...]


class FreeQuestion(_Row):
    """A question, the names that figures may belong to, and the headings they may stand under; the first is assumed."""

    id: str
    language: str
    question: str
    names: dict[str, tuple[str, ...]]
    scopes: dict[str, tuple[str, ...]] = {}
    figures: tuple[Figure, ...] = Field(min_length=1)
    published_reply: PublishedReply


def read_free_questions(path: Path) -> list[FreeQuestion]:
    """The questions in `path`, in order.

    Raises InputError, with file and line, for a missing file, a malformed line, an unknown name or scope, and an id of
    a question or figure that is used twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # U+2028 may stand in a JSON string
    except FileNotFoundError:
        present = ", ".join(sorted(p.name for p in path.parent.glob("*.jsonl"))) or "none"
        raise InputError(
            f"No file of free questions {path}. JSON lines files beside it: {present}.",
            hint="Name a file with one question and its figures a line.",
            hint_ja="1行に1つ、質問と採点する項目を書いたファイルを指定してください。",
        ) from None
    questions: list[FreeQuestion] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            question = FreeQuestion.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise _malformed(path, number, f"{place}: {first['msg']}") from None
        for problem in _problems(question, seen):
            raise _malformed(path, number, problem)
        seen |= {question.id, *(figure.id for figure in question.figures)}
        questions.append(question)
    return questions


def _problems(question: FreeQuestion, seen: set[str]) -> Sequence[str]:
    """What is wrong with the ids, names and scopes of a question."""
    ids = [question.id, *(figure.id for figure in question.figures)]
    found = [f'the id "{i}" is used twice' for i in ids if i in seen or ids.count(i) > 1]
    for claim in (claim for figure in question.figures for claim in figure.claims):
        others = claim.parts if isinstance(claim, Number) else (claim.rival,)
        unknown = [name for name in (claim.name, *others) if name and name not in question.names]
        found += [f'"{name}" is not one of the names {", ".join(question.names)}' for name in unknown]
        if claim.scope and claim.scope not in question.scopes:
            found.append(f'"{claim.scope}" is not one of the scopes {", ".join(question.scopes)}')
    return found


def _malformed(path: Path, number: int, problem: str) -> InputError:
    return InputError(
        f"{path}:{number}: not a free question, {problem}.",
        hint="See examples/news2024/free_questions_ja.jsonl for the form.",
        hint_ja="書き方は examples/news2024/free_questions_ja.jsonl を見てください。",
    )
