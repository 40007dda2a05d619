"""The exam on tiny networks: questions are read, every arm answers, intervals and perplexities are exact."""

import datetime as dt
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from ishibumi.corpus.documents import Document
from ishibumi.errors import InputError, UsageError
from ishibumi.exam.drawn import drawn_questions
from ishibumi.exam.evaluate import READING_PROMPT, Answer, few_shot_text, passage_text, run_arm
from ishibumi.exam.forgetting import MAX_TEXT_TOKENS, compared, perplexity, text_ids
from ishibumi.exam.interval import interval, paired_difference
from ishibumi.exam.questions import Question, for_documents, read_questions
from ishibumi.exam.retrieval import index_documents, search_terms
from ishibumi.exam.shots import SHOTS
from ishibumi.exam.sit import Side, load_answers, sit_exam
from ishibumi.exam.summary import summarise
from ishibumi.knowledge.items import Item
from ishibumi.models.chat_format import chat_format
from ishibumi.models.load import LoadedModel
from ishibumi.settings import ExamSettings

FINAL = Document("ja-final", "決勝はスペインが2対0で勝った。", "スペイン優勝", dt.date(2026, 7, 19), "ja", "a:1")
SEMI = Document("en-semi", "England lost the semi-final in Atlanta.", "England out", None, "en", "a:2")
DOCUMENTS = {document.id: document for document in (FINAL, SEMI)}
QUESTIONS = [
    Question("q1", "ja-final", "ja", "決勝のスコアは？", "2-0", ("2対0",), "score"),
    Question("q2", "en-semi", "en", "Where did England lose?", "Atlanta", (), "place"),
]


def loaded(network: Any) -> LoadedModel:
    tokenizer = tiny.byte_tokenizer()
    return LoadedModel(network.eval(), tokenizer, chat_format(tokenizer, "auto"), "tiny")


def chain_model(chain: dict[str, str], window: int = 4096) -> LoadedModel:
    """A Llama whose next token depends on the last one alone, as `chain` says."""
    tokenizer = tiny.byte_tokenizer()
    pairs = [tokenizer(a + b, add_special_tokens=False)["input_ids"] for a, b in chain.items()]
    return following_model([(a, b) for a, b in pairs], window)


def saying(text: str, window: int = 4096) -> LoadedModel:
    """A Llama that answers every chat prompt, which ends with a line end, with a text in which no byte comes twice."""
    ids = tiny.byte_tokenizer()("\n" + text + "</s>", add_special_tokens=False)["input_ids"]
    assert len(set(ids)) == len(ids)
    return following_model(list(itertools.pairwise(ids)), window)


def following_model(pairs: list[tuple[int, int]], window: int) -> LoadedModel:
    """A Llama that writes the second token of a pair after the first."""
    tokenizer = tiny.byte_tokenizer()
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size, hidden_size=size + 6, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=window, tie_word_embeddings=False,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.model.norm.weight.fill_(1)
        network.model.embed_tokens.weight[:, :size] = torch.eye(size)
        for first, second in pairs:
            network.lm_head.weight[second, first] = 5
    return loaded(network)


def random_model(kind: str) -> LoadedModel:
    torch.manual_seed(1)
    common: dict[str, Any] = {
        "vocab_size": 258, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
    }  # fmt: skip
    if kind == "llama":
        return loaded(LlamaForCausalLM(LlamaConfig(**common)))
    return loaded(Gemma3ForCausalLM(Gemma3TextConfig(**common, head_dim=8, sliding_window=64)))


# --- questions


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(**changes: object) -> dict[str, object]:
    full: dict[str, object] = {
        "id": "q1", "document_id": "d1", "language": "ja", "question": "誰？", "answer": "スペイン",
        "accept": ["Spain"], "kind": "name",
    }  # fmt: skip
    return full | changes


def test_questions_of_several_files_are_read_in_order(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", row(), "")
    second = write(tmp_path / "b.jsonl", {k: v for k, v in row(id="q2").items() if k not in ("accept", "kind")})
    questions = read_questions([first, second])
    assert questions == [
        Question("q1", "d1", "ja", "誰？", "スペイン", ("Spain",), "name"),
        Question("q2", "d1", "ja", "誰？", "スペイン", (), "other"),
    ]
    assert for_documents(questions, {"d2"}) == ([], 2)
    assert for_documents(questions, {"d1"}) == (questions, 0)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row(), "{nope"], "exam.jsonl:2: not a JSON object"),
        ([row(), "[1]"], "exam.jsonl:2: not a JSON object"),
        ([{k: v for k, v in row().items() if k != "answer"}], 'exam.jsonl:1: the field "answer" is missing'),
        ([row(question=" ")], 'exam.jsonl:1: "question" must be a text that is not empty'),
        ([row(accept="Spain")], 'exam.jsonl:1: "accept" must be a list of texts'),
        ([row(language="fr")], 'exam.jsonl:1: "language" is "fr", not one of ja, en'),
        ([row(answer="…")], 'exam.jsonl:1: the answer "…" has no letter or digit'),
        ([row(), "", row()], 'exam.jsonl:3: the question id "q1" is already used at'),
        ([""], "has no questions"),
    ],
)
def test_bad_exam_lines_are_refused_with_their_place(tmp_path: Path, rows: list[object], fault: str) -> None:
    path = write(tmp_path / "exam.jsonl", *rows)
    with pytest.raises(InputError) as caught:
        read_questions([path])
    assert fault in caught.value.message
    assert caught.value.hint and caught.value.hint_ja


def test_a_line_says_which_split_it_is_and_which_documents_it_needs(tmp_path: Path) -> None:
    combined = {
        k: v for k, v in row(id="q2", split="combined", document_ids=["d1", "d2"]).items() if k != "document_id"
    }
    unanswerable = {
        k: v for k, v in row(id="q3", split="unanswerable").items() if k not in ("answer", "accept", "kind")
    }
    plain, both, none = read_questions([write(tmp_path / "a.jsonl", row(split="reversed"), combined, unanswerable)])
    assert (plain.split, plain.document_ids) == ("reversed", ("d1",))
    assert (both.split, both.document_id, both.document_ids) == ("combined", "d1", ("d1", "d2"))
    assert none == Question("q3", "d1", "ja", "誰？", "分かりません", (), "other", "unanswerable")
    # A combined question needs all of its documents.
    assert for_documents([plain, both, none], {"d1"}) == ([plain, none], 1)
    assert for_documents([plain, both, none], {"d1", "d2"})[1] == 0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"split": "hard"}, '"split" is "hard", not one of held_out, reversed, combined, unanswerable'),
        ({"split": ["reversed"]}, '"split" is ["reversed"], not one of'),
        ({"split": "training"}, '"split" is "training", not one of'),
        ({"split": "combined"}, '"document_ids" must list the documents that a combined question needs'),
        ({"document_ids": ["d1"]}, '"document_ids" must be a list of two texts or more'),
        ({"document_ids": "d1"}, '"document_ids" must be a list of two texts or more'),
        ({"document_ids": ["d1", "d2"]}, 'must name each document once and replaces "document_id"'),
        ({"document_ids": ["d1", "d1"]}, 'must name each document once and replaces "document_id"'),
        ({"split": "unanswerable"}, 'the answer "スペイン" is no refusal'),
        ({"id": "training:1"}, 'an "id" must not begin with generated: or training:'),
    ],
)
def test_a_line_with_a_wrong_split_is_refused(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    with pytest.raises(InputError) as caught:
        read_questions([write(tmp_path / "exam.jsonl", row(**changes))])
    assert f"exam.jsonl:1: {fault}" in caught.value.message or fault in caught.value.message


def test_a_missing_or_undecodable_exam_file_is_an_input_error(tmp_path: Path) -> None:
    write(tmp_path / "other.jsonl", row())
    with pytest.raises(InputError, match=r"No exam file .*exam\.jsonl.*other\.jsonl"):
        read_questions([tmp_path / "exam.jsonl"])
    (tmp_path / "sjis.jsonl").write_bytes("質問".encode("shift_jis"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_questions([tmp_path / "sjis.jsonl"])


# --- intervals


def test_the_interval_resamples_documents_not_questions() -> None:
    # Four documents with ten like answers each are four observations, not forty.
    scores = [float(document < 2) for document in range(4) for _ in range(10)]
    clustered = interval(scores, [str(document) for document in range(4) for _ in range(10)])
    alone = interval(scores, [str(index) for index in range(40)])
    assert clustered.mean == alone.mean == 0.5
    assert (clustered.low, clustered.high) == (0.0, 1.0)
    assert 0.3 < alone.low < 0.4 and 0.6 < alone.high < 0.7


def test_a_paired_difference_is_narrow_where_two_arms_agree() -> None:
    first = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    documents = ["a", "a", "b", "b", "c", "c"]
    difference = paired_difference(first, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0], documents)
    assert difference.mean == pytest.approx(1 / 6)
    assert (difference.low, difference.high) == (0.0, 0.5)
    assert interval(first, documents) == interval(first, documents)


def test_differences_that_are_all_the_same_are_as_sure_as_their_number() -> None:
    documents = [str(index) for index in range(32)]
    same = paired_difference([1.0] * 32, [1.0] * 32, documents)
    assert (same.mean, round(same.low, 3), round(same.high, 3)) == (0.0, -0.109, 0.109)
    better = paired_difference([1.0] * 32, [0.0] * 32, documents)
    assert (better.mean, round(better.low, 3), better.high) == (1.0, 0.782, 1.0)
    worse = paired_difference([0.0] * 2, [1.0] * 2, documents[:2])
    assert (worse.mean, worse.low, round(worse.high, 3)) == (-1.0, -1.0, 0.684)


def test_all_wrong_is_not_proof_of_never() -> None:
    documents = [str(index) for index in range(32)]
    none = interval([0.0] * 32, documents)
    assert (none.mean, none.low, round(none.high, 3)) == (0.0, 0.0, 0.109)
    every = interval([1.0] * 32, documents)
    assert (every.mean, round(every.low, 3), every.high) == (1.0, 0.891, 1.0)


def test_a_question_about_two_documents_counts_as_often_as_both_are_drawn() -> None:
    # One question, two documents: every resample that draws both has the same mean, and it is one case, not two.
    one = paired_difference([1.0], [0.0], [("a", "b")])
    assert (one.mean, one.low, one.high) == (1.0, pytest.approx(-0.95), 1.0)
    # A right question about a and b, a wrong one about a: in a resample their weights are a·b and a, so b decides.
    joint = interval([1.0, 0.0], [("a", "b"), ("a",)])
    assert (joint.mean, joint.low, joint.high) == (0.5, 0.0, 0.5)
    # Names and tuples of one name are the same cluster.
    assert interval([1.0, 0.0, 1.0], ["a", ("a",), "b"]) == interval([1.0, 0.0, 1.0], ["a", "a", "b"])


def test_questions_that_share_documents_are_fewer_observations_than_they_look() -> None:
    scores = [float(i % 4 < 2) for i in range(40)]
    pairs = [(f"d{i % 4}", f"d{(i + 1) % 4}") for i in range(40)]
    shared, alone = interval(scores, pairs), interval(scores, [str(i) for i in range(40)])
    assert shared.mean == alone.mean == 0.5
    assert shared.high - shared.low > 2 * (alone.high - alone.low)
    # Forty documents in twenty questions, all wrong: bounded as twenty.
    none = interval([0.0] * 20, [(f"a{i}", f"b{i}") for i in range(20)])
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20))


# --- retrieval


def test_search_terms_need_no_dictionary() -> None:
    assert search_terms("Spainが決勝進出") == ["spain", "が", "決勝進出", "決勝", "勝進", "進出"]
    assert search_terms("ＷＯＲＬＤ cup 2-0") == ["world", "cup", "2", "0"]


def test_retrieval_finds_the_document_of_a_question() -> None:
    index = index_documents([FINAL, SEMI])
    assert index.retrieve("スペインが勝った決勝のスコアは？", 1) == [FINAL]
    assert index.retrieve("Where was England's semi-final?", 1) == [SEMI]
    assert index.retrieve("2026年7月19日の試合は？", 1) == [FINAL]
    assert index.retrieve("Where was England's semi-final?", 5) == [SEMI, FINAL]
    assert index.retrieve("ж", 1) == [FINAL]


# --- arms


def test_the_few_shot_prompt_ends_where_the_answer_starts() -> None:
    assert few_shot_text(QUESTIONS[0], 1) == (
        "質問: 富士山の高さは何メートルですか？\n答え: 3776メートル\n\n質問: 決勝のスコアは？\n答え:"
    )
    assert few_shot_text(QUESTIONS[1], 0, passage_text(SEMI)) == (
        "Article: England out\nEngland lost the semi-final in Atlanta.\nQuestion: Where did England lose?\nAnswer:"
    )
    assert passage_text(FINAL) == "スペイン優勝 – 2026年7月19日\n決勝はスペインが2対0で勝った。"


def test_every_worked_example_is_answered_by_its_passage() -> None:
    for language, shots in SHOTS.items():
        assert len(shots) == 8
        words = {"8": "eight", "Oxygen": "oxygen"} if language == "en" else {}
        assert all(words.get(shot.answer, shot.answer) in shot.passage for shot in shots)


def test_replies_are_graded_and_a_line_end_stops_the_untuned_base() -> None:
    # After «答え:» this network writes 2-0 and a line end, over and over.
    model = chain_model({":": "2", "2": "-", "-": "0", "0": "\n", "\n": "2"})
    settings = ExamSettings(max_new_tokens=10)
    calls: list[tuple[int, int]] = []
    right, wrong = run_arm("base", model, QUESTIONS, DOCUMENTS, settings, lambda *call: calls.append(call))
    assert right == Answer("q1", "ja-final", "base", "2-0", True, True, True, 4, False, mean_logprob=right.mean_logprob)
    assert right.mean_logprob is not None and -0.01 < right.mean_logprob <= 0
    assert (wrong.reply, wrong.exact, wrong.contains) == ("2-0", False, False)
    assert calls == [(2, 2)]
    chat = run_arm("engraved", model, QUESTIONS[:1], DOCUMENTS, settings)
    assert [(a.reply, a.stopped, a.exact, a.contains) for a in chat] == [("2-0\n2-0\n2-", False, False, True)]


def test_the_engraved_model_stops_by_its_end_token() -> None:
    model = chain_model({"\n": "2", "2": "-", "-": "0", "0": "</s>"})
    (answer,) = run_arm("engraved", model, QUESTIONS[:1], DOCUMENTS, ExamSettings())
    assert (answer.reply, answer.stopped, answer.exact) == ("2-0", True, True)


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_all_arms_answer_in_order(kind: str) -> None:
    model = random_model(kind)
    settings = ExamSettings(max_new_tokens=3, shots=1, batch_questions=1)
    answers = [a for arm in settings.arms for a in run_arm(arm, model, QUESTIONS, DOCUMENTS, settings)]
    assert [(a.arm, a.question_id) for a in answers] == [(arm, q.id) for arm in settings.arms for q in QUESTIONS]
    assert not any(answer.passage_cut for answer in answers)
    summary = summarise(answers, QUESTIONS, {"q1": True, "q2": False})
    assert list(summary) == settings.arms
    assert summary["base"]["all"]["n"] == 2


def test_a_passage_is_cut_to_the_window_and_the_cut_is_told() -> None:
    long = Document("ja-final", "長い記事。" * 100, None, None, "ja", "a:1")
    model = chain_model({"\n": "</s>"}, window=400)
    settings = ExamSettings(max_new_tokens=10)
    (answer,) = run_arm("gold_passage", model, QUESTIONS[:1], {"ja-final": long}, settings)
    assert answer.passage_cut
    with pytest.raises(UsageError, match="The model reads 60 tokens"):
        run_arm("gold_passage", chain_model({}, window=60), QUESTIONS[:1], {"ja-final": long}, settings)


def test_a_combined_question_is_read_in_all_of_its_documents() -> None:
    alone = Question("r", "en-semi", "en", "Who?", "2", (), "other")
    both = Question("q", "en-semi", "en", "Who?", "2", (), "other", "combined", ("ja-final",))
    settings = ExamSettings(max_new_tokens=2)
    read = READING_PROMPT["en"].format(passage=passage_text(SEMI), question="Who?")
    # A window in which the one document just fits: two of them do not.
    num_tokens = len(saying("2").format.prompt_ids([{"role": "user", "content": read}])) + 2 + 8
    for more, cut in ((0, [False, True]), (2 * len(passage_text(FINAL).encode()), [False, False])):
        model = saying("2", window=num_tokens + more)
        answers = run_arm("gold_passage", model, [alone, both], DOCUMENTS, settings)
        assert [a.passage_cut for a in answers] == cut
        assert all(a.contains and a.document_id == "en-semi" for a in answers)


@pytest.mark.parametrize(("text", "refuses"), [("不明", True), ("2-0", False)])
def test_an_unanswerable_question_is_right_when_the_reply_refuses(text: str, refuses: bool) -> None:
    unanswerable = Question("q", "ja-final", "ja", "誰？", "分かりません", (), "other", "unanswerable")
    without, with_answer = run_arm("engraved", saying(text), [unanswerable, QUESTIONS[0]], DOCUMENTS, ExamSettings())
    assert without.reply == with_answer.reply == text
    assert (without.refused, without.contains, without.exact) == (refuses, refuses, refuses)
    # The same refusal is a wrong answer where there is one.
    assert (with_answer.refused, with_answer.contains) == (refuses, not refuses)


def test_a_reply_to_a_combined_question_may_cite_any_of_its_documents() -> None:
    both = Question("q", "en-semi", "ja", "誰？", "2", (), "other", "combined", ("ja-final",))
    short = {"ja-final": replace(FINAL, title="A"), "en-semi": replace(SEMI, title="B")}
    for title, is_right in (("A", True), ("B", True), ("C", False)):
        (answer,) = run_arm("engraved", saying(f"【{title}"), [both], short, ExamSettings())
        assert (answer.cited, answer.cites_right) == (title, is_right)


def test_only_the_arms_that_answer_from_memory_are_asked_training_questions(tmp_path: Path) -> None:
    trained = Question("training:1", "ja-final", "ja", "決勝は？", "2-0", (), "other", "training")
    model = chain_model({"\n": "</s>", ":": "</s>"})
    settings = ExamSettings(max_new_tokens=2)
    sides = [
        Side("before", lambda: model, ("base", "retrieval")),
        Side("after", lambda: model, ("engraved", "engraved_retrieval")),
    ]
    for side in sides:
        sit_exam(side, [*QUESTIONS, trained], DOCUMENTS, {}, settings, tmp_path, lambda *_: None)
    asked = {arm: [a.question_id for a in load_answers(tmp_path) if a.arm == arm] for arm in settings.arms}
    assert asked == {
        "base": ["q1", "q2", "training:1"], "engraved": ["q1", "q2", "training:1"], "gold_passage": [],
        "retrieval": ["q1", "q2"], "engraved_retrieval": ["q1", "q2"],
    }  # fmt: skip


def test_answers_of_an_older_run_are_read(tmp_path: Path) -> None:
    row = {"question_id": "q1", "document_id": "d", "arm": "base", "reply": "x", "stopped": True, "exact": False}
    row |= {"contains": False, "num_tokens": 1, "passage_cut": False, "cited": "", "cites_right": False}
    write(tmp_path / "answers_base.jsonl", row)
    (read,) = load_answers(tmp_path)
    assert (read.refused, read.mean_logprob) == (False, None)
    summary = summarise([read], [QUESTIONS[0]], {"q1": True})
    assert summary["base"]["honesty"]["separation"] is None
    assert summary["base"]["honesty"]["calibration_error"] is None


# --- drawn from the run's own items


ITEMS = [
    *(Item("ja-final", "question", "cleft", f"{n}番目の問いは？", f"答え{n}") for n in range(10)),
    Item("ja-final", "view", "notes", "見た目は文。"),
    Item("gone", "question", "cleft", "文書のない問いは？", "x"),
    Item("en-semi", "question", "where", "Where?", "Atlanta"),
]


def test_training_questions_are_drawn_as_they_are_and_the_same_by_seed() -> None:
    some = drawn_questions(ITEMS, DOCUMENTS, split="training", count=4, seed=1)
    assert some == drawn_questions(ITEMS, DOCUMENTS, split="training", count=4, seed=1)
    assert some != drawn_questions(ITEMS, DOCUMENTS, split="training", count=4, seed=2)
    assert len(some) == 4 and len({q.id for q in some}) == 4
    everything = drawn_questions(ITEMS, DOCUMENTS, split="training", count=100, seed=1)
    assert [(q.question, q.answer) for q in everything] == [
        (i.text, i.answer) for i in ITEMS if i.kind == "question" and i.document_id in DOCUMENTS
    ]
    assert everything[-1] == Question(
        "training:11", "en-semi", "en", "Where?", "Atlanta", (), "where", "training"
    )  # fmt: skip
    assert drawn_questions(ITEMS, DOCUMENTS, split="training", count=0, seed=1) == []


# --- summary


def answer(question_id: str, arm: str, contains: bool, document_id: str = "ja-final") -> Answer:
    return Answer(question_id, document_id, arm, "x", True, False, contains, 4, False)


def test_the_summary_splits_by_language_kind_and_asked() -> None:
    answers = [
        answer("q1", "base", False),
        answer("q2", "base", False, "en-semi"),
        answer("q1", "engraved", True),
        answer("q2", "engraved", False, "en-semi"),
    ]
    summary = summarise(answers, QUESTIONS, {"q1": True, "q2": False})
    assert summary["engraved"]["all"] == {
        "n": 2,
        "num_documents": 2,
        "exact": {"mean": 0.0, "low": 0.0, "high": pytest.approx(1 - 0.025**0.5)},
        "contains": {"mean": 0.5, "low": 0.0, "high": 1.0},
        "stopped": 1.0,
        "mean_reply_tokens": 4.0,
        "num_passages_cut": 0,
        "cites_right": 0.0,
    }
    shares = {
        split: {group: of["contains"]["mean"] for group, of in summary["engraved"][split].items()}
        for split in ("by_language", "by_kind", "by_asked")
    }
    assert shares == {
        "by_language": {"en": 0.0, "ja": 1.0},
        "by_kind": {"place": 0.0, "score": 1.0},
        "by_asked": {"asked": 1.0, "document_only": 0.0},
    }
    assert summary["engraved"]["differences"] == {"base": {"mean": 0.5, "low": 0.0, "high": 1.0}}
    assert summary["base"]["differences"] == {}
    json.dumps(summary)


def test_the_main_figure_is_of_the_held_out_questions_alone() -> None:
    splits = ("training", "reversed", "held_out", "unanswerable", "generated")
    asked = [Question(split, f"d-{split}", "ja", "?", "x", (), "other", split) for split in splits]
    flags: dict[str, bool] = {split: True for split in splits}
    answers = [answer(split, "engraved", split != "held_out", f"d-{split}") for split in splits]
    for main, left in (("held_out", asked), ("generated", asked[:2] + asked[3:]), ("reversed", asked[:2])):
        ids = {q.id for q in left}
        summary = summarise([a for a in answers if a.question_id in ids], left, flags)["engraved"]
        assert (summary["split"], summary["all"]["n"]) == (main, 1)
        assert summary["all"]["contains"]["mean"] == float(main != "held_out")
        assert {name: row["n"] for name, row in summary["by_split"].items()} == dict.fromkeys(sorted(ids), 1)


def test_what_the_base_knew_before_is_counted_and_taken_off() -> None:
    questions = [Question(f"q{i}", f"d{i}", "ja", "?", "x", (), "other") for i in range(4)]
    flags = {q.id: True for q in questions}
    right = {"base": (True, False, False, False), "engraved": (True, True, False, False)}
    answers = [answer(f"q{i}", arm, r, f"d{i}") for arm, grades in right.items() for i, r in enumerate(grades)]
    known = summarise(answers, questions, flags)["engraved"]["known_before"]
    assert (known["n"], known["without"]["n"], known["without"]["contains"]["mean"]) == (1, 3, pytest.approx(1 / 3))
    alone = summarise([a for a in answers if a.arm == "engraved"], questions, flags)
    assert alone["engraved"]["known_before"] is None and alone["engraved"]["differences"] == {}


def test_differences_are_paired_and_between_the_arms_that_are_worth_it() -> None:
    questions = [Question(f"q{i}", f"d{i}", "ja", "?", "x", (), "other") for i in range(4)]
    right = {
        "base": (0, 0, 0, 0), "engraved": (1, 1, 0, 0), "gold_passage": (1, 1, 1, 0), "retrieval": (1, 0, 0, 0),
        "engraved_retrieval": (1, 1, 1, 1),
    }  # fmt: skip
    answers = [answer(f"q{i}", arm, bool(r), f"d{i}") for arm, grades in right.items() for i, r in enumerate(grades)]
    summary = summarise(answers, questions, {q.id: True for q in questions})
    means = {arm: {o: d["mean"] for o, d in of_arm["differences"].items()} for arm, of_arm in summary.items()}
    assert means == {
        "base": {}, "gold_passage": {}, "retrieval": {}, "engraved": {"base": 0.5, "retrieval": 0.25},
        "engraved_retrieval": {"retrieval": 0.75},
    }  # fmt: skip
    # Retrieval is never ahead of engraved here, so the paired interval does not go below nothing.
    difference = summary["engraved"]["differences"]["retrieval"]
    assert (difference["low"], difference["high"]) == (0.0, 0.75)


def test_refusals_are_counted_where_they_should_be_and_where_they_should_not() -> None:
    questions = [Question(f"q{i}", f"d{i}", "ja", "?", "x", (), "other") for i in range(4)]
    questions += [Question(f"u{i}", f"d{i}", "ja", "?", "分かりません", (), "other", "unanswerable") for i in range(2)]
    questions += [Question("t", "d0", "ja", "?", "x", (), "other", "training")]
    graded = {"q0": (True, False, 0.9), "q1": (True, False, 0.8), "q2": (False, True, 0.3), "q3": (False, False, 0.85)}
    graded |= {"u0": (True, True, 0.9), "u1": (False, False, 0.1), "t": (False, True, 0.99)}
    answers = [
        Answer(name, "d0", "engraved", "x", True, False, right, 1, False, "", False, refused, math.log(confidence))
        for name, (right, refused, confidence) in graded.items()
    ]
    honesty = summarise(answers, questions, {q.id: True for q in questions})["engraved"]["honesty"]
    assert honesty["refused_unanswerable"]["mean"] == 0.5
    assert honesty["refused_answerable"]["mean"] == 0.25
    # Right: 0.9, 0.8, 0.9; wrong: 0.3, 0.85, 0.1. Of nine pairs only 0.8 against 0.85 is in the wrong order.
    assert honesty["separation"] == pytest.approx(8 / 9)
    # Bins: 0.9 twice, both right; 0.8 right and 0.85 wrong; 0.3 wrong; 0.1 wrong.
    assert honesty["calibration_error"] == pytest.approx((0.2 + 0.65 + 0.3 + 0.1) / 6)
    # Six replies are too few to say what a confidence is worth.
    assert honesty["withheld"] is None and honesty["calibration"] is None


def test_what_withholding_would_do_and_what_a_confidence_is_worth_stand_in_the_summary() -> None:
    splits = ["held_out"] * 40 + ["unanswerable"] * 10 + ["training"]
    questions = [Question(f"q{i}", "d0", "ja", "?", "x", (), "other", split) for i, split in enumerate(splits)]
    # Answerable: 10 wrong at 0.1, 10 right and 10 wrong at 0.5, 10 right at 0.9. Of what has no answer 2 are refused at
    # 0.1, the others answered, 4 at 0.1 and 4 at 0.5. What training had does not count.
    confidences = [0.1] * 10 + [0.5] * 20 + [0.9] * 10 + [0.1] * 6 + [0.5] * 4 + [0.99]
    right = [False] * 10 + [True, False] * 10 + [True] * 10 + [True] * 2 + [False] * 9

    def honesty_of(num: int) -> dict[str, Any]:
        rows = list(zip(questions, right, confidences, strict=True))[:num]
        answers = [
            Answer(q.id, "d0", "engraved", "x", True, False, r, 1, False, "", False, False, math.log(c))
            for q, r, c in rows
        ]
        return summarise(answers, questions, {q.id: True for q in questions})["engraved"]["honesty"]

    honesty = honesty_of(51)
    assert [row["right"] for row in honesty["withheld"]] == [0.0, 0.0, 0.0]  # ties stay together
    assert honesty["withheld"][0] == {"below": pytest.approx(0.5), "right": 0.0, "wrong": 0.5, "unanswerable": 0.5}
    assert [(round(p["lowest"], 3), p["share_right"], p["num_replies"]) for p in honesty["calibration"]] == [
        (0.1, 2 / 16, 16), (0.5, 10 / 24, 24), (0.9, 1.0, 10),
    ]  # fmt: skip
    assert honesty_of(30)["calibration"] and honesty_of(29)["calibration"] is None


# --- forgetting


def test_a_network_without_knowledge_has_the_perplexity_of_its_vocabulary() -> None:
    model = chain_model({})
    result = perplexity(model, ["abc", "長い文です。", ""])
    assert result.value == pytest.approx(258)
    assert (result.num_tokens, result.num_texts, result.num_cut) == (3 + 18, 2, 0)


@pytest.mark.parametrize("kind", ["llama", "gemma"])
def test_batched_perplexity_equals_the_plain_loss_of_each_text(kind: str) -> None:
    model = random_model(kind)
    texts = ["短い。", "A longer text, in English.", "もう少し長い日本語の文章をここに置く。" * 3]
    expected = 0.0
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([text_ids(model, text)])
            expected += float(model.network(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    for batch_tokens in (1, 100, 4096):
        assert perplexity(model, texts, batch_tokens=batch_tokens).nll_sum == pytest.approx(expected, rel=1e-5)


def test_long_texts_are_cut_and_counted_and_no_text_is_no_number() -> None:
    model = chain_model({})
    before = perplexity(model, ["x" * 2000])
    assert (before.num_tokens, before.num_cut) == (MAX_TEXT_TOKENS - 1, 1)
    none = perplexity(model, [])
    assert math.isnan(none.value)
    assert compared({side: {"ja": before, "en": none} for side in ("before", "after")}) == [("ja", before, before, 1.0)]
    assert compared({"before": {"ja": before}}) == []
