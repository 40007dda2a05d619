"""Packed linear layers: the same replies, all weights back bit for bit, one copy where networks share a matrix."""

import pytest
import tiny
import torch
from torch import nn

from ishibumi.models import packing
from ishibumi.models.packing import can_pack, pack, packed

IDS = torch.arange(24).view(2, 12)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_logits_are_the_same_and_the_network_comes_back(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network(kind)
    assert can_pack(network)
    with torch.no_grad():
        plain = network(input_ids=IDS).logits
        with packed(network):
            assert torch.allclose(network(input_ids=IDS).logits, plain, rtol=1e-5, atol=1e-6)
            monkeypatch.setattr(packing, "WORTH", range(1))
            assert torch.equal(network(input_ids=IDS).logits, plain)  # through the matrix itself
        assert torch.equal(network(input_ids=IDS).logits, plain)
    assert not any("forward" in vars(module) for module in network.modules())


def test_few_tokens_go_through_the_copy() -> None:
    network = tiny.network("llama")
    with torch.no_grad(), packed(network):
        plain = network(input_ids=IDS).logits
        for linear in (m for m in network.modules() if isinstance(m, nn.Linear)):
            linear.weight.fill_(torch.nan)
        assert torch.equal(network(input_ids=IDS).logits, plain)


def test_the_network_comes_back_after_an_error() -> None:
    network = tiny.network("llama")
    with pytest.raises(RuntimeError, match="stop"), packed(network):
        raise RuntimeError("stop")
    assert not any("forward" in vars(module) for module in network.modules())


def test_networks_that_share_a_matrix_share_the_packed_one() -> None:
    one, other = tiny.network("llama"), tiny.network("llama")
    other.lm_head.weight.data = one.lm_head.weight.data
    layers = pack(one, other)
    assert layers[one.lm_head] is layers[other.lm_head]
    linear = [m for m in one.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 2 * len(linear)


def test_another_number_format_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.network("llama").to(torch.float64)
    assert not can_pack(network) and pack(network) == {}
    monkeypatch.setattr(packing.torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(tiny.network("llama"))
