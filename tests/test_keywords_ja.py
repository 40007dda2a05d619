"""Questions in keywords: words of the answer's own, and a name that tells the document."""

import datetime as dt
import random

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.contexts_ja import read_story
from ishibumi.knowledge.keywords_ja import keyword_questions

MATCH = Document(
    "m",
    "カナダは5月12日、オスロでノルウェーを3―1で破った。"
    "カナダは58分に佐藤一郎、67分に鈴木次郎、82分には高橋三郎と次々に得点した。"
    "しかし90分にはヨハン・ベルグが1点を返した。",
    "カナダ、ノルウェーに快勝",
    dt.date(2031, 5, 12),
    "ja",
    "m:1",
)
STORY = read_story(MATCH)


def asked(sentence: int, count: int = 12) -> dict[str, list[str]]:
    """Answer → its questions."""
    out: dict[str, list[str]] = {}
    for question, answer in keyword_questions(STORY, STORY.sentences[sentence], random.Random(1), count):
        out.setdefault(answer, []).append(question)
    return out


@pytest.mark.parametrize(("answer", "own"), [("佐藤一郎", "58分"), ("鈴木次郎", "67分"), ("高橋三郎", "82分")])
def test_of_several_facts_each_answer_keeps_its_own_words(answer: str, own: str) -> None:
    found = asked(1)
    others = {"58分", "67分", "82分"} - {own}
    assert len(found[answer]) == len(found[own]) == 12
    assert all(own in question for question in found[answer])
    assert all(answer in question for question in found[own])
    assert not [q for q in found[answer] for other in others if other in q]


def test_every_question_names_a_side_and_asks() -> None:
    for n in range(len(STORY.sentences)):
        for answer, questions in asked(n).items():
            for question in questions:
                assert "カナダ" in question or "ノルウェー" in question, question
                assert answer not in question
                assert question.endswith(("？", "。"))


def test_the_question_word_fits_the_answer() -> None:
    found = asked(0) | asked(1)
    for answer, word in (("鈴木次郎", "誰|名前"), ("67分", "何分"), ("オスロ", "どこ"), ("3-1", "何対何|スコア")):
        assert all(any(w in question for w in word.split("|")) for question in found[answer]), (answer, found[answer])


def test_half_keep_the_order_of_the_sentence() -> None:
    in_order = [q for questions in asked(2).values() for q in questions if "を返した" in q]
    assert in_order and all("しかし" not in question for question in in_order)
