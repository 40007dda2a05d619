"""Free questions are asked, graded figure by figure, counted and shown."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from ishibumi.exam.evaluate import Answer
from ishibumi.exam.free import answer_freely, count_figures, known_figures, load_free_answers
from ishibumi.exam.free_questions import FreeQuestion
from ishibumi.exam.report import ReportData, render_report
from ishibumi.models.generate import Reply

QUESTION = FreeQuestion.model_validate({
    "id": "f1",
    "language": "ja",
    "question": "議席の結果を教えてください。",
    "names": {"青葉党": ["青葉党"], "若草党": ["若草党"], "白樺党": ["白樺党"]},
    "figures": [
        {"id": "1", "ja": "12", "en": "12", "claims": [{"name": "青葉党", "unit": "議席", "value": 12}]},
        {
            "id": "2",
            "ja": "30",
            "en": "30",
            "claims": [{"name": "若草党", "unit": "議席", "value": 30}],
            "asked": ["q2", "q9"],
        },
        {
            "id": "3",
            "ja": "5",
            "en": "5",
            "claims": [{"name": "白樺党", "unit": "議席", "value": 5}],
            "asked": ["q3", "q4"],
        },
    ],
    "published_reply": {"ja": "青葉党だけ正しかった。", "en": "Only the first was right.", "right": ["1"]},
})  # fmt: skip


def test_a_free_reply_is_graded_counted_and_shown(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Reply("【<b>題】青葉党は12議席、若草党は31議席だった。", True, 20, -0.1)
    monkeypatch.setattr("ishibumi.exam.free.generate_replies", lambda *_, **__: [said])
    answer_freely(tiny.load(model_dir("llama")), [QUESTION], tmp_path)
    (answer,) = load_free_answers(tmp_path)
    assert (answer.cited, answer.reply) == ("<b>題", "青葉党は12議席、若草党は31議席だった。")
    assert [(name, verdict, published) for name, _, _, verdict, published in answer.figures] == [
        ("1", "right", True),
        ("2", "wrong", False),
        ("3", "missing", False),
    ]
    counts = {"figures": 3, "right": 1, "wrong": 1, "published_right": 1}
    assert count_figures([answer]) == {**counts, "asked_alone": 0, "asked_alone_right": 0}
    exam = [
        Answer(i, "d", arm, "", True, False, is_right, 1, False)
        for i, arm, is_right in (
            ("q2", "engraved", True),  # q9 was not asked, so figure 2 does not count
            ("q3", "engraved", True),
            ("q4", "base", True),
            ("q4", "engraved", False),
        )
    ]
    assert known_figures([answer], exam) == {"3": False}
    exam[-1] = replace(exam[-1], contains=True)
    assert count_figures([answer], exam) == {**counts, "asked_alone": 1, "asked_alone_right": 1}
    data = ReportData(title="t", language="ja", created="", model="m", recipe="mixed", documents=[], free=[answer])
    page = render_report(data)
    assert "青葉党は12議席、若草党は31議席だった。" in page and "&lt;b&gt;題" in page
    assert "3項目のうち1項目が正解" in page and "個別に尋ねると" not in page
    assert "1つずつ尋ねると、1項目のうち1項目が正解" in render_report(replace(data, answers=exam))


def test_a_model_really_answers(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    answer_freely(tiny.load(model_dir("llama")), [QUESTION], tmp_path)
    row = json.loads((tmp_path / "free_answers.jsonl").read_text(encoding="utf-8"))
    assert len(row["figures"]) == 3 and row["question"] == QUESTION.question


def test_without_free_questions_there_is_nothing(tmp_path: Path) -> None:
    assert load_free_answers(tmp_path) == []
