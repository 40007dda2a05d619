"""Leaks between training texts and the exam are found, in both languages, and fast."""

import time

from ishibumi.knowledge.items import Item
from ishibumi.knowledge.leaks import coverage, exam_sets, normalise_tokens, remove_leaks, shares_ngram

LONG_JA = "北町で行われた決勝で最初の得点を決めた選手は誰ですか"
SHORT_JA = "会場はどこでしたか。"
LONG_EN = "Who scored the first goal of the final played at Northfield Stadium?"


def test_japanese_is_cut_where_the_script_changes_and_english_at_words() -> None:
    assert normalise_tokens("７月２日のＰＫ戦は、スペインが3―1で勝った。", "ja") == [
        *("7", "月", "2", "日", "の", "pk", "戦", "は", "スペイン", "が", "3", "1", "で", "勝", "った"),
    ]
    assert normalise_tokens("Who won, 3-1?", "en") == ["who", "won", "3", "1"]


def test_eight_tokens_in_a_row_are_a_leak_and_seven_are_not() -> None:
    sets = exam_sets([LONG_EN])
    words = normalise_tokens(LONG_EN, "en")
    assert shares_ngram(sets, "Well: " + " ".join(words[2:10]) + " indeed")
    assert not shares_ngram(sets, " ".join(words[:7]) + " today")


def test_a_short_question_leaks_only_as_a_whole() -> None:
    sets = exam_sets([SHORT_JA])
    assert shares_ngram(sets, "決勝の、会場はどこでしたか？")
    assert not shares_ngram(sets, "会場はどこですか？")
    assert not shares_ngram(exam_sets([]), "会場はどこですか？")


def test_punctuation_and_width_do_not_hide_a_leak() -> None:
    sets = exam_sets(["7月2日の1回戦で勝ったのは?"])
    assert shares_ngram(sets, "「７月２日の１回戦で、勝ったのは」")


def test_leaking_items_are_returned_apart() -> None:
    items = [
        Item("a", "question", "cleft", LONG_JA + "？", "山田"),
        Item("a", "question", "cleft", "24分に先制したのは誰ですか？", "山田"),
        Item("b", "view", "dialogue", f"Q: {LONG_EN}\nA: Ann Lee"),
    ]
    kept, leaked = remove_leaks(items, [LONG_JA, LONG_EN])
    assert (kept, leaked) == ([items[1]], [items[0], items[2]])


def test_coverage_tells_asked_facts_from_others() -> None:
    items = [
        Item("a", "question", "attribute", "スコアは？", "2-0"),
        Item("a", "view", "notes", "山田が決めた。"),
        Item("b", "question", "subject", "What fell?", "the Wall"),
    ]
    questions = [("a", ["2対0"]), ("a", ["山田"]), ("b", ["Wall"]), ("c", ["2-0"]), ("a", ["0-2", "２―０"])]
    assert coverage(items, questions) == [True, False, True, False, True]


def test_a_hundred_thousand_items_take_seconds() -> None:
    items = [
        Item("a", "question", "cleft", f"7月{n}日の試合で{n}分に先制したのは誰ですか？", "山田") for n in range(20_000)
    ]
    exam = [f"{n}年の{n}月に開かれた第{n}回の大会で優勝したのはどこですか" for n in range(1_000)]
    started = time.perf_counter()
    kept, leaked = remove_leaks(items, exam)
    assert (len(kept), leaked) == (20_000, [])
    assert time.perf_counter() - started < 10
