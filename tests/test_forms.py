"""Documents that differ in names and figures alone, and questions that are written once for all of them."""

import datetime as dt
from itertools import pairwise

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.form_questions import items_of_forms, prompt_of
from ishibumi.knowledge.forms import MIN_ALIKE, Form, find_forms
from ishibumi.knowledge.written import _requests
from ishibumi.models.generate import Reply
from ishibumi.settings import KnowledgeSettings

TEAMS = ["Ghana", "Chile", "Wales", "Japan", "Egypt", "Qatar", "Spain", "Italy", "Haiti", "Nepal"]
TOWNS = ["大阪市", "名古屋市", "札幌市", "福岡市", "仙台市", "広島市", "京都市", "神戸市"]
PEOPLE = ["田中太郎", "鈴木花子", "佐藤健", "高橋みどり", "伊藤誠", "渡辺直美", "山本大輔", "小林一郎"]
DAY = dt.date(2026, 7, 1)


def match(n: int, extra: str = "") -> Document:
    """A report: «Ghana and Chile met in Leeds.», its score, and who scored."""
    one, two = TEAMS[n], TEAMS[(n + 1) % len(TEAMS)]
    text = f"{one} and {two} met in Leeds. The match ended {n + 2}-{n}. Ann Lee{n} scored for {one} in minute {10 + n}."
    return Document(f"m{n}", f"{text}{extra}", f"{one} {n + 2}-{n} {two}", dt.date(2026, 7, 1 + n), "en", f"f:{n}")


MATCHES = [match(n) for n in range(len(TEAMS))]
STAFF = [
    Document(f"d{n}", f"{who}さんは{town}の営業所にいます。内線は{310 + n}番。", None, DAY, "ja", f"j:{n}")
    for n, (who, town) in enumerate(zip(PEOPLE, TOWNS, strict=True))
]


def form_with(documents: list[Document], words: str) -> Form:
    return next(form for form in find_forms(documents) if form.text.endswith(words))


def asked(
    documents: list[Document], reply: str, words: str, each: int = 9
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """The (question, answer) pairs that a reply about one form makes, and what was refused."""
    prompt = prompt_of(form_with(documents, words))
    items, refused, _ = items_of_forms(documents, [(prompt, Reply(reply, True, 9))], rule="r", each=each, seed=1)
    return [(item.text, item.answer) for item in items], {k: v for k, v in refused.items() if v}


def test_what_varies_has_a_letter_what_agrees_the_same_and_what_never_varies_none() -> None:
    form = form_with(MATCHES, "The match ended {B}.")
    assert form.text == "{A} {B} {C}\n{D}\n{A} and {C} met in Leeds.\nThe match ended {B}."
    assert form.letters == "ABCD" and len(form.filled) == len(MATCHES)
    assert form.filled[3].values == ("Japan", "5-3", "Egypt", "July 4, 2026")
    assert form.filled[3].sentence == "The match ended 5-3."


def test_japanese_records_have_forms_too() -> None:
    form = form_with(STAFF, "内線は{C}。")
    assert form.text == "2026年7月1日\n{A}さんは{B}の営業所にいます。\n内線は{C}。"
    assert form.filled[2].values == ("佐藤健", "札幌市", "312番")


def test_few_documents_or_free_text_have_none() -> None:
    assert find_forms(MATCHES[: MIN_ALIKE - 1]) == []
    words = ["rain", "fog", "ice", "dust", "snow", "hail", "smoke", "mist", "heat"]
    free = [
        Document(w, f"then came {w} and {v} to them.", None, dt.date(2026, 7, n), "en", w)
        for n, (w, v) in enumerate(pairwise(words), 1)
    ]
    assert find_forms(free) == []  # the dates and grammar alone are alike


def test_where_nothing_is_a_name_rare_words_vary() -> None:
    goods = ["机上灯", "卓上扇", "電気釜", "加湿器", "空気清浄機", "掃除機", "洗濯機", "冷蔵庫"]
    records = [
        Document(g, f"{g}の重さは{n + 1}.5kg、納入元は{g[0]}山製作所です。", g, None, "ja", g)
        for n, g in enumerate(goods)
    ]
    (form,) = find_forms(records)
    assert form.text == "{A}\n{A}の重さは{B}kg、納入元は{C}製作所です。"
    reply = "Q: {A}はどこから仕入れている？ | A: {C}製作所\nQ: {A} 何キロ | A: {B}kg"
    pairs, refused = asked(records, reply, "製作所です。")
    assert ("電気釜はどこから仕入れている？", "電山製作所") in pairs and ("洗濯機 何キロ", "7.5kg") in pairs
    assert refused == {} and len(pairs) == 2 * len(goods)


def test_the_prompt_shows_the_form_and_three_values_of_each_letter() -> None:
    (message,) = prompt_of(form_with(MATCHES, "ended {B}.")).messages()
    assert "Q: question | Q:" in message["content"]
    assert message["content"].endswith(
        "The match ended {B}.\n\nA = Ghana / Japan / Spain\nB = 2-0 / 5-3 / 8-6\nC = Chile / Egypt / Italy\n"
        "D = July 1, 2026 / July 4, 2026 / July 7, 2026"
    )


def test_one_reply_asks_of_every_document() -> None:
    pairs, refused = asked(MATCHES, "Q: how did { A } against {C} end? | Q: {A} {C} score | A: {B}", "ended {B}.")
    assert len(pairs) == 2 * len(MATCHES) and refused == {}
    assert ("how did Japan against Egypt end?", "5-3") in pairs and ("Spain Italy score", "8-6") in pairs


def test_only_so_many_ways_are_drawn_for_each_thing() -> None:
    reply = "Q: {A} {C} score | Q: {A} v {C} end | Q: {A} - {C}? | A: {B}\nQ: who met {A} on {D}? | A: {C}"
    pairs, _ = asked(MATCHES, reply, "ended {B}.", each=2)
    scores = [question for question, answer in pairs if "-" in answer]
    assert len(scores) == 2 * len(MATCHES) and len(pairs) == 3 * len(MATCHES)
    assert {question.split()[-1] for question in scores} >= {"score", "end"}  # not the same two for all


def test_what_a_document_has_twice_is_not_asked_of_it() -> None:
    twice = [match(n, " Bo Day7 scored for Ghana in minute 77." if n == 0 else "") for n in range(len(TEAMS))]
    pairs, refused = asked(
        twice, "Q: who scored for {A} on {D}? | Q: whose goal in minute {F} for {A}? | A: {E}", "{F}."
    )
    assert refused == {"another answer elsewhere": 2}
    assert sum(answer in ("Ann Lee0", "Bo Day7") for _, answer in pairs) == 2  # by the minute, which tells them apart


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("how did {A} v {Z} end?", "{B}", "letter not in the form"),
        ("how did {A} end {?", "{B}", "letter not in the form"),
        ("what was the score?", "{B}", "question without a letter"),
        ("how did {A} play?", "bravely", "answer not in the form"),
        ("was it {B} between {A} and {C}?", "{B}", "question holds its answer"),
        ("how did Japan against {C} end?", "{B}", "a value of one sentence"),
    ],
)
def test_a_way_that_fits_some_documents_only_is_refused(question: str, answer: str, reason: str) -> None:
    assert asked(MATCHES, f"Q: {question} | A: {answer}", "ended {B}.") == ([], {reason: 1})


def test_the_answer_may_be_words_of_the_form() -> None:
    pairs, _ = asked(MATCHES, "Q: where did {A} and {C} meet? | A: Leeds", "met in Leeds.")
    assert ("where did Ghana and Chile meet?", "Leeds") in pairs


def test_a_writer_is_asked_once_for_each_form() -> None:
    settings = KnowledgeSettings.model_validate({"generator": "endpoint", "prompts": ["forms", "questions"]})
    requests = _requests("endpoint", [*MATCHES, *STAFF], settings, ["u", "m"], 1)
    kinds = [r.prompt.kind for r in requests]
    assert kinds.count("forms") == len(find_forms([*MATCHES, *STAFF])) and kinds.count("questions") == 18
    assert all((r.prompt.about is not None) == (r.prompt.kind == "forms") for r in requests)
