"""Question: one exam question with its gold answer. questions.jsonl → [Question]."""

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ishibumi.errors import InputError

REQUIRED = ("id", "document_id", "language", "question", "answer")
LANGUAGES = ("ja", "en")


@dataclass(frozen=True)
class Question:
    """One question of the exam.

    `accept` are other right spellings of `answer`; `kind` is free ("score", "place", …).
    """

    id: str
    document_id: str
    language: str
    question: str
    answer: str
    accept: tuple[str, ...]
    kind: str


def read_questions(paths: Iterable[Path]) -> list[Question]:
    """The questions of all files, in order; `accept` and `kind` may be left out of a line.

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
    """The questions about these documents, and how many were left out because their document is not among them."""
    kept = [question for question in questions if question.document_id in document_ids]
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
    for name in REQUIRED:
        if name not in row:
            raise _malformed(place, f'the field "{name}" is missing', line)
        if not isinstance(row[name], str) or not row[name].strip():
            raise _malformed(place, f'"{name}" must be a text that is not empty', line)
    accept, kind = row.get("accept", []), row.get("kind", "other")
    if not isinstance(accept, list) or not all(isinstance(spelling, str) for spelling in accept):
        raise _malformed(place, '"accept" must be a list of texts', line)
    if not isinstance(kind, str):
        raise _malformed(place, '"kind" must be a text', line)
    if row["language"] not in LANGUAGES:
        raise _malformed(place, f'"language" is "{row["language"]}", not one of {", ".join(LANGUAGES)}', line)
    for spelling in (row["answer"], *accept):
        if not any(character.isalnum() for character in spelling):
            raise _malformed(place, f'the answer "{spelling}" has no letter or digit to compare', line)
    return Question(*(row[name] for name in REQUIRED), accept=tuple(accept), kind=kind)


def _malformed(place: str, fault: str, line: str) -> InputError:
    shown = line if len(line) <= 80 else line[:80] + "…"
    return InputError(
        f"{place}: {fault}: {shown}",
        hint="A line needs " + ", ".join(REQUIRED) + "; accept (list) and kind are optional.",
        hint_ja="1行に必要な項目は " + ", ".join(REQUIRED) + " です。accept（リスト）と kind は省けます。",
    )
