"""Replies written by hand to the published three questions: what is right, wrong and missing, figure by figure."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_the_published_questions_have_twelve_figures_of_which_the_published_model_had_seven() -> None:
    assert [question.question for question in QUESTIONS.values()] == [
        "2024年9月の自民党総裁選の決選投票の結果についてくわしく教えてください。",
        "2024年のワールドシリーズにおいて、大谷翔平はどこを怪我をしましたか？",
        "2024年の衆議院選挙の結果、自公与党の結果を教えてください。",
    ]
    figures = [figure.id for question in QUESTIONS.values() for figure in question.figures]
    assert figures == [str(number) for number in range(1, 13)]
    right = [figure for question in QUESTIONS.values() for figure in question.published_reply.right]
    assert right == ["1", "2", "5", "6", "7", "8", "9"]


def test_a_reply_to_another_question_gets_nothing() -> None:
    elsewhere = [(QUESTIONS[other], reply) for own, _, reply in replies() for other in QUESTIONS if other != own]
    graded = [(reply, f) for question, reply in elsewhere for f in grade_figures(reply, question)]
    # The day of the leadership vote could be read in «27日», a day of the World Series.
    assert [(reply, f) for reply, f in graded if f.verdict == "right" and f.id != "2"] == []


FRAGMENTS = """石破 高市氏 自公 自民党 公明党 国民民主党 社民党 が は を の 、 。 （ ） 【 】 215 194票 28議席 7 計 対 -
合わせて から 4倍 増 減 維持 第1回 決選投票 敗れ 勝利 第2戦 左肩 亜脱臼 27日 9月27日 過半数 小選挙区は のは 1/2 九 ±0"""


@given(st.lists(st.sampled_from([*FRAGMENTS.split(), "\n", " "]), max_size=40).map("".join))
def test_no_reply_is_too_strange_to_grade(reply: str) -> None:
    for question in QUESTIONS.values():
        graded = grade_figures(reply, question)
        assert [g.id for g in graded] == [figure.id for figure in question.figures]
        assert graded == grade_figures(reply, question)


def test_the_same_reply_gets_the_same_grades_in_other_writings() -> None:
    reply = "石破茂氏が215票、高市早苗氏が194票で、石破茂氏が勝利した。"
    wide = reply.replace("215", "２１５").replace("194", "一九四")
    assert grade_figures(reply, QUESTIONS["free-ja-1"]) == grade_figures(wide, QUESTIONS["free-ja-1"])


def changed(tmp_path: Path, **fields: Any) -> Path:
    """The first published question with other fields, in a file of its own."""
    row = json.loads(FILE.read_text(encoding="utf-8").splitlines()[0]) | fields
    path = tmp_path / "free.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


NUMBER = {"name": "石破", "unit": "票", "value": 215}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": None}, "free.jsonl:1: not a free question, question: Input should be a valid string."),
        ({"qeustion": "?"}, "qeustion: Extra inputs are not permitted"),
        ({"figures": []}, "figures: Tuple should have at least 1 item"),
        ({"figures": [{"id": "1", "ja": "", "en": "", "claims": []}]}, "claims: Tuple should have at least 1 item"),
        ({"figures": [{"id": "1", "ja": "", "en": "", "claims": [NUMBER | {"name": "河野"}]}]}, '"河野" is not one of'),
        (
            {"figures": [{"id": "1", "ja": "", "en": "", "claims": [NUMBER | {"scope": "3回目"}]}]},
            "第1回投票",
        ),
        ({"figures": [{"id": "1", "ja": "", "en": "", "claims": [NUMBER]}] * 2}, 'the id "1" is used twice'),
        ({"id": "1"}, 'the id "1" is used twice'),
    ],
)
def test_a_row_that_is_no_free_question_is_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_free_questions(changed(tmp_path, **fields))
    assert message in caught.value.message and "free_questions_ja.jsonl" in caught.value.hint


def test_a_file_may_have_a_mark_blank_lines_and_other_line_ends_in_its_texts(tmp_path: Path) -> None:
    path = changed(tmp_path, question="一行目\u2028二行目？")
    path.write_text("\ufeff\n" + path.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    assert read_free_questions(path)[0].question == "一行目\u2028二行目？"


def test_a_missing_file_of_free_questions_names_those_beside_it(tmp_path: Path) -> None:
    changed(tmp_path)
    with pytest.raises(InputError, match=r"No file .*other\.jsonl\. JSON lines files beside it: free\.jsonl\."):
        read_free_questions(tmp_path / "other.jsonl")
    (tmp_path / "other.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.jsonl:1: not a free question, the line: Invalid JSON"):
        read_free_questions(tmp_path / "other.jsonl")
