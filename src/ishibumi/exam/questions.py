"""Question: one exam question with its gold answer. questions.jsonl → [Question]."""

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ishibumi.errors import InputError
from ishibumi.exam.refusal import is_refusal
from ishibumi.knowledge.items import REFUSALS

REQUIRED = ("id", "document_id", "language", "question", "answer")
LANGUAGES = ("ja", "en")
HELD_OUT, REVERSED, COMBINED, UNANSWERABLE = "held_out", "reversed", "combined", "unanswerable"
SPLITS = (HELD_OUT, REVERSED, COMBINED, UNANSWERABLE)
# What the run adds by itself: exam.drawn.
GENERATED, TRAINING = "generated", "training"


@dataclass(frozen=True)
class Question:
    """One question of the exam.

    `accept` are other right spellings of `answer`; `kind` is free ("score", "place", …). `split` says what is tested:

    held_out      facts of the documents, in other wording than training's
    reversed      from the answer's side back: not «who scored against X?» but «against whom did Y score?»
    combined      needs two documents or more: `document_id` and `other_document_ids`
    unanswerable  of the right form, but with a team, date or person for which there is no answer: `answer` is a refusal
    generated     a generated wording that was kept out of training
    training      a question of training as it is
    """

    id: str
    document_id: str
    language: str
    question: str
    answer: str
    accept: tuple[str, ...]
    kind: str
    split: str = HELD_OUT
    other_document_ids: tuple[str, ...] = ()

    @property
    def document_ids(self) -> tuple[str, ...]:
        """All documents that the answer needs."""
        return (self.document_id, *self.other_document_ids)


def read_questions(paths: Iterable[Path]) -> list[Question]:
    """The questions of all files, in order.

    `accept`, `kind` and `split` may be left out of a line, and `answer` where the split is unanswerable. A combined
    question has `document_ids`, a list, in place of `document_id`.
    Raises InputError, with file and line, for a missing file, a malformed line, a missing field or an id used twice.
    """
    questions: list[Question] = []
    first_place: dict[str, str] = {}
    for path in paths:
        for number, line in enumerate(_lines(path), start=1):
            place = f"{path}:{number}"
            if not line.strip():
                continue
            question = _question(line, place)
            if question.id in first_place:
                raise InputError(
                    f'{place}: the question id "{question.id}" is already used at {first_place[question.id]}.',
                    hint="Give every question its own id.",
                    hint_ja="質問ごとに違う id を付けてください。",
                )
            first_place[question.id] = place
            questions.append(question)
    return questions


def for_documents(questions: Sequence[Question], document_ids: Container[str]) -> tuple[list[Question], int]:
    """The questions about these documents, and how many were left out because a document is not among them."""
    kept = [q for q in questions if all(document_id in document_ids for document_id in q.document_ids)]
    return kept, len(questions) - len(kept)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        present = sorted(p.name for p in path.parent.glob("*.jsonl")) if path.parent.is_dir() else []
        raise InputError(
            f"No exam file {path}. JSON lines files in {path.parent}: {', '.join(present) or 'none'}.",
            hint="Set exam.questions to a file of questions, one JSON object a line.",
            hint_ja="exam.questions に、1行に1つの JSON を書いた質問ファイルを指定してください。",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}.",
            hint="Save the exam file as UTF-8.",
            hint_ja="試験のファイルを UTF-8 で保存してください。",
        ) from None
    if not any(line.strip() for line in lines):
        raise InputError(
            f"{path} has no questions.",
            hint="Write one JSON object a line: " + ", ".join(REQUIRED) + ".",
            hint_ja="1行に1つの JSON を書いてください。必要な項目: " + ", ".join(REQUIRED) + "。",
        )
    return lines


def _question(line: str, place: str) -> Question:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise _malformed(place, f"not a JSON object ({error.msg} at column {error.colno})", line) from None
    if not isinstance(row, dict):
        raise _malformed(place, "not a JSON object", line)
    split = row.get("split", HELD_OUT)
    if split not in SPLITS:
        raise _malformed(place, f'"split" is {json.dumps(split)}, not one of {", ".join(SPLITS)}', line)
    others = _take_documents(row, split, place, line)
    if split == UNANSWERABLE:
        row.setdefault("answer", REFUSALS.get(str(row.get("language"))))
    for name in REQUIRED:
        if name not in row:
            raise _malformed(place, f'the field "{name}" is missing', line)
        if not isinstance(row[name], str) or not row[name].strip():
            raise _malformed(place, f'"{name}" must be a text that is not empty', line)
    if row["id"].startswith((f"{GENERATED}:", f"{TRAINING}:")):
        raise _malformed(place, f'an "id" must not begin with {GENERATED}: or {TRAINING}:', line)
    accept, kind = row.get("accept", []), row.get("kind", "other")
    if not isinstance(accept, list) or not all(isinstance(spelling, str) for spelling in accept):
        raise _malformed(place, '"accept" must be a list of texts', line)
    if not isinstance(kind, str):
        raise _malformed(place, '"kind" must be a text', line)
    if row["language"] not in LANGUAGES:
        raise _malformed(place, f'"language" is "{row["language"]}", not one of {", ".join(LANGUAGES)}', line)
    if split == UNANSWERABLE and not is_refusal(row["answer"]):
        raise _malformed(place, f'the answer "{row["answer"]}" is no refusal, but the split is unanswerable', line)
    for spelling in (row["answer"], *accept):
        if not any(character.isalnum() for character in spelling):
            raise _malformed(place, f'the answer "{spelling}" has no letter or digit to compare', line)
    required = (row[name] for name in REQUIRED)
    return Question(*required, accept=tuple(accept), kind=kind, split=split, other_document_ids=others)


def _take_documents(row: dict[str, Any], split: str, place: str, line: str) -> tuple[str, ...]:
    """The documents of a row after the first, which becomes its document_id."""
    if "document_ids" not in row:
        if split == COMBINED:
            raise _malformed(place, '"document_ids" must list the documents that a combined question needs', line)
        return ()
    ids: Any = row["document_ids"]
    if not isinstance(ids, list) or len(ids) < 2 or not all(isinstance(i, str) and i.strip() for i in ids):
        raise _malformed(place, '"document_ids" must be a list of two texts or more', line)
    if "document_id" in row or len(set(ids)) < len(ids):
        raise _malformed(place, '"document_ids" must name each document once and replaces "document_id"', line)
    row["document_id"], *others = ids
    return tuple(others)


def _malformed(place: str, fault: str, line: str) -> InputError:
    shown = line if len(line) <= 80 else line[:80] + "…"
    return InputError(
        f"{place}: {fault}: {shown}",
        hint="A line needs " + ", ".join(REQUIRED) + "; accept (list), kind and split are optional.",
        hint_ja="1行に必要な項目は " + ", ".join(REQUIRED) + " です。accept（リスト）、kind、split は省けます。",
    )
