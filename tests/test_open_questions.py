"""Questions that ask for all that a document tells, and where they may not go."""

import datetime as dt
import random

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.exam.drawn import drawn_questions
from ishibumi.knowledge.generator import items_of
from ishibumi.knowledge.items import OPEN
from ishibumi.knowledge.open_questions import beginning, open_questions

MATCH = Document(
    "m",
    "カナダは5月12日、オスロでノルウェーを3―1で破った。\n67分に鈴木次郎が決勝点を挙げた。",
    "カナダ、ノルウェーに快勝",
    dt.date(2031, 5, 12),
    "ja",
    "m:1",
)
FINAL = Document(
    "e",
    "Canada beat Norway 3-1 in Oslo on 12 May. Jiro Suzuki scored the winner.",
    "Canada beat Norway",
    dt.date(2031, 5, 12),
    "en",
    "e:1",
)


@pytest.mark.parametrize("document", [MATCH, FINAL])
def test_a_document_answers_for_itself(document: Document) -> None:
    items, _ = items_of(document, views_per_document=4, wordings_per_fact=2, seed=1)
    asked = [item for item in items if item.rule == OPEN]
    assert len(asked) == 2 and len({item.text for item in asked}) == 2
    for item in asked:
        assert item.answer == document.text.replace("\n", "") and item.evidence == ""
        assert "Canada" in item.text or "カナダ" in item.text


def test_they_follow_the_number_of_views() -> None:
    items, _ = items_of(MATCH, views_per_document=0, wordings_per_fact=2, seed=1)
    assert not [item for item in items if item.rule == OPEN]


def test_a_long_text_ends_with_a_sentence() -> None:
    assert beginning("一文目です。二文目です。", 8) == "一文目です。"
    assert beginning("One is here. Two is there.", 15) == "One is here."
    assert beginning("とても長い一文", 3) == "とても"
    long = Document("l", "長い文です。" * 200, "題", None, "ja", "l:1")
    ((_, answer),) = open_questions(long, ["「題」で、"], count=3, rng=random.Random(1))
    assert len(answer) <= 500 and answer.endswith("。")


def test_the_exam_draws_none_of_them() -> None:
    items, _ = items_of(MATCH, views_per_document=8, wordings_per_fact=2, seed=1)
    drawn = drawn_questions(items, {"m": MATCH}, split="training", count=1000, seed=1)
    assert drawn and all(question.kind != OPEN for question in drawn)
