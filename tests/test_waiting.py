"""A GPU too small for the weights as they are: what waits, what moves, in which format models reply."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import test_pipeline
import tiny
import torch
from torch import nn

from ishibumi import config, training_stages
from ishibumi.errors import UsageError
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import load_model, read_config
from ishibumi.settings import ModelSettings, Settings
from ishibumi.training import waiting
from ishibumi.training.adapters import attach
from ishibumi.training.asked import load_to_ask
from ishibumi.training.attention import hidden_states
from ishibumi.training.fitting import (
    REHEARSAL_TOKENS,
    exam_bytes,
    forecast_lines,
    gib,
    rehearsal_plan,
    replies_bytes,
    reply_precision,
)
from ishibumi.training.forecast import _full_rows
from ishibumi.training.live_memory import LiveBytes
from ishibumi.training.precision import (
    NF4_VALUES,
    Nf4Linear,
    frozen_in,
    held_in,
    move_rounded,
    packed_to_nf4,
    unpacked_from_nf4,
)
from ishibumi.training.stage import Mix, run_stage
from ishibumi.training.waiting import fetched, move_unrounded, waits

WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128}  # blocks of 64, as nf4 has them
META, GPU = torch.device("meta"), torch.device("cuda")  # both stand for a device that is not here
BATCH = _full_rows(2, 16)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tiny Qwen 2, which has biases and a tied head, wide enough for nf4."""
    directory = tmp_path_factory.mktemp("wide")
    tiny.network("qwen2", **WIDE).save_pretrained(directory)
    tiny.byte_tokenizer().save_pretrained(directory)
    return directory


class BytesThere(LiveBytes):
    """The bytes of tensors on the device «meta» alone."""

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage.device.type == "meta":
            super()._count(storage)


def decoder(network: nn.Module) -> dict[str, nn.Linear]:
    """Name → linear layer of the decoder."""
    return {n: m for n, m in network.base_model.named_modules() if isinstance(m, nn.Linear)}  # type: ignore[union-attr, operator]


def test_matrices_wait_and_all_else_moves(wide: Path) -> None:
    network = tiny.load(wide).network
    kept = {name: m.weight for name, m in decoder(network).items()}
    assert len(kept) == 2 * 7
    move_unrounded(network, "nf4", META)
    assert {n: m.weight for n, m in decoder(network).items()} == kept  # the very same, on the CPU
    assert {w.device.type for w in kept.values()} == {"cpu"}
    others = [p for p in network.parameters() if not any(p is w for w in kept.values())]
    assert {t.device.type for t in (*others, *network.buffers())} == {"meta"}


def test_sizes_that_a_format_cannot_hold_do_not_wait() -> None:
    network = tiny.network("llama", hidden_size=64, intermediate_size=96)  # down_proj reads 96
    move_unrounded(network, "nf4", META)
    assert {n.rpartition(".")[2] for n, m in decoder(network).items() if m.weight.is_meta} == {"down_proj"}
    with frozen_in(network, "nf4"):
        assert all(m.weight.is_meta for m in decoder(network).values())


def test_pairs_train_on_the_device_while_their_matrices_wait(wide: Path) -> None:
    network = tiny.load(wide).network
    move_unrounded(network, "nf4", META)
    trainables = attach(network, tiny.settings(), 1)
    assert {(p.device.type, t.weight.device.type) for t in trainables for p in t.parameters} == {("meta", "cpu")}
    with frozen_in(network, "nf4"):
        assert not decoder(network)
        hidden_states(network, BATCH.to(META)).float().sum().backward()
    assert {t.weight.device.type for t in trainables} == {"cpu"}
    with BytesThere() as live, torch.no_grad(), fetched(network):
        hidden_states(network, BATCH.to(META))
    assert live.peak > max(t.weight.nbytes for t in trainables)  # they were there, one at a time
    assert not any("forward" in vars(m) for m in network.modules())


def test_products_of_matrices_that_are_fetched_are_the_same(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny.load(wide).network
    wanted = hidden_states(network, BATCH)
    monkeypatch.setattr(waiting, "device_of", lambda _: META)  # so that all on the CPU seem to wait
    with fetched(network):
        assert all("forward" in vars(m) for m in decoder(network).values())
        assert torch.equal(hidden_states(network, BATCH), wanted)


@pytest.mark.parametrize("how", ["to train", "to reply"])
def test_matrices_come_to_the_device_one_by_one(how: str) -> None:
    network = tiny.network("llama", num_hidden_layers=8, **WIDE).to(torch.bfloat16)
    largest = max(m.weight.numel() for m in decoder(network).values())
    whole = sum(m.weight.nbytes for m in decoder(network).values())
    with BytesThere() as live:
        if how == "to reply":
            move_rounded(network, "nf4", META)
        else:
            move_unrounded(network, "nf4", META)
            context = frozen_in(network, "nf4")
            context.__enter__()
        stays = sum(t.nbytes for t in (*network.parameters(), *network.buffers()) if t.is_meta)
    assert live.now == pytest.approx(stays, rel=0.05)
    assert whole > 30 * largest and live.peak < stays + 16 * largest  # all of them first would be whole more


def test_a_stage_whose_matrices_waited_ends_with_the_same_weights(wide: Path, tmp_path: Path) -> None:
    ended: list[dict[str, torch.Tensor]] = []
    for waited in (False, True):
        model = tiny.load(wide)
        if waited:
            move_unrounded(model.network, "nf4", torch.device("cpu"))
        (tmp_path / str(waited)).mkdir()
        manifest = run_stage(
            model, [tiny.example("Spain beat Argentina 1-0.")], Mix(own=("document",), shares={}),
            tiny.settings(precision="nf4", epochs=4), tmp_path / str(waited), seed=1,
            on_step=lambda _: None, should_stop=lambda: False,
        )  # fmt: skip
        assert manifest["precision"] == "nf4" and manifest["merge_difference"] < 1e-5
        ended.append({name: p.detach() for name, p in model.network.named_parameters()})
    assert ended[0].keys() == ended[1].keys() and all(torch.equal(ended[0][n], ended[1][n]) for n in ended[0])
    started = dict(tiny.load(wide).network.named_parameters())
    assert not torch.equal(started["model.layers.0.mlp.up_proj.weight"], ended[0]["model.layers.0.mlp.up_proj.weight"])


def test_only_frozen_matrices_of_a_gpu_wait() -> None:
    assert waits(tiny.settings(precision="nf4"), GPU) and not waits(tiny.settings(precision="bf16"), GPU)
    assert not waits(tiny.settings(precision="nf4"), torch.device("cpu"))
    assert not waits(tiny.settings(precision="nf4", method="full"), GPU)


def test_a_base_is_loaded_to_the_cpu_where_its_matrices_are_to_wait(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = config.load(test_pipeline.write_project(tmp_path, wide), {"cpt.precision": '"nf4"'})
    monkeypatch.setattr(training_stages, "pick_device", lambda _: META)
    monkeypatch.setattr(training_stages, "waits", lambda settings, device: device is META)
    load = partial(load_model, run.settings.model, run.base_dir, None)
    model, split_on = training_stages._load_to_train(run, run.settings.cpt, load)
    assert split_on is None and model.device == META
    assert {m.weight.device.type for m in decoder(model.network).values()} == {"cpu"}
    whole, _ = training_stages._load_to_train(run, run.settings.cpt, load, is_whole=True)
    assert {p.device.type for p in whole.network.parameters()} == {"meta"}


def test_replies_in_nf4_are_those_of_a_model_whose_matrices_were_rounded_and_put_back(wide: Path) -> None:
    settings = ModelSettings(base=str(wide), device="cpu", dtype="float32")
    small = load_to_ask(partial(load_model, settings, wide, None), settings, "nf4")
    assert sum(isinstance(m, Nf4Linear) for m in small.network.modules()) == 2 * 7
    by_hand, plain = tiny.load(wide), tiny.load(wide)
    with torch.no_grad():
        for linear in decoder(by_hand.network).values():
            packed = packed_to_nf4(linear.weight)
            linear.weight.copy_(unpacked_from_nf4(*packed, torch.tensor(NF4_VALUES), torch.float32))
    prompts = [[256, *b"Spain"], [256, *b"Who won the final?"], [256, *b"A"]]
    replies, wanted, others = (
        generate_replies(model, prompts, max_new_tokens=24, batch_size=3) for model in (small, by_hand, plain)
    )
    assert replies == wanted
    assert [r.text for r in replies] != [r.text for r in others]


def settings_for(wide: Path, **sections: dict[str, Any]) -> Settings:
    model = {"base": str(wide), "device": "cpu", "dtype": "bfloat16"}
    small = {"row_tokens": 64, "tokens_per_pass": 256, "precision": "nf4", "rank": 4, "targets": ["q_proj"]}
    return Settings.model_validate({"model": model, "cpt": small, "sft": small, **sections})


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets forecasts believe in a GPU with so many usable bytes."""
    monkeypatch.setattr("ishibumi.training.fitting.pick_device", lambda _: GPU)
    monkeypatch.setattr("ishibumi.training.fitting.seconds_at_best", lambda *_: None)
    return lambda usable: monkeypatch.setattr("ishibumi.training.fitting.usable_bytes", lambda *_: usable)


def test_models_reply_as_they_are_if_that_fits_and_else_in_the_stages_format(
    wide: Path, on_gpu: Callable[[int], None]
) -> None:
    settings = settings_for(wide)
    needed = exam_bytes(read_config(wide), settings, batch_questions=1)
    for usable, section, wanted in (
        (needed, {}, "bf16"),
        (needed - 1, {}, "nf4"),
        (needed - 1, {"cpt": {"precision": "bf16"}}, "bf16"),
        (needed - 1, {"exam": {"precision": "bf16"}}, "bf16"),
        (10 * needed, {"exam": {"precision": "nf4"}}, "nf4"),
    ):
        on_gpu(usable)
        assert reply_precision(settings_for(wide, **section), wide) == wanted, (usable, section)
    assert reply_precision(settings_for(wide, exam={"precision": "nf4"}), wide) == "nf4"


def test_check_foretells_an_exam_with_small_matrices(tmp_path: Path, on_gpu: Callable[[int], None]) -> None:
    tiny.network("qwen2", num_hidden_layers=16, hidden_size=256, intermediate_size=1024).save_pretrained(tmp_path)
    config_of = read_config(tmp_path)
    settings = settings_for(tmp_path, exam={"batch_questions": 1})
    nf4, bf16 = (exam_bytes(config_of, settings, p) for p in ("nf4", "bf16"))
    assert nf4 < bf16
    on_gpu(bf16)
    assert forecast_lines(settings, tmp_path, has_chats=False)[-1].endswith(" memory")
    on_gpu(bf16 - 1)
    last = forecast_lines(settings, tmp_path, has_chats=False)[-1]
    assert last == f"exam: {gib(nf4)} of {gib(bf16 - 1)} memory (matrices in nf4: exam.precision = auto)"


def test_an_exam_that_will_not_fit_is_told_how_many_questions_would(wide: Path, on_gpu: Callable[[int], None]) -> None:
    config_of = read_config(wide)
    three = exam_bytes(config_of, settings_for(wide, exam={"batch_questions": 3}))
    on_gpu(three)
    with pytest.raises(UsageError, match=r"^The exam will not fit") as raised:
        forecast_lines(settings_for(wide), wide, has_chats=False)
    assert raised.value.hint == "--set exam.batch_questions=3   or   --set exam.precision=nf4"
    assert raised.value.hint_ja == "--set exam.batch_questions=3 または --set exam.precision=nf4"


def test_bytes_foretold_are_those_of_the_rounded_network(wide: Path) -> None:
    model = settings_for(wide).model
    network = tiny.load(wide, "bfloat16").network
    largest = max(child.weight.numel() for _, _, child in held_in(network, "nf4"))
    move_rounded(network, "nf4", torch.device("cpu"))
    held = sum(t.nbytes for t in (*network.parameters(), *network.buffers()))
    assert replies_bytes(read_config(wide), model, "nf4", 0, 0, 0) == held + 15 * largest


def test_rehearsal_texts_are_written_at_once_as_memory_allows(wide: Path, on_gpu: Callable[[int], None]) -> None:
    settings = settings_for(wide)
    need = partial(replies_bytes, read_config(wide), settings.model, num_tokens=REHEARSAL_TOKENS, copies=8)
    for usable, wanted in (
        (need("bf16", 5000), ("bf16", 1024)),
        (need("bf16", 100), ("bf16", 64)),
        (need("bf16", 32), ("bf16", 32)),
        (need("nf4", 5), ("nf4", 4)),
        (0, ("nf4", 1)),
    ):
        on_gpu(usable)
        assert rehearsal_plan(settings, wide) == wanted


def test_an_exam_in_nf4_says_so_and_asks_both_models_in_it(wide: Path, tmp_path: Path) -> None:
    path, run = test_pipeline.write_project(tmp_path, wide), tmp_path / "run"
    assert test_pipeline.call("run", path, "--set", 'exam.precision="nf4"')[0] == 0

    def told() -> tuple[list[str], str, list[str]]:
        manifests = [
            json.loads((run / stage / "manifest.json").read_text())["precision"] for stage in ("before", "exam")
        ]
        summary = json.loads((run / "report" / "summary.json").read_text())["exam_precision"]
        answers = [(run / "exam" / f"answers_{arm}.jsonl").read_text() for arm in ("base", "engraved")]
        return manifests, summary, answers

    note, note_ja = (
        "Both models replied with their matrices in 4 bits (nf4)",
        "行列を 4 ビット（nf4）に丸めて答えました",
    )
    manifests, summary, in_nf4 = told()
    page = (run / "report" / "report.html").read_text()
    assert (manifests, summary) == (["nf4", "nf4"], "nf4") and note in page and note_ja in page
    code, _, err = test_pipeline.call("run", path)
    assert code == 0 and test_pipeline.made_and_kept(err)[0] == ["before", "exam", "report"]
    manifests, summary, whole = told()
    page = (run / "report" / "report.html").read_text()
    assert (manifests, summary) == (["bf16", "bf16"], "bf16") and note not in page
    assert all(a != b for a, b in zip(in_nf4, whole, strict=True))


def test_a_model_that_is_not_tuned_any_more_is_saved_without_a_gpu(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = test_pipeline.write_project(tmp_path, wide)
    assert test_pipeline.call("cpt", path)[0] == 0
    monkeypatch.setattr(training_stages, "pick_device", pytest.fail)
    assert test_pipeline.call("sft", path, "--set", "sft.epochs=0")[0] == 0


@pytest.mark.gpu
def test_a_gpu_ends_with_the_same_weights_whether_matrices_waited_or_not(wide: Path, tmp_path: Path) -> None:
    ended: list[dict[str, torch.Tensor]] = []
    for waited in (False, True):
        model = tiny.load(wide, "bfloat16", "cpu" if waited else "cuda")
        if waited:
            move_unrounded(model.network, "nf4", GPU)
            assert model.network.get_output_embeddings().weight is model.network.get_input_embeddings().weight  # type: ignore[operator]
        (tmp_path / str(waited)).mkdir()
        run_stage(
            model, [tiny.example("Spain beat Argentina 1-0.")], Mix(own=("document",), shares={}),
            tiny.settings(precision="nf4", epochs=4, compile="never"), tmp_path / str(waited), seed=1,
            on_step=lambda _: None, should_stop=lambda: False,
        )  # fmt: skip
        assert {m.weight.device.type for m in decoder(model.network).values()} == {"cpu" if waited else "cuda"}
        ended.append({name: p.detach().cpu() for name, p in model.network.named_parameters()})
    assert ended[0].keys() == ended[1].keys() and all(torch.equal(ended[0][n], ended[1][n]) for n in ended[0])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["nf4", "fp8"])
def test_a_gpu_replies_with_rounded_matrices(precision: Any, wide: Path) -> None:
    settings = ModelSettings(base=str(wide), device="cuda", dtype="bfloat16")
    small = load_to_ask(partial(load_model, settings, wide, None), settings, precision)
    assert {t.device.type for t in (*small.network.parameters(), *small.network.buffers())} == {"cuda"}
    waited = tiny.load(wide, "bfloat16")
    move_unrounded(waited.network, precision, GPU)
    prompts = [[256, *b"Spain"], [256, *b"Who won the final?"], [256]]
    with frozen_in(waited.network, precision):
        replies, wanted = (generate_replies(m, prompts, max_new_tokens=24, batch_size=3) for m in (small, waited))
    assert replies == wanted
