"""Other words for the same in generated questions."""

import random

from ishibumi.knowledge.synonyms_ja import GROUPS, reworded


def test_known_phrases_are_exchanged_within_their_group_and_nothing_else_changes() -> None:
    question = "6月29日の試合で、29分に先制点を挙げたのは誰ですか？"
    made = {reworded(question, random.Random(seed)) for seed in range(50)}
    assert made == {question.replace("先制点", word) for word in ("先制点", "先制ゴール", "最初の得点")}


def test_every_group_has_another_word() -> None:
    assert all(len(set(group)) > 1 for group in GROUPS)
