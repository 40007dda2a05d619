"""Replies of writing models are read whatever stands around them; what cannot be read is nothing, not an error."""

import datetime as dt
from typing import get_args

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import check_items
from ishibumi.knowledge.form_questions import _ways
from ishibumi.knowledge.forms import Filled, Form
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.prompts import REPLY_FORMS, prompt_for, wording
from ishibumi.knowledge.reply_lines import read_facts, read_questions, read_text
from ishibumi.models.generate import Reply
from ishibumi.settings import PromptKind

WHO, WHEN = ("Who won?", "Spain"), ("When was it?", "July 19")


@pytest.mark.parametrize(
    "reply",
    [
        "Q: Who won? | A: Spain\nQ: When was it? | A: July 19",
        "Here are the questions:\n\n1. **Q:** Who won? | **A:** Spain.\n"
        "2. **Q:** When was it? | **A:** “July 19”\n\nI hope this helps!",
        "Q: Who won?\nA: Spain\n\nQ: When was it?\nA: July 19",
        "| Q: Who won? | A: Spain |\n|---|---|\n| Q: When was it? | A: July 19 |",
        "- Question 1: Who won? Answer 1: Spain\n- Question 2: When was it? Answer 2: July 19",
        "（１）Q：Who won?｜A：Spain\n（２）Q：When was it?｜A：July 19",
        "```\n質問: Who won?｜答え: 「Spain」\n質問： When was it?｜回答： July 19。\n```",
        "<think>Q: No? | A: none</think>\n① Q: Who won? | A: Spain\n② Q: When was it? | A: July 19",
    ],
)  # fmt: skip
def test_questions_are_found_in_messy_replies(reply: str) -> None:
    assert read_questions(reply, stopped=True) == [WHO, WHEN]


@pytest.mark.parametrize(
    "again",
    ["Q: The same question in other words:", "The same question in other words:", "同じことを別の言葉で問う質問："],
)
def test_the_form_that_a_small_model_copies_is_no_part_of_the_question(again: str) -> None:
    assert read_questions(f"Q: Who won? | {again} Which side won? | A: Spain", stopped=True) == [
        WHO,
        ("Which side won?", "Spain"),
    ]


def test_every_wording_of_a_question_gets_the_answer() -> None:
    reply = "Q: 勝者は？ | Q: 勝ったのはどこ？ | 優勝国は？ | A: スペイン"
    assert read_questions(reply, stopped=True) == [
        (q, "スペイン") for q in ("勝者は？", "勝ったのはどこ？", "優勝国は？")
    ]


def test_a_question_without_an_answer_does_not_get_the_next_one() -> None:
    assert read_questions("Q: Who won? |\nQ: When was it? | A: July 19", stopped=True) == [WHEN]
    assert read_questions("Q: Who won?\nSome remark.\nA: Spain", stopped=True) == []
    assert read_questions("Q: Who won? | A:\nA: Spain", stopped=True) == []


@pytest.mark.parametrize(
    "reply", ["", "\n \n", "I cannot help with that.", "|||", "A: Spain", "Q:", "<think>Q: a | A: b", "：｜："]
)
def test_what_cannot_be_read_is_nothing(reply: str) -> None:
    assert read_questions(reply, stopped=True) == []
    assert read_facts(reply, stopped=True) == []
    assert read_questions(reply, stopped=False) == read_facts(reply, stopped=False) == []
    assert isinstance(read_text(reply, stopped=False), str)


def test_answers_lose_quotes_and_the_full_stop_but_not_the_points_of_an_abbreviation() -> None:
    reply = "Q: a? | A: 'U.S.'\nQ: b? | A: Spain.\nQ: c? | A: 「碑」。\nQ: d? | A: 2.4 million\nQ: e? | A: 「碑」の町"
    assert [answer for _, answer in read_questions(reply, stopped=True)] == [
        "U.S.",
        "Spain",
        "碑",
        "2.4 million",
        "「碑」の町",
    ]


def test_facts_are_lists_of_wordings() -> None:
    reply = "Sure:\n1) F: A won. | The winner was A. | A came first.\n* Fact 2: B lost.\n"
    reply += "B lost it. ｜ It was lost by B.\nThat is all."
    assert read_facts(reply, stopped=True) == [
        ["A won.", "The winner was A.", "A came first."],
        ["B lost."],
        ["B lost it.", "It was lost by B."],
    ]
    assert read_facts(reply, stopped=False)[-1] == ["B lost it.", "It was lost by B."]


def test_a_text_loses_what_stands_around_it() -> None:
    reply = "Sure! Here is the timeline:\n\n# Timeline\n- **1988**: the Gannet\n- 12:30: the Petrel\n\nLet me know."
    assert read_text(reply, stopped=True) == "Timeline\n1988: the Gannet\n12:30: the Petrel"
    japanese = "以下が要約です。\n・スペインが勝った。\n・会場は東京。\n以上です。"
    assert read_text(japanese, stopped=True) == "スペインが勝った。\n会場は東京。"
    assert read_text("60: seats\n14 months: repairs", stopped=True) == "60: seats\n14 months: repairs"
    assert read_text("3. Mai: a game\n10) goals", stopped=True) == "Mai: a game\ngoals"


def test_a_text_that_was_cut_off_ends_with_its_last_whole_sentence() -> None:
    assert (
        read_text("It cost 2.4 million. The town paid. And th", stopped=False) == "It cost 2.4 million. The town paid."
    )
    assert read_text("町が払った。そして図", stopped=False) == "町が払った。"
    assert read_text("one line\nanother li", stopped=False) == "one line"
    assert read_text("no end at all", stopped=False) == ""
    assert read_questions("Q: Who won? | A: Spain\nQ: When was it? | A: Ju", stopped=False) == [WHO]


@pytest.mark.parametrize("kind", get_args(PromptKind))
@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_worked_examples_are_as_the_prompt_asks_and_pass_the_checks(language: str, kind: str) -> None:
    shown = wording(language)
    texts = shown[kind].get("texts", shown["texts"])
    for text, reply in zip(texts, shown[kind]["replies"], strict=True):
        form = REPLY_FORMS.get(kind, "text")
        if kind == "forms":
            text, _, values = text.partition("\n\n")
            columns = [line[4:].split(" / ") for line in values.splitlines()]
            filled = [Filled("d", values, text) for values in zip(*columns, strict=True)]
            ways, faults = _ways(Form(language, text.strip(), tuple(filled)), Reply(reply, True, 9))
            assert len(ways) == 3 and sum(map(len, ways.values())) == reply.count("Q:") >= 9 and not faults
            continue
        if form == "questions":
            pairs = read_questions(reply, stopped=True)
            assert len(pairs) == reply.count("Q:") and reply.count("A:") == (1 if kind == "overview" else 2)
            num_answers = len({answer for _, answer in pairs})
            assert num_answers == (1 if kind in ("overview", "unknown") else 2)
            assert kind == "overview" or all(len(answer.split()) <= 6 for _, answer in pairs)
            items = [Item("d", "question", f"model:{kind}", question, answer) for question, answer in pairs]
        elif form == "facts":
            facts = read_facts(reply, stopped=True)
            assert [len(wordings) for wordings in facts] == [3, 3]
            items = [Item("d", "view", "model:facts", wording) for wordings in facts for wording in wordings]
        else:
            assert read_text(reply, stopped=True) == reply
            items = [Item("d", "view", f"model:{kind}", reply)]
        kept, refused = check_items(items, source=text, language=language)
        assert (kept, dict(refused)) == (items, {})


def test_a_prompt_shows_the_document_once_for_chat_and_after_two_others_for_examples() -> None:
    document = Document("a", "本文です。", "見出し", dt.date(2026, 7, 19), "ja", "f:1")
    prompt = prompt_for(document, "timeline")
    (message,) = prompt.messages()
    assert message["role"] == "user" and message["content"].endswith("\n\n### 文章\n見出し\n2026年7月19日\n本文です。")
    shown = prompt.with_examples()
    assert shown.count("### 文章\n") == shown.count("### 解答\n") == 3
    assert shown.endswith(f"### 文章\n{prompt.text}\n\n### 課題\n{prompt.task}\n\n### 解答\n")
    english = prompt_for(Document("b", "Body.", None, None, "en", "f:2"), "questions")
    assert english.messages()[0]["content"].endswith("\n\n### Text\nBody.")


@pytest.mark.parametrize(
    ("language", "kind", "text", "answer", "reason"),
    [
        ("ja", "view", "西班牙在决赛中获胜。", "", "another language"),
        ("ja", "question", "谁在决赛中获胜？", "スペイン", "another language"),
        ("ja", "view", "Spain won the final.", "", "another language"),
        ("en", "view", "スペインが勝った。", "", "another language"),
        ("ja", "view", "スペインが3点を取った。", "", "figure not in the document"),
        ("ja", "view", "スペインが11対2で勝った。", "", "figure not in the document"),
        ("ja", "view", "相手は0-2で敗れた。", "", ""),
        ("ja", "view", "ニコ・ロペスが得点し、スペインが勝った。", "", "name not in the document"),
        ("ja", "view", "アン・スペインの11人。", "", ""),
        ("en", "view", "It was won by Spaniards, not by Ghana.", "", "name not in the document"),
        ("en", "view", "Goals were what the Spanish team won with, and Ann Lee scored.", "", ""),
        ("ja", "view", "スペインが勝った。" * 5, "", "repeats itself"),
        ("ja", "view", "".join(f"スペインが{'と'*n}勝った。" for n in range(60)), "", "long text"),
        ("ja", "question", "勝ったのはどこですか？", "ポルトガル", "answer not in the document"),
        ("ja", "question", "得点は何点でしたか？", "1点", "answer not in the document"),
        ("ja", "question", "勝ったのはどこですか？", "はい", "answer not in the document"),
        ("en", "question", "Who scored?", "Ann Reyes", "answer not in the document"),
        ("en", "question", "Who won?", "the team of Spain", ""),
        ("en", "question", "How many goals were there?", "two goals", ""),
        ("ja", "question", "勝ったのはどこですか？", "「スペイン」", ""),
        ("ja", "question", "決勝 監督", "アン監督", ""),
    ],
)  # fmt: skip
def test_written_items_are_refused_with_their_reason(
    language: str, kind: str, text: str, answer: str, reason: str
) -> None:
    source = {
        "ja": "スペインのアン監督が決勝で2―0で勝った。11人で戦った。",
        "en": "The Spain team won with 2 goals; Ann Lee scored.",
    }[language]
    item = Item("d", "view" if kind == "view" else "question", f"model:{kind}", text, answer)
    kept, refused = check_items([item], source=source, language=language)
    assert (kept, dict(refused)) == (([], {reason: 1}) if reason else ([item], {}))
