"""AdamW with small states: near torch's in fp32, exact or without bias in its masters, still where a step failed."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from ishibumi.training import small_adamw
from ishibumi.training.eight_bits import coded, decoded
from ishibumi.training.small_adamw import SmallAdamW, joined, parted, resident, shortened, spans

BETAS = (0.9, 0.99)


def one(
    weight: torch.Tensor, rate: float, decay: float, *, offloaded: bool = False
) -> tuple[nn.Parameter, SmallAdamW, torch.Tensor]:
    parameter, failed = nn.Parameter(weight.bfloat16().clone()), torch.zeros(())
    groups = [{"params": [parameter], "lr": torch.tensor(rate)}]
    return parameter, SmallAdamW(groups, BETAS, decay, failed, offloaded=offloaded), failed


def masters(parameter: nn.Parameter, ours: SmallAdamW) -> torch.Tensor:
    """The masters of the only parameter."""
    rest = torch.cat([state[0].flatten() for state in ours.states])
    return joined(parameter.detach(), rest.view(parameter.shape))


def against_exact(
    weight: torch.Tensor, gradient: Callable[[int], torch.Tensor], num_steps: int, rate: float, decay: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far masters move in 8 bits, and how far torch's AdamW moves them in 64."""
    weight = weight.bfloat16()
    parameter, ours, _ = one(weight, rate, decay, offloaded=True)
    master = nn.Parameter(weight.double())
    theirs = torch.optim.AdamW([master], lr=rate, betas=BETAS, weight_decay=decay)
    for step in range(num_steps):
        parameter.grad = gradient(step).bfloat16()
        master.grad = parameter.grad.double()
        ours.step()
        theirs.step()
    return masters(parameter, ours) - weight.float(), (master.detach() - weight.double()).float()


def test_a_master_is_its_bf16_number_and_a_rest() -> None:
    torch.manual_seed(0)
    master = torch.cat(
        [torch.randn(1000) * torch.randn(1000).exp(), torch.tensor([0.0, -0.0, 1.00390625, -1.00390625])]
    )
    p, rest = parted(master)
    assert torch.equal(joined(p, rest), master)
    assert float(((p.float() - master) / master.abs().clamp(min=1e-30)).abs().max()) <= 2**-8


def test_a_shorter_rest_is_right_in_the_mean_and_keeps_what_fits() -> None:
    torch.manual_seed(0)
    master = torch.full((100_000,), 1 + 2.0**-18)  # a quarter of the way between two numbers of 24 bits
    random = torch.randint(-(2**31), 2**31, master.shape, dtype=torch.int32)
    p, rest = parted(shortened(master, random), torch.int8)
    assert set(joined(p, rest).tolist()) == {1.0, 1 + 2.0**-15}
    assert float(joined(p, rest).mean() - 1) == pytest.approx(2.0**-18, rel=0.03)
    kept = torch.cat([torch.randn(1000), torch.tensor([0.0, 1.00390625])]).view(torch.int32) & ~0xFF
    same = shortened(kept.view(torch.float32), random[:1002])
    assert torch.equal(joined(*parted(same, torch.int8)), kept.view(torch.float32))


def test_fifty_steps_are_those_of_adamw_in_fp32() -> None:
    torch.manual_seed(0)
    weight = torch.randn(50, 64).bfloat16()
    parameter, ours, _ = one(weight, 1e-4, 0.1)
    master = nn.Parameter(weight.float())
    theirs = torch.optim.AdamW([master], lr=1e-4, betas=BETAS, weight_decay=0.1)
    for step in range(50):
        parameter.grad = (torch.randn(50, 64) * (1 + step % 3)).bfloat16()
        master.grad = parameter.grad.float()
        ours.step()
        theirs.step()
    moved = masters(parameter, ours) - weight.float()
    wanted = master.detach() - weight.float()
    assert float((moved - wanted).norm() / wanted.norm()) < 0.01
    # The first updates are below what bf16 can tell apart near 1.
    assert float(wanted.abs().max()) < 2**-7


@pytest.mark.parametrize(
    ("decades", "most", "bias"),
    [(0, 0.025, 0.002), (2, 0.05, 0.01), (4, 0.08, 0.015), (6, 0.11, 0.03)],
)
def test_steps_in_8_bits_are_those_of_adamw_however_gradients_differ(decades: int, most: float, bias: float) -> None:
    torch.manual_seed(0)
    shape = (24, 256)
    size, mean = 1e-5 * 10 ** (decades * torch.rand(shape)), 0.3 * torch.randn(shape)  # within each block of 256
    moved, wanted = against_exact(
        0.02 * torch.randn(shape), lambda _: size * (mean + torch.randn(shape)), num_steps=200, rate=1e-4, decay=0.1
    )
    assert float((moved - wanted).norm() / wanted.norm()) < most
    for some in (size >= 0, size <= size.quantile(0.05), size >= size.quantile(0.95)):
        share = float((moved[some] * wanted[some]).sum() / wanted[some].square().sum())
        assert share == pytest.approx(1, abs=max(bias, 0.01))


def test_rows_that_seldom_get_a_gradient_move_as_in_adamw() -> None:
    torch.manual_seed(0)

    def gradient(_: int) -> torch.Tensor:
        return torch.randn(24, 256) * (torch.rand(24, 1) < 0.05)

    moved, wanted = against_exact(0.02 * torch.randn(24, 256), gradient, num_steps=200, rate=1e-4, decay=0.1)
    assert float((moved - wanted).norm() / wanted.norm()) < 0.1


def test_updates_far_below_a_master_of_24_bits_are_not_lost() -> None:
    # Near 1.5 such masters are 3e-5 apart; a step is 1e-6.
    moved, wanted = against_exact(
        torch.full((16, 256), 1.5), lambda _: 1 + 0.1 * torch.randn(16, 256), num_steps=100, rate=1e-6, decay=0.1
    )
    assert float(moved.mean()) == pytest.approx(float(wanted.mean()), rel=0.02)


def test_codes_keep_moments_within_a_step_and_the_mean_exact() -> None:
    torch.manual_seed(0)
    size = torch.tensor([[0.5], [2.0], [4.0], [9.0], [15.0]])  # a block's second moments span 1 to 30 powers of two
    second = 1e-8 * 2 ** (size * (2 * torch.rand(5, 256) - 1))
    first = second.sqrt() * torch.randn(5, 256)
    second[:, 0] = first[:, 0] = 0.0
    draws = [torch.randint(-(2**31), 2**31, (5, 256), dtype=torch.int32) for _ in range(400)]
    found = [decoded(*coded(first, second, draw)) for draw in draws]
    for exact, name, steps in ((second, 1, (6, 5, 4, 3, 3)), (first, 0, (4, 3, 3, 3, 2))):
        some = exact != 0
        values = torch.stack([pair[name] for pair in found])
        assert not values[:, ~some].any()
        step = 2.0 ** -torch.tensor(steps)[:, None]
        is_large = exact.abs() > exact.abs().amax(1, keepdim=True) * 2.0**-7
        assert bool(((values - exact).abs() <= step * exact.abs())[:, some & is_large].all())
        mean = float((values.mean(0) / exact)[some & is_large].mean())
        assert mean == pytest.approx(1, abs=2e-3)
    again = coded(*found[0], draws[1])
    assert all(torch.equal(a, b) for a, b in zip(decoded(*again), found[0], strict=True))  # what fits stays


@pytest.mark.parametrize("offloaded", [False, True])
def test_nothing_moves_after_a_step_that_failed(offloaded: bool) -> None:
    parameter, ours, failed = one(torch.ones(8), 1e-2, 0.0, offloaded=offloaded)
    parameter.grad = torch.full((8,), torch.nan, dtype=torch.bfloat16)
    failed.fill_(1)
    ours.step()
    assert parameter.tolist() == [1.0] * 8 and float(ours.num_steps) == 0
    assert not any(tensor.any() for state in ours.states for tensor in state)


@pytest.mark.parametrize("offloaded", [False, True])
def test_a_stored_state_goes_on_bit_for_bit(offloaded: bool) -> None:
    def run(num_first: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        parameter, ours, _ = one(torch.ones(700), 1e-2, 0.1, offloaded=offloaded)
        for step in range(6):
            if step == num_first:
                kept, stored = parameter.detach().clone(), ours.state_dict()
                parameter, ours, _ = one(kept, 1e-2, 0.1, offloaded=offloaded)
                ours.load_state_dict(stored)
            parameter.grad = torch.randn(700, generator=generator).bfloat16()
            ours.step()
        return masters(parameter, ours)

    assert torch.equal(run(3), run(99))


def test_pieces_move_as_the_whole_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(piece: int) -> tuple[int, torch.Tensor, list[torch.Tensor]]:
        monkeypatch.setattr(small_adamw, "PIECE", piece)
        torch.manual_seed(0)
        parameter, ours, _ = one(torch.randn(50, 97), 1e-2, 0.1, offloaded=True)
        for _ in range(4):
            parameter.grad = torch.randn_like(parameter)
            ours.step()
        return len(ours.states), masters(parameter, ours), [torch.cat(of) for of in zip(*ours.states, strict=True)]

    (num_many, many, many_states), (num_few, few, few_states) = run(1024), run(2**20)
    assert (num_many, num_few) == (6, 2)  # 4,850 numbers: 4 × 1,024, 754 - 754 % 256, and the last 242
    assert torch.equal(many, few)
    assert all(torch.equal(a, b) for a, b in zip(many_states, few_states, strict=True))


def test_the_smallest_pieces_stay_as_long_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_adamw, "PIECE", 512)
    assert spans(1300) == [slice(0, 512), slice(512, 1024), slice(1024, 1280), slice(1280, 1300)]
    assert spans(1024) == [slice(0, 512), slice(512, 1024)] and spans(7) == [slice(0, 7)]
    sizes = [512, 256, 7, 512]  # of 1,544, 772, 25 and 1,544 bytes
    wanted = {0: set(), 24: set(), 25: {2}, 797: {2, 1}, 2340: {2, 1}, 2341: {2, 1, 0}, 3885: {2, 1, 0, 3}}
    assert {num_bytes: resident(sizes, num_bytes) for num_bytes in wanted} == wanted


@pytest.mark.gpu
def test_states_move_weights_alike_wherever_they_lie_and_pass_from_one_place_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_adamw, "PIECE", 1024)  # 5 pieces and a bit of a matrix through two buffers
    places = {"none": 0, "some": 4000, "all": 10**6}  # bytes that stay

    def made(parameters: list[nn.Parameter], stay: str) -> SmallAdamW:
        groups = [{"params": parameters, "lr": torch.tensor(1e-2, device="cuda")}]
        failed = torch.zeros((), device="cuda")
        return SmallAdamW(groups, BETAS, 0.1, failed, offloaded=True, resident_bytes=places[stay])

    def run(first: str, then: str) -> tuple[list[int], list[torch.Tensor]]:
        torch.manual_seed(0)
        parameters = [
            nn.Parameter(torch.randn(50, 97).bfloat16().cuda()),
            nn.Parameter(torch.ones(7).bfloat16().cuda()),
        ]
        ours, passing = made(parameters, first), []
        for step in range(6):
            if step == 3:
                stored, ours = ours.state_dict(), made(parameters, then)
                ours.load_state_dict(stored)
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            ours.step()
            passing.append(sum(piece.passes for piece in ours.pieces))
        stored = [tensor.cpu() for state in ours.state_dict()["states"] for tensor in state]
        return passing, [*(p.detach().cpu() for p in parameters), *stored]

    passing, wanted = run("none", "none")
    assert passing == [7] * 6
    for first, then, numbers in (("some", "some", (4, 4)), ("all", "all", (0, 0)), ("some", "none", (4, 7))):
        passing, found = run(first, then)
        assert passing == [numbers[0]] * 3 + [numbers[1]] * 3
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
