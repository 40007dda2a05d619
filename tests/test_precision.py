"""Frozen weights in 8 and 4 bits: what they compute, how they train, and that merging never sees them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from ishibumi.training.adapters import attach
from ishibumi.training.precision import (
    NF4_VALUES,
    EightBitLinear,
    Nf4Linear,
    Precision,
    frozen_in,
    largest_inputs,
    packed_to_nf4,
    quantised,
    unpacked_from_nf4,
)
from ishibumi.training.stage import Mix, run_stage


def frozen(num_in: int, num_out: int) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(num_in, num_out).requires_grad_(False)


def test_four_bits_hold_the_sixteen_values_exactly() -> None:
    weight = torch.tensor(NF4_VALUES).repeat(4)[None] * torch.tensor([[0.5], [2.0]])
    packed, scales = packed_to_nf4(weight)
    assert (packed.shape, packed.dtype, scales.tolist()) == ((2, 32), torch.uint8, [[0.5], [2.0]])
    assert torch.equal(unpacked_from_nf4(packed, scales, torch.tensor(NF4_VALUES), torch.float32), weight)


@pytest.mark.parametrize(
    ("precision", "kind", "tolerance"),
    [("fp8", EightBitLinear, 0.05), ("int8", EightBitLinear, 0.02), ("nf4", Nf4Linear, 0.12)],
)
def test_outputs_and_gradients_are_near_those_of_the_weights_that_were_rounded(
    precision: Precision, kind: type[nn.Module], tolerance: float
) -> None:
    linear = frozen(128, 48)
    small = quantised(linear, precision)
    assert isinstance(small, kind)
    x = torch.randn(3, 5, 128, requires_grad=True)
    wanted = linear(x)
    (wanted_grad,) = torch.autograd.grad(wanted.square().sum(), x)
    got = small(x)
    (grad,) = torch.autograd.grad(got.square().sum(), x)
    assert 0 < float((got - wanted).detach().norm() / wanted.detach().norm()) < tolerance
    assert 0 < float((grad - wanted_grad).norm() / wanted_grad.norm()) < tolerance


@pytest.mark.parametrize("precision", ["fp8", "int8"])
def test_gradients_take_the_outputs_scales_along(precision: Precision) -> None:
    linear = frozen(32, 16)
    linear.weight.mul_(torch.logspace(-3, 3, 16)[:, None])  # rows of very different size
    x = torch.randn(8, 32, requires_grad=True)
    grad_out = torch.randn(8, 16)
    (wanted,) = torch.autograd.grad(linear(x), x, grad_out)
    (grad,) = torch.autograd.grad(quantised(linear, precision)(x), x, grad_out)
    assert float((grad - wanted).norm() / wanted.norm()) < 0.06


def test_int8_balances_weights_against_inputs_of_which_few_are_large() -> None:
    linear = frozen(128, 48)
    network = nn.Module()
    network.base_model = nn.ModuleList([linear])  # what a decoder looks like from outside
    x = torch.randn(64, 128)
    x[:, :3] *= 50
    x.requires_grad_()
    largest = largest_inputs(network, lambda: linear(x))
    assert torch.equal(largest[linear], x.abs().amax(0))
    wanted, grad_out = linear(x), torch.randn(64, 48)
    (wanted_grad,) = torch.autograd.grad(wanted, x, grad_out)

    def error(small: nn.Module) -> tuple[float, float]:
        got = small(x)
        (grad,) = torch.autograd.grad(got, x, grad_out)
        return tuple(float(((a - b).norm() / b.norm()).detach()) for a, b in ((got, wanted), (grad, wanted_grad)))  # type: ignore[return-value]

    balanced, plain = (error(quantised(linear, "int8", found)) for found in (largest[linear], None))
    assert balanced[0] < 0.5 * plain[0] and balanced[1] < 0.05


def test_sizes_that_a_format_cannot_hold_stay_as_they_are() -> None:
    for linear, precision in ((frozen(24, 16), "fp8"), (frozen(32, 16), "nf4"), (frozen(64, 16), "bf16")):
        assert quantised(linear, precision) is linear  # type: ignore[arg-type]


def test_the_decoder_gets_its_own_weights_back(model_dir: Callable[[str], Path]) -> None:
    network = tiny.load(model_dir("llama")).network
    attach(network, tiny.settings(targets=["q_proj", "lm_head"]), 1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with frozen_in(network, "fp8"):
        kinds = [type(m).__name__ for m in network.base_model.modules()]  # type: ignore[union-attr, operator]
        assert kinds.count("EightBitLinear") == 2 * 7 and "Linear" not in kinds
        assert network.get_output_embeddings().weight.requires_grad  # type: ignore[operator]
    after = dict(network.named_parameters())
    assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("precision", ["bf16", "fp8", "int8", "nf4"])
def test_a_stage_trains_and_merges_into_the_weights_as_loaded(
    precision: str, dtype: str, model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ishibumi.training.compiled.precision_on", lambda wanted, *_, **__: wanted
    )  # a CPU can, only slowly
    model = tiny.load(model_dir("qwen3"), dtype)
    settings = tiny.settings(precision=precision, targets=["up_proj"], epochs=20)
    texts = [tiny.example("Spain beat Argentina 1-0.")]
    manifest = run_stage(
        model, texts, Mix(own=("document",), shares={}), settings, tmp_path, seed=1,
        on_step=lambda _: None, should_stop=lambda: False,
    )  # fmt: skip
    assert manifest["precision"] == precision
    assert manifest["loss_last"] < 0.9 * manifest["loss_first"]
    assert manifest["merge_difference"] < (1e-5 if dtype == "float32" else 2e-2)


def test_products_with_four_bits_are_those_with_the_weights_they_stand_for() -> None:
    linear = frozen(128, 48)
    small = quantised(linear, "nf4")
    assert isinstance(small, Nf4Linear)
    linear.weight.copy_(unpacked_from_nf4(small.packed, small.scales, small.values, torch.float32))
    x, grad_out = torch.randn(8, 128, requires_grad=True), torch.randn(8, 48)
    assert torch.equal(small(x), linear(x))
    (wanted,) = torch.autograd.grad(linear(x), x, grad_out)
    (grad,) = torch.autograd.grad(small(x), x, grad_out)
    torch.testing.assert_close(grad, wanted)
    assert small.packed.numel() + 2 * small.scales.numel() == 128 * 48 * 4.25 / 8  # bytes


def test_weights_kept_turned_give_the_same_bits() -> None:
    linear = frozen(32, 48)
    x = torch.randn(8, 32, requires_grad=True)
    once, twice = (EightBitLinear(linear.weight, linear.bias, torch.float8_e4m3fn) for _ in range(2))
    twice.keep_turned()
    (a,), (b,) = (torch.autograd.grad(m(x).square().sum(), x) for m in (once, twice))
    assert torch.equal(a, b) and torch.equal(once(x), twice(x))
