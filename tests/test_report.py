"""The report page: one file, no network, both languages, nothing of a reply is ever run."""

import ast
import base64
import dataclasses
import datetime as dt
import hashlib
import math
import re
import string
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ishibumi
from ishibumi.corpus.documents import Document
from ishibumi.exam.evaluate import Answer
from ishibumi.exam.forgetting import Perplexity
from ishibumi.exam.questions import Question
from ishibumi.exam.report import (
    ARMS,
    ReportData,
    label,
    percent,
    percent_fine,
    proof_groups,
    rate,
    render_report,
)
from ishibumi.exam.report_charts import loss_curve, nice_range, smoothed
from ishibumi.exam.report_text import TEXT
from ishibumi.exam.summary import SPLIT_ORDER, summarise
from ishibumi.exam.tables import exam_tables
from ishibumi.knowledge.written import UNREADABLE

ATTACK = "</td><script>alert(1)</script><img src=http://example.com/x.png>\"' onerror=alert(2)"
VOID = {"meta", "col", "input", "br", "rect", "path", "line", "polyline"}


def documents() -> list[Document]:
    return [
        Document("d1", "本文", "スペイン優勝", dt.date(2026, 7, 19), "ja", "a:1"),
        Document("d2", "Body", None, None, "en", "a:2"),
        Document("d3", "本文", ATTACK, None, "ja", "a:3"),
    ]


def full_data(engraved: tuple[bool, bool] = (True, True)) -> ReportData:
    questions = [
        Question("q1", "d1", "ja", "スコアは？", "2-0", (), "score"),
        Question("q2", "d2", "en", "Who?", "Spain", (), "a kind of one's own"),
    ]
    right = {"base": (False, False), "engraved": engraved, "retrieval": (True, False)}
    answers = [
        Answer(q.id, q.document_id, arm, q.answer if good else ATTACK, True, good, good, 5, False)
        for arm, grades in right.items()
        for q, good in zip(questions, grades, strict=True)
    ]
    rows = [
        {
            "step": i + 1,
            "tokens": 100 * (i + 1),
            "epoch": i // 5,
            "loss": 3.0 - 0.2 * i,
            "learning_rate": 5e-4,
            "seconds": 1,
        }
        for i in range(10)
    ]
    proof = [
        {"name": f"model.layers.{i}.mlp.up_proj", "kind": "lora", "parameters": 50, "learning_rate": 5e-4, "moved": m}
        for i, m in enumerate((0.01, 0.03, 0.02))
    ]
    return ReportData(
        title="run <1>", language="ja", created="2026-11-22", model="tiny", recipe="mixed", documents=documents(),
        questions=questions, answers=answers, arms=summarise(answers, questions, {"q1": True, "q2": False}),
        history={"cpt": rows}, epoch_steps={"cpt": [5, 10]},
        perplexities={
            "before": {"ja": Perplexity(20.0, 10, 1, 0), "en": Perplexity(20.0, 10, 1, 0)},
            "after": {"ja": Perplexity(22.0, 10, 1, 0), "en": Perplexity(20.0, 10, 1, 0)},
        },
        proof={"cpt": proof}, written={"model:timeline": [2, 7]},
        refused={"duplicate": 3, ATTACK: 4}, settings=[("seed", "1", "default"), ("recipe", ATTACK, "file")],
        versions={"torch": "2.13"}, seconds={"cpt": 3725.0}, notes=[(ATTACK, ATTACK), ("2 left out", "2件除外")],
    )  # fmt: skip


def with_gain(mean: float, low: float, high: float) -> ReportData:
    """The full data with another difference between the engraved model and the base."""
    data = full_data()
    engraved = {**data.arms["engraved"]}
    engraved["differences"] = {**engraved["differences"], "base": {"mean": mean, "low": low, "high": high}}
    return dataclasses.replace(data, arms={**data.arms, "engraved": engraved})


class Outline(HTMLParser):
    """The tags of a page; raises where one is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_in(page: str, language: str) -> str:
    """What the page says in one language, without tags."""
    spans = re.findall(rf'<span class="{language}" lang="{language}">(.*?)</span>', page)
    return "\n".join(re.sub(r"<[^>]+>", "", span) for span in spans)


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    page = render_report(full_data())
    outline = Outline(page)
    assert outline.open == []
    loading = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"}
    assert [(tag, attrs) for tag, attrs in outline.seen if loading & set(attrs)] == []
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert style and not re.search(r"url\(|@import", style[1])
    assert script and not re.search(r"https?:|fetch|import|XMLHttp", script[1])
    assert {tag for tag, _ in outline.seen} & {"link", "iframe", "img", "object", "embed"} == set()


def test_only_the_script_of_the_page_may_run() -> None:
    page = render_report(full_data())
    assert page.count("<script") == 1
    assert "<script>alert" not in page and "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page or f"script-src 'sha256-{digest}'" in page
    assert [attrs for _, attrs in Outline(page).seen if any(name.startswith("on") for name in attrs)] == []


def test_the_page_speaks_both_languages_and_opens_in_the_wanted_one() -> None:
    page = render_report(full_data())
    assert '<html lang="ja" data-language="ja">' in page
    assert "学習後のモデルは、試験の100%に記憶だけで正答しました。学習前は0%でした。" in text_in(page, "ja")
    assert "the model answers 100% of the exam correctly from memory; before, 0%." in text_in(page, "en")
    assert "継続事前学習" in text_in(page, "ja") and "Continued pretraining" in text_in(page, "en")
    assert "1 時間 2 分" in text_in(page, "ja") and "1 h 2 min" in text_in(page, "en")
    english = render_report(dataclasses.replace(full_data(), language="en"))
    assert '<html lang="en" data-language="en">' in english


def test_both_languages_have_the_same_blanks() -> None:
    def blanks(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert {key for key, (english, japanese) in TEXT.items() if blanks(english) != blanks(japanese)} == set()


def test_the_verdict_is_plain_about_failure_and_damage() -> None:
    good = text_in(render_report(with_gain(0.3, 0.2, 0.4)), "en")
    assert "Training added 30 points [20 to 40]" in good
    assert "Training made the answers worse by 30 points [20 to 40]" in text_in(
        render_report(with_gain(-0.3, -0.4, -0.2)), "en"
    )
    # Two questions of two are no proof.
    assert "The change of 100 points [-68 to 100] is within what chance" in text_in(render_report(full_data()), "en")
    assert "General text has become clearly harder for it (perplexity × 1.22 at most)" in good
    assert "Searching the documents instead (base model with BM25) answers 50%" in good
    assert "the difference of 50 points [0 to 100] is within what chance explains" in good
    bad = text_in(render_report(full_data(engraved=(False, False))), "en")
    assert "within what chance explains: no learning was shown" in bad


def splits_data(**grades: tuple[bool, bool, bool]) -> ReportData:
    """An exam of a held-out, an unanswerable and a training question."""
    splits = ("held_out", "unanswerable", "training")
    questions = [
        Question(f"q{i}", "d1", "ja", f"{split}の問い？", "2-0", (), "score", split) for i, split in enumerate(splits)
    ]
    answers = [
        Answer(q.id, "d1", arm, "x", True, right, right, 5, False, "", False, right and i == 1, -0.1 - i / 10)
        for arm, of_arm in grades.items()
        for i, (q, right) in enumerate(zip(questions, of_arm, strict=True))
        if i != 2 or arm in ("base", "engraved")
    ]
    arms = summarise(answers, questions, {"q0": True, "q1": True, "q2": True})
    return dataclasses.replace(full_data(), questions=questions, answers=answers, arms=arms)


def test_splits_and_honesty_have_tables_and_plain_words() -> None:
    page = render_report(
        splits_data(base=(False, False, False), engraved=(True, False, True), engraved_retrieval=(True, True, False))
    )
    assert Outline(page).open == []
    english = text_in(page, "en")
    assert "Training's own questions, word for word: 100%; the exam: 100%." in english
    assert "says that it does not know in 0%; where there is an answer it refuses in 0%." in english
    assert "Engraved model, searching" in english and "right form, but there is no answer" in english
    rows = re.search(r'<section id="splits">.*?</section>', page, re.DOTALL)
    assert rows
    cells = [re.sub(r"<[^>]+>", "", row) for row in re.findall(r"<td.*?</td>", rows[0])]
    # Rows: held out, unanswerable, training; columns: engraved, base, engraved with retrieval, questions.
    assert cells == [
        *("100% [2–100]", "0%", "100%", "1"), *("0% [0–98]", "0%", "100%", "1"),
        *("100% [2–100]", "0%", "–", "1"),
    ]  # fmt: skip
    honesty = re.search(r'<section id="honesty">.*?</section>', page, re.DOTALL)
    assert honesty and honesty[0].count("<tr") == 4 and "100%" in honesty[0]
    # The training question is shown with its tag, but is no square of what was learned.
    assert page.count('class="tag"') == 2 and "1 of 2" in english


def measured_data() -> ReportData:
    """40 answerable questions, of which the engraved model has those right that it is surer of."""
    questions = [Question(f"q{i}", "d1", "ja", "問い？", "2-0", (), "score") for i in range(40)]
    answers = [
        Answer(q.id, "d1", "engraved", "x", True, i >= 10, i >= 10, 5, False, mean_logprob=math.log((i + 50) / 100))
        for i, q in enumerate(questions)
    ]
    arms = summarise(answers, questions, {q.id: True for q in questions})
    return dataclasses.replace(full_data(), questions=questions, answers=answers, arms=arms)


def test_what_withholding_the_least_sure_would_do_has_a_table() -> None:
    data = measured_data()
    page = render_report(data)
    assert Outline(page).open == []
    table = re.search(r'<table id="withheld">.*?</table>', page, re.DOTALL)
    assert table and "If the engraved model's least sure replies were withheld" in text_in(page, "en")
    # 3 %, 10 % and 20 % of 30 right replies are 0, 3 and 6; all wrong ones are less sure than every right one.
    rows = [["60.0%", "0%", "100%", "–"], ["63.0%", "10%", "100%", "–"], ["66.0%", "20%", "100%", "–"]]
    assert [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", table[0])] == [
        cell for row in rows for cell in row
    ]
    title, header, told = exam_tables(data.arms, "ja")[-1]
    assert (title, header[0]) == ("確信の低い返答を控えるとしたら", "控える確信度（未満）")
    assert told == [[cell.replace("%", " %").replace("–", "-") for cell in row] for row in rows]


def test_a_summary_from_before_there_was_withholding_is_shown_without_it() -> None:
    arms = {arm: {**row, "honesty": {**row["honesty"]}} for arm, row in measured_data().arms.items()}
    del arms["engraved"]["honesty"]["withheld"], arms["engraved"]["honesty"]["calibration"]
    assert [title for title, *_ in exam_tables(arms, "en")][-1] == "Does it know what it does not know?"
    assert 'id="withheld"' not in render_report(dataclasses.replace(full_data(), arms=arms))


def test_what_the_base_knew_is_told_and_taken_off() -> None:
    data = full_data()
    answers = [
        dataclasses.replace(a, contains=True) if (a.arm, a.question_id) == ("base", "q1") else a for a in data.answers
    ]
    arms = summarise(answers, data.questions, {"q1": True, "q2": False})
    english = text_in(render_report(dataclasses.replace(data, answers=answers, arms=arms)), "en")
    assert (
        "The untouched base model already had 1 of 2 right; without those the engraved model answers 100%." in english
    )
    assert "Without those the base knew" in english
    assert "Without those the base knew" not in text_in(render_report(data), "en")


def test_an_exam_of_generated_questions_is_told_to_flatter() -> None:
    data = full_data()
    questions = [dataclasses.replace(q, split="generated") for q in data.questions]
    arms = summarise(data.answers, questions, {"q1": True, "q2": False})
    page = render_report(dataclasses.replace(data, questions=questions, arms=arms))
    assert "the figure flatters" in text_in(page, "en") and "実際より高く出ます" in text_in(page, "ja")
    assert "the figure flatters" not in text_in(render_report(data), "en")


def test_every_split_and_arm_has_its_words() -> None:
    names = {f"split_{split}{end}" for split in SPLIT_ORDER for end in ("", "_is")}
    names |= {f"{head}_{arm}" for head in ("arm", "short") for arm in ARMS} | {f"arm_{arm}_is" for arm in ARMS}
    assert names <= set(TEXT)


def texts_of(expression: ast.AST | None) -> set[str]:
    """The texts that an expression may be, or that it has as keys or entries."""
    match expression:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=one, orelse=other):
            return texts_of(one) | texts_of(other)
        case ast.JoinedStr(values=parts) | ast.Dict(keys=parts) | ast.List(elts=parts):
            return {text for part in parts for text in texts_of(part)}
        case _:
            return set()


def reasons_in_the_code() -> set[str]:
    """Why texts are refused: what functions `_fault…` of the code return, and what it counts in `refused`."""
    package, found = Path(ishibumi.__file__).parent, {UNREADABLE}
    for path in (*package.glob("knowledge/*.py"), package / "knowledge_stage.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_fault"):
                found |= {t for part in ast.walk(node) if isinstance(part, ast.Return) for t in texts_of(part.value)}
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
                found |= texts_of(node.value)
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("refused"):
                found |= texts_of(node.slice)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Counter":
                found |= {text for argument in node.args for text in texts_of(argument)}
    return {text.partition(": ")[0] for text in found if text}


def test_every_reason_for_leaving_a_text_out_has_its_words_and_every_word_its_reason() -> None:
    worded = {key.removeprefix("refused_") for key in TEXT if key.startswith("refused_")}
    assert reasons_in_the_code() == worded - {"unanswerable", "answerable"}  # these two are the honesty table's


def test_what_a_server_said_stands_after_the_words_for_it() -> None:
    japanese = label("refused", "no reply from the endpoint: HTTP <500>").partition('lang="ja">')[2]
    assert japanese == "サーバーからの返答がない</span>: HTTP &lt;500&gt;"
    assert label("kind", "<b>") == "&lt;b&gt;" and label("kind", "a: b") == "a: b"


def test_the_tables_of_the_terminal() -> None:
    data = splits_data(base=(False, False, False), engraved=(True, False, True), retrieval=(False, True, False))
    shares, by_split, differences, honesty = exam_tables(data.arms, "en")
    assert shares[1][1:4] == ["Names the answer", "asked about in training", "only in a document"]
    assert shares[2][1] == ["engraved", "100 % (2-100)", "100 %", "-", "100 %", "100 %", "1"]
    assert by_split == (
        "However it is asked",
        ["Condition", "Other wording (1)", "Unanswerable (1)", "Training wording (1)"],
        [
            ["base, few-shot", "0 %", "0 %", "0 %"],
            ["engraved", "100 %", "0 %", "100 %"],
            ["base, BM25 retrieval", "0 %", "100 %", "-"],
        ],
    )
    assert differences[2] == [
        ["engraved − base, few-shot", "+100", "-95", "+100"],
        ["engraved − base, BM25 retrieval", "+100", "-95", "+100"],
    ]
    assert [row[1:4] for row in honesty[2]] == [["0 %", "0 %", "-"], ["0 %", "0 %", "100 %"], ["100 %", "0 %", "0 %"]]
    japanese = exam_tables(data.arms, "ja")
    assert [len(table[2]) for table in japanese] == [3, 3, 2, 3] and japanese[2][0] == "同じ問題での差"
    # Answers of before: no confidence, no splits.
    titles = [title for title, *_ in exam_tables(full_data().arms, "en")]
    assert titles == ["Who answers how much", "Difference on the same questions"] and exam_tables({}, "en") == []


def test_every_document_tells_what_was_learned() -> None:
    page = render_report(full_data(engraved=(True, False)))
    assert "1 of 1" in text_in(page, "en") and "0 of 1" in text_in(page, "en")
    assert page.count('data-right="yes"') == 1 and page.count('data-right="no"') == 1
    assert "Documents without a question in the exam: 1." in text_in(page, "en")
    assert "a kind of one&#39;s own" in page


def test_what_was_made_and_refused_is_told() -> None:
    page = render_report(full_data())
    assert "model:timeline" in page and "2 of 7" in text_in(page, "en") and "2 / 7" in text_in(page, "ja")
    section = page[page.index('id="made"') :]
    assert section.index("&lt;script") < section.index("重複")  # the most frequent reason first
    assert '<td class="n">3</td>' in section


def test_a_run_without_exam_or_training_has_a_page_too() -> None:
    data = ReportData("t", "en", "2026-11-22", "tiny", "mixed", documents())
    page = render_report(data)
    assert Outline(page).open == []
    assert "Training is done; no exam was held." in text_in(page, "en")
    assert "Forgetting was not measured" in text_in(page, "en")
    assert "<section" not in page


def test_matrices_are_grouped_over_layers() -> None:
    (group,) = proof_groups(full_data().proof["cpt"])
    assert (group.name, group.count, group.parameters) == ("model.layers.*.mlp.up_proj", 3, 150)
    assert group.moved == (0.01, 0.02, 0.03)


def test_a_curve_marks_where_epochs_end() -> None:
    curve = loss_curve("cpt", full_data().history["cpt"], [5, 10])
    assert [(round(mark.percent, 1), mark.label) for mark in curve.epochs] == [(44.4, "1"), (100.0, "2")]
    assert [tick.label for tick in curve.y_ticks] == ["0", "1", "2", "3"]
    assert curve.raw.startswith("0.0,0.00 111.1,6.67 ") and curve.raw.endswith(" 1000.0,60.00")
    assert (curve.num_steps, curve.num_tokens, curve.peak_rate) == (10, 1000, 5e-4)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 5000])
def test_a_curve_of_any_length_stays_in_its_frame(num_steps: int) -> None:
    rows = [{"loss": 2.0 + (i % 7) / 10, "learning_rate": 1e-4, "tokens": i} for i in range(num_steps)]
    curve = loss_curve("sft", rows, [num_steps])
    points = [tuple(map(float, point.split(","))) for point in (curve.raw + " " + curve.smooth).split()]
    assert all(0 <= x <= 1000 and 0 <= y <= 100 for x, y in points)
    assert len(curve.raw.split()) <= 802


def test_a_curve_shows_how_many_questions_were_known() -> None:
    rows = [{"loss": 2.0, "learning_rate": 1e-4, "tokens": i, "known": k} for i, k in enumerate([None, 0.0, 0.25, 1.0])]
    curve = loss_curve("cpt", rows, [4])
    assert curve.known == "0.0,100.00 333.3,100.00 666.7,75.00 1000.0,0.00" and curve.last_known == 1.0
    assert loss_curve("cpt", rows[:1], [1]).known == ""


def test_smoothing_looks_back_only() -> None:
    assert smoothed([4, 4, 1, 1], 2) == [4, 4, 2.5, 1]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 3.1, [0, 1, 2, 3, 4]),
        (0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 12, [0, 5, 10, 15]),
        (0.97, 1.13, [0.95, 1.0, 1.05, 1.1, 1.15]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_range(low, high) == pytest.approx(ticks)
    assert nice_range(low, low)[0] <= low


def test_figures_are_written_as_people_write_them() -> None:
    assert [percent(x) for x in (0, 0.004, 0.634, 0.996, 1)] == ["0%", "0.4%", "63%", "99.6%", "100%"]
    assert [rate(x) for x in (5e-4, 3e-5, 2.5e-4, 0.01, 0)] == ["5e-4", "3e-5", "2.5e-4", "0.01", "0"]
    assert [percent_fine(x) for x in (0.03, 0.00041, 0.123)] == ["3.0%", "0.041%", "12%"]


def test_the_quoted_sentence_stands_under_the_reply_and_is_escaped() -> None:
    document = Document("d1", "本文。", "題", None, "ja", "d1:1")
    question = Question("q1", "d1", "ja", "スコアは？", "2-0", (), "score")
    said = "決勝は<b>2対0</b>だった。"
    answer = Answer("q1", "d1", "engraved", "2-0", True, True, True, 5, False, "題", True, quoted=said)
    arms = summarise([answer], [question], {"q1": True})
    data = ReportData(
        title="t", language="ja", created="", model="m", recipe="mixed", documents=[document],
        questions=[question], answers=[answer], arms=arms,
    )  # fmt: skip
    assert "«決勝は&lt;b&gt;2対0&lt;/b&gt;だった。»" in render_report(data)
