"""Leaks between training texts and the exam are found, in both languages, and fast."""

import time

import pytest

from ishibumi.knowledge.held_out import hold_out
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.leaks import (
    Leak,
    coverage,
    exam_sets,
    find_leaks,
    normalise_tokens,
    remove_leaks,
    shares_ngram,
)

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


def test_a_leak_is_named_with_the_question_and_the_shared_words() -> None:
    questions = [("q1", LONG_JA), ("q2", LONG_EN), ("q3", SHORT_JA)]
    texts = [
        ("a:1", "天気は晴れ。"),
        ("a:2", f"Q. {LONG_EN.upper()}"),
        ("a:3", "決勝の会場はどこでしたか、と聞かれた。"),
        ("a:4", "Who scored the first goal of the final? Ann."),
    ]
    assert find_leaks(texts, questions) == [
        Leak("a:2", "q2", "who scored the first goal of the final"),
        Leak("a:3", "q3", "会場 はどこでしたか"),
        Leak("a:4", "q2", "who scored the first goal of the final"),
    ]
    # With longer runs only the whole question is left, and what shares its beginning is not.
    assert [leak.place for leak in find_leaks(texts, questions, n=12)] == ["a:2", "a:3"]
    assert find_leaks(texts, []) == []


# --- held out


def held_items() -> list[Item]:
    """Shapes of 60, 30, 6 and 4 Japanese questions, and one English shape."""
    sizes = {"big": 60, "middle": 30, "small": 6, "least": 4}
    items = [
        Item("a", "question", rule, f"{rule}の{n}番は何か？", f"答え{n}")
        for rule, size in sizes.items()
        for n in range(size)
    ]
    items += [Item("b", "question", "big", f"What is number {n}?", f"answer {n}") for n in range(9)]
    return [
        *items,
        Item("a", "view", "dialogue", "Q: smallの3番は何か？\nA: 答え3"),
        Item("a", "view", "notes", "3番。"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_whole_shapes_are_held_out_up_to_the_share_and_are_nowhere_in_training(seed: int) -> None:
    items = held_items()
    kept, held = hold_out(items, share=0.1, seed=seed)
    assert {item.rule for item in held} == {"small", "least"}
    assert not {"small", "least"} & {item.rule for item in kept}
    # The dialogue repeats a question that was held out.
    assert [item for item in items if item not in kept and item not in held] == [items[-2]]
    assert hold_out(items, share=0.1, seed=seed) == (kept, held)


def test_the_smallest_shape_is_held_out_where_all_are_too_large_and_a_single_one_is_not() -> None:
    kept, held = hold_out(held_items(), share=0.01, seed=1)
    assert {item.rule for item in held} == {"least"}
    assert sum(item.document_id == "b" for item in kept) == 9
    assert hold_out(held_items(), share=0, seed=1) == (held_items(), [])
    seeds = [{item.rule for item in hold_out(held_items(), share=0.06, seed=seed)[1]} for seed in range(8)]
    assert {"small"} in seeds and {"least"} in seeds


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


def test_a_view_loses_only_the_lines_that_have_exam_wording() -> None:
    exam = "Who won the final of the national chess contest held in Oslo?"
    leaking = "She won the final of the national chess contest held in Oslo."
    view = Item("d", "view", "model:facts", f"Chess is old.\n{leaking}\nOslo is cold.")
    kept, leaked = remove_leaks([view, Item("d", "view", "model:restate", leaking)], [exam])
    assert [item.text for item in kept] == ["Chess is old.\nOslo is cold."]
    assert [item.text for item in leaked] == [leaking, leaking]
