"""The loss without logits equals PyTorch's cross-entropy on all logits, in value and gradient."""

import weakref

import pytest
import torch
import torch.nn.functional as F

from ishibumi.training import loss as loss_module
from ishibumi.training.loss import cross_entropy_sum, graded_cross_entropy, logit_gradients

NUM_TOKENS, HIDDEN, VOCABULARY = 23, 16, 101


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, head, targets (both ends of the vocabulary among them) and weights."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(NUM_TOKENS, HIDDEN, generator=generator).to(dtype).requires_grad_(True)
    head = torch.randn(VOCABULARY, HIDDEN, generator=generator).to(dtype).requires_grad_(True)
    targets = torch.randint(VOCABULARY, (NUM_TOKENS,), generator=generator)
    targets[:3] = torch.tensor([0, VOCABULARY - 1, 0])
    weights = torch.rand(NUM_TOKENS, generator=generator) * 4
    return hidden, head, targets, weights


def reference(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden, head = hidden.detach().float().requires_grad_(True), head.detach().float().requires_grad_(True)
    value = (F.cross_entropy(hidden @ head.T, targets, reduction="none") * weights).sum()
    (value / 7).backward()
    assert hidden.grad is not None and head.grad is not None
    return value.detach(), hidden.grad, head.grad


@pytest.mark.parametrize(("tile", "at_once"), [(2048, 1024), (101, 23), (16, 5), (7, 1)])
def test_value_and_gradients_are_those_of_cross_entropy_in_fp32(
    tile: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CPU_TILE", tile)
    monkeypatch.setattr(loss_module, "MAX_TOKENS_AT_ONCE", at_once)
    hidden, head, targets, weights = inputs(torch.float32)
    wanted = reference(hidden, head, targets, weights)
    value = cross_entropy_sum(hidden, head, targets, weights)
    (value / 7).backward()
    assert value.dtype == torch.float32
    assert hidden.grad is not None and head.grad is not None
    for got, expected in zip((value.detach(), hidden.grad, head.grad), wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, head, targets, weights = inputs(torch.float32)
    cross_entropy_sum(hidden, head.detach(), targets, weights).backward()
    _, wanted, _ = reference(hidden, head, targets, weights)
    assert hidden.grad is not None
    torch.testing.assert_close(hidden.grad / 7, wanted, rtol=1e-5, atol=1e-5)
    assert head.grad is None


def test_bf16_is_close_and_keeps_its_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CPU_TILE", 16)
    hidden, head, targets, weights = inputs(torch.bfloat16)
    wanted = reference(hidden, head, targets, weights)
    value = cross_entropy_sum(hidden, head, targets, weights)
    (value / 7).backward()
    assert hidden.grad is not None and head.grad is not None
    assert (value.dtype, hidden.grad.dtype, head.grad.dtype) == (torch.float32, torch.bfloat16, torch.bfloat16)
    for got, expected in zip((value.detach(), hidden.grad.float(), head.grad.float()), wanted, strict=True):
        assert float((got - expected).norm() / expected.norm()) < 0.01


def test_logits_far_apart_stay_finite() -> None:
    hidden, head = torch.tensor([[100.0]], requires_grad=True), torch.tensor([[100.0], [-100.0]], requires_grad=True)
    value = cross_entropy_sum(hidden, head, torch.tensor([1]), torch.ones(1))
    value.backward()
    assert value.item() == 20_000
    assert hidden.grad is not None and hidden.grad.tolist() == [[200.0]]


def test_counts_weigh_words_in_the_normaliser() -> None:
    hidden, head, targets, weights = inputs(torch.float32)
    counts = torch.ones(VOCABULARY)
    counts[40:60] = 3  # twenty words that stand for sixty
    targets = torch.where((targets >= 40) & (targets < 60), 0, targets)
    wide = torch.cat([head.detach(), head.detach()[40:60], head.detach()[40:60]])
    wanted, wanted_grad, _ = reference(hidden, wide, targets, weights)
    value = cross_entropy_sum(hidden, head, targets, weights, counts.log())
    (value / 7).backward()
    assert hidden.grad is not None
    torch.testing.assert_close(value.detach(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hidden.grad, wanted_grad, rtol=1e-5, atol=1e-5)


def test_the_gradients_that_a_gpu_makes_of_logits_are_those_of_cross_entropy() -> None:
    hidden, head, targets, weights = inputs(torch.float32)
    wanted, wanted_hidden, wanted_head = reference(hidden, head, targets, weights)
    logits = (hidden @ head.T).detach()
    nll, right, grad = logit_gradients(logits, targets, weights, None)
    assert torch.equal(right, logits.argmax(-1) == targets)
    torch.testing.assert_close((nll * weights).sum(), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad @ head.detach() / 7, wanted_hidden, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad.T @ hidden.detach() / 7, wanted_head, rtol=1e-5, atol=1e-5)
    counts = torch.full((VOCABULARY,), 2.0).log()  # every word twice
    doubled, _, _ = logit_gradients((hidden @ head.T).detach(), targets, weights, counts)
    torch.testing.assert_close((doubled * weights).sum(), wanted + weights.sum() * counts[0], rtol=1e-5, atol=1e-5)


def test_a_text_that_is_known_by_heart_still_has_a_gradient_in_bf16() -> None:
    logits = torch.tensor([[8.0, 0.0, 0.0]], dtype=torch.bfloat16)
    _, _, grad = logit_gradients(logits, torch.tensor([0]), torch.ones(1), None)
    p = logits.double().softmax(-1)[0]
    assert grad[0].tolist() == pytest.approx([float(p[0]) - 1, float(p[1]), float(p[2])], rel=0.01)
    assert float(p[0].bfloat16()) == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_token_tells_whether_it_is_the_likeliest(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CPU_TILE", 16)
    hidden, head, targets, weights = inputs(dtype)
    logits = (hidden @ head.T).detach().float()
    targets = torch.where(torch.arange(len(targets)) % 2 == 0, logits.argmax(-1), targets)  # half of them right
    counts = torch.arange(VOCABULARY).float().exp().clamp(max=20)  # words that count several times are no likelier
    value, right = graded_cross_entropy(hidden, head, targets, weights)
    wanted = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    assert value.item() == pytest.approx(float((wanted * weights).sum()), rel=0.01)
    assert torch.equal(right, logits.argmax(-1) == targets) and not right.all() and right.any()
    assert torch.equal(graded_cross_entropy(hidden, head, targets, weights, counts.log())[1], right)


def test_on_a_gpu_a_parts_gradient_goes_before_the_next_parts_logits_come(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def watched(
        logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor, log_counts_V: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        assert all(grad() is None for grad in made)
        found = logit_gradients(logits_NV, targets_N, weights_N, log_counts_V)
        made.append(weakref.ref(found[2]))
        return found

    monkeypatch.setattr(loss_module, "_logit_gradients", lambda: watched)
    monkeypatch.setattr(loss_module, "part_tokens", lambda _: 10)
    hidden, head, targets, weights = inputs(torch.float32)
    part = loss_module._Part(hidden.detach(), targets, weights)
    nll_N, _, grad_hidden, grad_head = loss_module._on_gpu(part, head.detach(), None, True)
    assert len(made) == 3
    value, wanted_hidden, wanted_head = reference(hidden, head, targets, weights)
    torch.testing.assert_close((nll_N * weights).sum(), value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad_hidden / 7, wanted_hidden, rtol=1e-4, atol=1e-5)
    assert grad_head is not None
    torch.testing.assert_close(grad_head / 7, wanted_head, rtol=1e-4, atol=1e-5)
