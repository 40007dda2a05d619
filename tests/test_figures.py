"""Replies written by hand to the published three questions: what is right, wrong and missing, figure by figure."""

import json
from pathlib import Path
from typing import Any

import pytest

from ishibumi.errors import InputError
from ishibumi.exam.figures import grade_figures
from ishibumi.exam.free_questions import read_free_questions

HERE = Path(__file__).parent
FILE = HERE.parent / "examples" / "news2024" / "free_questions_ja.jsonl"
QUESTIONS = {question.id: question for question in read_free_questions(FILE)}
SHORT = {"right": "o", "wrong": "x", "missing": "-"}


def replies() -> list[tuple[str, str, str]]:
    """(question, verdicts, reply) of every line; «# free-ja-1» says which question the lines after it answer."""
    found: list[tuple[str, str, str]] = []
    question = ""
    for line in (HERE / "free_replies.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            question = line[2:]
        else:
            expected, _, reply = line.partition(" ")
            found.append((question, expected, reply.replace("\\n", "\n")))
    return found


@pytest.mark.parametrize(("question", "expected", "reply"), replies())
def test_each_figure_of_a_reply_is_right_wrong_or_missing(question: str, expected: str, reply: str) -> None:
    graded = grade_figures(reply, QUESTIONS[question])
    assert "".join(SHORT[figure.verdict] for figure in graded) == expected
