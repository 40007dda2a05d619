"""The exam on tiny networks: questions are read, every arm answers, intervals and perplexities are exact."""

import datetime as dt
import json
import math
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
from ishibumi.exam.evaluate import Answer, few_shot_text, passage_text, run_arm
from ishibumi.exam.forgetting import MAX_TEXT_TOKENS, forgetting_ratio, perplexity, perplexity_by_language, text_ids
from ishibumi.exam.interval import interval, paired_difference
from ishibumi.exam.questions import Question, for_documents, read_questions
from ishibumi.exam.retrieval import index_documents, search_terms
from ishibumi.exam.shots import SHOTS
from ishibumi.exam.summary import summarise
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
        for token, following in chain.items():
            (a,) = tokenizer(token, add_special_tokens=False)["input_ids"]
            (b,) = tokenizer(following, add_special_tokens=False)["input_ids"]
            network.lm_head.weight[b, a] = 5
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
    difference = paired_difference(first, [x - 1 for x in first], documents)
    assert (difference.mean, difference.low, difference.high) == (1.0, 1.0, 1.0)
    assert interval(first, documents) == interval(first, documents)


def test_all_wrong_is_not_proof_of_never() -> None:
    documents = [str(index) for index in range(32)]
    none = interval([0.0] * 32, documents)
    assert (none.mean, none.low, round(none.high, 3)) == (0.0, 0.0, 0.109)
    every = interval([1.0] * 32, documents)
    assert (every.mean, round(every.low, 3), every.high) == (1.0, 0.891, 1.0)


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
    before = perplexity_by_language(model, {"ja": ["x" * 2000], "en": []})
    assert (before["ja"].num_tokens, before["ja"].num_cut) == (MAX_TEXT_TOKENS - 1, 1)
    assert math.isnan(before["en"].value)
    assert forgetting_ratio(before["ja"], before["ja"]) == 1.0
