"""A sample of words stands for all of them: the normaliser is right on average, and exact where all are drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ishibumi.training.loss import cross_entropy_sum
from ishibumi.training.tokens import Example, TokenStore, open_tokens, write_tokens
from ishibumi.training.vocabulary import Vocabulary

SIZE, HIDDEN = 500, 8
HEAD = torch.randn(SIZE, HIDDEN, generator=torch.Generator().manual_seed(6)) / 2


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    write_tokens(tmp_path, [Example([7, 3, 499, 0, 3], [False, True, True, True, True], "d", "document")])
    return open_tokens(tmp_path)


def nll(vocabulary: Vocabulary | None, step: int = 0) -> tuple[float, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(4, HIDDEN, generator=generator).requires_grad_(True)
    targets = torch.tensor([3, 499, 0, 3])
    if vocabulary is None:
        value = F.cross_entropy(hidden @ HEAD.T, targets, reduction="sum")
    else:
        words = vocabulary.words(step)
        value = cross_entropy_sum(hidden, words.head_CD, words.places_of(targets), torch.ones(4), words.log_counts_C)
    value.backward()
    assert hidden.grad is not None
    return float(value.detach()), hidden.grad


def test_a_step_has_all_words_of_the_texts_and_the_others_count_for_all(store: TokenStore) -> None:
    words = Vocabulary(store, HEAD, 20, 1).words(4)
    ids = words.ids_C.tolist()
    assert ids == sorted(set(ids)) and len(ids) == 24
    assert {0, 3, 7, 499} <= set(ids)
    assert float(words.log_counts_C.exp().sum()) == pytest.approx(SIZE)
    assert words.log_counts_C[words.places_of(torch.tensor([3, 499, 0, 7]))].tolist() == [0, 0, 0, 0]
    assert words.ids_C[words.places_of(torch.tensor([499, 3]))].tolist() == [499, 3]
    assert torch.equal(words.head_CD, HEAD[words.ids_C])


def test_words_are_a_function_of_seed_and_step(store: TokenStore) -> None:
    def ids(seed: int, step: int) -> list[int]:
        return Vocabulary(store, HEAD, 20, seed).words(step).ids_C.tolist()

    assert ids(1, 4) == ids(1, 4)
    assert ids(1, 4) != ids(1, 5) and ids(1, 4) != ids(2, 4)


@pytest.mark.parametrize("num_others", [SIZE - 4, 10 * SIZE])
def test_with_all_words_drawn_it_is_cross_entropy(store: TokenStore, num_others: int) -> None:
    value, gradient = nll(Vocabulary(store, HEAD, num_others, 1))
    wanted, wanted_gradient = nll(None)
    assert value == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-4, atol=1e-5)


def test_samples_are_right_on_average(store: TokenStore) -> None:
    vocabulary = Vocabulary(store, HEAD, 100, 1)
    runs = [nll(vocabulary, step) for step in range(300)]
    wanted, wanted_gradient = nll(None)
    assert float(np.mean([value for value, _ in runs])) == pytest.approx(wanted, rel=0.02)
    mean_gradient = torch.stack([gradient for _, gradient in runs]).mean(0)
    assert (
        float((mean_gradient - wanted_gradient).norm() / wanted_gradient.norm()) < 0.1
    )  # log of a mean is not quite the mean of logs
