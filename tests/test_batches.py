"""Tokens and plans: what stands in which row of which step, and that it depends on seed and epoch alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from ishibumi.errors import TrainingError, UsageError
from ishibumi.training.batches import Plan, epoch_examples, make_plan, pack_rows, positions_of
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.tokens import (
    Example,
    Source,
    TokenStore,
    fit_rows,
    open_tokens,
    share_beginnings,
    whole_text,
    write_tokens,
)


def examples(lengths: Sequence[int], source: Source = "document") -> list[Example]:
    return [Example([7] * n, [False] + [True] * (n - 1), f"d{i}", source) for i, n in enumerate(lengths)]


def store(directory: Path, *groups: Sequence[Example]) -> TokenStore:
    write_tokens(directory, [example for group in groups for example in group])
    return open_tokens(directory)


def plan(of: TokenStore, *, shares: Mapping[Source, float] | None = None, **changes: Any) -> Plan:
    base: dict[str, Any] = {
        "own": ("document",), "shares": shares or {}, "epochs": 1, "row_tokens": 20, "tokens_per_step": 40, "seed": 1,
    }  # fmt: skip
    return make_plan(of, **base | changes)


# --- tokens


def test_a_text_is_learned_from_its_second_token_to_its_end() -> None:
    assert whole_text([5, 6], 1, 2, "d", "view") == Example([1, 5, 6, 2], [False, True, True, True], "d", "view")
    assert whole_text([1, 5], 1, 2, "d", "view").ids == [1, 5, 2]
    assert whole_text([5, 6], None, 2, "d", "view") == Example([5, 6, 2], [False, True, True], "d", "view")


def test_long_texts_go_on_and_long_questions_are_left_out_and_counted() -> None:
    text = Example([1, 2, 3, 4, 5, 6, 7], [False] + [True] * 6, "d", "document")
    question = Example([1, 2, 3, 4, 5, 6, 7], [False] * 4 + [True] * 3, "d", "question")
    chat = Example([1, 2, 3, 4], [False, False, False, True], "", "chat")
    assert fit_rows([text, question, chat], 3) == (
        [
            Example([1, 2, 3], [False, True, True], "d", "document"),
            Example([4, 5, 6], [False, True, True], "d", "document"),  # a single token would teach nothing
        ],
        3,
    )
    assert fit_rows([chat], 4) == ([chat], 0)


def test_stored_tokens_come_back(tmp_path: Path) -> None:
    made = [*examples([3, 2]), Example([9, 8], [False, True], "", "chat")]
    found = store(tmp_path, made)
    assert len(found) == 3
    assert found.lengths.tolist() == [3, 2, 2]
    assert [(*map(list, found.example(i)),) for i in range(3)] == [(e.ids, e.learned) for e in made]
    assert found.document_ids == ["d0", "d1", ""]
    assert (found.of_source("document").tolist(), found.of_source("chat").tolist()) == ([0, 1], [2])
    assert found.of_source("replay").tolist() == []


def question(ids: list[int], num_answer: int = 1, document_id: str = "d") -> Example:
    num_prompt = len(ids) - num_answer
    return Example(ids, [False] * num_prompt + [True] * num_answer, document_id, "question")


def test_questions_that_begin_alike_become_a_trunk_with_branches() -> None:
    first, second, other = (
        question([1, 5, 6, 7, 20]),
        question([1, 5, 6, 8, 9, 21, 22], 2),
        question([1, 5, 6, 7, 20], 1, "e"),
    )
    assert share_beginnings([second, other, first], 20) == [
        Example(
            [1, 5, 6, 7, 20, 8, 9, 21, 22],
            [False] * 4 + [True] + [False] * 2 + [True] * 2,
            "d",
            "question",
            [0, 0, 0, 1, 1, 2, 2, 2, 2],
        ),
        other,
    ]
    assert share_beginnings([first, second], 8) == [first, second]  # would not fit


def test_a_branch_keeps_a_token_of_its_prompt() -> None:
    """The first answer token is predicted by the token before it, which must stand before it in the row."""
    (joined,) = share_beginnings([question([1, 5, 6, 20]), question([1, 5, 6, 21])], 20)
    assert joined.ids == [1, 5, 6, 20, 6, 21]
    assert joined.learned == [False, False, False, True, False, True]
    assert joined.branches == [0, 0, 1, 1, 2, 2]


def test_positions_go_on_where_the_trunk_ends() -> None:
    assert positions_of(np.array([0, 0, 1, 1, 1, 2, 2])).tolist() == [0, 1, 2, 3, 4, 2, 3]
    assert positions_of(np.array([0, 0, 0])).tolist() == [0, 1, 2]
    assert positions_of(np.array([1, 1, 2])).tolist() == [0, 1, 0]


def test_branches_are_stored_and_laid_out(tmp_path: Path) -> None:
    joined = share_beginnings([question([1, 5, 6, 20]), question([1, 5, 6, 21])], 20)
    found = plan(store(tmp_path, joined, examples([3])), own=("document", "question"), row_tokens=10)
    batch = next(found.passes(found.rows, 10))
    start = 0 if found.rows[0] == [0, 1] else 3
    assert batch.branches_RT[0, start : start + 6].tolist() == [0, 0, 1, 1, 2, 2]
    assert batch.positions_RT[0, start : start + 6].tolist() == [0, 1, 2, 3, 2, 3]
    assert len(set(batch.segments_RT[0, start : start + 6].tolist())) == 1


# --- packing


def test_rows_are_filled_by_the_text_that_fits_best() -> None:
    lengths = np.array([6, 3, 5, 4, 2, 10, 1])
    assert pack_rows([0, 1, 2, 3, 4, 5, 6], lengths, 10) == [[0, 1, 6], [2, 3], [4], [5]]
    assert pack_rows([5, 4, 3, 2, 1, 0], lengths, 10) == [[5], [4, 3, 1], [2], [0]]
    assert pack_rows([], lengths, 10) == []


def test_a_batch_is_laid_out_as_drawn(tmp_path: Path) -> None:
    made = [Example([1, 5, 6, 2], [False, False, True, True], "a", "question"), *examples([3])]
    found = plan(store(tmp_path, made), own=("document", "question"), row_tokens=9, answer_weight=2.5)
    row = found.rows[0]
    batch = next(found.passes([row], 9))
    first, second = ([1, 5, 6, 2], [0.0, 0.0, 2.5, 2.5]), ([7, 7, 7], [0.0, 1.0, 1.0])
    if row == [1, 0]:
        first, second = second, first
    n, m = len(first[0]), len(second[0])
    assert batch.ids_RT.tolist() == [[*first[0], *second[0], 0, 0]]
    assert batch.weights_RT.tolist() == [[*first[1], *second[1], 0.0, 0.0]]
    assert batch.segments_RT.tolist() == [[0] * n + [1] * m + [2, 2]]
    assert batch.positions_RT.tolist() == [[*range(n), *range(m), 0, 1]]
    assert found.weight_sum([row]) == 2 * 2.5 + 2
    assert found.num_tokens([row]) == 7
    assert found.document_ids([row]) == ["a", "d0"]


def test_passes_have_one_shape_and_hold_every_row_once(tmp_path: Path) -> None:
    found = plan(store(tmp_path, examples([20] * 5)), tokens_per_step=100)
    batches = list(found.passes(found.rows_of_step(0), 40))
    assert [tuple(b.ids_RT.shape) for b in batches] == [(2, 20)] * 3
    assert [int((b.weights_RT > 0).sum()) for b in batches] == [38, 38, 19]
    assert len(list(found.passes(found.rows_of_step(0), 1))) == 5  # one row at least
    assert [tuple(b.ids_RT.shape) for b in found.passes(found.rows_of_step(0), 10_000)] == [(5, 20)]


# --- plans


def test_every_own_text_comes_once_an_epoch_in_another_order(tmp_path: Path) -> None:
    found = plan(store(tmp_path, examples([20] * 30)), epochs=3)
    epochs = [[i for row in found.rows[30 * e : 30 * (e + 1)] for i in row] for e in range(3)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert (found.num_steps, found.epoch_rows, found.epoch_steps) == (45, [30, 60, 90], [15, 30, 45])


def test_a_plan_is_a_pure_function_of_seed_and_epoch(tmp_path: Path) -> None:
    found = store(tmp_path, examples([5, 9, 3, 20, 7, 8]), examples([4] * 50, "replay"))
    shares: dict[Source, float] = {"replay": 0.3}
    assert plan(found, shares=shares, epochs=2).rows == plan(found, shares=shares, epochs=2).rows
    assert plan(found, shares=shares, seed=2).rows != plan(found, shares=shares).rows
    longer = plan(found, shares=shares, epochs=4).rows
    shorter = plan(found, shares=shares, epochs=2).rows
    assert longer[: len(shorter)] == shorter
    second = epoch_examples(found, ("document",), shares, 1, 1)
    assert sorted(i for row in shorter[plan(found, shares=shares).epoch_rows[0] :] for i in row) == sorted(second)


@pytest.mark.parametrize(("replay", "chat"), [(0.1, 0.1), (0.5, 0.25), (0.0, 0.3)])
def test_shares_of_tokens_are_met_within_one_text(tmp_path: Path, replay: float, chat: float) -> None:
    rng = np.random.default_rng(5)
    own, general, chats = (list(rng.integers(3, 40, size=n)) for n in (200, 90, 15))
    found = store(tmp_path, examples(own), examples(general, "replay"), examples(chats, "chat"))
    chosen = epoch_examples(found, ("document",), {"replay": replay, "chat": chat}, 1, 0)
    total = sum(own) / (1 - replay - chat)
    expected: list[tuple[Source, float]] = [("replay", replay), ("chat", chat)]
    for source, share in expected:
        drawn = [i for i in chosen if i in set(found.of_source(source).tolist())]
        assert abs(int(found.lengths[drawn].sum()) - share * total) <= 20
        uses = np.bincount(drawn, minlength=len(found))[found.of_source(source)]
        assert uses.max() - uses.min() <= 1  # all are taken before one is repeated


def test_a_source_that_is_empty_leaves_its_share_to_the_others(tmp_path: Path) -> None:
    found = store(tmp_path, examples([5, 9]))
    assert sorted(epoch_examples(found, ("document", "view"), {"replay": 0.5, "chat": 1.0}, 1, 0)) == [0, 1]


def test_shares_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    found = store(tmp_path, examples([5]), examples([5], "replay"), examples([5], "chat"))
    with pytest.raises(UsageError, match=r"The shares \{'replay': 0.6, 'chat': 0.4\} leave no room") as caught:
        plan(found, shares={"replay": 0.6, "chat": 0.4})
    assert caught.value.hint and caught.value.hint_ja


def test_epochs_may_be_fractions_and_max_tokens_cuts(tmp_path: Path) -> None:
    found = store(tmp_path, examples([20] * 10))
    whole = plan(found, epochs=3).rows
    half = plan(found, epochs=2.5)
    assert (half.rows, half.epoch_rows) == (whole[:25], [10, 20, 25])
    assert plan(found, epochs=0.3).rows == whole[:3]
    assert plan(found, epochs=0.001).rows == whole[:1]
    cut = plan(found, epochs=3, max_tokens=305)
    assert (cut.rows, cut.epoch_rows, cut.num_steps) == (whole[:15], [10, 15], 8)
    assert plan(found, epochs=3, max_tokens=1).rows == whole[:1]
    assert plan(found, epochs=1, max_tokens=10**9).rows == whole[:10]


def test_a_hundred_thousand_texts_are_planned_in_seconds(tmp_path: Path) -> None:
    found = store(tmp_path, examples([20] * 50_000), examples([20] * 50_000, "replay"))
    assert len(plan(found, shares={"replay": 0.5}).rows) == 100_000


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Nothing to train on: 1 of 1 texts are longer than row_tokens = 64"):
        run_stage(
            None, examples([99], "chat"), Mix(("chat",), {}), tiny.settings(), tmp_path,  # type: ignore[arg-type]
            seed=1, on_step=lambda record: None, should_stop=lambda: False,
        )  # fmt: skip
