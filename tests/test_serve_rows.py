"""Rows: a reply is the same whoever shares its passes, and text is told once it cannot change."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.models.recorded import RecordedRows
from ishibumi.use import serve_rows
from ishibumi.use.serve_reply import Piece, Reply, Token, Wish
from ishibumi.use.serve_rows import Rows, stream

TEXTS = ["Who scored the first goal of the final?", "a", "東京の天気は", "Spain", "Where was it played?"]


def wishes(model: LoadedModel, max_tokens: int = 12) -> list[Wish]:
    ids = [[256, *model.tokenizer(text, add_special_tokens=False)["input_ids"]] for text in TEXTS]
    return [Wish(of_text, max_tokens + n) for n, of_text in enumerate(ids)]


def said(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def started(model: LoadedModel, wish: Wish) -> tuple[Reply, list[Piece]]:
    pieces: list[Piece] = []
    return Reply(wish, model, pieces.append), pieces


@pytest.mark.parametrize("read_at_once", [1, 7, 512])
@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("way", ["growing", "fixed", pytest.param("recorded", marks=pytest.mark.gpu)])
def test_replies_that_join_and_leave_at_any_step_are_those_made_alone(
    kind: str, read_at_once: int, way: str, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_rows, "READ_AT_ONCE", read_at_once)
    monkeypatch.setattr("ishibumi.models.recorded.COLUMNS", 8)  # so that rows outgrow their places
    model = tiny.load(model_dir(kind))
    model.network.to("cuda" if way == "recorded" else "cpu")
    asked = wishes(model)
    alone = [generate_replies(model, [w.prompt_ids], max_new_tokens=w.max_tokens, batch_size=1)[0].text for w in asked]
    monkeypatch.setattr("ishibumi.models.generate.can_record", lambda _: way != "growing")
    rows = Rows(model)
    replies = [started(model, wish) for wish in asked]
    left_early, unwanted = started(model, Wish([256, *range(60)], 50))
    arrivals = {0: [replies[1][0]], 3: [replies[0][0], left_early], 5: [replies[2][0]], 9: [r for r, _ in replies[3:]]}
    waiting: list[list[Reply]] = []
    for step in range(200):
        waiting += [arrivals[step]] if step in arrivals else []
        if waiting and rows.can_join:
            rows.join(waiting.pop(0))
        if step == 12:
            left_early.is_wanted = False
        rows.step()
    assert len(rows) == 0
    assert [said(pieces) for _, pieces in replies] == alone
    assert left_early.finish is None and len(unwanted) < 50
    assert [pieces[-1].finish for _, pieces in replies] == ["length"] * 5
    assert [len(pieces) for _, pieces in replies] == [wish.max_tokens for wish in asked]


def test_places_are_no_more_than_some_times_what_is_in_them(
    model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ishibumi.models.generate.can_record", lambda _: True)
    model = tiny.load(model_dir("llama"))
    rows = Rows(model)
    places = rows._rows
    assert isinstance(places, RecordedRows)
    sizes: list[tuple[int, int]] = []
    for num_rows, length in ((1, 500), (9, 10), (3, 10), (1, 400)):
        rows.join([started(model, Wish([65] * length, 3))[0] for _ in range(num_rows)])
        while len(rows):
            rows.step()
        sizes.append((places._max_rows, places._max_columns))
    assert sizes == [(1, 768), (16, 256), (16, 256), (1, 640)]


def test_a_stream_says_what_a_batch_says(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("gemma3"))
    asked = wishes(model, 40)
    whole = generate_replies(model, [w.prompt_ids for w in asked], max_new_tokens=40, batch_size=5)
    streamed = [said(list(stream(model, Wish(w.prompt_ids, 40)))) for w in asked]
    assert streamed == [reply.text for reply in whole]


def test_a_streams_log_probabilities_are_those_of_the_exam(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("gemma3"))
    asked = wishes(model, 20)
    whole = generate_replies(model, [w.prompt_ids for w in asked], max_new_tokens=20, batch_size=5)
    for wish, reply in zip(asked, whole, strict=True):
        pieces = list(stream(model, Wish(wish.prompt_ids, 20, num_logprobs=0)))
        tokens = [token for piece in pieces for token in piece.tokens]
        logprobs = [token.logprob for token in tokens if token.logprob is not None]
        assert (len(logprobs), [token.top for token in tokens]) == (reply.num_tokens, [()] * reply.num_tokens)
        assert sum(logprobs) / len(logprobs) == pytest.approx(reply.mean_logprob, abs=1e-5)


def test_rows_that_ask_for_log_probabilities_and_rows_that_do_not_share_a_pass(
    model_dir: Callable[[str], Path],
) -> None:
    model = tiny.load(model_dir("llama"))
    rows = Rows(model)
    asked = [dataclasses.replace(w, num_logprobs=n) for w, n in zip(wishes(model), (None, 0, 2, None, 1), strict=True)]
    replies = [started(model, wish) for wish in asked]
    rows.join([reply for reply, _ in replies])
    while len(rows):
        rows.step()
    for wish, (_, pieces) in zip(asked, replies, strict=True):
        tokens = [token for piece in pieces for token in piece.tokens]
        assert {len(token.top) for token in tokens} == {wish.num_logprobs or 0}
        alone = [token for piece in stream(model, dataclasses.replace(wish, num_logprobs=1)) for token in piece.tokens]
        assert [token.id for token in tokens] == [token.id for token in alone]
        if wish.num_logprobs is None:
            assert {token.logprob for token in tokens} == {None}
        else:
            assert [t.logprob for t in tokens] == pytest.approx([t.logprob for t in alone], abs=1e-5)
        if wish.num_logprobs:  # the likeliest token was chosen
            assert [token.top[0] for token in tokens] == [(token.id, token.logprob) for token in tokens]


def test_a_drawn_reply_depends_on_its_seed_alone(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("qwen3"))
    prompt = wishes(model)[0].prompt_ids

    def drawn(seeds: list[int], top_p: float = 1.0) -> list[str]:
        rows = Rows(model)
        replies = [started(model, Wish(prompt, 10, temperature=1.0, top_p=top_p, seed=seed)) for seed in seeds]
        greedy = started(model, Wish(prompt, 10))
        rows.join([*(reply for reply, _ in replies), greedy[0]])
        while len(rows):
            rows.step()
        return [said(pieces) for _, pieces in [*replies, greedy]]

    together = drawn([1, 2, 3])
    assert together[:3] == [drawn([seed])[0] for seed in (1, 2, 3)]
    assert len(set(together)) == 4
    assert set(drawn([1, 2, 3], top_p=1e-6)) == {together[3]}  # the likeliest token alone


def test_top_p_draws_from_the_fewest_tokens_that_have_it(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    found: set[int] = set()
    for seed in range(200):
        reply, _ = started(model, Wish([1], 1, temperature=1.0, top_p=0.7, seed=seed))
        found.add(int(serve_rows._drawn(logits, [reply])[0]))
    assert found == {1, 3}


def test_log_probabilities_are_those_of_the_model(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    wish = wishes(model)[0]
    reply, pieces = started(model, Wish(wish.prompt_ids, 6, num_logprobs=3))
    rows = Rows(model)
    rows.join([reply])
    while len(rows):
        rows.step()
    with torch.inference_mode():
        logits = model.network(input_ids=torch.tensor([[*wish.prompt_ids, *reply.ids]])).logits[0]
    expected = logits.log_softmax(-1)[len(wish.prompt_ids) - 1 : -1]
    for token, row in zip([t for piece in pieces for t in piece.tokens], expected, strict=True):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-4)
        assert [index for index, _ in token.top] == row.topk(3).indices.tolist()
        assert token.top[0] == (token.id, pytest.approx(token.logprob))


def texts_of(model: LoadedModel, text: str, *stop_texts: str, end: bool = True) -> tuple[list[str], str | None]:
    """The pieces of a reply that is this text."""
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    reply, pieces = started(model, Wish([1], len(ids) + 1, stop_texts=stop_texts))
    for token_id in [*ids, *([257] if end else [])]:
        if reply.finish is None:
            reply.take(Token(token_id))
    return [piece.text for piece in pieces if piece.text], reply.finish


def test_text_is_told_once_it_cannot_change(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    assert texts_of(model, "a東京") == (["a", "東", "京"], "stop")
    assert texts_of(model, "a\nb", "\n\n") == (["a", "\nb"], "stop")
    assert texts_of(model, "a\n\nb", "\n\n", "zz") == (["a"], "stop")
    assert texts_of(model, "ab", "bc") == (["a", "b"], "stop")  # the held b is told at the end
    assert texts_of(model, "ab", "bc", end=False) == (["a"], None)


def test_half_a_character_at_the_end_is_told_as_such(model_dir: Callable[[str], Path]) -> None:
    model = tiny.load(model_dir("llama"))
    reply, pieces = started(model, Wish([1], 2))
    for token_id in list(model.tokenizer("東", add_special_tokens=False)["input_ids"])[:2]:
        reply.take(Token(token_id))
    assert (said(pieces), reply.finish) == ("\ufffd", "length")
    assert not math.isnan(reply.random.random())
