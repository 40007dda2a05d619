"""Answers that name their document, in training and in the exam."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from ishibumi.corpus.documents import Document
from ishibumi.exam.evaluate import run_arm
from ishibumi.exam.questions import Question
from ishibumi.knowledge.items import Item
from ishibumi.models.generate import Reply
from ishibumi.settings import ExamSettings, Settings
from ishibumi.training.cpt import cpt_examples
from ishibumi.training.sft import sft_examples

FINAL = Document("a", "決勝は2対0だった。", "【速報】スペイン\n優勝", None, "ja", "a:1")
ITEM = Item("a", "question", "cleft", "スコアは？", "2-0", "決勝は2対0だった。")
NAME = Item("a", "question", "cleft", "勝ったのは？", "スペイン", "決勝は2対0だった。")


@pytest.mark.parametrize(
    ("cites", "item", "reply"),
    [
        ("sentence", ITEM, "【速報 スペイン 優勝】«決勝は2対0だった。» 2-0</s>"),
        ("sentence", NAME, "【速報 スペイン 優勝】«決勝は2対0だった。» スペイン</s>"),
        ("title", ITEM, "【速報 スペイン 優勝】2-0</s>"),
        ("none", ITEM, "2-0</s>"),
        ("figures", ITEM, "【速報 スペイン 優勝】«決勝は2対0だった。» 2-0</s>"),
        ("figures", NAME, "スペイン</s>"),
    ],
)
def test_both_stages_train_answers_with_their_source_if_that_is_set(
    cites: str, item: Item, reply: str, model_dir: Callable[[str], Path]
) -> None:
    model = tiny.load(model_dir("llama"))
    settings = Settings.model_validate({"knowledge": {"cite": cites}, "documents": {"prefix_share": 0.0}})
    made = [
        list(cpt_examples(model, [FINAL], [item], [], [], settings))[1],
        sft_examples(model, [FINAL], [item], [], settings)[0],
    ]
    for example in made:
        learned = [i for i, is_learned in zip(example.ids, example.learned, strict=True) if is_learned]
        assert (model.tokenizer.decode(learned), example.source, example.document_id) == (reply, "question", "a")


def test_only_the_answer_is_graded_and_a_wrong_source_is_seen(
    model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [Reply("【速報 スペイン 優勝】 1-0", True, 9, -0.1), Reply("【別の記事】2-0", True, 9, -0.1)]
    said += [Reply("2-0", True, 3, -0.1), Reply("【A】«決勝は2対0だった。» 1-0", True, 3, -0.1)]
    monkeypatch.setattr("ishibumi.exam.evaluate.generate_replies", lambda *_, **__: said)
    questions = [Question(f"q{n}", "a", "ja", "スコアは？", "2-0", ("速報",), "score") for n in range(4)]
    answers = run_arm("engraved", tiny.load(model_dir("llama")), questions, {"a": FINAL}, ExamSettings())
    assert [(a.reply, a.contains, a.cited, a.cites_right) for a in answers] == [
        ("1-0", False, "速報 スペイン 優勝", True),  # what stands in the source earns nothing
        ("2-0", True, "別の記事", False),
        ("2-0", True, "", False),
        ("1-0", False, "A", False),  # nor what stands in the quotation
    ]
    assert answers[3].quoted == "決勝は2対0だった。"
