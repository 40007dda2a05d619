"""AdamW with bf16 moments: near torch's in fp32, exact in its masters, and still where a step failed."""

import pytest
import torch
from torch import nn

from ishibumi.training import small_adamw
from ishibumi.training.small_adamw import SmallAdamW, joined, parted


def one(weight: torch.Tensor, rate: float, decay: float) -> tuple[nn.Parameter, SmallAdamW, torch.Tensor]:
    parameter, failed = nn.Parameter(weight.bfloat16()), torch.zeros(())
    groups = [{"params": [parameter], "lr": torch.tensor(rate)}]
    return parameter, SmallAdamW(groups, (0.9, 0.99), decay, failed), failed


def test_a_master_is_its_bf16_number_and_a_rest() -> None:
    torch.manual_seed(0)
    master = torch.cat(
        [torch.randn(1000) * torch.randn(1000).exp(), torch.tensor([0.0, -0.0, 1.00390625, -1.00390625])]
    )
    p, rest = parted(master)
    assert torch.equal(joined(p, rest), master)
    assert float(((p.float() - master) / master.abs().clamp(min=1e-30)).abs().max()) <= 2**-8


def test_fifty_steps_are_those_of_adamw_in_fp32() -> None:
    torch.manual_seed(0)
    weight = torch.randn(50, 64).bfloat16()
    parameter, ours, _ = one(weight, 1e-4, 0.1)
    master = nn.Parameter(weight.float())
    theirs = torch.optim.AdamW([master], lr=1e-4, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(50):
        parameter.grad = (torch.randn(50, 64) * (1 + step % 3)).bfloat16()
        master.grad = parameter.grad.float()
        ours.step()
        theirs.step()
    moved = joined(parameter.detach(), ours.states[0][0]) - weight.float()
    wanted = master.detach() - weight.float()
    assert float((moved - wanted).norm() / wanted.norm()) < 0.01
    # The first updates are below what bf16 can tell apart near 1.
    assert float(wanted.abs().max()) < 2**-7


def test_nothing_moves_after_a_step_that_failed() -> None:
    parameter, ours, failed = one(torch.ones(8), 1e-2, 0.0)
    parameter.grad = torch.full((8,), torch.nan, dtype=torch.bfloat16)
    failed.fill_(1)
    ours.step()
    assert parameter.tolist() == [1.0] * 8 and float(ours.num_steps) == 0
    assert not any(tensor.any() for state in ours.states for tensor in state)


def test_a_stored_state_goes_on_bit_for_bit() -> None:
    def run(num_first: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        parameter, ours, _ = one(torch.ones(8), 1e-2, 0.1)
        for step in range(6):
            if step == num_first:
                kept, stored = parameter.detach().clone(), ours.state_dict()
                parameter, ours, _ = one(kept, 1e-2, 0.1)
                ours.load_state_dict(stored)
            parameter.grad = torch.randn(8, generator=generator).bfloat16()
            ours.step()
        return joined(parameter.detach(), ours.states[0][0])

    assert torch.equal(run(3), run(99))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_moments_in_the_cpus_memory_move_weights_as_those_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_adamw, "PIECE", 1000)  # 5 pieces of a matrix through two buffers

    def run(offloaded: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        torch.manual_seed(0)
        parameters = [
            nn.Parameter(torch.randn(50, 97).bfloat16().cuda()),
            nn.Parameter(torch.ones(7).bfloat16().cuda()),
        ]
        groups = [{"params": parameters, "lr": torch.tensor(1e-2, device="cuda")}]
        ours = SmallAdamW(groups, (0.9, 0.99), 0.1, torch.zeros((), device="cuda"), offloaded=offloaded)
        for _ in range(5):
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            ours.step()
        stored = [tensor.cpu() for state in ours.state_dict()["states"] for tensor in state]
        return torch.cat([p.detach().flatten().cpu() for p in parameters]), stored

    (weights, states), (same, same_states) = run(True), run(False)
    assert torch.equal(weights, same)
    assert all(torch.equal(a, b) for a, b in zip(states, same_states, strict=True))
