"""The Japanese rules: exact clauses, questions and facts of a few sentences, and what holds for every item."""

import datetime as dt
import random
import re

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.asking_ja import ask
from ishibumi.knowledge.checks import check_items, comparable, figures
from ishibumi.knowledge.clauses import clauses_of, relative_clauses, shared_verbs, told_clauses
from ishibumi.knowledge.contexts_ja import read_story, with_full_dates
from ishibumi.knowledge.generator import items_of, make_items
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.open_questions import OPEN
from ishibumi.knowledge.phrases import parse
from ishibumi.knowledge.rules_ja import wordings_of

MATCH = Document(
    "match",
    "北町スタジアムで12日に行われた決勝で、カナダがノルウェーを3―1で下した。"
    "カナダは24分にジョン・ハートリーのゴールで先制し、58分にはペドロ・マルケスが追加点を挙げる。"
    "観客は4万2千人だった。カナダは20日にパリでブラジルと対戦する。",
    "カナダがノルウェー下す",
    dt.date(2031, 5, 12),
    "ja",
    "test:1",
)
TOWN = Document(
    "town",
    "南川市は9日、老朽化した市民会館に代わる新しいホールを10月1日に開館すると発表した。"
    "総工費は約48億円で、座席は1,200席に増える。設計は建築家の高田真由美さんが手がけた。"
    "中村健一市長は「市民の居場所にしたい」と述べた。",
    "市民会館、10月に新館",
    dt.date(2031, 5, 9),
    "ja",
    "test:2",
)
BRIDGE = Document(
    "bridge",
    "明石海峡大橋は、神戸市と淡路市を結ぶ吊り橋である。1998年4月5日に開通した。全長は3,911メートルで、現在は高速道路会社が管理している。",
    "明石海峡大橋",
    None,
    "ja",
    "test:3",
)
DOCUMENTS = [MATCH, TOWN, BRIDGE]


def clause_texts(sentence: str) -> list[str]:
    return [(f"{c.subject}は" if c.subject else "") + c.render() for c in clauses_of(parse(sentence))]


@pytest.mark.parametrize(
    ("sentence", "clauses"),
    [
        (
            "スペインがオーストリアに3―0で快勝し、16強入りを決めた。",
            ["スペインがオーストリアに3―0で快勝した", "スペインは16強入りを決めた"],
        ),
        ("決勝が行われ、4―1で圧勝した。", ["決勝が行われた", "4―1で圧勝した"]),
        ("総工費は約48億円で、蔵書は45万冊に増える。", ["総工費は約48億円である", "蔵書は45万冊に増える"]),
        ("全長は3,911メートル、幅は35メートルだった。", ["全長は3,911メートルだった", "幅は35メートルだった"]),
        ("フィルターは3か月ごとに交換してください。", ["フィルターは3か月ごとに交換する"]),
        ("65分には山田太郎が追加点を挙げる。", ["65分には山田太郎が追加点を挙げた"]),
    ],
)
def test_a_sentence_is_cut_into_clauses_that_stand_alone(sentence: str, clauses: list[str]) -> None:
    assert clause_texts(sentence) == clauses


def test_a_clause_before_a_name_is_told_of_that_name() -> None:
    found = relative_clauses(parse("4本塁打を放ったフレディ・フリーマンが選ばれた。"))
    assert [(c.subject, c.render(), c.ending.polite) for c in found] == [
        ("フレディ・フリーマン", "4本塁打を放った", "放ちました")
    ]


def test_one_verb_for_two_facts_is_given_to_each() -> None:
    clause = clauses_of(parse("ガーナは15分にコフィ・メンサー、67分にジョン・ドーが決めた。"))[0]
    assert [c.render() for c in shared_verbs(clause)] == [
        "15分にコフィ・メンサーが決めた",
        "67分にジョン・ドーが決めた",
    ]


def test_a_clause_that_hangs_on_another_is_told_too() -> None:
    found = told_clauses(parse("60分に田中健二が加点すると、66分に鈴木一郎が続いた。"))
    assert [c.render() for c in found] == ["60分に田中健二が加点した"]


@pytest.mark.parametrize(
    ("predicate", "plain", "polite"),
    [
        ("届けなかったが、去った", "届けなかった", "届けませんでした"),
        ("書き、去った", "書いた", "書きました"),
        ("開かれ、去った", "開かれた", "開かれました"),
        ("封じ、去った", "封じた", "封じました"),
        ("行って、去った", None, None),
    ],
)
def test_verbs_take_the_tense_of_the_sentence(predicate: str, plain: str | None, polite: str | None) -> None:
    first = clauses_of(parse(f"山田は紙を{predicate}。"))[0]
    if plain is None:
        assert len(first.predicates) == 2  # a て-form without a subject of its own stays with its verb
    else:
        assert (first.ending.plain, first.ending.polite) == (plain, polite)


def stems(document: Document) -> set[tuple[str, str, str]]:
    story = read_story(document)
    return {
        (w.rule, w.stem + ("は" + w.word if w.form == "noun" else ""), w.answer)
        for ws in wordings_of(story).values()
        for w in ws
    }


def test_every_side_of_a_match_is_asked_for() -> None:
    assert stems(MATCH) >= {
        ("cleft", "24分にジョン・ハートリーのゴールで先制したのはどこ", "カナダ"),
        ("in_place", "カナダは24分に誰のゴールで先制しました", "ジョン・ハートリー"),
        ("in_place", "カナダは何分にジョン・ハートリーのゴールで先制しました", "24分"),
        ("cleft", "58分に追加点を挙げたのは誰", "ペドロ・マルケス"),
        ("cleft", "ペドロ・マルケスが追加点を挙げたのは何分", "58分"),
        ("event_score", "最終スコアは何対何", "3-1"),
        ("event_place", "会場はどこ", "北町スタジアム"),
        ("attribute", "観客は何人", "4万2千人"),
        ("in_place", "カナダはいつパリでブラジルと対戦します", "5月20日"),
        ("in_place", "カナダは5月20日にどこでブラジルと対戦します", "パリ"),
        ("in_place", "カナダは5月20日にパリでどこと対戦します", "ブラジル"),
    }


def test_notices_and_encyclopedia_entries_are_asked_about_too() -> None:
    assert stems(TOWN) >= {
        ("attribute", "総工費は何円", "約48億円"),
        ("in_place", "座席は何席に増えます", "1,200席"),
        ("role", "建築家は誰", "高田真由美"),
        ("role", "市長は誰", "中村健一"),
    }
    assert stems(BRIDGE) >= {
        ("cleft", "明石海峡大橋が開通したのはいつ", "1998年4月5日"),
        ("attribute", "全長は何メートル", "3,911メートル"),
    }


def test_questions_name_the_match_the_date_or_the_title() -> None:
    story = read_story(MATCH)
    assert story.pair == ("カナダ", "ノルウェー")
    sentences = {s.text for s in story.sentences}
    for wording, question, sentence in ask(story, wordings_per_fact=4, rng=random.Random(1)):
        assert sentence in sentences
        assert re.search("カナダ|ノルウェー|5月12日", question), (wording.rule, question)


def test_bare_days_get_their_month_only_where_it_is_certain() -> None:
    date = dt.date(2031, 7, 2)
    assert with_full_dates("2日、30日、5日に10日間", date) == "7月2日、6月30日、7月5日に10日間"
    assert with_full_dates("25日に開く", date) == "25日に開く"
    assert with_full_dates("2日に開く", None) == "2日に開く"


def test_each_answer_and_figure_stands_in_its_document() -> None:
    for document in DOCUMENTS:
        source = comparable(read_story(document).source)
        items, _ = items_of(document, views_per_document=10, wordings_per_fact=6, seed=3)
        assert len([i for i in items if i.kind == "view"]) >= 7
        for item in items:
            assert item.document_id == document.id
            assert figures(item.text) <= figures(read_story(document).source)
            if item.rule == OPEN:
                assert item.answer == document.text
            elif item.kind == "question":
                assert comparable(item.answer) in source
                assert item.rule == "which" or comparable(item.answer) not in comparable(item.text)
                assert len(item.answer) <= 40
        assert len({item.text for item in items}) == len(items)


def test_items_depend_on_the_document_the_settings_and_the_seed_only() -> None:
    settings = {"views_per_document": 5, "wordings_per_fact": 3}
    together = make_items(DOCUMENTS, **settings, seed=5)
    assert together == make_items(DOCUMENTS, **settings, seed=5)
    assert together == [item for d in DOCUMENTS for item in make_items([d], **settings, seed=5)]
    assert together != make_items(DOCUMENTS, **settings, seed=6)
    assert make_items([], **settings, seed=5) == []
    assert {i.kind for i in make_items([MATCH], views_per_document=3, wordings_per_fact=0, seed=1)} == {"view"}


def test_more_wordings_per_fact_make_more_questions() -> None:
    counts = [len(make_items([MATCH], views_per_document=0, wordings_per_fact=n, seed=1)) for n in (1, 2, 4)]
    assert counts[0] < counts[1] < counts[2]


def test_texts_without_a_sentence_make_no_item_and_no_error() -> None:
    for text in ("。。。", "「」", "ああ", "1", "東京", "ＡＢＣ・＝", "（注）"):
        document = Document("x", text, None, None, "ja", "x")
        assert make_items([document], views_per_document=4, wordings_per_fact=4, seed=1) == [], text


def test_faulty_items_are_refused_and_counted() -> None:
    items = [
        Item("d", "question", "cleft", "会場はどこ？", "北町"),
        Item("d", "question", "cleft", "会場はどこ？", "北町"),
        Item("d", "question", "cleft", "北町の会場は？", "北町"),
        Item("d", "question", "cleft", "市長は誰？", "山田"),
        Item("d", "view", "notes", "3対1だった。"),
        Item("d", "view", "notes", "4対1だった。"),
    ]
    kept, refused = check_items(items, source="北町で3―1だった。", language="ja")
    assert kept == [items[0], items[4]]
    assert refused == {
        "duplicate": 1,
        "question holds its answer": 1,
        "answer not in the document": 1,
        "figure not in the document": 1,
    }
