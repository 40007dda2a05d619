"""model.instruct: what was engraved in a base is put on a sibling of it, exactly, and leaves the run with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from test_bundle import unpacked
from test_pipeline import call, write_project

from ishibumi import config
from ishibumi.errors import ModelError
from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import Trainable, attach, merge
from ishibumi.training.saved import put_on_sibling

TARGETS = tiny.settings(targets=["q_proj", "up_proj"])


def sibling_of(model: LoadedModel) -> LoadedModel:
    """The model with other weights, as an instruct model has them."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def stirred(model: LoadedModel) -> list[Trainable]:
    """Adapters on the model, no longer zero."""
    trainables = attach(model.network, TARGETS, 1)
    with torch.no_grad():
        for trainable in trainables:
            trainable.parameters[1].normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    return trainables


def test_what_was_engraved_in_the_base_speaks_from_its_sibling(model_dir: Callable[[str], Path]) -> None:
    """The sibling with the change added has the logits of the sibling with the very adapters on it."""
    base, engraved, put, with_adapters = (tiny.load(model_dir("gemma3")) for _ in range(4))
    merge(engraved.network, stirred(engraved))
    stirred(sibling_of(with_adapters))
    sibling_of(put)
    ids = torch.tensor([[256, *b"Spain beat Argentina."]])
    with torch.no_grad():
        before = put.network(input_ids=ids).logits
        put_on_sibling(put, base, engraved)
        logits, wanted = put.network(input_ids=ids).logits, with_adapters.network(input_ids=ids).logits
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)
    assert float((logits - before).abs().max()) > 0.1


def test_another_model_is_no_sibling(model_dir: Callable[[str], Path]) -> None:
    base, engraved, other = (tiny.load(model_dir(kind)) for kind in ("llama", "llama", "gemma3"))
    merge(engraved.network, stirred(engraved))
    with torch.no_grad():
        del other.network.model.layers[1]  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=r"is no sibling of .*: model\.layers\.1\.") as raised:
        put_on_sibling(other, base, engraved)
    assert "model.instruct" in raised.value.hint and "model.instruct" in raised.value.hint_ja


def test_a_run_ends_on_the_sibling_and_so_do_its_exports_and_its_bundle(
    tmp_path: Path, model_dir: Callable[[str], Path]
) -> None:
    path = write_project(tmp_path, model_dir("llama"))
    sibling = sibling_of(tiny.load(model_dir("llama")))
    for part in (sibling.network, sibling.tokenizer):
        part.save_pretrained(tmp_path / "instruct")  # type: ignore[operator]
    flags = ("--set", "sft.epochs=0", "--set", "sft.kept=1", "--set", 'exam.arms=["engraved"]')
    assert call("run", path, *flags)[0] == 0
    flags = (*flags, "--set", "model.instruct=instruct")
    code, _, err = call("run", path, *flags)
    assert code == 0 and "✓ cpt        unchanged" in err and "✓ before     unchanged" in err and "▶ sft" in err, err
    base, cpt, sft = (
        dict(tiny.load(place).network.named_parameters())
        for place in (model_dir("llama"), tmp_path / "run" / "cpt" / "model", tmp_path / "run" / "sft" / "model")
    )
    for name, weight in sibling.network.named_parameters():
        torch.testing.assert_close(sft[name], weight + cpt[name] - base[name])
    code, _, err = call("export", path, *flags, "--format", "adapter", "--out", tmp_path / "adapter")
    assert code == 0, err
    assert '"instruct"' in (tmp_path / "adapter" / "adapter_config.json").read_text()
    (tmp_path / "wheels").mkdir()
    python = ("--wheels", tmp_path / "wheels", "--python", "3.11")
    assert call("bundle", tmp_path / "b.tar", path, *flags, *python)[0] == 0
    bundle_dir = unpacked(tmp_path / "b.tar", tmp_path / "there")
    there = config.load(bundle_dir / "ishibumi.toml").settings.model
    assert (there.base, there.instruct) == ("base", "instruct") and (bundle_dir / "instruct" / "config.json").exists()
    code, _, err = call("check", path, "--set", "model.instruct=none/such")
    assert code == 1 and "none/such" in err
