"""The Japanese rules: exact clauses, questions and facts of a few sentences, and what holds for every item."""

import datetime as dt
import random
import re

import pytest

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.asking import ask
from ishibumi.knowledge.checks import check_items, comparable, figures
from ishibumi.knowledge.clauses_ja import clauses_of
from ishibumi.knowledge.generator import items_of, make_items
from ishibumi.knowledge.items import OPEN, Item
from ishibumi.knowledge.read_ja import read_story, with_full_dates

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
        ("山田太郎が先制点を奪い、引き分けた。", ["山田太郎が先制点を奪った", "引き分けた"]),
        ("ところが韓国は追いつき、勝ち越した。", ["韓国は追いついた", "韓国は勝ち越した"]),
    ],
)
def test_a_sentence_is_cut_into_clauses_that_stand_alone(sentence: str, clauses: list[str]) -> None:
    assert [c.render() for c in clauses_of(sentence)] == clauses


@pytest.mark.parametrize(
    ("predicate", "plain", "polite"),
    [
        ("書き、去った", "書いた", "書きました"),
        ("開かれ、去った", "開かれた", "開かれました"),
        ("封じ、去った", "封じた", "封じました"),
        ("発表し、去った", "発表した", "発表しました"),
        ("届けなかったが、去った", None, None),
        ("行って、去った", "行って、去った", "行って、去りました"),
    ],
)
def test_verbs_take_the_tense_of_the_sentence(predicate: str, plain: str | None, polite: str | None) -> None:
    clause = clauses_of(f"山田は{predicate}。")[0]
    found = (clause.render(), clause.render(close=clause.ending.polite)) if clause.ending else None
    assert found == (None if plain is None else (f"山田は{plain}", f"山田は{polite}"))


def wordings(document: Document) -> set[tuple[str, str, str]]:
    return {(w.rule, w.text, f.answer) for f in read_story(document).facts for w in f.wordings}


def test_every_side_of_a_match_is_asked_for() -> None:
    assert wordings(MATCH) >= {
        ("cleft", "24分にジョン・ハートリーのゴールで先制するのはどこですか？", "カナダ"),
        ("in_place", "カナダは24分に誰のゴールで先制しますか？", "ジョン・ハートリー"),
        ("in_place", "カナダは何分にジョン・ハートリーのゴールで先制しますか？", "24分"),
        ("cleft", "58分に追加点を挙げるのは誰ですか？", "ペドロ・マルケス"),
        ("cleft", "ペドロ・マルケスが追加点を挙げるのは何分ですか？", "58分"),
        ("attribute", "観客は何人でしたか？", "4万2千人"),
        ("in_place", "カナダはいつパリでブラジルと対戦しますか？", "5月20日"),
        ("in_place", "カナダは5月20日にどこでブラジルと対戦しますか？", "パリ"),
        ("in_place", "カナダは5月20日にパリでどこと対戦しますか？", "ブラジル"),
    }


def test_what_a_document_has_one_of_is_asked_for_by_its_kind() -> None:
    asked = ask(read_story(MATCH), wordings_per_fact=8, rng=random.Random(1))
    found = {(answer, text) for a in asked if a.rule == "only" for answer, text in [(a.fact.answer, a.text)]}
    assert {answer for answer, _ in found} == {"3-1", "北町スタジアム"}
    assert all(re.search("スコア|結果", text) for answer, text in found if answer == "3-1")
    assert all(re.search("会場|行われたのは", text) for answer, text in found if answer == "北町スタジアム")
    bridge = ask(read_story(BRIDGE), wordings_per_fact=8, rng=random.Random(1))
    assert not [a for a in bridge if a.rule == "only"]  # nothing was held on it


def test_notices_and_encyclopedia_entries_are_asked_about_too() -> None:
    assert wordings(TOWN) >= {
        ("attribute", "総工費は何円ですか？", "約48億円"),
        ("in_place", "座席は何席に増えますか？", "1,200席"),
        ("in_place", "設計は建築家の誰が手がけましたか？", "高田真由美"),
        ("role", "市長は誰ですか？", "中村健一"),
    }
    assert wordings(BRIDGE) >= {
        ("in_place", "いつ開通しましたか？", "1998年4月5日"),
        ("attribute", "全長は何メートルですか？", "3,911メートル"),
    }


def test_one_verb_of_two_facts_is_asked_about_by_holes_and_keywords_only() -> None:
    text = "ガーナは15分にコフィ・メンサー、67分にジョン・ドーが決めた。"
    document = Document("d", text, "ガーナ、ペルーと2―2", dt.date(2031, 5, 12), "ja", "d:1")
    assert wordings(document) == set()
    asked = ask(read_story(document), wordings_per_fact=4, rng=random.Random(1))
    holes = {a.fact.answer for a in asked if a.rule == "cloze"}
    assert holes == {"ガーナ", "15分", "67分", "コフィ・メンサー", "ジョン・ドー"}
    for a in asked:
        if a.rule == "keywords" and a.fact.answer == "ジョン・ドー":
            assert "15分" not in a.text and "コフィ" not in a.text


def test_numbers_of_a_list_pieces_of_figures_and_bare_lines_are_not_asked_for() -> None:
    text = "2026年3月12日\n1. 検査の温度を85度に変更する。\n| 教育の実施 | 鈴木 | 2026-04-15 |\n電話 03-1234-5678"
    document = Document("d", text, "品質会議", dt.date(2026, 3, 12), "ja", "d:1")
    asked = ask(read_story(document), wordings_per_fact=4, rng=random.Random(1))
    assert {a.fact.answer for a in asked} == {"85度", "鈴木"}


def test_questions_name_the_match_the_date_or_the_title() -> None:
    story = read_story(MATCH)
    assert set(story.main) == {"カナダ", "ノルウェー"}
    for asked in ask(story, wordings_per_fact=4, rng=random.Random(1)):
        assert asked.fact.sentence in story.source
        assert re.search("カナダ|ノルウェー|5月12日", asked.text), asked


def test_no_context_holds_its_answer_or_the_surname_of_it() -> None:
    document = Document("d", "FWタペロ・マセコが決めた。", "マセコの1点で勝利", dt.date(2031, 5, 12), "ja", "d:1")
    asked = ask(read_story(document), wordings_per_fact=6, rng=random.Random(1))
    assert asked and not [a for a in asked if "マセコ" in a.text and a.fact.answer == "タペロ・マセコ"]


def test_bare_days_get_their_month_only_where_it_is_certain() -> None:
    date = dt.date(2031, 7, 2)
    assert with_full_dates("2日、30日、5日に10日間", date) == "7月2日、6月30日、7月5日に10日間"
    assert with_full_dates("25日に開く", date) == "25日に開く"
    assert with_full_dates("2日に開く", None) == "2日に開く"


def test_each_answer_and_figure_stands_in_its_document() -> None:
    for document in DOCUMENTS:
        source = comparable(read_story(document).source)
        items, _ = items_of(document, views_per_document=10, wordings_per_fact=6, seed=3)
        assert len([i for i in items if i.kind == "view"]) >= 6
        for item in items:
            assert item.document_id == document.id
            assert figures(item.text) <= figures(read_story(document).source)
            if item.rule == OPEN:
                assert item.answer == document.text
            elif item.kind == "question":
                assert comparable(item.answer) in source
                assert comparable(item.answer) not in comparable(item.text)
                assert comparable(item.answer) in comparable(item.evidence)
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


def test_lines_of_a_list_are_asked_about_by_their_own_name() -> None:
    text = "背番号10は山田太郎で、FC東京に所属する。高橋健一は背番号が7である。モデルA500の価格は300円である。"
    document = Document("d", text, "あおばの名簿", dt.date(2031, 5, 9), "ja", "d:1")
    assert wordings(document) >= {
        ("by_name", "山田太郎の背番号は？", "10"),
        ("by_name", "山田太郎の所属はどこですか？", "FC東京"),
        ("in_place", "背番号10は山田太郎で、どこに所属しますか？", "FC東京"),
        ("by_name", "モデルA500の価格は？", "300円"),
        ("attribute", "モデルA500の価格は何円ですか？", "300円"),
    }
