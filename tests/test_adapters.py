"""What trains is what was asked for, nothing else, and merging and PEFT give the model that was trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import PeftModel
from torch import nn

from ishibumi.errors import TrainingError, UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import LoraLinear, Trainable, attach, merge, prove_trained, scale_learned
from ishibumi.training.saved import keep_share, save_adapter
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.trainer import train

TEXTS = ["Spain beat Argentina 1-0.", "The final was in July.", "Kane scored twice."]
IDS = torch.tensor([[256, 83, 112, 97, 105, 110]])
BOTH = [*tiny.LINEAR, "embed_tokens", "lm_head"]


def trained(model: LoadedModel, directory: Path, **settings: Any) -> list[Trainable]:
    """The trainables after a few steps."""
    chosen = tiny.settings(**settings)
    plan = tiny.plan_of([tiny.example(t) for t in TEXTS], directory, chosen)
    trainables = attach(model.network, chosen, 1)
    train(model.network, trainables, plan, chosen, directory)
    return trainables


def logits(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_pairs_that_read_one_input_get_the_gradients_of_pairs_by_themselves(
    kind: str, model_dir: Callable[[str], Path]
) -> None:
    network = tiny.load(model_dir(kind)).network
    parameters = [p for t in attach(network, tiny.settings(targets=tiny.LINEAR), 1) for p in t.parameters]
    for parameter in parameters[1::2]:
        torch.nn.init.normal_(parameter)

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(network(input_ids=IDS, use_cache=False).logits.square().sum(), parameters)

    pairs = [m for m in network.modules() if isinstance(m, LoraLinear)]
    together = gradients()
    assert [len(p.one_input.pairs) if p.one_input else 1 for p in pairs] == [3, 3, 3, 1, 2, 2, 1] * 2
    assert all(p.one_input is None or (p.one_input.x is None and not p.one_input.lows) for p in pairs)
    for pair in pairs:
        pair.one_input = None
    for a, b in zip(together, gradients(), strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-4  # sums cancel, so single numbers may be further apart


def test_a_target_that_matches_nothing_is_refused_with_what_there_is(model_dir: Callable[[str], Path]) -> None:
    network = tiny.load(model_dir("qwen3")).network
    with pytest.raises(UsageError) as caught:
        attach(network, tiny.settings(targets=["q_porj"]), 1)
    assert caught.value.message == (
        'No module matches the target "q_porj". Modules that can train: down_proj, embed_tokens, gate_proj, k_proj, '
        "lm_head, o_proj, q_proj, up_proj, v_proj."
    )
    assert caught.value.hint and caught.value.hint_ja


def test_targets_name_all_layers_or_one_and_twice_is_once(model_dir: Callable[[str], Path]) -> None:
    network = tiny.load(model_dir("llama")).network
    one = "model.layers.1.self_attn.q_proj"
    names = [t.name for t in attach(network, tiny.settings(targets=[one, "q_proj", "q_proj", "self_attn.q_proj"]), 1)]
    assert names == [one, "model.layers.0.self_attn.q_proj"]
    assert sum(isinstance(m, LoraLinear) for m in network.modules()) == 2


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_every_target_moves_and_nothing_else_does(
    kind: str, method: str, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny.load(model_dir(kind))
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    targets = ["q_proj", "down_proj", "embed_tokens"]
    trainables = trained(model, tmp_path, method=method, targets=targets)
    rows = prove_trained(model.network, trainables)
    assert len(rows) == 2 * 2 + 1
    assert all(float(str(row["moved"])) > 0 for row in rows)
    kinds = {str(row["name"]).split(".")[-1]: row["kind"] for row in rows}
    assert kinds == {"q_proj": method, "down_proj": method, "embed_tokens": "full"}
    merge(model.network, trainables)
    moved = {name for name, p in model.network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.split(".")[-2] in targets and name.endswith(".weight")}
    assert not any(p.requires_grad for p in model.network.parameters())


def test_a_matrix_that_did_not_move_is_an_error(model_dir: Callable[[str], Path]) -> None:
    network = tiny.load(model_dir("llama")).network
    trainables = attach(network, tiny.settings(targets=["o_proj"]), 1)
    with pytest.raises(TrainingError, match=r"model\.layers\.0\.self_attn\.o_proj was to train .* did not move"):
        prove_trained(network, trainables)


def test_a_parameter_that_trains_unasked_is_an_error(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    model = tiny.load(model_dir("llama"))
    trainables = trained(model, tmp_path, targets=["o_proj"])
    model.network.model.norm.weight.requires_grad_(True)  # type: ignore[union-attr, operator]
    with pytest.raises(TrainingError, match=r"without being asked to: model\.norm\.weight"):
        prove_trained(model.network, trainables)


@pytest.mark.parametrize(("kind", "num_embeddings"), [("llama", 2), ("gemma3", 1), ("qwen2", 1)])
def test_embeddings_train_at_their_own_rate_stay_tied_and_merge_to_the_same_logits(
    kind: str, num_embeddings: int, model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny.load(model_dir(kind))
    untrained = logits(model.network)
    trainables = trained(model, tmp_path, targets=BOTH)
    rates = [t.learning_rate for t in trainables if t.kind == "full"]
    assert rates == [1e-3] * num_embeddings
    network: Any = model.network
    is_tied = network.get_input_embeddings().weight is network.get_output_embeddings().weight
    assert is_tied == tiny.TIED[kind]
    before = logits(network)
    assert not torch.allclose(before, untrained, atol=0.1)
    merge(network, trainables)
    assert not any(isinstance(m, LoraLinear) for m in network.modules())
    torch.testing.assert_close(logits(network), before, rtol=1e-5, atol=1e-5)


def test_the_rate_of_the_embeddings_alone_moves_them(model_dir: Callable[[str], Path], tmp_path: Path) -> None:
    slow, fast = (
        {t.name: t.moved() for t in trained(tiny.load(model_dir("llama")), tmp_path / str(rate), targets=BOTH,
                                            embedding_learning_rate=rate, epochs=1)}
        for rate in (1e-5, 1e-3)
    )  # fmt: skip
    for name in ("model.embed_tokens", "lm_head"):
        assert fast[name] > 50 * slow[name]


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("llama", tiny.LINEAR),
        ("gemma3", tiny.LINEAR),
        ("qwen3", ["model.layers.1.self_attn.q_proj", "mlp.up_proj"]),
        ("llama", BOTH),
        ("gemma3", BOTH),
        ("qwen2", ["q_proj", "lm_head"]),
        ("qwen2", ["q_proj", "embed_tokens"]),
    ],
)
def test_peft_loads_the_adapter_and_gives_the_same_logits(
    kind: str, targets: list[str], model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny.load(model_dir(kind))
    trainables = trained(model, tmp_path, targets=targets)
    save_adapter(tmp_path / "adapter", model.network, trainables, tiny.settings(targets=targets), str(model_dir(kind)))
    theirs = PeftModel.from_pretrained(tiny.load(model_dir(kind)).network, tmp_path / "adapter").eval()  # type: ignore[arg-type]
    torch.testing.assert_close(logits(theirs), logits(model.network), rtol=1e-5, atol=1e-5)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 8)


def test_rslora_scales_by_the_root_of_the_rank_and_peft_reads_it_so(
    model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model, plain = tiny.load(model_dir("qwen3")), tiny.load(model_dir("qwen3"))
    trainables = trained(model, tmp_path, rslora=True, rank=16, alpha=8)
    assert {t.module.scale for t in trainables if isinstance(t.module, LoraLinear)} == {8 / 4}
    settings = tiny.settings(rslora=True, rank=16, alpha=8)
    save_adapter(tmp_path / "adapter", model.network, trainables, settings, str(model_dir("qwen3")))
    theirs = PeftModel.from_pretrained(plain.network, tmp_path / "adapter").eval()  # type: ignore[arg-type]
    torch.testing.assert_close(logits(theirs), logits(model.network), rtol=1e-5, atol=1e-5)
    trained_logits = logits(model.network)
    merge(model.network, trainables)
    torch.testing.assert_close(logits(model.network), trained_logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("targets", [["q_proj", "up_proj"], BOTH])
def test_half_of_what_was_learned_is_half_way_from_the_start(
    targets: list[str], model_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tiny.settings(targets=targets, learned_scale=0.5)
    before = tiny.load(model_dir("gemma3")).network.state_dict()
    models = [tiny.load(model_dir("gemma3")) for _ in range(2)]
    for number, model in enumerate(models):
        trainables = trained(model, tmp_path / str(number), targets=targets)
        if number == 0:
            scale_learned(trainables, 0.5)
            save_adapter(tmp_path / "adapter", model.network, trainables, settings, str(model_dir("gemma3")))
        merge(model.network, trainables)
    half, whole = (model.network.state_dict() for model in models)
    for name, start in before.items():
        torch.testing.assert_close(half[name], (start + whole[name]) / 2, rtol=1e-5, atol=1e-6)
    theirs = PeftModel.from_pretrained(tiny.load(model_dir("gemma3")).network, tmp_path / "adapter").eval()  # type: ignore[arg-type]
    torch.testing.assert_close(logits(theirs), logits(models[0].network), rtol=1e-4, atol=1e-4)


def test_a_model_that_keeps_a_share_is_on_the_way_back_to_its_base(model_dir: Callable[[str], Path]) -> None:
    model, base = tiny.load(model_dir("gemma3")), tiny.load(model_dir("gemma3"))
    start = {name: weight.clone() for name, weight in base.network.state_dict().items()}
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.add_(0.4)
    keep_share(model, base, 0.25)
    for name, weight in model.network.named_parameters():
        torch.testing.assert_close(weight.detach(), start[name] + 0.1)
    assert all(torch.equal(weight, start[name]) for name, weight in base.network.state_dict().items())


def test_a_stage_compares_the_merged_model_with_the_trained_one(
    model_dir: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(directory: Path) -> dict[str, Any]:
        directory.mkdir()
        return run_stage(
            tiny.load(model_dir("gemma3")), [tiny.example(t) for t in TEXTS], Mix(("document",), {}), tiny.settings(),
            directory, seed=1, on_step=lambda record: None, should_stop=lambda: False,
        )  # fmt: skip

    assert stage(tmp_path / "right")["merge_difference"] < 1e-5
    monkeypatch.setattr(LoraLinear, "delta", lambda self: 0.5 * self.lora_B @ self.lora_A)  # half of what was trained
    with pytest.raises(TrainingError, match="The merged model differs from the trained one by "):
        stage(tmp_path / "wrong")
